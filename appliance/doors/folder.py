"""A folder whose DICOM files are imported, by the rules of C-STORE.

A file is read when it has not changed for a while. Symbolic links are not followed, neither as
files nor as folders. A file goes only when its instance is durable in the spool and the file is
still the one that was read; what cannot be taken stays, and why is written down.
"""

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.model import Door
from appliance.doors.options import After, ImportOptions
from results_store.imports import Imports
from scp.deposit import Depot, Source
from scp.part10 import Part10File
from scp.status import STATUSES, Outcome

_PIECE = 1024**2
_CALLER = "IMPORT"
_KEPT = frozenset({Outcome.STORED, Outcome.DUPLICATE})
_LATER = frozenset({Outcome.NO_ROOM, Outcome.FAILED})  # nothing is wrong with the file
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Look:
    """What a file looked like."""

    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that was met: its name in the open folder, its path below the watched one."""

    folder: int
    name: str
    path: str
    look: _Look

    @property
    def key(self) -> str:
        """Return what the file is remembered by; a path may hold a patient's name."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()


class FolderImport:
    """Imports what lies in the folder. One at a time on one folder."""

    def __init__(
        self,
        options: ImportOptions,
        depot: Depot,
        imports: Imports,
        clock: Clock,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._options = options
        self._depot = depot
        self._imports = imports
        self._clock = clock
        self._is_stopping = is_stopping
        self._since: dict[str, tuple[_Look, float]] = {}  # by path: unchanged since when
        self._done: dict[str, _Look] = {}  # by path: nothing to do until it changes
        self._source = Source(
            door=Door.IMPORTED,
            calling_ae_title=_CALLER,
            called_ae_title=options.ae_title,
            peer_address="",
        )

    def step(self) -> int:
        """Import what has settled; return how many instances are new or were here already."""
        before, self._since = self._since, {}
        done, self._done = self._done, {}
        kept = 0
        for found in self._files():
            if self._is_stopping() or not self._depot.has_room():
                break
            if done.get(found.path) == found.look:
                self._done[found.path] = found.look
            elif self._has_settled(found, before):
                kept += self._import(found)
        return kept

    def _files(self) -> Iterator[_Found]:
        top = self._options.folder
        for root, folders, names, descriptor in os.fwalk(top, follow_symlinks=False):
            folders.sort()
            below = os.path.relpath(root, top)
            for name in sorted(names):
                look = _look(name, descriptor)
                if look is not None:
                    yield _Found(descriptor, name, os.path.join(below, name), look)  # noqa: PTH118

    def _has_settled(self, found: _Found, before: dict[str, tuple[_Look, float]]) -> bool:
        now = self._clock.monotonic()
        look, since = before.get(found.path, (found.look, now))
        if look != found.look:
            since = now
        self._since[found.path] = (found.look, since)
        return now - since >= self._options.settle.total_seconds()

    # -- one file -------------------------------------------------------------------------

    def _import(self, found: _Found) -> bool:
        """Return whether the file's instance is in the spool now."""
        look = found.look
        if self._imports.outcome(found.key, look.size, look.modified_ns) is not None:
            self._done[found.path] = look
            return False
        try:
            outcome = self._read(found)
        except OSError as error:
            self._tell(found, f"cannot be read: {os.strerror(error.errno or 0)}")
            self._done[found.path] = look
            return False
        if outcome is None or outcome in _LATER:
            return False
        if outcome not in _KEPT:
            self._tell(found, f"{outcome.value}: {STATUSES[outcome].comment}")
        elif self._options.after is After.DELETE and _deleted(found):
            return True
        self._imports.remember(found.key, look.size, look.modified_ns, outcome.value)
        self._done[found.path] = look
        return outcome in _KEPT

    def _read(self, found: _Found) -> Outcome | None:
        """Return what became of the file, or None where it is not the one that was met."""
        if found.look.size > self._depot.largest + _PIECE:
            return Outcome.TOO_LARGE
        part = Part10File(self._depot, self._source)
        try:
            descriptor = os.open(found.name, _FLAGS, dir_fd=found.folder)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                if _as_look(os.fstat(descriptor)) != found.look:
                    return None
                while piece := file.read(_PIECE):
                    part.write(piece)
                if _as_look(os.fstat(descriptor)) != found.look:
                    return None
            return part.finish()
        finally:
            part.discard()

    def _tell(self, found: _Found, reason: str) -> None:
        """Say that the file was not taken: its path in a file of ours, never in the log."""
        self._options.refusals.mkdir(mode=0o750, parents=True, exist_ok=True)
        note = self._options.refusals / f"{found.key[:16]}.txt"
        path = self._options.folder / found.path
        note.write_bytes(os.fsencode(Path(path)) + f"\n{reason}\n".encode())
        log_event(Event.FILE_REFUSED, level=logging.WARNING, path=str(note), reason=reason)


def _look(name: str, folder: int) -> _Look | None:
    """Return what the file looks like; None where it is gone or no file of its own."""
    try:
        state = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return _as_look(state) if stat.S_ISREG(state.st_mode) else None


def _as_look(state: os.stat_result) -> _Look:
    return _Look(state.st_ino, state.st_size, state.st_mtime_ns)


def _deleted(found: _Found) -> bool:
    """Delete the file if it is still the one that was read; return whether it was deleted."""
    try:
        if _look(found.name, found.folder) != found.look:
            return False
        os.unlink(found.name, dir_fd=found.folder)
    except OSError as error:
        reason = f"an imported file cannot be deleted: {os.strerror(error.errno or 0)}"
        log_event(Event.FILE_REFUSED, level=logging.WARNING, reason=reason)
        return False
    return True
