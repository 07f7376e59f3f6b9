"""Hand-over 2: entries of the spool become rows.

For each entry: adopt (its lasting place), index (its row), finish (no entry any more). After a
crash between any two of them the entry is still there, and doing all three again changes
nothing that was done. A batch of entries does each of the three for all of them, so that the
rows are one transaction: a commit costs as much as the rest.
"""

import logging
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.core.errors import BadInstance, StoreError
from appliance.core.log import Event, log_event
from appliance.core.model import ReceivedInstance
from appliance.intake.headers import Header, HeaderCache
from appliance.intake.patient import patient_key
from results_store.indexing import IndexOutcome, InstanceFacts
from results_store.store import Store
from scp.spool import Spool

_EVENTS = {
    IndexOutcome.NEW: Event.INSTANCE_INDEXED,
    IndexOutcome.KNOWN: Event.INSTANCE_DUPLICATE,
    IndexOutcome.CONFLICT: Event.INSTANCE_CONFLICT,
    IndexOutcome.OWN: Event.INSTANCE_OWN,
}
_STORED = frozenset({IndexOutcome.CONFLICT, IndexOutcome.OWN})  # a study's history tells these
_TRIES = 3  # that the store may refuse an entry in a row before the others go on without it
_PUT_OFF = timedelta(minutes=5)
_LONGEST_ACCESSION_NUMBER = 64  # SH has 16; a longer one is cut, as it cannot be searched for


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """What one look at the spool did."""

    entries: int
    as_of: datetime | None  # everything that was in the spool then is indexed; None: not yet


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adopted:
    """An entry in its lasting place, ready for its row."""

    received: ReceivedInstance
    facts: InstanceFacts


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
        self._refused: Counter[str] = Counter()  # by the store, which takes others
        self._put_off: dict[str, datetime] = {}

    def step(self, now: datetime) -> Indexed:
        """Index up to a batch of entries, oldest first; what is unreadable is quarantined.

        Entries are listed anew only when the last list is done: however fast images come, there
        are moments at which all that came before some time is indexed, and routes may close.
        An entry that the disk does not give right now stays for the next time.

        Raises StoreError where the store fails; what it did not take stays in the list. One that
        is refused again and again is put off, so that it stops no other.
        """
        if not self._waiting:
            self._list(now)
        count = min(self._batch, len(self._waiting))
        names = [self._waiting.popleft() for _ in range(count)]
        adopted = [one for name in names if (one := self._adopt_safely(name))]
        try:
            self._index(adopted)
        except StoreError:
            self._index_each(adopted, now)
        return Indexed(entries=count, as_of=None if self._waiting else self._listed_at)

    def recover(self) -> int:
        """Let `step` index files that have no row, as after a restored backup. At start.

        Returns how many there are.
        """
        missing = self._spool.all_names() - self._store.studies.spool_names()
        self._waiting.extend(sorted(missing.difference(self._spool.new_entries())))
        return len(self._waiting)

    def _list(self, now: datetime) -> None:
        self._put_off = {name: until for name, until in self._put_off.items() if now < until}
        entries = self._spool.new_entries()
        self._waiting.extend(name for name in entries if name not in self._put_off)
        self._listed_at = now

    def _adopt_safely(self, name: str) -> _Adopted | None:
        try:
            received = self._spool.read(name)
            header = self._headers.read(name, self._spool.path(name))
            self._spool.adopt(name)
            return _Adopted(received=received, facts=self._facts(header))
        except BadInstance as error:
            if self._spool.holds(name):  # else it is gone, and no news
                self._quarantine(name, str(error))
        except OSError as error:
            reason = f"{type(error).__name__}, errno {error.errno}"
            log_event(Event.SERVICE_FAILED, level=logging.ERROR, spool_name=name, reason=reason)
        return None

    def _index(self, entries: Sequence[_Adopted]) -> None:
        """Index all or, where StoreError is raised, none."""
        rows = [(one.received, one.facts) for one in entries]
        outcomes = self._store.studies.index_many(rows) if rows else ()
        for one in entries:
            self._spool.finish(one.received.spool_name)
        for one, outcome in zip(entries, outcomes, strict=True):
            self._tell(one.received, outcome)

    def _index_each(self, entries: Sequence[_Adopted], now: datetime) -> None:
        """Index one by one. Raises StoreError where the list is not done."""
        failed: StoreError | None = None
        left: list[str] = []
        in_a_row = 0
        for one in entries:
            name = one.received.spool_name
            if in_a_row == _TRIES:  # the store itself is down: no use to wait for each
                left.append(name)
                continue
            try:
                self._index([one])
                in_a_row = 0
            except StoreError as error:
                failed, in_a_row = error, in_a_row + 1
                if not self._gives_up(name, error, now):
                    left.append(name)
        self._waiting.extendleft(reversed(left))
        if left and failed is not None:
            raise failed

    def _gives_up(self, name: str, error: StoreError, now: datetime) -> bool:
        """Return whether the entry was refused too often; then it is put off."""
        self._refused[name] += 1
        if self._refused[name] < _TRIES:
            return False
        del self._refused[name]
        self._put_off[name] = now + _PUT_OFF
        reason = f"put off: {error}"
        log_event(Event.SERVICE_FAILED, level=logging.ERROR, spool_name=name, reason=reason)
        return True

    def _facts(self, header: Header) -> InstanceFacts:
        summary = header.summary
        return InstanceFacts(
            modality=header.text("Modality"),
            number_of_frames=summary.number_of_frames,
            accession_number=header.accession_number[:_LONGEST_ACCESSION_NUMBER] or None,
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
