"""A chest whose lungs are known: two ellipsoids, a windpipe that forks, a table, bowel gas.

    chest = phantom(touching=True)
    paths = stored(chest, tmp_path, FEET_FIRST_PRONE)
    chest.truth                      # 1 the right lung, 2 the left one

Axes are the patient's: feet to head, front to back, right to left; places in mm from the middle
between the lungs. Lungs hold LIGHT_HU in every fifth voxel and else DENSE_HU, so that LAA-950,
Perc15 and the mean are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.volume import FrameRef, Volume
from tests.builders import ct_slices, write_all

LIGHT_HU, DENSE_HU = -970, -860
TISSUE_HU, AIR_HU, FOAM_HU, TABLE_HU = 40, -1000, -880, 300
LAA_950 = 20.0
MEAN_HU = 0.2 * LIGHT_HU + 0.8 * DENSE_HU
LOW, HIGH = (-150.0, -135.0, -180.0), (170.0, 155.0, 180.0)  # of the image
RIGHT_AXES, LEFT_AXES = (115.0, 88.0, 66.0), (105.0, 82.0, 58.0)
DEMANDED: Mapping[str, Any] = {
    "Manufacturer": "SIEMENS",
    "ConvolutionKernel": "B31f",
    "SeriesDescription": "Thorax nativ 1.5 B31f",
    "SliceThickness": 1.5,
}
"""What a series says on which densities are measured."""

# Direction cosines of rows and columns, and whether the first slice is the one at the head.
SUPINE = ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), False)
HEAD_FIRST_IN_FILE = ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), True)
FEET_FIRST_PRONE = ((1.0, 0.0, 0.0, 0.0, -1.0, 0.0), True)
PRONE = ((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), False)
MIRRORED = ((-1.0, 0.0, 0.0, 0.0, 1.0, 0.0), False)
CORONAL = ((1.0, 0.0, 0.0, 0.0, 0.0, -1.0), False)
SAGITTAL = ((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), False)

Labels = NDArray[np.uint8]
Points = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chest:
    """HU and the true lungs on the same voxels; `airways` is the air of windpipe and bronchi."""

    hu: NDArray[np.int16]
    truth: Labels
    airways: NDArray[np.bool_]
    spacing: tuple[float, float, float]

    @property
    def voxel_ml(self) -> float:
        """Return one voxel's volume."""
        return float(np.prod(self.spacing)) / 1000.0

    def affine(self) -> NDArray[np.float64]:
        """Return the matrix from (slice, row, column) to LPS."""
        affine = np.zeros((4, 4))
        for axis, patient in enumerate((2, 1, 0)):
            affine[patient, axis] = self.spacing[axis]
        affine[:3, 3] = LOW[::-1]
        affine[3, 3] = 1.0
        return affine

    def volume(self, **attributes: Any) -> Volume:
        """Return it as a pipeline sees it, with DEMANDED attributes and the given ones."""
        values = {**DEMANDED, "Modality": "CT", "PatientAge": "061Y", **attributes}
        return Volume(
            array=self.hu.astype(np.float32),
            affine=self.affine(),
            spacing=self.spacing,
            frames=tuple(
                FrameRef(
                    sop_instance_uid=f"2.25.{number + 1}",
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                    frame_number=None,
                    path_index=number,
                )
                for number in range(self.hu.shape[0])
            ),
            series_instance_uid="2.25.1000",
            frame_of_reference_uid="2.25.1001",
            modality=str(values["Modality"]),
            attributes={
                keyword: (float(value) if isinstance(value, int) else value,)
                for keyword, value in values.items()
                if value is not None
            },
        )


@cache
def phantom(
    *,
    spacing: tuple[float, float, float] = (1.5, 2.0, 2.0),
    touching: bool = False,
    sides: str = "both",
    noise_hu: float = 0.0,
    light: int = 5,
    light_hu: int = LIGHT_HU,
) -> Chest:
    """Return the chest; every `light`-th voxel of a lung has `light_hu`.

    `touching`: the lungs meet in front of the windpipe. `sides`: "both", "right" or "left".
    """
    points = _points(spacing)
    truth = _lungs(points, touching, sides)
    airways, walls = _airways(points)
    hu = np.full(truth.shape, AIR_HU, dtype=np.int16)
    z, y, x = points
    hu[(x / 170) ** 4 + (y / 118) ** 4 <= 1 + 0 * z] = TISSUE_HU
    _put_table(hu, points)
    truth[walls | airways] = 0
    counts = np.add.outer(
        np.add.outer(np.arange(truth.shape[0]) * 3, np.arange(truth.shape[1]) * 2),
        np.arange(truth.shape[2]),
    )
    hu[truth > 0] = np.where(counts % light == 0, light_hu, DENSE_HU)[truth > 0]
    hu[airways | _ball(points, (-138.0, -30.0, 70.0), 11.0)] = AIR_HU
    if noise_hu:
        noise = np.random.default_rng(1).normal(0.0, noise_hu, hu.shape)
        hu = np.maximum(hu + noise, -1024).astype(np.int16)
    for array in (hu, truth, airways):
        array.flags.writeable = False  # the next caller gets the same
    return Chest(hu=hu, truth=truth, airways=airways, spacing=spacing)


def with_ball(
    chest: Chest, centre: tuple[float, float, float], radius: float, hu: int = AIR_HU
) -> Chest:
    """Return the chest with a ball of `hu` (by default gas) at `centre` (z, y, x)."""
    array = chest.hu.copy()
    array[_ball(_points(chest.spacing), centre, radius)] = hu
    return replace(chest, hu=array)


def with_vessel(chest: Chest, radius: float) -> Chest:
    """Return the chest with a vessel that runs from the middle into the right lung."""
    z, y, x = _points(chest.spacing)
    array = chest.hu.copy()
    array[((z - 20.0) ** 2 + (y + 40.0) ** 2 <= radius**2) & (x >= -110) & (x <= 0)] = TISSUE_HU
    return replace(chest, hu=array)


def with_cushion(chest: Chest) -> Chest:
    """Return the chest with foam in the table's left side alone."""
    array = chest.hu.copy()
    array[(array == FOAM_HU) & (_points(chest.spacing)[2] < 90.0)] = TABLE_HU
    return replace(chest, hu=array)


def cropped(chest: Chest, **sides: slice) -> Chest:
    """Return a part: `z`, `y`, `x` are slices of voxels. Places are the whole chest's no more."""
    part = tuple(sides.get(name, slice(None)) for name in "zyx")
    return replace(chest, hu=chest.hu[part], truth=chest.truth[part], airways=chest.airways[part])


def stored(
    chest: Chest,
    folder: Path,
    storage: tuple[tuple[float, ...], bool] = SUPINE,
    **attributes: Any,
) -> list[Path]:
    """Write the chest as a CT series whose headers say where its voxels are."""
    cosines, head_first = storage
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    normal = np.cross(row, column)
    order = [2 - int(np.argmax(np.abs(way))) for way in (normal, column, row)]
    ways = [float(way[np.argmax(np.abs(way))]) for way in (normal, column, row)]
    array = chest.hu.transpose(order)
    array = array[tuple(slice(None, None, int(way)) for way in ways)]
    spacing = [chest.spacing[axis] for axis in order]
    sizes = [(chest.hu.shape[axis] - 1) * chest.spacing[axis] for axis in order]
    origin = np.array(LOW[::-1])
    for way, size, vector in zip(ways, sizes, (normal, column, row), strict=True):
        if way < 0:
            origin = origin - vector * size
    datasets = ct_slices(
        pixels=(array.astype(np.int32) + 1024).astype(np.uint16),
        spacing=(spacing[1], spacing[2]),
        gap=spacing[0],
        origin=tuple(origin),
        orientation=cosines,
        **{**DEMANDED, **attributes},
    )
    return write_all(datasets[::-1] if head_first else datasets, folder)


def _points(spacing: tuple[float, float, float]) -> Points:
    z, y, x = np.ogrid[
        tuple(slice(low, high, step) for low, high, step in zip(LOW, HIGH, spacing, strict=True))
    ]
    return (z, y, x)


def _ball(points: Points, centre: tuple[float, float, float], radius: float) -> Any:
    return sum((p - c) ** 2 for p, c in zip(points, centre, strict=True)) <= radius**2


def _lungs(points: Points, touching: bool, sides: str) -> Labels:
    z, y, x = points
    apart = 0.0 if touching else 14.0
    truth = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), dtype=np.uint8)
    for number, name, (a, b, c), way in (
        (1, "right", RIGHT_AXES, -1.0),
        (2, "left", LEFT_AXES, 1.0),
    ):
        middle = way * (c - 2.0 + apart)
        inside = (z / a) ** 2 + ((y + 10.0) / b) ** 2 + ((x - middle) / c) ** 2 <= 1
        if sides in ("both", name):
            truth[inside & (truth == 0)] = number
    return truth


def _airways(points: Points) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the air of windpipe and main bronchi, and their walls."""
    z, y, x = points
    shape = np.broadcast_shapes(z.shape, y.shape, x.shape)
    air, wall = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    across = x**2 + (y - 36.0) ** 2 + 0 * z
    above = z >= 30.0
    air |= (across <= 9.0**2) & above
    wall |= (across <= 11.0**2) & above
    for way in (-1.0, 1.0):
        along = np.array([-1.0, -0.1, way]) / np.sqrt(2.01)
        offsets = np.broadcast_arrays(z - 32.0, y - 36.0, x)
        t = sum(o * u for o, u in zip(offsets, along, strict=True))
        off = sum((o - t * u) ** 2 for o, u in zip(offsets, along, strict=True))
        reached = (t >= 0) & (t <= 48.0)
        air |= (off <= 6.0**2) & reached
        wall |= (off <= 8.0**2) & reached
    return air, wall


def _put_table(hu: NDArray[np.int16], points: Points) -> None:
    """Lay the body on a table: a shell with foam inside, closed in each slice."""
    _, y, x = points
    within = (np.abs(x) <= 150) & (y >= 117) & (y <= 148)
    shell = within & ((np.abs(x) >= 147) | (y <= 120) | (y >= 145))
    air = hu == AIR_HU
    hu[air & within] = FOAM_HU
    hu[air & shell] = TABLE_HU
