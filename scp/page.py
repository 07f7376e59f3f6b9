"""Memory for one instance while it comes: page-aligned, used again, bounded in number.

An instance that does not fit goes on to a file; its first block stays here, since the file's head
is known only at the end.
"""

import mmap
import threading

BLOCK = 4096  # what direct I/O wants offsets, lengths and addresses to be multiples of
CAPACITY = 1024 * 1024  # bytes of one instance that are held in memory
_MOST_KEPT = 32  # pages that wait to be used again


class Page:
    """`lead` is the first block, `body` the rest; `whole` is both."""

    def __init__(self) -> None:
        self.whole = memoryview(mmap.mmap(-1, BLOCK + CAPACITY))
        self.lead = self.whole[:BLOCK]
        self.body = self.whole[BLOCK:]


def rounded_up(size: int) -> int:
    """Return the next multiple of a block."""
    return -(-size // BLOCK) * BLOCK


class Pages:
    """Pages to borrow; safe in several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._free: list[Page] = []

    def borrow(self) -> Page:
        """Return a page; what it holds is anything."""
        with self._guard:
            return self._free.pop() if self._free else Page()

    def give_back(self, page: Page) -> None:
        """Take a page that nobody uses any more."""
        with self._guard:
            if len(self._free) < _MOST_KEPT:
                self._free.append(page)
