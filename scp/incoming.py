"""One instance on its way into the spool: bytes as they come, then all or nothing."""

import hashlib
import mmap
import os
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.model import ReceivedInstance
from scp import filemeta
from scp.filemeta import Provenance
from scp.head import Identity, identify


class Shelf(Protocol):
    """Where a finished file goes: what an incoming instance needs of the spool."""

    def holds(self, name: str) -> bool: ...

    def place(self, temporary: Path, name: str) -> bool: ...

    def make_durable(self) -> None: ...


def spool_name(identity: Identity, sha256: str) -> str:
    """Return the name under which these UIDs and this content are kept; no peer text in it."""
    parts = (
        identity.study_instance_uid,
        identity.series_instance_uid,
        identity.sop_instance_uid,
        sha256,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class IncomingInstance:
    """A temporary file that becomes a spool entry by `commit`, or nothing by `discard`."""

    def __init__(self, path: Path, provenance: Provenance, shelf: Shelf) -> None:
        self._path = path
        self._provenance = provenance
        self._shelf = shelf
        self._digest = hashlib.sha256()
        self._guard = threading.Lock()  # no write may meet a descriptor that was just closed
        head = filemeta.encode(provenance)
        self._start = self._size = len(head)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file: int | None = os.open(path, flags, 0o640)
        try:
            os.write(self._file, head)
        except OSError:
            self.discard()
            raise

    @property
    def data_set_size(self) -> int:
        """Bytes of the data set so far."""
        return self._size - self._start

    def _descriptor(self) -> int:
        if self._file is None:
            raise ValueError("this instance was committed or discarded already")
        return self._file

    def write(self, fragment: bytes | memoryview) -> None:
        """Append a fragment of the data set. Raises OSError where the disk refuses."""
        rest = memoryview(fragment)
        with self._guard:
            self._digest.update(rest)
            while rest:
                written = os.write(self._descriptor(), rest)
                self._size += written
                rest = rest[written:]

    def identity(self) -> Identity:
        """Return the UIDs in the data set. Raises MalformedDataSet."""
        with mmap.mmap(self._descriptor(), self._size, prot=mmap.PROT_READ) as data:
            return identify(data, self._start, self._provenance.transfer_syntax_uid)

    def commit(self, identity: Identity, received_at: datetime) -> tuple[ReceivedInstance, bool]:
        """Make the instance survive a power cut; return it, and whether it is new.

        Raises OSError where the disk refuses: then nothing was promised.
        """
        provenance = filemeta.completed(
            self._provenance, received_at=received_at, sha256=self._digest.hexdigest()
        )
        name = spool_name(identity, provenance.sha256)
        instance = described(name, provenance, identity, self._size)
        try:
            is_new = not self._shelf.holds(name) and self._link(name, provenance)
            self._shelf.make_durable()  # for a duplicate too: its first copy may be just linked
        finally:
            self.discard()
        return instance, is_new

    def _link(self, name: str, provenance: Provenance) -> bool:
        os.pwrite(self._descriptor(), filemeta.encode(provenance), 0)
        os.fsync(self._descriptor())
        crash_point(CrashPoint.SPOOL_BEFORE_LINK)
        is_new = self._shelf.place(self._path, name)
        crash_point(CrashPoint.SPOOL_AFTER_LINK)
        return is_new

    def discard(self) -> None:
        """Remove the temporary file. A second call does nothing."""
        with self._guard:
            if self._file is None:
                return
            os.close(self._file)
            self._file = None
        with suppress(FileNotFoundError):
            self._path.unlink()


def described(name: str, provenance: Provenance, identity: Identity, size: int) -> ReceivedInstance:
    """Return the value that other rooms know an instance by."""
    return ReceivedInstance(
        spool_name=name,
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=identity.sop_class_uid,
        transfer_syntax_uid=provenance.transfer_syntax_uid,
        calling_ae_title=provenance.calling_ae_title,
        called_ae_title=provenance.called_ae_title,
        peer_address=provenance.peer_address,
        received_at=provenance.received_at,
        size=size,
        sha256=provenance.sha256,
        door=provenance.door,
    )
