"""What announced steps and instances do to a route's closing."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.intake.arrival import Arrival
from appliance.intake.completion import Completion, Outcome, Said, Signal, evaluate
from appliance.intake.options import Ceiling, CompleteOptions
from appliance.routing.decide import Assessment
from results_store.announcements import Announced, Announcement, Kind
from tests.unit.test_completion import OPTIONS, START, after, assessment

COMPLETED, DISCONTINUED = Announced.COMPLETED, Announced.DISCONTINUED
PROCEED = CompleteOptions(quiet=OPTIONS.quiet, at_most=OPTIONS.at_most, then=Ceiling.PROCEED)


def arrival(uid: str, images: int, *, announced: int | None = None) -> Arrival:
    return Arrival(
        series_instance_uid=uid,
        label=f"series {uid}",
        images=images,
        image_uids=frozenset(uids(uid, images)),
        other_uids=frozenset(),
        last_received_at=START,
        announced_images=announced,
        counted_instances=None,
    )


def uids(series: str, number: int) -> Iterable[str]:
    return [f"{series}.{one}" for one in range(1, number + 1)]


def step(state: Announced, reason: str = "", **listed: int) -> Announcement:
    kind = Kind.IAN if state is Announced.AVAILABLE else Kind.MPPS
    return Announcement(
        kind=kind,
        sop_instance_uid="1",
        study_instance_uid="1.2",
        state=state,
        reason=reason,
        calling_ae_title="MR01",
        listed={uid: frozenset(uids(uid, number)) for uid, number in listed.items()},
        announced_at=START,
    )


def look(
    seconds: float,
    *steps: Announcement,
    found: Assessment | None = None,
    options: CompleteOptions = OPTIONS,
    released_by: str | None = None,
    here: tuple[str, ...] = (),
    **series: int,
) -> Completion:
    arrivals = {uid: arrival(uid, images) for uid, images in (series or {"a": 3}).items()}
    said = Said(
        announced=steps, here=frozenset(arrivals) | frozenset(here), released_by=released_by
    )
    return evaluate(options, found or assessment("a"), arrivals, START, after(seconds), said)


@pytest.mark.parametrize(
    ("state", "signal"), [(COMPLETED, Signal.MPPS), (Announced.AVAILABLE, Signal.IAN)]
)
def test_a_list_of_exactly_what_is_here_closes_at_once(state: Announced, signal: Signal) -> None:
    closed = look(0, step(state, a=3))
    assert (closed.outcome, closed.signal) == (Outcome.CLOSED, signal)


def test_several_steps_and_notifications_are_one_list() -> None:
    two = assessment("a", "b")
    closed = look(0, step(COMPLETED, a=3), step(COMPLETED, b=2), found=two, a=3, b=2)
    assert closed.signal is Signal.MPPS
    mixed = look(0, step(COMPLETED, a=3), step(Announced.AVAILABLE, b=2), found=two, a=3, b=2)
    assert mixed.signal is Signal.IAN


def test_a_list_of_more_than_is_here_waits_beyond_the_quiet_time() -> None:
    listing = step(COMPLETED, a=5)
    waiting = look(60, listing)
    assert waiting.outcome is Outcome.WAITING
    assert waiting.reason == "series a lacks 2 of 5 images that were announced"
    assert look(7200, listing).outcome is Outcome.HELD
    proceeded = look(7200, listing, options=PROCEED)
    assert (proceeded.signal, proceeded.notes) == (Signal.CEILING, (waiting.reason,))


def test_images_that_no_list_names_leave_it_to_the_quiet_time() -> None:
    assert look(0, step(COMPLETED, a=2)).outcome is Outcome.WAITING
    assert look(30, step(COMPLETED, a=2)).signal is Signal.QUIET


def test_a_listed_series_of_which_nothing_came_leaves_it_to_the_quiet_time() -> None:
    listing = step(COMPLETED, a=3, b=2)  # b may be a better one than a
    assert look(0, listing).outcome is Outcome.WAITING
    assert look(30, listing).signal is Signal.COUNTS
    assert look(0, listing, b=1, a=3).signal is Signal.MPPS  # b began: a was chosen over it
    assert look(0, listing, here=("b",)).signal is Signal.MPPS  # it came, and is no image
    assert look(0, step(COMPLETED, a=3, b=0)).signal is Signal.MPPS  # has no images at all


def test_what_the_modality_lists_is_believed_before_its_headers() -> None:
    arrivals = {"a": arrival("a", 3, announced=9)}
    said = Said(announced=(step(COMPLETED, a=3, b=1),), here=frozenset("a"))
    closed = evaluate(OPTIONS, assessment("a"), arrivals, START, after(30), said)
    assert (closed.outcome, closed.signal) == (Outcome.CLOSED, Signal.COUNTS)


def test_a_step_in_progress_delays_until_the_ceiling() -> None:
    going_on = step(Announced.IN_PROGRESS)
    waiting = look(60, going_on)
    assert (waiting.outcome, waiting.reason) == (
        Outcome.WAITING,
        "a procedure step is in progress",
    )
    assert look(7200, going_on).outcome is Outcome.HELD
    assert look(7200, going_on, options=PROCEED).notes == ("a procedure step is in progress",)


def test_a_step_in_progress_does_not_delay_what_another_step_completed() -> None:
    going_on = step(Announced.IN_PROGRESS)
    assert look(0, step(COMPLETED, a=3), going_on).signal is Signal.MPPS
    assert look(30, step(COMPLETED, a=3, b=2), going_on).signal is Signal.COUNTS


def test_a_discontinued_step_holds_when_the_quiet_time_is_over_and_says_why() -> None:
    stopped = step(DISCONTINUED, "110514 DCM", a=3)
    assert look(29, stopped).outcome is Outcome.WAITING
    for options in (OPTIONS, PROCEED):
        held = look(30, stopped, options=options)
        assert held.outcome is Outcome.HELD
        assert held.reason == "a procedure step was discontinued (110514 DCM)"


def test_a_discontinued_step_holds_a_missing_input_before_the_ceiling() -> None:
    held = look(30, step(DISCONTINUED), found=assessment("a", missing=("p/b",)))
    assert held.outcome is Outcome.HELD
    assert held.reason == "a procedure step was discontinued; no series for p/b"


def test_what_was_broken_off_and_completed_by_another_step_closes() -> None:
    assert look(0, step(DISCONTINUED), step(COMPLETED, a=3)).signal is Signal.MPPS
    assert look(0, step(DISCONTINUED, b=2), step(COMPLETED, a=3), a=3, b=2).signal is Signal.MPPS
    both = look(30, step(DISCONTINUED, a=1), step(COMPLETED, a=3))  # its images are suspect
    assert both.outcome is Outcome.HELD


def test_a_list_closes_over_no_missing_input() -> None:
    listing = step(COMPLETED, a=3)
    assert look(0, listing, found=assessment("a", missing=("p/b",))).outcome is Outcome.WAITING
    optional = assessment("a", optional=("p/b",))
    assert look(60, listing, found=optional).reason == "without p/b"


def test_a_released_route_closes_with_what_is_here_and_says_what_lacks() -> None:
    released = look(1, step(COMPLETED, a=5), released_by="anna")
    assert (released.outcome, released.signal) == (Outcome.CLOSED, Signal.RELEASED)
    assert released.notes == (
        "series a lacks 2 of 5 images that were announced",
        "released by anna",
    )
    assert look(1, step(DISCONTINUED, a=3), released_by="anna").signal is Signal.RELEASED


def test_a_released_route_never_runs_without_a_required_input() -> None:
    held = look(1, found=assessment("a", missing=("p/b",)), released_by="anna")
    assert held.outcome is Outcome.HELD
    assert held.reason == "released by anna, but no series for p/b"


ANNOUNCEMENTS = st.lists(
    st.builds(
        lambda state, a, b: step(state, a=a, b=b),
        st.sampled_from(Announced),
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    max_size=3,
)


@given(steps=ANNOUNCEMENTS, seconds=st.integers(0, 8000), optional=st.booleans())
def test_no_announcement_closes_over_what_is_missing(
    steps: list[Announcement], seconds: int, *, optional: bool
) -> None:
    lacking = assessment("a", missing=("p/x",), optional=("p/y",) if optional else ())
    assert look(seconds, *steps, found=lacking).outcome is not Outcome.CLOSED


@given(steps=ANNOUNCEMENTS, seconds=st.integers(0, 8000), images=st.integers(1, 5))
def test_a_list_closes_only_over_exactly_the_images_that_it_names(
    steps: list[Announcement], seconds: int, images: int
) -> None:
    closed = look(seconds, *steps, a=images)
    if closed.signal in {Signal.MPPS, Signal.IAN}:
        listing = [one for one in steps if one.state in {COMPLETED, Announced.AVAILABLE}]
        assert frozenset().union(*(one.listed["a"] for one in listing)) == set(uids("a", images))
        assert not any(one.listed["b"] for one in listing)
