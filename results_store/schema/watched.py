"""Reference periods and drift points."""

from sqlalchemy import Index, Table

from results_store.schema.types import (
    count,
    data,
    flag,
    key,
    metadata,
    moment,
    number,
    text,
)

reference_period = Table(
    "reference_period",
    metadata,
    text("pipeline", primary_key=True),
    text("name", primary_key=True),
    moment("since"),
    moment("until"),
    moment("named_at"),
)

drift_point = Table(
    "drift_point",
    metadata,
    key(),
    text("pipeline"),
    text("feature"),
    text("feature_group"),
    text("reference"),
    moment("window_start"),
    moment("window_end"),
    count("n"),
    count("n_reference"),
    text("statistic"),
    number("value"),
    number("p_value", nullable=True),
    number("threshold"),
    flag("alert"),
    moment("computed_at"),
    data("detail"),
    Index(None, "pipeline", "feature", "window_end"),
)
