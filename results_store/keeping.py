"""Images that we answer for: their storage was committed to a peer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.sql.expression import false

from results_store.engine import Database
from results_store.indexing import by_uid
from results_store.rows import pick
from results_store.schema.received import instance

_AT_ONCE = 500  # values in one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldInstance:
    """A received file that is not deleted; a SOP Instance UID may have several."""

    spool_name: str
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    checksum: str  # of the data set


class Keeping:
    """What may not be deleted yet, though it is old or the disk is nearly full."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def held(self, sop_instance_uids: Sequence[str]) -> tuple[HeldInstance, ...]:
        """Return every file of these instances that is here, our own objects left out."""
        columns = [instance.c[name] for name in HeldInstance.__dataclass_fields__]
        query = select(*columns).where(instance.c.deleted_at.is_(None), instance.c.own == false())
        with self._database.read() as connection:
            return tuple(
                HeldInstance(**pick(row, HeldInstance))
                for some in _portions(sop_instance_uids)
                for row in connection.execute(query.where(instance.c.sop_instance_uid.in_(some)))
            )

    def keep(self, files: Sequence[HeldInstance], until: datetime) -> frozenset[str]:
        """Keep the files at least until then; return the names of those that are still here.

        Retention holds a study while it deletes: so does this, and comes before or after it.
        """
        kept: set[str] = set()
        with self._database.write() as connection:
            for study_uid in sorted({file.study_instance_uid for file in files}):
                connection.execute(by_uid(study_uid).with_for_update())
            for names in _portions([file.spool_name for file in files]):
                here = (instance.c.spool_name.in_(names), instance.c.deleted_at.is_(None))
                later = instance.c.keep_until.is_(None) | (instance.c.keep_until < until)
                connection.execute(update(instance).where(*here, later).values(keep_until=until))
                kept.update(connection.scalars(select(instance.c.spool_name).where(*here)))
        return frozenset(kept)


def _portions(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
