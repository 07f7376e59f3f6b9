"""Which files of the folder for imports were taken already."""

from sqlalchemy import delete, select

from results_store.engine import Database
from results_store.schema.fetched import imported_file


class Imports:
    """The memory of a folder whose files stay. No file name is kept, only its hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def outcome(self, path_sha256: str, size: int, modified_ns: int) -> str | None:
        """Return what became of this file as it is now, or None where it is news."""
        query = select(imported_file.c.outcome).where(
            imported_file.c.path_sha256 == path_sha256,
            imported_file.c.size == size,
            imported_file.c.modified_ns == modified_ns,
        )
        with self._database.read() as connection:
            found: str | None = connection.execute(query).scalar_one_or_none()
            return found

    def remember(self, path_sha256: str, size: int, modified_ns: int, outcome: str) -> None:
        """Note what became of the file; what was known of an earlier one is replaced."""
        values = {
            "path_sha256": path_sha256,
            "size": size,
            "modified_ns": modified_ns,
            "outcome": outcome,
            "at": self._database.clock.now(),
        }
        with self._database.write() as connection:
            connection.execute(
                delete(imported_file).where(imported_file.c.path_sha256 == path_sha256)
            )
            connection.execute(imported_file.insert().values(**values))
