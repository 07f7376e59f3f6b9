"""Versions of pipelines and their releases; why a result stays here."""

import sqlalchemy as sa
from alembic import op

from results_store.migrations import protect
from results_store.migrations.columns import ID, MOMENT

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "pipeline_version",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("first_seen", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pipeline_version"),
        sa.UniqueConstraint("digest", name="uq_pipeline_version_digest"),
    )
    op.create_index("ix_pipeline_version_name", "pipeline_version", ["name"])
    op.create_table(
        "pipeline_release",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=False),
        sa.Column("released_on", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("approval", sa.Text(), nullable=False),
        sa.Column("ends_on", sa.Text(), nullable=False),
        sa.Column("noted_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pipeline_release"),
    )
    op.create_index("ix_pipeline_release_digest", "pipeline_release", ["digest"])
    protect.append_only("pipeline_version", "pipeline_release")
    op.add_column("job", sa.Column("shadow", sa.Text(), nullable=True))
    op.create_index("ix_job_pipeline_digest", "job", ["pipeline_digest"])
