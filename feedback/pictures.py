"""Which frames a series has, in the order of space, and what a segmentation marks on each.

A frame is named by its SOP Instance UID and frame number everywhere, in the addresses of image
and mask alike, so that a mask can never lie on another frame than its own.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError

from appliance.core.errors import BadInstance
from pipelines.frames import PLANE_ORIENTATION, PLANE_POSITION, frame_numbers
from pipelines.render import (
    Color,
    FrameGeometry,
    edge_letters,
    frame_geometry,
    overlay_png,
    render_frame,
)
from pipelines.segmentation import Segmentation, read_segmentation
from results_store.studies import IndexedInstance

TAGS = [
    "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber", "NumberOfFrames",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "SeriesNumber", "SeriesDescription", "SpecificCharacterSet",
]  # fmt: skip
REMEMBERED = 8  # stacks and segmentations kept in memory
REMEMBERED_TITLES = 1000
_UNREADABLE = (
    OSError, InvalidDicomError, BytesLengthException, EOFError, ValueError, TypeError, LookupError,
)  # fmt: skip
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One frame of a series, and its file."""

    sop_instance_uid: str
    frame_number: int | None  # from 1 in a multi-frame object; None in a single-frame one
    path: Path

    @property
    def name(self) -> str:
        """Return the frame's part of an address."""
        return f"{self.sop_instance_uid}/{self.frame_number or 0}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """All frames of one series, and how the middle one lies in the patient.

    `ends` has the letters of the directions in which the first and the last slice lie; "" where
    the slices have no order in space.
    """

    series_instance_uid: str
    title: str
    slices: tuple[Slice, ...]
    ends: tuple[str, str]
    geometry: FrameGeometry

    def find(self, sop_instance_uid: str, frame: int) -> Slice | None:
        """Return the named frame (0 in a single-frame object), or None."""
        wanted = f"{sop_instance_uid}/{frame}"
        return next((item for item in self.slices if item.name == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marks:
    """A segmentation, and for each segment the slice (from 0) that shows most of it.

    Segments go by their tracking UIDs: numbers in the object may differ from the result's.
    """

    segmentation: Segmentation
    largest: Mapping[str, int]


class Remembered(Generic[K, V]):
    """The last few values of a function; one thread at a time works one out."""

    def __init__(self, size: int) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()
        self._size = size
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the remembered value, or make it."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
            return self._values[key]


class Pictures:
    """Frames and masks of the images that are still kept."""

    def __init__(self, image_path: Callable[[str], Path | None]) -> None:
        self._image_path = image_path
        self._stacks: Remembered[tuple[str, ...], Stack | None] = Remembered(REMEMBERED)
        self._titles: Remembered[str, str] = Remembered(REMEMBERED_TITLES)
        self._marks: Remembered[tuple[Path, tuple[str, ...]], Marks] = Remembered(REMEMBERED)

    def stack(self, instances: Sequence[IndexedInstance]) -> Stack | None:
        """Return the series' frames, or None when one of its images is no longer kept."""
        names = tuple(instance.spool_name for instance in instances)
        paths = [self._image_path(name) for name in names]
        if not paths or any(path is None for path in paths):
            return None
        found = [(i, path) for i, path in zip(instances, paths, strict=True) if path is not None]
        return self._stacks.get(names, lambda: _read_stack(found))

    def image(self, stack: Stack, item: Slice) -> bytes:
        """Return the frame as PNG, windowed as its series' middle one. Raises BadInstance."""
        return render_frame(item.path, item.frame_number, stack.geometry.window)

    def marks(self, stack: Stack, path: Path) -> Marks:
        """Return what the SEG at `path` marks on the stack. Raises BadInstance."""
        key = (path, tuple(item.name for item in stack.slices))
        return self._marks.get(key, lambda: _read_marks(stack, path))

    def mask(
        self, stack: Stack, path: Path, item: Slice, colors: Mapping[str, Color], *, outline: bool
    ) -> bytes:
        """Return the mask on the frame as an RGBA PNG of the same pixels.

        Only segments whose tracking UID is in `colors` are drawn. Raises BadInstance.
        """
        found = self.marks(stack, path).segmentation
        labels = found.labels_for(item.sop_instance_uid, item.frame_number)
        drawn = {
            s.number: colors[s.tracking_uid] for s in found.segments if s.tracking_uid in colors
        }
        return overlay_png(labels, drawn, 1.0, outline=outline)

    def titles(self, instances: Sequence[IndexedInstance]) -> Mapping[str, str]:
        """Return number and description of each series that is still kept."""
        heads = {instance.series_instance_uid: instance for instance in reversed(instances)}
        return {
            uid: self._titles.get(instance.spool_name, partial(self._title, instance))
            for uid, instance in heads.items()
        }

    def _title(self, instance: IndexedInstance) -> str:
        path = self._image_path(instance.spool_name)
        try:
            return "" if path is None else _title(_header(path))
        except _UNREADABLE:
            return ""


Placed = tuple[tuple[float, ...], Slice]
"""A slice, and what it is sorted by: mm along the normal (or NaN), instance number, frame;
then its orientation."""


def _read_stack(found: Sequence[tuple[IndexedInstance, Path]]) -> Stack | None:
    try:
        headers = [(instance, path, _header(path)) for instance, path in found]
        placed = [item for head in headers for item in _frames(*head)]
        slices, normal = _in_order(placed)
        middle = slices[len(slices) // 2]
        geometry = frame_geometry(middle.path, middle.frame_number)
    except (*_UNREADABLE, BadInstance):
        return None
    return Stack(
        series_instance_uid=found[0][0].series_instance_uid,
        title=_title(headers[0][2]),
        slices=slices,
        ends=_ends(normal),
        geometry=geometry,
    )


def _frames(instance: IndexedInstance, path: Path, header: Dataset) -> Iterator[Placed]:
    for frame in range(1, instance.number_of_frames + 1):
        number = frame if _is_multi_frame(header, instance) else None
        uid = instance.sop_instance_uid
        item = Slice(sop_instance_uid=uid, frame_number=number, path=path)
        yield (_place(header, number, frame), item)


def _header(path: Path) -> Dataset:
    return dcmread(path, stop_before_pixels=True, specific_tags=TAGS)


def _is_multi_frame(header: Dataset, instance: IndexedInstance) -> bool:
    return "PerFrameFunctionalGroupsSequence" in header or instance.number_of_frames > 1


def _place(header: Dataset, number: int | None, frame: int) -> tuple[float, ...]:
    orientation = frame_numbers(header, number, PLANE_ORIENTATION, "ImageOrientationPatient")
    position = frame_numbers(header, number, PLANE_POSITION, "ImagePositionPatient")
    along = math.nan
    if len(orientation) == 6 and len(position) == 3:
        along = float(np.dot(np.cross(orientation[:3], orientation[3:]), position))
    return (along, float(header.get("InstanceNumber") or 0), float(frame), *orientation)


def _in_order(placed: Sequence[Placed]) -> tuple[tuple[Slice, ...], tuple[float, ...]]:
    """Return the slices along their normal, and it; else by number, and nothing.

    They have a normal when all lie in the same orientation at known places.
    """
    orientations = {tuple(round(x, 3) for x in place[3:]) for place, _ in placed}
    spatial = len(orientations) == 1 and not any(math.isnan(place[0]) for place, _ in placed)
    start = 0 if spatial else 1
    slices = tuple(item for _, item in sorted(placed, key=lambda pair: pair[0][start:3]))
    if not spatial:
        return slices, ()
    (orientation,) = orientations
    return slices, tuple(float(x) for x in np.cross(orientation[:3], orientation[3:]))


def _ends(normal: tuple[float, ...]) -> tuple[str, str]:
    if not normal:
        return ("", "")
    first, last, _, _ = edge_letters((*normal, 0.0, 0.0, 0.0))
    return (first, last)


def _title(header: Dataset) -> str:
    number, description = header.get("SeriesNumber"), header.get("SeriesDescription")
    return " · ".join(str(part) for part in (number, description) if part not in (None, ""))


def _read_marks(stack: Stack, path: Path) -> Marks:
    segmentation = read_segmentation(path)
    best: dict[int, tuple[int, int]] = {}
    for index, item in enumerate(stack.slices):
        labels = segmentation.labels_for(item.sop_instance_uid, item.frame_number)
        for number, voxels in enumerate(np.bincount(labels.ravel(), minlength=1)):
            if number and voxels > best.get(number, (0, 0))[0]:
                best[number] = (int(voxels), index)
    names = {segment.number: segment.tracking_uid for segment in segmentation.segments}
    largest = {names[number]: index for number, (_, index) in best.items() if number in names}
    return Marks(segmentation=segmentation, largest=largest)
