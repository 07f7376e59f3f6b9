"""Left and right on the reference label map, moved about as heads are."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from appliance.core.model import Side
from pipelines.brain_mr.sides import Plane, fit_plane, split
from pipelines.findings import Part

REFERENCE = (
    Path(__file__).resolve().parents[1]
    / "data/meshnet-18-brain-mr/reference_labels_mr-t1-mprage-head.nii.gz"
)
MIDLINE = (11, 12, 13)
PAIRED = tuple(label for label in range(1, 18) if label not in MIDLINE)
Volumes = dict[Part, int]


MARGIN = 25  # voxels round the brain, so that it stays inside when it is turned


@pytest.fixture(scope="module")
def reference() -> tuple[np.ndarray, np.ndarray]:
    """The reference labels round the brain, and their affine to LPS mm."""
    image = nibabel.load(REFERENCE)
    labels = np.pad(np.asarray(image.dataobj).astype(np.uint8), MARGIN)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(image.affine)
    box = ndimage.find_objects((labels > 0).astype(np.uint8))[0]
    start = np.array([part.start - MARGIN for part in box])
    around = tuple(slice(part.start - MARGIN, part.stop + MARGIN) for part in box)
    affine[:3, 3] += affine[:3, :3] @ (start - MARGIN)
    return np.ascontiguousarray(labels[around]), affine


@pytest.fixture(scope="module")
def labels(reference: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return reference[0]


@pytest.fixture(scope="module")
def affine(reference: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return reference[1]


def measure(labels: np.ndarray, affine: np.ndarray) -> tuple[Plane, Volumes]:
    plane = fit_plane(labels, affine, PAIRED, MIDLINE)
    assert plane is not None
    parts = split(labels, affine, plane, PAIRED, MIDLINE)
    return plane, {part: int(mask.sum()) for part, mask in parts.items()}


@pytest.fixture(scope="module")
def straight(labels: np.ndarray, affine: np.ndarray) -> Volumes:
    return measure(labels, affine)[1]


def turned(labels: np.ndarray, degrees: tuple[float, float, float]) -> np.ndarray:
    """Rotate about the label map's axes (left: pitch, inferior: yaw, anterior: roll)."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [other for other in range(3) if other != axis]
        one = np.eye(3)
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ one
    centre = np.array(ndimage.center_of_mass(labels > 0))
    return ndimage.affine_transform(labels, rotation, centre - rotation @ centre, order=0)


def assert_same_volumes(found: Volumes, expected: Volumes, within: float) -> None:
    assert found.keys() == expected.keys()
    for part, count in expected.items():
        assert found[part] == pytest.approx(count, rel=within), part


@pytest.mark.parametrize(
    "degrees",
    [(15, 0, 0), (-15, 0, 0), (0, 15, 0), (0, -15, 0), (0, 0, 15), (0, 0, -15), (0, 10, -10)],
    ids=["pitch", "pitch back", "yaw", "yaw back", "roll", "roll back", "yaw and roll"],
)
def test_each_side_keeps_its_volume_when_the_head_is_turned(
    labels: np.ndarray,
    affine: np.ndarray,
    straight: Volumes,
    degrees: tuple[float, float, float],
) -> None:
    plane, found = measure(turned(labels, degrees), affine)
    assert plane.trusted
    assert_same_volumes(found, straight, within=0.03)


def test_each_side_keeps_its_volume_when_the_head_is_shifted(
    labels: np.ndarray, affine: np.ndarray, straight: Volumes
) -> None:
    shifted = affine.copy()
    shifted[:3, 3] += [20.0, -20.0, 20.0]
    assert_same_volumes(measure(labels, shifted)[1], straight, within=0.0001)


def test_a_mirrored_head_swaps_the_sides(
    labels: np.ndarray, affine: np.ndarray, straight: Volumes
) -> None:
    other = {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}
    swapped = {
        Part(label=part.label, side=other[part.side] if part.side else None): count
        for part, count in straight.items()
    }
    found = measure(np.ascontiguousarray(labels[::-1]), affine)[1]
    assert_same_volumes(found, swapped, within=0.03)
    assert found[Part(label=16, side=Side.LEFT)] != pytest.approx(
        straight[Part(label=16, side=Side.LEFT)], rel=0.1
    )


def test_left_is_the_patients_left(labels: np.ndarray, affine: np.ndarray) -> None:
    plane = fit_plane(labels, affine, PAIRED, MIDLINE)
    assert plane is not None
    left = split(labels, affine, plane, PAIRED, MIDLINE)[Part(label=14, side=Side.LEFT)]
    middle = affine @ [*ndimage.center_of_mass(left), 1.0]
    assert middle[0] > plane.point[0] + 15  # LPS: x grows to the left


def test_midline_structures_carry_no_side(straight: Volumes) -> None:
    for label in MIDLINE:
        assert [part.side for part in straight if part.label == label] == [None]


def test_sides_add_up_to_the_whole(labels: np.ndarray, straight: Volumes) -> None:
    for label in range(1, 18):
        parts = [count for part, count in straight.items() if part.label == label]
        assert sum(parts) == int((labels == label).sum())


def test_a_fit_that_is_off_by_more_than_2_mm_gives_nothing_a_side(
    labels: np.ndarray, affine: np.ndarray
) -> None:
    bent = labels.copy()
    for label, shift in ((14, 12), (15, -12), (8, 10), (9, -10), (7, 9), (13, 14), (12, -14)):
        bent[labels == label] = 0
        bent[np.roll(labels == label, shift, axis=0)] = label
    plane, found = measure(bent, affine)
    assert plane.residual_mm > 2.0
    assert {part.side for part in found} == {None}


def test_half_a_head_gives_nothing_a_side(labels: np.ndarray, affine: np.ndarray) -> None:
    half = labels.copy()
    half[: half.shape[0] // 2] = 0
    plane, found = measure(half, affine)
    assert not plane.trusted
    assert {part.side for part in found} == {None}


def test_without_labels_there_is_no_plane(affine: np.ndarray) -> None:
    assert fit_plane(np.zeros((8, 8, 8), dtype=np.uint8), affine, PAIRED, MIDLINE) is None
