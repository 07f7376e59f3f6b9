"""One outside program: started, listened to, ended with everything that it started.

What it leaves behind in sessions of its own comes back to the child that runs it, which adopts
orphans, and is ended here; and by the child's keeper where the child itself is ended.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from appliance.core.errors import PermanentPipelineError, TransientPipelineError
from pipelines.keeper import end_all

_LOOK = 0.25  # seconds between two looks at the folders
_PIECE = 1 << 16
_PASSED_ON = 1 << 16  # bytes of what it prints that are passed on: more than the log takes
_LAST_LINES = 5
_MAX_LINE = 400  # bytes of a line that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended. `code` is below zero where a signal ended it."""

    code: int
    last_words: str

    @property
    def in_words(self) -> str:
        """Return how it ended."""
        if self.code < 0:
            return f"was ended by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    clean: Callable[[str], str],
    watch: Callable[[], None],
) -> Ended:
    """Run the program in `folder` until it ends; then end what it left running.

    What it prints goes through `clean`: the beginning to standard error, the end into
    `last_words`. `watch` is called several times a second; what it raises ends the program.
    Raises PermanentPipelineError where it cannot be started.
    """
    try:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PermanentPipelineError(f"{arguments[0]} cannot be started: {reason}") from None
    words = _Words(clean)
    assert process.stdout is not None  # noqa: S101, asked for above
    try:
        with process.stdout as pipe:
            _listen(process.pid, pipe, words, watch)
    finally:
        code = _end(process)
    return Ended(code=code, last_words=words.last())


def _listen(pid: int, pipe: IO[bytes], words: "_Words", watch: Callable[[], None]) -> None:
    """Read what the program prints until it ends, not until nobody holds the pipe."""
    os.set_blocking(pipe.fileno(), False)
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        poll.register(ended, select.POLLIN)
        looked = time.monotonic()
        while True:
            ready = dict(poll.poll(_LOOK * 1000))
            if pipe.fileno() in ready and not words.take_from(pipe):
                poll.unregister(pipe)
            if ended in ready:
                words.take_from(pipe)  # once: a daemon may print without end
                return
            if time.monotonic() - looked >= _LOOK:
                looked = time.monotonic()
                watch()
    finally:
        os.close(ended)


def _end(process: subprocess.Popen[bytes]) -> int:
    """End the program and all that came of it; return its exit code."""
    codes = end_all()
    if process.pid not in codes:
        raise TransientPipelineError("its process cannot be ended")
    process.returncode = codes[process.pid]
    return process.returncode


class _Words:
    """What a program prints: the beginning passed on, the last lines kept."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._room = _PASSED_ON
        self._lines: deque[bytes] = deque(maxlen=_LAST_LINES)
        self._line = b""

    def take_from(self, pipe: IO[bytes]) -> bool:
        """Take what is there, a bounded piece; return whether more can come."""
        try:
            piece = os.read(pipe.fileno(), _PIECE)
        except BlockingIOError:
            return True
        *whole, rest = piece.split(b"\n")
        if whole:
            whole[0] = self._line + whole[0]
            self._line = b""
        for line in whole if self._room > 0 else whole[-_LAST_LINES:]:
            self._end_line(line)
        self._line = (self._line + rest)[:_MAX_LINE]
        return bool(piece)

    def last(self) -> str:
        """Return the last lines as one."""
        self._end_line(self._line)
        self._line = b""
        return " | ".join(self._text(line) for line in self._lines)

    def _end_line(self, line: bytes) -> None:
        line = line[:_MAX_LINE].strip()
        if not line:
            return
        self._lines.append(line)
        if self._room > 0:
            self._room -= len(line)
            print(self._text(line), file=sys.stderr, flush=True)

    def _text(self, line: bytes) -> str:
        text = line.decode(errors="replace")
        return self._clean("".join(c if c.isprintable() else " " for c in text))
