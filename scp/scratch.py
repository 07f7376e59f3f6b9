"""One temporary folder a process, held by flock: a folder that nobody holds is swept.

The lock is the kernel's, so it ends with the process however that ends. A folder is only ours
when it is locked and still has its name: another process may have swept it in between.
"""

import ctypes
import fcntl
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from secrets import token_hex


class Kind(StrEnum):
    """What a temporary file is to whoever finds it without its process."""

    ONLY = "only"  # the only trace of something that was half received
    COPY = "copy"  # a copy of what is elsewhere


class Scratch:
    """The temporary folder of this process under `root`, made when it is first needed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._owner = 0
        self._folder = root

    def new_path(self, kind: Kind = Kind.ONLY) -> Path:
        """Return a path in this process's folder that nobody has used."""
        with self._guard:
            if self._owner != os.getpid():  # first use, or we are a fork of who made it
                self._folder = self._claim()
                self._owner = os.getpid()
            return self._folder / f"{kind.value}-{next(self._numbers):x}"

    def _claim(self) -> Path:
        while True:
            folder = self._root / f"{os.getpid()}-{token_hex(8)}"
            folder.mkdir(mode=0o750)
            held = lock_folder(folder)
            if held is not None:
                if _is(folder, held):
                    return folder  # the descriptor, and with it the lock, stays until we end
                os.close(held)

    def sweep(self, save: Callable[[Sequence[Path]], None]) -> None:
        """Remove the folders of processes that are gone.

        `save` takes the files that are the only ones of what they hold; when it returns they are
        of no use any more.
        """
        with os.scandir(self._root) as entries:
            folders = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for folder in folders:
            held = lock_folder(folder)
            if held is None:
                continue
            try:
                if not _is(folder, held):
                    continue  # another process swept it between our opening and our locking
                paths = list(folder.iterdir())
                save([path for path in paths if path.name.startswith(Kind.ONLY.value)])
                for path in paths:
                    path.unlink(missing_ok=True)
                folder.rmdir()
            finally:
                os.close(held)


def sync_folder(folder: Path) -> None:
    """Return when the folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(folder: Path) -> None:
    """Return when the folder's file system has written everything (syncfs(2)). Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def lock_folder(folder: Path) -> int | None:
    """Return what holds the folder for us as long as it is open; None where another holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _is(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
