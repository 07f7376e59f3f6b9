"""Runs every benchmark; each prints its ratios last and writes JSON."""

import argparse
from pathlib import Path

from benchmarks import brain, day, disk, latency, memory, pipelines, receive


def main() -> None:
    """Run all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    out: Path = parser.parse_args().out
    disk.run(out)
    memory.run(out)
    latency.run(out)
    day.run(out)
    receive.run(out, receive.full())
    pipelines.run(out)
    brain.run(out)


if __name__ == "__main__":
    main()
