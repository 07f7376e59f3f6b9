"""Which frames a series has, in the order of space, and what a segmentation marks on each.

A frame is named by its SOP Instance UID and frame number everywhere, in the addresses of image
and mask alike, so that a mask can never lie on another frame than its own.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from appliance.core.errors import BadInstance
from pipelines.frames import PLANE_ORIENTATION, PLANE_POSITION, frame_numbers
from pipelines.render import (
    Color,
    FrameGeometry,
    Segmentation,
    frame_geometry,
    overlay_png,
    read_segmentation,
    render_frame,
)
from results_store.studies import IndexedInstance

TAGS = [
    "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber", "NumberOfFrames",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "SeriesNumber", "SeriesDescription", "SpecificCharacterSet",
]  # fmt: skip
REMEMBERED = 8  # stacks and segmentations kept in memory
_UNREADABLE = (OSError, InvalidDicomError, EOFError, ValueError, TypeError, LookupError)
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
    """All frames of one series, and how the middle one lies in the patient."""

    series_instance_uid: str
    title: str
    slices: tuple[Slice, ...]
    geometry: FrameGeometry

    def find(self, sop_instance_uid: str, frame: int) -> Slice | None:
        """Return the named frame (0 in a single-frame object), or None."""
        wanted = f"{sop_instance_uid}/{frame}"
        return next((item for item in self.slices if item.name == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marks:
    """A segmentation, and for each segment number the slice (from 0) that shows most of it."""

    segmentation: Segmentation
    largest: Mapping[int, int]


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
        self, stack: Stack, path: Path, item: Slice, colors: Mapping[int, Color], *, outline: bool
    ) -> bytes:
        """Return the mask on the frame as an RGBA PNG of the same pixels. Raises BadInstance."""
        labels = self.marks(stack, path).segmentation.labels_for(
            item.sop_instance_uid, item.frame_number
        )
        return overlay_png(labels, colors, 1.0, outline=outline)


def _read_stack(found: Sequence[tuple[IndexedInstance, Path]]) -> Stack | None:
    placed: list[tuple[tuple[float, ...], Slice]] = []
    orientations: set[tuple[float, ...]] = set()
    try:
        for instance, path in found:
            header = dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
            for frame in range(1, instance.number_of_frames + 1):
                number = frame if _is_multi_frame(header, instance) else None
                orientation = frame_numbers(
                    header, number, PLANE_ORIENTATION, "ImageOrientationPatient"
                )
                orientations.add(tuple(round(value, 3) for value in orientation))
                item = Slice(
                    sop_instance_uid=instance.sop_instance_uid, frame_number=number, path=path
                )
                placed.append((_place(header, number, orientation, frame), item))
        slices = _in_order(placed, by_space=len(orientations) == 1)
        middle = slices[len(slices) // 2]
        geometry = frame_geometry(middle.path, middle.frame_number)
    except (*_UNREADABLE, BadInstance):
        return None
    return Stack(
        series_instance_uid=found[0][0].series_instance_uid,
        title=_title(header),
        slices=slices,
        geometry=geometry,
    )


def _is_multi_frame(header: Dataset, instance: IndexedInstance) -> bool:
    return "PerFrameFunctionalGroupsSequence" in header or instance.number_of_frames > 1


def _place(
    header: Dataset, number: int | None, orientation: tuple[float, ...], frame: int
) -> tuple[float, ...]:
    """Return (mm along the normal, instance number, frame); the first is NaN where not known."""
    position = frame_numbers(header, number, PLANE_POSITION, "ImagePositionPatient")
    along = float("nan")
    if len(orientation) == 6 and len(position) == 3:
        along = float(np.dot(np.cross(orientation[:3], orientation[3:]), position))
    return (along, float(header.get("InstanceNumber") or 0), float(frame))


def _in_order(
    placed: Sequence[tuple[tuple[float, ...], Slice]], *, by_space: bool
) -> tuple[Slice, ...]:
    spatial = by_space and all(place[0] == place[0] for place, _ in placed)  # noqa: PLR0124 (NaN)
    start = 0 if spatial else 1
    return tuple(item for _, item in sorted(placed, key=lambda pair: pair[0][start:]))


def _title(header: Dataset) -> str:
    number, description = header.get("SeriesNumber"), header.get("SeriesDescription")
    return " · ".join(str(part) for part in (number, description) if part not in (None, ""))


def _read_marks(stack: Stack, path: Path) -> Marks:
    try:
        segmentation = read_segmentation(path)
    except OSError as error:
        raise BadInstance(f"{path.name} cannot be read: {error}") from error
    best: dict[int, tuple[int, int]] = {}
    for index, item in enumerate(stack.slices):
        labels = segmentation.labels_for(item.sop_instance_uid, item.frame_number)
        for number, voxels in enumerate(np.bincount(labels.ravel(), minlength=1)):
            if number and voxels > best.get(number, (0, 0))[0]:
                best[number] = (int(voxels), index)
    return Marks(segmentation=segmentation, largest={n: index for n, (_, index) in best.items()})
