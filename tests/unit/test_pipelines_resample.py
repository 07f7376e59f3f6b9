"""Grids, and class probabilities back on a source's own voxels."""

import numpy as np
import pytest
import torch

from pipelines.resample import Grid, cubic, linear, most_likely, nearest


def grid(shape: tuple[int, int, int], offset: float = 0.0) -> Grid:
    affine = np.eye(4)
    affine[:3, 3] = offset
    return Grid(shape=shape, affine=affine)


def probabilities(labels: np.ndarray, classes: int) -> torch.Tensor:
    return (
        torch.nn.functional.one_hot(torch.from_numpy(labels).long(), classes)
        .permute(3, 0, 1, 2)
        .float()
    )


def test_linear_resampling_is_exact_on_a_ramp() -> None:
    ramp = np.mgrid[:8, :9, :10].sum(axis=0).astype(np.float32)
    found = linear(ramp, grid((8, 9, 10)), grid((6, 6, 6), offset=0.25))
    np.testing.assert_allclose(found, np.mgrid[:6, :6, :6].sum(axis=0) + 0.75, atol=1e-4)


@pytest.mark.parametrize("resample", [linear, cubic])
def test_a_volume_that_must_not_be_written_is_resampled_without_a_warning(resample) -> None:
    array = np.ones((4, 4, 4), dtype=np.float32)
    array.setflags(write=False)
    assert resample(array, grid((4, 4, 4)), grid((4, 4, 4))).min() == pytest.approx(1.0)


@pytest.mark.parametrize("resample", [linear, cubic])
def test_outside_of_the_source_is_nothing(resample) -> None:
    array = np.ones((4, 4, 4), dtype=np.float32)
    found = resample(array, grid((4, 4, 4)), grid((4, 4, 4), offset=100.0))
    assert found.max() == 0.0


def test_cubic_resampling_returns_the_values_at_the_voxels() -> None:
    array = np.random.default_rng(1).random((12, 12, 12), dtype=np.float32)
    turned = Grid(shape=(12, 12, 12), affine=np.diag([1.0, 1.0, 1.0, 1.0])[[2, 0, 1, 3]])
    found = cubic(array, grid((12, 12, 12)), turned)
    np.testing.assert_allclose(found, array.transpose(1, 2, 0), atol=1e-3)


def test_labels_come_back_exactly_where_voxels_are_permuted_and_flipped() -> None:
    labels = np.random.default_rng(1).integers(0, 5, (6, 7, 8), dtype=np.uint8)
    affine = np.zeros((4, 4))
    affine[0, 1], affine[1, 2], affine[2, 0], affine[3, 3] = -1.0, 1.0, 1.0, 1.0
    affine[0, 3] = 5.0
    target = Grid(shape=(8, 6, 7), affine=affine)
    found = most_likely(probabilities(labels, 5), grid((6, 7, 8)), target)
    np.testing.assert_array_equal(found, labels[::-1].transpose(2, 0, 1))


def test_class_numbers_come_back_exactly_too_whatever_was_rounded() -> None:
    """An affine that went through a NIfTI file is one of 32 bits."""
    labels = np.random.default_rng(1).integers(1, 5, (6, 7, 8), dtype=np.uint8)
    affine = np.zeros((4, 4))
    affine[0, 1], affine[1, 2], affine[2, 0], affine[3, 3] = -1.0, 1.0, 1.0, 1.0
    affine[:3, 3] = (5.0 + 1e-5, -1e-5, 1e-5)
    found = nearest(labels, grid((6, 7, 8)), Grid(shape=(8, 6, 7), affine=affine))
    np.testing.assert_array_equal(found, labels[::-1].transpose(2, 0, 1))


def test_class_numbers_on_another_grid_are_those_of_the_nearest_voxel() -> None:
    labels = np.arange(1, 9, dtype=np.uint8).reshape(2, 2, 2)
    fine = Grid(shape=(6, 2, 2), affine=np.diag([0.5, 1.0, 1.0, 1.0]))
    found = nearest(labels, grid((2, 2, 2)), fine)
    np.testing.assert_array_equal(found[0], labels[0])
    np.testing.assert_array_equal(found[2], labels[1])
    assert (found[3:] == 0).all()  # outside
    assert set(np.unique(found[1])) <= set(labels.ravel())


def test_what_the_model_did_not_see_is_background() -> None:
    labels = np.full((4, 4, 4), 3, dtype=np.uint8)
    for offset in (-2.0, -2.4):
        found = most_likely(probabilities(labels, 4), grid((4, 4, 4)), grid((8, 8, 8), offset))
        assert set(np.unique(found)) == {0, 3}
        assert found[0].max() == 0
        assert found[4, 4, 4] == 3


def test_probabilities_are_interpolated_before_the_maximum_is_taken() -> None:
    sharp = torch.zeros((3, 2, 2, 2))
    sharp[1, 0], sharp[0, 0] = 0.6, 0.4  # on one plane class 1 wins narrowly
    sharp[2, 1], sharp[0, 1] = 0.55, 0.45  # on the other class 2
    between = Grid(shape=(1, 2, 2), affine=grid((1, 2, 2)).affine.copy())
    between.affine[0, 3] = 0.5
    found = most_likely(sharp, grid((2, 2, 2)), between)
    assert found.max() == 0  # between them background has most, which no label could tell
