"""The outbox: hand-over 5, delivered."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    func,
    select,
    true,
    update,
)

from appliance.core.errors import StaleClaim, StoreError
from appliance.core.model import Delivery, ResultObject
from appliance.core.states import (
    DELIVERY_TRANSITIONS,
    DeliveryEvent,
    DeliveryState,
    next_state,
)
from results_store.engine import Database
from results_store.results import to_object
from results_store.rows import pick
from results_store.schema.outcome import delivery, delivery_event, result_object
from results_store.schema.queue import pause

_UNDER_WAY = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT)


class Deliveries:
    """The outbox as couriers and lists see it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self,
        worker: str,
        lease: timedelta,
        now: datetime,
        *,
        destination: str | None = None,
    ) -> Delivery | None:
        """Return a delivery that is now SENDING and held by `worker`, or None. Oldest first.

        With `destination`, only one that goes there.
        """
        ready = and_(
            true() if destination is None else delivery.c.destination == destination,
            delivery.c.state == DeliveryState.PENDING,
            delivery.c.not_before <= now,
            ~exists().where(pause.c.kind == "destination", pause.c.name == delivery.c.destination),
        )
        if not self._any(ready):
            return None  # an idle courier's poll takes no write lock
        with self._database.write() as connection:
            query = (
                select(delivery)
                .where(ready)
                .order_by(delivery.c.not_before, delivery.c.id)
                .limit(1)
                .with_for_update(skip_locked=True, of=delivery)
            )
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            values = {"worker": worker, "attempt": row.attempt + 1, "lease_until": now + lease}
            if not move_delivery(connection, row, DeliveryEvent.CLAIM, now=now, values=values):
                return None
            return read_delivery(connection, row.id)

    def move(
        self,
        delivery_id: int,
        worker: str,
        event: DeliveryEvent,
        reason: str,
        not_before: datetime | None,
        now: datetime,
    ) -> Delivery:
        """Return the delivery after `event`. `not_before`: when to try, or to ask for proof, next.

        Raises StaleClaim if it is SENDING in another worker's hands, IllegalTransition.
        """
        with self._database.write() as connection:
            row = lock_delivery(connection, delivery_id)
            if row.state == DeliveryState.SENDING and row.worker != worker:
                raise StaleClaim(f"delivery {delivery_id} is {row.worker}'s, not {worker}'s")
            values: dict[str, Any] = {"lease_until": None, "worker": None}
            if not_before is not None:
                values["not_before"] = not_before
            if event is DeliveryEvent.PROVEN:
                values["delivered_at"] = now
            if not move_delivery(
                connection, row, event, now=now, reason=reason, by=worker, values=values
            ):
                raise StaleClaim(f"delivery {delivery_id} moved meanwhile")
            return read_delivery(connection, delivery_id)

    def look_again(self, delivery_id: int, not_before: datetime, reason: str) -> None:
        """Put off the next question for proof of a SENT delivery; its state stays."""
        with self._database.write() as connection:
            connection.execute(
                update(delivery)
                .where(delivery.c.id == delivery_id, delivery.c.state == DeliveryState.SENT)
                .values(not_before=not_before, reason=reason)
            )

    def to_prove(self, now: datetime, *, destination: str) -> tuple[Delivery, ...]:
        """Return the destination's SENT deliveries whose proof is due; () while it is paused."""
        query = (
            _joined()
            .where(delivery.c.destination == destination)
            .where(delivery.c.state == DeliveryState.SENT, delivery.c.not_before <= now)
            .where(
                ~exists().where(
                    pause.c.kind == "destination", pause.c.name == delivery.c.destination
                )
            )
            .order_by(delivery.c.not_before, delivery.c.id)
        )
        return self._read(query)

    def expire_leases(self, now: datetime) -> tuple[Delivery, ...]:
        """Return the deliveries whose courier fell silent, now PENDING again."""
        silent = and_(delivery.c.state == DeliveryState.SENDING, delivery.c.lease_until < now)
        if not self._any(silent):
            return ()
        with self._database.write() as connection:
            query = select(delivery).where(silent).with_for_update(skip_locked=True)
            return tuple(
                read_delivery(connection, row.id)
                for row in connection.execute(query).all()
                if _expire(connection, row, now)
            )

    def get(self, delivery_id: int) -> Delivery:
        """Return the delivery. Raises StoreError if there is none."""
        with self._database.read() as connection:
            return read_delivery(connection, delivery_id)

    def list(self, state: DeliveryState | None = None, limit: int = 100) -> tuple[Delivery, ...]:
        """Return deliveries, newest first."""
        query = _joined().order_by(delivery.c.id.desc()).limit(limit)
        return self._read(query if state is None else query.where(delivery.c.state == state))

    def of_study(self, study_uid: str) -> tuple[Delivery, ...]:
        """Return the study's deliveries, oldest first."""
        query = _joined().where(delivery.c.study_instance_uid == study_uid)
        return self._read(query.order_by(delivery.c.id))

    def under_way(self) -> Mapping[str, int]:
        """Return how many deliveries to each destination have not ended, nor wait for a person."""
        query = (
            select(delivery.c.destination, func.count())
            .where(delivery.c.state.in_(_UNDER_WAY))
            .group_by(delivery.c.destination)
            .order_by(delivery.c.destination)
        )
        with self._database.read() as connection:
            return {str(name): int(number) for name, number in connection.execute(query)}

    def _read(self, query: Select[Any]) -> tuple[Delivery, ...]:
        with self._database.read() as connection:
            return tuple(_to_delivery(row) for row in connection.execute(query))

    def _any(self, condition: ColumnElement[bool]) -> bool:
        with self._database.read() as connection:
            query = select(delivery.c.id).where(condition).limit(1)
            return connection.execute(query).first() is not None


def add_deliveries(
    connection: Connection,
    job_row: Row[Any],
    objects: Sequence[tuple[int, ResultObject]],
    *,
    sends: Sequence[tuple[str, Sequence[str]]],
    patient_key: str | None,
    now: datetime,
) -> None:
    """Write an outbox row for each object and each destination that takes its kind."""
    rows = [
        {
            "job_id": job_row.id,
            "study_instance_uid": job_row.study_instance_uid,
            "destination": destination,
            "object_id": object_id,
            "state": DeliveryState.PENDING,
            "attempt": 0,
            "not_before": now,
            "reason": "",
            "patient_key": patient_key,
            "created_at": now,
        }
        for destination, kinds in sends
        for object_id, item in objects
        if item.kind in kinds
    ]
    if rows:
        connection.execute(delivery.insert(), rows)


def read_delivery(connection: Connection, delivery_id: int) -> Delivery:
    """Return the delivery. Raises StoreError if there is none."""
    row = connection.execute(_joined().where(delivery.c.id == delivery_id)).one_or_none()
    if row is None:
        raise StoreError(f"there is no delivery {delivery_id}")
    return _to_delivery(row)


def lock_delivery(connection: Connection, delivery_id: int) -> Row[Any]:
    """Return the delivery's row, locked to the transaction's end. Raises StoreError."""
    query = select(delivery).where(delivery.c.id == delivery_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise StoreError(f"there is no delivery {delivery_id}")
    return row


def move_delivery(
    connection: Connection,
    row: Row[Any],
    event: DeliveryEvent,
    *,
    now: datetime,
    reason: str = "",
    by: str | None = None,
    values: Mapping[str, Any],
) -> bool:
    """Return whether the delivery moved from the state and attempt that `row` shows.

    Raises IllegalTransition.
    """
    before = DeliveryState(row.state)
    after = next_state(DELIVERY_TRANSITIONS, before, event)
    moved = connection.execute(
        update(delivery)
        .where(delivery.c.id == row.id, delivery.c.state == before)
        .where(delivery.c.attempt == row.attempt)
        .values(state=after, reason=reason, **values)
    )
    if moved.rowcount != 1:
        return False
    connection.execute(
        delivery_event.insert().values(
            delivery_id=row.id,
            at=now,
            event=event,
            before=before,
            after=after,
            attempt=values.get("attempt", row.attempt),
            worker=by or values.get("worker") or row.worker,
            reason=reason,
        )
    )
    return True


def _expire(connection: Connection, row: Row[Any], now: datetime) -> bool:
    values: dict[str, Any] = {"worker": None, "lease_until": None, "not_before": now}
    reason = f"courier {row.worker} fell silent in attempt {row.attempt}"
    return move_delivery(
        connection, row, DeliveryEvent.LEASE_EXPIRED, now=now, reason=reason, values=values
    )


def _joined() -> Select[Any]:
    objects = [column for column in result_object.c if column.name not in ("id", "job_id")]
    return select(delivery, *objects).join(
        result_object, delivery.c.object_id == result_object.c.id
    )


def _to_delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        delivery_id=row.id,
        state=DeliveryState(row.state),
        result=to_object(row),
        **pick(row, Delivery, "delivery_id", "state", "result"),
    )
