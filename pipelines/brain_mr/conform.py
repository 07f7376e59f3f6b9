"""The model's own space: 256 x 256 x 256 voxels of 1 mm, axes left, inferior, anterior.

In any other axis order the model runs without complaint and finds nothing useful.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.resample import Grid, cubic, linear
from pipelines.volume import Float32, Float64, Volume, patient_axes

SIZE = 256
MAX_ANGLE = 15.0  # degrees off the patient's axes up to which the source's own axes are kept
MAX_OFF_MM = 0.03  # of 1 mm, up to which the source's voxels are taken as they are
FOREGROUND = 0.2
MARGIN = 2  # voxels round the foreground
LIA = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])  # columns: L, I, A in LPS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conformed:
    """A head as the model wants it: intensities 0 … 1 on `grid`, cropped to what is not air."""

    array: Float32
    grid: Grid


def conform(volume: Volume, directions: Float64 | None = None) -> Conformed:
    """Return `volume` in the model's space.

    A source of about 1 mm near the patient's axes is permuted and flipped only, so that nothing
    is interpolated; any other is resampled linearly. `directions` (columns: the unit vectors in
    LPS along which the three array axes grow) asks for a grid turned to them.
    """
    source = Grid(shape=_shape(volume.array.shape), affine=volume.affine)
    permuted, grid = _permuted(volume.array, source)
    if directions is None and _keeps(volume):
        array = permuted
    else:
        grid = _one_millimetre(grid, LIA if directions is None else directions)
        # A head that is set upright was often interpolated before; blurring it once more would
        # make the model's structures grow by some per cent.
        array = (linear if directions is None else cubic)(volume.array, source, grid)
    array, grid = _window(array, grid)
    return _cropped(_scaled(array), grid)


def _shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (shape[0], shape[1], shape[2])


def _keeps(volume: Volume) -> bool:
    """Return whether the source's voxels can serve as they are."""
    directions = volume.affine[:3, :3] / np.array(volume.spacing)
    cosine = min(abs(directions[patient_axes(volume.affine)[axis], axis]) for axis in range(3))
    return bool(
        np.degrees(np.arccos(min(cosine, 1.0))) <= MAX_ANGLE
        and np.abs(np.array(volume.spacing) - 1.0).max() <= MAX_OFF_MM
    )


def _permuted(array: Float32, source: Grid) -> tuple[Float32, Grid]:
    """Return a view with the axes nearest to left, inferior, anterior, and where it lies."""
    axes = patient_axes(source.affine)
    order = [axes.index(patient) for patient in (0, 2, 1)]
    affine = source.affine.copy()
    affine[:, :3] = source.affine[:, order]
    view = array.transpose(order)
    for axis in range(3):
        if affine[:3, axis] @ LIA[:, axis] < 0:
            affine[:3, 3] += affine[:3, axis] * (view.shape[axis] - 1)
            affine[:3, axis] *= -1
            view = np.flip(view, axis)
    return view, Grid(shape=_shape(view.shape), affine=affine)


def _one_millimetre(grid: Grid, directions: Float64) -> Grid:
    """Return the 1 mm grid with the given directions round the same field of view."""
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)], dtype=float)
    corners[:, :3] = corners[:, :3] * np.array(grid.shape) - 0.5
    along = (grid.affine @ corners.T)[:3].T @ directions
    shape = tuple(int(n) for n in np.ceil(along.max(axis=0) - along.min(axis=0)))
    affine = np.eye(4)
    affine[:3, :3] = directions
    centre = (along.max(axis=0) + along.min(axis=0)) / 2
    affine[:3, 3] = directions @ (centre - (np.array(shape) - 1) / 2)
    return Grid(shape=_shape(shape), affine=affine)


def _window(array: Float32, grid: Grid) -> tuple[Float32, Grid]:
    """Return 256 voxels along each axis: padded with 0, or cut round the head.

    A longer field of view is cut so that the head's top stays: below it are neck and shoulders.
    """
    low, high = _foreground(array, float(np.percentile(array, 98)) * FOREGROUND)
    out = np.zeros((SIZE, SIZE, SIZE), dtype=np.float32)
    start = [-((SIZE - n) // 2) for n in array.shape]
    for axis, n in enumerate(array.shape):
        if n > SIZE:
            middle = (low[axis] + high[axis]) // 2 - SIZE // 2
            wanted = low[axis] - 8 if axis == 1 else middle
            start[axis] = min(max(wanted, 0), n - SIZE)
    inside = [(max(s, 0), min(s + SIZE, n)) for s, n in zip(start, array.shape, strict=True)]
    into = tuple(slice(a - s, b - s) for (a, b), s in zip(inside, start, strict=True))
    out[into] = array[tuple(slice(a, b) for a, b in inside)]
    stop = (start[0] + SIZE, start[1] + SIZE, start[2] + SIZE)
    return out, grid.cropped((start[0], start[1], start[2]), stop)


def _scaled(array: Float32) -> Float32:
    """Return the intensities clipped at the 2nd and 98th percentile, then 0 … 1."""
    low, high = (float(value) for value in np.percentile(array, (2, 98)))
    if high <= low:
        return np.zeros_like(array)
    return (np.clip(array, low, high) - np.float32(low)) / np.float32(high - low)


def _cropped(array: Float32, grid: Grid) -> Conformed:
    low, high = _foreground(array, FOREGROUND)
    start = tuple(max(n - MARGIN, 0) for n in low)
    stop = tuple(min(n + MARGIN, SIZE) for n in high)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    return Conformed(
        array=np.ascontiguousarray(array[box]), grid=grid.cropped(_shape(start), _shape(stop))
    )


def _foreground(array: Float32, threshold: float) -> tuple[list[int], list[int]]:
    """Return the box of what is brighter than `threshold`; everything where nothing is."""
    bright = array > threshold
    low, high = [0, 0, 0], list(array.shape)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(bright.any(axis=others))
        if there.size:
            low[axis], high[axis] = int(there[0]), int(there[-1]) + 1
    return low, high
