"""Arrays with a frame: a volume read from a series, and a label map on the same voxels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.core.model import Attributes

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRef:
    """Where one slice of a volume came from."""

    sop_instance_uid: str
    sop_class_uid: str
    frame_number: int | None  # from 1 in a multi-frame object; None in a single-frame one
    path_index: int  # index of its file in the paths given to `read_volume`


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """One regular stack of slices in rescaled units (Hounsfield units for CT).

    `array` has the shape (slices, rows, columns). `affine` maps (slice, row, column, 1) to
    LPS mm: x grows to the patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1).
    `spacing` is in mm in the array's axis order. `frames` has one entry a slice.
    """

    array: Float32
    affine: Float64
    spacing: tuple[float, float, float]
    frames: tuple[FrameRef, ...]
    series_instance_uid: str
    frame_of_reference_uid: str | None
    modality: str
    attributes: Attributes

    @property
    def voxel_ml(self) -> float:
        """Return the volume of one voxel in mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Return the field of view along the patient's left-right, front-back and foot-head."""
        sizes = np.array(self.array.shape) * np.array(self.spacing)
        axes = patient_axes(self.affine)
        return tuple(float(sizes[axes.index(patient)]) for patient in range(3))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelMap:
    """Segment numbers on the voxels of the input volume `input_name`; 0 is background."""

    array: Labels
    input_name: str


def patient_axes(affine: Float64) -> tuple[int, int, int]:
    """Return for each array axis the patient axis nearest to it (0 L-R, 1 A-P, 2 F-H).

    A permutation: of all assignments, the one whose cosines add up to the most.
    """
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    orders = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    return max(orders, key=lambda order: sum(cosines[order[axis], axis] for axis in range(3)))
