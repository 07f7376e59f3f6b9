"""`appliance run`: every role as a child process, started again when it dies.

The roles tell the supervisor that they are ready as they would tell systemd: by sd_notify to a
socket. Exit code 78 (bad settings) of one role ends all: starting again would not help. Once all
are ready it does not: the others work with settings that were good, and go on.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from appliance.core.backoff import Backoff
from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.ports import Role
from appliance.service import Stop, Watchdog, notify_manager

EXIT_CONFIG = 78
_SUPERVISOR = "APPLIANCE_SUPERVISOR_PID"
_RESTARTS = Backoff(
    first=timedelta(milliseconds=250), longest=timedelta(seconds=30), attempts=sys.maxsize
)
_STEADY = 10.0  # seconds after which a role that ran counts as having been well
_GRACE = 30.0  # seconds to stop in
_TICK = 0.2
_PR_SET_PDEATHSIG = 1


def die_with_supervisor() -> None:
    """In a role: ask the kernel to end this process when its supervisor dies."""
    supervisor = os.environ.pop(_SUPERVISOR, None)
    if supervisor is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(supervisor):  # it died before the line above
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass(slots=True)
class _Child:
    role: Role
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Keeps the roles running until told to stop; `run` returns the exit code."""

    command: Sequence[str]  # to which a role's name is appended before `arguments`
    arguments: Sequence[str]
    clock: Clock
    roles: Sequence[Role] = tuple(Role)
    _children: list[_Child] = field(default_factory=list)
    _ready: set[int] = field(default_factory=set)

    def run(self, stop: Stop) -> int:
        with (
            tempfile.TemporaryDirectory(prefix="appliance-") as folder,
            _notify_socket(Path(folder)) as (address, messages),
        ):
            environment = os.environ | {
                "NOTIFY_SOCKET": address,
                _SUPERVISOR: str(os.getpid()),
            }
            environment.pop("WATCHDOG_USEC", None)
            self._children = [_Child(role) for role in self.roles]
            code = self._watch(stop, messages, environment)
            self._stop_all()
        return code

    def _watch(self, stop: Stop, messages: socket.socket, environment: Mapping[str, str]) -> int:
        watchdog = Watchdog(self.clock, timedelta(minutes=1))
        watchdog.start()
        announced = False
        while True:
            watchdog.beat()
            if stop.requested.is_set():
                if not stop.reload:
                    return 0
                stop.reload = False
                stop.requested.clear()
                self._signal_all(signal.SIGHUP)
            for child in self._children:
                if self._tend(child, environment) == EXIT_CONFIG and not announced:
                    return EXIT_CONFIG
            self._hear(messages)
            if not announced and self._all_ready():
                announced = True
                notify_manager("READY=1")

    def _all_ready(self) -> bool:
        return all(c.process is not None and c.process.pid in self._ready for c in self._children)

    def _tend(self, child: _Child, environment: Mapping[str, str]) -> int | None:
        """Start the child if it is due; return its exit code if it has just ended."""
        now = self.clock.monotonic()
        if child.process is None:
            if now >= child.start_at:
                child.process = subprocess.Popen(
                    [*self.command, child.role.value, *self.arguments], env=environment
                )
                child.started = now
            return None
        code = child.process.poll()
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

    def _hear(self, messages: socket.socket) -> None:
        with contextlib.suppress(TimeoutError):
            data, ancillary, _, _ = messages.recvmsg(4096, socket.CMSG_SPACE(12))
            if b"READY=1" in data.split(b"\n"):
                for _, kind, credentials in ancillary:
                    if kind == socket.SCM_CREDENTIALS:
                        self._ready.add(int.from_bytes(credentials[:4], sys.byteorder))

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(number)

    def _stop_all(self) -> None:
        notify_manager("STOPPING=1")
        self._signal_all(signal.SIGTERM)
        deadline = self.clock.monotonic() + _GRACE
        for child in self._children:
            if child.process is None:
                continue
            try:
                child.process.wait(max(deadline - self.clock.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


@contextlib.contextmanager
def _notify_socket(folder: Path) -> Iterator[tuple[str, socket.socket]]:
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messages:
        messages.bind(address)
        # Who says READY is told by the kernel, not by the message.
        messages.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        messages.settimeout(_TICK)
        yield address, messages
