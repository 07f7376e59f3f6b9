"""Versions of an instance and how they relate; whose images say they are."""

import sqlalchemy as sa
from alembic import op

from results_store.migrations.columns import ID

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create them."""
    op.add_column("instance", sa.Column("relation", sa.Text(), nullable=True))
    op.add_column("instance", sa.Column("identity", sa.BigInteger(), nullable=True))
    op.create_table(
        "study_identity",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("patient_key", sa.Text(), nullable=True),
        sa.Column("patient_id_key", sa.Text(), nullable=True),
        sa.Column("person_key", sa.Text(), nullable=True),
        sa.Column("accession_number", sa.Text(), nullable=True),
        sa.Column("study_date", sa.Text(), nullable=True),
        sa.Column("study_time", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_study_identity"),
        sa.UniqueConstraint(
            "study_instance_uid", "digest", name="uq_study_identity_study_instance_uid_digest"
        ),
    )
