"""Are a route's inputs complete at this moment? Pure: values in, a value out.

What decides, in this order:

1. No series meets the route's `when`: closed after the quiet time as not matched, so that
   everybody can read why. A later image opens it again.
2. A series meets `when`, but a required input has none: quiet time never closes over that. At the
   ceiling (`at_most` after the study's last image) the route is held: a person has to look.
3. Every required input has its series: waits until nothing came for them for the quiet time.
   Images of other series, and what is no image, don't extend it. Then
   - a count (from the PACS or the headers) above what is here delays until the ceiling, where
     the route is held or, if its `then` says so, proceeds with a note;
   - an input that the pipeline can do without is waited for until the ceiling, and noted;
   - a count that agrees confirms. Counts never close before the quiet time is over: whoever
     counts is still receiving as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from appliance.core.quantities import format_duration
from appliance.intake.options import Ceiling, CompleteOptions
from appliance.routing.decide import Assessment


class Outcome(StrEnum):
    """What is to be done with the route now."""

    WAITING = "waiting"
    CLOSED = "closed"
    HELD = "held"


class Signal(StrEnum):
    """What closed a route."""

    QUIET = "quiet"  # the quiet time was over
    COUNTS = "quiet+counts"  # and every chosen series has as many images as were announced
    CEILING = "at-most"  # waiting for the rest ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What is here of one series of images."""

    label: str  # as people know it
    images: int  # frames
    instances: int
    last_received_at: datetime
    announced_images: int | None  # by its own headers; frames
    counted_instances: int | None  # by the peer that was asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What to do with a route, why, and when to look again."""

    outcome: Outcome
    reason: str
    signal: Signal | None = None  # of a closed route
    look_again_at: datetime | None = None  # of a waiting one
    deadline: datetime | None = None  # when waiting ends whatever comes
    notes: tuple[str, ...] = ()  # what a route lacks that closes even so
    is_quiet: bool = False  # every input is there and quiet: now a peer's counts are worth asking


def evaluate(
    options: CompleteOptions,
    assessment: Assessment,
    arrivals: Mapping[str, Arrival],
    last_image_at: datetime,
    now: datetime,
) -> Completion:
    """Return whether the route waits, closes or is held.

    `arrivals` has every image series of the study; `last_image_at` is when its last image came.
    """
    deadline = last_image_at + options.at_most
    if not assessment.when_met:
        return _unmatched(last_image_at + options.quiet, now)
    if assessment.missing:
        return _incomplete(assessment, deadline, now)
    chosen = [arrivals[one.series_instance_uid] for one in assessment.filled]
    quiet_until = max((one.last_received_at for one in chosen), default=last_image_at)
    quiet_until += options.quiet
    if now < quiet_until:
        return Completion(
            outcome=Outcome.WAITING,
            reason=f"images came less than {format_duration(options.quiet)} ago",
            look_again_at=quiet_until,
            deadline=deadline,
        )
    return _settled(options, assessment, chosen, deadline, now)


def _unmatched(quiet_until: datetime, now: datetime) -> Completion:
    if now < quiet_until:
        return Completion(
            outcome=Outcome.WAITING,
            reason="no series meets the route's conditions so far",
            look_again_at=quiet_until,
            deadline=quiet_until,
        )
    return Completion(
        outcome=Outcome.CLOSED, reason="no series meets the route", signal=Signal.QUIET
    )


def _incomplete(assessment: Assessment, deadline: datetime, now: datetime) -> Completion:
    reason = f"no series for {', '.join(assessment.missing)}"
    if now >= deadline:
        return Completion(outcome=Outcome.HELD, reason=reason)
    return Completion(
        outcome=Outcome.WAITING, reason=reason, look_again_at=deadline, deadline=deadline
    )


def _settled(
    options: CompleteOptions,
    assessment: Assessment,
    chosen: list[Arrival],
    deadline: datetime,
    now: datetime,
) -> Completion:
    """Return what follows when the chosen series are quiet."""
    short = tuple(dict.fromkeys(text for one in chosen for text in _short(one)))
    without = tuple(f"without {name}" for name in assessment.missing_optional)
    if not short and not without:
        counted = all(_confirmed(one) for one in chosen)
        return Completion(
            outcome=Outcome.CLOSED,
            reason="complete",
            signal=Signal.COUNTS if counted else Signal.QUIET,
            is_quiet=True,
        )
    reason = "; ".join((*short, *without))
    if now < deadline:
        return Completion(
            outcome=Outcome.WAITING,
            reason=reason,
            look_again_at=deadline,
            deadline=deadline,
            is_quiet=True,
        )
    if short and options.then is Ceiling.HOLD:
        return Completion(outcome=Outcome.HELD, reason=reason, is_quiet=True)
    return Completion(
        outcome=Outcome.CLOSED,
        reason=reason,
        signal=Signal.CEILING,
        notes=(*short, *without),
        is_quiet=True,
    )


def _short(one: Arrival) -> Iterator[str]:
    """Yield what is missing. A peer that counts is believed before a header that announces."""
    if one.counted_instances is not None:
        if one.counted_instances > one.instances:
            yield f"{one.label} has {one.instances} of {one.counted_instances} instances"
    elif one.announced_images is not None and one.announced_images > one.images:
        yield f"{one.label} has {one.images} of {one.announced_images} images"


def _confirmed(one: Arrival) -> bool:
    if one.counted_instances is not None:
        return one.counted_instances == one.instances
    return one.announced_images == one.images
