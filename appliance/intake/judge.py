"""One route, one study, one moment → what routing and backfill say (pure).

The orchestrator and `appliance explain` both come through here, so they never disagree.
"""

from dataclasses import dataclass
from datetime import datetime

from appliance.core.model import RouteDecision, StudySummary
from appliance.intake.age import study_age
from appliance.intake.backfill import is_backfill, with_backfill
from appliance.intake.options import Backfill, IntakeOptions, RoutePlan
from appliance.routing.decide import Assessment, assess
from results_store.jobs import SendTo


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a route says of a study now."""

    assessment: Assessment
    decision: RouteDecision  # with what age and door mean
    send: tuple[SendTo, ...]  # where results may go; empty for a shadow


def judge(plan: RoutePlan, study: StudySummary, options: IntakeOptions, now: datetime) -> Judgement:
    """Return what the route says of the study, as far as it is here, at `now`."""
    assessment = assess(plan.route, study, options.inputs())
    images = (image.attributes for series in study.series for image in series.instances)
    age = study_age(images, plan.max_age, options.time_zone, now)
    decision = with_backfill(assessment.decision, age, plan.max_age, study.door, plan.backfill)
    stays_here = is_backfill(age, study.door) and plan.backfill is not Backfill.SEND
    return Judgement(assessment=assessment, decision=decision, send=() if stays_here else plan.send)
