"""What an export holds: one query and one list of typed columns a sheet."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, exists, func, select

from appliance.core.states import DeliveryState, JobState
from results_store.rows import columns
from results_store.schema.outcome import delivery, finding, measurement
from results_store.schema.queue import job, study_route
from results_store.schema.received import study
from results_store.schema.said import feedback
from results_store.tables import COUNT, FLAG, MOMENT, NUMBER, TEXT

_JOB = {
    "job_id": COUNT,
    "run_uid": TEXT,
    "study_instance_uid": TEXT,
    "accession_number": TEXT,
    "study_date": TEXT,
    "route": TEXT,
    "pipeline": TEXT,
    "pipeline_version": TEXT,
    "pipeline_digest": TEXT,
    "run_number": COUNT,
    "supersedes": COUNT,
}
_JOB_COLUMNS = [
    job.c.id.label("job_id"),
    study.c.accession_number,
    study.c.study_date,
    *(job.c[name] for name in _JOB if name in job.c),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One file of an export; `spread` makes none, one or many rows of a row of the query."""

    name: str
    fields: Mapping[str, str]
    query: Select[Any]
    spread: Callable[[Row[Any]], Iterable[Mapping[str, Any]]]


def sheets() -> tuple[Sheet, ...]:
    """Return findings, feedback and times."""
    return _findings(), _feedback(), _times()


def _superseded() -> Any:
    newer = job.alias("newer")
    done = (newer.c.supersedes == job.c.id, newer.c.state == JobState.DONE)
    return exists().where(*done).label("superseded")


def _with_study(query: Select[Any]) -> Select[Any]:
    return query.outerjoin(study, study.c.study_instance_uid == job.c.study_instance_uid)


def _plain(row: Row[Any]) -> Iterable[Mapping[str, Any]]:
    yield columns(row)


def _findings() -> Sheet:
    """One row a measurement, so that what was not measured has its row and reason too."""
    own = {
        "finding": TEXT,
        "structure_value": TEXT,
        "structure_scheme": TEXT,
        "structure_meaning": TEXT,
        "side": TEXT,
        "concept_value": TEXT,
        "concept_scheme": TEXT,
        "concept_meaning": TEXT,
        "value": NUMBER,
        "unit_value": TEXT,
        "not_measured": TEXT,
    }
    said = [finding.c[name] for name in own if name in finding.c]
    measured = [measurement.c[name] for name in own if name in measurement.c]
    query = (
        select(
            *_JOB_COLUMNS,
            job.c.finished_at,
            _superseded(),
            finding.c.name.label("finding"),
            *said,
            *measured,
        )
        .select_from(measurement)
        .join(
            finding,
            (finding.c.job_id == measurement.c.job_id)
            & (finding.c.position == measurement.c.finding),
        )
        .join(job, job.c.id == measurement.c.job_id)
        .order_by(job.c.id, finding.c.position, measurement.c.position)
    )
    fields = {**_JOB, "finished_at": MOMENT, "superseded": FLAG, **own}
    return Sheet(name="findings", fields=fields, query=_with_study(query), spread=_plain)


def _feedback() -> Sheet:
    """One row an answer; a question with several answers has several rows."""
    own = {
        "feedback_id": COUNT,
        "replaces": COUNT,
        "replaced": FLAG,
        "account": TEXT,
        "form": TEXT,
        "opened_at": MOMENT,
        "answered_at": MOMENT,
        "seconds": NUMBER,
    }
    newer = feedback.alias("newer")
    query = (
        select(
            *_JOB_COLUMNS,
            feedback.c.id.label("feedback_id"),
            exists().where(newer.c.replaces == feedback.c.id).label("replaced"),
            feedback.c.answers,
            *(feedback.c[name] for name in own if name in feedback.c),
        )
        .select_from(feedback)
        .join(job, job.c.id == feedback.c.job_id)
        .order_by(feedback.c.id)
    )
    fields = {**_JOB, **own, "question": TEXT, "answer": TEXT}
    return Sheet(name="feedback", fields=fields, query=_with_study(query), spread=_answers)


def _answers(row: Row[Any]) -> Iterable[Mapping[str, Any]]:
    for question, answer in row.answers.items():
        for one in answer if isinstance(answer, list) else [answer]:
            yield {**columns(row), "question": question, "answer": one}


def _times() -> Sheet:
    """One row a run, from the first image to the last proof; seconds by phase as JSON."""
    own = {
        "state": TEXT,
        "priority": TEXT,
        "attempt": COUNT,
        "device": TEXT,
        "instance_count": COUNT,
        "first_received_at": MOMENT,
        "last_received_at": MOMENT,
        "route_closed_at": MOMENT,
        "signal": TEXT,
        "created_at": MOMENT,
        "started_at": MOMENT,
        "finished_at": MOMENT,
        "delivered_at": MOMENT,
        "seconds": TEXT,
    }
    delivered = (
        select(func.max(delivery.c.delivered_at))
        .where(delivery.c.job_id == job.c.id, delivery.c.state == DeliveryState.DELIVERED)
        .scalar_subquery()
    )
    query = (
        select(
            *_JOB_COLUMNS,
            *(job.c[name] for name in own if name in job.c),
            study.c.instance_count,
            study.c.first_received_at,
            study.c.last_received_at,
            study_route.c.closed_at.label("route_closed_at"),
            study_route.c.signal,
            delivered.label("delivered_at"),
        )
        .select_from(job)
        .outerjoin(
            study_route,
            (study_route.c.study_instance_uid == job.c.study_instance_uid)
            & (study_route.c.route == job.c.route),
        )
        .order_by(job.c.id)
    )
    return Sheet(
        name="times", fields={**_JOB, **own}, query=_with_study(query), spread=_phases_as_text
    )


def _phases_as_text(row: Row[Any]) -> Iterable[Mapping[str, Any]]:
    yield {**columns(row), "seconds": json.dumps(row.seconds, sort_keys=True)}
