"""What an instance turns out to be, and its row: the statements of hand-over 2."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, case, func, select, update
from sqlalchemy.sql.expression import false

from appliance.core.model import ReceivedInstance
from appliance.core.states import RouteEvent
from results_store.engine import insert_if_absent
from results_store.routes import reopen_held
from results_store.schema.outcome import result_object
from results_store.schema.received import instance, study


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


def by_uid(study_uid: str) -> Select[Any]:
    """Return the question for one study's row."""
    return select(study).where(study.c.study_instance_uid == study_uid)


def is_own_object(connection: Connection, sop_instance_uid: str) -> bool:
    """Return whether one of our results has this UID."""
    query = select(result_object.c.id).where(result_object.c.sop_instance_uid == sop_instance_uid)
    return connection.execute(query).first() is not None


def index_instance(
    connection: Connection, received: ReceivedInstance, facts: InstanceFacts, now: datetime
) -> IndexOutcome:
    """Return what the instance is, with its row written."""
    own = facts.is_own or is_own_object(connection, received.sop_instance_uid)
    if not own:
        _hold_study(connection, received, facts)
    known = update(instance).where(instance.c.spool_name == received.spool_name)
    # A file that retention deleted may come again: it is here again, for as long as any other
    # that comes now, but it is not news.
    arrived = {"deleted_at": None, "received_at": received.received_at}
    if connection.execute(known.values(**arrived)).rowcount:
        _note_arrival(connection, received)
        return IndexOutcome.KNOWN
    newest, images = _versions(connection, received)
    current = not own and images == 0
    _add(connection, received, facts, now, version=newest + 1, current=current, own=own)
    if own:
        return IndexOutcome.OWN
    if not current:
        return IndexOutcome.CONFLICT
    _count(connection, received, facts)
    uid = received.study_instance_uid
    reopen_held(connection, uid, RouteEvent.IMAGE, "an image came", now)
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
    connection.execute(by_uid(received.study_instance_uid).with_for_update())


def _count(connection: Connection, received: ReceivedInstance, facts: InstanceFacts) -> None:
    row = connection.execute(by_uid(received.study_instance_uid)).one()
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


def _note_arrival(connection: Connection, received: ReceivedInstance) -> None:
    connection.execute(
        update(study)
        .where(study.c.study_instance_uid == received.study_instance_uid)
        .where(study.c.last_received_at < received.received_at)
        .values(last_received_at=received.received_at)
    )
