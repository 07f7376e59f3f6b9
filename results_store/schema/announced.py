"""What peers announced of studies: procedure steps and available instances."""

from sqlalchemy import Table, UniqueConstraint

from results_store.schema.types import data, key, metadata, moment, text

announcement = Table(
    "announcement",
    metadata,
    key(),
    text("kind"),  # "mpps" or "ian"
    text("sop_instance_uid"),
    text("study_instance_uid", index=True),
    text("state"),
    text("reason"),  # the code of why a step was discontinued; "" otherwise
    text("calling_ae_title"),
    data("listed"),  # SOP Instance UIDs by Series Instance UID
    moment("announced_at"),
    UniqueConstraint("kind", "sop_instance_uid", "study_instance_uid"),
)
