"""The receiver's tables as docs/ONBOARDING.md shows them: for people who send."""

from collections.abc import Mapping

from scp.advice import ANSWERED, REJECTED
from scp.association import REJECTIONS
from scp.conformance import NOTICES, markdown, operations_of, sop_class
from scp.status import STATUSES


def tables() -> Mapping[str, str]:
    """Return each table's Markdown by the name under which the page asks for it."""
    return {
        "onboarding-services": _services(),
        "onboarding-rejections": _rejections(),
        "onboarding-refusals": _refusals(),
    }


def _services() -> str:
    return markdown(
        ("service", "operations", "what for"),
        (
            (sop_class(uid)[0], operations_of(notice), notice.purpose)
            for notice in NOTICES
            for uid in notice.service.sop_class_uids
        ),
    )


def _rejections() -> str:
    rows = (
        (
            f"{row.result}, {row.source}, {row.reason}: {row.meaning.rpartition(', ')[2]}",
            why.value,
            REJECTED[why],
        )
        for why, row in REJECTIONS.items()
    )
    return markdown(("result, source, reason", "because", "what to do"), rows)


def _refusals() -> str:
    rows = (
        (f"{row.code:04X}H", row.comment, ANSWERED[outcome])
        for outcome, row in STATUSES.items()
        if row.code
    )
    return markdown(("status", "Error Comment", "what to do"), rows)
