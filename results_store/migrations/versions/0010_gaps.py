"""What a run could have done for want of isolation."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column."""
    op.add_column("job", sa.Column("gaps", sa.JSON(none_as_null=True), nullable=True))
