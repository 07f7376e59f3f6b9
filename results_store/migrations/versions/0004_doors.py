"""How instances came in: fetches, imports, and the door of each instance."""

import sqlalchemy as sa
from alembic import op

from results_store.migrations.columns import ID, MOMENT

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables and the column."""
    op.add_column("instance", sa.Column("door", sa.Text(), nullable=False, server_default="pushed"))
    op.create_table(
        "fetch",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fetch"),
    )
    op.create_index("ix_fetch_study_instance_uid", "fetch", ["study_instance_uid"], unique=False)
    op.create_table(
        "imported_file",
        sa.Column("path_sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("path_sha256", name="pk_imported_file"),
    )
