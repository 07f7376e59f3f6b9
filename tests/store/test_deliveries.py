"""The outbox."""

from datetime import timedelta

import pytest

from appliance.core.errors import IllegalTransition, StaleClaim, StoreError
from appliance.core.model import Delivery
from appliance.core.states import DELIVERY_TRANSITIONS, DeliveryEvent, DeliveryState
from results_store.deliveries import lock_delivery, move_delivery
from results_store.jobs import SendTo
from results_store.schema.outcome import delivery as delivery_table
from results_store.store import Store
from tests.store import world
from tests.store.world import LEASE, START, STUDY

LATER = START + timedelta(minutes=1)


@pytest.fixture
def pending(store: Store) -> Delivery:
    world.submit(store, send=(SendTo(destination="pacs", objects=("sr",)),))
    world.finish(store)
    (only,) = store.deliveries.of_study(STUDY)
    return only


def take(store: Store, courier: str = "c1") -> Delivery | None:
    return store.deliveries.claim(courier, LEASE, START)


def sent(store: Store, item: Delivery) -> Delivery:
    take(store)
    return store.deliveries.move(item.delivery_id, "c1", DeliveryEvent.ACCEPTED, "", LATER, START)


def test_a_claimed_delivery_is_nobody_elses(store: Store, pending: Delivery) -> None:
    held = take(store)
    assert held is not None
    assert (held.delivery_id, held.state) == (pending.delivery_id, DeliveryState.SENDING)
    assert (held.attempt, held.worker) == (1, "c1")
    assert take(store, "c2") is None


def test_a_lane_gets_only_what_goes_to_its_destination(store: Store, pending: Delivery) -> None:
    assert store.deliveries.claim("c1", LEASE, START, destination="archive") is None
    held = store.deliveries.claim("c1", LEASE, START, destination="pacs")
    assert held is not None
    assert held.delivery_id == pending.delivery_id


def test_deliveries_to_a_paused_destination_wait(store: Store, pending: Delivery) -> None:
    store.controls.pause("destination", "pacs", "anna")
    assert take(store) is None
    store.controls.resume("destination", "pacs")
    sent(store, pending)
    store.controls.pause("destination", "pacs", "anna")
    assert store.deliveries.to_prove(LATER, destination="pacs") == ()
    store.controls.resume("destination", "pacs")
    assert len(store.deliveries.to_prove(LATER, destination="pacs")) == 1


def test_a_failed_attempt_is_tried_again_at_its_time(store: Store, pending: Delivery) -> None:
    take(store)
    move = (pending.delivery_id, "c1", DeliveryEvent.FAIL_TRANSIENT, "no answer")
    failed = store.deliveries.move(*move, LATER, START)
    assert (failed.state, failed.reason) == (DeliveryState.PENDING, "no answer")
    assert failed.worker is None
    assert take(store) is None
    again = store.deliveries.claim("c1", LEASE, LATER)
    assert again is not None
    assert again.attempt == 2


def test_another_courier_cannot_move_what_it_does_not_hold(store: Store, pending: Delivery) -> None:
    take(store, "c1")
    with pytest.raises(StaleClaim):
        store.deliveries.move(pending.delivery_id, "c2", DeliveryEvent.ACCEPTED, "", None, START)
    assert store.deliveries.get(pending.delivery_id).state is DeliveryState.SENDING


def test_a_sent_delivery_is_proven_at_its_time(store: Store, pending: Delivery) -> None:
    assert sent(store, pending).delivered_at is None
    assert store.deliveries.to_prove(START, destination="pacs") == ()
    (due,) = store.deliveries.to_prove(LATER, destination="pacs")
    store.deliveries.look_again(due.delivery_id, LATER + LEASE, "the PACS did not answer")
    assert store.deliveries.to_prove(LATER, destination="pacs") == ()
    move = (due.delivery_id, "c2", DeliveryEvent.PROVEN, "")
    proven = store.deliveries.move(*move, None, LATER)
    assert (proven.state, proven.delivered_at) == (DeliveryState.DELIVERED, LATER)
    assert take(store) is None


def test_what_the_destination_does_not_hold_is_sent_again(store: Store, pending: Delivery) -> None:
    sent(store, pending)
    move = (pending.delivery_id, "c1", DeliveryEvent.MISSING, "not found")
    missing = store.deliveries.move(*move, START, START)
    assert missing.state is DeliveryState.PENDING
    again = take(store)
    assert again is not None
    assert again.result == pending.result


def test_a_silent_couriers_delivery_is_pending_again(store: Store, pending: Delivery) -> None:
    take(store)
    assert store.deliveries.expire_leases(START + LEASE) == ()
    (expired,) = store.deliveries.expire_leases(LATER)
    assert (expired.state, expired.delivery_id) == (DeliveryState.PENDING, pending.delivery_id)
    with pytest.raises(IllegalTransition):
        store.deliveries.move(pending.delivery_id, "c1", DeliveryEvent.ACCEPTED, "", None, LATER)


def test_a_held_delivery_waits_for_a_person(store: Store, pending: Delivery) -> None:
    take(store)
    move = (pending.delivery_id, "c1", DeliveryEvent.HOLD, "identity-changed")
    held = store.deliveries.move(*move, None, START)
    assert (held.state, held.reason) == (DeliveryState.HELD, "identity-changed")
    assert take(store) is None
    assert store.commands.resend(held.delivery_id).state is DeliveryState.PENDING
    assert take(store) is not None


def test_a_delivered_object_is_resent_as_it_was(store: Store, pending: Delivery) -> None:
    sent(store, pending)
    move = (pending.delivery_id, "c1", DeliveryEvent.PROVEN, "")
    store.deliveries.move(*move, None, START)
    again = store.commands.resend(pending.delivery_id)
    assert (again.result, again.delivered_at) == (pending.result, None)
    assert len(store.deliveries.list()) == 1


def test_a_cancelled_delivery_is_not_sent(store: Store, pending: Delivery) -> None:
    assert store.commands.cancel_delivery(pending.delivery_id).state is DeliveryState.CANCELLED
    assert take(store) is None
    assert store.deliveries.list(DeliveryState.CANCELLED)[0].delivery_id == pending.delivery_id
    with pytest.raises(IllegalTransition):
        store.commands.resend(pending.delivery_id)


def test_a_delivery_moves_along_the_table_and_by_nothing_else(
    store: Store, pending: Delivery
) -> None:
    number = pending.delivery_id
    for state in DeliveryState:
        for event in DeliveryEvent:
            with store.database.write() as connection:
                connection.execute(delivery_table.update().values(state=state))
                row = lock_delivery(connection, number)
                after = DELIVERY_TRANSITIONS.get((state, event))
                if after is None:
                    with pytest.raises(IllegalTransition):
                        move_delivery(connection, row, event, now=START, values={})
                else:
                    assert move_delivery(connection, row, event, now=START, values={})
                assert lock_delivery(connection, number).state == (after or state)


def test_an_unknown_delivery_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="no delivery 7"):
        store.deliveries.get(7)
