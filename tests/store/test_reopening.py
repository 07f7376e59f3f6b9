"""A route that closed without a job opens again; one with jobs stays as it was decided."""

from appliance.core.states import RouteState
from results_store.store import Store
from tests.store import world
from tests.store.world import START, STUDY, decision


def test_a_route_that_closed_without_a_job_opens_again_for_a_new_image(store: Store) -> None:
    store.routes.close_without_jobs(STUDY, decision(matched=False), "quiet")
    assert store.routes.reopen(STUDY, "brain")
    (status,) = store.routes.of_study(STUDY)
    assert (status.state, status.closed_at, status.signal) == (RouteState.OPEN, None, "")
    assert store.commands.submit_runs(STUDY, decision(), "quiet", (world.new_run(),), START)
    assert len(store.decisions.of_study(STUDY)) == 2


def test_a_route_with_jobs_stays_as_it_was_decided(store: Store) -> None:
    store.commands.submit_runs(STUDY, decision(), "quiet", (world.new_run(),), START)
    assert not store.routes.reopen(STUDY, "brain")
    assert store.routes.of_study(STUDY)[0].state is RouteState.CLOSED
