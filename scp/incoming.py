"""One instance on its way into the spool: bytes as they come, then all or nothing.

The bytes are read straight into a page of memory. An instance that fits there is handed over as
one piece; a larger one goes on to a temporary file, a page at a time.
"""

import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeVar

from appliance.core.model import ReceivedInstance
from scp import filemeta
from scp.checksum import Checksum
from scp.direct import open_direct, write_blocks, write_end
from scp.filemeta import Provenance
from scp.head import Buffer, Identity, identify, verify_structure
from scp.page import BLOCK, CAPACITY, Page, Pages

Found = TypeVar("Found")


class Shelf(Protocol):
    """Where a finished instance goes, and what is promised when it is there."""

    pages: Pages

    def new_path(self) -> Path: ...

    def keep(self, incoming: "IncomingInstance", instance: ReceivedInstance) -> bool:
        """Return whether it is new. Raises OSError: then nothing was promised."""
        ...


def spool_name(identity: Identity, checksum: str) -> str:
    """Return the name under which these UIDs and this content are kept; no peer text in it."""
    parts = (
        identity.study_instance_uid,
        identity.series_instance_uid,
        identity.sop_instance_uid,
        checksum,
    )
    return sha256("\n".join(parts).encode()).hexdigest()


class IncomingInstance:
    """An instance that becomes a spool entry by `commit`, or nothing by `discard`.

    `space` and `took` let a reader put bytes where they belong without a copy.
    """

    def __init__(self, provenance: Provenance, shelf: Shelf) -> None:
        self._provenance = provenance
        self._shelf = shelf
        self._checksum = Checksum()
        self._start = self._filled = BLOCK  # the head is written when its checksum is known
        self._in_file = 0  # bytes before those of the page
        self._is_complete = False  # the file, including what the page holds
        self._path: Path | None = None
        self._file: int | None = None
        self._page: Page | None = shelf.pages.borrow()
        self._page.body[:BLOCK] = bytes(BLOCK)  # no head of another instance

    @property
    def data_set_size(self) -> int:
        """Bytes of the data set so far."""
        return self.size - self._start

    @property
    def size(self) -> int:
        """Bytes of the file so far."""
        return self._in_file + self._filled

    def space(self, size: int) -> memoryview:
        """Return where the next bytes go: at most `size`, at least one.

        Raises OSError where the disk refuses what came before.
        """
        if self._filled == CAPACITY:
            self._spill()
        return self._borrowed().body[self._filled : min(self._filled + size, CAPACITY)]

    def took(self, size: int) -> None:
        """Count the first `size` bytes of the last space as written."""
        self._checksum.update(self._borrowed().body[self._filled : self._filled + size])
        self._filled += size

    def write(self, fragment: bytes | memoryview) -> None:
        """Append a fragment of the data set. Raises OSError where the disk refuses."""
        rest = memoryview(fragment)
        while rest:
            space = self.space(len(rest))
            space[:] = rest[: len(space)]
            self.took(len(space))
            rest = rest[len(space) :]

    def identity(self) -> Identity:
        """Return the UIDs in the data set. Raises MalformedDataSet."""
        return self._look(identify)

    def verify(self) -> None:
        """Return if the data set is whole. Raises MalformedDataSet."""
        self._look(verify_structure)

    def _look(self, how: Callable[[Buffer, int, str], Found]) -> Found:
        syntax = self._provenance.transfer_syntax_uid
        if self._file is None:
            return how(self._borrowed().body[: self._filled], self._start, syntax)
        with mmap.mmap(self._complete(), self.size, prot=mmap.PROT_READ) as data:
            return how(data, self._start, syntax)

    def commit(self, identity: Identity, received_at: datetime) -> tuple[ReceivedInstance, bool]:
        """Keep the instance as the shelf promises; return it, and whether it is new.

        Raises OSError where the disk refuses: then nothing was promised.
        """
        provenance = filemeta.completed(
            self._provenance, received_at=received_at, checksum=self._checksum.text
        )
        if self._file is None:
            self._put_in_front(filemeta.encode(provenance, self.data_set_size))
        else:
            lead = self._borrowed().lead
            lead[:] = filemeta.encode(provenance)
            write_blocks(self._complete(), lead)
        name = spool_name(identity, provenance.checksum)
        instance = described(name, provenance, identity, self.size)
        try:
            return instance, self._shelf.keep(self, instance)
        finally:
            self.discard()

    def _put_in_front(self, head: bytes) -> None:
        """Put the head into the page, and the data set right behind it."""
        body, size = self._borrowed().body, self.data_set_size
        body[len(head) : len(head) + size] = body[self._start : self._filled]
        body[: len(head)] = head
        self._start, self._filled = len(head), len(head) + size

    def page(self) -> Page | None:
        """Return the page that holds the whole file in its body, if one does."""
        return self._page if self._file is None else None

    def as_file(self, *, durable: bool) -> Path:
        """Return a temporary file that is the whole instance. Raises OSError."""
        file = self._complete()
        if durable:
            os.fdatasync(file)
        return self._opened()[1]

    def discard(self) -> None:
        """Remove the temporary file, give the page back. A second call does nothing."""
        page, self._page = self._page, None
        file, self._file = self._file, None
        if page is not None:
            self._shelf.pages.give_back(page)
        if file is not None:
            os.close(file)
        if self._path is not None:
            with suppress(FileNotFoundError):
                self._path.unlink()

    def _borrowed(self) -> Page:
        if self._page is None:
            raise ValueError("this instance was committed or discarded already")
        return self._page

    def _opened(self) -> tuple[int, Path]:
        """Return the temporary file, made if there is none. Raises OSError."""
        if self._file is None or self._path is None:
            self._path = self._shelf.new_path()
            self._file = open_direct(self._path, os.O_EXCL)
        return self._file, self._path

    def _spill(self) -> None:
        """Move the full page to the file."""
        file, _ = self._opened()
        write_blocks(file, self._borrowed().body, self._in_file)
        self._in_file += self._filled
        self._filled = 0

    def _complete(self) -> int:
        """Return the file with everything in it. Raises OSError."""
        file, _ = self._opened()
        if not self._is_complete:
            write_end(file, self._borrowed().body, self._filled, self._in_file)
            self._is_complete = True
        return file


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
        checksum=provenance.checksum,
        door=provenance.door,
    )
