"""Gives instances that have landed their lasting names, soon after the peer was answered.

An entry appears among the spool's new ones when its bytes are durable, never before: whoever finds
it may rely on it. Its first name is taken away when the second is durable. What the disk refuses
keeps its first name and is tried again; when too many wait, the next ones are filed while their
senders wait, and are told if there is no room.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.log import Event, log_event
from appliance.core.model import ReceivedInstance
from appliance.core.ports import InstanceSink
from scp.landing import Landing
from scp.spool import Spool

_BATCH = 32  # instances that share the syncing of the folders
_GATHER = 0.02  # seconds for others to come: each syncing holds up who waits for the disk
_MOST = 256  # instances that may wait
_PAUSE = 1.0  # seconds after the disk refused


@dataclass(frozen=True, slots=True)
class _Landed:
    """A durable file, and what it is."""

    path: Path
    instance: ReceivedInstance


class Filer:
    """Files what `add` names, in the order of its coming, in a thread of its own."""

    def __init__(self, landing: Landing, spool: Spool, sink: InstanceSink) -> None:
        self._landing = landing
        self._spool = spool
        self._sink = sink
        self._changed = threading.Condition()
        self._waiting: deque[_Landed] = deque()
        self._names: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="filer", daemon=True)

    def start(self) -> None:
        """File what is added from now on."""
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be added now."""
        return len(self._waiting) >= _MOST

    def add(self, path: Path, instance: ReceivedInstance) -> None:
        """File the instance that is durable at `path`."""
        with self._changed:
            self._waiting.append(_Landed(path, instance))
            self._names.add(instance.spool_name)
            if len(self._waiting) == 1:
                self._changed.notify()

    def holds(self, name: str) -> bool:
        """Return whether the instance is durable here and has no lasting name yet."""
        return name in self._names

    def stop(self) -> None:
        """File everything, unless the disk refuses: then the next sweep does it."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        has_failed = False
        while True:
            with suppress(OSError):  # the next image finds out what the disk has
                if not self._stopping.is_set():
                    self._landing.prepare()
            batch = self._gather()
            if not batch or (self._stopping.is_set() and has_failed):
                return
            try:
                self._file(batch)
                has_failed = False
            except OSError as error:
                self._tell(error, first=not has_failed)
                has_failed = True
                self._stopping.wait(_PAUSE)

    def _gather(self) -> list[_Landed]:
        """Return what is to be filed now; nothing only where nothing will come any more."""
        with self._changed:
            while not self._waiting and not self._stopping.is_set():
                self._changed.wait()
        if len(self._waiting) < _BATCH:
            self._stopping.wait(_GATHER)
        with self._changed:
            return [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]

    def _file(self, batch: Sequence[_Landed]) -> None:
        crash_point(CrashPoint.SPOOL_BEFORE_LINK)
        for one in batch:
            self._spool.place(one.path, one.instance.spool_name)
        crash_point(CrashPoint.SPOOL_AFTER_LINK)
        self._spool.make_durable()
        crash_point(CrashPoint.LANDING_BEFORE_UNLINK)
        for one in batch:
            one.path.unlink(missing_ok=True)
            with self._changed:
                self._waiting.popleft()
                self._names.discard(one.instance.spool_name)
        self._sink.received(*(one.instance for one in batch))

    def _tell(self, error: OSError, *, first: bool) -> None:
        if first:
            log_event(
                Event.SPOOL_STUCK,
                level=logging.ERROR,
                count=len(self._waiting),
                reason=f"{type(error).__name__}, errno {error.errno}",
            )
