"""Is the spool what it promised? Reads every file and compares; changes and deletes nothing.

Runs beside everything else: what looks wrong while files come and go is looked at again at the
end, and told only if it is still so. Bytes are read from the disk, not from the page cache, as
fast as the caller allows.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.errors import BadInstance
from scp import filemeta
from scp.checksum import Checksum
from scp.notices import Notices
from scp.scratch import lock_folder

_NAME = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1_048_576
_HEAD = 65_536  # group 0002 has some hundred bytes
_SHELVES = tuple(f"{number:02x}" for number in range(256))
_LOOKS = 5
_BETWEEN_LOOKS = 1.0  # seconds; intake and retention settle a file in less


class Kind(StrEnum):
    """What is wrong with a file, or only worth knowing."""

    ROT = "rot"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    WITHOUT_ROW = "without-row"
    STRANGE = "strange"
    NOTICE = "notice"
    HALF_WRITTEN = "half-written"
    QUARANTINED = "quarantined"


MEANINGS: Mapping[Kind, str] = {
    Kind.ROT: "its bytes are not those that were received",
    Kind.UNREADABLE: "the disk does not give it, or it is no file of the spool",
    Kind.MISSING: "the store knows it as kept, but it is not here",
    Kind.WITHOUT_ROW: "it is here, but the store does not know it as kept",
    Kind.STRANGE: "nothing of the appliance has such a name",
    Kind.NOTICE: "a message that was answered success is damaged",
    Kind.HALF_WRITTEN: "left by a process that is gone: the receiver's next start files what is "
    "whole and sets the rest aside",
    Kind.QUARANTINED: "of no use when it came; kept until somebody looks",
}
HARMLESS = frozenset({Kind.HALF_WRITTEN, Kind.QUARANTINED})
"""What is told, but is nothing wrong: nobody was answered success for it, or somebody was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One file, relative to the spool, and what is the matter."""

    kind: Kind
    path: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the check is: 0 … 1 of the shelves, and what was read."""

    share: float
    files: int
    size: int  # bytes


class Pace:
    """Lets through so many bytes a second."""

    def __init__(
        self,
        clock: Clock,
        bytes_a_second: int | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._rate = bytes_a_second
        self._sleep = sleep
        self._free_at = clock.monotonic()

    def take(self, size: int) -> None:
        """Return when `size` more bytes may have been read."""
        if self._rate is None:
            return
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now) + size / self._rate
        if self._free_at > now:
            self._sleep(self._free_at - now)

    def wait(self, seconds: float) -> None:
        """Return after so many seconds."""
        self._sleep(seconds)


Kept = Callable[[str], Mapping[str, str]]
"""First two digits of names → checksum of the data set by name, of all that should be here."""


class SpoolCheck:
    """One walk through the spool under `root`. `kept` is asked more than once."""

    def __init__(self, root: Path, kept: Kept, pace: Pace) -> None:
        self._root = root
        self._kept = kept
        self._pace = pace
        self._files = 0
        self._size = 0
        self._suspects: list[tuple[Kind, str]] = []  # by name
        self._new: dict[str, list[Path]] = {}

    def run(self) -> Iterator[Problem | Progress]:
        """Yield what is wrong as it is found, and how far the walk is. Raises StoreError."""
        for path in (self._root / "new").iterdir():
            self._new.setdefault(path.name[:2], []).append(path)
        yield from self._strange_folders()
        for number, shelf in enumerate(_SHELVES, 1):
            yield from self._check_shelf(shelf)
            yield Progress(share=number / len(_SHELVES), files=self._files, size=self._size)
        yield from self._still_wrong()
        yield from self._notices()
        yield from self._half_written()
        for pattern in ("*.dcm", "*.part", "*.notice"):
            yield from self._told(Kind.QUARANTINED, self._root / "quarantine", pattern)

    def _check_shelf(self, shelf: str) -> Iterator[Problem]:
        kept = self._kept(shelf)
        here = self._here(shelf)
        for name, path in here.items():
            if not _NAME.fullmatch(name):
                yield self._problem(Kind.STRANGE, path)
                continue
            if name not in kept and not (self._root / "new" / name).exists():
                self._suspects.append((Kind.WITHOUT_ROW, name))
            problem = self._check_file(path, kept.get(name))
            if problem is not None:
                yield problem
        self._suspects += [(Kind.MISSING, name) for name in kept.keys() - here.keys()]

    def _here(self, shelf: str) -> Mapping[str, Path]:
        """Return the files of one shelf by name; a new entry has its second link in images."""
        found = {path.name: path for path in self._new.get(shelf, ())}
        folder = self._root / "images" / shelf
        images = sorted(folder.iterdir()) if folder.is_dir() else []
        return found | {p.name.removesuffix(".dcm"): p for p in images}

    def _check_file(self, path: Path, expected: str | None) -> Problem | None:
        try:
            found, promised = self._checksums(path)
        except FileNotFoundError:
            return None  # adopted or deleted meanwhile; if it should be here, that is told
        except BadInstance as error:
            return self._problem(Kind.UNREADABLE, path, str(error))
        except OSError as error:
            return self._problem(Kind.UNREADABLE, path, error.strerror or type(error).__name__)
        self._files += 1
        if found != promised:
            return self._problem(Kind.ROT, path, "its checksum differs from that in the file")
        if expected is not None and found != expected:
            return self._problem(Kind.ROT, path, "its checksum differs from that in the store")
        return None

    def _checksums(self, path: Path) -> tuple[str, str]:
        """Return the checksum of the data set as it is, and as the file's own head says."""
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            head = file.read(_HEAD)
            provenance, start = filemeta.decode(head)
            checksum = Checksum(like=provenance.checksum)
            checksum.update(head[start:])
            self._count(len(head))
            while chunk := file.read(_CHUNK):
                checksum.update(chunk)
                self._count(len(chunk))
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return checksum.text, provenance.checksum

    def _count(self, size: int) -> None:
        self._size += size
        self._pace.take(size)

    def _strange_folders(self) -> Iterator[Problem]:
        strange = [path for path in (self._root / "images").iterdir() if path.name not in _SHELVES]
        strange += [path for key in self._new.keys() - set(_SHELVES) for path in self._new[key]]
        for path in sorted(strange):
            yield self._problem(Kind.STRANGE, path)

    def _still_wrong(self) -> Iterator[Problem]:
        """Yield the suspects that stay so: rows and files are not written at one moment."""
        suspects = self._suspects
        for _ in range(_LOOKS):
            if not suspects:
                return
            self._pace.wait(_BETWEEN_LOOKS)
            kept = {shelf: self._kept(shelf) for shelf in {name[:2] for _, name in suspects}}
            suspects = [one for one in suspects if self._is_wrong(*one, kept[one[1][:2]])]
        for kind, name in suspects:
            yield self._problem(kind, self._image(name))

    def _is_wrong(self, kind: Kind, name: str, kept: Mapping[str, str]) -> bool:
        is_new = (self._root / "new" / name).exists()
        is_here = self._image(name).exists() or is_new
        if kind is Kind.MISSING:
            return name in kept and not is_here
        return is_here and not is_new and name not in kept

    def _notices(self) -> Iterator[Problem]:
        notices = Notices(self._root)
        for name in notices.names():
            path = self._root / "notices" / name
            try:
                notices.read(name)
            except BadInstance as error:
                if path.exists():  # else somebody has just read it
                    yield self._problem(Kind.NOTICE, path, str(error))
            except OSError as error:
                yield self._problem(Kind.NOTICE, path, error.strerror or type(error).__name__)

    def _half_written(self) -> Iterator[Problem]:
        for folder in (self._root / "tmp").iterdir():
            if folder.is_dir() and _is_abandoned(folder):
                for path in sorted(folder.iterdir()):
                    if _size_of(path):  # else it was made in advance
                        yield self._problem(Kind.HALF_WRITTEN, path)

    def _told(self, kind: Kind, folder: Path, pattern: str) -> Iterator[Problem]:
        for path in sorted(folder.glob(pattern)):
            yield self._problem(kind, path)

    def _image(self, name: str) -> Path:
        return self._root / "images" / name[:2] / f"{name}.dcm"

    def _problem(self, kind: Kind, path: Path, detail: str = "") -> Problem:
        return Problem(kind=kind, path=str(path.relative_to(self._root)), detail=detail)


def _size_of(path: Path) -> int:
    """Return the file's size; none if it was swept at this moment."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_abandoned(folder: Path) -> bool:
    """Return whether no process holds the folder's lock (see `scp.scratch`)."""
    held = lock_folder(folder)
    if held is None:
        return False
    os.close(held)
    return True
