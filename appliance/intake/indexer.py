"""Hand-over 2: entries of the spool become rows.

For each entry: adopt (its lasting place), index (its row), finish (no entry any more). After a
crash between any two of them the entry is still there, and doing all three again changes
nothing that was done. A batch of entries does each of the three for all of them, so that the
rows are one transaction: a commit costs as much as the rest.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from appliance.core.errors import BadInstance, StoreError
from appliance.core.log import Event, log_event
from appliance.core.model import ReceivedInstance
from appliance.core.uids import is_usable_uid
from appliance.intake.compare import Compared, Comparer
from appliance.intake.facts import FactsOf
from appliance.intake.scan import HeaderCache
from appliance.intake.telling import Teller
from results_store.facts import InstanceFacts
from results_store.indexing import IndexOutcome
from results_store.store import Store
from scp.head import Fault, MalformedDataSet
from scp.spool import Spool

_TRIES = 3  # that the store may refuse an entry in a row before the others go on without it
_PUT_OFF = timedelta(minutes=5)
_T = TypeVar("_T")


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

    @property
    def name(self) -> str:
        """Return its name in the spool."""
        return self.received.spool_name


class Indexer:
    """Indexes what the receivers put into the spool. One at a time on one spool."""

    def __init__(
        self,
        spool: Spool,
        store: Store,
        headers: HeaderCache,
        facts_of: FactsOf,
        comparer: Comparer,
        *,
        batch: int = 500,
    ) -> None:
        self._spool = spool
        self._store = store
        self._headers = headers
        self._facts_of = facts_of
        self._comparer = comparer
        self._teller = Teller(store)
        self._batch = batch
        self._waiting: deque[str] = deque()
        self._versions: deque[_Adopted] = deque()  # to be compared with what is there
        self._lost: Iterator[Sequence[str]] = iter(())
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
        compared: Mapping[str, Compared] = {}
        if self._versions:
            entries, count = self._take_versions(), 0
            compared = {one.name: found for one, found in entries}
            adopted = [one for one, _ in entries]
        else:
            names = self._next_names(now)
            adopted, count = self._adopt(names), len(names)
        try:
            self._index(adopted, compared)
        except StoreError:
            self._index_each(adopted, compared, now)
        is_done = not (self._waiting or self._versions or self._listed_at is None)
        return Indexed(entries=count, as_of=self._listed_at if is_done else None)

    def recover(self) -> None:
        """Let `step` index files that have no row, as after a restored backup. At start."""
        self._lost = self._find_lost()

    def _find_lost(self) -> Iterator[Sequence[str]]:
        """Yield files that have no row: a folder at a time, since there may be millions."""
        for prefix, names in self._spool.adopted_names():
            yield sorted(names - self._store.studies.spool_names(prefix))

    def _next_names(self, now: datetime) -> Sequence[str]:
        if not self._waiting:
            lost = next(self._lost, None)
            if lost is None:
                self._list(now)
            else:
                self._waiting.extend(lost)
                self._listed_at = None
        count = min(self._batch, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]

    def _list(self, now: datetime) -> None:
        self._put_off = {name: until for name, until in self._put_off.items() if now < until}
        entries = self._spool.new_entries()
        self._waiting.extend(name for name in entries if name not in self._put_off)
        self._listed_at = now

    # -- adopting ---------------------------------------------------------------------------

    def _adopt(self, names: Sequence[str]) -> list[_Adopted]:
        """Return those of the entries that can be indexed, in their lasting places."""
        try:
            entries = [one for name in names if (one := self._safely(self._read, name))]
        except StoreError:
            self._waiting.extendleft(reversed(names))
            raise
        try:
            self._spool.adopt_all(one.name for one in entries)
        except (BadInstance, OSError):
            return [one for one in entries if self._safely(self._adopt_one, one.name)]
        return entries

    def _safely(self, do: Callable[[str], _T], name: str) -> _T | None:
        try:
            return do(name)
        except BadInstance as error:
            if self._spool.holds(name):  # else it is gone, and no news
                self._quarantine(name, str(error))
        except OSError as error:
            reason = f"{type(error).__name__}, errno {error.errno}"
            log_event(Event.SERVICE_FAILED, level=logging.ERROR, spool_name=name, reason=reason)
        return None

    def _read(self, name: str) -> _Adopted | None:
        with self._spool.opened(name) as file:
            try:
                header = self._headers.take(file)
            except MalformedDataSet as error:
                if error.fault is not Fault.TRUNCATED or not _is_known(file.received):
                    raise
                cut_off, reason = file.received, str(error)
            else:
                return _Adopted(received=file.received, facts=self._facts_of(header))
        self._set_aside(cut_off, reason)
        return None

    def _adopt_one(self, name: str) -> bool:
        self._spool.adopt(name)
        return True

    def _set_aside(self, received: ReceivedInstance, reason: str) -> None:
        """Keep an instance that is not whole, bit for bit, where no pipeline finds it."""
        self._store.studies.note_cut_off(received)
        self._teller.cut_off(received, reason)
        self._spool.quarantine(received.spool_name, reason)

    def _quarantine(self, name: str, reason: str) -> None:
        # Told first: a crash in between tells it twice, which is better than never.
        self._teller.unreadable(name, reason)
        self._spool.quarantine(name, reason)

    # -- versions ---------------------------------------------------------------------------

    def _take_versions(self) -> list[tuple[_Adopted, Compared]]:
        """Return the next entries whose instances are there already, compared with those."""
        count = min(self._batch, len(self._versions))
        taken = [self._versions.popleft() for _ in range(count)]
        compared = [(one, self._safely(partial(self._compare, one), one.name)) for one in taken]
        return [(one, found) for one, found in compared if found is not None]

    def _compare(self, one: _Adopted, _name: str) -> Compared | None:
        received = one.received
        uids = (received.study_instance_uid, received.sop_instance_uid)
        current = self._store.studies.current(*uids)
        return None if current is None else self._comparer.compare(received, current)

    # -- indexing ---------------------------------------------------------------------------

    def _index(self, entries: Sequence[_Adopted], compared: Mapping[str, Compared]) -> None:
        """Index all or, where StoreError is raised, none."""
        if not entries:
            return
        rows = [(one.received, one.facts) for one in entries]
        comparisons = {name: found.comparison for name, found in compared.items()}
        outcomes = self._store.studies.index_many(rows, comparisons)
        told = []
        for one, outcome in zip(entries, outcomes, strict=True):
            if outcome is IndexOutcome.UNDECIDED:
                self._versions.append(one)
                continue
            name = one.name
            self._spool.finish(name)
            reason = compared[name].reason if name in compared else ""
            told.append((one.received, one.facts, outcome, reason))
        self._teller.indexed(told)

    def _index_each(
        self, entries: Sequence[_Adopted], compared: Mapping[str, Compared], now: datetime
    ) -> None:
        """Index one by one. Raises StoreError where the list is not done."""
        failed: StoreError | None = None
        left: list[str] = []
        in_a_row = 0
        for one in entries:
            name = one.name
            if in_a_row == _TRIES:  # the store itself is down: no use to wait for each
                left.append(name)
                continue
            try:
                self._index([one], compared)
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


def _is_known(received: ReceivedInstance) -> bool:
    return all(map(is_usable_uid, (received.study_instance_uid, received.sop_instance_uid)))
