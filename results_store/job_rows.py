"""Jobs as rows: reading them, and the one way to move one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select, update

from appliance.core.errors import StaleClaim, StoreError
from appliance.core.model import COHORT, Claim, Job, JobInput, Priority
from appliance.core.states import JOB_TRANSITIONS, JobEvent, JobState, next_state
from results_store.rows import pick
from results_store.schema.queue import job, job_event, job_input


def asked_by_routes() -> ColumnElement[bool]:
    """Return what is true of every run but those of cohorts."""
    return job.c.route.not_like(f"{COHORT}%")


def read_jobs(connection: Connection, query: Select[Any]) -> tuple[Job, ...]:
    """Return the jobs that `query`, a select of the job table, finds, in its order."""
    rows = connection.execute(query).all()
    inputs = _inputs(connection, [row.id for row in rows])
    return tuple(_to_job(row, tuple(inputs[row.id])) for row in rows)


def read_job(connection: Connection, job_id: int) -> Job:
    """Return the job. Raises StoreError if there is none."""
    jobs = read_jobs(connection, select(job).where(job.c.id == job_id))
    if not jobs:
        raise StoreError(f"there is no job {job_id}")
    return jobs[0]


def lock_job(connection: Connection, job_id: int) -> Row[Any]:
    """Return the job's row, locked to the transaction's end. Raises StoreError."""
    row = connection.execute(select(job).where(job.c.id == job_id).with_for_update()).one_or_none()
    if row is None:
        raise StoreError(f"there is no job {job_id}")
    return row


def move_job(
    connection: Connection,
    row: Row[Any],
    event: JobEvent,
    *,
    now: datetime,
    reason: str = "",
    values: Mapping[str, Any],
) -> bool:
    """Return whether the job moved from the state, attempt and worker that `row` shows.

    False means that somebody else was first. Raises IllegalTransition.
    """
    before = JobState(row.state)
    after = next_state(JOB_TRANSITIONS, before, event)
    same: ColumnElement[bool] = job.c.worker.is_not_distinct_from(row.worker)
    moved = connection.execute(
        update(job)
        .where(job.c.id == row.id, job.c.state == before, job.c.attempt == row.attempt, same)
        .values(state=after, reason=reason, **values)
    )
    if moved.rowcount != 1:
        return False
    connection.execute(
        job_event.insert().values(
            job_id=row.id,
            at=now,
            event=event,
            before=before,
            after=after,
            attempt=values.get("attempt", row.attempt),
            worker=values.get("worker") or row.worker,
            reason=reason,
        )
    )
    return True


def held_row(connection: Connection, claim: Claim) -> Row[Any]:
    """Return the running job's row, locked, if `claim` still holds it. Raises StaleClaim."""
    row = lock_job(connection, claim.job_id)
    held = (JobState(row.state), row.attempt, row.worker)
    if held != (JobState.RUNNING, claim.attempt, claim.worker):
        raise StaleClaim(
            f"job {claim.job_id} is {row.state} in attempt {row.attempt}; "
            f"{claim.worker} held attempt {claim.attempt}"
        )
    return row


def _inputs(connection: Connection, job_ids: Sequence[int]) -> Mapping[int, list[JobInput]]:
    inputs: defaultdict[int, list[JobInput]] = defaultdict(list)
    for start in range(0, len(job_ids), 500):
        query = (
            select(job_input)
            .where(job_input.c.job_id.in_(job_ids[start : start + 500]))
            .order_by(job_input.c.job_id, job_input.c.position)
        )
        for row in connection.execute(query):
            inputs[row.job_id].append(JobInput(**pick(row, JobInput)))
    return inputs


def _to_job(row: Row[Any], inputs: tuple[JobInput, ...]) -> Job:
    return Job(
        job_id=row.id,
        state=JobState(row.state),
        priority=Priority(row.priority),
        inputs=inputs,
        gaps=None if row.gaps is None else tuple(row.gaps),
        shadow=row.shadow or "",
        **pick(row, Job, "job_id", "state", "priority", "inputs", "gaps", "shadow"),
    )
