"""Every format of a network marks the right voxels, however the volume is stored."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from pipelines.volume import Volume, patient_axes
from tests.builders import set_pixels
from tests.networks import Format, content, looking, nearest, pipeline_folder
from tests.phantoms import (
    STORAGES,
    labels_at,
    slices,
    stored,
    stored_enhanced,
    truth,
    volume_labels,
)
from tests.runs import loaded
from tests.volumes import given

STEPS = """
    preprocess:
      - Orientation: {axcodes: RAS}
      - ScaleIntensityRange: {a_min: 100, a_max: 1100}
"""
SIGNED = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "S": (2, 1), "I": (2, -1)}


def phantom(orientation: tuple[float, ...]) -> list[Dataset]:
    """Background 100, box 600, ball 1100."""
    datasets = slices(orientation)
    for dataset in datasets:
        set_pixels(dataset, 100 + 500 * truth(dataset).astype(np.uint16))
    return datasets


@pytest.fixture(scope="module")
def files() -> dict[tuple[str, Format], bytes]:
    networks = {"here": nearest(), "further": looking(0, 1)}
    return {(name, kind): content(net, kind) for name, net in networks.items() for kind in Format}


def middle(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)


def labels(folder: Path, volume: Volume) -> np.ndarray:
    output = loaded(folder).infer(given({"t1": volume}))
    assert output.label_map is not None
    return output.label_map.array


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("storage", STORAGES)
def test_each_voxel_is_marked_where_it_is(
    kind: Format, storage: str, tmp_path: Path, files: dict[tuple[str, Format], bytes]
) -> None:
    series = stored(tmp_path / "series", phantom(STORAGES[storage]))
    folder = pipeline_folder(tmp_path / "p", files["here", kind], kind, keys=STEPS)
    found = labels(folder, series.volume)
    assert np.array_equal(found, volume_labels(series.volume))
    assert set(np.unique(found)) == {0, 1, 2}


@pytest.mark.parametrize("kind", list(Format))
def test_reversed_slices_and_a_multi_frame_object_are_marked_where_they_are(
    kind: Format, tmp_path: Path, files: dict[tuple[str, Format], bytes]
) -> None:
    datasets = phantom(STORAGES["oblique"])
    folder = pipeline_folder(tmp_path / "p", files["here", kind], kind, keys=STEPS)
    for series in (
        stored(tmp_path / "reversed", datasets[::-1]),
        stored_enhanced(tmp_path / "enhanced", datasets[::-1]),
    ):
        assert np.array_equal(labels(folder, series.volume), volume_labels(series.volume))


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LIA", "ASR"])
@pytest.mark.parametrize("storage", STORAGES)
def test_a_network_that_looks_to_a_side_looks_to_the_patient_s_side(
    axcodes: str, storage: str, tmp_path: Path, files: dict[tuple[str, Format], bytes]
) -> None:
    series = stored(tmp_path / "series", phantom(STORAGES[storage]))
    folder = pipeline_folder(
        tmp_path / "p",
        files["further", Format.ONNX],
        Format.ONNX,
        keys=STEPS.replace("RAS", axcodes),
    )
    volume = series.volume
    patient, sign = SIGNED[axcodes[0]]
    column = volume.affine[:3, patient_axes(volume.affine).index(patient)]
    further = column * np.sign(column[patient]) * sign
    indices = np.moveaxis(np.indices(volume.array.shape), 0, -1)
    points = indices @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert np.array_equal(labels(folder, volume), labels_at(points + further))


@pytest.mark.parametrize("storage", ["axial", "sagittal", "oblique"])
def test_a_network_that_wants_other_voxels_marks_the_same_places(
    storage: str, tmp_path: Path, files: dict[tuple[str, Format], bytes]
) -> None:
    series = stored(tmp_path / "series", phantom(STORAGES[storage]))
    steps = """
    preprocess:
      - Orientation: {axcodes: LIA}
      - Spacing: {pixdim: 0.5}
      - ScaleIntensityRange: {a_min: 100, a_max: 1100, clip: true}
      - CropForeground: {threshold: 0.2, margin: 3, allow_smaller: true}
      - DivisiblePad: {k: 8}
    """
    folder = pipeline_folder(tmp_path / "p", files["here", Format.ONNX], Format.ONNX, keys=steps)
    found, wanted = labels(folder, series.volume), volume_labels(series.volume)
    ball = wanted == 2
    assert (found[ball] == 2).mean() > 0.9  # the box lies half way: its rim looks like the ball's
    np.testing.assert_allclose(middle(found == 2), middle(ball), atol=0.15)
    np.testing.assert_allclose(middle(found > 0), middle(wanted > 0), atol=0.3)
    assert (found > 0).sum() == pytest.approx((wanted > 0).sum(), rel=0.25)
