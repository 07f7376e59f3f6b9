"""What peers announced of studies: procedure steps (MPPS) and available instances."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from appliance.core.states import RouteEvent
from results_store.engine import Database, insert_if_absent
from results_store.routes import reopen_held
from results_store.rows import pick
from results_store.schema.announced import announcement
from results_store.schema.received import instance


class Kind(StrEnum):
    """What a peer announces."""

    MPPS = "mpps"  # a Modality Performed Procedure Step
    IAN = "ian"  # an Instance Availability Notification


class Announced(StrEnum):
    """Where what is announced stands."""

    IN_PROGRESS = "in progress"  # a step
    COMPLETED = "completed"
    DISCONTINUED = "discontinued"
    AVAILABLE = "available"  # instances


_NEWS = {
    Announced.COMPLETED: "a procedure step was completed",
    Announced.AVAILABLE: "instances were announced as available",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What one peer announced of one study, as it stands now."""

    kind: Kind
    sop_instance_uid: str
    study_instance_uid: str
    state: Announced
    reason: str  # the code of why a step was discontinued; "" otherwise
    calling_ae_title: str
    listed: Mapping[str, frozenset[str]]  # SOP Instance UIDs by Series Instance UID
    announced_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChange:
    """What changes of a step; what is None stays."""

    state: Announced | None
    reason: str
    listed: Mapping[str, frozenset[str]] | None


class Announcements:
    """What was announced. News that may complete a study opens its held routes again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_study(self, study_uid: str) -> tuple[Announcement, ...]:
        """Return what was announced of the study, in the order in which it began."""
        query = (
            select(announcement)
            .where(announcement.c.study_instance_uid == study_uid)
            .order_by(announcement.c.id)
        )
        with self._database.read() as connection:
            return tuple(map(_to_announcement, connection.execute(query)))

    def missing(self, study_uid: str) -> int:
        """Return how many images that were listed as made or available are not here."""
        lists = [one.listed for one in self.of_study(study_uid) if one.state in _NEWS]
        listed = {uid for one in lists for found in one.values() for uid in found}
        if not listed:
            return 0
        here = select(instance.c.sop_instance_uid).where(instance.c.study_instance_uid == study_uid)
        with self._database.read() as connection:
            return len(listed.difference(connection.scalars(here)))

    def begin_step(self, step: Announcement) -> None:
        """Keep a new step; one that is known stays as it is."""
        with self._database.write() as connection:
            insert_if_absent(connection, announcement, _values(step))

    def change_step(
        self, sop_instance_uid: str, change: StepChange, at: datetime
    ) -> tuple[str, ...]:
        """Return the studies of the step, which is changed; () for one that is not known."""
        query = select(announcement).where(
            announcement.c.kind == Kind.MPPS, announcement.c.sop_instance_uid == sop_instance_uid
        )
        with self._database.write() as connection:
            found = [_to_announcement(row) for row in connection.execute(query).all()]
            for before in found:
                after = replace(
                    before,
                    state=change.state or before.state,
                    reason=change.reason or before.reason,
                    listed=before.listed if change.listed is None else change.listed,
                    announced_at=at,
                )
                _replace(connection, before, after)
        return tuple(one.study_instance_uid for one in found)

    def forget(self, before: datetime) -> int:
        """Delete what was said last before then; return how many. Most are of no study of ours."""
        old = delete(announcement).where(announcement.c.announced_at < before)
        with self._database.write() as connection:
            return connection.execute(old).rowcount

    def available(self, notification: Announcement) -> None:
        """Keep a notification; the same one again replaces what it said."""
        query = select(announcement).where(*_same(notification)).with_for_update()
        with self._database.write() as connection:
            if insert_if_absent(connection, announcement, _values(notification)):
                _tell(connection, notification)
                return
            _replace(connection, _to_announcement(connection.execute(query).one()), notification)


def _replace(connection: Connection, before: Announcement, after: Announcement) -> None:
    connection.execute(update(announcement).where(*_same(before)).values(**_values(after)))
    if (before.state, before.listed) != (after.state, after.listed):
        _tell(connection, after)


def _tell(connection: Connection, news: Announcement) -> None:
    reason = _NEWS.get(news.state)
    if reason is not None:
        at, uid = news.announced_at, news.study_instance_uid
        reopen_held(connection, [uid], RouteEvent.NEWS, reason, at)


def _same(one: Announcement) -> tuple[Any, ...]:
    return (
        announcement.c.kind == one.kind,
        announcement.c.sop_instance_uid == one.sop_instance_uid,
        announcement.c.study_instance_uid == one.study_instance_uid,
    )


def _values(one: Announcement) -> dict[str, Any]:
    values = {name: getattr(one, name) for name in Announcement.__dataclass_fields__}
    return values | {"listed": {uid: sorted(found) for uid, found in one.listed.items()}}


def _to_announcement(row: Row[Any]) -> Announcement:
    return Announcement(
        kind=Kind(row.kind),
        state=Announced(row.state),
        listed={uid: frozenset(found) for uid, found in row.listed.items()},
        **pick(row, Announcement, "kind", "state", "listed"),
    )
