"""When the inputs of a route are complete."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.model import RouteDecision, SelectedInput
from appliance.intake.arrival import Arrival
from appliance.intake.completion import Completion, Outcome, Signal, evaluate
from appliance.intake.options import Ceiling, CompleteOptions
from appliance.routing.decide import Assessment

START = datetime(2026, 1, 2, 12, tzinfo=UTC)
OPTIONS = CompleteOptions(quiet=timedelta(seconds=30), at_most=timedelta(hours=2))


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def arrival(
    *,
    images: int = 3,
    at: float = 0,
    announced: int | None = None,
    counted: int | None = None,
) -> Arrival:
    return Arrival(
        series_instance_uid="",
        label="series 1",
        images=images,
        image_uids=frozenset(map(str, range(images))),
        other_uids=frozenset(),
        last_received_at=after(at),
        announced_images=announced,
        counted_instances=counted,
    )


def assessment(
    *filled: str,
    missing: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    when_met: tuple[str, ...] | None = None,
) -> Assessment:
    chosen = tuple(
        SelectedInput(
            pipeline="p", input_name=uid, series_instance_uid=uid, sop_instance_uids=(), why=""
        )
        for uid in filled
    )
    matched = bool(chosen) and not missing
    return Assessment(
        decision=RouteDecision(
            route="r", matched=matched, reasons=(), inputs=chosen if matched else (), summary=""
        ),
        when_met=filled if when_met is None else when_met,
        filled=chosen,
        missing=missing,
        missing_optional=optional,
    )


def look(
    found: Assessment,
    seconds: float,
    *,
    last: float = 0,
    options: CompleteOptions = OPTIONS,
    **arrivals: Arrival,
) -> Completion:
    return evaluate(options, found, arrivals, after(last), after(seconds))


def test_a_filled_route_waits_for_the_quiet_time_and_then_closes() -> None:
    waiting = look(assessment("a"), 29.9, a=arrival())
    assert waiting.outcome is Outcome.WAITING
    assert waiting.look_again_at == after(30)
    closed = look(assessment("a"), 30, a=arrival())
    assert (closed.outcome, closed.signal) == (Outcome.CLOSED, Signal.QUIET)


def test_images_of_other_series_do_not_extend_the_quiet_time() -> None:
    arrivals = {"a": arrival(at=0), "b": arrival(at=29)}
    assert look(assessment("a"), 30, last=29, **arrivals).outcome is Outcome.CLOSED


def test_each_chosen_series_has_to_be_quiet() -> None:
    arrivals = {"a": arrival(at=0), "b": arrival(at=20)}
    waiting = look(assessment("a", "b"), 30, last=20, **arrivals)
    assert waiting.look_again_at == after(50)


def test_a_missing_required_input_is_waited_for_until_the_ceiling_and_then_held() -> None:
    partly = assessment("a", missing=("p/b",))
    waiting = look(partly, 7199, a=arrival())
    assert (waiting.outcome, waiting.deadline) == (Outcome.WAITING, after(7200))
    held = look(partly, 7200, a=arrival())
    assert (held.outcome, held.reason) == (Outcome.HELD, "no series for p/b")


def test_the_ceiling_counts_from_the_last_image_of_the_study() -> None:
    partly = assessment("a", missing=("p/b",))
    assert look(partly, 7200, last=60, a=arrival()).outcome is Outcome.WAITING
    assert look(partly, 7260, last=60, a=arrival()).outcome is Outcome.HELD


def test_then_proceed_never_runs_without_a_required_input() -> None:
    proceed = CompleteOptions(quiet=OPTIONS.quiet, at_most=OPTIONS.at_most, then=Ceiling.PROCEED)
    partly = assessment("a", missing=("p/b",))
    assert look(partly, 9999, options=proceed, a=arrival()).outcome is Outcome.HELD


def test_a_series_that_meets_only_the_route_is_held_at_the_ceiling_too() -> None:
    found = assessment(missing=("p/a",), when_met=("x",))
    assert look(found, 3600, x=arrival()).outcome is Outcome.WAITING
    assert look(found, 7200, x=arrival()).outcome is Outcome.HELD


def test_a_study_that_no_series_of_meets_the_route_closes_after_the_quiet_time() -> None:
    found = assessment(missing=("p/a",), when_met=())
    assert look(found, 29, x=arrival()).look_again_at == after(30)
    closed = look(found, 30, x=arrival())
    assert (closed.outcome, closed.signal) == (Outcome.CLOSED, Signal.QUIET)


@pytest.mark.parametrize("short", [{"counted": 5}, {"announced": 5}])
def test_a_count_above_what_is_here_delays_until_the_ceiling(short: dict[str, int]) -> None:
    waiting = look(assessment("a"), 31, a=arrival(**short))
    assert (waiting.outcome, waiting.look_again_at) == (Outcome.WAITING, after(7200))
    assert waiting.reason.startswith("series 1 has 3 of 5")
    assert look(assessment("a"), 7200, a=arrival(**short)).outcome is Outcome.HELD


def test_with_then_proceed_the_ceiling_closes_and_notes_what_is_missing() -> None:
    proceed = CompleteOptions(quiet=OPTIONS.quiet, at_most=OPTIONS.at_most, then=Ceiling.PROCEED)
    closed = look(assessment("a"), 7200, options=proceed, a=arrival(counted=5))
    assert (closed.outcome, closed.signal) == (Outcome.CLOSED, Signal.CEILING)
    assert closed.notes == ("series 1 has 3 of 5 instances",)


@pytest.mark.parametrize(
    "agreeing", [{"counted": 3}, {"announced": 3}, {"counted": 3, "announced": 9}]
)
def test_a_count_that_agrees_confirms_but_only_after_the_quiet_time(
    agreeing: dict[str, int],
) -> None:
    assert look(assessment("a"), 10, a=arrival(**agreeing)).outcome is Outcome.WAITING
    closed = look(assessment("a"), 30, a=arrival(**agreeing))
    assert (closed.outcome, closed.signal) == (Outcome.CLOSED, Signal.COUNTS)


def test_a_peer_that_counts_less_is_still_receiving_and_says_nothing() -> None:
    closed = look(assessment("a"), 30, a=arrival(counted=2))
    assert (closed.outcome, closed.signal) == (Outcome.CLOSED, Signal.QUIET)


def test_an_input_that_is_not_required_is_waited_for_until_the_ceiling_and_noted() -> None:
    found = assessment("a", optional=("p/b",))
    assert look(found, 60, a=arrival()).outcome is Outcome.WAITING
    closed = look(found, 7200, a=arrival())
    assert (closed.outcome, closed.notes) == (Outcome.CLOSED, ("without p/b",))


_arrivals = st.builds(
    arrival,
    images=st.integers(1, 5),
    at=st.floats(0, 100),
    announced=st.none() | st.integers(1, 9),
    counted=st.none() | st.integers(1, 9),
)
_options = st.builds(
    CompleteOptions,
    quiet=st.just(timedelta(seconds=30)),
    at_most=st.integers(30, 300).map(lambda seconds: timedelta(seconds=seconds)),
    then=st.sampled_from(Ceiling),
)


@given(_options, _arrivals, st.booleans(), st.booleans(), st.floats(100, 1000))
def test_no_route_ever_runs_without_a_required_input(
    options: CompleteOptions, one: Arrival, filled: bool, partly: bool, now: float
) -> None:
    found = assessment(
        *(["a"] if filled else []), missing=("p/b",), when_met=("a",) if filled or partly else ()
    )
    outcome = look(found, now, last=100, options=options, a=one).outcome
    if outcome is Outcome.CLOSED:
        assert not found.when_met
        assert not found.decision.matched


@given(_options, _arrivals, st.floats(0, 1000))
def test_every_look_either_ends_the_wait_or_names_a_later_moment_to_look_again(
    options: CompleteOptions, one: Arrival, passed: float
) -> None:
    now = max(passed, (one.last_received_at - START).total_seconds())
    last = (one.last_received_at - START).total_seconds()
    completion = look(assessment("a"), now, last=last, options=options, a=one)
    if completion.outcome is Outcome.WAITING:
        assert completion.look_again_at is not None
        assert completion.look_again_at > after(now)
    elif completion.outcome is Outcome.CLOSED:
        assert after(now) >= one.last_received_at + options.quiet
