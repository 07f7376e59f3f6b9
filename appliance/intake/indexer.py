"""Hand-over 2: entries of the spool become rows.

For each entry: adopt (its lasting place), index (its row), finish (no entry any more). After a
crash between any two of them the entry is still there, and doing all three again changes
nothing that was done.
"""

import logging
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from appliance.core.errors import BadInstance
from appliance.core.log import Event, log_event
from appliance.core.model import ReceivedInstance
from appliance.intake.headers import Header, HeaderCache
from appliance.intake.patient import patient_key
from results_store.store import Store
from results_store.studies import IndexOutcome, InstanceFacts
from scp.spool import Spool

_EVENTS = {
    IndexOutcome.NEW: Event.INSTANCE_INDEXED,
    IndexOutcome.KNOWN: Event.INSTANCE_DUPLICATE,
    IndexOutcome.CONFLICT: Event.INSTANCE_CONFLICT,
    IndexOutcome.OWN: Event.INSTANCE_OWN,
}
_STORED = frozenset({IndexOutcome.CONFLICT, IndexOutcome.OWN})  # a study's history tells these


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """What one look at the spool did."""

    entries: int
    as_of: datetime | None  # everything that was in the spool then is indexed; None: not yet


class Indexer:
    """Indexes what the receivers put into the spool. One at a time on one spool."""

    def __init__(
        self, spool: Spool, store: Store, headers: HeaderCache, key: bytes, *, batch: int = 200
    ) -> None:
        self._spool = spool
        self._store = store
        self._headers = headers
        self._key = key
        self._batch = batch
        self._waiting: deque[str] = deque()
        self._listed_at: datetime | None = None

    def step(self, now: datetime) -> Indexed:
        """Index up to a batch of entries, oldest first; what is unreadable is quarantined.

        Entries are listed anew only when the last list is done: however fast images come, there
        are moments at which all that came before some time is indexed, and routes may close.
        An entry that the disk does not give right now stays for the next time.
        """
        if not self._waiting:
            self._listed_at = now
            self._waiting.extend(self._spool.new_entries())
        count = min(self._batch, len(self._waiting))
        for _ in range(count):
            self._index_safely(self._waiting[0])
            self._waiting.popleft()  # only now: if the store failed, it is still to be done
        return Indexed(entries=count, as_of=None if self._waiting else self._listed_at)

    def recover(self) -> int:
        """Index files that have no row, as after a restored backup; return how many. At start."""
        missing = self._spool.all_names() - self._store.studies.spool_names()
        for name in sorted(missing):
            self._index_safely(name)
        return len(missing)

    def _index_safely(self, name: str) -> None:
        try:
            self._index(name)
        except BadInstance as error:
            self._quarantine(name, str(error))
        except OSError as error:
            reason = f"{type(error).__name__}, errno {error.errno}"
            log_event(Event.SERVICE_FAILED, level=logging.ERROR, spool_name=name, reason=reason)

    def _index(self, name: str) -> None:
        received = self._spool.read(name)
        header = self._headers.read(name, self._spool.path(name))
        self._spool.adopt(name)
        outcome = self._store.studies.index(received, self._facts(header))
        self._spool.finish(name)
        self._tell(received, outcome)

    def _facts(self, header: Header) -> InstanceFacts:
        summary = header.summary
        return InstanceFacts(
            modality=header.text("Modality"),
            number_of_frames=summary.number_of_frames,
            accession_number=header.accession_number or None,
            study_date=header.text("StudyDate") or None,
            study_time=header.text("StudyTime") or None,
            patient_key=patient_key(self._key, header.patient_id, header.issuer_of_patient_id),
            is_own=header.is_own,  # the store also knows our objects by their UID
        )

    def _tell(self, received: ReceivedInstance, outcome: IndexOutcome) -> None:
        fields = {
            "study_instance_uid": received.study_instance_uid,
            "series_instance_uid": received.series_instance_uid,
            "sop_instance_uid": received.sop_instance_uid,
            "spool_name": received.spool_name,
        }
        log_event(_EVENTS[outcome], level=logging.INFO, **fields)
        if outcome in _STORED:
            self._store.events.record(_EVENTS[outcome], fields)

    def _quarantine(self, name: str, reason: str) -> None:
        # Told first: a crash in between tells it twice, which is better than never.
        fields = {"spool_name": name, "reason": reason}
        log_event(Event.INSTANCE_QUARANTINED, level=logging.WARNING, **fields)
        self._store.events.record(Event.INSTANCE_QUARANTINED, fields)
        self._spool.quarantine(name, reason)
