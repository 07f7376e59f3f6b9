"""Studies and their instances: hand-over 2, indexed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    case,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.sql.expression import false, true

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.model import ReceivedInstance
from appliance.core.states import DeliveryState, JobState, RouteState
from results_store.engine import Database, insert_if_absent
from results_store.routes import reopen_held
from results_store.rows import pick
from results_store.schema.outcome import delivery, result_object
from results_store.schema.queue import job, study_route
from results_store.schema.received import instance, study

_UNFINISHED_JOBS = (JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)
_UNFINISHED_DELIVERIES = (
    DeliveryState.PENDING,
    DeliveryState.SENDING,
    DeliveryState.SENT,
    DeliveryState.HELD,
)


class IndexOutcome(StrEnum):
    """What an instance turned out to be."""

    NEW = "new"
    KNOWN = "known"  # these very bytes are indexed already
    CONFLICT = "conflict"  # its SOP Instance UID is there with other bytes; kept, not current
    OWN = "own"  # made by this appliance; never counts as an image


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFacts:
    """What the index needs to know of an instance beyond its file meta."""

    modality: str
    number_of_frames: int
    accession_number: str | None
    study_date: str | None  # as received
    study_time: str | None  # as received
    patient_key: str | None  # keyed hash; None for an empty or placeholder PatientID
    is_own: bool  # the object itself says that an appliance made it


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


class Studies:
    """What was received."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def index(self, received: ReceivedInstance, facts: InstanceFacts) -> IndexOutcome:
        """Return what the instance is, with its row committed. Again for the same file: KNOWN.

        A new image opens the held routes of its study again.
        """
        now = self._database.clock.now()
        with self._database.write() as connection:
            outcome = _index(connection, received, facts, now)
            crash_point(CrashPoint.INDEX_BEFORE_COMMIT)
        crash_point(CrashPoint.INDEX_AFTER_COMMIT)
        return outcome

    def spool_names(self) -> set[str]:
        """Return the names of all files that are indexed and not deleted."""
        with self._database.read() as connection:
            return set(
                connection.scalars(
                    select(instance.c.spool_name).where(instance.c.deleted_at.is_(None))
                )
            )

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
            return _is_own(connection, sop_instance_uid)

    def get(self, study_uid: str) -> StudyRow | None:
        """Return the study, or None."""
        with self._database.read() as connection:
            row = connection.execute(_by_uid(study_uid)).one_or_none()
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

    def deletable(self, before: datetime) -> tuple[IndexedInstance, ...]:
        """Return the files, oldest first, that retention may delete.

        Nothing of their study arrived at `before` or later, no route of it is OPEN, and no job
        or delivery of it is unfinished.
        """
        query = (
            select(instance)
            .where(instance.c.deleted_at.is_(None), instance.c.received_at < before)
            .where(~exists().where(_same_study(study), study.c.last_received_at >= before))
            .where(
                ~exists().where(_same_study(study_route), study_route.c.state == RouteState.OPEN)
            )
            .where(~exists().where(_same_study(job), job.c.state.in_(_UNFINISHED_JOBS)))
            .where(
                ~exists().where(_same_study(delivery), delivery.c.state.in_(_UNFINISHED_DELIVERIES))
            )
            .order_by(instance.c.received_at, instance.c.id)
        )
        with self._database.read() as connection:
            return tuple(_to_instance(row) for row in connection.execute(query))

    def forget_images(self, spool_names: tuple[str, ...]) -> None:
        """Note that these files are deleted. Their rows stay."""
        now = self._database.clock.now()
        with self._database.write() as connection:
            for start in range(0, len(spool_names), 500):
                connection.execute(
                    update(instance)
                    .where(instance.c.spool_name.in_(spool_names[start : start + 500]))
                    .where(instance.c.deleted_at.is_(None))
                    .values(deleted_at=now)
                )


def _same_study(table: Table) -> ColumnElement[bool]:
    matches: ColumnElement[bool] = table.c.study_instance_uid == instance.c.study_instance_uid
    return matches


def _is_image() -> ColumnElement[bool]:
    return and_(instance.c.current == true(), instance.c.own == false())


def _by_uid(study_uid: str) -> Select[Any]:
    return select(study).where(study.c.study_instance_uid == study_uid)


def _is_own(connection: Connection, sop_instance_uid: str) -> bool:
    query = select(result_object.c.id).where(result_object.c.sop_instance_uid == sop_instance_uid)
    return connection.execute(query).first() is not None


def _index(
    connection: Connection, received: ReceivedInstance, facts: InstanceFacts, now: datetime
) -> IndexOutcome:
    own = facts.is_own or _is_own(connection, received.sop_instance_uid)
    if not own:
        _hold_study(connection, received, facts)
    known = update(instance).where(instance.c.spool_name == received.spool_name)
    # A file that retention deleted may come again: it is here again, but it is not news.
    if connection.execute(known.values(deleted_at=None)).rowcount:
        return IndexOutcome.KNOWN
    newest, images = _versions(connection, received)
    current = not own and images == 0
    _add(connection, received, facts, now, version=newest + 1, current=current, own=own)
    if own:
        return IndexOutcome.OWN
    if not current:
        return IndexOutcome.CONFLICT
    _count(connection, received, facts)
    reopen_held(connection, received.study_instance_uid, now)
    return IndexOutcome.NEW


def _add(
    connection: Connection,
    received: ReceivedInstance,
    facts: InstanceFacts,
    now: datetime,
    *,
    version: int,
    current: bool,
    own: bool,
) -> None:
    values = {
        name: getattr(received, name)
        for name in ReceivedInstance.__dataclass_fields__
        if name in instance.c
    }
    values |= {"modality": facts.modality, "number_of_frames": facts.number_of_frames}
    values |= {"version": version, "current": current, "own": own, "indexed_at": now}
    connection.execute(instance.insert().values(**values))


def _versions(connection: Connection, received: ReceivedInstance) -> tuple[int, int]:
    """Return the newest version of the UID in its study, and how many are not ours."""
    others = func.sum(case((instance.c.own == false(), 1), else_=0))
    query = select(func.coalesce(func.max(instance.c.version), 0), func.coalesce(others, 0)).where(
        instance.c.study_instance_uid == received.study_instance_uid,
        instance.c.sop_instance_uid == received.sop_instance_uid,
    )
    newest, images = connection.execute(query).one()
    return int(newest), int(images)


def _hold_study(connection: Connection, received: ReceivedInstance, facts: InstanceFacts) -> None:
    """Make sure that the study has a row, and lock it: two indexers never count apart."""
    values: dict[str, Any] = {
        "study_instance_uid": received.study_instance_uid,
        "accession_number": facts.accession_number or None,
        "study_date": facts.study_date or None,
        "study_time": facts.study_time or None,
        "patient_key": facts.patient_key or None,
        "first_received_at": received.received_at,
        "last_received_at": received.received_at,
        "instance_count": 0,
        "images_evaluated": 0,
        "modalities": [],
    }
    insert_if_absent(connection, study, values)
    connection.execute(_by_uid(received.study_instance_uid).with_for_update())


def _count(connection: Connection, received: ReceivedInstance, facts: InstanceFacts) -> None:
    row = connection.execute(_by_uid(received.study_instance_uid)).one()
    values: dict[str, object] = {
        "instance_count": row.instance_count + 1,
        "first_received_at": min(row.first_received_at, received.received_at),
        "last_received_at": max(row.last_received_at, received.received_at),
        "modalities": sorted({*row.modalities, facts.modality} - {""}),
    }
    # The first instance that names them says them for the study.
    for name in ("accession_number", "study_date", "study_time", "patient_key"):
        values[name] = getattr(row, name) or getattr(facts, name) or None
    connection.execute(
        update(study)
        .where(study.c.study_instance_uid == received.study_instance_uid)
        .values(**values)
    )


def _to_instance(row: Row[Any]) -> IndexedInstance:
    return IndexedInstance(**pick(row, IndexedInstance))


def _to_study(row: Row[Any]) -> StudyRow:
    return StudyRow(modalities=tuple(row.modalities), **pick(row, StudyRow, "modalities"))
