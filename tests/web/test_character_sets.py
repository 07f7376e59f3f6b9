"""A patient's name is on the page as it was written, in every character set of the standard."""

import random
from pathlib import Path

import pytest
from pydicom import dcmread

from feedback.banner import TAGS, read_banner
from tests.faults import varieties
from tests.faults.test_by_http import part_10

IMAGES = varieties.of_each_character_set(random.Random(1))  # noqa: S311
UNKNOWN = pytest.mark.xfail(reason="pydicom does not know Latin alphabet No. 9", strict=True)
CASES = [
    pytest.param(name, image, id=term or "default", marks=[UNKNOWN] * (term == "ISO_IR 203"))
    for (term, _, name), image in zip(varieties.CHARACTER_SETS, IMAGES, strict=True)
]


@pytest.mark.parametrize(("name", "image"), CASES)
def test_a_name_reads_as_it_was_written(
    tmp_path: Path, name: str, image: varieties.Instance
) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(part_10(image))
    banner = read_banner(dcmread(path, stop_before_pixels=True, specific_tags=TAGS))
    for part in filter(None, name.replace("=", "^").split("^")):
        assert part in banner.name
