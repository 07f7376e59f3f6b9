"""What people said, who they are, and what was done."""

from sqlalchemy import Table

from results_store.schema.types import (
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

feedback = Table(
    "feedback",
    metadata,
    key(),
    refers("job_id", "job.id", index=True),
    text("study_instance_uid", index=True),
    text("account"),
    text("form"),
    data("answers"),
    moment("opened_at"),
    moment("answered_at"),
    number("seconds"),
    refers("replaces", "feedback.id", nullable=True, unique=True),
)

account = Table(
    "account",
    metadata,
    text("name", primary_key=True),
    text("password_hash"),
    text("role"),
    moment("created_at"),
    maybe_moment("disabled_at"),
)

web_session = Table(
    "web_session",
    metadata,
    text("token_hash", primary_key=True),
    text("account"),
    maybe_text("study_scope"),
    moment("opened_at"),
    moment("expires_at"),
    maybe_moment("closed_at"),
)

audit = Table(
    "audit",
    metadata,
    key(),
    moment("at"),
    text("actor"),
    text("action"),
    maybe_text("study_instance_uid", index=True),
    text("detail"),
)

event = Table(
    "event",
    metadata,
    key(),
    moment("at"),
    text("event"),
    maybe_text("study_instance_uid", index=True),
    data("fields"),
)
