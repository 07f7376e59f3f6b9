"""Files → summaries for rules. Reads no pixels, and no element that nobody asks for.

Two ways to a file's values: `read_header` takes any file and lets pydicom read it; `scan` is for
the many files of the spool. What a header is made of, and how, is said here once.
"""

import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial

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

IDENTITY = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "IssuerOfPatientID",
    "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "DeviceUID",
    "ContributingEquipmentSequence", "SpecificCharacterSet",
)  # fmt: skip
"""Read too, for whose the image is; no attribute of rules."""

_STUDY = tag_for_keyword("StudyInstanceUID") or 0

# Everything that pydicom raises on what is no data set, or a broken one.
_UNREADABLE = (
    InvalidDicomError, EOFError, ValueError, TypeError, LookupError, AttributeError,
    NotImplementedError, BytesLengthException, OverflowError, RecursionError, MemoryError,
    struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One file: which instance it is, whose, and what rules may know of it."""

    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    is_own: bool  # the object names the appliance as contributing equipment
    summary: InstanceSummary

    def text(self, keyword: str) -> str:
        """Return the first value of an attribute as text; "" where there is none."""
        values = self.summary.attributes.get(keyword)
        return str(values[0]) if values else ""


class Values(Protocol):
    """What one file says."""

    def of(self, name: str) -> tuple[AttributeValue, ...] | None:
        """Return an element's values; () where it is empty, None where it is absent."""

    def attributes(self) -> Attributes:
        """Return the attributes that are asked for, as far as the file has them."""

    def is_own(self) -> bool:
        """Return whether the object says that an appliance made it."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The values of a data set that pydicom read."""

    dataset: Dataset
    names: Sequence[str]

    def of(self, name: str) -> tuple[AttributeValue, ...] | None:
        return values_of(self.dataset, name)

    def attributes(self) -> Attributes:
        return attributes_of(self.dataset, self.names)

    def is_own(self) -> bool:
        return names_appliance(self.dataset)


def wanted(attributes: Iterable[str]) -> list[str]:
    """Return the attributes that a header has: BASE and these."""
    return sorted(BASE.union(attributes))


def read_header(path: Path, attributes: Iterable[str]) -> Header:
    """Return the file's header with BASE and these attributes.

    Raises BadInstance where it is no DICOM instance; OSError where the disk does not give it.
    """
    names = wanted(attributes)
    tags = tags_to_read((*names, *IDENTITY))
    with unreadable_is_bad():
        dataset = dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
        return header_of(_Decoded(dataset, names))


def read_study_uid(path: Path) -> str:
    """Return the file's Study Instance UID, quickly. Raises as read_header does."""
    with unreadable_is_bad(), path.open("rb") as file:
        dataset = read_partial(file, lambda tag, _vr, _length: tag > _STUDY, force=True)
        return _uid(_Decoded(dataset, ()), "StudyInstanceUID")


@contextmanager
def unreadable_is_bad() -> Iterator[None]:
    """Turn what pydicom raises on what it cannot read into BadInstance, its warnings into none."""
    with warnings.catch_warnings():
        # What pydicom thinks of a peer's values is no news: rules say what they want of them.
        warnings.simplefilter("ignore")
        try:
            yield
        except _UNREADABLE as error:
            # Only the error's kind: its text may quote what stands in the header.
            raise BadInstance(f"not readable as DICOM ({type(error).__name__})") from error


def header_of(values: Values) -> Header:
    """Return the header that these values make. Raises BadInstance without usable UIDs."""
    attributes = values.attributes()
    return Header(
        study_instance_uid=_uid(values, "StudyInstanceUID"),
        series_instance_uid=_uid(values, "SeriesInstanceUID"),
        patient_id=_first(values, "PatientID"),
        issuer_of_patient_id=_first(values, "IssuerOfPatientID"),
        patient_name=_first(values, "PatientName"),
        patient_birth_date=_first(values, "PatientBirthDate"),
        patient_sex=_first(values, "PatientSex"),
        accession_number=_first(values, "AccessionNumber"),
        is_own=values.is_own(),
        summary=InstanceSummary(
            sop_instance_uid=_uid(values, "SOPInstanceUID"),
            sop_class_uid=_first(values, "SOPClassUID"),
            number_of_frames=_frames(attributes),
            attributes=attributes,
        ),
    )


def _first(having: Values, keyword: str) -> str:
    values = having.of(keyword)
    return str(values[0]) if values else ""


def _uid(having: Values, keyword: str) -> str:
    uid = _first(having, keyword)
    if not is_usable_uid(uid):
        raise BadInstance(f"{keyword} is {'missing' if not uid else 'not a UID'}")
    return uid


def _frames(attributes: Attributes) -> int:
    values = attributes.get("NumberOfFrames") or (1.0,)
    return int(values[0]) if isinstance(values[0], float) and 1 <= values[0] < 2**31 else 1


def names_appliance(dataset: Dataset) -> bool:
    """Return whether the data set has the appliance among the equipment that made it."""
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
