"""What docs/CONFORMANCE.md says of outgoing associations, from the code. PS3.2."""

from collections.abc import Mapping

from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from appliance.peers.status import STORE_MEANINGS


def tables() -> Mapping[str, str]:
    """Return each table's Markdown by the name under which the page asks for it."""
    return {"scu-sop-classes": _sop_classes(), "store-answers": _store_answers()}


def _sop_classes() -> str:
    rows = [
        "| SOP class | UID | role | transfer syntaxes |",
        "| --- | --- | --- | --- |",
    ]
    for uid in (Verification, StudyRootQueryRetrieveInformationModelFind):
        rows.append(f"| {uid.name} | `{uid}` | SCU | uncompressed |")
    rows.append("| the class of each object that is sent | | SCU | the object's own, alone |")
    return "\n".join(rows)


def _store_answers() -> str:
    rows = ["| status | what follows | because |", "| --- | --- | --- |"]
    for row in STORE_MEANINGS:
        rows.append(f"| {_range(row.first, row.last)} | {row.verdict.value} | {row.text} |")
    rows.append("| any other | retry | an answer that the standard does not know |")
    return "\n".join(rows)


def _range(first: int, last: int) -> str:
    if first < 0:
        return "none"
    return f"{first:04X}H" if first == last else f"{first:04X}H – {last:04X}H"
