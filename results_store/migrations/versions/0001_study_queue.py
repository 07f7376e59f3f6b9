"""Studies, routes, decisions and the queue."""

import sqlalchemy as sa
from alembic import op

from results_store.migrations.columns import ID, MOMENT
from results_store.migrations.protect import append_only

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    _create_study()
    _create_instance()
    _create_routes()
    _create_decision()
    _create_job()
    _create_job_details()
    append_only("route_event", "decision", "job_event")


def _create_study() -> None:
    op.create_table(
        "study",
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("accession_number", sa.Text(), nullable=True),
        sa.Column("study_date", sa.Text(), nullable=True),
        sa.Column("study_time", sa.Text(), nullable=True),
        sa.Column("patient_key", sa.Text(), nullable=True),
        sa.Column("first_received_at", MOMENT, nullable=False),
        sa.Column("last_received_at", MOMENT, nullable=False),
        sa.Column("instance_count", sa.BigInteger(), nullable=False),
        sa.Column("images_evaluated", sa.BigInteger(), nullable=False),
        sa.Column("modalities", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", name="pk_study"),
    )
    op.create_index("ix_study_accession_number", "study", ["accession_number"], unique=False)
    op.create_index("ix_study_last_received_at", "study", ["last_received_at"], unique=False)
    op.create_index("ix_study_patient_key", "study", ["patient_key"], unique=False)
    op.create_index(
        "ix_study_unevaluated",
        "study",
        ["study_instance_uid"],
        unique=False,
        sqlite_where=sa.text("instance_count > images_evaluated"),
        postgresql_where=sa.text("instance_count > images_evaluated"),
    )


def _create_instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("spool_name", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("sop_class_uid", sa.Text(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.Text(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("called_ae_title", sa.Text(), nullable=False),
        sa.Column("peer_address", sa.Text(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("number_of_frames", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.Column("indexed_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.UniqueConstraint("spool_name", name="uq_instance_spool_name"),
        sa.UniqueConstraint(
            "study_instance_uid",
            "sop_instance_uid",
            "version",
            name="uq_instance_study_instance_uid_sop_instance_uid_version",
        ),
    )
    op.create_index(
        "ix_instance_here",
        "instance",
        ["received_at"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_instance_sop_instance_uid", "instance", ["sop_instance_uid"], unique=False)


def _create_routes() -> None:
    op.create_table(
        "pause",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("paused_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_pause"),
    )
    op.create_table(
        "route_event",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_route_event"),
    )
    op.create_index(
        "ix_route_event_study_instance_uid", "route_event", ["study_instance_uid"], unique=False
    )
    op.create_table(
        "study_route",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT, nullable=True),
        sa.Column("deadline", MOMENT, nullable=True),
        sa.Column("images_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study_route"),
        sa.UniqueConstraint(
            "study_instance_uid", "route", name="uq_study_route_study_instance_uid_route"
        ),
    )
    op.create_index("ix_study_route_state", "study_route", ["state"], unique=False)


def _create_decision() -> None:
    op.create_table(
        "decision",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("matched", sa.Boolean(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
    )
    op.create_index(
        "ix_decision_study_instance_uid", "decision", ["study_instance_uid"], unique=False
    )


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("run_uid", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("pipeline_version", sa.Text(), nullable=False),
        sa.Column("pipeline_digest", sa.Text(), nullable=False),
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.Column("supersedes", ID, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("claim_turn", sa.BigInteger(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("run_after", MOMENT, nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("seconds", sa.JSON(), nullable=False),
        sa.Column("feedback_form", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["supersedes"], ["job.id"], name="fk_job_supersedes"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("run_uid", name="uq_job_run_uid"),
        sa.UniqueConstraint(
            "study_instance_uid",
            "route",
            "pipeline",
            "run_number",
            name="uq_job_study_instance_uid_route_pipeline_run_number",
        ),
    )
    op.create_index("ix_job_claim_turn", "job", ["claim_turn"], unique=False)
    op.create_index("ix_job_state_run_after", "job", ["state", "run_after"], unique=False)


def _create_job_details() -> None:
    op.create_table(
        "job_event",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_job_event_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_job_event"),
    )
    op.create_index("ix_job_event_job_id", "job_event", ["job_id"], unique=False)
    op.create_table(
        "job_input",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("input_name", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("spool_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_job_input_job_id"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_job_input"),
    )
    op.create_index("ix_job_input_spool_name", "job_input", ["spool_name"], unique=False)
    op.create_table(
        "job_send",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("objects", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_job_send_job_id"),
        sa.PrimaryKeyConstraint("job_id", "destination", name="pk_job_send"),
    )
