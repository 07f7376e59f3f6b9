"""The process above the one that runs a pipeline: it lets nothing of it outlive it.

A process that leaves its session and whose parent ends would belong to nobody and stay. The
keeper is told of each (PR_SET_CHILD_SUBREAPER), and ends all of them when the pipeline's process
ends, when it is told to (SIGTERM), and when the worker is gone (the same signal).
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from appliance.core.processes import Process, adopt_orphans, die_with_parent, family

_HEARD = (signal.SIGTERM, signal.SIGCHLD)
_LONGEST = 10.0  # seconds; a process that waits for a device may not end at all
_PAUSE = 0.01


def divide(descriptor: int) -> int | None:
    """Return None in a new process; in this one, which keeps it, how the new one ended.

    As `os.waitstatus_to_exitcode` tells it. `descriptor` stays open in the new one alone. Call it
    while this process has one thread.
    """
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    adopt_orphans()
    die_with_parent(signal.SIGTERM)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        return None
    os.close(descriptor)
    return _keep(child, parent)


def _keep(child: int, parent: int) -> int:
    ended: dict[int, int] = {}
    # The parent may have ended before its end could be signalled.
    while child not in ended and os.getppid() == parent:
        if signal.sigwait(_HEARD) == signal.SIGTERM:
            break
        ended |= _reap()
    ended |= end_all()
    return ended.get(child, -signal.SIGKILL)


def end_all() -> dict[int, int]:
    """End everything that descends from this process; return how its children ended, by number.

    All are stopped before any is ended: what is stopped cannot start another one meanwhile.
    """
    ended: dict[int, int] = {}
    deadline = time.monotonic() + _LONGEST
    stopped: set[int] = set()
    while (alive := _others()) and time.monotonic() < deadline:
        fresh = [process.pid for process in alive if process.pid not in stopped]
        _signal(fresh, signal.SIGSTOP)
        stopped.update(fresh)
        if not fresh:
            _signal([process.pid for process in alive], signal.SIGKILL)
            time.sleep(_PAUSE)
        ended |= _reap()
    return ended | _reap()


def _others() -> Sequence[Process]:
    return [process for process in family(os.getpid())[1:] if not process.is_over]


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        # Gone meanwhile; or another user's, as in a container: it ends with its namespace.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _reap() -> dict[int, int]:
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def end_like(code: int) -> int:
    """End this process by the signal that `code` tells of, or return `code`."""
    if code < 0:
        number = signal.Signals(-code)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    return code
