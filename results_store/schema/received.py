"""What was received."""

from enum import StrEnum

from sqlalchemy import Index, Table, UniqueConstraint

from results_store.schema.types import (
    count,
    data,
    flag,
    index_of_some,
    key,
    maybe_moment,
    maybe_text,
    metadata,
    moment,
    text,
)


class Relation(StrEnum):
    """What a version of an instance is to the version that was current when it came."""

    UPDATE = "update"  # the same image under another header
    CONFLICT = "conflict"  # another image
    CUT_OFF = "cut-off"  # nothing: its data set is not whole, and it is out of the way


study = Table(
    "study",
    metadata,
    text("study_instance_uid", primary_key=True),
    maybe_text("accession_number", index=True),
    maybe_text("study_date"),
    maybe_text("study_time"),
    maybe_text("patient_key", index=True),  # keyed hash of issuer and PatientID
    moment("first_received_at"),
    moment("last_received_at"),
    count("instance_count"),  # current images, ours not counted; does not fall by retention
    count("images_evaluated"),  # how many of them the last full evaluation knew
    data("modalities"),
    Index(None, "last_received_at"),
    # Asked every second; without it each look would cost as much as there ever were studies.
    index_of_some(
        "ix_study_unevaluated", "study_instance_uid", "instance_count > images_evaluated"
    ),
)

study_identity = Table(
    "study_identity",
    metadata,
    key(),
    text("study_instance_uid"),
    text("digest"),  # of all that follows
    maybe_text("patient_key"),  # keyed hash of issuer and PatientID
    maybe_text("patient_id_key"),  # keyed hash of PatientID alone
    maybe_text("person_key"),  # keyed hash of name, birth date and sex
    maybe_text("accession_number"),
    maybe_text("study_date"),
    maybe_text("study_time"),
    UniqueConstraint("study_instance_uid", "digest"),
)
"""What images of a study say of whose they are. Most studies have one row, coerced ones two."""

instance = Table(
    "instance",
    metadata,
    key(),
    text("spool_name", unique=True),
    text("study_instance_uid"),
    text("series_instance_uid"),
    text("sop_instance_uid"),
    text("sop_class_uid"),
    text("transfer_syntax_uid"),
    text("calling_ae_title"),
    text("called_ae_title"),
    text("peer_address"),
    moment("received_at"),
    count("size"),
    text("checksum"),
    text("door", server_default="pushed"),
    text("modality"),
    count("number_of_frames"),
    count("version"),  # 1, 2, … of one SOP Instance UID; only one is current
    flag("current"),
    flag("own"),
    moment("indexed_at"),
    maybe_moment("deleted_at"),
    maybe_text("relation"),  # to the version before it; see Relation
    count("identity", nullable=True),  # study_identity.id: whose it says it is
    maybe_moment("keep_until"),  # its storage is committed to a peer
    UniqueConstraint("study_instance_uid", "sop_instance_uid", "version"),
    Index(None, "sop_instance_uid"),
    index_of_some("ix_instance_here", "received_at", "deleted_at IS NULL"),
)
