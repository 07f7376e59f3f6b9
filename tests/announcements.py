"""Data sets of procedure steps and availability notifications, as modalities and archives send."""

from collections.abc import Iterable, Mapping
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import MRImageStorage

Listed = Mapping[str, Iterable[str]]
"""SOP Instance UIDs by Series Instance UID."""


def new_step(study: str = "1.2.3.1", *more: str, **changes: object) -> Dataset:
    """The data set of an N-CREATE; an attribute that is None is left out."""
    step = Dataset()
    step.ScheduledStepAttributesSequence = Sequence(map(_scheduled, (study, *more)))
    step.PerformedProcedureStepID = "PPS1"
    step.PerformedStationAETitle = "MR01"
    step.PerformedProcedureStepStartDate = "20260102"
    step.PerformedProcedureStepStartTime = "101500"
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    step.Modality = "MR"
    step.PerformedSeriesSequence = Sequence()
    for keyword, value in changes.items():
        delattr(step, keyword) if value is None else setattr(step, keyword, value)
    return step


def _scheduled(study: str) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = study
    item.AccessionNumber = "A1"
    return item


def ended_step(listed: Listed, status: str = "COMPLETED", **changes: object) -> Dataset:
    """The data set of the N-SET that ends a step."""
    step = Dataset()
    step.PerformedProcedureStepStatus = status
    step.PerformedProcedureStepEndDate = "20260102"
    step.PerformedProcedureStepEndTime = "104500"
    step.PerformedSeriesSequence = Sequence(
        _series(uid, instances) for uid, instances in listed.items()
    )
    for keyword, value in changes.items():
        setattr(step, keyword, value)
    return step


def _series(uid: str, instances: Iterable[str]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = uid
    series.ProtocolName = "HEAD"
    series.ReferencedImageSequence = Sequence(_reference(one) for one in instances)
    series.ReferencedNonImageCompositeSOPInstanceSequence = Sequence()
    return series


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = MRImageStorage
    item.ReferencedSOPInstanceUID = uid
    return item


def discontinued_because(value: str, meaning: str) -> Sequence:
    """The reason's code."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return Sequence([code])


def available(study: str, listed: Listed, availability: str = "ONLINE") -> Dataset:
    """The data set of an Instance Availability Notification."""
    notification = Dataset()
    notification.StudyInstanceUID = study
    notification.ReferencedPerformedProcedureStepSequence = Sequence()
    found = []
    for uid, instances in listed.items():
        series = Dataset()
        series.SeriesInstanceUID = uid
        items = [_reference(one) for one in instances]
        for item in items:
            item.InstanceAvailability = availability
            item.RetrieveAETitle = "PACS"
        series.ReferencedSOPSequence = Sequence(items)
        found.append(series)
    notification.ReferencedSeriesSequence = Sequence(found)
    return notification


def encoded(dataset: Dataset, *, implicit: bool = True, little: bool = True) -> bytes:
    """The bytes of a data set."""
    stream = BytesIO()
    dcmwrite(stream, dataset, implicit_vr=implicit, little_endian=little)
    return stream.getvalue()
