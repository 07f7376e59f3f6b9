"""A series with several images at each place becomes the volumes that the manifest asks for."""

from pathlib import Path

import numpy as np
import pytest

from appliance.core.errors import InputRefused
from pipelines.inputs import Split, Take
from pipelines.series import read_volume
from pipelines.split import split_files
from tests.builders import mr_slices, write_all
from tests.unit.test_pipelines_manifest import copy, problems


def echoes(folder: Path, times: tuple[float, ...] = (30.0, 4.6, 12.0)) -> list[Path]:
    """Three echoes of one stack in one series; ten times the echo's time is the pixels' value."""
    one = {
        "study_instance_uid": "2.25.71",
        "series_instance_uid": "2.25.72",
        "frame_of_reference_uid": "2.25.73",
    }
    slices = [
        dataset
        for time in times
        for dataset in mr_slices(
            pixels=np.full((4, 8, 8), int(time * 10), np.uint16), EchoTime=time, **one
        )
    ]
    return write_all(slices, folder)


def value_of(paths: tuple[Path, ...]) -> float:
    return float(read_volume(paths).array.max())


def test_without_a_rule_nothing_is_guessed(tmp_path: Path) -> None:
    paths = echoes(tmp_path)
    assert split_files("t2", paths, None) == {"t2": tuple(paths)}
    with pytest.raises(InputRefused, match="lie at the place of another one"):
        read_volume(paths)


@pytest.mark.parametrize(
    ("take", "value", "found"),
    [(Take.FIRST, None, 46), (Take.LAST, None, 300), (Take.NEAREST, 11.5, 120)],
)
def test_one_volume_is_taken_by_number_and_not_by_text(
    tmp_path: Path, take: Take, value: float | None, found: int
) -> None:
    rule = Split(by="EchoTime", take=take, value=value, within=1.0)
    [(name, files)] = split_files("t2", echoes(tmp_path), rule).items()
    assert (name, len(files), value_of(files)) == ("t2", 4, found)


def test_all_volumes_come_in_rising_order(tmp_path: Path) -> None:
    found = split_files("t2", echoes(tmp_path), Split(by="EchoTime", take=Take.ALL))
    assert {name: value_of(files) for name, files in found.items()} == {
        "t2.1": 46,
        "t2.2": 120,
        "t2.3": 300,
    }


def test_a_volume_that_is_not_there_is_not_replaced_by_another(tmp_path: Path) -> None:
    rule = Split(by="EchoTime", take=Take.NEAREST, value=80.0, within=10.0)
    with pytest.raises(InputRefused, match=r"nearest EchoTime to 80 is 30; within 10 is needed"):
        split_files("t2", echoes(tmp_path), rule)


def test_an_image_without_the_attribute_is_refused(tmp_path: Path) -> None:
    rule = Split(by="TriggerTime", take=Take.FIRST)
    with pytest.raises(InputRefused, match="an image has no number in TriggerTime"):
        split_files("t2", echoes(tmp_path), rule)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{by: EcoTime, take: first}", "'EcoTime' is not a DICOM keyword"),
        ("{by: EchoTime, take: nearest}", "value belongs to take: nearest"),
        ("{by: EchoTime, take: first, value: 3}", "value belongs to take: nearest"),
    ],
)
def test_a_wrong_rule_is_told(tmp_path: Path, written: str, said: str) -> None:
    copy(tmp_path, "outputs:", f"    split: {written}\noutputs:")
    assert said in problems(tmp_path)[0]
