"""Files → summaries for rules. Reads no pixels, and no element that nobody asks for."""

import struct
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from appliance.core import product
from appliance.core.errors import BadInstance
from appliance.core.model import (
    Attributes,
    AttributeValue,
    InstanceSummary,
    SeriesSummary,
    StudySummary,
)
from appliance.core.uids import is_usable_uid
from appliance.intake.elements import attributes_of, tags_to_read, values_of
from appliance.intake.expected import COUNT_ATTRIBUTES

BASE = frozenset(
    {
        "SOPClassUID", "Modality", "SeriesNumber", "InstanceNumber", "SeriesDescription",
        "StudyDescription", "ProtocolName", "BodyPartExamined", "ImageType", "StudyDate",
        "StudyTime", "TimezoneOffsetFromUTC", "Manufacturer", "ManufacturerModelName",
        "MagneticFieldStrength", "Rows", "Columns", "NumberOfFrames", "PixelSpacing",
        "SliceThickness", "SpacingBetweenSlices", "ImageOrientationPatient",
        "FrameOfReferenceUID", "AcquisitionNumber", "ImagesInAcquisition", "ConcatenationUID",
        "InConcatenationTotalNumber",
    }
) | COUNT_ATTRIBUTES  # fmt: skip
"""Always read: for labels, order, counts and geometry."""

_IDENTITY = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "IssuerOfPatientID",
    "AccessionNumber", "DeviceUID", "ContributingEquipmentSequence", "SpecificCharacterSet",
)  # fmt: skip

# Everything that pydicom raises on what is no data set, or a broken one.
_UNREADABLE = (
    InvalidDicomError, EOFError, ValueError, TypeError, LookupError, AttributeError,
    NotImplementedError, OverflowError, RecursionError, MemoryError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One file: which instance it is, whose, and what rules may know of it."""

    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    is_own: bool  # the object names the appliance as contributing equipment
    summary: InstanceSummary

    def text(self, keyword: str) -> str:
        """Return the first value of an attribute as text; "" where there is none."""
        values = self.summary.attributes.get(keyword)
        return str(values[0]) if values else ""


def read_header(path: Path, attributes: Iterable[str]) -> Header:
    """Return the file's header with BASE and these attributes.

    Raises BadInstance where it is no DICOM instance; OSError where the disk does not give it.
    """
    names = sorted(BASE.union(attributes))
    with warnings.catch_warnings():
        # What pydicom thinks of a peer's values is no news: rules say what they want of them.
        warnings.simplefilter("ignore")
        try:
            tags = tags_to_read((*names, *_IDENTITY))
            dataset = dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
            return _header(dataset, names)
        except _UNREADABLE as error:
            # Only the error's kind: its text may quote what stands in the header.
            raise BadInstance(f"not readable as DICOM ({type(error).__name__})") from error


def _header(dataset: Dataset, names: Sequence[str]) -> Header:
    attributes = attributes_of(dataset, names)
    return Header(
        study_instance_uid=_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        patient_id=_first(dataset, "PatientID"),
        issuer_of_patient_id=_first(dataset, "IssuerOfPatientID"),
        accession_number=_first(dataset, "AccessionNumber"),
        is_own=_is_own(dataset),
        summary=InstanceSummary(
            sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
            sop_class_uid=_first(dataset, "SOPClassUID"),
            number_of_frames=_frames(attributes),
            attributes=attributes,
        ),
    )


def _first(dataset: Dataset, keyword: str) -> str:
    values = values_of(dataset, keyword)
    return str(values[0]) if values else ""


def _uid(dataset: Dataset, keyword: str) -> str:
    uid = _first(dataset, keyword)
    if not is_usable_uid(uid):
        raise BadInstance(f"{keyword} is {'missing' if not uid else 'not a UID'}")
    return uid


def _frames(attributes: Attributes) -> int:
    values = attributes.get("NumberOfFrames") or (1.0,)
    return int(values[0]) if isinstance(values[0], float) and 1 <= values[0] < 2**31 else 1


def _is_own(dataset: Dataset) -> bool:
    equipment = dataset.get("ContributingEquipmentSequence") or ()
    devices = [values_of(item, "DeviceUID") or () for item in (dataset, *equipment)]
    return any(product.APPLIANCE_DEVICE_UID in device for device in devices)


def study_summary(study_instance_uid: str, headers: Iterable[Header]) -> StudySummary:
    """Return the study that these headers make, series and instances in a fixed order."""
    by_series: dict[str, list[InstanceSummary]] = {}
    for header in headers:
        by_series.setdefault(header.series_instance_uid, []).append(header.summary)
    series = tuple(_series(uid, by_series[uid]) for uid in sorted(by_series))
    return StudySummary(
        study_instance_uid=study_instance_uid,
        attributes=shared_by(one.attributes for one in series),
        series=series,
    )


def _series(uid: str, instances: Iterable[InstanceSummary]) -> SeriesSummary:
    ordered = tuple(sorted(instances, key=_instance_order))
    return SeriesSummary(
        series_instance_uid=uid,
        attributes=shared_by(one.attributes for one in ordered),
        instances=ordered,
    )


def _instance_order(instance: InstanceSummary) -> tuple[float, str]:
    numbers = instance.attributes.get("InstanceNumber") or (0.0,)
    number = numbers[0] if isinstance(numbers[0], float) else 0.0
    return (number, instance.sop_instance_uid)


def shared_by(many: Iterable[Attributes]) -> Attributes:
    """Return the attributes that are the same in all."""
    rest = iter(many)
    shared = dict(next(rest, {}))
    for one in rest:
        for key in [key for key, values in shared.items() if one.get(key) != values]:
            del shared[key]
    return shared


class HeaderCache:
    """Headers by name in the spool; the least lately used go first."""

    def __init__(self, attributes: Iterable[str], *, capacity: int = 20_000) -> None:
        self._attributes = frozenset(attributes)
        self._capacity = capacity
        self._headers: OrderedDict[str, Header] = OrderedDict()
        self._values: dict[tuple[AttributeValue, ...], tuple[AttributeValue, ...]] = {}

    def read(self, name: str, path: Path) -> Header:
        """Return the header of the file `name`, which lies at `path`. Raises as read_header."""
        header = self._headers.get(name)
        if header is None:
            header = self._compact(read_header(path, self._attributes))
            self._headers[name] = header
            if len(self._headers) > self._capacity:
                self._headers.popitem(last=False)
        self._headers.move_to_end(name)
        return header

    def _compact(self, header: Header) -> Header:
        """Let equal values be one object: the images of a series share most of them."""
        if len(self._values) > self._capacity:
            self._values.clear()
        summary = header.summary
        same = {k: self._values.setdefault(v, v) for k, v in summary.attributes.items()}
        return replace(header, summary=replace(summary, attributes=same))
