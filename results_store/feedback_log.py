"""What readers said: hand-over 6. Append-only; a correction names the row that it replaces."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from appliance.core.errors import StoreError
from appliance.core.model import FeedbackEntry
from results_store.engine import Database
from results_store.rows import pick
from results_store.schema.queue import job
from results_store.schema.said import feedback


class FeedbackLog:
    """Feedback by study and by job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: FeedbackEntry) -> int:
        """Return the number of the new row.

        Raises StoreError if it is not on that study's job, or replaces what is not the same
        reader's newest word on that job.
        """
        values = {name: getattr(entry, name) for name in FeedbackEntry.__dataclass_fields__}
        del values["feedback_id"]  # the database gives it
        values["answers"] = dict(entry.answers)
        with self._database.write() as connection:
            _check(connection, entry)
            statement = feedback.insert().values(**values).returning(feedback.c.id)
            new: int = connection.scalars(statement).one()
            return new

    def of_study(self, study_uid: str) -> tuple[FeedbackEntry, ...]:
        """Return everything said on the study, oldest first, replaced rows too."""
        return self._read(feedback.c.study_instance_uid == study_uid)

    def of_job(self, job_id: int) -> tuple[FeedbackEntry, ...]:
        """Return everything said on the job, oldest first, replaced rows too."""
        return self._read(feedback.c.job_id == job_id)

    def _read(self, condition: ColumnElement[bool]) -> tuple[FeedbackEntry, ...]:
        query = select(feedback).where(condition).order_by(feedback.c.id)
        with self._database.read() as connection:
            return tuple(_to_entry(row) for row in connection.execute(query))


def _check(connection: Connection, entry: FeedbackEntry) -> None:
    # The lock makes two corrections of one row wait for each other.
    query = select(job.c.study_instance_uid).where(job.c.id == entry.job_id).with_for_update()
    if connection.scalar(query) != entry.study_instance_uid:
        raise StoreError(f"job {entry.job_id} is not a job of that study")
    if entry.replaces is None:
        return
    replaced = connection.execute(
        select(feedback).where(feedback.c.id == entry.replaces)
    ).one_or_none()
    if replaced is None or (replaced.job_id, replaced.account) != (entry.job_id, entry.account):
        raise StoreError(f"feedback {entry.replaces} is not {entry.account}'s on this job")
    if connection.scalar(select(feedback.c.id).where(feedback.c.replaces == entry.replaces)):
        raise StoreError(f"feedback {entry.replaces} was replaced before; replace the newer one")


def _to_entry(row: Row[Any]) -> FeedbackEntry:
    answers = {
        question: tuple(answer) if isinstance(answer, list) else answer
        for question, answer in row.answers.items()
    }
    plain = pick(row, FeedbackEntry, "feedback_id", "answers")
    return FeedbackEntry(feedback_id=row.id, answers=answers, **plain)
