"""The source series as an encoder needs it: whose it is, and where each slice lies."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.valuerep import format_number_as_ds

from appliance.core.errors import BadInstance
from appliance.core.uids import uid_from_name
from pipelines.frames import PIXEL_MEASURES, PLANE_ORIENTATION, PLANE_POSITION, frame_numbers
from pipelines.volume import FrameRef, Volume

Decimals = tuple[str, ...]
"""Numbers as decimal strings (VR DS)."""

_GEOMETRY = (
    "SOPInstanceUID",
    "ImagePositionPatient",
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)

_READ_BY_HIGHDICOM = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One slice of the volume and the centre of its first voxel in LPS mm, if it has a place."""

    frame: FrameRef
    position: Decimals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """The series that a run looked at. `planes` are in the order of the volume's slices."""

    header: Dataset  # of the first slice's object, without pixels
    planes: tuple[Plane, ...]
    orientation: Decimals  # the six cosines, of all slices; none for a radiograph
    pixel_spacing: Decimals  # mm between rows, between columns
    slice_thickness: str
    slice_gap: str  # mm between the centres of neighbouring slices
    matrix: tuple[int, int]  # rows, columns
    series_instance_uid: str
    frame_of_reference_uid: str
    others: tuple[Volume, ...] = ()  # what the run looked at beside it

    @property
    def has_place(self) -> bool:
        """Return whether it says where it lies in the patient; a radiograph cannot."""
        return bool(self.orientation) and all(plane.position for plane in self.planes)

    @property
    def study_instance_uid(self) -> str:
        """Return the study's UID."""
        return str(self.header.StudyInstanceUID)

    def instances(self) -> Iterator[FrameRef]:
        """Yield the first frame of each source object, in the order of the slices."""
        yield from _first_of_each(plane.frame for plane in self.planes)

    def looked_at(self) -> Iterator[tuple[str, FrameRef]]:
        """Yield the series and the first frame of each object that the run looked at."""
        for frame in self.instances():
            yield self.series_instance_uid, frame
        for other in self.others:
            for frame in _first_of_each(other.frames):
                yield other.series_instance_uid, frame


def _first_of_each(frames: Iterable[FrameRef]) -> Iterator[FrameRef]:
    seen: set[str] = set()
    for frame in frames:
        if frame.sop_instance_uid not in seen:
            seen.add(frame.sop_instance_uid)
            yield frame


def read_source(paths: Sequence[Path], volume: Volume, others: Sequence[Volume] = ()) -> Source:
    """Return the source of `volume`, which was read from `paths`.

    Geometry is taken from the headers rather than from the volume's affine: viewers find the
    slice of a mask by its position, digit by digit. Raises BadInstance where a file is no more
    what the volume was read from.
    """
    first = volume.frames[0]
    header = _read(paths[first.path_index], None)
    gap, *between = volume.spacing
    thickness = frame_numbers(header, first.frame_number, PIXEL_MEASURES, "SliceThickness")
    return Source(
        header=header,
        planes=tuple(_planes(paths, volume)),
        orientation=_decimals(
            frame_numbers(header, first.frame_number, PLANE_ORIENTATION, "ImageOrientationPatient")
        ),
        pixel_spacing=_decimals(
            frame_numbers(header, first.frame_number, PIXEL_MEASURES, "PixelSpacing") or between
        ),
        slice_thickness=_decimals((thickness[0] if any(thickness) else gap,))[0],
        slice_gap=_decimals((gap,))[0],
        matrix=(volume.array.shape[1], volume.array.shape[2]),
        series_instance_uid=volume.series_instance_uid,
        frame_of_reference_uid=volume.frame_of_reference_uid
        or uid_from_name("frame of reference", volume.series_instance_uid),
        others=tuple(others),
    )


def stand_in(
    source: Source, sop_class_uid: str, series_instance_uid: str, sop_instance_uid: str
) -> Dataset:
    """Return an object of the source's study for highdicom to refer to, its patient left empty.

    Patient and study are written in the end, from the header.
    """
    item = Dataset()
    item.StudyInstanceUID = source.study_instance_uid
    item.SeriesInstanceUID = series_instance_uid
    item.SOPInstanceUID = sop_instance_uid
    item.SOPClassUID = sop_class_uid
    for keyword in _READ_BY_HIGHDICOM:
        setattr(item, keyword, None)
    return item


def _planes(paths: Sequence[Path], volume: Volume) -> Iterator[Plane]:
    used = sorted({frame.path_index for frame in volume.frames})
    headers = {index: _read(paths[index], _GEOMETRY) for index in used}
    for frame in volume.frames:
        header = headers[frame.path_index]
        position = frame_numbers(header, frame.frame_number, PLANE_POSITION, "ImagePositionPatient")
        # A radiograph has no position; what has one has three numbers.
        if header.SOPInstanceUID != frame.sop_instance_uid or len(position) not in (0, 3):
            name = paths[frame.path_index].name
            raise BadInstance(f"{name}: is no more what the volume was read from")
        yield Plane(frame=frame, position=_decimals(position))


def _read(path: Path, keywords: Sequence[str] | None) -> Dataset:
    tags = list(keywords) if keywords else None
    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise BadInstance(f"{path.name}: cannot be read any more: {error}") from error


def _decimals(numbers: Sequence[float]) -> Decimals:
    return tuple(format_number_as_ds(number) for number in numbers)
