"""What was asked for from other nodes, and what became of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, and_, func, select, update
from sqlalchemy.sql.expression import true

from results_store.engine import Database
from results_store.rows import pick
from results_store.schema.fetched import fetch
from results_store.schema.outcome import result_object
from results_store.schema.queue import job
from results_store.schema.received import instance

UNKNOWN = -1  # instances, where the node does not say how many it has
_LONGEST = timedelta(hours=24)  # a fetch without an end was killed; it lasted no longer


class Way(StrEnum):
    """How the images travel."""

    MOVE = "move"  # C-MOVE: the node calls us
    GET = "get"  # C-GET: on the association on which we asked


class FetchOutcome(StrEnum):
    """What became of a fetch."""

    RUNNING = "running"  # or ended by a kill
    DONE = "done"
    PARTIAL = "partial"  # some images could not be had
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One attempt to have a study from a node."""

    id: int
    study_instance_uid: str
    node: str
    way: Way
    asked_by: str
    asked_at: datetime
    ended_at: datetime | None
    outcome: FetchOutcome
    instances: int
    completed: int
    failed: int
    reason: str

    @property
    def until(self) -> datetime:
        """When it ended, or at the latest."""
        return self.ended_at or self.asked_at + _LONGEST


class Fetches:
    """The memory of what was fetched."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, study: str, node: str, way: Way, *, asked_by: str, instances: int) -> int:
        """Note that the study is being fetched; return the fetch's number."""
        values = {
            "study_instance_uid": study,
            "node": node,
            "way": way.value,
            "asked_by": asked_by,
            "asked_at": self._database.clock.now(),
            "outcome": FetchOutcome.RUNNING.value,
            "instances": instances,
            "completed": 0,
            "failed": 0,
            "reason": "",
        }
        statement = fetch.insert().values(**values).returning(fetch.c.id)
        with self._database.write() as connection:
            return int(connection.execute(statement).scalar_one())

    def end(
        self, number: int, outcome: FetchOutcome, *, completed: int, failed: int, reason: str
    ) -> None:
        """Note what became of it."""
        values = {
            "ended_at": self._database.clock.now(),
            "outcome": outcome.value,
            "completed": completed,
            "failed": failed,
            "reason": reason,
        }
        with self._database.write() as connection:
            connection.execute(update(fetch).where(fetch.c.id == number).values(**values))

    def of_study(self, study: str) -> tuple[Fetch, ...]:
        """Return every fetch of the study, in order."""
        query = select(fetch).where(fetch.c.study_instance_uid == study).order_by(fetch.c.id)
        with self._database.read() as connection:
            return tuple(map(_to_fetch, connection.execute(query)))

    def list(self, limit: int = 50) -> tuple[Fetch, ...]:
        """Return the newest fetches first."""
        query = select(fetch).order_by(fetch.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return tuple(map(_to_fetch, connection.execute(query)))

    def latest(self, node: str, studies: Collection[str]) -> Mapping[str, Fetch]:
        """Return the newest fetch of each study from the node, where there is one."""
        newest = (
            select(func.max(fetch.c.id))
            .where(fetch.c.node == node, fetch.c.study_instance_uid.in_(studies))
            .group_by(fetch.c.study_instance_uid)
        )
        with self._database.read() as connection:
            rows = connection.execute(select(fetch).where(fetch.c.id.in_(newest)))
            return {row.study_instance_uid: _to_fetch(row) for row in rows}

    def here(self, study: str) -> Mapping[str, int]:
        """Return how many instances of each series are here, by Series Instance UID."""
        query = (
            select(instance.c.series_instance_uid, func.count())
            .where(
                and_(
                    instance.c.study_instance_uid == study,
                    instance.c.current == true(),
                    instance.c.deleted_at.is_(None),
                )
            )
            .group_by(instance.c.series_instance_uid)
        )
        with self._database.read() as connection:
            return {str(series): int(count) for series, count in connection.execute(query)}

    def our_series(self, study: str) -> frozenset[str]:
        """Return the series that we made ourselves: what nobody needs to give back to us."""
        query = (
            select(result_object.c.series_instance_uid)
            .join(job, job.c.id == result_object.c.job_id)
            .where(job.c.study_instance_uid == study)
        )
        with self._database.read() as connection:
            return frozenset(connection.scalars(query))


def _to_fetch(row: Row[Any]) -> Fetch:
    values = pick(row, Fetch, "way", "outcome")
    return Fetch(way=Way(row.way), outcome=FetchOutcome(row.outcome), **values)
