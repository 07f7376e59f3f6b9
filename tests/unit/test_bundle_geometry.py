"""A bundle marks what lies there, however the series is stored: told by each slice's own header."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from scipy import ndimage

from pipelines.volume import Labels
from tests.builders import set_pixels
from tests.bundles import (
    ARGMAX,
    INVERT,
    LOAD,
    ORIENT,
    SCALE,
    SOFTMAX,
    Config,
    config,
    intensity_bundle,
    quiet,
    transform,
)
from tests.phantoms import STORAGES, Stored, slices, stored, stored_enhanced, truth
from tests.runs import loaded
from tests.volumes import given

pytestmark = quiet

# In the order of the phantom's labels, each a hundred brighter than the one before.
STEP = 100


def phantom(orientation: tuple[float, ...]) -> list[Dataset]:
    datasets = slices(orientation)
    for dataset in datasets:
        set_pixels(dataset, (STEP * truth(dataset)).astype(np.uint16))
    return datasets


def by_frame(series: Stored) -> Labels:
    """Return the truth in the volume's order: of each slice, from its own file's header."""
    if series.volume.frames[0].frame_number is None:
        datasets = [series.datasets[frame.path_index] for frame in series.volume.frames]
    else:
        datasets = [
            series.datasets[(frame.frame_number or 0) - 1] for frame in series.volume.frames
        ]
    return np.stack([truth(dataset) for dataset in datasets])


def marked(folder: Path, series: Stored, written: Config | None = None) -> Labels:
    pipeline = loaded(intensity_bundle(folder / "bundle", written=written))
    scratch = folder / "scratch"
    scratch.mkdir()
    output = pipeline.infer(given({"image": series.volume}, scratch=scratch))
    assert output.label_map is not None
    assert output.label_map.input_name == "image"
    return output.label_map.array


@pytest.mark.parametrize("storage", list(STORAGES))
def test_every_voxel_is_marked_where_it_lies(storage: str, tmp_path: Path) -> None:
    series = stored(tmp_path / "series", phantom(STORAGES[storage]))
    labels = marked(tmp_path, series)
    assert set(np.unique(labels)) == {0, 1, 2}
    np.testing.assert_array_equal(labels, by_frame(series))


@pytest.mark.parametrize("storage", ["sagittal", "oblique"])
def test_in_a_multi_frame_object_too(storage: str, tmp_path: Path) -> None:
    series = stored_enhanced(tmp_path, phantom(STORAGES[storage])[::-1])
    np.testing.assert_array_equal(marked(tmp_path, series), by_frame(series))


UPRIGHT = [storage for storage in STORAGES if storage != "oblique"]
# Of an image whose first axis runs to the patient's right, the half at the left.
LEFT_HALF = "$lambda x: x * (torch.arange(x.shape[1]) < x.shape[1] // 2)[:, None, None]"


@pytest.mark.parametrize("storage", UPRIGHT)
def test_the_bundle_is_told_where_left_is(storage: str, tmp_path: Path) -> None:
    series = stored(tmp_path / "series", phantom(STORAGES[storage]))
    half = transform("Lambdad", keys="image", func=LEFT_HALF)
    written = config(
        preprocessing={"_target_": "Compose", "transforms": [*LOAD, ORIENT, half, SCALE]}
    )
    # The box lies at the patient's left, the ball at the right.
    np.testing.assert_array_equal(marked(tmp_path, series, written), by_frame(series) == 1)


# What is left at the end, in the bundle's own orientation and not in the file's.
NOT_INVERTED = {
    "class numbers": [SOFTMAX, ARGMAX],
    "probabilities": [SOFTMAX],
    "logits": [],
    "one channel a class": [transform("AsDiscreted", keys="pred", argmax=True, to_onehot=3)],
}


@pytest.mark.parametrize("left", list(NOT_INVERTED))
def test_a_bundle_that_does_not_turn_back_is_turned_back_by_its_affine(
    left: str, tmp_path: Path
) -> None:
    series = stored(tmp_path / "series", phantom(STORAGES["oblique"]))
    written = config(
        postprocessing={"_target_": "Compose", "transforms": NOT_INVERTED[left]},
    )
    np.testing.assert_array_equal(marked(tmp_path, series, written), by_frame(series))


@pytest.mark.parametrize("postprocessing", [[SOFTMAX, INVERT, ARGMAX], [SOFTMAX], [ARGMAX]])
def test_on_voxels_of_its_own_it_differs_at_the_edges_alone(
    postprocessing: list[Config], tmp_path: Path
) -> None:
    series = stored(tmp_path / "series", phantom(STORAGES["sagittal"]))
    spacing = transform("Spacingd", keys="image", pixdim=[0.7, 0.8, 0.6], mode="bilinear")
    written = config(
        preprocessing={"_target_": "Compose", "transforms": [*LOAD, ORIENT, spacing, SCALE]},
        postprocessing={"_target_": "Compose", "transforms": postprocessing},
    )
    labels, expected = marked(tmp_path, series, written), by_frame(series)
    for number in range(3):
        core = ndimage.binary_erosion(expected == number, border_value=1)
        assert core.sum() > 5
        np.testing.assert_array_equal(labels[core], number)
