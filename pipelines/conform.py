"""Conformed space, as FreeSurfer has it: 256³ voxels of 1 mm, axes left, inferior, anterior.

Networks for whole heads want it. In any other axis order they run without complaint and find
nothing useful.
"""

import numpy as np

from pipelines.resample import Grid, cubic, linear
from pipelines.volume import Float32, Float64, patient_axes

SIZE = 256
MAX_ANGLE = 15.0  # degrees off the patient's axes up to which the source's own axes are kept
MAX_OFF_MM = 0.03  # of 1 mm, up to which the source's voxels are taken as they are
FOREGROUND = 0.2  # of the greatest intensities
LIA = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])  # columns: L, I, A in LPS


def conform(
    array: Float32, source: Grid, directions: Float64 | None = None
) -> tuple[Float32, Grid]:
    """Return `array`, which lies on `source`, in conformed space, and where that is.

    A source of about 1 mm near the patient's axes is permuted and flipped only, so that nothing
    is interpolated; any other is resampled linearly. `directions` (columns: the unit vectors in
    LPS along which the three array axes grow) asks for a grid turned to them.
    """
    permuted, grid = _permuted(array, source)
    if directions is not None or not _keeps(source):
        permuted, grid = array, _one_millimetre(grid, LIA if directions is None else directions)
        # A head that is set upright was often interpolated before; blurring it once more would
        # make the model's structures grow by some per cent.
        permuted = (linear if directions is None else cubic)(array, source, grid)
    return _cube(permuted, grid)


def foreground(array: Float32, threshold: float) -> tuple[list[int], list[int]]:
    """Return the box of what is brighter than `threshold`; everything where nothing is."""
    bright = array > threshold
    low, high = [0, 0, 0], list(array.shape)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(bright.any(axis=others))
        if there.size:
            low[axis], high[axis] = int(there[0]), int(there[-1]) + 1
    return low, high


def _shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (shape[0], shape[1], shape[2])


def _keeps(source: Grid) -> bool:
    """Return whether the source's voxels can serve as they are."""
    spacing = np.linalg.norm(source.affine[:3, :3], axis=0)
    directions = source.affine[:3, :3] / spacing
    cosine = min(abs(directions[patient_axes(source.affine)[axis], axis]) for axis in range(3))
    return bool(
        np.degrees(np.arccos(min(cosine, 1.0))) <= MAX_ANGLE
        and np.abs(spacing - 1.0).max() <= MAX_OFF_MM
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


def _cube(array: Float32, grid: Grid) -> tuple[Float32, Grid]:
    """Return 256 voxels along each axis: padded with 0, or cut round the head.

    A longer field of view is cut so that the head's top stays: below it are neck and shoulders.
    """
    low, high = foreground(array, float(np.percentile(array, 98)) * FOREGROUND)
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
