"""What one durable write costs on this disk, by the ways there are: why the spool is as it is.

    python -m benchmarks.disk [--folder FOLDER] [--writes N] [--bytes N]

Each way writes the bytes of one CT image so many times; the ways take turns. Wall and CPU
milliseconds a write, medians. "recycled" overwrites blocks that were written before, so that the
file system has nothing to note down; "reserved" writes into blocks that were only reserved. A
"with a name" is a file that was made before, empty, with its folder synced. A
write to the page cache takes pages in one piece as large as it is; where the machine has none of
that size at hand (a virtual machine gives them back to its host), pieces of 64 KiB cost far less.
"""

import argparse
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from benchmarks.common import file_system, report
from scp.checksum import NONE, matches

_BLOCK = 4096
_SLOTS = 16
_AT_ONCE = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--folder", type=Path, help="on the file system to be measured")
    parser.add_argument("--writes", type=int, default=150)
    parser.add_argument("--bytes", type=int, default=526_000)
    given = parser.parse_args()
    run(given.out, given.folder, writes=given.writes, size=given.bytes)


def run(out: Path, folder: Path | None = None, *, writes: int = 150, size: int = 526_000) -> None:
    """Measure, print the table, write `out`/disk.json."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder or out) as scratch:
        disk = Disk(Path(scratch), size)
        kind = file_system(Path(scratch))
        rows = measure(disk.ways(), writes)
        disk.close()
    print(f"one write of {size} bytes on {kind}: milliseconds, median of {writes}")
    print(f"{'':42} {'wall':>6} {'p95':>6} {'cpu':>6}")
    for name, row in rows.items():
        print(f"{name:42} {row['wall_ms']:6.2f} {row['p95_ms']:6.2f} {row['cpu_ms']:6.2f}")
    report("disk", [], {"file_system": kind, "bytes": size, "writes": writes, "ways": rows}, out)


def measure(ways: dict[str, Callable[[], None]], writes: int) -> dict[str, dict[str, float]]:
    """Return wall and CPU milliseconds of each way; they take turns."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(writes):
        for name, way in ways.items():
            began, cpu_began = time.perf_counter(), time.process_time()
            way()
            cpu[name].append((time.process_time() - cpu_began) * 1e3)
            wall[name].append((time.perf_counter() - began) * 1e3)
    return {
        name: {
            "wall_ms": median(times),
            "p95_ms": quantiles(times, n=20)[-1],
            "cpu_ms": median(cpu[name]),
        }
        for name, times in wall.items()
    }


class Disk:
    """The ways to write `size` bytes under `folder`."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._rounded = -(-size // _BLOCK) * _BLOCK
        self._aligned = mmap.mmap(-1, self._rounded)  # O_DIRECT wants memory on page borders
        self._aligned[:size] = os.urandom(size)
        self._data = bytes(self._aligned[:size])
        self._view = memoryview(self._data)
        self._count = 0
        self._entries = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._opened = [self._entries]
        self._named: list[int] = []  # empty files whose names are on the disk

    def ways(self) -> dict[str, Callable[[], None]]:
        """Return each way by its name."""
        direct = os.O_DIRECT
        return {
            "new file": self._new_file,
            "new file, 64 KiB a write": lambda: self._new_file(piece=65_536),
            "new file, 4 KiB a write": lambda: self._new_file(piece=4096),
            "new file, 64 KiB a write, fdatasync": lambda: self._new_file(piece=65_536, sync=True),
            "new file, fdatasync": lambda: self._new_file(sync=True),
            "new file, fdatasync, folder fsync": lambda: self._new_file(sync=True, folder=True),
            "new file with a name, O_DIRECT, fdatasync": self._named_file,
            "reserved file, fdatasync": self._overwrite(0, written=False),
            "recycled file, fdatasync": self._overwrite(0),
            "recycled file, O_DIRECT": self._overwrite(direct, sync=False),
            "recycled file, O_DIRECT, fdatasync": self._overwrite(direct),
            "recycled file, O_DIRECT | O_DSYNC": self._overwrite(direct | os.O_DSYNC, sync=False),
            "checksum (no write)": self._checksum,
        }

    def close(self) -> None:
        for descriptor in (*self._opened, *self._named):
            os.close(descriptor)

    def _checksum(self) -> None:
        matches(NONE, self._data)

    def _new_file(self, *, piece: int = 0, sync: bool = False, folder: bool = False) -> None:
        self._count += 1
        path = self._folder / f"{self._count:08}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        for at in range(0, len(self._data), piece or len(self._data)):
            os.write(descriptor, self._view[at : at + (piece or len(self._data))])
        if sync:
            os.fdatasync(descriptor)
        os.close(descriptor)
        if folder:
            os.fsync(self._entries)

    def _named_file(self) -> None:
        """Write into an empty file that has its name already; it is made in the time of others."""
        if not self._named:
            self._named = [self._made_in_advance() for _ in range(_AT_ONCE)]
            os.fsync(self._entries)
        descriptor = self._named.pop()
        os.pwrite(descriptor, self._aligned, 0)
        os.fdatasync(descriptor)
        os.close(descriptor)

    def _made_in_advance(self) -> int:
        self._count += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DIRECT
        return os.open(self._folder / f"{self._count:08}", flags)

    def _overwrite(
        self, flags: int, *, sync: bool = True, written: bool = True
    ) -> Callable[[], None]:
        """Return a way that goes round a file of `_SLOTS` images."""
        self._count += 1
        path = self._folder / f"{self._count:08}.segment"
        slots = _SLOTS if written else 4096  # what is only reserved is never met again
        self._prepare(path, slots, written=written)
        descriptor = os.open(path, os.O_WRONLY | flags)
        self._opened.append(descriptor)
        data = self._aligned if flags & os.O_DIRECT else self._data
        at = 0

        def way() -> None:
            nonlocal at
            os.pwrite(descriptor, data, at * self._rounded)
            at = (at + 1) % slots
            if sync:
                os.fdatasync(descriptor)

        return way

    def _prepare(self, path: Path, slots: int, *, written: bool) -> None:
        with path.open("wb") as file:
            if written:
                for _ in range(slots):
                    file.write(self._aligned)
            else:
                os.posix_fallocate(file.fileno(), 0, slots * self._rounded)
            os.fsync(file.fileno())


if __name__ == "__main__":
    if not hasattr(os, "O_DIRECT"):
        sys.exit("this system has no O_DIRECT")
    main()
