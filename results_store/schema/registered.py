"""Every version of a pipeline that was ever here, and what the site said of it. Only added to."""

from sqlalchemy import Table

from results_store.schema.types import key, metadata, moment, text

pipeline_version = Table(
    "pipeline_version",
    metadata,
    key(),
    text("digest", unique=True),  # SHA-256 of its folder
    text("name", index=True),
    text("version"),
    text("manifest"),  # pipeline.yaml as it was
    text("card"),  # the model card, Markdown
    moment("first_seen"),
)

pipeline_release = Table(
    "pipeline_release",
    metadata,
    key(),
    text("digest", index=True),
    text("role"),  # "" where a release was taken back
    text("released_by"),
    text("released_on"),  # dates as the settings have them, YYYY-MM-DD
    text("reference"),
    text("approval"),
    text("ends_on"),  # the last day; "" without end
    moment("noted_at"),
)
