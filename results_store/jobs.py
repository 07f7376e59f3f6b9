"""The durable queue: claim, heartbeat, fail, leases."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from appliance.core.backoff import Backoff
from appliance.core.errors import StaleClaim
from appliance.core.model import Claim, Job, Priority
from appliance.core.states import JobEvent, JobState
from results_store.engine import Database
from results_store.job_rows import asked_by_routes, held_row, move_job, read_job, read_jobs
from results_store.schema.queue import job, job_event, job_send, pause

_WAITING = (JobState.QUEUED, JobState.RETRYING)
_RANK = case(
    {Priority.STAT.value: 0, Priority.URGENT.value: 1, Priority.ROUTINE.value: 2},
    value=job.c.priority,
    else_=3,
)
_FAIR_TURN = 4  # every fourth claim takes the job that has waited longest, whatever its priority


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTo:
    """Where a job's result goes, and which kinds of its objects ("sr", "seg")."""

    destination: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLogEntry:
    """One move of one job."""

    job_id: int
    at: datetime
    event: JobEvent
    before: JobState
    after: JobState
    attempt: int
    worker: str | None
    reason: str


class Jobs:
    """The queue as workers and lists see it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, worker: str, pipelines: tuple[str, ...], lease: timedelta, now: datetime
    ) -> Job | None:
        """Return a job that is now RUNNING and held by `worker` until the lease ends, or None.

        Higher priority first, then the older; but every fourth claim takes the job that has
        waited longest, so that nothing starves and nothing urgent waits behind a backlog.
        """
        ready = _ready(pipelines, now)
        if not self._any(ready):
            return None  # an idle worker's poll takes no write lock
        with self._database.write() as connection:
            turn, query = _next(connection, ready)
            query = query.with_for_update(skip_locked=True, of=job)
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            values = {
                "worker": worker,
                "attempt": row.attempt + 1,
                "lease_until": now + lease,
                "claim_turn": turn,
                "started_at": now,
                "progress": 0.0,
                "phase": "",
            }
            if not move_job(connection, row, JobEvent.CLAIM, now=now, values=values):
                return None
            return read_job(connection, row.id)

    def peek(self, pipelines: tuple[str, ...], now: datetime) -> Job | None:
        """Return the job that the next claim would take if it came now, or None."""
        with self._database.read() as connection:
            _, query = _next(connection, _ready(pipelines, now))
            jobs = read_jobs(connection, query)
        return jobs[0] if jobs else None

    def heartbeat(
        self, claim: Claim, lease: timedelta, progress: float, phase: str, now: datetime
    ) -> bool:
        """Return whether the claim still holds, its lease then renewed. False: stop working."""
        with self._database.write() as connection:
            renewed = connection.execute(
                update(job)
                .where(job.c.id == claim.job_id, job.c.state == JobState.RUNNING)
                .where(job.c.attempt == claim.attempt, job.c.worker == claim.worker)
                .values(lease_until=now + lease, progress=progress, phase=phase)
            )
            return renewed.rowcount == 1

    def fail(
        self,
        claim: Claim,
        event: JobEvent,
        reason: str,
        run_after: datetime | None,
        seconds: Mapping[str, float],
        now: datetime,
    ) -> None:
        """End the attempt by FAIL_TRANSIENT (with `run_after`), EXHAUST, FAIL_PERMANENT, REFUSE or
        RELEASE, after which the attempt does not count. Raises StaleClaim, IllegalTransition.
        """
        values: dict[str, Any] = {"worker": None, "lease_until": None, "seconds": dict(seconds)}
        with self._database.write() as connection:
            row = held_row(connection, claim)
            if event is JobEvent.RELEASE:
                values |= {"attempt": row.attempt - 1, "started_at": None}
            if event in (JobEvent.RELEASE, JobEvent.FAIL_TRANSIENT):
                values["run_after"] = run_after or now
            else:
                values["finished_at"] = now
            if not move_job(connection, row, event, now=now, reason=reason, values=values):
                raise StaleClaim(f"job {claim.job_id} was taken from {claim.worker}")

    def expire_leases(self, now: datetime, backoff: Backoff) -> tuple[Job, ...]:
        """Return the jobs whose worker fell silent, now RETRYING or, out of attempts, FAILED."""
        silent = and_(job.c.state == JobState.RUNNING, job.c.lease_until < now)
        if not self._any(silent):
            return ()
        with self._database.write() as connection:
            query = select(job).where(silent).with_for_update(skip_locked=True)
            rows = connection.execute(query).all()
            moved = [row.id for row in rows if _expire(connection, row, now, backoff)]
            return read_jobs(connection, select(job).where(job.c.id.in_(moved)).order_by(job.c.id))

    def get(self, job_id: int) -> Job:
        """Return the job. Raises StoreError if there is none."""
        with self._database.read() as connection:
            return read_job(connection, job_id)

    def of_study(self, study_uid: str) -> tuple[Job, ...]:
        """Return the study's jobs, oldest first."""
        query = select(job).where(job.c.study_instance_uid == study_uid).order_by(job.c.id)
        with self._database.read() as connection:
            return read_jobs(connection, query)

    def list(
        self, state: JobState | None = None, limit: int = 100, *, cohorts: bool = True
    ) -> tuple[Job, ...]:
        """Return jobs, newest first; without `cohorts` only those that routes asked for."""
        query = select(job).order_by(job.c.id.desc()).limit(limit)
        if not cohorts:
            query = query.where(asked_by_routes())
        if state is not None:
            query = query.where(job.c.state == state)
        with self._database.read() as connection:
            return read_jobs(connection, query)

    def unfinished(self) -> Mapping[str, int]:
        """Return how many jobs of each pipeline have not ended."""
        query = (
            select(job.c.pipeline, func.count())
            .where(job.c.state.in_((*_WAITING, JobState.RUNNING)))
            .group_by(job.c.pipeline)
            .order_by(job.c.pipeline)
        )
        with self._database.read() as connection:
            return {str(name): int(number) for name, number in connection.execute(query)}

    def sends(self, job_id: int) -> tuple[SendTo, ...]:
        """Return where the job's result goes; () for a shadow."""
        query = select(job_send).where(job_send.c.job_id == job_id).order_by(job_send.c.destination)
        with self._database.read() as connection:
            return tuple(
                SendTo(destination=row.destination, objects=tuple(row.objects))
                for row in connection.execute(query)
            )

    def feedback_form(self, job_id: int) -> str | None:
        """Return the name of the form that the route asks readers to fill in, or None."""
        with self._database.read() as connection:
            form: str | None = connection.scalar(
                select(job.c.feedback_form).where(job.c.id == job_id)
            )
            return form

    def log(self, job_id: int) -> tuple[JobLogEntry, ...]:
        """Return every move of the job, oldest first."""
        query = select(job_event).where(job_event.c.job_id == job_id).order_by(job_event.c.id)
        with self._database.read() as connection:
            return tuple(_to_entry(row) for row in connection.execute(query))

    def next_due(self, now: datetime) -> datetime | None:
        """Return when the next job that waits after `now` may run, or None."""
        query = select(func.min(job.c.run_after)).where(
            job.c.state.in_(_WAITING), job.c.run_after > now, _not_paused()
        )
        with self._database.read() as connection:
            due: datetime | None = connection.scalar(query)
            return due

    def _any(self, condition: ColumnElement[bool]) -> bool:
        with self._database.read() as connection:
            return (
                connection.execute(select(job.c.id).where(condition).limit(1)).first() is not None
            )


def _next(connection: Connection, ready: ColumnElement[bool]) -> tuple[int, Select[Any]]:
    """Return the number of the next claim, and the query for the job that it takes."""
    turn = 1 + (connection.scalar(select(func.max(job.c.claim_turn))) or 0)
    fair = turn % _FAIR_TURN == 0
    order = (job.c.created_at,) if fair else (_RANK, job.c.created_at)
    return turn, select(job).where(ready).order_by(*order, job.c.id).limit(1)


def _ready(pipelines: tuple[str, ...], now: datetime) -> ColumnElement[bool]:
    return and_(
        job.c.state.in_(_WAITING),
        job.c.run_after <= now,
        job.c.pipeline.in_(pipelines),
        _not_paused(),
    )


def _not_paused() -> ColumnElement[bool]:
    return ~exists().where(
        or_(
            and_(pause.c.kind == "route", pause.c.name == job.c.route),
            and_(pause.c.kind == "pipeline", pause.c.name == job.c.pipeline),
        )
    )


def _expire(connection: Connection, row: Row[Any], now: datetime, backoff: Backoff) -> bool:
    delay = backoff.delay_after(row.attempt)
    reason = f"worker {row.worker} fell silent in attempt {row.attempt}"
    values: dict[str, Any] = {"worker": None, "lease_until": None}
    if delay is None:
        event, values["finished_at"] = JobEvent.EXHAUST, now
    else:
        event, values["run_after"] = JobEvent.LEASE_EXPIRED, now + delay
    return move_job(connection, row, event, now=now, reason=reason, values=values)


def _to_entry(row: Row[Any]) -> JobLogEntry:
    return JobLogEntry(
        job_id=row.job_id,
        at=row.at,
        event=JobEvent(row.event),
        before=JobState(row.before),
        after=JobState(row.after),
        attempt=row.attempt,
        worker=row.worker,
        reason=row.reason,
    )
