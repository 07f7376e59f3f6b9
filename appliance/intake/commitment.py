"""Storage commitment: are the instances here, whole, and do they stay? PS3.4 annex J.

A request is a notice in the spool until its answer was taken by the peer, so that a restart
forgets none. What is answered is looked up anew for every attempt: rows of the index, the files
themselves against their checksums. What is committed is kept from deletion first and reported
then. Reporting waits for peers, so it has threads of its own, one a peer at a time.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from appliance.core.clock import Clock
from appliance.core.errors import ApplianceError, BadInstance
from appliance.core.log import Event, log_event
from appliance.core.model import CommitmentFailure, CommitmentReport, SopReference
from appliance.intake.options import CommitmentOptions
from results_store.keeping import HeldInstance
from results_store.store import Store
from scp.commitment import STORAGE_COMMITMENT, CommitmentRequest, requested
from scp.integrity import data_set_digest
from scp.notices import Notices
from scp.spool import Spool

Report = Callable[[CommitmentReport], None]
"""Gives one peer its answer. Raises PeerError."""

_THREADS = 4
_LOOK_AGAIN = timedelta(seconds=1)


@dataclass(slots=True, kw_only=True)
class _Open:
    """A request that waits for its answer."""

    name: str  # of the notice
    ae_title: str
    received_at: datetime
    request: CommitmentRequest
    due: datetime
    attempts: int = 0
    whole: set[str] = field(default_factory=set)  # files whose bytes were compared


class Committer:
    """Answers storage commitment requests. `step` is called in a loop by one thread."""

    def __init__(
        self,
        *,
        options: CommitmentOptions,
        notices: Notices,
        store: Store,
        spool: Spool,
        report: Mapping[str, Report],
        clock: Clock,
    ) -> None:
        """`report` has an entry for each AE title that may ask."""
        self._options = options
        self._notices = notices
        self._store = store
        self._spool = spool
        self._report = report
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._others: set[str] = set()  # notices that are no business of ours
        self._threads = ThreadPoolExecutor(_THREADS, "commitment")
        self._running: dict[str, Future[None]] = {}  # by AE title

    def step(self) -> None:
        """Look for requests, and let the peers that are due have their answers.

        Raises what answering did not foresee.
        """
        self._collect()
        self._take_in()
        now = self._clock.now()
        for one in list(self._open.values()):
            if one.ae_title not in self._running and one.due <= now:
                self._running[one.ae_title] = self._threads.submit(self._serve, one)

    def close(self) -> None:
        """Wait for what is being reported; begin nothing more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _collect(self) -> None:
        ended = {title: future for title, future in self._running.items() if future.done()}
        for title in ended:
            del self._running[title]
        for future in ended.values():
            future.result()

    def _take_in(self) -> None:
        names = self._notices.names()
        self._others.intersection_update(names)
        self._open = {name: one for name, one in self._open.items() if name in names}
        for name in names:
            if name not in self._open and name not in self._others:
                self._take_in_one(name)

    def _take_in_one(self, name: str) -> None:
        try:
            notice, data_set = self._notices.read(name)
        except (BadInstance, OSError):
            return  # whoever reads the other notices tells of it
        if notice.sop_class_uid != STORAGE_COMMITMENT:
            self._others.add(name)
            return
        try:
            request = requested(data_set, notice.transfer_syntax_uid)
        except BadInstance as error:  # the receiver read it: a version that understood more
            self._notices.quarantine(name, str(error))
            return
        self._open[name] = _Open(
            name=name,
            ae_title=notice.calling_ae_title,
            received_at=notice.received_at,
            request=request,
            due=self._clock.now(),
        )

    # -- in a thread ------------------------------------------------------------------------

    def _serve(self, one: _Open) -> None:
        """Answer one request, or put it off."""
        try:
            answer = self._answer(one)
            if answer is None:
                one.due = self._clock.now() + _LOOK_AGAIN
                return
            report = self._report.get(one.ae_title)
            if report is None:
                self._give_up(one, "the settings no longer let this peer ask")
                return
            report(answer)
        except (ApplianceError, OSError) as error:
            self._put_off(one, str(error))
            return
        self._notices.finish(one.name)
        self._log(
            one,
            Event.COMMITMENT_REPORTED,
            logging.WARNING if answer.failed else logging.INFO,
            count=len(answer.committed),
            failed=len(answer.failed),
        )

    def _answer(self, one: _Open) -> CommitmentReport | None:
        """Return what is true of the instances now, or None: some may be on their way."""
        held: dict[str, list[HeldInstance]] = defaultdict(list)
        references = dict.fromkeys(one.request.references)  # one that stands twice counts once
        for file in self._store.keeping.held([r.sop_instance_uid for r in references]):
            held[file.sop_instance_uid].append(file)
        if self._may_come(one, held):
            return None
        wanted = [file for r in references for file in held[r.sop_instance_uid]]
        until = self._clock.now() + self._options.keep
        kept = self._store.keeping.keep(wanted, until)
        whole = frozenset(name for name in map(self._checked(one), wanted) if name in kept)
        return judge(one.request.transaction_uid, references, held, whole)

    def _may_come(self, one: _Open, held: Mapping[str, object]) -> bool:
        """Return whether an instance that is missing may be received or indexed yet."""
        if all(reference.sop_instance_uid in held for reference in one.request.references):
            return False
        waited = self._clock.now() - one.received_at
        if waited < self._options.wait:
            return True
        return waited < self._options.wait_for_index and bool(self._spool.new_entries())

    def _checked(self, one: _Open) -> Callable[[HeldInstance], str | None]:
        """Return what gives a file's name if its bytes are those that were received."""

        def check(file: HeldInstance) -> str | None:
            name = file.spool_name
            if name in one.whole:
                return name
            try:
                if data_set_digest(self._spool.path(name)) != file.sha256:
                    return None
            except (BadInstance, OSError):
                return None
            one.whole.add(name)
            return name

        return check

    def _put_off(self, one: _Open, reason: str) -> None:
        one.attempts += 1
        delay = self._options.retry.delay_after(one.attempts)
        if delay is None:
            self._give_up(one, reason)
            return
        one.due = self._clock.now() + delay
        self._log(one, Event.COMMITMENT_RETRYING, logging.WARNING, reason=reason)

    def _give_up(self, one: _Open, reason: str) -> None:
        """Answer nothing: the peer keeps its images, which is what matters."""
        self._log(one, Event.COMMITMENT_FAILED, logging.ERROR, reason=reason)
        self._notices.finish(one.name)

    @staticmethod
    def _log(one: _Open, event: Event, level: int, **fields: object) -> None:
        log_event(
            event,
            level=level,
            transaction_uid=one.request.transaction_uid,
            calling_ae_title=one.ae_title,
            attempt=one.attempts,
            **fields,
        )


def judge(
    transaction_uid: str,
    references: Iterable[SopReference],
    held: Mapping[str, Sequence[HeldInstance]],
    whole: frozenset[str],
) -> CommitmentReport:
    """Return the answer: `held` has the files by SOP Instance UID, `whole` the good ones' names.

    Where an instance has several versions, each must be good: which one the peer has is not known.
    """
    committed: list[SopReference] = []
    failed: list[tuple[SopReference, CommitmentFailure]] = []
    for reference in references:
        files = held.get(reference.sop_instance_uid, ())
        if not files:
            failed.append((reference, CommitmentFailure.NO_SUCH_INSTANCE))
        elif any(file.sop_class_uid != reference.sop_class_uid for file in files):
            failed.append((reference, CommitmentFailure.CLASS_CONFLICT))
        elif any(file.spool_name not in whole for file in files):
            failed.append((reference, CommitmentFailure.PROCESSING_FAILURE))
        else:
            committed.append(reference)
    return CommitmentReport(
        transaction_uid=transaction_uid, committed=tuple(committed), failed=tuple(failed)
    )
