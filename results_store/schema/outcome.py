"""What runs produced, and the outbox."""

from typing import Any

from sqlalchemy import Column, Index, Table, UniqueConstraint

from results_store.schema.types import (
    BigId,
    code,
    count,
    data,
    key,
    maybe_moment,
    maybe_text,
    metadata,
    moment,
    number,
    refers,
    text,
)


def _of_job() -> tuple[Column[Any], Column[Any]]:
    position = Column("position", BigId, primary_key=True, autoincrement=False)
    return refers("job_id", "job.id", primary_key=True), position


finding = Table(
    "finding",
    metadata,
    *_of_job(),
    text("name"),
    *code("structure"),
    maybe_text("side"),
    text("tracking_uid"),
    count("region_segment", nullable=True),
    maybe_text("region_series"),
)

measurement = Table(
    "measurement",
    metadata,
    refers("job_id", "job.id", primary_key=True),
    Column("finding", BigId, primary_key=True, autoincrement=False),  # the finding's position
    Column("position", BigId, primary_key=True, autoincrement=False),
    *code("concept"),
    number("value", nullable=True),
    *code("unit"),
    text("not_measured"),
)

segment = Table(
    "segment",
    metadata,
    *_of_job(),
    count("number"),
    text("name"),
    *code("structure"),
    *code("category"),
    maybe_text("side"),
    text("tracking_uid"),
    data("color"),
)

feature = Table(
    "feature",
    metadata,
    *_of_job(),
    text("feature_group"),
    text("name"),
    number("number", nullable=True),
    maybe_text("category"),
)

note = Table("note", metadata, *_of_job(), text("sentence"))

embedding = Table(
    "embedding",
    metadata,
    refers("job_id", "job.id", primary_key=True),
    data("vector"),
)

result_object = Table(
    "result_object",
    metadata,
    key(),
    refers("job_id", "job.id", index=True),
    text("kind"),
    text("sop_class_uid"),
    text("sop_instance_uid", unique=True),
    text("series_instance_uid"),
    text("series_description"),
    text("path"),
    text("sha256"),
    count("size"),
)

delivery = Table(
    "delivery",
    metadata,
    key(),
    refers("job_id", "job.id", index=True),
    text("study_instance_uid", index=True),
    text("destination"),
    refers("object_id", "result_object.id"),
    text("state"),
    count("attempt"),
    maybe_text("worker"),
    maybe_moment("lease_until"),
    moment("not_before"),
    text("reason"),
    maybe_text("patient_key"),
    moment("created_at"),
    maybe_moment("delivered_at"),
    UniqueConstraint("object_id", "destination"),  # never two copies of one result in one place
    Index(None, "state", "not_before"),
)

delivery_event = Table(
    "delivery_event",
    metadata,
    key(),
    refers("delivery_id", "delivery.id", index=True),
    moment("at"),
    text("event"),
    text("before"),
    text("after"),
    count("attempt"),
    maybe_text("worker"),
    text("reason"),
)
