"""One child process with a loaded pipeline: started, watched, ended without leaving anything."""

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from appliance.jobs.memory import resident_bytes
from pipelines.volume import Volume
from pipelines.wire import Channel

_LOGGER = logging.getLogger("pipelines.child")
_LAST_LINES = 5
_MAX_LINE = 400  # bytes
_GRACE = 2.0  # seconds that a child told to go may take

# Attributes whose values never stand in a log or an error, whatever a pipeline prints.
_PERSONAL = (
    "Patient", "OtherPatient", "IssuerOfPatient", "AccessionNumber", "ReferringPhysician",
    "PerformingPhysician", "PhysiciansOfRecord", "OperatorsName", "RequestingPhysician",
    "InstitutionName", "InstitutionAddress", "ResponsiblePerson",
)  # fmt: skip
_SHORTEST_PERSONAL = 3  # "M" or "42" would blank out half of every line


class ChildProcess:
    """A running `pipelines.child` for one folder. The thread that makes it must outlive it."""

    def __init__(self, folder: Path) -> None:
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "pipelines.child", str(theirs.fileno()), str(folder)],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            undo.pop_all()
        self.channel = Channel(ours)
        # Tells of the end without reaping: until `end` reaps it, the group's number is ours.
        self._pidfd = os.pidfd_open(self._process.pid)
        assert self._process.stderr is not None  # noqa: S101, asked for above
        self._words = LastWords(self._process.stderr)
        self._words.start()

    @property
    def pid(self) -> int:
        """Return the child's process id, which is its group's too."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """Return the last lines that it wrote to standard error."""
        return self._words.text()

    def keep_quiet_about(self, volumes: Iterable[Volume]) -> None:
        """Blank out what these volumes say of the patient in everything that the child writes."""
        self._words.secrets = personal_values(volumes)

    def is_alive(self) -> bool:
        """Return whether the child still runs."""
        return not self._poll(0.0)[1]

    def wait(self, seconds: float) -> tuple[bool, bool]:
        """Return, after at most `seconds`, whether there is a message, and whether it ended."""
        return self._poll(seconds)

    def _poll(self, seconds: float) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        return self.channel.fileno() in ready, self._pidfd in ready

    def resident_bytes(self) -> int:
        """Return what the child and everything that it started hold in memory."""
        return resident_bytes(self._process.pid)

    def end(self, *, gently: bool = False) -> str:
        """End the child's whole group and return in words how the child ended.

        Gently: it may finish by itself when it sees that the channel is closed.
        """
        self.channel.close()
        if gently:
            select.select([self._pidfd], [], [], _GRACE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        os.close(self._pidfd)
        self._words.finish()
        return _in_words(code)


def _in_words(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


class LastWords(threading.Thread):
    """Passes a child's standard error on to the log and remembers the last lines."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(name="child-stderr", daemon=True)
        self._pipe = pipe
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.secrets: frozenset[str] = frozenset()

    def run(self) -> None:
        """Read lines until nobody holds the other end."""
        while raw := self._pipe.readline(_MAX_LINE):
            line = without(self.secrets, raw.decode(errors="replace").rstrip())
            if line:
                self._lines.append(line)
                _LOGGER.warning("%s", line)

    def text(self) -> str:
        """Return the last lines as one."""
        return " | ".join(tuple(self._lines))

    def finish(self) -> None:
        """Read what is left and close the pipe; a stray grandchild may hold it a little longer."""
        self.join(_GRACE)
        if not self.is_alive():
            self._pipe.close()


def personal_values(volumes: Iterable[Volume]) -> frozenset[str]:
    """Return the texts in the volumes' attributes that tell who somebody is."""
    texts = {
        value
        for volume in volumes
        for keyword, values in volume.attributes.items()
        if keyword.startswith(_PERSONAL)
        for value in values
        if isinstance(value, str)
    }
    parts = {part for text in texts for part in (text, *text.replace("=", "^").split("^"))}
    return frozenset(part for part in parts if len(part) >= _SHORTEST_PERSONAL)


def without(secrets: frozenset[str], text: str) -> str:
    """Return `text` with each of `secrets` blanked out, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
