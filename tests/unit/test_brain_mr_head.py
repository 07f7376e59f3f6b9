"""The model's own space: 1 mm, left-inferior-anterior, whatever the source was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.brain_mr.head import REACH, Head, reaches_out, read_head
from pipelines.conform import LIA
from pipelines.resample import Grid
from pipelines.series import read_volume
from pipelines.volume import Volume, patient_axes
from tests.reformat import Storage, cropped, head_paths, restored


@pytest.fixture(scope="module")
def head() -> Volume:
    return read_volume(head_paths())


@pytest.fixture(scope="module")
def conformed(head: Volume) -> Head:
    return read_head(head)


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A part of the head, to write less: what is tested is where voxels go."""
    box = (slice(30, 140), slice(60, 140), slice(70, 160))
    return cropped(head_paths(), tmp_path_factory.mktemp("part"), box)


@pytest.fixture(scope="module")
def there(part: list[Path]) -> Head:
    return read_head(read_volume(part))


@pytest.mark.parametrize("storage", list(Storage))
def test_the_model_sees_the_same_voxels_however_the_head_is_stored(
    part: list[Path], there: Head, storage: Storage, tmp_path: Path
) -> None:
    here = read_head(read_volume(restored(part, tmp_path, storage)))
    assert np.array_equal(here.array, there.array)
    np.testing.assert_allclose(here.grid.affine, there.grid.affine, atol=1e-4)


def test_a_head_of_1_mm_is_not_interpolated(head: Volume, conformed: Head) -> None:
    index = np.linalg.solve(head.affine, conformed.grid.affine)
    np.testing.assert_allclose(index, np.round(index), atol=1e-4)


def test_the_axes_grow_to_the_left_the_feet_and_the_front(conformed: Head) -> None:
    cosines = conformed.grid.affine[:3, :3].T @ LIA
    assert np.diag(cosines).min() > 0.99


def test_intensities_lie_between_0_and_1(conformed: Head) -> None:
    assert (conformed.array.min(), conformed.array.max()) == (0.0, 1.0)


def test_a_source_of_other_voxels_is_resampled_to_1_mm_at_the_same_place(
    head: Volume, conformed: Head
) -> None:
    affine = head.affine.copy()
    affine[:3, 1] *= 2
    affine[:3, 3] += affine[:3, 1] * 0.25  # centres of pairs of rows
    pairs = (head.array[:, ::2] + head.array[:, 1::2]) / 2
    coarse = replace(head, array=pairs, affine=affine, spacing=(1.0, 2.0, 1.0))
    found = read_head(coarse)
    np.testing.assert_allclose(np.linalg.norm(found.grid.affine[:3, :3], axis=0), 1.0)
    offset = np.linalg.solve(conformed.grid.affine, found.grid.affine @ [80.0, 100.0, 100.0, 1.0])
    here = found.array[76:84, 96:104, 96:104].mean()
    a, b, c = (round(value) for value in offset[:3])
    there = conformed.array[a - 4 : a + 4, b - 4 : b + 4, c - 4 : c + 4].mean()
    assert here == pytest.approx(there, abs=0.03)


def test_a_long_field_of_view_keeps_the_top_of_the_head(head: Volume, conformed: Head) -> None:
    low = float(head.array.min())
    neck = np.full((170, 200, 256), low, dtype=np.float32)
    neck[40:130, :, 80:180] = 800
    long = replace(head, array=np.concatenate([head.array, neck], axis=1))
    top = conformed.grid.affine[:3, 3]
    np.testing.assert_allclose(read_head(long).grid.affine[2, 3], top[2], atol=3.0)


def test_each_array_axis_gets_a_patient_axis_of_its_own() -> None:
    turn = np.radians(44.0)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    assert patient_axes(affine) == (0, 1, 2)
    assert Grid(shape=(2, 2, 2), affine=affine).cropped((1, 0, 0), (2, 2, 2)).shape == (1, 2, 2)


def test_the_cranium_is_the_head_s_upper_part_without_face_and_neck(conformed: Head) -> None:
    part = conformed.cranium()
    offset = np.linalg.solve(conformed.grid.affine, part.grid.affine)[:3, 3]
    np.testing.assert_allclose(offset, np.round(offset), atol=1e-6)
    a, b, c = (int(n) for n in np.round(offset))
    i, j, k = part.array.shape
    assert np.array_equal(part.array, conformed.array[a : a + i, b : b + j, c : c + k])
    assert b == 0
    assert abs(j - REACH) <= 4
    assert part.array.size < 0.4 * 256**3
    # The brain of this head, by its reference labels: rows 29 to 171 of the conformed cube.
    lowest = part.grid.affine[:3, :3] @ [i / 2, j, k / 2] + part.grid.affine[:3, 3]
    vertex = part.grid.affine[:3, :3] @ [i / 2, 0, k / 2] + part.grid.affine[:3, 3]
    assert np.linalg.norm(lowest - vertex) > 171 - 14 + 15


def test_a_brain_that_goes_on_outside_of_the_part_is_seen(conformed: Head) -> None:
    part = conformed.cranium()
    classes = torch.zeros(3, *part.array.shape)
    classes[0] = 0.5
    assert not reaches_out(classes, part, conformed)
    classes[1, 40:60, 0, 40:60] = 1.0  # 4 cm2 at the vertex, where the head ends as well
    assert not reaches_out(classes, part, conformed)
    classes[2, 40:50, -1, 40:50] = 1.0  # 1 cm2: a brain-stem
    assert not reaches_out(classes, part, conformed)
    classes[1, 60:70, -1, 40:60] = 1.0  # 3 cm2
    assert reaches_out(classes, part, conformed)
    assert not reaches_out(torch.ones(3, *conformed.array.shape), conformed, conformed)
