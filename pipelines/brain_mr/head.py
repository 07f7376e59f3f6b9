"""What the network is given: intensities 0 … 1 in conformed space, cut to the head or its cranium.

The network's time grows with the box. Face and neck are two fifths of a head, and leaving them
out changes no structure by 1 % (see card.md). Where the brain reaches out of the cranium's box,
which it does in no upright adult, the whole head is run.
"""

from dataclasses import dataclass

import numpy as np
import torch

from pipelines.brain_mr.plausible import MAX_AT_BORDER_CM2
from pipelines.conform import FOREGROUND, conform, foreground
from pipelines.resample import Grid
from pipelines.volume import Float32, Float64, Volume

MARGIN = 2  # voxels round the foreground
OUTLINE = 100  # mm below the vertex down to which the outline is that of the cranium
REACH = 190  # mm below the vertex to which the box goes; the brain-stem ends at some 160


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """Intensities 0 … 1 of a head on `grid`, axes left, inferior, anterior, voxels of 1 mm."""

    array: Float32
    grid: Grid

    def cut(self, low: list[int], high: list[int]) -> "Head":
        """Return the box from `low` up to `high`, and the margin as far as there is one."""
        start = [max(n - MARGIN, 0) for n in low]
        stop = [min(n + MARGIN, size) for n, size in zip(high, self.array.shape, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return Head(
            array=np.ascontiguousarray(self.array[box]),
            grid=self.grid.cropped((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])),
        )

    def cranium(self) -> "Head":
        """Return the part without face and neck."""
        low, high = foreground(self.array, FOREGROUND)
        vertex = low[1]
        upper, lower = foreground(self.array[:, : vertex + OUTLINE], FOREGROUND)
        bottom = min(vertex + REACH, high[1])
        return self.cut([upper[0], vertex, upper[2]], [lower[0], bottom, lower[2]])


def read_head(volume: Volume, directions: Float64 | None = None) -> Head:
    """Return the head in `volume`; `directions` as in `pipelines.conform.conform`."""
    shape = (volume.array.shape[0], volume.array.shape[1], volume.array.shape[2])
    array, grid = conform(volume.array, Grid(shape=shape, affine=volume.affine), directions)
    whole = Head(array=_scaled(array), grid=grid)
    return whole.cut(*foreground(whole.array, FOREGROUND))


def reaches_out(classes: torch.Tensor, part: Head, whole: Head) -> bool:
    """Return whether the brain goes on outside of `part`, which is cut out of `whole`.

    `classes` are the probabilities on `part`, background first.
    """
    offset = np.linalg.solve(whole.grid.affine, part.grid.affine)[:3, 3].round()
    for axis, size in enumerate(part.array.shape):
        faces = {0: offset[axis] > 0, size - 1: offset[axis] + size < whole.array.shape[axis]}
        for at, is_cut in faces.items():
            if is_cut and _brain_cm2(classes.select(axis + 1, at)) > MAX_AT_BORDER_CM2:
                return True
    return False


def _brain_cm2(face: torch.Tensor) -> float:
    return float((face.argmax(dim=0) > 0).sum()) / 100.0


def _scaled(array: Float32) -> Float32:
    """Return the intensities clipped at the 2nd and 98th percentile, then 0 … 1."""
    low, high = (float(value) for value in np.percentile(array, (2, 98)))
    if high <= low:
        return np.zeros_like(array)
    return (np.clip(array, low, high) - np.float32(low)) / np.float32(high - low)
