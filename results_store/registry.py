"""The registry: versions of pipelines by the hash of their folder, and their releases."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from results_store.engine import Database, insert_if_absent
from results_store.rows import pick
from results_store.schema.queue import job
from results_store.schema.registered import pipeline_release, pipeline_version


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineVersion:
    """One version, as it lay in its folder."""

    digest: str  # SHA-256 of the folder
    name: str
    version: str
    manifest: str  # the text of pipeline.yaml
    card: str  # Markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRelease:
    """The site's word that results of a version may leave; taken back where `role` is empty."""

    role: str
    released_by: str = ""
    released_on: str = ""  # YYYY-MM-DD
    reference: str = ""
    approval: str = ""
    ends_on: str = ""


TAKEN_BACK = PipelineRelease(role="")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion(PipelineVersion):
    """A version that is or was here, with its history."""

    first_seen: datetime
    runs: int  # jobs of any state
    releases: tuple[tuple[datetime, PipelineRelease], ...]  # and when each was noted; oldest first


class Registry:
    """Versions and releases. Rows are added, never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, version: PipelineVersion, now: datetime) -> None:
        """Note that the version is here, for a run beside the routes: nothing of its release."""
        with self._database.write() as connection:
            insert_if_absent(connection, pipeline_version, {**asdict(version), "first_seen": now})

    def note(
        self, version: PipelineVersion, release: PipelineRelease | None, now: datetime
    ) -> None:
        """Note that the version is here, and its release if that is another than the last noted.

        None is no release: what was released before is taken back.
        """
        with self._database.write() as connection:
            insert_if_absent(connection, pipeline_version, {**asdict(version), "first_seen": now})
            row = select(pipeline_version.c.digest).where(
                pipeline_version.c.digest == version.digest
            )
            connection.execute(row.with_for_update()).one()  # of two processes the second waits
            last = _releases(connection, version.digest)[-1:]
            if (release or TAKEN_BACK) != (last[0][1] if last else TAKEN_BACK):
                values = asdict(release or TAKEN_BACK)
                connection.execute(
                    pipeline_release.insert().values(digest=version.digest, noted_at=now, **values)
                )

    def get(self, digest: str) -> RegisteredVersion | None:
        """Return the version of this folder, or None."""
        found = self._find(select(pipeline_version).where(pipeline_version.c.digest == digest))
        return next(iter(found), None)

    def versions(self) -> tuple[RegisteredVersion, ...]:
        """Return all, by name, the newest first."""
        table = pipeline_version
        return self._find(select(table).order_by(table.c.name, table.c.first_seen.desc()))

    def _find(self, query: Select[Any]) -> tuple[RegisteredVersion, ...]:
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            runs = _runs(connection, [row.digest for row in rows])
            return tuple(
                RegisteredVersion(
                    **pick(row, RegisteredVersion, "runs", "releases"),
                    runs=runs.get(row.digest, 0),
                    releases=_releases(connection, row.digest),
                )
                for row in rows
            )


def _runs(connection: Connection, digests: list[str]) -> Mapping[str, int]:
    query = (
        select(job.c.pipeline_digest, func.count())
        .where(job.c.pipeline_digest.in_(digests))
        .group_by(job.c.pipeline_digest)
    )
    return {str(digest): int(number) for digest, number in connection.execute(query)}


def _releases(connection: Connection, digest: str) -> tuple[tuple[datetime, PipelineRelease], ...]:
    table = pipeline_release
    query = select(table).where(table.c.digest == digest).order_by(table.c.id)
    return tuple((row.noted_at, _to_release(row)) for row in connection.execute(query))


def _to_release(row: Row[Any]) -> PipelineRelease:
    return PipelineRelease(**pick(row, PipelineRelease))
