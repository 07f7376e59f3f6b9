"""What is done to labels after a network: on the source's voxels, class by class. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from pipelines.steps import Afterwards, Labelled, RemoveSmall
from pipelines.volume import Labels, Mask

_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)  # at a face, an edge or a corner
Box = tuple[slice, ...]


def apply(
    labels: Labels, steps: Sequence[Afterwards], every_label: Sequence[int], voxel_ml: float
) -> Labels:
    """Return `labels` after `steps`; what is removed from a class becomes background.

    `every_label` are the labels that a step without labels is for.
    """
    for step in steps:
        labels = _STEPS[step.name](
            labels.copy(), step.arguments.labels or every_label, step.arguments, voxel_ml
        )
    return labels


def _boxes(labels: Labels, wanted: Sequence[int]) -> Iterator[tuple[int, Box, Mask]]:
    """Yield each label that is there, the box around it, and its mask in the box."""
    boxes = ndimage.find_objects(labels, max_label=int(max(wanted, default=0)))
    for label in wanted:
        box = boxes[label - 1]
        if box is not None:
            yield label, box, labels[box] == label


def _keep_largest(labels: Labels, wanted: Sequence[int], _told: Labelled, _ml: float) -> Labels:
    for _, box, mask in _boxes(labels, wanted):
        parts, _count = ndimage.label(mask, _TOUCHING)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        labels[box][mask & (parts != int(sizes.argmax()))] = 0
    return labels


def _fill_holes(labels: Labels, wanted: Sequence[int], _told: Labelled, _ml: float) -> Labels:
    for label, box, mask in _boxes(labels, wanted):
        holes = ndimage.binary_fill_holes(mask) & (labels[box] == 0)
        labels[box][holes] = label
    return labels


def _remove_small(labels: Labels, wanted: Sequence[int], told: Labelled, voxel_ml: float) -> Labels:
    least = told.min_ml if isinstance(told, RemoveSmall) else 0.0
    for _, box, mask in _boxes(labels, wanted):
        parts, _count = ndimage.label(mask, _TOUCHING)
        small = np.bincount(parts.ravel()) * voxel_ml < least
        small[0] = False
        labels[box][small[parts]] = 0
    return labels


_STEPS: Mapping[str, Callable[[Labels, Sequence[int], Labelled, float], Labels]] = MappingProxyType(
    {
        "KeepLargestComponent": _keep_largest,
        "FillHoles": _fill_holes,
        "RemoveSmallComponents": _remove_small,
    }
)
