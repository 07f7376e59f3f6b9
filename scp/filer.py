"""Makes ordinary files of what the journal holds, soon after the peer was answered.

An entry appears among the spool's new ones when its bytes are durable, never before: whoever finds
it may rely on it. The slot is freed when its entry is durable too. What the disk refuses stays in
the journal and is tried again; when all slots are taken, peers are told that there is no room.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.log import Event, log_event
from appliance.core.model import ReceivedInstance
from appliance.core.ports import InstanceSink
from scp.direct import open_direct, write_end
from scp.journal import Journal, Slot
from scp.page import Page
from scp.scratch import Kind, sync_file_system
from scp.spool import Spool

_BATCH = 32  # instances that share the syncing of the folder
_GATHER = 0.01  # seconds for others to come; each syncing holds up who writes to the journal
_MANY = 4  # files for which one flush costs less than one for each
_MOST_PAGES = 16  # held for instances that wait; others are read back from their slots
_PLENTY = 10**9  # bytes free above which slots are made in advance
_PAUSE = 1.0  # seconds after the disk refused


class Filer:
    """Files what `add` names, in the order of its coming, in a thread of its own."""

    def __init__(self, journal: Journal, spool: Spool, sink: InstanceSink) -> None:
        self._journal = journal
        self._spool = spool
        self._sink = sink
        self._page = Page()
        self._changed = threading.Condition()
        self._waiting: deque[Slot] = deque()
        self._pages: dict[Slot, Page] = {}
        self._names: set[str] = set()
        self._stopping = threading.Event()
        self._has_filed = False
        self._most = _BATCH
        self._thread = threading.Thread(target=self._run, name="filer", daemon=True)

    def start(self) -> int:
        """File what an earlier process left in the journal, and from now on what is added.

        Returns how many instances were left that have no file yet.
        """
        self._spool.make_durable()  # what is there may be just linked
        count = 0
        for slot in self._journal.left_over(self._page):
            if slot.instance is not None and self._spool.holds(slot.instance.spool_name):
                self._journal.free(slot)
            else:
                self.add(slot, None)
                count += 1
        self._thread.start()
        return count

    @property
    def is_near(self) -> bool:
        """Whether what is added now is filed so soon that its page may be kept for that."""
        return len(self._pages) < _MOST_PAGES

    def add(self, slot: Slot, page: Page | None) -> None:
        """File the slot's instance, which `page` holds too, if that is at hand."""
        if slot.instance is None:
            raise ValueError("an empty slot cannot be filed")
        with self._changed:
            self._waiting.append(slot)
            if page is not None:
                self._pages[slot] = page
            self._names.add(slot.instance.spool_name)
            if len(self._waiting) == 1:
                self._changed.notify()

    def holds(self, name: str) -> bool:
        """Return whether the instance is durable here and has no file yet."""
        return name in self._names

    def stop(self) -> None:
        """File everything, unless the disk refuses: then it stays in the journal."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        has_failed = False
        while True:
            batch = self._gather()
            if not batch or (self._stopping.is_set() and has_failed):
                return
            try:
                self._file(batch)
                self._has_filed, has_failed = True, False
                self._most = min(2 * self._most, _BATCH)
            except OSError as error:
                self._tell(error, first=not has_failed)
                has_failed = True
                self._most = 1  # there may be room for one, and its slot makes room for the next
                self._stopping.wait(_PAUSE)

    def _gather(self) -> list[Slot]:
        """Return what is to be filed now; nothing only where nothing will come any more."""
        while not self._waiting and (self._journal.tidy() or self._prepares()):
            pass
        with self._changed:
            while not self._waiting and not self._stopping.is_set():
                self._changed.wait()
        if len(self._waiting) < self._most:
            self._stopping.wait(_GATHER)
        with self._changed:
            return [self._waiting[i] for i in range(min(self._most, len(self._waiting)))]

    def _prepares(self) -> bool:
        """Make a slot in advance, once images come at all; return whether more are wanted."""
        if self._stopping.is_set() or not self._has_filed:
            return False
        with suppress(OSError):  # the next image finds out what the disk has
            return self._spool.free_bytes() > _PLENTY and self._journal.prepare()
        return False

    def _file(self, batch: Sequence[Slot]) -> None:
        instances = self._make_files(batch)
        self._spool.make_durable()
        crash_point(CrashPoint.JOURNAL_BEFORE_FREE)
        for slot, instance in zip(batch, instances, strict=True):
            self._journal.free(slot, shrink=self._most < _BATCH)
            with self._changed:
                self._waiting.popleft()
                self._names.discard(instance.spool_name)
                page = self._pages.pop(slot, None)
            if page is not None:
                self._spool.pages.give_back(page)
            self._sink.received(instance)

    def _make_files(self, batch: Sequence[Slot]) -> list[ReceivedInstance]:
        """Make an entry of each, which is durable but for the folder. Raises OSError."""
        made: list[tuple[Path, int, ReceivedInstance]] = []
        try:
            for slot in batch:
                if slot.instance is None:
                    raise ValueError("an empty slot cannot be filed")
                path = self._spool.new_path(Kind.COPY)
                file = open_direct(path, os.O_EXCL)
                made.append((path, file, slot.instance))
                page = self._pages.get(slot)
                if page is None:
                    page = self._page
                    self._journal.read(slot, page)
                write_end(file, page.body, slot.size)
            self._sync([file for _, file, _ in made])
            crash_point(CrashPoint.SPOOL_BEFORE_LINK)
            for path, _, instance in made:
                self._spool.move_in(path, instance.spool_name)
            crash_point(CrashPoint.SPOOL_AFTER_LINK)
        except OSError:
            for path, _, _ in made:
                path.unlink(missing_ok=True)
            raise
        finally:
            for _, file, _ in made:
                os.close(file)
        return [instance for _, _, instance in made]

    def _sync(self, files: Sequence[int]) -> None:
        """Return when the files are on the disk.

        Each fdatasync flushes the disk's cache, for which whoever writes to the journal waits; for
        several files at once the file system is asked for one flush.
        """
        if len(files) >= _MANY:
            sync_file_system(self._spool.root)
            return
        for file in files:
            os.fdatasync(file)

    def _tell(self, error: OSError, *, first: bool) -> None:
        if first:
            log_event(
                Event.JOURNAL_STUCK,
                level=logging.ERROR,
                count=len(self._waiting),
                reason=f"{type(error).__name__}, errno {error.errno}",
            )
