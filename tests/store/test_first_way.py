"""One study through every table."""

from datetime import timedelta

from appliance.core.states import DeliveryEvent, DeliveryState, JobState, RouteState
from results_store.indexing import IndexOutcome
from results_store.store import Store
from tests.store import world
from tests.store.world import LEASE, START, STUDY


def test_a_study_goes_from_its_first_image_to_a_delivered_result(store: Store) -> None:
    assert store.studies.index(world.received(1), world.facts()) is IndexOutcome.NEW
    assert store.studies.dirty() == (STUDY,)
    store.routes.waiting(STUDY, "brain", "quiet time", START + timedelta(hours=2))
    job = world.submit(store)
    assert store.routes.of_study(STUDY)[0].state is RouteState.CLOSED
    assert store.decisions.of_study(STUDY)[0].decision == world.decision()

    done = world.finish(store)
    assert (done.job_id, done.state) == (job.job_id, JobState.DONE)
    assert store.results.findings(job.job_id) == world.result().findings
    assert store.results.segments(job.job_id) == world.result().segments
    assert store.results.features(job.job_id) == world.result().features
    assert store.results.notes(job.job_id) == world.result().notes
    assert store.results.embedding(job.job_id) == world.result().embedding

    for expected in store.results.objects(job.job_id):
        held = store.deliveries.claim("c1", LEASE, START)
        assert held is not None
        assert held.result == expected
        sent = store.deliveries.move(
            held.delivery_id, "c1", DeliveryEvent.ACCEPTED, "", START, START
        )
        assert sent in store.deliveries.to_prove(START, destination=sent.destination)
        store.deliveries.move(held.delivery_id, "c1", DeliveryEvent.PROVEN, "", None, START)
    states = {delivery.state for delivery in store.deliveries.of_study(STUDY)}
    assert states == {DeliveryState.DELIVERED}
