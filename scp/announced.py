"""What peers announce of a study: procedure steps (MPPS) and available instances, as values.

Modality Performed Procedure Step: PS3.4 annex F.7, attributes in table F.7.2-1. Instance
Availability Notification: PS3.4 annex R, attributes in table R.3.2-1. Only what completion needs
is read and asked for; what else a message has or lacks is between its sender and other systems.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydicom.dataset import Dataset

from scp.elements import NStatus, Unacceptable, items_of, parse, text_of, texts_of, uid_of

PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
AVAILABILITY = "1.2.840.10008.5.1.4.33"

Listed = Mapping[str, Mapping[str, str]]
"""SOP Class UID by SOP Instance UID, by Series Instance UID."""

_MOST_STUDIES = 100  # that one step may be of: a group case has a few
_LONGEST_REASON = 64


class StepStatus(StrEnum):
    """Performed Procedure Step Status (0040,0252)."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


FINAL = frozenset({StepStatus.COMPLETED, StepStatus.DISCONTINUED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one N-CREATE or N-SET says of a step. What it leaves as it was is None or ()."""

    study_instance_uids: tuple[str, ...]  # of an N-CREATE; never in an N-SET
    status: StepStatus | None
    listed: Listed | None  # instances by series
    reason: str  # code of why it was discontinued; "" where none is given


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityReport:
    """Instances of one study that can be retrieved somewhere."""

    study_instance_uid: str
    listed: Listed


def created_step(data_set: bytes, transfer_syntax_uid: str) -> StepReport:
    """Return what an N-CREATE says. Raises Unacceptable; it must begin IN PROGRESS (F.7.2.1.2)."""
    dataset = parse(data_set, transfer_syntax_uid)
    status = _status(text_of(dataset, "PerformedProcedureStepStatus"))
    if status is not StepStatus.IN_PROGRESS:
        raise Unacceptable(NStatus.INVALID_VALUE, "a step is created IN PROGRESS")
    keyword = "ScheduledStepAttributesSequence"
    uids = tuple(uid_of(item, "StudyInstanceUID") for item in items_of(dataset, keyword))
    if not uids:
        raise Unacceptable(NStatus.MISSING_ATTRIBUTE, f"{keyword} is missing or empty")
    return StepReport(
        study_instance_uids=tuple(dict.fromkeys(uids))[:_MOST_STUDIES],
        status=status,
        listed=_performed(dataset),
        reason=_reason(dataset),
    )


def changed_step(data_set: bytes, transfer_syntax_uid: str) -> StepReport:
    """Return what an N-SET says. Raises Unacceptable."""
    dataset = parse(data_set, transfer_syntax_uid)
    named = "PerformedProcedureStepStatus" in dataset
    return StepReport(
        study_instance_uids=(),
        status=_status(text_of(dataset, "PerformedProcedureStepStatus")) if named else None,
        listed=_performed(dataset),
        reason=_reason(dataset),
    )


def availability(data_set: bytes, transfer_syntax_uid: str) -> AvailabilityReport:
    """Return what a notification says. Raises Unacceptable.

    An instance that is said to be UNAVAILABLE (PS3.3 C.4.23.1.1) is not listed.
    """
    dataset = parse(data_set, transfer_syntax_uid)
    study = uid_of(dataset, "StudyInstanceUID")
    listed: dict[str, dict[str, str]] = {}
    for series in items_of(dataset, "ReferencedSeriesSequence"):
        found = listed.setdefault(uid_of(series, "SeriesInstanceUID"), {})
        for item in items_of(series, "ReferencedSOPSequence"):
            if texts_of(item, "InstanceAvailability") != ("UNAVAILABLE",):
                found |= [_reference(item)]
    if not listed:
        comment = "ReferencedSeriesSequence is missing or empty"
        raise Unacceptable(NStatus.MISSING_ATTRIBUTE, comment)
    return AvailabilityReport(study_instance_uid=study, listed=listed)


def _status(text: str) -> StepStatus:
    try:
        return StepStatus(text)
    except ValueError:
        comment = "PerformedProcedureStepStatus is none of its terms"
        raise Unacceptable(NStatus.INVALID_VALUE, comment) from None


def _performed(dataset: Dataset) -> Listed | None:
    """Return the images of each performed series; None where the message says nothing of them."""
    keyword = "PerformedSeriesSequence"
    if keyword not in dataset:
        return None
    listed: dict[str, dict[str, str]] = {}
    for series in items_of(dataset, keyword):
        found = listed.setdefault(uid_of(series, "SeriesInstanceUID"), {})
        found |= _references(series)
    return listed


def _references(series: Dataset) -> Iterator[tuple[str, str]]:
    for keyword in ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence"):
        yield from map(_reference, items_of(series, keyword))


def _reference(item: Dataset) -> tuple[str, str]:
    return uid_of(item, "ReferencedSOPInstanceUID"), uid_of(item, "ReferencedSOPClassUID")


def _reason(dataset: Dataset) -> str:
    """Return the code of the reason, for instance "110514 DCM" (CID 9300); no free text."""
    keyword = "PerformedProcedureStepDiscontinuationReasonCodeSequence"
    for item in items_of(dataset, keyword):
        parts = (texts_of(item, name) for name in ("CodeValue", "CodingSchemeDesignator"))
        text = " ".join(part[0] for part in parts if part)
        return "".join(one for one in text if one.isprintable() and one.isascii())[:_LONGEST_REASON]
    return ""
