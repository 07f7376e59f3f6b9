"""The receiver's peak memory by associations and by size of the instances: it must be flat.

    python -m benchmarks.memory [--durability NAME] [--largest BYTES]

Each cell is a receiver started fresh: the largest resident memory of each of its processes, added
up. Cells of more than `_TOTAL` bytes on the disk are left out.
"""

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path

from benchmarks import sending
from benchmarks.common import Ratio, report, without_delay
from benchmarks.instances import sized
from benchmarks.processes import peak_mb, watched
from benchmarks.receivers import receiver

ASSOCIATIONS = (1, 4, 16)
SIZES = (10**6, 10**7, 10**8, 10**9)
_TOTAL = 5 * 10**9
_AT_LEAST = 5 * 10**7  # bytes an association, so that small instances come in numbers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--durability", default="instance")
    parser.add_argument("--largest", type=float, default=10**9, help="bytes of an instance")
    given = parser.parse_args()
    run(given.out, durability=given.durability, largest=int(given.largest))


def run(out: Path, *, durability: str = "instance", largest: int = 10**9) -> None:
    """Measure, print the table, write `out`/memory.json."""
    without_delay()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        idle = _idle(Path(scratch), durability)
        cells = {
            (size, number): _cell(Path(scratch), durability, size, number)
            for size, number in product(SIZES, ASSOCIATIONS)
            if size <= largest and size * number <= _TOTAL
        }
    print(f"peak MB of all receiver processes ({durability}); idle: {idle:.0f}")
    print(f"{'instance':>10} " + " ".join(f"{number:>4} assoc." for number in ASSOCIATIONS))
    for size in dict.fromkeys(size for size, _ in cells):
        row = [cells.get((size, number)) for number in ASSOCIATIONS]
        words = " ".join(f"{'-' if cell is None else round(cell):>11}" for cell in row)
        print(f"{size / 1e6:7.0f} MB {words}")
    growth = Ratio(
        what="memory",
        peer="itself-at-its-smallest",
        ratio=max(cells.values()) / min(cells.values()),
        conditions={"durability": durability, "largest_mb": round(max(cells.values()))},
    )
    named = {f"{size} × {number}": round(cell, 1) for (size, number), cell in cells.items()}
    report("memory", [growth], {"idle_mb": idle, "peak_mb_by_size_and_associations": named}, out)


def _idle(folder: Path, durability: str) -> float:
    name = f"appliance:{durability}"
    with receiver(name, folder, associations=1, processes=None) as running:
        return peak_mb(running.pid)


def _cell(folder: Path, durability: str, size: int, associations: int) -> float:
    made = sized(size)
    each = max(1, _AT_LEAST // size)
    name = f"appliance:{durability}"
    with (
        receiver(name, folder, associations=associations, processes=None) as running,
        watched(running.pid) as peak,
    ):
        sending.own(running.port, made, [each] * associations)
    print(f"{size:>10} × {associations}: {peak[0]:.0f} MB", file=sys.stderr, flush=True)
    return peak[0]


if __name__ == "__main__":
    main()
