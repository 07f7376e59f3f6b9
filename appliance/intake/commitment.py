"""Storage commitment requests, from the notice to the answer that the peer took.

A request is a notice in the spool until then, so that a restart forgets none. Answering waits for
peers, so it has threads of its own, one a peer at a time. A peer that does not take an answer is
left alone for longer and longer, and its requests take turns: neither a peer nor a request holds
up the others.
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.core.clock import Clock
from appliance.core.errors import ApplianceError, BadInstance
from appliance.core.log import Event, log_event
from appliance.core.model import CommitmentReport
from appliance.intake.committing import Committing
from appliance.intake.options import CommitmentOptions
from scp.commitment import STORAGE_COMMITMENT, CommitmentRequest, requested
from scp.notices import Notices

Report = Callable[[CommitmentReport], None]
"""Gives one peer its answer. Raises PeerError."""

_THREADS = 4
_LOOK_AGAIN = timedelta(seconds=1)


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A request that waits for its answer; what it asks stays in its notice."""

    name: str  # of the notice
    ae_title: str
    received_at: datetime
    due: datetime


@dataclass(slots=True, kw_only=True)
class _Peer:
    """How a peer takes answers."""

    due: datetime
    failures: int = 0  # in a row
    running: Future[None] | None = None


class Committer:
    """Answers storage commitment requests. `step` is called in a loop by one thread."""

    def __init__(
        self,
        options: CommitmentOptions,
        notices: Notices,
        committing: Committing,
        report: Mapping[str, Report],
        clock: Clock,
    ) -> None:
        """`report` has an entry for each AE title that may ask."""
        self._options = options
        self._notices = notices
        self._committing = committing
        self._report = report
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
        self._others: set[str] = set()  # notices that are no business of ours
        self._peers: dict[str, _Peer] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "commitment")

    def step(self) -> None:
        """Look for requests, and let the peers that are due have their answers.

        Raises what answering did not foresee.
        """
        self._collect()
        self._take_in()
        now = self._clock.now()
        for one in sorted(self._waiting.values(), key=lambda waiting: waiting.due):
            peer = self._peers.setdefault(one.ae_title, _Peer(due=now))
            if peer.running is None and peer.due <= now and one.due <= now:
                peer.running = self._threads.submit(self._serve, one, peer)

    def close(self) -> None:
        """Wait for what is being reported; begin nothing more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _collect(self) -> None:
        ended = []
        for peer in self._peers.values():
            if peer.running is not None and peer.running.done():
                ended.append(peer.running)
                peer.running = None
        for future in ended:
            future.result()

    def _take_in(self) -> None:
        names = self._notices.names()
        there = frozenset(names)
        self._others &= there
        self._waiting = {name: one for name, one in self._waiting.items() if name in there}
        asking = {one.ae_title for one in self._waiting.values()}
        self._peers = {
            title: peer for title, peer in self._peers.items() if peer.running or title in asking
        }
        for name in names:
            if name not in self._waiting and name not in self._others:
                self._take_in_one(name)

    def _take_in_one(self, name: str) -> None:
        try:
            notice, _ = self._notices.read(name)
        except (BadInstance, OSError):
            return  # whoever reads the other notices tells of it
        if notice.sop_class_uid != STORAGE_COMMITMENT:
            self._others.add(name)
            return
        self._waiting[name] = _Waiting(
            name=name,
            ae_title=notice.calling_ae_title,
            received_at=notice.received_at,
            due=self._clock.now(),
        )

    # -- in a thread ------------------------------------------------------------------------

    def _serve(self, one: _Waiting, peer: _Peer) -> None:
        """Answer one request, or put it off."""
        try:
            notice, data_set = self._notices.read(one.name)
            request = requested(data_set, notice.transfer_syntax_uid)
        except BadInstance as error:  # the receiver could read it: rot, or another version
            self._notices.quarantine(one.name, str(error))
            return
        except OSError as error:
            self._put_off(one, peer, f"{type(error).__name__}, errno {error.errno}")
            return
        try:
            self._answer(one, peer, request)
        except (ApplianceError, OSError) as error:
            self._put_off(one, peer, str(error), request.transaction_uid)

    def _answer(self, one: _Waiting, peer: _Peer, request: CommitmentRequest) -> None:
        report = self._report.get(one.ae_title)
        if report is None:
            reason = "the settings no longer let this peer ask"
            self._give_up(one, reason, request.transaction_uid)
            return
        answer = self._committing.answer(request, one.received_at)
        if answer is None:
            one.due = self._clock.now() + _LOOK_AGAIN
            return
        report(answer)
        self._notices.finish(one.name)
        peer.failures = 0
        log_event(
            Event.COMMITMENT_REPORTED,
            level=logging.WARNING if answer.failed else logging.INFO,
            transaction_uid=request.transaction_uid,
            calling_ae_title=one.ae_title,
            count=len(answer.committed),
            failed=len(answer.failed),
        )

    def _put_off(self, one: _Waiting, peer: _Peer, reason: str, transaction_uid: str = "") -> None:
        now = self._clock.now()
        if now - one.received_at >= self._options.patience:
            self._give_up(one, reason, transaction_uid)
            return
        peer.failures += 1
        delay = self._options.retry.delay_after(peer.failures) or self._options.retry.longest
        one.due = peer.due = now + delay
        log_event(
            Event.COMMITMENT_RETRYING,
            level=logging.WARNING,
            transaction_uid=transaction_uid,
            calling_ae_title=one.ae_title,
            attempt=peer.failures,
            reason=reason,
        )

    def _give_up(self, one: _Waiting, reason: str, transaction_uid: str) -> None:
        """Answer nothing: the peer keeps its images, which is what matters."""
        log_event(
            Event.COMMITMENT_FAILED,
            level=logging.ERROR,
            transaction_uid=transaction_uid,
            calling_ae_title=one.ae_title,
            reason=reason,
        )
        self._notices.finish(one.name)
