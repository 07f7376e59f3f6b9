"""What the indexer tells: log lines and a study's history, one a series and not one an image."""

import logging
from collections import OrderedDict
from collections.abc import Iterable

from appliance.core.log import Event, log_event
from appliance.core.model import ReceivedInstance
from results_store.facts import InstanceFacts
from results_store.indexing import IndexOutcome
from results_store.store import Store

_EVENTS = {
    IndexOutcome.NEW: Event.INSTANCE_INDEXED,
    IndexOutcome.KNOWN: Event.INSTANCE_DUPLICATE,
    IndexOutcome.UPDATE: Event.INSTANCE_UPDATED,
    IndexOutcome.OUTRANKED: Event.INSTANCE_UPDATED,
    IndexOutcome.CONFLICT: Event.INSTANCE_CONFLICT,
    IndexOutcome.OWN: Event.INSTANCE_OWN,
}
_STORED = frozenset(_EVENTS) - {IndexOutcome.NEW, IndexOutcome.KNOWN}  # in a study's history
_STUDIES = 1000  # whose patients are remembered

Told = tuple[ReceivedInstance, InstanceFacts, IndexOutcome, str]  # the last is a reason, or ""


class Teller:
    """Tells what became of instances. Names no patient."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._patients: OrderedDict[str, set[str]] = OrderedDict()  # keyed hashes

    def indexed(self, told: Iterable[Told]) -> None:
        """Tell what a batch was: what is the same of a series' instances, once."""
        groups: dict[tuple[str, str, IndexOutcome, str], list[ReceivedInstance]] = {}
        for received, facts, outcome, reason in told:
            study, series = received.study_instance_uid, received.series_instance_uid
            groups.setdefault((study, series, outcome, reason), []).append(received)
            if outcome is IndexOutcome.NEW:  # not while a correction is coming, image by image
                self._look_at_patient(study, facts.patient_id_key)
        for (study, series, outcome, reason), instances in groups.items():
            fields: dict[str, object] = {"study_instance_uid": study, "series_instance_uid": series}
            if len(instances) == 1:
                fields["sop_instance_uid"] = instances[0].sop_instance_uid
                fields["spool_name"] = instances[0].spool_name
            fields["count"] = len(instances)
            if reason:
                fields["reason"] = reason
            self._tell(_EVENTS[outcome], fields, is_history=outcome in _STORED)

    def cut_off(self, received: ReceivedInstance, reason: str) -> None:
        """Tell of an instance that is not whole."""
        fields: dict[str, object] = {
            "study_instance_uid": received.study_instance_uid,
            "series_instance_uid": received.series_instance_uid,
            "sop_instance_uid": received.sop_instance_uid,
            "calling_ae_title": received.calling_ae_title,
            "spool_name": received.spool_name,
            "reason": reason,
        }
        self._tell(Event.INSTANCE_QUARANTINED, fields, level=logging.WARNING)

    def unreadable(self, name: str, reason: str) -> None:
        """Tell of an entry that says nothing."""
        fields: dict[str, object] = {"spool_name": name, "reason": reason}
        self._tell(Event.INSTANCE_QUARANTINED, fields, level=logging.WARNING)

    def _look_at_patient(self, study: str, patient: str | None) -> None:
        """Tell where a study's images begin to name another patient than those before.

        A restart forgets who was named; the routes, which ask the store, do not.
        """
        known = self._patients.setdefault(study, set())
        if patient is None or patient in known:
            return
        known.add(patient)
        if len(self._patients) > _STUDIES:
            self._patients.popitem(last=False)
        patients = self._store.studies.doubts(study).patients if len(known) > 1 else 0
        if patients:
            reason = f"its images name {patients} different patients"
            fields: dict[str, object] = {"study_instance_uid": study, "reason": reason}
            self._tell(Event.STUDY_MIXED, fields, level=logging.WARNING)

    def _tell(
        self,
        event: Event,
        fields: dict[str, object],
        *,
        level: int = logging.INFO,
        is_history: bool = True,
    ) -> None:
        log_event(event, level=level, **fields)
        if is_history:
            self._store.events.record(event, fields)
