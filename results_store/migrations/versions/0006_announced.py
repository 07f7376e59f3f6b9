"""What peers announce of studies, and who released a held route."""

import sqlalchemy as sa
from alembic import op

from results_store.migrations.columns import ID, MOMENT

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table and the column."""
    op.add_column("study_route", sa.Column("released_by", sa.Text(), nullable=True))
    op.create_table(
        "announcement",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("listed", sa.JSON(), nullable=False),
        sa.Column("announced_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_announcement"),
        sa.UniqueConstraint(
            "kind",
            "sop_instance_uid",
            "study_instance_uid",
            name="uq_announcement_kind_sop_instance_uid_study_instance_uid",
        ),
    )
    op.create_index(
        "ix_announcement_study_instance_uid", "announcement", ["study_instance_uid"], unique=False
    )
