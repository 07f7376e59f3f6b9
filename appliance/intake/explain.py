"""What the routes say of a study, for `appliance explain`: the orchestrator's own decision.

Also for a folder that was never received. Pure but for what it is given to read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby

from appliance.core.model import Reason, RouteDecision, StudySummary
from appliance.core.states import RouteState
from appliance.intake.judge import judge
from appliance.intake.options import IntakeOptions
from appliance.routing.decide import series_label
from results_store.announcements import Announcement
from results_store.routes import RouteStatus


def decisions_for(
    study: StudySummary, options: IntakeOptions, now: datetime
) -> tuple[RouteDecision, ...]:
    """Return what each route says of the study as it is, whether more may come or not."""
    return tuple(judge(plan, study, options, now).decision for plan in options.routes)


def series_labels(study: StudySummary) -> Mapping[str, str]:
    """Return how people know each series, by UID."""
    return {one.series_instance_uid: series_label(one) for one in study.series}


def as_lines(
    decisions: Iterable[RouteDecision], labels: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the decisions as indented text; `labels` name the series, else their UIDs do."""
    return tuple(line for one in decisions for line in _decision_lines(one, labels or {}))


def _decision_lines(decision: RouteDecision, labels: Mapping[str, str]) -> Iterator[str]:
    yield f"route {decision.route!r}: {'matches' if decision.matched else 'does not match'}"
    yield f"  {decision.summary}"
    for chosen in decision.inputs:
        label = labels.get(chosen.series_instance_uid, chosen.series_instance_uid)
        count = len(chosen.sop_instance_uids)
        yield f"  {chosen.pipeline}/{chosen.input_name}: {label}, {count} objects: {chosen.why}"
    for uid, reasons in groupby(decision.reasons, key=lambda one: one.series_instance_uid):
        yield f"  {labels.get(uid, uid) if uid is not None else 'the study'}"
        yield from (_reason_line(one) for one in reasons)


def _reason_line(reason: Reason) -> str:
    return f"    {'yes' if reason.holds else 'NO ':3} {reason.condition}  (found: {reason.found})"


def as_data(decisions: Iterable[RouteDecision]) -> list[dict[str, object]]:
    """Return the decisions as JSON knows it; `rule` is the route's name."""
    return [
        {
            "rule": one.route,
            "matched": one.matched,
            "summary": one.summary,
            "reasons": _reasons_data(one.reasons),
            "inputs": [
                {
                    "pipeline": chosen.pipeline,
                    "input": chosen.input_name,
                    "series_instance_uid": chosen.series_instance_uid,
                    "objects": len(chosen.sop_instance_uids),
                    "why": chosen.why,
                }
                for chosen in one.inputs
            ],
        }
        for one in decisions
    ]


def standing_lines(
    routes: Iterable[RouteStatus], announced: Iterable[Announcement], doubts: Iterable[str]
) -> tuple[str, ...]:
    """Return where each route of a received study stands, and what peers announced of it.

    And what a person has to look at.
    """
    return (
        *(f"someone has to look: {one}" for one in doubts),
        *(f"route {one.route!r} {_stands(one)}" for one in routes),
        *(f"announced: {_announced(one)}" for one in announced),
    )


def _stands(status: RouteStatus) -> str:
    match status.state:
        case RouteState.OPEN:
            until = f", until {status.deadline:%Y-%m-%d %H:%M:%S %Z}" if status.deadline else ""
            return f"waits{until}: {status.reason}"
        case RouteState.HELD:
            return f"is held: {status.reason}"
        case RouteState.CLOSED:
            at = f" at {status.closed_at:%Y-%m-%d %H:%M:%S %Z}" if status.closed_at else ""
            return f"was closed{at} by {status.signal}"


def _announced(one: Announcement) -> str:
    images = sum(map(len, one.listed.values()))
    why = f" ({one.reason})" if one.reason else ""
    return (
        f"{one.kind} {one.sop_instance_uid} by {one.calling_ae_title} is {one.state}{why}; "
        f"lists {images} images in {len(one.listed)} series"
    )


def standing_data(
    routes: Iterable[RouteStatus], announced: Iterable[Announcement], doubts: Iterable[str]
) -> dict[str, object]:
    """Return the same as JSON knows it."""
    return {
        "doubts": list(doubts),
        "routes": [
            {
                "rule": one.route,
                "state": one.state.value,
                "signal": one.signal,
                "reason": one.reason,
                "deadline": one.deadline,
                "closed_at": one.closed_at,
            }
            for one in routes
        ],
        "announced": [
            {
                "kind": one.kind.value,
                "sop_instance_uid": one.sop_instance_uid,
                "calling_ae_title": one.calling_ae_title,
                "state": one.state.value,
                "reason": one.reason,
                "images": {uid: len(found) for uid, found in one.listed.items()},
            }
            for one in announced
        ],
    }


def _reasons_data(reasons: Sequence[Reason]) -> list[dict[str, object]]:
    return [
        {
            "series_instance_uid": one.series_instance_uid,
            "condition": one.condition,
            "found": one.found,
            "holds": one.holds,
        }
        for one in reasons
    ]
