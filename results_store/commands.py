"""What crosses tables and therefore is one transaction; pages, CLI and workers share it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.errors import IllegalTransition, StaleClaim
from appliance.core.model import (
    COHORT,
    Claim,
    Delivery,
    Job,
    JobInput,
    PipelineResult,
    Priority,
    ResultObject,
    RouteDecision,
)
from appliance.core.states import DeliveryEvent, JobEvent, JobState
from appliance.core.uids import uid_from_name
from results_store.deliveries import add_deliveries, lock_delivery, move_delivery, read_delivery
from results_store.engine import Database
from results_store.identities import current_inputs
from results_store.job_rows import held_row, lock_job, move_job, read_job
from results_store.jobs import SendTo
from results_store.results import save_objects, save_result
from results_store.routes import close_route, hold_route
from results_store.schema.queue import job, job_input, job_send

_UNFINISHED = (JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)
_RUNS_AGAIN = (JobState.DONE, JobState.REFUSED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to queue: the pipeline's version, the frozen inputs and where the result goes."""

    pipeline: str
    pipeline_version: str
    pipeline_digest: str
    priority: Priority
    inputs: tuple[JobInput, ...]
    send: tuple[SendTo, ...]  # () for a shadow
    feedback_form: str | None
    run_after: datetime
    shadow: str = ""  # why `send` is empty although the route sends


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRun:
    """What a worker hands in: the result, the objects it fsynced, and how it went."""

    result: PipelineResult
    objects: tuple[ResultObject, ...]
    device: str | None
    seconds: dict[str, float]  # by phase
    patient_key: str | None  # as the images had it
    gaps: tuple[str, ...] | None = None  # what it could have done for want of isolation
    shadow: str = ""  # why nothing of it may leave, whatever was said when it was queued


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """A run that gave no result: how it ended, and why."""

    event: JobEvent  # REFUSE or FAIL_PERMANENT
    reason: str
    seconds: dict[str, float]


class Commands:
    """Submit, complete, resubmit, cancel, retry, resend."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit_runs(
        self,
        study_uid: str,
        decision: RouteDecision,
        signal: str,
        runs: tuple[NewRun, ...],
        now: datetime,
    ) -> tuple[Job, ...]:
        """Return the queued jobs: route closed, decision, jobs and inputs in one transaction.

        An earlier run of the route on the same pipeline is superseded: cancelled if unfinished.
        Returns () and writes nothing if the route is closed already. Hand-over 3.
        Raises IllegalTransition for a held route.
        """
        with self._database.write() as connection:
            if not close_route(connection, study_uid, decision, signal, now):
                return ()
            ids = [_supersede(connection, study_uid, decision.route, run, now) for run in runs]
            jobs = tuple(read_job(connection, job_id) for job_id in ids)
            crash_point(CrashPoint.QUEUE_BEFORE_COMMIT)
        crash_point(CrashPoint.QUEUE_AFTER_COMMIT)
        return jobs

    def next_run_uid(self, study_uid: str, route: str, pipeline: str, digest: str) -> str:
        """Return the UID of the run that `record_run` would record next."""
        with self._database.read() as connection:
            number = _next_number(connection, _same(study_uid, route, pipeline))
        return uid_from_name(study_uid, route, pipeline, digest, str(number))

    def record_run(
        self,
        study_uid: str,
        route: str,
        run: NewRun,
        ending: CompletedRun | EndedRun,
        worker: str,
        now: datetime,
    ) -> Job:
        """Return a run that nobody queued, with its ending: all of it in one transaction.

        For runs beside the queue, on images that are not here: no worker ever sees it waiting. It
        supersedes the newest result of the same route, pipeline and study.
        """
        with self._database.write() as connection:
            job_id = _supersede(connection, study_uid, route, run, now)
            row = lock_job(connection, job_id)
            claimed = {"worker": worker, "attempt": 1, "started_at": run.run_after}
            move_job(connection, row, JobEvent.CLAIM, now=now, values=claimed)
            row = lock_job(connection, job_id)
            if isinstance(ending, CompletedRun):
                _finish(connection, row, ending, now)
                save_result(connection, job_id, ending.result)
                save_objects(connection, job_id, ending.objects)
            else:
                values = {"worker": None, "finished_at": now, "seconds": ending.seconds}
                move_job(
                    connection, row, ending.event, now=now, reason=ending.reason, values=values
                )
            return read_job(connection, job_id)

    def complete_run(self, claim: Claim, completed: CompletedRun, now: datetime) -> None:
        """Make the result true: result, objects, job DONE and outbox in one transaction.

        Hand-over 4. Raises StaleClaim, with nothing written, if the claim is no longer the job's.
        """
        with self._database.write() as connection:
            row = held_row(connection, claim)
            _finish(connection, row, completed, now)
            save_result(connection, row.id, completed.result)
            objects = save_objects(connection, row.id, completed.objects)
            targets = [] if completed.shadow else _targets(connection, row.id)
            key = completed.patient_key
            add_deliveries(connection, row, objects, sends=targets, patient_key=key, now=now)
            crash_point(CrashPoint.DONE_BEFORE_COMMIT)
        crash_point(CrashPoint.DONE_AFTER_COMMIT)

    def resubmit(self, job_id: int, now: datetime) -> Job:
        """Return a new run on the same images, which supersedes the newest finished one.

        Where an image came again under another header, the new run has the one that counts now.

        For a DONE, REFUSED or CANCELLED job; a FAILED one is retried instead. Raises
        IllegalTransition, also while another run of the same pipeline is unfinished.
        """
        with self._database.write() as connection:
            row = lock_job(connection, job_id)
            _check_received(row)
            hold_route(connection, row.study_instance_uid, row.route, now)
            _check_resubmit(connection, row)
            newest = _newest(connection, _same_as(row), (JobState.DONE,))
            run = _run_of(connection, row, now)
            study_uid, route = row.study_instance_uid, row.route
            new = _queue(connection, study_uid, route, run, supersedes=newest, now=now)
            return read_job(connection, new)

    def cancel(self, job_id: int) -> Job:
        """Return the job, now CANCELLED; its worker learns at the next heartbeat.

        Raises IllegalTransition for a finished one.
        """
        return self._move_job(job_id, JobEvent.CANCEL)

    def retry(self, job_id: int) -> Job:
        """Return the FAILED job, QUEUED again for one more attempt.

        Raises IllegalTransition, also where a later run has taken its place.
        """
        return self._move_job(job_id, JobEvent.RETRY)

    def resend(self, delivery_id: int) -> Delivery:
        """Return the delivery, PENDING again; the bytes are the same. Raises IllegalTransition."""
        return self._move_delivery(delivery_id, DeliveryEvent.RESEND)

    def cancel_delivery(self, delivery_id: int) -> Delivery:
        """Return the delivery, now CANCELLED. Raises IllegalTransition."""
        return self._move_delivery(delivery_id, DeliveryEvent.CANCEL)

    def _move_job(self, job_id: int, event: JobEvent) -> Job:
        now = self._database.clock.now()
        values: dict[str, Any] = {"worker": None, "lease_until": None, "finished_at": now}
        if event is JobEvent.RETRY:
            values |= {"finished_at": None, "started_at": None, "run_after": now, "progress": 0.0}
        with self._database.write() as connection:
            row = lock_job(connection, job_id)
            _check_received(row)
            newest = _newest(connection, _same_as(row), tuple(JobState))
            if event is JobEvent.RETRY and newest != job_id:
                raise IllegalTransition(f"job {newest} is a later run of the same pipeline")
            if not move_job(connection, row, event, now=now, values=values):
                raise StaleClaim(f"job {job_id} moved meanwhile")
            return read_job(connection, job_id)

    def _move_delivery(self, delivery_id: int, event: DeliveryEvent) -> Delivery:
        now = self._database.clock.now()
        with self._database.write() as connection:
            row = lock_delivery(connection, delivery_id)
            values: dict[str, Any] = {"not_before": now, "delivered_at": None, "worker": None}
            if not move_delivery(connection, row, event, now=now, values=values):
                raise StaleClaim(f"delivery {delivery_id} moved meanwhile")
            return read_delivery(connection, delivery_id)


def _targets(connection: Connection, job_id: int) -> list[tuple[str, tuple[str, ...]]]:
    sends = connection.execute(select(job_send).where(job_send.c.job_id == job_id)).all()
    return [(send.destination, send.objects) for send in sends]


def _supersede(
    connection: Connection, study_uid: str, route: str, run: NewRun, now: datetime
) -> int:
    """Queue the run in the place of earlier ones; return its number."""
    same = _same(study_uid, route, run.pipeline)
    unfinished = select(job).where(*same, job.c.state.in_(_UNFINISHED)).with_for_update()
    for row in connection.execute(unfinished).all():
        values = {"worker": None, "lease_until": None, "finished_at": now}
        reason = "superseded by a run with late images"
        move_job(connection, row, JobEvent.CANCEL, now=now, reason=reason, values=values)
    newest = _newest(connection, same, (JobState.DONE,))
    return _queue(connection, study_uid, route, run, supersedes=newest, now=now)


def _same(study_uid: str, route: str, pipeline: str) -> tuple[ColumnElement[bool], ...]:
    """Return what is true of every run of a route's pipeline on a study."""
    wanted = {"study_instance_uid": study_uid, "route": route, "pipeline": pipeline}
    return tuple(job.c[name] == value for name, value in wanted.items())


def _next_number(connection: Connection, same: Sequence[ColumnElement[bool]]) -> int:
    return 1 + (connection.scalar(select(func.max(job.c.run_number)).where(*same)) or 0)


def _queue(
    connection: Connection,
    study_uid: str,
    route: str,
    run: NewRun,
    *,
    supersedes: int | None,
    now: datetime,
) -> int:
    run_number = _next_number(connection, _same(study_uid, route, run.pipeline))
    names = (study_uid, route, run.pipeline, run.pipeline_digest, str(run_number))
    statement = job.insert().values(
        run_uid=uid_from_name(*names),
        study_instance_uid=study_uid,
        route=route,
        pipeline=run.pipeline,
        pipeline_version=run.pipeline_version,
        pipeline_digest=run.pipeline_digest,
        run_number=run_number,
        supersedes=supersedes,
        state=JobState.QUEUED,
        priority=run.priority,
        attempt=0,
        created_at=now,
        run_after=run.run_after,
        progress=0.0,
        phase="",
        reason="",
        seconds={},
        feedback_form=run.feedback_form,
        shadow=run.shadow or None,
    )
    job_id: int = connection.scalars(statement.returning(job.c.id)).one()
    _freeze(connection, job_id, run)
    return job_id


def _freeze(connection: Connection, job_id: int, run: NewRun) -> None:
    inputs = [
        {"job_id": job_id, "position": position, **asdict(item)}
        for position, item in enumerate(run.inputs)
    ]
    if inputs:
        connection.execute(job_input.insert(), inputs)
    kinds: dict[str, tuple[str, ...]] = {}
    for send in run.send:
        known = kinds.get(send.destination, ())
        kinds[send.destination] = known + tuple(k for k in send.objects if k not in known)
    for destination, objects in kinds.items():
        values = {"job_id": job_id, "destination": destination, "objects": list(objects)}
        connection.execute(job_send.insert().values(**values))


def _finish(connection: Connection, row: Row[Any], completed: CompletedRun, now: datetime) -> None:
    values: dict[str, Any] = {
        "finished_at": now,
        "lease_until": None,
        "progress": 1.0,
        "phase": "",
        "device": completed.device,
        "seconds": dict(completed.seconds),
        "gaps": None if completed.gaps is None else list(completed.gaps),
    }
    if completed.shadow:
        values["shadow"] = completed.shadow
    if not move_job(connection, row, JobEvent.COMPLETE, now=now, values=values):
        raise StaleClaim(f"job {row.id} was taken from {row.worker}")


def _check_received(row: Row[Any]) -> None:
    if row.route.startswith(COHORT):
        raise IllegalTransition(
            f"job {row.id} is of a cohort, whose images are not here; "
            "run that again with `appliance pipeline run`"
        )


def _check_resubmit(connection: Connection, row: Row[Any]) -> None:
    if JobState(row.state) not in _RUNS_AGAIN:
        advice = "retry it" if row.state == JobState.FAILED else "wait for it or cancel it"
        raise IllegalTransition(f"job {row.id} is {row.state}; {advice}")
    unfinished = _newest(connection, _same_as(row), _UNFINISHED)
    if unfinished is not None:
        raise IllegalTransition(f"job {unfinished} already runs this pipeline again")


def _same_as(row: Row[Any]) -> tuple[ColumnElement[bool], ...]:
    return _same(row.study_instance_uid, row.route, row.pipeline)


def _newest(
    connection: Connection, same: Sequence[ColumnElement[bool]], states: Sequence[JobState]
) -> int | None:
    query = select(func.max(job.c.id)).where(*same, job.c.state.in_(states))
    newest: int | None = connection.scalar(query)
    return newest


def _run_of(connection: Connection, row: Row[Any], now: datetime) -> NewRun:
    sends = connection.execute(select(job_send).where(job_send.c.job_id == row.id)).all()
    inputs = read_job(connection, row.id).inputs
    return NewRun(
        pipeline=row.pipeline,
        pipeline_version=row.pipeline_version,
        pipeline_digest=row.pipeline_digest,
        priority=Priority(row.priority),
        inputs=current_inputs(connection, row.study_instance_uid, inputs),
        send=tuple(
            SendTo(destination=send.destination, objects=tuple(send.objects)) for send in sends
        ),
        feedback_form=row.feedback_form,
        run_after=now,
        shadow=row.shadow or "",
    )
