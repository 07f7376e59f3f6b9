"""What was done: the audit of people's looks and acts, and the appliance's own events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from appliance.core.errors import StoreError
from appliance.core.log import KEYS, Event
from results_store.engine import Database
from results_store.rows import pick
from results_store.schema.said import audit as audit_table
from results_store.schema.said import event as event_table


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what, when, on which study."""

    at: datetime
    actor: str
    action: str
    study_instance_uid: str | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """Something that happened, with the fields that its log line has."""

    at: datetime
    event: Event
    study_instance_uid: str | None
    fields: Mapping[str, object]


class Audit:
    """Append-only record of who looked at what and did what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, actor: str, action: str, study_instance_uid: str | None = None, detail: str = ""
    ) -> None:
        """Append an entry."""
        values = {
            "at": self._database.clock.now(),
            "actor": actor,
            "action": action,
            "study_instance_uid": study_instance_uid,
            "detail": detail,
        }
        with self._database.write() as connection:
            connection.execute(audit_table.insert().values(**values))

    def list(
        self,
        *,
        study_instance_uid: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> tuple[AuditEntry, ...]:
        """Return entries, newest first."""
        query = select(audit_table).order_by(audit_table.c.id.desc()).limit(limit)
        if study_instance_uid is not None:
            query = query.where(audit_table.c.study_instance_uid == study_instance_uid)
        if actor is not None:
            query = query.where(audit_table.c.actor == actor)
        if since is not None:
            query = query.where(audit_table.c.at >= since)
        with self._database.read() as connection:
            return tuple(AuditEntry(**pick(row, AuditEntry)) for row in connection.execute(query))


class Events:
    """Append-only record of what the appliance did with a study."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, event: Event, fields: Mapping[str, object]) -> None:
        """Append an event. Raises StoreError for a field that log lines do not have."""
        unknown = fields.keys() - KEYS
        if unknown:
            raise StoreError(f"event fields not allowed: {sorted(unknown)}")
        values = {
            "at": self._database.clock.now(),
            "event": event,
            "study_instance_uid": fields.get("study_instance_uid"),
            "fields": dict(fields),
        }
        with self._database.write() as connection:
            connection.execute(event_table.insert().values(**values))

    def of_study(self, study_uid: str) -> tuple[StoredEvent, ...]:
        """Return the study's events, oldest first."""
        query = (
            select(event_table)
            .where(event_table.c.study_instance_uid == study_uid)
            .order_by(event_table.c.id)
        )
        with self._database.read() as connection:
            return tuple(
                StoredEvent(
                    at=row.at,
                    event=Event(row.event),
                    study_instance_uid=row.study_instance_uid,
                    fields=row.fields,
                )
                for row in connection.execute(query)
            )
