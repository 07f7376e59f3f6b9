"""What is answered to a C-STORE: each outcome has one status. PS3.4 table B.2-1, PS3.7 annex C."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How receiving one instance ended."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    NO_ROOM = "no-room"
    TOO_LARGE = "too-large"
    CLASS_MISMATCH = "class-mismatch"
    INSTANCE_MISMATCH = "instance-mismatch"
    NOT_DICOM = "not-dicom"
    TRUNCATED = "truncated"
    NO_DATA_SET = "no-data-set"
    NO_INSTANCE_UID = "no-instance-uid"
    NO_STUDY_OR_SERIES_UID = "no-study-or-series-uid"
    UNUSABLE_UID = "unusable-uid"
    OTHER_STUDY = "other-study"
    SOP_CLASS = "sop-class"
    TRANSFER_SYNTAX = "transfer-syntax"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """A status code, its meaning in the standard, and our Error Comment (0000,0902)."""

    code: int
    meaning: str
    comment: str  # LO: at most 64 characters


_SUCCESS = "Success"
_RESOURCES = "Refused: Out of Resources"
_MISMATCH = "Error: Data Set does not match SOP Class"
_NOT_UNDERSTOOD = "Error: Cannot understand"

STATUSES: Mapping[Outcome, Status] = {
    Outcome.STORED: Status(0x0000, _SUCCESS, ""),
    Outcome.DUPLICATE: Status(0x0000, _SUCCESS, ""),
    Outcome.NO_ROOM: Status(0xA700, _RESOURCES, "no room on the disk; send again later"),
    # Not sent: a message without end cannot be waited for, so its association is aborted.
    Outcome.TOO_LARGE: Status(0xA701, _RESOURCES, "the data set is larger than the site allows"),
    Outcome.CLASS_MISMATCH: Status(
        0xA900, _MISMATCH, "SOP Class UID differs between command and data set"
    ),
    Outcome.INSTANCE_MISMATCH: Status(
        0xA901, _MISMATCH, "SOP Instance UID differs between command and data set"
    ),
    Outcome.NOT_DICOM: Status(
        0xC100, _NOT_UNDERSTOOD, "not a data set in the agreed transfer syntax"
    ),
    Outcome.TRUNCATED: Status(0xC101, _NOT_UNDERSTOOD, "the data set ends inside an element"),
    Outcome.NO_DATA_SET: Status(0xC102, _NOT_UNDERSTOOD, "the request came without a data set"),
    Outcome.NO_INSTANCE_UID: Status(0xC103, _NOT_UNDERSTOOD, "no SOP Instance UID"),
    Outcome.NO_STUDY_OR_SERIES_UID: Status(
        0xC104, _NOT_UNDERSTOOD, "no Study or Series Instance UID"
    ),
    Outcome.UNUSABLE_UID: Status(
        0xC105, _NOT_UNDERSTOOD, "a UID is longer than 64 or not digits and dots"
    ),
    # The next three stand in no answer to a C-STORE request (there is no context for them): in
    # those to a STOW-RS request or to a sub-operation of a C-GET that we asked for.
    Outcome.OTHER_STUDY: Status(0xA902, _MISMATCH, "Study Instance UID is not the one asked for"),
    Outcome.SOP_CLASS: Status(0x0122, "Refused: SOP Class not supported", "no storage SOP Class"),
    Outcome.TRANSFER_SYNTAX: Status(
        0xC122, "Referenced Transfer Syntax not supported", "transfer syntax not taken (deflated?)"
    ),
    Outcome.FAILED: Status(0x0110, "Processing failure", "internal failure; send again later"),
}
