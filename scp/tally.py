"""Counters per caller: what it sent, what was refused and why. For `status`, not for billing.

    <folder>/<process>.json   what one process counted, replaced whole, at most once a second
    <folder>/<process>.lock   held by flock while that process lives
    <folder>/total.json       the sum of processes that are gone
    <folder>/sum.lock         held by who sums or reads

At its start a process adds what processes that are gone left behind to the total. The total names
whom it has summed, so that a crash between writing it and removing them counts nothing twice.
Lost is at most what a killed process counted after its last `flush`.
"""

import fcntl
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from appliance.core.clock import Clock

ACCEPTED = "associated"  # beside the outcomes of instances and the reasons of rejections
ABORTED = "associations aborted"
REFUSED_MESSAGES = "messages refused"  # of services other than storage
UNNAMED = "(unnamed)"  # who calls and is refused before his AE title is known
OTHERS = "(others)"  # whom callers are summed under once there are too many of them

_MOST_KNOWN = 256  # callers whose AE title the settings name, each with an address of its own
_MOST_STRANGERS = 64
_TITLE_LENGTH = 16  # AE, PS3.5 table 6.2-1
_BETWEEN_WRITES = 1.0  # seconds
_TOTAL = "total.json"
_NEVER = datetime.min.replace(tzinfo=UTC)

Caller = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTally:
    """What one caller did. `counts` is by what was counted; `size` is in bytes."""

    calling_ae_title: str
    peer_address: str
    counts: Mapping[str, int]
    size: int
    last_seen: datetime


@dataclass(slots=True)
class _Line:
    counts: Counter[str] = field(default_factory=Counter)
    size: int = 0
    last_seen: datetime = _NEVER

    def add(self, other: "PeerTally") -> None:
        self.counts.update(other.counts)
        self.size += other.size
        self.last_seen = max(self.last_seen, other.last_seen)


class Tally:
    """The counters of this process; safe in its threads. To be made after a fork, not before.

    `known` are the AE titles that the settings name: strangers cannot crowd them out. Raises
    OSError where the folder cannot be made.
    """

    def __init__(self, folder: Path, clock: Clock, known: Sequence[str] = ()) -> None:
        self._clock = clock
        self._known = frozenset(known)
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._lines: dict[Caller, _Line] = {}
        self._changed = False
        self._written_at = clock.monotonic() - _BETWEEN_WRITES
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        name = f"{os.getpid()}-{token_hex(8)}"
        self._path = folder / f"{name}.json"
        with _alone(folder, fcntl.LOCK_EX):
            with suppress(OSError):  # a full disk: the next start sums up, nothing is lost
                _sum_up(folder, self._known)
            self._lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o640)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def count(self, calling_ae_title: str, peer_address: str, what: str, size: int = 0) -> None:
        """Count one `what` of the caller, and `size` bytes. Takes some microseconds."""
        now = self._clock.now()
        with self._guard:
            line = self._lines.get((calling_ae_title, peer_address))
            if line is None:
                line = _line(self._lines, (calling_ae_title, peer_address), self._known)
            line.counts[what] += 1
            line.size += size
            line.last_seen = now
            self._changed = True

    def flush(self) -> None:
        """Write what was counted, unless that was done less than a second ago.

        To be called every second or so. Where the disk refuses, a later call writes it.
        """
        if self._clock.monotonic() - self._written_at >= _BETWEEN_WRITES:
            self._write()

    def close(self) -> None:
        """Write what was counted; the process ends."""
        self._write()
        os.close(self._lock)

    def _write(self) -> None:
        with self._writing:
            with self._guard:
                if not self._changed:
                    return
                text = _as_json(self._lines, ())
                self._changed = False
                self._written_at = self._clock.monotonic()
            try:
                _replace(self._path, text)
            except OSError:  # a full disk; what waits for the counters is no image
                self._changed = True


def read_tallies(folder: Path) -> tuple[PeerTally, ...]:
    """Return what every caller did since counting began, over all processes, by AE title."""
    lines: dict[Caller, _Line] = {}
    if not folder.is_dir():
        return ()
    with _alone(folder, fcntl.LOCK_SH):
        total, included = _read(folder / _TOTAL)
        found = [*total]
        for path in folder.glob("*-*.json"):
            if path.stem not in included:
                found += _read(path)[0]
    for tally in found:
        lines.setdefault((tally.calling_ae_title, tally.peer_address), _Line()).add(tally)
    return tuple(_tallies(lines))


def _line(lines: dict[Caller, _Line], caller: Caller, known: frozenset[str]) -> _Line:
    """Return the caller's line; that of the others where there are too many."""
    title, address = caller
    title = "".join(c if c.isprintable() else "?" for c in title[:_TITLE_LENGTH])
    is_known = title in known
    alike = sum((other in known) == is_known for other, _ in lines)
    if (title, address) not in lines and alike >= (_MOST_KNOWN if is_known else _MOST_STRANGERS):
        title, address = title if is_known else OTHERS, OTHERS
    return lines.setdefault((title, address), _Line())


def _sum_up(folder: Path, known: frozenset[str]) -> None:
    """Add what processes that are gone left behind to the total; the folder is ours alone."""
    with _gone(folder) as gone:
        if not gone:
            return
        total, included = _read(folder / _TOTAL)
        lines: dict[Caller, _Line] = {}
        for tally in (
            *total,
            *(t for n in gone - included for t in _read(folder / f"{n}.json")[0]),
        ):
            _line(lines, (tally.calling_ae_title, tally.peer_address), known).add(tally)
        _replace(folder / _TOTAL, _as_json(lines, sorted(gone)), durable=True)
        for name in gone:
            for suffix in (".tmp", ".json", ".lock"):
                (folder / f"{name}{suffix}").unlink(missing_ok=True)


@contextmanager
def _gone(folder: Path) -> Iterator[frozenset[str]]:
    """Yield the names of processes that are gone: those whose lock can be had."""
    held: dict[str, int] = {}
    try:
        for path in folder.glob("*-*.lock"):
            descriptor = os.open(path, os.O_RDWR)
            held[path.stem] = descriptor
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                continue
            os.close(held.pop(path.stem))
        yield frozenset(held)
    finally:
        for descriptor in held.values():
            os.close(descriptor)


@contextmanager
def _alone(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder / "sum.lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str, *, durable: bool = False) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


def _as_json(lines: Mapping[Caller, _Line], summed: Sequence[str]) -> str:
    peers = [
        (t.calling_ae_title, t.peer_address, t.counts, t.size, t.last_seen.isoformat())
        for t in _tallies(lines)
    ]
    return json.dumps({"peers": peers, "summed": summed})


def _read(path: Path) -> tuple[tuple[PeerTally, ...], frozenset[str]]:
    """Return what a file says, and whom it sums; nothing where it is not there or damaged."""
    try:
        said = json.loads(path.read_bytes())
        tallies = tuple(
            PeerTally(
                calling_ae_title=title,
                peer_address=address,
                counts=counts,
                size=size,
                last_seen=datetime.fromisoformat(last_seen),
            )
            for title, address, counts, size, last_seen in said["peers"]
        )
        return tallies, frozenset(said["summed"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return (), frozenset()  # a power cut may leave an empty file


def _tallies(lines: Mapping[Caller, _Line]) -> Iterator[PeerTally]:
    for (title, address), line in sorted(lines.items()):
        yield PeerTally(
            calling_ae_title=title,
            peer_address=address,
            counts=dict(line.counts),
            size=line.size,
            last_seen=line.last_seen,
        )
