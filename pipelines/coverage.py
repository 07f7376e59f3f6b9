"""Is the whole of what an input declares in the field of view? If not, why not. Pure."""

import numpy as np
import scipy  # which imports `ndimage` when it is used: few pipelines ask

from pipelines.inputs import Coverage, PatientDirection
from pipelines.volume import Float32, Volume, patient_axes

# A body that ends inside the image ends in a tip: a millimetre below the top of a head the
# section is some 6 cm2. Sections larger than this mean that the body goes on outside.
MAX_CUT_CM2 = 15.0
_BODY = 0.2  # of the way from the 2nd to the 98th percentile

_DIRECTIONS = {
    PatientDirection.LEFT: (0, 1),
    PatientDirection.RIGHT: (0, -1),
    PatientDirection.POSTERIOR: (1, 1),
    PatientDirection.ANTERIOR: (1, -1),
    PatientDirection.HEAD: (2, 1),
    PatientDirection.FEET: (2, -1),
}


def shortcomings(volume: Volume, coverage: Coverage) -> tuple[str, ...]:
    """Return every reason why `volume` does not show enough; none where it does."""
    reasons = [*_too_small(volume, coverage), *_too_coarse(volume, coverage)]
    if not reasons:
        reasons = [
            f"the body is cut off on the {direction} side: the section in the outermost image "
            f"layer is {area:.0f} cm2, where a body that ends inside has less than "
            f"{MAX_CUT_CM2:.0f} cm2"
            for direction in coverage.not_cut
            if (area := outermost_section_cm2(volume, direction)) > MAX_CUT_CM2
        ]
    return tuple(reasons)


def _too_small(volume: Volume, coverage: Coverage) -> list[str]:
    needed = (coverage.left_right, coverage.anterior_posterior, coverage.head_feet)
    names = ("left to right", "front to back", "head to feet")
    return [
        f"the field of view is {found:.0f} mm from {name}; at least {least:.0f} mm are needed"
        for found, least, name in zip(volume.extent_mm, needed, names, strict=True)
        if found < least
    ]


def _too_coarse(volume: Volume, coverage: Coverage) -> list[str]:
    widest = max(volume.spacing)
    if coverage.max_spacing is None or widest <= coverage.max_spacing:
        return []
    sizes = " x ".join(f"{size:.2f}" for size in volume.spacing)
    return [f"the voxels are {sizes} mm; at most {coverage.max_spacing:g} mm each are allowed"]


def outermost_section_cm2(volume: Volume, direction: PatientDirection) -> float:
    """Return the area of the largest connected bright part in the outermost layer of voxels.

    Layers of one value (padding, masked air) don't count as image.
    """
    patient, sign = _DIRECTIONS[direction]
    axis = patient_axes(volume.affine).index(patient)
    outward = volume.affine[patient, axis] * sign > 0
    layers = np.moveaxis(volume.array, axis, 0)
    layer = _first_with_content(layers[::-1] if outward else layers)
    low, high = np.percentile(volume.array[::2, ::2, ::2], (2, 98))
    bright = scipy.ndimage.binary_opening(layer > low + _BODY * (high - low))
    labels, count = scipy.ndimage.label(bright)
    if count == 0:
        return 0.0
    pixels = int(np.bincount(labels.ravel())[1:].max())
    mm2 = float(np.prod(volume.spacing)) / volume.spacing[axis]
    return pixels * mm2 / 100.0


def _first_with_content(layers: Float32) -> Float32:
    outermost = (at for at, layer in enumerate(layers) if layer.min() != layer.max())
    found: Float32 = layers[next(outermost, 0)]
    return found
