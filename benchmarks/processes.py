"""What processes cost, from /proc: a process with everything that it started."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY = 0.05  # seconds


def tree(pid: int) -> list[int]:
    """Return the process and its descendants that are there now."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            continue  # it ended just now
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of the tree, with those of its children that ended."""
    return sum(_cpu_ticks(one) for one in tree(pid)) / _TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, words[11:15]))  # utime, stime, cutime, cstime


def peak_mb(pid: int) -> float:
    """Return the largest resident memory of each process of the tree, added up.

    That is an upper bound: pages that processes share count once for each of them.
    """
    return sum(map(_high_water_mark, tree(pid))) / 1000


def _high_water_mark(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(s.split()[1]) for s in status.splitlines() if s.startswith("VmHWM")), 0)


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """Yield a list whose one number becomes the largest `peak_mb` that was seen."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY):
            peak[0] = max(peak[0], peak_mb(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak[0] = max(peak[0], peak_mb(pid))
