"""Files that have their names before an instance comes, so that one write makes it durable.

To make a new file durable costs two waits for the disk: for the file, and for the folder that has
its name. So some empty files are made in advance, and their names are on the disk when an instance
is written into one: then the wait for the file is all that its sender waits for. The filer gives
the file its lasting name soon after. Until then it lies in `tmp/<process>/`; if the process ends
before, whoever sweeps finds that it is whole, and files it.
docs/adr/0007-names-before-instances.md has the measurements.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from scp.direct import open_direct, write_end
from scp.page import Page
from scp.scratch import sync_folder
from scp.spool import Spool

READY = 64
"""Files that are made in advance by each process."""


@dataclass(frozen=True, slots=True)
class _Pad:
    """An empty file whose name is durable."""

    file: int
    path: Path


class Landing:
    """The files of this process that wait for an instance. Safe in several threads."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._guard = threading.Lock()
        self._free: list[_Pad] = []
        self._folder: Path | None = None  # whose own name is durable

    def put(self, page: Page, size: int) -> Path:
        """Return where the first `size` bytes of the page's body are durable now.

        Raises OSError: then nothing was promised, and nothing is left.
        """
        with self._guard:
            pad = self._free.pop() if self._free else None
        if pad is None:
            (pad,) = self._made(1)
        try:
            write_end(pad.file, page.body, size)
            os.fdatasync(pad.file)
        except OSError:
            pad.path.unlink(missing_ok=True)
            raise
        finally:
            os.close(pad.file)
        return pad.path

    def prepare(self) -> None:
        """Make as many files as are missing. Raises OSError."""
        with self._guard:
            missing = READY - len(self._free)
        if missing > 0:
            made = self._made(missing)
            with self._guard:
                self._free += made

    def _made(self, count: int) -> list[_Pad]:
        """Return empty files whose names are durable. Raises OSError: then there are none."""
        made: list[_Pad] = []
        try:
            for _ in range(count):
                path = self._spool.new_path()
                made.append(_Pad(open_direct(path, os.O_EXCL), path))
            folder = made[0].path.parent
            sync_folder(folder)
            if folder != self._folder:
                sync_folder(folder.parent)
                self._folder = folder
        except OSError:
            _remove(made)
            raise
        return made

    def close(self) -> None:
        """Remove the files that nothing came into."""
        with self._guard:
            _remove(self._free)
            self._free.clear()


def _remove(pads: list[_Pad]) -> None:
    for pad in pads:
        os.close(pad.file)
        pad.path.unlink(missing_ok=True)
