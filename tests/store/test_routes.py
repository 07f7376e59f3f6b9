"""Routes of a study, decisions, pauses."""

from datetime import timedelta

import pytest

from appliance.core.errors import IllegalTransition
from appliance.core.states import RouteState
from results_store.store import Store
from tests.store import world
from tests.store.world import START, STUDY, decision, facts, received


def test_a_waiting_route_says_why_and_until_when(store: Store) -> None:
    store.studies.index(received(), facts())
    deadline = START + timedelta(hours=2)
    store.routes.waiting(STUDY, "brain", "3 of 5 images", deadline)
    store.routes.waiting(STUDY, "brain", "4 of 5 images", deadline)
    (status,) = store.routes.of_study(STUDY)
    assert (status.route, status.state, status.reason) == (
        "brain",
        RouteState.OPEN,
        "4 of 5 images",
    )
    assert (status.deadline, status.opened_at, status.images_seen) == (deadline, START, 1)


def test_a_held_route_says_why_and_keeps_its_decision(store: Store) -> None:
    store.routes.hold(STUDY, "brain", "T1 is missing", decision(matched=False))
    (status,) = store.routes.of_study(STUDY)
    assert (status.state, status.reason, status.deadline) == (
        RouteState.HELD,
        "T1 is missing",
        None,
    )
    (stored,) = store.decisions.of_study(STUDY)
    assert (stored.decision, stored.signal) == (decision(matched=False), "held")


def test_a_route_that_matched_nothing_is_closed_with_its_reasons(store: Store) -> None:
    store.routes.close_without_jobs(STUDY, decision(matched=False), "quiet")
    (status,) = store.routes.of_study(STUDY)
    assert (status.state, status.signal, status.closed_at) == (RouteState.CLOSED, "quiet", START)
    (stored,) = store.decisions.of_study(STUDY)
    assert (stored.decision.reasons, stored.decided_at) == (decision().reasons, START)


def test_closing_a_closed_route_changes_nothing(store: Store) -> None:
    store.routes.close_without_jobs(STUDY, decision(), "quiet")
    store.routes.close_without_jobs(STUDY, decision(), "count")
    assert len(store.decisions.of_study(STUDY)) == 1
    assert store.routes.of_study(STUDY)[0].signal == "quiet"


def test_what_the_table_does_not_know_is_refused(store: Store) -> None:
    store.routes.close_without_jobs(STUDY, decision("closed"), "quiet")
    store.routes.hold(STUDY, "held", "T1 is missing", decision("held"))
    with pytest.raises(IllegalTransition):
        store.routes.waiting(STUDY, "closed", "no", None)
    with pytest.raises(IllegalTransition):
        store.routes.hold(STUDY, "closed", "no", decision("closed"))
    with pytest.raises(IllegalTransition):
        store.routes.hold(STUDY, "held", "no", decision("held"))
    with pytest.raises(IllegalTransition):
        store.routes.close_without_jobs(STUDY, decision("held"), "quiet")
    with pytest.raises(IllegalTransition):
        store.commands.submit_runs(STUDY, decision("held"), "quiet", (world.new_run(),), START)
    assert store.jobs.of_study(STUDY) == ()
    assert len(store.decisions.of_study(STUDY)) == 2


def test_what_is_paused_is_listed_until_it_is_resumed(store: Store) -> None:
    store.controls.pause("route", "brain", "anna")
    store.controls.pause("route", "brain", "ben")
    store.controls.pause("destination", "pacs", "anna")
    assert store.controls.paused() == {("route", "brain"), ("destination", "pacs")}
    store.controls.resume("route", "brain")
    store.controls.resume("route", "brain")
    assert store.controls.paused() == {("destination", "pacs")}
