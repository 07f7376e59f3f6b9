"""`appliance run`: every role in a process of its own, started again when it dies.

The supervisor imports what the roles use, once, and each role is a fork of it: starting one costs
milliseconds, and the memory of the libraries is shared. So it has no threads, and nothing open
but the socket on which the roles tell that they are ready, as they would tell systemd (sd_notify).
A role's process is named after it (`ps -e`, `top`).

Exit code 78 (bad settings) of one role ends all: starting again would not help. Once all are
ready it does not: the others work with settings that were good, and go on.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.context import ForkProcess
from pathlib import Path

from appliance.core.backoff import Backoff
from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.ports import Role
from appliance.core.processes import die_with_parent
from appliance.service import Stop, notify_manager, watchdog_period

EXIT_CONFIG = 78
_RESTARTS = Backoff(
    first=timedelta(milliseconds=250), longest=timedelta(seconds=30), attempts=sys.maxsize
)
_STEADY = 10.0  # seconds after which a role that ran counts as having been well
_GRACE = 30.0  # seconds to stop in
_TICK = 0.2
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_NAME = 15


@dataclass(slots=True)
class _Child:
    role: Role
    process: ForkProcess | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0

    @property
    def pid(self) -> int | None:
        """The process's number while it runs; a process that ended is reaped here."""
        if self.process is None or self.process.exitcode is not None:
            return None
        return self.process.pid


@dataclass(slots=True)
class Supervisor:
    """Keeps the roles running until told to stop; `run` returns the exit code."""

    run_role: Callable[[Role], int]  # in the role's process: returns its exit code
    clock: Clock
    roles: Sequence[Role] = tuple(Role)
    _children: list[_Child] = field(default_factory=list)
    _ready: set[int] = field(default_factory=set)

    def run(self, stop: Stop) -> int:
        with (
            tempfile.TemporaryDirectory(prefix="appliance-") as folder,
            _notify_socket(Path(folder)) as messages,
        ):
            self._children = [_Child(role) for role in self.roles]
            code = self._watch(stop, messages)
            self._stop_all()
        return code

    def _watch(self, stop: Stop, messages: socket.socket) -> int:
        alive = _SignOfLife(self.clock)
        announced = False
        while True:
            alive.tell()
            if stop.requested.is_set():
                if not stop.reload:
                    return 0
                stop.reload = False
                stop.requested.clear()
                self._signal_all(signal.SIGHUP)
            for child in self._children:
                if self._tend(child, messages) == EXIT_CONFIG and not announced:
                    return EXIT_CONFIG
            self._hear(messages)
            if not announced and self._all_ready():
                announced = True
                notify_manager("READY=1")

    def _all_ready(self) -> bool:
        return all(c.process is not None and c.process.pid in self._ready for c in self._children)

    def _tend(self, child: _Child, messages: socket.socket) -> int | None:
        """Start the child if it is due; return its exit code if it has just ended."""
        now = self.clock.monotonic()
        if child.process is None:
            if now >= child.start_at:
                child.process = self._fork(child.role, messages)
                child.started = now
            return None
        code = child.process.exitcode
        if code is None:
            return None
        child.failures = 1 if now - child.started > _STEADY else child.failures + 1
        delay = _RESTARTS.delay_after(child.failures) or _RESTARTS.longest
        child.start_at = now + delay.total_seconds()
        child.process = None
        log_event(
            Event.SERVICE_FAILED, role=child.role.value, status=code, seconds=delay.total_seconds()
        )
        return code

    def _fork(self, role: Role, messages: socket.socket) -> ForkProcess:
        process = multiprocessing.get_context("fork").Process(
            target=_become, args=(role, self.run_role, messages, os.getpid())
        )
        # A signal that comes before the role has its own handlers must not meet ours in it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return process

    def _hear(self, messages: socket.socket) -> None:
        with contextlib.suppress(TimeoutError):
            data, ancillary, _, _ = messages.recvmsg(4096, socket.CMSG_SPACE(12))
            if b"READY=1" in data.split(b"\n"):
                for _, kind, credentials in ancillary:
                    if kind == socket.SCM_CREDENTIALS:
                        self._ready.add(int.from_bytes(credentials[:4], sys.byteorder))

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.pid is not None:
                os.kill(child.pid, number)

    def _stop_all(self) -> None:
        notify_manager("STOPPING=1")
        self._signal_all(signal.SIGTERM)
        deadline = self.clock.monotonic() + _GRACE
        # Not `join` with a timeout: a role that has executed itself anew is no longer seen there.
        while any(child.pid for child in self._children) and self.clock.monotonic() < deadline:
            time.sleep(_TICK / 10)
        self._signal_all(signal.SIGKILL)
        for child in self._children:
            if child.process is not None:
                child.process.join()


def _become(
    role: Role, run_role: Callable[[Role], int], messages: socket.socket, supervisor: int
) -> None:
    """Turn a fresh fork of the supervisor into the role's process, and end with its exit code."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != supervisor:  # it died before the line above
        sys.exit(1)
    ctypes.CDLL(None).prctl(_PR_SET_NAME, role.value.encode())
    os.environ["NOTIFY_SOCKET"] = messages.getsockname()
    os.environ.pop("WATCHDOG_USEC", None)
    messages.close()
    sys.exit(run_role(role))


class _SignOfLife:
    """Tells the service manager that the loop goes round, without a thread of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._period = watchdog_period()
        self._due = 0.0

    def tell(self) -> None:
        now = self._clock.monotonic()
        if self._period is not None and now >= self._due:
            self._due = now + self._period.total_seconds() / 3
            notify_manager("WATCHDOG=1")


@contextlib.contextmanager
def _notify_socket(folder: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messages:
        messages.bind(str(folder / "notify"))
        # Who says READY is told by the kernel, not by the message.
        messages.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        messages.settimeout(_TICK)
        yield messages
