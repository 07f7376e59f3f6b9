"""Where each route of a study stands, and what was decided, with reasons."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from appliance.core.errors import IllegalTransition, StoreError
from appliance.core.model import Reason, RouteDecision, SelectedInput
from appliance.core.states import ROUTE_TRANSITIONS, RouteEvent, RouteState, next_state
from results_store.engine import Database, insert_if_absent
from results_store.rows import pick
from results_store.schema.queue import decision as decision_table
from results_store.schema.queue import job, route_event, study_route
from results_store.schema.received import study


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStatus:
    """Where one route stands for one study."""

    route: str
    state: RouteState
    signal: str  # what closed it; "" before
    reason: str  # why it waits or is held; "" once it is closed
    opened_at: datetime
    closed_at: datetime | None
    deadline: datetime | None  # when it is held or proceeds even so
    images_seen: int  # images of the study when the route was last written
    released_by: str | None = None  # who said to go on with what is here; of an open one


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """A decision, when it was made, and the signal that led to it ("held" where it was held)."""

    decision: RouteDecision
    decided_at: datetime
    signal: str


class Routes:
    """Moves a study's routes. Each method opens the route if it has no row yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_study(self, study_uid: str) -> tuple[RouteStatus, ...]:
        """Return the study's routes in the order in which they were first looked at."""
        query = (
            select(study_route)
            .where(study_route.c.study_instance_uid == study_uid)
            .order_by(study_route.c.id)
        )
        with self._database.read() as connection:
            return tuple(_to_status(row) for row in connection.execute(query))

    def waiting(self, study_uid: str, route: str, reason: str, deadline: datetime | None) -> None:
        """Note why the OPEN route waits and until when. Raises IllegalTransition."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            row = hold_route(connection, study_uid, route, now)
            if row.state != RouteState.OPEN:
                raise IllegalTransition(f"route {route!r} of {study_uid} is {row.state}, not open")
            _write(connection, row.id, study_uid, reason=reason, deadline=deadline)

    def reopen(self, study_uid: str, route: str) -> bool:
        """Open the CLOSED route again, because an image came; return False if it has jobs.

        What ran stays as it was decided. Raises IllegalTransition where it is not CLOSED.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            row = hold_route(connection, study_uid, route, now)
            jobs = select(job.c.id).where(
                job.c.study_instance_uid == study_uid, job.c.route == route
            )
            if connection.execute(jobs.limit(1)).first() is not None:
                return False
            move_route(connection, row, RouteEvent.REOPEN, reason="an image came", now=now)
            return True

    def run_again(self, study_uid: str, route: str, reason: str) -> None:
        """Open the CLOSED route again, whose jobs late images supersede.

        The earlier jobs go on until the route closes again: then it is known what replaces them.
        Raises StoreError where there is no such route, IllegalTransition where it is not closed.
        """
        self._reopen(study_uid, route, RouteEvent.LATE, reason)

    def reconsider(self, study_uid: str, route: str, reason: str) -> None:
        """Open the HELD route again, because something new is known. Raises as run_again."""
        self._reopen(study_uid, route, RouteEvent.NEWS, reason)

    def release(self, study_uid: str, route: str, by: str) -> None:
        """Open the HELD route, to go on with what is here. Raises as run_again."""
        reason = f"released by {by}"
        self._reopen(study_uid, route, RouteEvent.RELEASE, reason, released_by=by)

    def _reopen(
        self, study_uid: str, route: str, event: RouteEvent, reason: str, **values: object
    ) -> None:
        now = self._database.clock.now()
        with self._database.write() as connection:
            row = connection.execute(_one(study_uid, route).with_for_update()).one_or_none()
            if row is None:
                raise StoreError(f"study {study_uid} has no route {route!r}")
            if (RouteState(row.state), event) not in ROUTE_TRANSITIONS:
                raise IllegalTransition(f"route {route!r} of {study_uid} is {row.state}")
            move_route(connection, row, event, reason=reason, now=now)
            _write(connection, row.id, study_uid, **values)

    def held(self, routes: Collection[str], limit: int) -> tuple[tuple[str, str], ...]:
        """Return (study, route) where one of these routes is held, the latest first."""
        query = (
            select(study_route.c.study_instance_uid, study_route.c.route)
            .where(study_route.c.state == RouteState.HELD, study_route.c.route.in_(routes))
            .order_by(study_route.c.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple((row.study_instance_uid, row.route) for row in connection.execute(query))

    def hold(self, study_uid: str, route: str, reason: str, decision: RouteDecision) -> None:
        """Hold the OPEN route until a person looks or an image comes. Raises IllegalTransition."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            row = hold_route(connection, study_uid, route, now)
            move_route(connection, row, RouteEvent.HOLD, reason=reason, now=now)
            add_decision(connection, study_uid, decision, "held", now)

    def close_without_jobs(self, study_uid: str, decision: RouteDecision, signal: str) -> None:
        """Close the route with a decision that runs nothing; do nothing if it is closed.

        Raises IllegalTransition for a held one.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            close_route(connection, study_uid, decision, signal, now)


class Decisions:
    """What was decided; append-only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_study(self, study_uid: str) -> tuple[StoredDecision, ...]:
        """Return every decision on the study, oldest first."""
        query = (
            select(decision_table)
            .where(decision_table.c.study_instance_uid == study_uid)
            .order_by(decision_table.c.id)
        )
        with self._database.read() as connection:
            return tuple(_to_decision(row) for row in connection.execute(query))


def hold_route(connection: Connection, study_uid: str, route: str, now: datetime) -> Row[Any]:
    """Return the route's row, made OPEN if there was none, and locked to the transaction's end."""
    values = {
        "study_instance_uid": study_uid,
        "route": route,
        "state": RouteState.OPEN,
        "signal": "",
        "reason": "",
        "opened_at": now,
        "images_seen": 0,
    }
    insert_if_absent(connection, study_route, values)
    return connection.execute(_one(study_uid, route).with_for_update()).one()


def move_route(
    connection: Connection,
    row: Row[Any],
    event: RouteEvent,
    *,
    now: datetime,
    reason: str = "",
    signal: str = "",
) -> None:
    """Move a locked row along the table, with its event. Raises IllegalTransition."""
    before = RouteState(row.state)
    after = next_state(ROUTE_TRANSITIONS, before, event)
    closed_at = now if after is RouteState.CLOSED else None
    values = {"state": after, "reason": reason, "signal": signal, "closed_at": closed_at}
    values["released_by"] = None
    _write(connection, row.id, row.study_instance_uid, deadline=None, **values)
    connection.execute(
        route_event.insert().values(
            study_instance_uid=row.study_instance_uid,
            route=row.route,
            at=now,
            event=event,
            before=before,
            after=after,
            reason=reason or signal,
        )
    )


def close_route(
    connection: Connection, study_uid: str, decision: RouteDecision, signal: str, now: datetime
) -> bool:
    """Return whether this call closed the route, with its decision; False if it was closed."""
    row = hold_route(connection, study_uid, decision.route, now)
    if row.state == RouteState.CLOSED:
        return False
    move_route(connection, row, RouteEvent.CLOSE, signal=signal, now=now)
    add_decision(connection, study_uid, decision, signal, now)
    return True


def reopen_held(
    connection: Connection,
    study_uids: Collection[str],
    event: RouteEvent,
    reason: str,
    now: datetime,
) -> None:
    """Open the held routes of these studies again, because something new is known."""
    query = select(study_route).where(
        study_route.c.study_instance_uid.in_(study_uids), study_route.c.state == RouteState.HELD
    )
    for row in connection.execute(query.with_for_update()).all():
        move_route(connection, row, event, reason=reason, now=now)


def add_decision(
    connection: Connection, study_uid: str, decision: RouteDecision, signal: str, now: datetime
) -> None:
    """Append the decision."""
    connection.execute(
        decision_table.insert().values(
            study_instance_uid=study_uid,
            route=decision.route,
            decided_at=now,
            signal=signal,
            matched=decision.matched,
            summary=decision.summary,
            reasons=[asdict(reason) for reason in decision.reasons],
            inputs=[asdict(chosen) for chosen in decision.inputs],
        )
    )


def _one(study_uid: str, route: str) -> Select[Any]:
    return select(study_route).where(
        study_route.c.study_instance_uid == study_uid, study_route.c.route == route
    )


def _write(connection: Connection, row_id: int, study_uid: str, **values: object) -> None:
    images = select(study.c.instance_count).where(study.c.study_instance_uid == study_uid)
    seen: int = connection.scalar(images) or 0
    connection.execute(
        update(study_route).where(study_route.c.id == row_id).values(images_seen=seen, **values)
    )


def _to_status(row: Row[Any]) -> RouteStatus:
    return RouteStatus(state=RouteState(row.state), **pick(row, RouteStatus, "state"))


def _to_decision(row: Row[Any]) -> StoredDecision:
    decision = RouteDecision(
        route=row.route,
        matched=row.matched,
        reasons=tuple(Reason(**reason) for reason in row.reasons),
        inputs=tuple(_to_input(chosen) for chosen in row.inputs),
        summary=row.summary,
    )
    return StoredDecision(decision=decision, decided_at=row.decided_at, signal=row.signal)


def _to_input(chosen: dict[str, Any]) -> SelectedInput:
    return SelectedInput(**{**chosen, "sop_instance_uids": tuple(chosen["sop_instance_uids"])})
