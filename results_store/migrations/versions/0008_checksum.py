"""The checksum of a received data set may be another than SHA-256."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Rename the column; what stands in it stays true."""
    # In place in both databases; a batch would copy a table of millions of rows.
    op.execute("ALTER TABLE instance RENAME COLUMN sha256 TO checksum")
