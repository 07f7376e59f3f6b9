"""What it means for a route that a study is no news: too old, or not sent to us (pure).

Who fetches or imports a study looks back, whatever its date: nothing leaves for it unless the
route says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from appliance.core.model import Door, Reason, RouteDecision
from appliance.core.quantities import format_duration
from appliance.intake.age import Age
from appliance.intake.options import Backfill


def is_backfill(age: Age, door: Door) -> bool:
    """Return whether results may leave only where the route says `backfill: send`."""
    return age.too_old or door is not Door.PUSHED


def with_backfill(
    decision: RouteDecision, age: Age, max_age: timedelta | None, door: Door, backfill: Backfill
) -> RouteDecision:
    """Return a matching decision with what age and door mean for it; others as they are."""
    if not decision.matched:
        return decision
    if is_backfill(age, door):
        return _told(decision, _reasons(age, max_age, door), backfill)
    if max_age is not None and age.taken_at is None:
        unknown = f"the study's age is unknown (limit {format_duration(max_age)})"
        return replace(decision, summary=f"{decision.summary}; {unknown}")
    return decision


def _reasons(
    age: Age, max_age: timedelta | None, door: Door
) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
    reasons: list[Reason] = []
    said: list[str] = []
    if age.too_old and age.taken_at is not None and max_age is not None:
        limit, taken = format_duration(max_age), f"{age.taken_at:%Y-%m-%d}"
        condition = f"the study is at most {limit} old"
        reasons.append(Reason(condition=condition, found=taken, holds=False))
        said.append(f"from {taken}, older than {limit}")
    if door is not Door.PUSHED:
        condition = "the study was sent to us"
        reasons.append(Reason(condition=condition, found=door.value, holds=False))
        said.append(f"{door.value}, not sent to us")
    return tuple(reasons), tuple(said)


def _told(
    decision: RouteDecision,
    why: tuple[Sequence[Reason], Sequence[str]],
    backfill: Backfill,
) -> RouteDecision:
    reasons = (*why[0], *decision.reasons)
    said = f"the study is {' and '.join(why[1])}"
    match backfill:
        case Backfill.SKIP:
            summary = f"not run: {said}"
            return replace(decision, matched=False, inputs=(), reasons=reasons, summary=summary)
        case Backfill.SHADOW:
            summary = f"{decision.summary}; nothing is sent: {said}"
            return replace(decision, reasons=reasons, summary=summary)
        case Backfill.SEND:
            return replace(decision, reasons=reasons, summary=f"{decision.summary}; {said}")
