"""What instances turn out to be, and their rows: the statements of hand-over 2.

A batch is one transaction. What is known of its studies and instances is read with one question a
table, each entry is decided in memory in the order of arrival, and what follows is written with
one statement a table: most of the time that indexing takes is spent on statements, not on rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, update

from appliance.core.model import ReceivedInstance
from appliance.core.states import RouteEvent
from results_store.engine import insert_absent
from results_store.facts import InstanceFacts
from results_store.identities import identity_numbers
from results_store.routes import reopen_held
from results_store.rows import pick
from results_store.schema.outcome import result_object
from results_store.schema.received import Relation, instance, study

_AT_ONCE = 500  # values in one question


class IndexOutcome(StrEnum):
    """What an instance turned out to be."""

    NEW = "new"
    KNOWN = "known"  # these very bytes are indexed already
    UPDATE = "update"  # the same image under another header, which now counts
    OUTRANKED = "outranked"  # the same image under another header; the one that is here counts
    CONFLICT = "conflict"  # its SOP Instance UID is there with another image; kept, not current
    OWN = "own"  # made by this appliance; never counts as an image
    UNDECIDED = "undecided"  # not indexed: it has to be compared with the current version first


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came out of comparing a new version's image with the current one's."""

    against: str  # the current version's name in the spool
    alike: bool  # the images are the same, only the headers differ
    wins: bool  # the new version's header counts from now on; read only where they are alike


Entry = tuple[ReceivedInstance, InstanceFacts]
_Key = tuple[str, str]  # study UID, SOP Instance UID


@dataclass(slots=True, kw_only=True)
class _Version:
    spool_name: str
    version: int
    current: bool
    own: bool
    relation: str | None


@dataclass(slots=True, kw_only=True)
class _Changes:
    """What a batch leads to."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    arrived: list[ReceivedInstance] = field(default_factory=list)  # known ones, here again
    demoted: list[str] = field(default_factory=list)  # no longer current
    replaced: list[str] = field(default_factory=list)  # rows of what was cut off and now is whole
    studies: dict[str, dict[str, Any]] = field(default_factory=dict)  # new values
    with_images: set[str] = field(default_factory=set)  # studies whose held routes open again


def by_uid(study_uid: str) -> Select[Any]:
    """Return the question for one study's row."""
    return select(study).where(study.c.study_instance_uid == study_uid)


def is_own_object(connection: Connection, sop_instance_uid: str) -> bool:
    """Return whether one of our results has this UID."""
    return bool(_own_objects(connection, [sop_instance_uid]))


def index_batch(
    connection: Connection,
    entries: Sequence[Entry],
    comparisons: Mapping[str, Comparison],
    now: datetime,
) -> tuple[IndexOutcome, ...]:
    """Return what each instance is, with its row written but for those UNDECIDED.

    `comparisons` has what new versions turned out to be, by their names in the spool.
    """
    uids = [received.sop_instance_uid for received, _ in entries]
    owned = _own_objects(connection, uids)
    images = [one for one in entries if not (one[1].is_own or one[0].sop_instance_uid in owned)]
    batch = _Batch(
        studies=_hold_studies(connection, images),
        versions=_versions(connection, uids),
        comparisons=comparisons,
        owned=owned,
    )
    outcomes = tuple(batch.index(received, facts) for received, facts in entries)
    _write(connection, batch.changes, identity_numbers(connection, images), now)
    return outcomes


class _Batch:
    """Decides what each entry is. Touches no database."""

    def __init__(
        self,
        *,
        studies: Mapping[str, dict[str, Any]],
        versions: defaultdict[_Key, list[_Version]],
        comparisons: Mapping[str, Comparison],
        owned: set[str],
    ) -> None:
        self._studies = studies
        self._versions = versions
        self._comparisons = comparisons
        self._owned = owned
        self.changes = _Changes()

    def index(self, received: ReceivedInstance, facts: InstanceFacts) -> IndexOutcome:
        versions = self._versions[received.study_instance_uid, received.sop_instance_uid]
        own = facts.is_own or received.sop_instance_uid in self._owned
        for one in [one for one in versions if one.spool_name == received.spool_name]:
            if one.relation != Relation.CUT_OFF:
                self._arrive(received, own=own)
                return IndexOutcome.KNOWN
            versions.remove(one)
            self.changes.replaced.append(one.spool_name)
        if own:
            self._add(received, facts, versions, current=False, own=True)
            return IndexOutcome.OWN
        current = next((one for one in versions if one.current), None)
        if current is not None:
            return self._add_version(received, facts, versions, current)
        self._add(received, facts, versions, current=True)
        self._count(received, facts)
        return IndexOutcome.NEW

    def _add_version(
        self,
        received: ReceivedInstance,
        facts: InstanceFacts,
        versions: list[_Version],
        current: _Version,
    ) -> IndexOutcome:
        found = self._comparisons.get(received.spool_name)
        if found is None or found.against != current.spool_name:
            return IndexOutcome.UNDECIDED
        self._arrive(received, own=False, known=False)
        if not found.alike:
            self._add(received, facts, versions, current=False, relation=Relation.CONFLICT)
            return IndexOutcome.CONFLICT
        self._add(received, facts, versions, current=found.wins, relation=Relation.UPDATE)
        if not found.wins:
            return IndexOutcome.OUTRANKED
        current.current = False
        self.changes.demoted.append(current.spool_name)
        self.changes.with_images.add(received.study_instance_uid)
        self._say(received, facts, again=True)
        return IndexOutcome.UPDATE

    def _add(
        self,
        received: ReceivedInstance,
        facts: InstanceFacts,
        versions: list[_Version],
        *,
        current: bool,
        own: bool = False,
        relation: Relation | None = None,
    ) -> None:
        newest = max((one.version for one in versions), default=0)
        new = _Version(
            spool_name=received.spool_name,
            version=newest + 1,
            current=current,
            own=own,
            relation=relation,
        )
        versions.append(new)
        self.changes.rows.append(_row(received, facts, new))

    def _arrive(self, received: ReceivedInstance, *, own: bool, known: bool = True) -> None:
        """Note that a file is here again, for as long as any other that comes now; no news."""
        if known:
            self.changes.arrived.append(received)
        if not own:
            row = self._study(received)
            row["last_received_at"] = max(row["last_received_at"], received.received_at)

    def _count(self, received: ReceivedInstance, facts: InstanceFacts) -> None:
        row = self._study(received)
        row["instance_count"] += 1
        row["first_received_at"] = min(row["first_received_at"], received.received_at)
        row["last_received_at"] = max(row["last_received_at"], received.received_at)
        row["modalities"] = sorted({*row["modalities"], facts.modality} - {""})
        self._say(received, facts, again=False)
        self.changes.with_images.add(received.study_instance_uid)

    def _say(self, received: ReceivedInstance, facts: InstanceFacts, *, again: bool) -> None:
        """Let the image say for its study what none said before; `again`: in any case."""
        row = self._study(received)
        for name in _SAID:
            said = getattr(facts, name)
            row[name] = ((said or row[name]) if again else (row[name] or said)) or None

    def _study(self, received: ReceivedInstance) -> dict[str, Any]:
        row = self._studies[received.study_instance_uid]
        self.changes.studies[received.study_instance_uid] = row
        return row


def _row(received: ReceivedInstance, facts: InstanceFacts, version: _Version) -> dict[str, Any]:
    values = {name: getattr(received, name) for name in _COPIED}
    values |= {"modality": facts.modality, "number_of_frames": facts.number_of_frames}
    values |= {"version": version.version, "current": version.current, "own": version.own}
    values |= {"relation": version.relation}
    values["identity"] = (
        None if version.own else (received.study_instance_uid, facts.identity_digest())
    )
    return values


def cut_off_row(
    connection: Connection, received: ReceivedInstance, now: datetime
) -> dict[str, Any]:
    """Return the row of an instance that is not whole: no image, and its file not in its place."""
    uid = received.sop_instance_uid
    known = _versions(connection, [uid])[received.study_instance_uid, uid]
    newest = max((one.version for one in known), default=0)
    values = {name: getattr(received, name) for name in _COPIED}
    values |= {"modality": "", "number_of_frames": 0, "version": newest + 1, "current": False}
    values |= {"own": False, "relation": Relation.CUT_OFF, "identity": None}
    return values | {"indexed_at": now, "deleted_at": now}


_COPIED = tuple(name for name in ReceivedInstance.__dataclass_fields__ if name in instance.c)
_SAID = ("accession_number", "study_date", "study_time", "patient_key")
_COUNTED = ("instance_count", "first_received_at", "last_received_at", "modalities")


# -- what is known -----------------------------------------------------------------------------


def _own_objects(connection: Connection, sop_instance_uids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for some in _some(sop_instance_uids):
        uid = result_object.c.sop_instance_uid
        found.update(connection.scalars(select(uid).where(uid.in_(some))))
    return found


def _hold_studies(connection: Connection, images: Iterable[Entry]) -> dict[str, dict[str, Any]]:
    """Return the rows of the images' studies, made where there was none, and locked.

    Two indexers never count apart; always in one order, so that they never wait for each other.
    """
    first = {one.study_instance_uid: one.received_at for one, _ in reversed(list(images))}
    insert_absent(connection, study, [new_study(uid, first[uid]) for uid in sorted(first)])
    held: dict[str, dict[str, Any]] = {}
    for some in _some(sorted(first)):
        query = select(study).where(study.c.study_instance_uid.in_(some))
        ordered = query.order_by(study.c.study_instance_uid).with_for_update()
        for row in connection.execute(ordered):
            held[row.study_instance_uid] = {
                name: getattr(row, name) for name in (*_SAID, *_COUNTED)
            }
    return held


def new_study(uid: str, received_at: datetime) -> dict[str, Any]:
    """Return the row of a study of which nothing is indexed."""
    values: dict[str, Any] = {"study_instance_uid": uid, "modalities": []}
    values |= {"first_received_at": received_at, "last_received_at": received_at}
    return values | {"instance_count": 0, "images_evaluated": 0}


def _versions(connection: Connection, uids: Sequence[str]) -> defaultdict[_Key, list[_Version]]:
    found: defaultdict[_Key, list[_Version]] = defaultdict(list)
    columns = (instance.c[name] for name in _Version.__dataclass_fields__)
    query = select(instance.c.study_instance_uid, instance.c.sop_instance_uid, *columns)
    for some in _some(uids):
        for row in connection.execute(query.where(instance.c.sop_instance_uid.in_(some))):
            key = (row.study_instance_uid, row.sop_instance_uid)
            found[key].append(_Version(**pick(row, _Version)))
    return found


def _some(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


# -- what follows ------------------------------------------------------------------------------


def _write(
    connection: Connection, changes: _Changes, identities: Mapping[_Key, int], now: datetime
) -> None:
    for some in _some(changes.replaced):
        connection.execute(instance.delete().where(instance.c.spool_name.in_(some)))
    for some in _some(changes.demoted):
        was_current = update(instance).where(instance.c.spool_name.in_(some))
        connection.execute(was_current.values(current=False))
    for row in changes.rows:
        row["identity"] = identities.get(row["identity"])
        row["indexed_at"] = now
    if changes.rows:
        connection.execute(instance.insert(), changes.rows)
    if changes.arrived:
        here = update(instance).where(instance.c.spool_name == bindparam("name"))
        here = here.values(deleted_at=None, received_at=bindparam("at"))
        connection.execute(
            here, [{"name": one.spool_name, "at": one.received_at} for one in changes.arrived]
        )
    if changes.studies:
        _write_studies(connection, changes.studies)
    for some in _some(sorted(changes.with_images)):
        reopen_held(connection, some, RouteEvent.IMAGE, "an image came", now)


def _write_studies(connection: Connection, studies: Mapping[str, dict[str, Any]]) -> None:
    of_uid = update(study).where(study.c.study_instance_uid == bindparam("uid"))
    rows = [{"uid": uid, **values} for uid, values in studies.items()]
    connection.execute(of_uid, rows)
