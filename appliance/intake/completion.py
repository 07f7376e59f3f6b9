"""Are a route's inputs complete at this moment? Pure: values in, a value out.

What decides, in this order:

1. No series meets the route's `when`: closed after the quiet time as not matched, so that
   everybody can read why. A later image opens it again.
2. A person released the held route: closed with what is here, and what lacks is noted. Nothing
   runs without a required input, whoever asks for it.
3. A series meets `when`, but a required input has none: quiet time never closes over that. At the
   ceiling (`at_most` after the study's last image) the route is held: a person has to look. After
   a step that was discontinued it is held when the quiet time is over.
4. Every required input has its series, and they are exactly what a completed procedure step
   (MPPS) or an archive (IAN) listed, with nothing that was listed still to begin: closed at once.
5. Else it waits until nothing came for them for the quiet time. Images of other series, and what
   is no image, don't extend it. Then
   - a step that was discontinued holds the route;
   - a list or a count (from the PACS or the headers) above what is here, or a step that goes on,
     delays until the ceiling, where the route is held or, if its `then` says so, proceeds with a
     note;
   - an input that the pipeline can do without is waited for until the ceiling, and noted;
   - a count that agrees confirms. Counts never close before the quiet time is over: whoever
     counts is still receiving as well. Lists do: who made the images knows that they are all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from appliance.core.quantities import format_duration
from appliance.intake.arrival import Arrival
from appliance.intake.options import Ceiling, CompleteOptions
from appliance.intake.standing import Standing, standing
from appliance.routing.decide import Assessment
from results_store.announcements import Announcement, Kind


class Outcome(StrEnum):
    """What is to be done with the route now."""

    WAITING = "waiting"
    CLOSED = "closed"
    HELD = "held"


class Signal(StrEnum):
    """What closed a route."""

    QUIET = "quiet"  # the quiet time was over
    COUNTS = "quiet+counts"  # and every chosen series has as many images as were announced
    MPPS = "mpps"  # completed procedure steps list what is here
    IAN = "ian"  # an archive lists what is here as available
    CEILING = "at-most"  # waiting for the rest ended
    RELEASED = "released"  # a person said to go on


_SIGNALS = {Kind.MPPS: Signal.MPPS, Kind.IAN: Signal.IAN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What others than the images say of the study."""

    announced: tuple[Announcement, ...] = ()
    here: frozenset[str] = frozenset()  # every series of which something came
    released_by: str | None = None  # who said to go on with what is here


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
    said: Said = Said(),
) -> Completion:
    """Return whether the route waits, closes or is held.

    `arrivals` has every image series of the study; `last_image_at` is when its last image came.
    """
    deadline = last_image_at + options.at_most
    if not assessment.when_met:
        return _unmatched(last_image_at + options.quiet, now)
    chosen = [arrivals[one.series_instance_uid] for one in assessment.filled]
    stand = standing(said.announced, chosen, said.here)
    if said.released_by is not None:
        return _released(said.released_by, assessment, _lacking(assessment, chosen, stand))
    if assessment.missing:
        quiet_until = last_image_at + options.quiet if stand.stopped else deadline
        return _incomplete(assessment, stand.stopped, min(quiet_until, deadline), now)
    return _filled(options, assessment, chosen, stand, deadline, now)


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


def _released(by: str, assessment: Assessment, lacking: "_Lacking") -> Completion:
    if assessment.missing:
        reason = f"released by {by}, but no series for {', '.join(assessment.missing)}"
        return Completion(outcome=Outcome.HELD, reason=reason)
    notes = (*lacking.all(), f"released by {by}")
    reason = "; ".join(notes)
    return Completion(outcome=Outcome.CLOSED, reason=reason, signal=Signal.RELEASED, notes=notes)


def _incomplete(assessment: Assessment, stopped: str, until: datetime, now: datetime) -> Completion:
    reason = f"no series for {', '.join(assessment.missing)}"
    if now >= until:
        reason = f"{stopped}; {reason}" if stopped else reason
        return Completion(outcome=Outcome.HELD, reason=reason)
    return Completion(outcome=Outcome.WAITING, reason=reason, look_again_at=until, deadline=until)


def _filled(
    options: CompleteOptions,
    assessment: Assessment,
    chosen: Sequence[Arrival],
    stand: Standing,
    deadline: datetime,
    now: datetime,
) -> Completion:
    """Return what follows where every required input has its series."""
    if stand.closes_by and not (stand.stopped or assessment.missing_optional):
        signal = _SIGNALS[stand.closes_by]
        return Completion(outcome=Outcome.CLOSED, reason="complete", signal=signal)
    quiet_until = max((one.last_received_at for one in chosen), default=deadline - options.at_most)
    quiet_until += options.quiet
    if now < quiet_until:
        return Completion(
            outcome=Outcome.WAITING,
            reason=f"images came less than {format_duration(options.quiet)} ago",
            look_again_at=quiet_until,
            deadline=deadline,
        )
    if stand.stopped:
        return Completion(outcome=Outcome.HELD, reason=stand.stopped)
    lacking = _lacking(assessment, chosen, stand)
    if not lacking.all():
        counted = all(_confirmed(one, stand) for one in chosen)
        return Completion(
            outcome=Outcome.CLOSED,
            reason="complete",
            signal=Signal.COUNTS if counted else Signal.QUIET,
            is_quiet=True,
        )
    return _wanting(options, lacking, deadline, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lacking:
    """What a route lacks whose required inputs have their series."""

    short: tuple[str, ...]  # images that ought to come
    without: tuple[str, ...]  # inputs that the pipeline can do without

    def all(self) -> tuple[str, ...]:
        return (*self.short, *self.without)


def _lacking(assessment: Assessment, chosen: Sequence[Arrival], stand: Standing) -> _Lacking:
    unsettled = [one for one in chosen if one.series_instance_uid not in stand.settled]
    short = (*stand.short, *(text for one in unsettled for text in _short(one)))
    return _Lacking(
        short=tuple(dict.fromkeys(short)),
        without=tuple(f"without {name}" for name in assessment.missing_optional),
    )


def _wanting(
    options: CompleteOptions, lacking: _Lacking, deadline: datetime, now: datetime
) -> Completion:
    """Return what follows when the chosen series are quiet and something lacks."""
    reason = "; ".join(lacking.all())
    if now < deadline:
        return Completion(
            outcome=Outcome.WAITING,
            reason=reason,
            look_again_at=deadline,
            deadline=deadline,
            is_quiet=True,
        )
    if lacking.short and options.then is Ceiling.HOLD:
        return Completion(outcome=Outcome.HELD, reason=reason, is_quiet=True)
    return Completion(
        outcome=Outcome.CLOSED,
        reason=reason,
        signal=Signal.CEILING,
        notes=lacking.all(),
        is_quiet=True,
    )


def _short(one: Arrival) -> Iterator[str]:
    """Yield what is missing. A peer that counts is believed before a header that announces."""
    if one.counted_instances is not None:
        if one.counted_instances > one.instances:
            yield f"{one.label} has {one.instances} of {one.counted_instances} instances"
    elif one.announced_images is not None and one.announced_images > one.images:
        yield f"{one.label} has {one.images} of {one.announced_images} images"


def _confirmed(one: Arrival, stand: Standing) -> bool:
    if one.series_instance_uid in stand.settled:
        return True
    if one.counted_instances is not None:
        return one.counted_instances == one.instances
    return one.announced_images == one.images
