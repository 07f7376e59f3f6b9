"""Files that are written past the page cache (O_DIRECT).

What comes in is read much later, and by then in another order. Pages of the cache that are taken
for it cost more time than the writing: 1.3 ms of CPU against 0.15 ms for a CT image, where the
machine has to find them. Offsets, lengths and addresses are multiples of a block.
"""

import errno
import fcntl
import os
from pathlib import Path

from scp.page import BLOCK

_NO_DIRECT_IO = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


def open_direct(path: Path, flags: int = 0) -> int:
    """Open for reading and writing, made if it is not there. Raises OSError.

    On a file system that has no direct I/O the page cache does it.
    """
    flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_DIRECT, 0o640)
    except OSError as error:
        if error.errno not in _NO_DIRECT_IO:
            raise
        return os.open(path, flags & ~os.O_EXCL, 0o640)  # it may have been made by the first


def write_blocks(file: int, data: memoryview, offset: int = 0) -> None:
    """Write whole blocks. Raises OSError."""
    written = os.pwritev(file, [data], offset)
    if written != len(data):  # a full disk gives less, and the rest of a block cannot be direct
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_end(file: int, body: memoryview, size: int, offset: int = 0) -> None:
    """Write the first `size` bytes of `body` as the end of the file. Raises OSError.

    What is no whole block goes through the page cache, by a write of its own: to write the whole
    block and to cut off what is too much makes the file system read it again.
    """
    whole = size - size % BLOCK
    if whole:
        write_blocks(file, body[:whole], offset)
    if whole < size:
        fcntl.fcntl(file, fcntl.F_SETFL, 0)  # of the flags that can be changed, O_DIRECT is set
        write_blocks(file, body[whole:size], offset + whole)
