"""The receiver's tables as docs/CONFORMANCE.md shows them. PS3.2."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydicom.uid import UID

from appliance.core.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from appliance.core.tls import PORT, SUITES_1_2, SUITES_1_3, VERSIONS
from scp.advice import ANSWERED, NOT_COMMITTED, NOTIFIED, REJECTED
from scp.announcing import Availability, PerformedSteps
from scp.association import REJECTIONS
from scp.command import N_ACTION_RQ, N_CREATE_RQ, N_SET_RQ
from scp.commitment import StorageCommitment
from scp.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES, VERIFICATION
from scp.durability import PROMISES
from scp.status import STATUSES

# PS3.6 table A-1; the dictionary that we use is older.
_NEWER = {
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.1": "Waveform Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "Waveform Acquisition Presentation State Storage",
}
_OPERATIONS = {N_SET_RQ: "N-SET", N_ACTION_RQ: "N-ACTION", N_CREATE_RQ: "N-CREATE"}
_PLAIN = "the three uncompressed ones"
_STORAGE = "all that are stored (7.3)"


@dataclass(frozen=True, slots=True)
class Notified:
    """A service besides storage, and what we do with what it tells."""

    service: type[PerformedSteps] | type[Availability] | type[StorageCommitment]
    purpose: str


NOTICES: tuple[Notified, ...] = (
    Notified(PerformedSteps, "when a study is complete: need not wait for quiet time"),
    Notified(Availability, "when a study is complete: need not wait for quiet time"),
    Notified(
        StorageCommitment,
        "off, unless the site turns it on for a peer: this is no archive "
        "(`receiver.peers[].commitment`)",
    ),
)


@dataclass(frozen=True, slots=True)
class Provided:
    """One line of what the receiver provides: a service class, and what it is offered with."""

    name: str
    uid: str  # "" where there are several
    operations: str
    transfer_syntaxes: str


def provided() -> tuple[Provided, ...]:
    """Return what the receiver provides; the storage SOP Classes as one."""
    notices = (
        Provided(*sop_class(uid), operations_of(notice), _PLAIN)
        for notice in NOTICES
        for uid in notice.service.sop_class_uids
    )
    return (
        Provided(*sop_class(VERIFICATION), "C-ECHO", _PLAIN),
        Provided("Storage SOP Classes (annex 9.3)", "", "C-STORE", _STORAGE),
        *notices,
    )


def sop_class(uid: str) -> tuple[str, str]:
    """Return the class's name and UID."""
    return _NEWER.get(uid, UID(uid).name), uid


def operations_of(notice: Notified) -> str:
    """Return the operations' names."""
    return ", ".join(sorted(_OPERATIONS[field] for field in notice.service.operations))


def tables() -> Mapping[str, str]:
    """Return each table's Markdown by the name under which the page asks for it."""
    return {
        "implementation": _implementation(),
        "scp-presentation-contexts": _presentation_contexts(),
        "scp-sop-classes": _sop_classes(),
        "transfer-syntaxes": _transfer_syntaxes(),
        "rejections": _rejections(),
        "durability": _durability(),
        "store-statuses": _store_statuses(),
        "notice-statuses": _notice_statuses(),
        "commitment-failures": _commitment_failures(),
        "tls": _tls(),
    }


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _implementation() -> str:
    return markdown(
        ("item", "value"),
        (
            ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
            ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION_NAME}`"),
        ),
    )


def _presentation_contexts() -> str:
    return markdown(
        ("abstract syntax", "UID", "transfer syntaxes", "operations", "role", "negotiation"),
        (
            (row.name, _code(row.uid), row.transfer_syntaxes, row.operations, "SCP", "none")
            for row in provided()
        ),
    )


def _sop_classes() -> str:
    return markdown(
        ("SOP class", "UID", "role"),
        ((name, _code(uid), "SCP") for name, uid in map(sop_class, STORAGE_CLASSES)),
    )


def _code(uid: str) -> str:
    return f"`{uid}`" if uid else ""


def _transfer_syntaxes() -> str:
    return markdown(
        ("transfer syntax", "UID", "stored", "decoded"),
        (
            (row.name, f"`{row.uid}`", _yes(is_so=row.stored), _yes(is_so=row.decoded))
            for row in TRANSFER_SYNTAXES
        ),
    )


def _rejections() -> str:
    return markdown(
        ("why", "result", "source", "reason", "meaning", "what the caller should do"),
        (
            (
                *(refusal.value, str(row.result), str(row.source), str(row.reason), row.meaning),
                REJECTED[refusal],
            )
            for refusal, row in REJECTIONS.items()
        ),
    )


def _store_statuses() -> str:
    return markdown(
        ("outcome", "status", "meaning", "Error Comment", "what the sender should do"),
        (
            (
                *(outcome.value, f"{row.code:04X}H", row.meaning, row.comment),
                ANSWERED[outcome],
            )
            for outcome, row in STATUSES.items()
        ),
    )


def _notice_statuses() -> str:
    rows = ((f"{status:04X}H", text) for status, text in NOTIFIED.items())
    return markdown(("status", "what it means for the sender"), rows)


def _commitment_failures() -> str:
    rows = ((f"{reason:04X}H", text) for reason, text in NOT_COMMITTED.items())
    return markdown(("Failure Reason", "what it means for who asked"), rows)


def _tls() -> str:
    newest, oldest = VERSIONS
    return markdown(
        ("item", "value"),
        (
            ("versions", f"{newest} (preferred), {oldest}"),
            (f"cipher suites of {newest}", ", ".join(SUITES_1_3)),
            (f"cipher suites of {oldest}", ", ".join(SUITES_1_2)),
            ("port", f"{PORT} (dicom-tls), or what the site writes"),
        ),
    )


def _durability() -> str:
    rows = ((f"`{name}`", promise) for name, promise in PROMISES.items())
    return markdown(("durability", "what success promises"), rows)


def _yes(*, is_so: bool) -> str:
    return "yes" if is_so else "no"
