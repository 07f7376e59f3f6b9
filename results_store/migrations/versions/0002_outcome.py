"""What runs produce, and the outbox."""

import sqlalchemy as sa
from alembic import op

from results_store.migrations.columns import ID, MOMENT
from results_store.migrations.protect import append_only

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    _create_findings()
    _create_other_results()
    _create_objects()
    _create_outbox()
    append_only("delivery_event")


def _create_findings() -> None:
    op.create_table(
        "finding",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("structure_value", sa.Text(), nullable=False),
        sa.Column("structure_scheme", sa.Text(), nullable=False),
        sa.Column("structure_meaning", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("tracking_uid", sa.Text(), nullable=False),
        sa.Column("region_segment", sa.BigInteger(), nullable=True),
        sa.Column("region_series", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_finding_job_id"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_finding"),
    )
    op.create_table(
        "measurement",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("finding", ID, autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("concept_value", sa.Text(), nullable=False),
        sa.Column("concept_scheme", sa.Text(), nullable=False),
        sa.Column("concept_meaning", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("unit_value", sa.Text(), nullable=False),
        sa.Column("unit_scheme", sa.Text(), nullable=False),
        sa.Column("unit_meaning", sa.Text(), nullable=False),
        sa.Column("not_measured", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_measurement_job_id"),
        sa.PrimaryKeyConstraint("job_id", "finding", "position", name="pk_measurement"),
    )


def _create_other_results() -> None:
    op.create_table(
        "embedding",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("vector", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_embedding_job_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_embedding"),
    )
    op.create_table(
        "feature",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("feature_group", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_feature_job_id"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_feature"),
    )
    op.create_table(
        "note",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_note_job_id"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_note"),
    )
    op.create_table(
        "segment",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("structure_value", sa.Text(), nullable=False),
        sa.Column("structure_scheme", sa.Text(), nullable=False),
        sa.Column("structure_meaning", sa.Text(), nullable=False),
        sa.Column("category_value", sa.Text(), nullable=False),
        sa.Column("category_scheme", sa.Text(), nullable=False),
        sa.Column("category_meaning", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("tracking_uid", sa.Text(), nullable=False),
        sa.Column("color", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_segment_job_id"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_segment"),
    )


def _create_objects() -> None:
    op.create_table(
        "result_object",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sop_class_uid", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("series_description", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_result_object_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_result_object"),
        sa.UniqueConstraint("sop_instance_uid", name="uq_result_object_sop_instance_uid"),
    )
    op.create_index("ix_result_object_job_id", "result_object", ["job_id"], unique=False)


def _create_outbox() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("object_id", ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("not_before", MOMENT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("patient_key", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_delivery_job_id"),
        sa.ForeignKeyConstraint(["object_id"], ["result_object.id"], name="fk_delivery_object_id"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint("object_id", "destination", name="uq_delivery_object_id_destination"),
    )
    op.create_index("ix_delivery_job_id", "delivery", ["job_id"], unique=False)
    op.create_index(
        "ix_delivery_state_not_before", "delivery", ["state", "not_before"], unique=False
    )
    op.create_index(
        "ix_delivery_study_instance_uid", "delivery", ["study_instance_uid"], unique=False
    )
    op.create_table(
        "delivery_event",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("delivery_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name="fk_delivery_event_delivery_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_event"),
    )
    op.create_index(
        "ix_delivery_event_delivery_id", "delivery_event", ["delivery_id"], unique=False
    )
