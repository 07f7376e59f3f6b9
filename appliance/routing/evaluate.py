"""A condition on a series: whether it holds, and why.

A condition holds for a series when it holds for each of its images: one image with contrast
makes `ContrastBolusAgent: {exists: false}` fail. Inside `instance:` one image is enough. Study
and patient attributes are part of what each image has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.core.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Not,
    SomeInstance,
    Test,
    attributes_in,
)
from appliance.core.model import Attributes, Reason, SeriesSummary
from appliance.routing.values import holds
from appliance.routing.wording import found, shortfall, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One reason, and how a person is told where it does not hold."""

    reason: Reason
    shortfall: str


def distinct_images(series: SeriesSummary, attributes: frozenset[str]) -> tuple[Attributes, ...]:
    """Return what the images have of these attributes, each different picture once."""
    shared = {key: series.attributes[key] for key in attributes if key in series.attributes}
    own = sorted(attributes - shared.keys())
    different = dict.fromkeys(
        tuple(instance.attributes.get(key) for key in own) for instance in series.instances
    ) or {tuple(None for _ in own): None}
    return tuple(
        shared | {key: value for key, value in zip(own, values, strict=True) if value is not None}
        for values in different
    )


def series_meets(condition: Condition, series: SeriesSummary) -> bool:
    """Return whether the series meets the condition."""
    return _all_meet(condition, distinct_images(series, attributes_in(condition)))


def _all_meet(condition: Condition, images: Sequence[Attributes]) -> bool:
    return all(_meets(condition, image, images) for image in images)


def _meets(condition: Condition, image: Attributes, images: Sequence[Attributes]) -> bool:
    match condition:
        case Test():
            return holds(condition, image.get(condition.attribute))
        case AllOf():
            return all(_meets(part, image, images) for part in condition.parts)
        case AnyOf():
            return any(_meets(part, image, images) for part in condition.parts)
        case Not():
            return not _meets(condition.part, image, images)
        case SomeInstance():
            return any(_meets(condition.part, other, (other,)) for other in images)


def explain(condition: Condition, series: SeriesSummary, prefix: str = "") -> tuple[Verdict, ...]:
    """Return a verdict for every part that has to hold, in the order in which they are written."""
    if isinstance(condition, AllOf):
        return tuple(v for part in condition.parts for v in explain(part, series, prefix))
    images = distinct_images(series, attributes_in(condition))
    reason = Reason(
        condition=prefix + text(condition),
        found=found(condition, images),
        holds=_all_meet(condition, images),
        series_instance_uid=series.series_instance_uid,
    )
    told = "" if reason.holds else shortfall(condition, images)
    return (Verdict(reason=reason, shortfall=told),)
