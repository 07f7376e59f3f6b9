"""Which version of the schema a database has, and which this program knows.

A SELECT and the names of files: Alembic, which takes longer to import than a start should, is
left to `upgrade`.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from appliance.core.errors import StoreError

_STEPS = Path(__file__).parent / "migrations" / "versions"


def known() -> tuple[str, ...]:
    """Return the revisions that this program knows, the newest last."""
    return tuple(sorted(path.name.partition("_")[0] for path in _STEPS.glob("[0-9]*_*.py")))


def found_in(connection: Connection) -> str | None:
    """Return the database's revision, or None where it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def is_current(connection: Connection) -> bool:
    """Return whether the database has this version's schema. Raises StoreError if a newer one."""
    found = found_in(connection)
    if found is not None and found not in known():
        raise StoreError(
            f"the store was written by a newer version of the appliance (schema {found}); "
            "install that version again, or restore a backup made with this one"
        )
    return found == known()[-1]


def check_current(connection: Connection) -> None:
    """Return if the database has exactly this version's schema. Raises StoreError."""
    if not is_current(connection):
        raise StoreError(
            "the store has no tables yet or those of an older version; "
            "start the appliance once (`appliance run`), which brings them up to date"
        )
