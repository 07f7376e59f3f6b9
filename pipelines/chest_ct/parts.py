"""Connected parts of a mask: their numbers, their volumes, the box round one."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipelines.chest_ct.coarse import Coarse
from pipelines.volume import Float64, Mask

TISSUE_HU = -200.0  # and above: the body, fat too

Parts = npt.NDArray[np.int32]

IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


def parts_of(mask: Mask, coarse: Coarse) -> tuple[Parts, Float64]:
    """Return the number of each block's connected part, 0 outside, and their volumes in mL.

    The volume of number 0 is 0.
    """
    parts, count = ndimage.label(mask)
    volumes = np.bincount(parts.ravel(), minlength=count + 1).astype(np.float64)
    volumes *= coarse.voxel_ml
    volumes[0] = 0.0
    return parts, volumes


def box(mask: Mask) -> tuple[slice, slice, slice]:
    """Return the smallest box that holds `mask`, which must not be empty."""
    found = ndimage.find_objects(mask.view(np.uint8))[0]
    return (found[0], found[1], found[2])
