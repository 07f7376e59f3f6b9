"""What docs/CONFORMANCE.md says of outgoing associations, from the code. PS3.2."""

from collections.abc import Mapping

from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from appliance.peers.status import RETRIEVE_MEANINGS, STORE_MEANINGS, Meaning

_ASKED = (
    Verification,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelGet,
)


def tables() -> Mapping[str, str]:
    """Return each table's Markdown by the name under which the page asks for it."""
    return {
        "scu-sop-classes": _sop_classes(),
        "store-answers": _answers(STORE_MEANINGS),
        "retrieve-answers": _answers(RETRIEVE_MEANINGS),
    }


def _sop_classes() -> str:
    rows = [
        "| SOP class | UID | role | transfer syntaxes |",
        "| --- | --- | --- | --- |",
    ]
    for uid in _ASKED:
        rows.append(f"| {uid.name} | `{uid}` | SCU | uncompressed |")
    rows.append("| the class of each instance that a C-GET brings | | SCP (by role) | as stored |")
    rows.append("| the class of each object that is sent | | SCU | the object's own, alone |")
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
