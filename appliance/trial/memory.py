"""The most memory that this process and its children held, by phase, looked at while it works."""

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY = 0.05  # seconds between two looks
# Fields of /proc/PID/stat behind the command's closing bracket (man 5 proc: 4 and 24).
_PARENT, _RSS = 1, 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Resident bytes at their highest: of this process, and of all its descendants together."""

    here: int = 0
    children: int = 0


class PeakMemory:
    """Looks at /proc on a thread of its own; `enter` says which phase begins."""

    def __init__(self) -> None:
        self._phase = ""
        self._peaks: dict[str, Peak] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def enter(self, phase: str) -> None:
        """Begin a phase, or go on with it."""
        if phase != self._phase:
            self.look()
            self._phase = phase
            self.look()

    @property
    def peaks(self) -> Mapping[str, Peak]:
        """Return the peaks so far, by phase, in the order in which the phases began."""
        with self._lock:
            return dict(self._peaks)

    def look(self) -> None:
        """Look now."""
        me = os.getpid()
        sizes = family(me)
        here, children = sizes.pop(me, 0), sum(sizes.values())
        with self._lock:
            if self._phase:
                last = self._peaks.get(self._phase, Peak())
                self._peaks[self._phase] = Peak(
                    here=max(last.here, here), children=max(last.children, children)
                )

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self.look()


def family(process: int) -> dict[int, int]:
    """Return the resident bytes of a process and of everything that it started, by process id.

    Pages that several share count for each.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    found = {pid: (parent, rss * page) for pid, parent, rss in _processes()}
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in found.items():
        children.setdefault(parent, []).append(pid)
    waiting, sizes = [process], dict[int, int]()
    while waiting:
        pid = waiting.pop()
        if pid in found and pid not in sizes:
            sizes[pid] = found[pid][1]
            waiting += children.get(pid, [])
    return sizes


def _processes() -> Iterator[tuple[int, int, int]]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended in between, or not ours to see
        fields = stat.rpartition(")")[2].split()
        yield int(folder.name), int(fields[_PARENT]), int(fields[_RSS])
