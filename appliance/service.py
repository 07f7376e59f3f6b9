"""The loop of every role: step, wait to be woken, stop on a signal, tell systemd.

A role's `step` does all the work that is there and returns how long nothing is due. The loop
waits that long, at most a second (the net under a lost wake-up), or until it is woken.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.ports import Role

LONGEST_WAIT = timedelta(seconds=1)
_FAILURES_IN_A_ROW = 10
_AFTER_FAILURE = timedelta(seconds=2)
_LONGEST_START = timedelta(hours=1)  # what takes longer hangs
_PATIENCE_USEC = 120_000_000
_MANAGER_LISTENS = 5.0  # seconds in which the service manager takes a message


@dataclass(slots=True)
class Stop:
    """Set by SIGTERM or SIGINT (stop) and SIGHUP (stop, then start again with new settings)."""

    requested: threading.Event = field(default_factory=threading.Event)
    reload: bool = False
    on_stop: Callable[[], None] = lambda: None  # called in the signal handler, not for a reload
    wake: Callable[[], None] = lambda: None  # called in the signal handler: ends the loop's wait

    def listen(self) -> None:
        """Take over this process's signals; to be called in the main thread."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = False
        self.requested.set()
        self.on_stop()
        self.wake()

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """End the role, to start it again with what lies on disk by then, if that is good."""
        if not self.requested.is_set():
            self.reload = True
            self.requested.set()
            self.wake()


class SocketWakeup:
    """Wakes roles by datagrams to sockets in the run folder; never waits, never fails."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder

    def wake(self, role: Role) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0)
            # Not there, not listening or full: its poll finds the work a second later.
            with contextlib.suppress(OSError), _short_path(self._folder, role) as path:
                sender.sendto(b"!", path)


class WakeupListener:
    """The receiving end of a role's wake-ups."""

    def __init__(self, run_folder: Path, role: Role) -> None:
        run_folder.mkdir(parents=True, exist_ok=True)
        (run_folder / f"{role.value}.wake").unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with _short_path(run_folder, role) as path:
            self._socket.bind(path)

    def wait(self, timeout: timedelta) -> None:
        """Return when woken or after `timeout`; several wake-ups at once count as one."""
        self._socket.settimeout(max(timeout.total_seconds(), 0.001))
        with contextlib.suppress(TimeoutError, InterruptedError):
            self._socket.recv(16)
            self._socket.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._socket.recv(16)

    def close(self) -> None:
        self._socket.close()


def is_listening(run_folder: Path, role: Role) -> bool:
    """Return whether a process of this role is there to be woken."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        try:
            with _short_path(run_folder, role) as path:
                caller.connect(path)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _short_path(folder: Path, role: Role) -> Iterator[str]:
    """Yield a path to the role's socket that fits into the 108 bytes of sun_path."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{role.value}.wake"
    finally:
        os.close(descriptor)


def notify_manager(*lines: str) -> None:
    """Tell the service manager, if there is one (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.settimeout(_MANAGER_LISTENS)  # one that reads no more must not hold us
        manager.sendto("\n".join(lines).encode(), address)


def watchdog_period() -> timedelta | None:
    """Return how often systemd wants a sign of life from this process, or None."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    meant_for = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdigit() or meant_for != str(os.getpid()):
        return None
    return timedelta(microseconds=int(microseconds))


class Watchdog:
    """Gives signs of life while no step takes longer than its limit."""

    def __init__(self, clock: Clock, longest_step: timedelta, *signs: str) -> None:
        self._clock = clock
        self._signs = ("WATCHDOG=1", *signs)
        self._limit = longest_step.total_seconds()
        self._last = clock.monotonic()
        self._ended = threading.Event()

    def beat(self) -> None:
        """Say that the loop has just gone round."""
        self._last = self._clock.monotonic()

    def start(self) -> None:
        period = watchdog_period()
        if period is not None:
            threading.Thread(target=self._run, args=(period / 3,), daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self, pause: timedelta) -> None:
        while not self._ended.wait(pause.total_seconds()):
            if self._clock.monotonic() - self._last <= self._limit:
                notify_manager(*self._signs)


@contextlib.contextmanager
def getting_ready(clock: Clock) -> Iterator[None]:
    """Ask the service manager for patience: a store or a spool can have much to catch up on."""
    watchdog = Watchdog(clock, _LONGEST_START, f"EXTEND_TIMEOUT_USEC={_PATIENCE_USEC}")
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A role made ready: what it does in a step, and what it lets go at the end."""

    role: Role
    step: Callable[[], timedelta]
    close: Callable[[], None] = lambda: None
    longest_step: timedelta = timedelta(minutes=5)


def run_service(service: Service, listener: WakeupListener, stop: Stop, clock: Clock) -> bool:
    """Run until told to stop. Return whether it ended well.

    One failing step does not end the role: it is logged and tried again. Ten in a row do, so that
    the service manager sees it and starts afresh.
    """
    watchdog = Watchdog(clock, service.longest_step)
    watchdog.start()
    log_event(Event.SERVICE_STARTED, role=service.role.value, process=os.getpid())
    notify_manager("READY=1")
    failures = 0
    while not stop.requested.is_set() and failures < _FAILURES_IN_A_ROW:
        watchdog.beat()
        try:
            wait = service.step()
            failures = 0
        except Exception:
            failures += 1
            wait = _AFTER_FAILURE
            logging.getLogger("appliance").exception(
                Event.SERVICE_FAILED.value, extra={"fields": {"role": service.role.value}}
            )
        if not stop.requested.is_set():
            listener.wait(min(wait, LONGEST_WAIT))
    _say_end(stop, clock)
    watchdog.stop()
    log_event(Event.SERVICE_STOPPED, role=service.role.value, process=os.getpid())
    return failures < _FAILURES_IN_A_ROW


def _say_end(stop: Stop, clock: Clock) -> None:
    """Tell the service manager that the role ends, or that READY=1 will come again.

    After STOPPING=1 systemd takes the service for stopped and kills it when its time is over,
    also if it says READY=1 once more.
    """
    if stop.reload:
        notify_manager("RELOADING=1", f"MONOTONIC_USEC={int(clock.monotonic() * 1_000_000)}")
    else:
        notify_manager("STOPPING=1")
