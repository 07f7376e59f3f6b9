"""A Segmentation read back: which label lies on each pixel of each source frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation as Object
from highdicom.seg import SegmentDescription, segread
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from appliance.core.errors import BadInstance
from appliance.core.model import Code, Segment, Side
from pipelines.volume import Labels

FrameKey = tuple[str, int | None]
"""SOP Instance UID and, in a multi-frame object, the frame number from 1."""

_MAX_LABEL = 255
_UNCOLORED = (255, 255, 255)
_SIDES = {"7771000": Side.LEFT, "24028007": Side.RIGHT}
_UNREADABLE = (
    AttributeError,
    EOFError,
    IndexError,
    InvalidDicomError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """Segments by number, and the labels of every source frame that has any.

    `number` of each segment is its Segment Number in the object. A pipeline's own numbers may
    differ, where it did not find a structure: what is the same in both is `tracking_uid`.
    """

    segments: tuple[Segment, ...]
    shape: tuple[int, int]  # rows, columns
    frames: Mapping[FrameKey, Labels]

    def labels_for(self, sop_instance_uid: str, frame_number: int | None) -> Labels:
        """Return the Segment Number at each pixel of the source frame, 0 where there is none."""
        labels = self.frames.get((sop_instance_uid, frame_number))
        return np.zeros(self.shape, np.uint8) if labels is None else labels


def read_segmentation(source: Path | BinaryIO) -> Segmentation:
    """Return the Segmentation in a file. Where segments overlap, the highest number is on top.

    Raises BadInstance where the object is not one or refers to no source frames.
    """
    try:
        segmentation = segread(source)
        return Segmentation(
            segments=tuple(_segment(item) for item in segmentation.SegmentSequence),
            shape=(int(segmentation.Rows), int(segmentation.Columns)),
            frames=_labels(segmentation),
        )
    except _UNREADABLE as error:
        name = source.name if isinstance(source, Path) else "the object"
        raise BadInstance(f"{name}: cannot be read as a Segmentation: {error}") from error


def _labels(segmentation: Object) -> Mapping[FrameKey, Labels]:
    if segmentation.number_of_segments > _MAX_LABEL:
        raise ValueError(f"has {segmentation.number_of_segments} segments, more than {_MAX_LABEL}")
    whole, by_frame = _references(segmentation)
    found: dict[FrameKey, Labels] = {}
    if whole:
        stack = segmentation.get_pixels_by_source_instance(
            whole, combine_segments=True, skip_overlap_checks=True, dtype=np.uint8
        )
        found.update({(uid, None): labels for uid, labels in zip(whole, stack, strict=True)})
    for uid, numbers in by_frame.items():
        stack = segmentation.get_pixels_by_source_frame(
            uid, numbers, combine_segments=True, skip_overlap_checks=True, dtype=np.uint8
        )
        found.update({(uid, n): labels for n, labels in zip(numbers, stack, strict=True)})
    return found


def _references(segmentation: Object) -> tuple[list[str], dict[str, list[int]]]:
    """Return the single-frame sources, and the used frames of each multi-frame one."""
    whole: dict[str, None] = {}
    by_frame: dict[str, dict[int, None]] = {}
    for image in _sources(segmentation):
        uid = str(image.ReferencedSOPInstanceUID)
        if "ReferencedFrameNumber" not in image:
            whole[uid] = None
        else:
            by_frame.setdefault(uid, {})[int(image.ReferencedFrameNumber)] = None
    return list(whole), {uid: sorted(numbers) for uid, numbers in by_frame.items()}


def _sources(segmentation: Object) -> Iterator[Dataset]:
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in groups.DerivationImageSequence:
            yield from derivation.SourceImageSequence


def _segment(item: SegmentDescription) -> Segment:
    (structure,) = item.SegmentedPropertyTypeCodeSequence
    (category,) = item.SegmentedPropertyCategoryCodeSequence
    return Segment(
        number=int(item.SegmentNumber),
        name=str(item.SegmentLabel),
        structure=_code(structure),
        category=_code(category),
        side=_side(structure.get("SegmentedPropertyTypeModifierCodeSequence") or ()),
        tracking_uid=str(item.get("TrackingUID") or ""),
        color=_color(item),
    )


def _code(item: Dataset) -> Code:
    return Code(
        value=str(item.get("CodeValue") or item.get("LongCodeValue") or ""),
        scheme=str(item.get("CodingSchemeDesignator") or ""),
        meaning=str(item.CodeMeaning),
    )


def _side(modifiers: Sequence[Dataset]) -> Side | None:
    return next((_SIDES[code.CodeValue] for code in modifiers if code.CodeValue in _SIDES), None)


def _color(item: Dataset) -> tuple[int, int, int]:
    value = item.get("RecommendedDisplayCIELabValue")
    if not value:
        return _UNCOLORED
    red, green, blue = CIELabColor.from_dicom_value(list(value)).to_rgb(clip=True)
    return (red, green, blue)
