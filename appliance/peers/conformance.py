"""What docs/CONFORMANCE.md says of outgoing associations, from the code. PS3.2."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.uid import UID
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from appliance.peers.status import RETRIEVE_MEANINGS, STORE_MEANINGS, Meaning

_RETRIEVE = "a study that a person or a rule asks for"
_UNCOMPRESSED = "the three uncompressed ones"


@dataclass(frozen=True, slots=True)
class Used:
    """One line of what we ask of other nodes."""

    name: str
    uid: str  # "" where there are several
    operations: str
    transfer_syntaxes: str
    role: str
    purpose: str


def used() -> tuple[Used, ...]:
    """Return what associations of ours propose."""
    return (
        _of(Verification, "C-ECHO", "SCU", "`appliance check --peers`"),
        _of(
            StudyRootQueryRetrieveInformationModelFind,
            "C-FIND",
            "SCU",
            "counts of a study; identity before sending; proof that a result arrived",
        ),
        _of(StudyRootQueryRetrieveInformationModelMove, "C-MOVE", "SCU", _RETRIEVE),
        _of(StudyRootQueryRetrieveInformationModelGet, "C-GET", "SCU", _RETRIEVE),
        Used(
            "Storage SOP Classes that a C-GET brings",
            "",
            "C-STORE",
            "all that are stored (7.3), one a context",
            "SCP, by role selection",
            _RETRIEVE,
        ),
        Used(
            "Storage SOP Classes of results (annex 9.1)",
            "",
            "C-STORE",
            "the object's own, one a context",
            "SCU",
            "results, to the destinations that their route names",
        ),
        _of(
            StorageCommitmentPushModel,
            "N-EVENT-REPORT",
            "SCP, by role selection",
            "the answer to a storage commitment request",
        ),
    )


def _of(uid: UID, operations: str, role: str, purpose: str) -> Used:
    return Used(uid.name, str(uid), operations, _UNCOMPRESSED, role, purpose)


def tables() -> Mapping[str, str]:
    """Return each table's Markdown by the name under which the page asks for it."""
    return {
        "scu-presentation-contexts": _contexts(),
        "store-answers": _answers(STORE_MEANINGS),
        "retrieve-answers": _answers(RETRIEVE_MEANINGS),
    }


def _contexts() -> str:
    rows = [
        "| abstract syntax | UID | transfer syntaxes | operations | role | what for |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in used():
        uid = f"`{row.uid}`" if row.uid else ""
        cells = (row.name, uid, row.transfer_syntaxes, row.operations, row.role, row.purpose)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _answers(meanings: tuple[Meaning, ...]) -> str:
    rows = ["| status | what follows | because |", "| --- | --- | --- |"]
    for row in meanings:
        text = row.text.format(ours="our AE title")
        rows.append(f"| {_range(row.first, row.last)} | {row.verdict.value} | {text} |")
    rows.append("| any other | retry | an answer that the standard does not know |")
    return "\n".join(rows)


def _range(first: int, last: int) -> str:
    if first < 0:
        return "none"
    return f"{first:04X}H" if first == last else f"{first:04X}H – {last:04X}H"
