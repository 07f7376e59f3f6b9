"""Networks on a GPU mark what they mark on the CPU. Run by `make test-gpu` alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.networks import LEVELS, Format, nearest, pipeline_folder
from tests.runs import loaded
from tests.volumes import given, volume

SHAPE = (20, 24, 28)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize(
    "keys",
    [
        "deterministic: true",
        "inference: {sliding_window: {roi_size: 16, overlap: 0.5, batch: 2}}",
    ],
)
def test_each_format_marks_the_same_voxels(kind: Format, keys: str, tmp_path: Path) -> None:
    array = np.random.default_rng(1).choice(np.array(LEVELS, dtype=np.float32), SHAPE)
    image = replace(volume(shape=SHAPE), array=array)
    folder = pipeline_folder(tmp_path, nearest(), kind, keys=keys)
    output = loaded(folder, "cuda:0").infer(given({"t1": image}))
    assert output.label_map is not None
    assert np.array_equal(output.label_map.array, (array * 2).astype(np.uint8))
