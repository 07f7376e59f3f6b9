"""The tables of states: whole, reachable, and as the page shows them."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from appliance.core.errors import IllegalTransition
from appliance.core.states import (
    DELIVERY_TRANSITIONS,
    JOB_TRANSITIONS,
    ROUTE_TRANSITIONS,
    DeliveryEvent,
    DeliveryState,
    JobEvent,
    JobState,
    RouteEvent,
    RouteState,
    next_state,
    terminal,
)
from appliance.jobs.document import job_states

ROOT = Path(__file__).parents[2]
JOBS = (JOB_TRANSITIONS, JobState, JobEvent, JobState.QUEUED)
DELIVERIES = (DELIVERY_TRANSITIONS, DeliveryState, DeliveryEvent, DeliveryState.PENDING)
ROUTES = (ROUTE_TRANSITIONS, RouteState, RouteEvent, RouteState.OPEN)
MACHINES = [JOBS, DELIVERIES, ROUTES]
PAIRS = [
    pytest.param(table, state, event, id=f"{state}-{event}")
    for table, states, events, _ in MACHINES
    for state, event in product(states, events)
]

Table = Mapping[tuple[Any, Any], Any]


@pytest.mark.parametrize(("table", "state", "event"), PAIRS)
def test_every_event_moves_or_is_refused_in_every_state(
    table: Table, state: StrEnum, event: StrEnum
) -> None:
    if (state, event) in table:
        assert next_state(table, state, event) in type(state)
    else:
        with pytest.raises(IllegalTransition, match=f"{event} is not allowed in state {state}"):
            next_state(table, state, event)


@pytest.mark.parametrize(("table", "states", "events", "first"), MACHINES)
def test_every_state_is_reached_and_every_event_happens(
    table: Table, states: type[StrEnum], events: type[StrEnum], first: StrEnum
) -> None:
    reached = {first}
    while new := {after for (before, _), after in table.items() if before in reached} - reached:
        reached |= new
    assert reached == set(states)
    assert {event for _, event in table} == set(events)


def test_finished_jobs_stay_finished_and_only_a_failed_one_is_retried() -> None:
    assert terminal(JOB_TRANSITIONS, JobState) == {
        JobState.DONE,
        JobState.REFUSED,
        JobState.CANCELLED,
    }
    leaving = {e for (state, e) in JOB_TRANSITIONS if state is JobState.FAILED}
    assert leaving == {JobEvent.RETRY}


def test_a_delivery_ends_only_when_cancelled_and_leaves_other_ends_only_by_a_person() -> None:
    assert terminal(DELIVERY_TRANSITIONS, DeliveryState) == {DeliveryState.CANCELLED}
    for state in (DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.HELD):
        leaving = {e for (s, e) in DELIVERY_TRANSITIONS if s is state}
        assert leaving <= {DeliveryEvent.RESEND, DeliveryEvent.CANCEL}


def test_delivered_is_reached_by_proof_alone() -> None:
    ways = {key for key, after in DELIVERY_TRANSITIONS.items() if after is DeliveryState.DELIVERED}
    assert ways == {(DeliveryState.SENT, DeliveryEvent.PROVEN)}


def test_done_is_reached_by_completion_of_a_running_job_alone() -> None:
    ways = {key for key, after in JOB_TRANSITIONS.items() if after is JobState.DONE}
    assert ways == {(JobState.RUNNING, JobEvent.COMPLETE)}


def test_the_page_of_states_is_drawn_from_the_tables() -> None:
    assert (ROOT / "docs/JOB_STATES.md").read_text() == job_states(), "run `make docs`"
