"""Whose images say they are, and what has to be looked at before a study is used.

Kept are keyed hashes, never a patient's attribute; the accession number and the study's date and
time are no patient's. One row an identity: most studies have one, coerced ones two.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, select
from sqlalchemy.sql.expression import false, true

from appliance.core.model import JobInput, ReceivedInstance
from results_store.engine import insert_absent
from results_store.facts import InstanceFacts
from results_store.schema.queue import job_input
from results_store.schema.received import Relation, instance, study_identity

_PATIENT = "patient ID"
_PERSON = "patient's name, birth date or sex"
_WORDS = {
    "person_key": _PERSON,
    "accession_number": "accession number",
    "study_date": "study date",
    "study_time": "study time",
}
OF_PATIENT = frozenset({_PATIENT, _PERSON})
"""What a result must not be delivered under any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What nobody has looked at yet, and must before the study is used."""

    conflicts: int = 0  # instances of which other versions show another image
    cut_off: int = 0  # instances that came cut off, and not whole since
    patients: int = 0  # patients whom the images name, where there is more than one

    def sentences(self) -> tuple[str, ...]:
        """Return what is to be looked at, in plain words."""
        said = []
        if self.conflicts:
            said.append(
                f"{_images(self.conflicts)} came again under the same SOP Instance UID with "
                "another image; the first is used, both are kept"
            )
        if self.cut_off:
            said.append(f"{_images(self.cut_off)} came cut off, and not whole since")
        if self.patients:
            said.append(f"the images name {self.patients} different patients")
        return tuple(said)

    def sentence(self) -> str:
        """Return all of it in one sentence; "" where there is nothing."""
        return "; ".join(self.sentences())


def _images(count: int) -> str:
    return "an image" if count == 1 else f"{count} images"


def identity_numbers(
    connection: Connection, images: Iterable[tuple[ReceivedInstance, InstanceFacts]]
) -> Mapping[tuple[str, str], int]:
    """Return the number of each identity, by study and digest; new ones get their rows."""
    said = {(one.study_instance_uid, facts.identity_digest()): facts for one, facts in images}
    if not said:
        return {}
    uids = {uid for uid, _ in said}
    known = _numbers(connection, uids)
    missing = said.keys() - known.keys()
    if not missing:
        return known
    rows: list[dict[str, Any]] = [
        {"study_instance_uid": uid, "digest": digest, **said[uid, digest].identity()}
        for uid, digest in sorted(missing)
    ]
    insert_absent(connection, study_identity, rows)
    return _numbers(connection, uids)


def _numbers(connection: Connection, uids: Iterable[str]) -> dict[tuple[str, str], int]:
    columns = (study_identity.c.id, study_identity.c.study_instance_uid, study_identity.c.digest)
    query = select(*columns).where(study_identity.c.study_instance_uid.in_(sorted(uids)))
    return {(uid, digest): number for number, uid, digest in connection.execute(query)}


def read_doubts(connection: Connection, study_uid: str) -> Doubts:
    """Return what is not as it should be with the study's images."""
    return Doubts(
        conflicts=_versions(connection, study_uid, Relation.CONFLICT),
        cut_off=_versions(connection, study_uid, Relation.CUT_OFF),
        patients=_patients(connection, study_uid),
    )


def _versions(connection: Connection, study_uid: str, relation: Relation) -> int:
    """Return how many instances have a version of this kind; not those that now are whole."""
    whole = instance.alias()
    is_here = exists().where(
        whole.c.study_instance_uid == study_uid,
        whole.c.sop_instance_uid == instance.c.sop_instance_uid,
        whole.c.current == true(),
    )
    query = select(func.count(instance.c.sop_instance_uid.distinct())).where(
        instance.c.study_instance_uid == study_uid, instance.c.relation == relation
    )
    if relation is Relation.CUT_OFF:
        query = query.where(~is_here)
    count: int = connection.scalar(query) or 0
    return count


def _patients(connection: Connection, study_uid: str) -> int:
    """Return how many patients the current images name; 0 where it is not more than one."""
    used = select(instance.c.identity).where(
        instance.c.study_instance_uid == study_uid,
        instance.c.current == true(),
        instance.c.own == false(),
    )
    query = select(study_identity).where(
        study_identity.c.study_instance_uid == study_uid, study_identity.c.id.in_(used)
    )
    patients: list[Row[Any]] = []
    for row in connection.execute(query).all():
        if row.patient_key is not None and not any(_same_patient(row, one) for one in patients):
            patients.append(row)
    return len(patients) if len(patients) > 1 else 0


def _same_patient(one: Row[Any], other: Row[Any]) -> bool:
    """Return whether two identities may name one patient.

    Many modalities do not write the issuer: where one of the two has none, the ID alone is
    compared. Without an issuer both hashes of an identity are the same.
    """
    if one.patient_key == other.patient_key:
        return True
    has_issuers = all(row.patient_key != row.patient_id_key for row in (one, other))
    return not has_issuers and one.patient_id_key == other.patient_id_key


def identity_changes(connection: Connection, study_uid: str) -> dict[int, tuple[str, ...]]:
    """Return, for each job whose inputs say another identity now, what became different.

    Compared is the version that the job was given with the one that is current.
    """
    given, now = instance.alias("given"), instance.alias("now")
    same = and_(
        now.c.study_instance_uid == given.c.study_instance_uid,
        now.c.sop_instance_uid == given.c.sop_instance_uid,
        now.c.current == true(),
    )
    query = (
        select(job_input.c.job_id, given.c.identity, now.c.identity)
        .select_from(given)
        .join(now, same)
        .join(job_input, job_input.c.spool_name == given.c.spool_name)
        .where(given.c.study_instance_uid == study_uid, given.c.current == false())
        .where(given.c.identity != now.c.identity)
        .distinct()
    )
    pairs = connection.execute(query).all()
    if not pairs:
        return {}
    of_study = select(study_identity).where(study_identity.c.study_instance_uid == study_uid)
    rows = {row.id: row for row in connection.execute(of_study)}
    changed: dict[int, dict[str, None]] = {}
    for job_id, before, after in pairs:
        changed.setdefault(job_id, {}).update(_changed(rows[before], rows[after]))
    return {job_id: tuple(words) for job_id, words in changed.items() if words}


def _changed(before: Row[Any], after: Row[Any]) -> dict[str, None]:
    words = {} if _same_patient(before, after) else {_PATIENT: None}
    return words | {
        word: None for name, word in _WORDS.items() if getattr(before, name) != getattr(after, name)
    }


def current_inputs(
    connection: Connection, study_uid: str, inputs: Sequence[JobInput]
) -> tuple[JobInput, ...]:
    """Return the same images in the versions that count now."""
    query = select(instance.c.sop_instance_uid, instance.c.spool_name).where(
        instance.c.study_instance_uid == study_uid,
        instance.c.current == true(),
        instance.c.deleted_at.is_(None),
    )
    now = {row.sop_instance_uid: row.spool_name for row in connection.execute(query)}
    return tuple(
        replace(one, spool_name=now.get(one.sop_instance_uid, one.spool_name)) for one in inputs
    )
