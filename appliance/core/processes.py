"""What the kernel does for the processes of one program, and what it tells of them."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_NICENESS = 10  # of what is done ahead: the run that there is comes first

# Fields of /proc/PID/stat behind the command's closing bracket (proc(5): 3, 4, 14 to 17, 24).
_STATE, _PARENT, _TIMES, _RESIDENT = 0, 1, slice(11, 15), 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as /proc has it: bytes in memory, seconds of CPU with its children that ended."""

    pid: int
    parent: int
    is_over: bool  # it ended, and nobody has asked how yet
    is_runnable: bool  # it runs, or would if it were given a CPU
    resident: int
    cpu: float


def die_with_parent(number: signal.Signals) -> None:
    """Ask the kernel to send this process `number` when the thread that started it ends.

    It may have ended before this call: whoever calls has to look. Raises OSError.
    """
    _control(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of what descends from this process when its own parent ends.

    Raises OSError.
    """
    _control(_PR_SET_CHILD_SUBREAPER, 1)


def give_way() -> None:
    """Let this thread wait for others of this machine, from now on. Raises OSError."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _control(option: int, value: int) -> None:
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def family(pid: int) -> tuple[Process, ...]:
    """Return the process `pid` and all that descend from it, whatever session they moved to."""
    children: dict[int, list[Process]] = {}
    found: list[Process] = []
    for process in _processes():
        children.setdefault(process.parent, []).append(process)
        if process.pid == pid:
            found.append(process)
    for process in found:  # grows while it is gone through
        found += children.get(process.pid, ())
    return tuple(found)


def proportional(process: Process) -> int:
    """Return the bytes that `process` holds, pages that n processes share counted as 1/n.

    Takes milliseconds for each gigabyte, so it is not for every look.
    """
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # ended in between
    except PermissionError:
        return process.resident
    fields = dict(line.split(":") for line in lines[1:])
    return int(fields["Pss"].split()[0]) << 10


def _processes() -> Iterator[Process]:
    page, ticks = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended in between, or not ours to see
        fields = stat.rpartition(")")[2].split()
        yield Process(
            pid=int(folder.name),
            parent=int(fields[_PARENT]),
            is_over=fields[_STATE] in ("Z", "X"),
            is_runnable=fields[_STATE] == "R",
            resident=int(fields[_RESIDENT]) * page,
            cpu=sum(map(int, fields[_TIMES])) / ticks,
        )
