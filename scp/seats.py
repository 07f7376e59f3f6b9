"""How many associations there are in all receiver processes together, and from where.

    <file>    one row for each seat: the address of who sits there

A seat is taken by a lock on its first byte (F_OFD_SETLK, fcntl(2)), which is the kernel's: it ends
with the process that holds it, however that ends, and what the row says counts no more.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROW = 64  # bytes; an IPv6 address as text has 45 at most
_FLOCK = struct.Struct("@hhqqi")  # type, whence, start, length, pid
_TYPE = struct.Struct("@h")


class Seats:
    """`count` seats in the file at `path`, to be opened after a fork. Safe in several threads.

    Raises OSError where the file cannot be made.
    """

    def __init__(self, path: Path, count: int) -> None:
        self._count = count
        self._guard = threading.Lock()
        self._ours: dict[int, str] = {}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def take(self, address: str, most_of_one: int) -> int | None:
        """Return a seat; None where all are taken. Raises OverflowError above `most_of_one`."""
        with self._guard, self._alone():
            taken = {seat: self._who(seat) for seat in range(self._count) if self._is_taken(seat)}
            if len(taken) >= self._count:
                return None
            if sum(who == address for who in taken.values()) >= most_of_one:
                raise OverflowError("too many from one address")
            seat = next(seat for seat in range(self._count) if seat not in taken)
            self._lock(seat, fcntl.F_WRLCK)
            os.pwrite(self._file, address.encode("ascii").ljust(_ROW, b"\0"), self._place(seat))
            self._ours[seat] = address
            return seat

    def leave(self, seat: int) -> None:
        """Free a seat that `take` gave."""
        with self._guard:
            del self._ours[seat]
            self._lock(seat, fcntl.F_UNLCK)

    def close(self) -> None:
        """Free all seats of this process."""
        os.close(self._file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the byte before the first row, so that two processes do not count at once."""
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 1, 0))
        try:
            yield
        finally:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, 0, 0, 1, 0))

    def _is_taken(self, seat: int) -> bool:
        if seat in self._ours:
            return True
        asked = _FLOCK.pack(fcntl.F_WRLCK, 0, self._place(seat), 1, 0)
        answer = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, asked)
        return bool(_TYPE.unpack_from(answer)[0] != fcntl.F_UNLCK)

    def _who(self, seat: int) -> str:
        row = os.pread(self._file, _ROW, self._place(seat))
        return row.rstrip(b"\0").decode("ascii", "replace")

    def _lock(self, seat: int, kind: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, 0, self._place(seat), 1, 0))

    @staticmethod
    def _place(seat: int) -> int:
        return (seat + 1) * _ROW
