"""Studies and their instances: hand-over 2, indexed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, exists, func, select, update
from sqlalchemy.sql.expression import false, true

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.model import Door, ReceivedInstance
from appliance.core.states import DeliveryState, JobState, RouteState
from results_store.engine import Database, insert_absent
from results_store.facts import InstanceFacts
from results_store.identities import OF_PATIENT, Doubts, identity_changes, read_doubts
from results_store.indexing import (
    Comparison,
    Entry,
    IndexOutcome,
    by_uid,
    cut_off_row,
    index_batch,
    is_own_object,
    new_study,
)
from results_store.rows import pick
from results_store.schema.outcome import delivery
from results_store.schema.queue import job, study_route
from results_store.schema.received import instance, study

_UNFINISHED_JOBS = (JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)
_UNFINISHED_DELIVERIES = (
    DeliveryState.PENDING,
    DeliveryState.SENDING,
    DeliveryState.SENT,
    DeliveryState.HELD,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedInstance:
    """A received instance as the index knows it."""

    spool_name: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str
    number_of_frames: int
    received_at: datetime
    calling_ae_title: str
    size: int
    door: Door


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentVersion:
    """The version of an instance that counts; its file may be deleted."""

    spool_name: str
    calling_ae_title: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """A study as the index knows it."""

    study_instance_uid: str
    accession_number: str | None
    study_date: str | None
    study_time: str | None
    patient_key: str | None
    first_received_at: datetime
    last_received_at: datetime
    instance_count: int  # current images, ours not counted; retention does not lower it
    modalities: tuple[str, ...]


_NONE: Mapping[str, Comparison] = MappingProxyType({})


class Studies:
    """What was received."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def index(self, received: ReceivedInstance, facts: InstanceFacts) -> IndexOutcome:
        """Return what the instance is, with its row committed. Again for the same file: KNOWN.

        A new image opens the held routes of its study again.
        """
        (outcome,) = self.index_many([(received, facts)])
        return outcome

    def index_many(
        self, entries: Sequence[Entry], comparisons: Mapping[str, Comparison] = _NONE
    ) -> tuple[IndexOutcome, ...]:
        """Return what each is, as `index` does: the rows of all in one transaction, or none.

        One that is UNDECIDED is not indexed: it is to be compared with the `current` version of
        its instance, and indexed again with the outcome in `comparisons`, by its spool name.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            outcomes = index_batch(connection, entries, comparisons, now)
            crash_point(CrashPoint.INDEX_BEFORE_COMMIT)
        crash_point(CrashPoint.INDEX_AFTER_COMMIT)
        return outcomes

    def note_cut_off(self, received: ReceivedInstance) -> None:
        """Note an instance whose data set is not whole; again for the same file: nothing.

        It never is an image of its study, and its file is out of the way.
        """
        now = self._database.clock.now()
        uid = received.study_instance_uid
        with self._database.write() as connection:
            insert_absent(connection, study, [new_study(uid, received.received_at)])
            connection.execute(by_uid(uid).with_for_update())
            insert_absent(connection, instance, [cut_off_row(connection, received, now)])

    def current(self, study_uid: str, sop_instance_uid: str) -> CurrentVersion | None:
        """Return the version of an instance that counts, or None where there is none."""
        query = select(instance).where(
            instance.c.study_instance_uid == study_uid,
            instance.c.sop_instance_uid == sop_instance_uid,
            _is_image(),
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else CurrentVersion(**pick(row, CurrentVersion))

    def doubts(self, study_uid: str) -> Doubts:
        """Return what a person has to look at before the study is used."""
        with self._database.read() as connection:
            return read_doubts(connection, study_uid)

    def identity_changes(self, study_uid: str) -> Mapping[int, tuple[str, ...]]:
        """Return, by job, what the images of its inputs say otherwise since it was queued."""
        with self._database.read() as connection:
            return identity_changes(connection, study_uid)

    def patient_changed(self, study_uid: str, job_id: int) -> bool:
        """Return whether the job's images name another patient, or name them otherwise, by now."""
        return not OF_PATIENT.isdisjoint(self.identity_changes(study_uid).get(job_id, ()))

    def spool_names(self, prefix: str = "") -> set[str]:
        """Return the names, beginning with `prefix`, of files that are indexed and not deleted."""
        name = instance.c.spool_name
        query = select(name).where(instance.c.deleted_at.is_(None))
        if prefix:  # names are hexadecimal digits; "g" comes after all of them
            query = query.where(name >= prefix, name < f"{prefix}g")
        with self._database.read() as connection:
            return set(connection.scalars(query))

    def instances(self, study_uid: str) -> tuple[IndexedInstance, ...]:
        """Return the study's current images that are still here, in the order of arrival."""
        query = (
            select(instance)
            .where(instance.c.study_instance_uid == study_uid, _is_image())
            .where(instance.c.deleted_at.is_(None))
            .order_by(instance.c.id)
        )
        with self._database.read() as connection:
            return tuple(_to_instance(row) for row in connection.execute(query))

    def is_own_object(self, sop_instance_uid: str) -> bool:
        """Return whether one of our results has this UID."""
        with self._database.read() as connection:
            return is_own_object(connection, sop_instance_uid)

    def get(self, study_uid: str) -> StudyRow | None:
        """Return the study, or None."""
        with self._database.read() as connection:
            row = connection.execute(by_uid(study_uid)).one_or_none()
            return None if row is None else _to_study(row)

    def search(
        self,
        *,
        accession_number: str | None = None,
        study_instance_uid: str | None = None,
        patient_key: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[StudyRow, ...]:
        """Return studies that meet every criterion given, newest first. "" meets nothing."""
        criteria = {
            study.c.accession_number: accession_number,
            study.c.study_instance_uid: study_instance_uid,
            study.c.patient_key: patient_key,
        }
        if "" in criteria.values():
            return ()
        query = (
            select(study)
            .where(*(column == value for column, value in criteria.items() if value is not None))
            .order_by(study.c.last_received_at.desc(), study.c.study_instance_uid)
            .limit(limit)
            .offset(offset)
        )
        with self._database.read() as connection:
            return tuple(_to_study(row) for row in connection.execute(query))

    def dirty(self) -> tuple[str, ...]:
        """Return studies to evaluate: a route is OPEN, or `evaluated` did not see all images."""
        columns = (study.c.study_instance_uid, study.c.last_received_at)
        unseen = select(*columns).where(study.c.instance_count > study.c.images_evaluated)
        waiting = (
            select(*columns)
            .join(study_route, study_route.c.study_instance_uid == study.c.study_instance_uid)
            .where(study_route.c.state == RouteState.OPEN)
        )
        # Two questions, each with an index that holds only its few answers: as one union, SQLite
        # would walk through all studies there ever were, every second.
        with self._database.read() as connection:
            rows = [row for query in (unseen, waiting) for row in connection.execute(query)]
        return tuple(dict.fromkeys(uid for uid, _ in sorted(rows, key=lambda row: row[1])))

    def evaluated(self, study_uid: str, images: int) -> None:
        """Note that every route was looked at while the study had `images` images.

        Said last, after each route's outcome is stored; until then the study stays dirty. So a
        crash between two routes, or an image that came meanwhile, leads to another look.
        """
        with self._database.write() as connection:
            connection.execute(
                update(study)
                .where(study.c.study_instance_uid == study_uid, study.c.images_evaluated < images)
                .values(images_evaluated=images)
            )

    def deletable(self, before: datetime) -> tuple[str, ...]:
        """Return the studies that retention may delete files of, the oldest file first."""
        query = (
            select(instance.c.study_instance_uid)
            .where(_may_go(before, self._database.clock.now()))
            .group_by(instance.c.study_instance_uid)
            .order_by(func.min(instance.c.received_at), func.min(instance.c.id))
        )
        with self._database.read() as connection:
            return tuple(connection.scalars(query))

    @contextmanager
    def deleting(self, study_uid: str, before: datetime) -> Iterator[tuple[str, ...]]:
        """Yield the names of the study's files that may go; afterwards they are noted as deleted.

        None, where something began to need them. Nothing can begin to while the block runs: it
        holds the study and its routes. If it fails, nothing is noted. The rows stay.
        """
        now = self._database.clock.now()
        routes = select(study_route.c.id).where(study_route.c.study_instance_uid == study_uid)
        with self._database.write() as connection:
            connection.execute(by_uid(study_uid).with_for_update())
            connection.execute(routes.with_for_update())
            going = and_(instance.c.study_instance_uid == study_uid, _may_go(before, now))
            names = tuple(connection.scalars(select(instance.c.spool_name).where(going)))
            yield names
            _note_deleted(connection, names, now)


def _may_go(before: datetime, now: datetime) -> ColumnElement[bool]:
    """Return what is true of a file that nothing needs.

    Nothing of its study arrived at `before` or later, every route has looked at all of it and
    none is OPEN, no job or delivery of it is unfinished, and its storage is committed to nobody.
    """
    unseen = study.c.instance_count > study.c.images_evaluated
    needed_by = (
        exists().where(_same_study(study), (study.c.last_received_at >= before) | unseen),
        exists().where(_same_study(study_route), study_route.c.state == RouteState.OPEN),
        exists().where(_same_study(job), job.c.state.in_(_UNFINISHED_JOBS)),
        exists().where(_same_study(delivery), delivery.c.state.in_(_UNFINISHED_DELIVERIES)),
    )
    old = and_(instance.c.deleted_at.is_(None), instance.c.received_at < before)
    free = instance.c.keep_until.is_(None) | (instance.c.keep_until < now)
    return and_(old, free, *(~needed for needed in needed_by))


def _note_deleted(connection: Connection, spool_names: Sequence[str], now: datetime) -> None:
    for start in range(0, len(spool_names), 500):
        some = instance.c.spool_name.in_(spool_names[start : start + 500])
        connection.execute(update(instance).where(some).values(deleted_at=now))


def _same_study(table: Table) -> ColumnElement[bool]:
    matches: ColumnElement[bool] = table.c.study_instance_uid == instance.c.study_instance_uid
    return matches


def _is_image() -> ColumnElement[bool]:
    return and_(instance.c.current == true(), instance.c.own == false())


def _to_instance(row: Row[Any]) -> IndexedInstance:
    return IndexedInstance(door=Door(row.door), **pick(row, IndexedInstance, "door"))


def _to_study(row: Row[Any]) -> StudyRow:
    return StudyRow(modalities=tuple(row.modalities), **pick(row, StudyRow, "modalities"))
