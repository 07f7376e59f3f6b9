"""From blocks back to voxels: where a lung ends is decided by the voxels' own density."""

import numpy as np
from scipy import ndimage

from pipelines.chest_ct.airways import Airways
from pipelines.chest_ct.coarse import Coarse
from pipelines.chest_ct.lungs import LUNG_HU, Lungs
from pipelines.volume import Labels, Volume


def to_voxels(volume: Volume, coarse: Coarse, lungs: Lungs, airways: Airways) -> Labels:
    """Return the lungs' numbers on the volume's voxels.

    A block whose neighbours are all of the lung belongs to it whole, with its vessels. In the
    blocks at the lung's surface, and one further out, the voxels below the threshold do.
    """
    around = ndimage.maximum_filter(lungs.labels, 3)
    reach = np.where(lungs.labels > 0, lungs.labels, around)
    reach[airways.mask] = 0
    core = ndimage.minimum_filter(lungs.labels, 3)
    out = np.empty(volume.array.shape, dtype=np.uint8)
    rows, columns = volume.array.shape[1:]
    depth = coarse.blocks[0]
    for at, (numbers, whole) in enumerate(
        zip(coarse.stored(reach), coarse.stored(core), strict=True)
    ):
        slab = slice(at * depth, (at + 1) * depth)
        here = volume.array[slab] < LUNG_HU
        here |= _enlarged(whole, coarse)[:rows, :columns] > 0
        np.multiply(here, _enlarged(numbers, coarse)[:rows, :columns], out=out[slab])
    return out


def _enlarged(section: Labels, coarse: Coarse) -> Labels:
    return section.repeat(coarse.blocks[1], axis=0).repeat(coarse.blocks[2], axis=1)
