"""What an answer of success promises: one shelf for each durability.

instance      the image survives a power cut: it is in a file that is durable, name and all
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
from scp.landing import Landing
from scp.scratch import sync_file_system
from scp.spool import Spool


class PromptShelf:
    """`instance`: into a file whose name is durable already; too large for that, at once."""

    def __init__(self, spool: Spool, sink: InstanceSink) -> None:
        self.pages = spool.pages
        self._spool = spool
        self._sink = sink
        self._landing = Landing(spool)
        self._filer = Filer(self._landing, spool, sink)

    def start(self) -> None:
        self._filer.start()

    def new_path(self) -> Path:
        return self._spool.new_path()

    def keep(self, incoming: IncomingInstance, instance: ReceivedInstance) -> bool:
        name, page = instance.spool_name, incoming.page()
        if self._filer.holds(name):
            return False
        if page is not None and not self._filer.is_full and not self._spool.holds(name):
            crash_point(CrashPoint.LANDING_BEFORE_WRITE)
            path = self._landing.put(page, instance.size)
            crash_point(CrashPoint.LANDING_AFTER_WRITE)
            self._filer.add(path, instance)
            return True
        is_new = self._spool.keep(incoming, instance)
        if is_new:
            self._sink.received(instance)
        return is_new

    def settle(self) -> None:
        """Every image is durable already."""

    def stop(self) -> None:
        """Return when everything has its lasting name, unless the disk refuses."""
        self._filer.stop()
        self._landing.close()


class LazyShelf:
    """`association` and `none`: files that the kernel writes when it likes, or at `settle`."""

    def __init__(self, spool: Spool, sink: InstanceSink, *, settles: bool) -> None:
        self.pages = spool.pages
        self._spool = spool
        self._sink = sink
        self._settles = settles

    def start(self) -> None:
        """Nothing is to be done."""

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


KeepingShelf = PromptShelf | LazyShelf


def shelf_for(durability: Durability, spool: Spool, sink: InstanceSink) -> KeepingShelf:
    """Return what keeps instances as promised. To be made after a fork, not before."""
    if durability is Durability.INSTANCE:
        return PromptShelf(spool, sink)
    return LazyShelf(spool, sink, settles=durability is Durability.ASSOCIATION)
