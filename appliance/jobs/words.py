"""What a child writes to standard error: passed on, within bounds, without who the patient is."""

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from typing import IO

from pipelines.personal import personal_values, without
from pipelines.volume import Volume

_LOGGER = logging.getLogger("pipelines.child")
_LAST_LINES = 5
_MAX_LINE = 400  # characters that are kept of a line
_BLOCK = 1 << 16  # bytes
_MOST_LINES = 500  # lines of one run that go on to the log
_GRACE = 2.0  # seconds


class LastWords(threading.Thread):
    """Passes a child's standard error on to the log and remembers the last lines.

    It always reads, so that the child never waits, and keeps little, so that a child which
    writes without end costs time alone.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(name="child-stderr", daemon=True)
        self._pipe = pipe
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._secrets: frozenset[str] = frozenset()
        self._latest: frozenset[str] = frozenset()
        self._left = _MOST_LINES

    def begin(self, volumes: Iterable[Volume]) -> None:
        """A run begins, on these volumes: blank out what they say of the patient."""
        values = personal_values(volumes)
        # Words of the run before may still be on their way.
        self._secrets, self._latest = self._latest | values, values
        self._left = _MOST_LINES

    def expect(self, volumes: Iterable[Volume]) -> None:
        """A run on these volumes comes next: blank out already what they say of the patient."""
        values = personal_values(volumes)
        self._secrets, self._latest = self._secrets | values, self._latest | values

    def run(self) -> None:
        """Read until nobody holds the other end."""
        rest = b""
        while block := os.read(self._pipe.fileno(), _BLOCK):
            *lines, rest = self._parted(rest + block)
            if len(rest) > _BLOCK:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._take(line)
        self._take(rest)

    def _parted(self, text: bytes) -> list[bytes]:
        """Return the lines of `text`, or the last ones where no more go on to the log."""
        if self._left:
            return text.split(b"\n")
        return text.rsplit(b"\n", _LAST_LINES + 1)[-_LAST_LINES - 1 :]

    def _take(self, raw: bytes) -> None:
        line = without(self._secrets, raw.decode(errors="replace").rstrip())[:_MAX_LINE]
        if not line:
            return
        self._lines.append(line)
        if self._left:
            self._left -= 1
            _LOGGER.warning("%s", line)
            if not self._left:
                _LOGGER.warning("the rest of what this run writes is not logged")

    def text(self) -> str:
        """Return the last lines as one."""
        return " | ".join(tuple(self._lines))

    def finish(self) -> None:
        """Read what is left and close the pipe; a stray grandchild may hold it a little longer."""
        self.join(_GRACE)
        if not self.is_alive():
            self._pipe.close()
