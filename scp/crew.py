"""Several receiver processes on one listening socket.

The processes inherit the socket, and the kernel gives each connection to one that is free. One
that dies takes its own associations along and no others; it is replaced.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from appliance.core.log import Event, log_event
from appliance.core.ports import Role
from appliance.core.processes import die_with_parent

_STEADY = 10.0  # seconds after which one that ran counts as having been well
_PAUSE = 1.0  # seconds before one that died at once is replaced
_PATIENCE = 30.0  # seconds for all to end by themselves
_LOOK_AGAIN = 0.02


class Crew:
    """`count` processes that each call `serve` with an event that says when to stop."""

    def __init__(self, count: int, serve: Callable[[threading.Event], None]) -> None:
        self._serve = serve
        self._started: dict[int, float] = {}
        self._missing = [0.0] * count  # from when on each may be started

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the processes that run."""
        return tuple(self._started)

    def tend(self) -> None:
        """Replace who is gone; to be called every second or so."""
        now = time.monotonic()
        for process in tuple(self._started):
            gone, status = os.waitpid(process, os.WNOHANG)
            if gone:
                lived = now - self._started.pop(process)
                self._missing.append(now if lived > _STEADY else now + _PAUSE)
                code = os.waitstatus_to_exitcode(status)
                log_event(
                    Event.SERVICE_FAILED,
                    level=logging.ERROR,
                    role=Role.RECEIVE.value,
                    process=process,
                    status=code,
                )
        due = [when for when in self._missing if when <= now]
        self._missing = [when for when in self._missing if when > now]
        for _ in due:
            self._started[self._start()] = now

    def stop(self) -> None:
        """End all: by themselves, and after a while by force."""
        for process in self._started:
            os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        while self._started and time.monotonic() < deadline:
            for process in tuple(self._started):
                if os.waitpid(process, os.WNOHANG)[0]:
                    del self._started[process]
            time.sleep(_LOOK_AGAIN)
        for process in self._started:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        self._started.clear()

    def _start(self) -> int:
        """Fork; in the child, serve and end. No thread of ours runs in the parent."""
        parent = os.getpid()
        process = os.fork()
        if process:
            return process
        status = 1
        try:
            self._be_one(parent)
            status = 0
        finally:  # nothing of the parent's may run in the child, whatever comes
            if status:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)

    def _be_one(self, parent: int) -> None:
        gc.freeze()  # what is imported stays: no need to look through it again and again
        stop = threading.Event()

        def told(_number: int, _frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, told)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to the parent too
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            return
        with suppress(KeyboardInterrupt):
            self._serve(stop)
