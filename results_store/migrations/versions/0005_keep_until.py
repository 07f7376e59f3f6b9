"""Images whose storage was committed to a peer are kept until then."""

import sqlalchemy as sa
from alembic import op

from results_store.migrations.columns import MOMENT

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column("instance", sa.Column("keep_until", MOMENT, nullable=True))
