"""What was asked for from other nodes, and what was found in the folder for imports."""

from sqlalchemy import Table

from results_store.schema.types import count, key, maybe_moment, metadata, moment, text

fetch = Table(
    "fetch",
    metadata,
    key(),
    text("study_instance_uid", index=True),
    text("node"),
    text("way"),  # move or get
    text("asked_by"),  # the polling rule's number, or "" for a person
    moment("asked_at"),
    maybe_moment("ended_at"),
    text("outcome"),
    count("instances"),  # that the node says it has; -1 where it does not say
    count("completed"),
    count("failed"),
    text("reason"),
)

imported_file = Table(
    "imported_file",
    metadata,
    text("path_sha256", primary_key=True),  # a file's name may hold a patient's
    count("size"),
    count("modified_ns"),
    text("outcome"),
    moment("at"),
)
