"""The journal: where an instance is safe before it has a file of its own.

    journal/<n>/            of one process, held by flock; a free one is taken over as it is
    journal/<n>/slot-<m>    one instance, or a rest of one: a block of text, then the DICOM file

Making a new file durable costs several writes of the file system's own; writing over blocks that
a file has already costs one. So an instance is written into a slot, which is durable when the
write returns, and is answered for; the filer makes the ordinary file soon after and frees the
slot. After a crash, whoever takes the folder over files what the slots still hold.
docs/adr/0004-a-journal-before-files.md has the measurements.
"""

import errno
import itertools
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance.core.errors import BadInstance
from appliance.core.model import ReceivedInstance
from scp import filemeta
from scp.checksum import matches
from scp.direct import open_direct, write_blocks
from scp.head import identify
from scp.incoming import described, spool_name
from scp.page import BLOCK, CAPACITY, Page, rounded_up
from scp.scratch import lock_folder, sync_folder

MOST_SLOTS = 256
"""Instances of one process that may wait for their files; more get a file at once."""

READY = 32
"""Slots that are made in advance once images come: the first use of one costs as much as a file."""

_MAGIC = b"APPLIANCE JOURNAL 1\n"


@dataclass(slots=True, eq=False)
class Slot:
    """A file of the journal; `size` is that of the instance in it."""

    file: int
    path: Path
    is_listed: bool  # whether its name is on the disk
    is_ours: bool = True  # not of a process that is gone
    is_stale: bool = False  # still says what it held, which is a file by now
    size: int = 0
    instance: ReceivedInstance | None = field(default=None)


class Journal:
    """The journal's folder of this process under `root`. Raises OSError where it cannot be had.

    To be made after a fork, not before. Safe in several threads.
    """

    def __init__(self, root: Path, *, most: int = MOST_SLOTS) -> None:
        root.mkdir(mode=0o750, exist_ok=True)
        self._guard = threading.Lock()
        self._most = most
        self._root = root
        self._folder, held = _claim(root)
        self._held = [held]
        for folder in (root, root.parent):  # the journal's own name has to survive, too
            sync_folder(folder)
        self._free: list[Slot] = []
        self._count = 0
        self._blank = Page()  # zeros

    def put(self, page: Page, instance: ReceivedInstance) -> Slot | None:
        """Return the slot in which the instance is durable now; None where all are taken.

        `page.body` begins with the instance's file. Raises OSError: then nothing was promised.
        """
        slot = self._take()
        if slot is None:
            return None
        try:
            _entitle(page, instance)
            write_blocks(slot.file, page.whole[: rounded_up(BLOCK + instance.size)], durable=True)
            if not slot.is_listed:
                sync_folder(self._folder)
                slot.is_listed = True
        except OSError:
            self.free(slot)
            raise
        slot.size, slot.instance, slot.is_stale = instance.size, instance, False
        return slot

    def read(self, slot: Slot, page: Page) -> None:
        """Read the file that the slot holds into the page's body. Raises OSError."""
        wanted = rounded_up(BLOCK + slot.size)
        if os.preadv(slot.file, [page.whole[:wanted]], 0) < BLOCK + slot.size:
            raise OSError(errno.EIO, "a slot of the journal is shorter than what was put into it")

    def free(self, slot: Slot, *, shrink: bool = False) -> None:
        """Let the slot be used again: its instance is a durable file now, or was not promised.

        What it held is in it until it is used again or tidied; who finds it there after a crash
        finds a duplicate. `shrink` gives its room on the disk back at once.
        """
        slot.instance = None
        slot.is_stale = True
        if shrink:
            self._clear(slot, shrink=True)
        if slot.is_ours:
            with self._guard:
                self._free.append(slot)
        else:
            os.close(slot.file)
            slot.path.unlink(missing_ok=True)

    def tidy(self) -> bool:
        """Clear one free slot of what it held; return whether there was one."""
        with self._guard:
            slot = next((slot for slot in self._free if slot.is_stale), None)
            if slot is None:
                return False
            self._free.remove(slot)
        self._clear(slot)
        with self._guard:
            self._free.append(slot)
        return True

    def _clear(self, slot: Slot, *, shrink: bool = False) -> None:
        slot.is_stale = False
        with suppress(OSError):  # it is filed a second time after a crash, and found a duplicate
            if shrink:
                os.ftruncate(slot.file, 0)
            else:
                write_blocks(slot.file, self._blank.lead)

    def prepare(self) -> bool:
        """Make one more slot in advance; return False where there are enough. Raises OSError."""
        with self._guard:
            if self._count >= min(READY, self._most):
                return False
        slot = self._take_new()
        if slot is not None:
            try:
                write_blocks(slot.file, self._blank.whole, durable=True)
                sync_folder(self._folder)
                slot.is_listed = True
            finally:
                with self._guard:
                    self._free.insert(0, slot)  # those that were used are nearer
        return slot is not None

    def left_over(self, page: Page) -> Iterator[Slot]:
        """Yield the slots that processes before us filled and did not free; the rest are free.

        Also those in folders that nobody holds any more, as after `processes` became fewer.
        """
        yield from self._filled(self._folder, page, ours=True)
        for folder in sorted(self._root.iterdir()):
            held = lock_folder(folder) if folder != self._folder else None
            if held is not None:
                self._held.append(held)
                yield from self._filled(folder, page, ours=False)

    def _filled(self, folder: Path, page: Page, *, ours: bool) -> Iterator[Slot]:
        for path in sorted(folder.glob("slot-*")):
            slot = Slot(file=open_direct(path), path=path, is_listed=True, is_ours=ours)
            self._count += ours
            slot.instance = _read_back(slot.file, page)
            if slot.instance is None:
                self.free(slot)
            else:
                slot.size = slot.instance.size
                yield slot

    def close(self) -> None:
        """Give the folder back; what it holds stays for the next."""
        with self._guard:
            for slot in self._free:
                os.close(slot.file)
            self._free.clear()
        for held in self._held:
            os.close(held)

    def _take(self) -> Slot | None:
        with self._guard:
            if self._free:
                return self._free.pop()  # the last one used: its blocks are near
        return self._take_new()

    def _take_new(self) -> Slot | None:
        with self._guard:
            if self._count >= self._most:
                return None
            self._count += 1
            number = self._count
        path = self._folder / f"slot-{number:04d}"
        try:
            return Slot(file=open_direct(path), path=path, is_listed=False)
        except OSError:
            with self._guard:
                self._count -= 1
            raise


def damaged_in(root: Path) -> Mapping[Path, int]:
    """Return the slots that are neither free nor whole, with the time of their last write (ns).

    One that is being written may be among them. One that stays so was torn by a power cut before
    its sender was answered, and the next start frees it; or its bytes have changed since.
    """
    found, page = {}, Page()
    for path in sorted(root.glob("*/slot-*")):
        with suppress(FileNotFoundError):
            file = open_direct(path)
            try:
                is_whole = _read_back(file, page) is not None
            finally:
                os.close(file)
            if not is_whole and bytes(page.lead).startswith(_MAGIC):
                found[path] = path.stat().st_mtime_ns
    return found


def _claim(root: Path) -> tuple[Path, int]:
    """Return the first folder that nobody holds, and what holds it for us."""
    for number in itertools.count():
        folder = root / f"{number}"
        folder.mkdir(mode=0o750, exist_ok=True)
        held = lock_folder(folder)
        if held is not None:
            return folder, held
    raise AssertionError  # pragma: no cover


def _entitle(page: Page, instance: ReceivedInstance) -> None:
    title = {"name": instance.spool_name, "size": instance.size}
    text = _MAGIC + json.dumps(title).encode("ascii") + b"\n"
    page.lead[: len(text)] = text
    page.lead[len(text)] = 0


def _read_back(file: int, page: Page) -> ReceivedInstance | None:
    """Return the instance that the slot holds whole; None where it holds none.

    A write that a power cut tore was not answered for.
    """
    read = os.preadv(file, [page.whole], 0)
    lead = bytes(page.lead)
    if read <= BLOCK or not lead.startswith(_MAGIC):
        return None
    try:
        title = json.loads(lead[len(_MAGIC) : lead.index(b"\n", len(_MAGIC))])
        size = int(title["size"])
        if not 0 < size <= min(CAPACITY, read - BLOCK):
            return None
        data = page.body[:size]
        provenance, start = filemeta.decode(data)
        identity = identify(data, start, provenance.transfer_syntax_uid)
        is_whole = matches(provenance.checksum, data[start:])
    except (ValueError, KeyError, TypeError, BadInstance):
        return None
    name = spool_name(identity, provenance.checksum)
    if not is_whole or name != title["name"]:
        return None
    return described(name, provenance, identity, size)
