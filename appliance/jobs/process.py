"""One child process with a loaded pipeline: started, watched, ended without leaving anything."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.core.crashpoints import VARIABLE
from appliance.core.processes import Process, family, proportional
from appliance.jobs.scratch import Room
from appliance.jobs.words import LastWords
from pipelines.sandbox.enclosure import Enclosure
from pipelines.volume import Volume
from pipelines.wire import Channel

_GRACE = 2.0  # seconds that a child told to go may take
_KEEPERS = 15.0  # seconds that its keeper may take to end what it left

# What a child may know of our surroundings. Not passwords, tokens, proxies or systemd's socket.
_PASSED = ("PATH", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", VARIABLE)
_PASSED_PREFIXES = ("LANG", "LC_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "NVIDIA_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a child and all that it started have taken: bytes resident, seconds of CPU."""

    resident: int
    cpu: float
    processes: int
    is_runnable: bool  # one of them waits for nothing but a CPU


class ChildProcess:
    """A running `pipelines.child` for one folder. The thread that makes it must outlive it."""

    def __init__(self, folder: Path, room: Room, *, enclosed: bool) -> None:
        """Start it; `room` is its own. Without `enclosed` it may do what this process may."""
        self.room = room
        enclosure = Enclosure(readable=(room.inputs,), writable=(room.work,))
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                self._process = subprocess.Popen(
                    [
                        # Without -P, what lies in the current folder could be read and imported.
                        *(sys.executable, "-P", "-m", "pipelines.child"),
                        str(theirs.fileno()),
                        str(folder),
                        enclosure.as_text() if enclosed else "",
                    ],
                    pass_fds=[theirs.fileno()],
                    env={**surroundings(os.environ), **room.environment()},
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
    def last_words(self) -> str:
        """Return the last lines that it wrote to standard error."""
        return self._words.text()

    def begin(self, volumes: Iterable[Volume]) -> None:
        """A run begins: blank out what these volumes say of the patient in what it writes."""
        self._words.begin(volumes)

    def expect(self, volumes: Iterable[Volume]) -> None:
        """A run on these volumes is prepared beside another: blank out their patient too."""
        self._words.expect(volumes)

    def is_alive(self) -> bool:
        """Return whether the child still runs."""
        return not self._poll(0.0)[1] and not self.channel.is_hung_up()

    def wait(self, seconds: float) -> tuple[bool, bool]:
        """Return, after at most `seconds`, whether there is a message, and whether it ended."""
        return self._poll(seconds)

    def _poll(self, seconds: float) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self.channel.fileno(), select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        return self.channel.fileno() in ready, self._pidfd in ready

    def usage(self) -> Usage:
        """Return what the child and everything that it started have taken.

        Pages that they share count for each of them; see `proportional_bytes`. Not RLIMIT_AS:
        CUDA reserves far more addresses than it uses.
        """
        found = self._family()
        return Usage(
            resident=sum(process.resident for process in found),
            cpu=sum(process.cpu for process in found),
            processes=max(len(found) - 1, 0),  # without its keeper
            is_runnable=any(process.is_runnable for process in found),
        )

    def proportional_bytes(self) -> int:
        """Return the memory of all of them, what they share counted once."""
        return sum(map(proportional, self._family()))

    def _family(self) -> Sequence[Process]:
        return [process for process in family(self._process.pid) if not process.is_over]

    def end(self, *, gently: bool = False) -> str:
        """End the child with all that it started and return in words how the child ended.

        Gently: it may finish by itself when it sees that the channel is closed.
        """
        self.channel.close()
        if not (gently and self._has_ended(_GRACE)):
            self._process.send_signal(signal.SIGTERM)  # to the keeper, which ends the others
            if not self._has_ended(_KEEPERS):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        os.close(self._pidfd)
        self._words.finish()
        self.room.remove()
        return _in_words(code)

    def _has_ended(self, seconds: float) -> bool:
        return bool(select.select([self._pidfd], [], [], seconds)[0])


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of `environment` a child may know."""
    return {
        name: value
        for name, value in environment.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }


def _in_words(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
