"""What drift is computed from and what came out."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select

from appliance.core.errors import StoreError
from appliance.core.model import DriftPoint
from appliance.core.states import JobState
from results_store.engine import Database, insert_if_absent
from results_store.job_rows import asked_by_routes
from results_store.rows import pick
from results_store.schema.outcome import feature as feature_table
from results_store.schema.queue import job
from results_store.schema.received import study
from results_store.schema.watched import drift_point, reference_period


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """One feature of one run, with when its study began to arrive."""

    job_id: int
    received_at: datetime
    group: str
    name: str
    number: float | None
    category: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePeriod:
    """A named period that a pipeline's features are compared with: since ≤ t < until."""

    pipeline: str
    name: str
    since: datetime
    until: datetime
    named_at: datetime


class Drift:
    """Feature rows in, drift points out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def feature_rows(
        self, pipeline: str, since: datetime, until: datetime
    ) -> tuple[FeatureRow, ...]:
        """Return the features of runs that are done, by the study's arrival: since ≤ t < until.

        A run that a newer one superseded does not count, or the study would count twice; nor does
        one of a cohort, whose studies somebody chose.
        """
        newer = job.alias("newer")
        query = (
            select(
                feature_table.c.job_id,
                study.c.first_received_at.label("received_at"),
                feature_table.c.feature_group.label("group"),
                feature_table.c.name,
                feature_table.c.number,
                feature_table.c.category,
            )
            .join(job, feature_table.c.job_id == job.c.id)
            .join(study, job.c.study_instance_uid == study.c.study_instance_uid)
            .where(job.c.pipeline == pipeline, job.c.state == JobState.DONE, asked_by_routes())
            .where(study.c.first_received_at >= since, study.c.first_received_at < until)
            .where(~exists().where(newer.c.supersedes == job.c.id, newer.c.state == JobState.DONE))
            .order_by(study.c.first_received_at, feature_table.c.job_id, feature_table.c.position)
        )
        with self._database.read() as connection:
            return tuple(FeatureRow(**pick(row, FeatureRow)) for row in connection.execute(query))

    def name_reference(self, pipeline: str, name: str, since: datetime, until: datetime) -> None:
        """Name a reference period. Raises StoreError if the name is taken or the period empty."""
        if since >= until:
            raise StoreError("a reference period ends after it begins")
        values = {"pipeline": pipeline, "name": name, "since": since, "until": until}
        values["named_at"] = self._database.clock.now()
        with self._database.write() as connection:
            if not insert_if_absent(connection, reference_period, values):
                raise StoreError(f"{pipeline} has a reference period {name!r} already")

    def references(self, pipeline: str) -> tuple[ReferencePeriod, ...]:
        """Return the pipeline's reference periods, the newest name last."""
        query = (
            select(reference_period)
            .where(reference_period.c.pipeline == pipeline)
            .order_by(reference_period.c.named_at, reference_period.c.name)
        )
        with self._database.read() as connection:
            return tuple(
                ReferencePeriod(**pick(row, ReferencePeriod)) for row in connection.execute(query)
            )

    def add_points(self, points: tuple[DriftPoint, ...]) -> None:
        """Append the points."""
        rows = []
        for point in points:
            row = {name: getattr(point, name) for name in DriftPoint.__dataclass_fields__}
            row |= {"feature_group": row.pop("group"), "detail": dict(point.detail)}
            rows.append(row)
        if rows:
            with self._database.write() as connection:
                connection.execute(drift_point.insert(), rows)

    def points(
        self, pipeline: str, feature: str | None = None, since: datetime | None = None
    ) -> tuple[DriftPoint, ...]:
        """Return the points whose window ends after `since`, by window and then as computed."""
        query = select(drift_point).where(drift_point.c.pipeline == pipeline)
        if feature is not None:
            query = query.where(drift_point.c.feature == feature)
        if since is not None:
            query = query.where(drift_point.c.window_end > since)
        query = query.order_by(drift_point.c.window_end, drift_point.c.id)
        with self._database.read() as connection:
            return tuple(
                DriftPoint(group=row.feature_group, **pick(row, DriftPoint, "group"))
                for row in connection.execute(query)
            )
