"""Routes of a study, decisions, and the durable queue."""

from sqlalchemy import Column, Index, Table, UniqueConstraint

from results_store.schema.types import (
    BigId,
    count,
    data,
    flag,
    key,
    maybe_moment,
    maybe_text,
    metadata,
    moment,
    number,
    refers,
    text,
)

study_route = Table(
    "study_route",
    metadata,
    key(),
    text("study_instance_uid"),
    text("route"),
    text("state", index=True),
    text("signal"),  # what closed it; "" before
    text("reason"),  # why it waits or is held
    moment("opened_at"),
    maybe_moment("closed_at"),
    maybe_moment("deadline"),
    count("images_seen"),
    maybe_text("released_by"),  # who said to go on with what is here; until it closes or is held
    UniqueConstraint("study_instance_uid", "route"),
)

route_event = Table(
    "route_event",
    metadata,
    key(),
    text("study_instance_uid", index=True),
    text("route"),
    moment("at"),
    text("event"),
    text("before"),
    text("after"),
    text("reason"),
)

decision = Table(
    "decision",
    metadata,
    key(),
    text("study_instance_uid", index=True),
    text("route"),
    moment("decided_at"),
    text("signal"),
    flag("matched"),
    text("summary"),
    data("reasons"),
    data("inputs"),
)

job = Table(
    "job",
    metadata,
    key(),
    text("run_uid", unique=True),
    text("study_instance_uid"),
    text("route"),
    text("pipeline"),
    text("pipeline_version"),
    text("pipeline_digest", index=True),
    count("run_number"),
    refers("supersedes", "job.id", nullable=True),
    text("state"),
    text("priority"),
    count("attempt"),
    maybe_text("worker"),
    maybe_moment("lease_until"),
    count("claim_turn", nullable=True, index=True),  # which claim of all it was; see jobs.claim
    moment("created_at"),
    maybe_moment("started_at"),
    maybe_moment("finished_at"),
    moment("run_after"),
    number("progress"),
    text("phase"),
    text("reason"),
    maybe_text("device"),
    data("gaps", nullable=True),  # what it could have done for want of isolation
    data("seconds"),
    maybe_text("feedback_form"),
    maybe_text("shadow"),  # why its result stays here although the route sends
    UniqueConstraint("study_instance_uid", "route", "pipeline", "run_number"),
    Index(None, "state", "run_after"),
)

job_input = Table(
    "job_input",
    metadata,
    refers("job_id", "job.id", primary_key=True),
    Column("position", BigId, primary_key=True, autoincrement=False),
    text("input_name"),
    text("sop_instance_uid"),
    text("series_instance_uid"),
    text("spool_name", index=True),
)

job_send = Table(
    "job_send",
    metadata,
    refers("job_id", "job.id", primary_key=True),
    text("destination", primary_key=True),
    data("objects"),  # kinds, for instance ["sr", "seg"]
)

job_event = Table(
    "job_event",
    metadata,
    key(),
    refers("job_id", "job.id", index=True),
    moment("at"),
    text("event"),
    text("before"),
    text("after"),
    count("attempt"),
    maybe_text("worker"),
    text("reason"),
)

pause = Table(
    "pause",
    metadata,
    text("kind", primary_key=True),  # route, pipeline or destination
    text("name", primary_key=True),
    text("paused_by"),
    moment("paused_at"),
)
