"""What a person has paused."""

from typing import Literal

from sqlalchemy import delete, select

from results_store.engine import Database, insert_if_absent
from results_store.schema.queue import pause

Kind = Literal["route", "pipeline", "destination"]


class Controls:
    """Pauses: jobs of a paused route or pipeline and deliveries to a paused destination wait."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pause(self, kind: Kind, name: str, by: str) -> None:
        """Pause; nothing changes if it is paused."""
        now = self._database.clock.now()
        values = {"kind": kind, "name": name, "paused_by": by, "paused_at": now}
        with self._database.write() as connection:
            insert_if_absent(connection, pause, values)

    def resume(self, kind: Kind, name: str) -> None:
        """End the pause; nothing changes if there is none."""
        with self._database.write() as connection:
            connection.execute(delete(pause).where(pause.c.kind == kind, pause.c.name == name))

    def paused(self) -> frozenset[tuple[str, str]]:
        """Return (kind, name) of everything paused."""
        with self._database.read() as connection:
            rows = connection.execute(select(pause.c.kind, pause.c.name))
            return frozenset((row.kind, row.name) for row in rows)
