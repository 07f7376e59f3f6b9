"""One route, one study, one moment → what routing, backfill and releases say (pure).

The orchestrator and `appliance explain` both come through here, so they never disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from appliance.core.model import Reason, RouteDecision, StudySummary
from appliance.intake.age import study_age
from appliance.intake.backfill import is_backfill, with_backfill
from appliance.intake.options import Backfill, IntakeOptions, RoutePlan
from appliance.routing.decide import Assessment, assess

_LOOKS_BACK = "the study is no news (backfill)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a route says of a study now."""

    assessment: Assessment
    decision: RouteDecision  # with what age and door mean, and releases
    shadows: Mapping[str, str]  # why results stay here though the route sends, by pipeline


def judge(plan: RoutePlan, study: StudySummary, options: IntakeOptions, now: datetime) -> Judgement:
    """Return what the route says of the study, as far as it is here, at `now`."""
    assessment = assess(plan.route, study, options.inputs())
    images = (image.attributes for series in study.series for image in series.instances)
    age = study_age(images, plan.max_age, options.time_zone, now)
    decision = with_backfill(assessment.decision, age, plan.max_age, study.door, plan.backfill)
    shadows = plan.shadows(now.astimezone(options.time_zone).date())
    decision = _with_shadows(decision, shadows)
    if plan.send and is_backfill(age, study.door) and plan.backfill is not Backfill.SEND:
        shadows = dict.fromkeys(plan.route.run, _LOOKS_BACK) | dict(shadows)
    return Judgement(assessment=assessment, decision=decision, shadows=shadows)


def _with_shadows(decision: RouteDecision, shadows: Mapping[str, str]) -> RouteDecision:
    """Return a matching decision with what is not sent, and why; others as they are."""
    if not decision.matched or not shadows:
        return decision
    reasons = (
        Reason(condition=f"results of {name} may leave", found=why, holds=False)
        for name, why in shadows.items()
    )
    said = (f"nothing of {name} is sent: shadow: {why}" for name, why in shadows.items())
    summary = "; ".join((decision.summary, *said))
    return replace(decision, reasons=(*reasons, *decision.reasons), summary=summary)
