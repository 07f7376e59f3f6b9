"""A multipart body taken in pieces, within bounds. RFC 2046 section 5.1, RFC 2387.

Nothing of a part's body is held longer than it takes to see that no delimiter begins in it.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Protocol

LONGEST_BOUNDARY = 200  # RFC 2046 has 70; Orthanc 1.10 writes 73
_LONGEST_PREAMBLE = 65_536
_LONGEST_HEADERS = 16_384  # of one part
_MOST_HEADERS = 64
_LONGEST_PADDING = 256  # white space after a boundary


class MalformedBody(Exception):
    """The body is no multipart body that we take."""


class Part(Protocol):
    """Where the body of one part goes."""

    def write(self, piece: bytes) -> None:
        """Take a piece."""

    def end(self) -> None:
        """Know that it was the last."""


class _State(Enum):
    PREAMBLE = auto()
    DELIMITER = auto()
    HEADERS = auto()
    BODY = auto()
    EPILOGUE = auto()


class MultipartReader:
    """Reads one body; `begin` is told the headers (names in lower case) of each part."""

    def __init__(
        self, boundary: str, begin: Callable[[Mapping[str, str]], Part], *, most_parts: int
    ) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._begin = begin
        self._parts_left = most_parts
        self._buffer = bytearray(b"\r\n")  # the first delimiter may stand at the very beginning
        self._state = _State.PREAMBLE
        self._skipped = 0
        self._part: Part | None = None

    def feed(self, data: bytes) -> None:
        """Take a piece of the body. Raises MalformedBody."""
        if self._is_over():
            return
        self._buffer += data
        steps = {
            _State.PREAMBLE: self._read_preamble,
            _State.DELIMITER: self._read_delimiter,
            _State.HEADERS: self._read_headers,
            _State.BODY: self._read_body,
        }
        while not self._is_over() and steps[self._state]():
            pass

    def _is_over(self) -> bool:
        return self._state is _State.EPILOGUE

    def end(self) -> None:
        """Know that the body has ended. Raises MalformedBody where that is too early."""
        if not self._is_over():
            raise MalformedBody("the body ends before its last boundary")

    def _read_preamble(self) -> bool:
        before = self._before_delimiter()
        self._skipped += before
        if self._skipped > _LONGEST_PREAMBLE:
            raise MalformedBody("no boundary where the first part should begin")
        del self._buffer[:before]
        return self._pass_delimiter()

    def _read_delimiter(self) -> bool:
        if self._buffer.startswith(b"--"):
            self._state = _State.EPILOGUE
            self._buffer.clear()
            return False
        end = self._buffer.find(b"\r\n", 0, _LONGEST_PADDING)
        if end < 0:
            if len(self._buffer) >= _LONGEST_PADDING:
                raise MalformedBody("a boundary is followed by something else")
            return False
        if self._buffer[:end].strip(b" \t"):
            raise MalformedBody("a boundary is followed by something else")
        del self._buffer[:end]  # the line's end stays: headers end with an empty line
        self._state = _State.HEADERS
        return True

    def _read_headers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, _LONGEST_HEADERS)
        if end < 0:
            if len(self._buffer) >= _LONGEST_HEADERS:
                raise MalformedBody(f"a part has more than {_LONGEST_HEADERS} bytes of headers")
            return False
        headers = _headers(bytes(self._buffer[:end]))
        if self._parts_left == 0:
            raise MalformedBody("too many parts")
        self._parts_left -= 1
        del self._buffer[: end + 2]  # an empty body's delimiter begins with the last line's end
        self._part = self._begin(headers)
        self._state = _State.BODY
        self._skipped = 0
        return True

    def _read_body(self) -> bool:
        first = 2 if self._skipped == 0 else 0  # the line's end before the body
        before = self._before_delimiter()
        if before > first and self._part is not None:
            self._part.write(bytes(memoryview(self._buffer)[first:before]))
        if before:
            self._skipped = 1
            del self._buffer[:before]
        if self._pass_delimiter():
            if self._part is not None:
                self._part.end()
            self._part = None
            return True
        return False

    def _before_delimiter(self) -> int:
        """Return how many bytes of the buffer stand before a delimiter, or can belong to none."""
        found = self._buffer.find(self._delimiter)
        if found >= 0:
            return found
        tail = len(self._buffer) - len(self._delimiter) + 1
        at = self._buffer.find(b"\r", max(tail, 0))
        return len(self._buffer) if at < 0 else at

    def _pass_delimiter(self) -> bool:
        if not self._buffer.startswith(self._delimiter):
            return False
        del self._buffer[: len(self._delimiter)]
        self._state = _State.DELIMITER
        return True


def _headers(block: bytes) -> Mapping[str, str]:
    lines = block.split(b"\r\n")[1:]  # the block begins with a line's end
    if len(lines) > _MOST_HEADERS:
        raise MalformedBody(f"a part has more than {_MOST_HEADERS} headers")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or name != name.strip() or not name:
            raise MalformedBody("a part has a line that is no header")
        found.setdefault(name.lower(), value.strip())
    return found
