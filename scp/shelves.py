"""What an answer of success promises: one shelf for each durability.

instance      the image survives a power cut: it is in the journal, or in a durable file
association   all images of an association do, when its release is answered
none          nothing is promised; for measurements
"""

from pathlib import Path

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.model import ReceivedInstance
from appliance.core.ports import InstanceSink
from scp.durability import Durability
from scp.filer import Filer
from scp.incoming import IncomingInstance
from scp.journal import Journal
from scp.scratch import sync_file_system
from scp.spool import Spool


class JournalShelf:
    """`instance`: into the journal where there is room, else into a file of its own at once."""

    def __init__(self, spool: Spool, journal: Journal, sink: InstanceSink) -> None:
        self.pages = spool.pages
        self._spool = spool
        self._sink = sink
        self._journal = journal
        self._filer = Filer(journal, spool, sink)

    def start(self) -> int:
        """Begin; return how many instances an earlier process left in the journal."""
        return self._filer.start()

    def new_path(self) -> Path:
        return self._spool.new_path()

    def keep(self, incoming: IncomingInstance, instance: ReceivedInstance) -> bool:
        if self._filer.holds(instance.spool_name):
            return False
        page = incoming.page()
        if page is not None and not self._spool.holds(instance.spool_name):
            crash_point(CrashPoint.JOURNAL_BEFORE_WRITE)
            slot = self._journal.put(page, instance)
            if slot is not None:
                crash_point(CrashPoint.JOURNAL_AFTER_WRITE)
                self._filer.add(slot, incoming.part_with_page() if self._filer.is_near else None)
                return True
        is_new = self._spool.keep(incoming, instance)
        if is_new:
            self._sink.received(instance)
        return is_new

    def settle(self) -> None:
        """Every image is durable already."""

    def stop(self) -> None:
        """Return when the journal is empty, unless the disk refuses."""
        self._filer.stop()
        self._journal.close()


class LazyShelf:
    """`association` and `none`: files that the kernel writes when it likes, or at `settle`."""

    def __init__(self, spool: Spool, sink: InstanceSink, *, settles: bool) -> None:
        self.pages = spool.pages
        self._spool = spool
        self._sink = sink
        self._settles = settles

    def start(self) -> int:
        """File what a journal holds since another durability was set; return how many that are."""
        if not self._spool.journal_folder.is_dir():
            return 0
        journal = Journal(self._spool.journal_folder)
        filer = Filer(journal, self._spool, self._sink)
        left = filer.start()
        filer.stop()
        journal.close()
        return left

    def new_path(self) -> Path:
        return self._spool.new_path()

    def keep(self, incoming: IncomingInstance, instance: ReceivedInstance) -> bool:
        name = instance.spool_name
        if self._spool.holds(name):
            return False
        is_new = self._spool.place(incoming.as_file(durable=False), name)
        if is_new:
            self._sink.received(instance)
        return is_new

    def settle(self) -> None:
        """Return when everything that was received is durable. Raises OSError."""
        if self._settles:
            sync_file_system(self._spool.root)

    def stop(self) -> None:
        """Leave nothing to a power cut after an orderly end."""
        sync_file_system(self._spool.root)


KeepingShelf = JournalShelf | LazyShelf


def shelf_for(durability: Durability, spool: Spool, sink: InstanceSink) -> KeepingShelf:
    """Return what keeps instances as promised. Raises OSError where the journal cannot be had."""
    if durability is Durability.INSTANCE:
        return JournalShelf(spool, Journal(spool.journal_folder), sink)
    return LazyShelf(spool, sink, settles=durability is Durability.ASSOCIATION)
