"""The receiver's tables as docs/CONFORMANCE.md shows them. PS3.2."""

from collections.abc import Iterable, Mapping, Sequence

from pydicom.uid import UID

from appliance.core.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from appliance.core.tls import PORT, SUITES_1_2, SUITES_1_3, VERSIONS
from scp.association import REJECTIONS
from scp.commitment import FAILURES, REFUSALS
from scp.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES, VERIFICATION
from scp.status import STATUSES


def tables() -> Mapping[str, str]:
    """Return each table's Markdown by the name under which the page asks for it."""
    return {
        "implementation": _implementation(),
        "scp-sop-classes": _sop_classes(),
        "transfer-syntaxes": _transfer_syntaxes(),
        "rejections": _rejections(),
        "store-statuses": _store_statuses(),
        "commitment-statuses": _commitment_statuses(),
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


def _sop_classes() -> str:
    classes = (VERIFICATION, *STORAGE_CLASSES)
    return markdown(
        ("SOP class", "UID", "role"), ((UID(uid).name, f"`{uid}`", "SCP") for uid in classes)
    )


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
        ("why", "result", "source", "reason", "meaning"),
        (
            (refusal.value, str(row.result), str(row.source), str(row.reason), row.meaning)
            for refusal, row in REJECTIONS.items()
        ),
    )


def _store_statuses() -> str:
    return markdown(
        ("outcome", "status", "meaning", "Error Comment"),
        (
            (outcome.value, f"{row.code:04X}H", row.meaning, row.comment)
            for outcome, row in STATUSES.items()
        ),
    )


def _commitment_statuses() -> str:
    success = ("0000H", "the request is kept; the answer follows")
    return markdown(
        ("status", "meaning"), (success, *((f"{s:04X}H", text) for s, text in REFUSALS.items()))
    )


def _commitment_failures() -> str:
    return markdown(
        ("Failure Reason", "meaning"), ((f"{f:04X}H", text) for f, text in FAILURES.items())
    )


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


def _yes(*, is_so: bool) -> str:
    return "yes" if is_so else "no"
