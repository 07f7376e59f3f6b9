"""The windpipe and the large bronchi, from the neck down to where they enter the lungs.

After Hu S, Hoffman EA, Reinhardt JM. Automatic lung segmentation for accurate quantitation of
volumetric X-ray CT images. IEEE Trans Med Imaging 2001;20(6):490-498: the windpipe is followed
slice by slice from the top, and a branch ends where its section grows suddenly, which is where its
air joins that of a lung. An emphysema can be as empty as a bronchus, and is not told from it so;
what grew too large is tried again with emptier air (explosion control: Mori K, Hasegawa J,
Toriwaki J, et al. Proc ICPR 1996;3:528-532), and given up for the windpipe alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipelines.chest_ct.coarse import Coarse
from pipelines.chest_ct.parts import IN_PLANE, TISSUE_HU, Parts
from pipelines.volume import Float64, Mask

AIR_HU = -900.0  # in the windpipe nearly all blocks are emptier, in a healthy lung few
TRACHEA_MM2 = (40.0, 700.0)  # of one section
MAX_OFF_CENTRE_MM = 50.0
MIN_LENGTH_MM = 40.0
MIN_BRANCH_MM2 = 20.0
MAX_GROWTH = 2.0  # from one slice to the next
MAX_TO_TRACHEA = 2.5  # at its fork the windpipe is twice as wide as above
MAX_BRONCHI_ML = 40.0
EMPTIER_HU = (60.0, 30.0)  # above the air in the windpipe: what is tried next, and last

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Airways:
    """Large airways on the blocks; `air_hu` is the density of the air in the windpipe.

    `has_bronchi` is false where only the windpipe could be told from the lungs.
    """

    mask: Mask
    air_hu: float
    has_bronchi: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sections:
    """Connected air of each slice: label -> area in mm2, slice, place from right to left in mm.

    Those smaller than a branch have no label.
    """

    labels: Parts
    area: Float64
    height: Numbers
    across: Float64
    below: dict[int, list[int]]  # label -> labels in the slice below, by overlap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tree:
    """Labels of the windpipe's sections, and of those and all branches'."""

    sections: _Sections
    trachea: list[int]
    grown: list[int]
    bronchi_ml: float


def find_airways(coarse: Coarse, inside: Mask) -> Airways | None:
    """Return the large airways within `inside`, the air inside of the body; None without any."""
    first = _followed(coarse, inside, AIR_HU)
    if first is None:
        return None
    column = np.isin(first.sections.labels, first.trachea)
    core = ndimage.binary_erosion(column, IN_PLANE)
    air_hu = float(np.median(coarse.array[core if core.any() else column]))
    emptier = (_followed(coarse, inside, air_hu + more) for more in EMPTIER_HU)
    tree = next(
        (tree for tree in chain((first,), emptier) if tree and tree.bronchi_ml <= MAX_BRONCHI_ML),
        None,
    )
    found = column if tree is None else column | np.isin(tree.sections.labels, tree.grown)
    # The air's outermost blocks are half wall: they are brighter than air, and no lung.
    rim = ndimage.binary_dilation(found, ndimage.generate_binary_structure(3, 1)) & inside
    return Airways(mask=found | rim, air_hu=air_hu, has_bronchi=tree is not None)


def _followed(coarse: Coarse, inside: Mask, threshold: float) -> _Tree | None:
    sections = _sections(coarse, inside & (coarse.array < threshold))
    trachea = _trachea(sections, coarse)
    if not trachea:
        return None
    grown = _grown(sections, trachea)
    beyond = float(sections.area[grown].sum() - sections.area[trachea].sum())
    return _Tree(
        sections=sections,
        trachea=trachea,
        grown=grown,
        bronchi_ml=beyond * coarse.spacing[0] / 1000.0,
    )


def _sections(coarse: Coarse, air: Mask) -> _Sections:
    labels, count = ndimage.label(air, IN_PLANE)
    voxels = np.bincount(labels.ravel(), minlength=count + 1).astype(np.float64)
    area = voxels * (coarse.spacing[1] * coarse.spacing[2])
    labels[(area < MIN_BRANCH_MM2)[labels]] = 0
    heights, _, across = np.nonzero(labels)
    of = labels[labels > 0]
    height = np.zeros(count + 1, dtype=np.int64)
    height[of] = heights
    sums = np.bincount(of, across, minlength=count + 1)
    return _Sections(
        labels=labels,
        area=area,
        height=height,
        across=sums / np.maximum(voxels, 1) * coarse.spacing[2],
        below=_below(labels, coarse.spacing),
    )


def _below(labels: Parts, spacing: tuple[float, float, float]) -> dict[int, list[int]]:
    """Return for each section those that it lies upon, the one it shares most with first.

    A bronchus at 45 degrees lies sideways by as much as the slices are apart: each section
    reaches half of that around.
    """
    reach = max(1, round(spacing[0] / 2 / spacing[1]))
    wider = ndimage.maximum_filter(labels, (1, 2 * reach + 1, 2 * reach + 1))
    upper, lower = wider[1:], labels[:-1]
    both = (upper > 0) & (lower > 0)
    pairs, counts = np.unique(np.stack([upper[both], lower[both]]), axis=1, return_counts=True)
    found: dict[int, list[int]] = {}
    for pair in np.argsort(-counts, kind="stable").tolist():
        found.setdefault(int(pairs[0, pair]), []).append(int(pairs[1, pair]))
    return found


def _trachea(sections: _Sections, coarse: Coarse) -> list[int]:
    """Return the sections of the longest column of air of a windpipe's width near the middle."""
    middle = _middle_mm(coarse)
    low, high = TRACHEA_MM2
    fits = (
        (sections.area >= low)
        & (sections.area <= high)
        & (np.abs(sections.across - middle[sections.height]) <= MAX_OFF_CENTRE_MM)
    )
    longest: list[int] = []
    seen: set[int] = set()
    for top in np.flatnonzero(fits)[::-1].tolist():  # labels count from the feet
        if top in seen:
            continue
        column = list(_column(sections, fits, top))
        seen.update(column)
        longest = max(longest, column, key=len)
    return longest if len(longest) * coarse.spacing[0] >= MIN_LENGTH_MM else []


def _column(sections: _Sections, fits: Mask, top: int) -> Iterator[int]:
    """Yield `top` and what lies below it as long as that fits, widens little, and has no fork."""
    at: int | None = top
    while at is not None:
        yield at
        under = sections.below.get(at, [])
        widest = MAX_GROWTH * sections.area[at]
        is_next = len(under) == 1 and fits[under[0]] and sections.area[under[0]] <= widest
        at = under[0] if is_next else None


def _grown(sections: _Sections, trachea: list[int]) -> list[int]:
    """Return the windpipe's sections and those of its branches, all labels once."""
    widest = MAX_TO_TRACHEA * float(np.median(sections.area[trachea]))
    found, current = set(trachea), set(trachea)
    while current:
        parents: dict[int, float] = {}
        for label in current:
            for under in sections.below.get(label, []):
                parents[under] = parents.get(under, 0.0) + float(sections.area[label])
        current = {
            label
            for label, area in parents.items()
            if sections.area[label] <= min(widest, MAX_GROWTH * area)
        } - found
        found |= current
    return sorted(found)


def _middle_mm(coarse: Coarse) -> Float64:
    """Return where the middle of the body is in each slice, from the image's right side."""
    tissue = np.count_nonzero(coarse.array > TISSUE_HU, axis=1).astype(np.float64)
    middle: Float64 = tissue @ np.arange(tissue.shape[1]) / np.maximum(tissue.sum(axis=1), 1)
    return middle * coarse.spacing[2]
