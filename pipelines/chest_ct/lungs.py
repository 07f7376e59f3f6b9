"""Which blocks are right and left lung.

The steps are those of Hu S, Hoffman EA, Reinhardt JM. IEEE Trans Med Imaging 2001;20(6):490-498:
a threshold between air and tissue, the air inside of the body, without the large airways
(`airways`), the two largest parts; lungs that touch are parted where erosion parts them; a closing
takes in vessels. Sides are the patient's, by the axes of the blocks.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import isotropic_closing
from skimage.segmentation import watershed

from appliance.core.errors import InputRefused
from appliance.core.model import Side
from pipelines.chest_ct.airways import Airways
from pipelines.chest_ct.coarse import Coarse
from pipelines.chest_ct.parts import IN_PLANE, TISSUE_HU, Parts, box, parts_of
from pipelines.volume import Float32, Float64, Labels, Mask

LUNG_HU = -500.0  # half way between soft tissue and air
CLOSING_MM = 5.0  # radius: vessels of up to 1 cm are taken in
MIN_LUNG_ML = 300.0
MIN_SECOND_LUNG = 0.1  # of the first one's volume
GAS_HU = -930.0  # a tenth of every lung's core is brighter
MIN_APART_MM = 40.0
MAX_CUT_CM2 = 1.0  # of lung in the first or last slice
MAX_OPEN_ML = 10.0
OPEN_AIR_HU = -960.0
_EROSIONS_MM = range(2, 31, 2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lungs:
    """`labels` on the blocks: number n (from 1) is the lung of side `sides[n - 1]`.

    There is one of None where one lung was found only, or two could not be told apart.
    `left_out_ml` is air-filled tissue of the chest that belongs to neither.
    """

    labels: Labels
    sides: tuple[Side | None, ...]
    left_out_ml: float


def air(coarse: Coarse) -> tuple[Mask, Mask]:
    """Return the air inside and the air outside of the body, judged slice by slice.

    In a slice a lung is closed in by the chest, also where the image goes up to an open mouth.
    """
    all_air = coarse.array < LUNG_HU
    parts, count = ndimage.label(all_air, IN_PLANE)
    at_edge = np.zeros(count + 1, dtype=bool)
    for edge in (parts[:, 0], parts[:, -1], parts[:, :, 0], parts[:, :, -1]):
        at_edge[np.unique(edge)] = True
    outside = all_air & at_edge[parts]
    return all_air & ~outside, outside


def find_lungs(coarse: Coarse, inside: Mask, outside: Mask, airways: Airways) -> Lungs:
    """Return the lungs. Raises InputRefused where there are none, or not the whole of them."""
    around = _around(coarse)
    _require_sides(coarse, outside & (around >= 3))
    parts, volumes = parts_of(inside & (around == 4) & ~airways.mask, coarse)
    candidates = [
        number
        for number in np.argsort(volumes)[::-1].tolist()
        if volumes[number] >= MIN_SECOND_LUNG * MIN_LUNG_ML
        and not _is_gas(coarse.array, parts == number)
    ]
    if not candidates or volumes[candidates[0]] < MIN_LUNG_ML:
        raise InputRefused(
            f"no lungs were found: no air-filled tissue of {MIN_LUNG_ML:.0f} mL or more lies "
            "within the body"
        )
    found = _two(coarse, parts, volumes, candidates)
    _require_ends(coarse, found > 0)
    return _described(coarse, found, parts, candidates)


def _around(coarse: Coarse) -> npt.NDArray[np.uint8]:
    """Return on how many of four sides (left, right, front, back) the body lies in the slice.

    Inside of the body it is all four. Thin things, a table's shell or clothes, are no body.
    """
    core = ndimage.binary_opening(coarse.array > TISSUE_HU)
    parts, volumes = parts_of(core, coarse)
    body = parts == np.argmax(volumes)
    around = np.zeros(body.shape, dtype=np.uint8)
    for axis in (1, 2):
        around += np.logical_or.accumulate(body, axis)
        around += np.flip(np.logical_or.accumulate(np.flip(body, axis), axis), axis)
    return around


def _is_gas(array: Float32, part: Mask) -> bool:
    """Return whether a part is gas of stomach or bowel, which has no vessels."""
    core = ndimage.binary_erosion(part, iterations=2)
    return not core.any() or float(np.percentile(array[core], 90)) < GAS_HU


def _two(coarse: Coarse, parts: Parts, volumes: Float64, candidates: list[int]) -> Labels:
    """Return 1 and 2 for the lung at the smaller and at the greater x; 1 alone for a single one."""
    first = parts == candidates[0]
    for other in candidates[1:]:
        second = parts == other
        if volumes[other] >= MIN_SECOND_LUNG * volumes[candidates[0]] and _sideways(
            coarse, first, second
        ):
            return _numbered(first, second)
    return _split(coarse, first)


def _sideways(coarse: Coarse, one: Mask, two: Mask) -> bool:
    """Return whether two parts lie side by side rather than above or before each other."""
    apart = np.abs((np.array(_centre(one)) - np.array(_centre(two))) * np.array(coarse.spacing))
    return bool(apart[2] >= MIN_APART_MM and apart[2] == apart.max())


def _centre(mask: Mask) -> tuple[float, ...]:
    return tuple(float(np.mean(places)) for places in np.nonzero(mask))


def _numbered(one: Mask, two: Mask) -> Labels:
    right, left = sorted((one, two), key=lambda mask: _centre(mask)[2])
    return right.astype(np.uint8) + np.uint8(2) * left.astype(np.uint8)


def _split(coarse: Coarse, part: Mask) -> Labels:
    """Part lungs that touch: what erosion leaves of each grows back, to meet at the neck."""
    labels = part.astype(np.uint8)
    here = box(part)
    whole = part[here]
    depth = ndimage.distance_transform_edt(whole, sampling=coarse.spacing)
    for erosion in _EROSIONS_MM:
        parts, volumes = parts_of(depth > erosion, coarse)
        order = np.argsort(volumes)[::-1]
        if order.size < 3 or volumes[order[1]] < MIN_SECOND_LUNG * volumes[order[0]]:
            continue
        one, two = parts == order[0], parts == order[1]
        if _sideways(coarse, one, two):
            seeds = one.astype(np.int32) + 2 * two.astype(np.int32)
            grown = watershed(-depth, seeds, mask=whole)
            labels[here] = _numbered(grown == 1, grown == 2)
            break
    return labels


def _require_ends(coarse: Coarse, lungs: Mask) -> None:
    """Raise InputRefused where the images end above or below before the lungs do."""
    face_cm2 = coarse.spacing[1] * coarse.spacing[2] / 100.0
    reasons = [
        f"the lungs are cut off at the {where}: {area:.0f} cm2 of them lie in the outermost slice"
        for where, section in (("top", lungs[-1]), ("bottom", lungs[0]))
        if (area := np.count_nonzero(section) * face_cm2) > MAX_CUT_CM2
    ]
    if reasons:
        raise InputRefused("; ".join(reasons))


def _require_sides(coarse: Coarse, bay: Mask) -> None:
    """Raise InputRefused where the images' side cuts a lung: what should be closed in is open.

    `bay` is air outside with the body on three sides. A gap between arm and chest is air, also
    where a gown lies in it; a lung is not.
    """
    parts, volumes = parts_of(ndimage.binary_erosion(bay, IN_PLANE, 2), coarse)
    for number in np.flatnonzero(volumes > MAX_OPEN_ML):
        if float(np.median(coarse.array[parts == number])) > OPEN_AIR_HU:
            raise InputRefused(
                f"the lungs are cut off at the side of the images: {volumes[number]:.0f} mL of "
                "what is as dense as lung lie open there"
            )


def _described(coarse: Coarse, found: Labels, parts: Parts, candidates: list[int]) -> Lungs:
    """Return the lungs with their vessels; bronchi that lie within are among them for now."""
    numbers = range(1, int(found.max()) + 1)
    labels = np.zeros_like(found)
    for number in numbers:
        closed = _closed(found == number, coarse.spacing)
        labels[closed & (labels == 0)] = number
    labels[found > 0] = found[found > 0]
    chest = box(labels > 0)
    others = [number for number in candidates if not (labels > 0)[parts == number].any()]
    left_out = np.isin(parts[chest], others)
    return Lungs(
        labels=labels,
        sides=(Side.RIGHT, Side.LEFT) if len(numbers) == 2 else (None,),
        left_out_ml=float(np.count_nonzero(left_out)) * coarse.voxel_ml,
    )


def _closed(lung: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Return the lung with its vessels: closed by a ball, and without holes."""
    margins = [int(CLOSING_MM / size) + 2 for size in spacing]
    tight = np.pad(lung[box(lung)], [(margin, margin) for margin in margins])
    closed = ndimage.binary_fill_holes(isotropic_closing(tight, CLOSING_MM, spacing=spacing))
    out = np.zeros_like(lung)
    out[box(lung)] = closed[tuple(slice(margin, -margin) for margin in margins)]
    return out
