"""Images a second received, beside DCMTK's storescp and Orthanc in the same run.

The sender is DCMTK's storescu for all three, with the same CT-like images of 512 × 512. Rounds
are interleaved and medians compared, so that what else the machine does meets all alike. Ours
answers when an image is durable; the others promise less.

    python -m benchmarks.receive [--out FOLDER] [--images N] [--rounds N]
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import Ratio, report
from tests.builders import ct_series
from tests.counterparts import HOST, free_port, listens, orthanc, tool, wait_until

ASSOCIATIONS = (1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A receiver: where it listens, its process, and how to make it forget what it has."""

    name: str
    port: int
    pid: int
    forget: Callable[[], None]
    count: Callable[[], int]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments.add_argument("--images", type=int, default=60)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    run(given.out, images=given.images, rounds=given.rounds)


def run(out: Path, *, images: int = 60, rounds: int = 5) -> None:
    """Measure, print the ratios, write `out`/receive.json."""
    without_delay()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        shares = {n: make_images(folder / f"images-{n}", images, n) for n in ASSOCIATIONS}
        contenders = [
            stack.enter_context(start(folder)) for start in (appliance, storescp, orthanc_node)
        ]
        rates: dict[tuple[str, int], list[float]] = {}
        peaks: dict[str, int] = {}
        for _ in range(rounds):
            for associations, share in shares.items():
                for contender in contenders:
                    seconds, peak = send(contender, share, images)
                    rates.setdefault((contender.name, associations), []).append(images / seconds)
                    peaks[contender.name] = max(peak, peaks.get(contender.name, 0))
    medians = {key: statistics.median(values) for key, values in rates.items()}
    details = {
        "images_per_second": {f"{name} × {n}": values for (name, n), values in rates.items()},
        "median_images_per_second": {f"{name} × {n}": v for (name, n), v in medians.items()},
        "peak_rss_mb_of_the_largest_process": peaks,
        "images": images,
        "rounds": rounds,
    }
    for (name, associations), rate in medians.items():
        print(f"{name:10} associations={associations}: {rate:7.1f} images/s")
    for name, peak in peaks.items():
        print(f"{name:10} peak RSS {peak} MB")
    report("receive", ratios(medians, images, rounds), details, out)


def ratios(medians: dict[tuple[str, int], float], images: int, rounds: int) -> list[Ratio]:
    return [
        Ratio(
            what="receive",
            peer=peer,
            ratio=medians["appliance", n] / medians[peer, n],
            conditions={"associations": n, "image": "ct-512", "images": images, "rounds": rounds},
        )
        for peer in ("storescp", "orthanc")
        for n in ASSOCIATIONS
    ]


def make_images(folder: Path, images: int, shares: int) -> list[Path]:
    """Write CT-like images into one folder for each association; return the folders."""
    noise = np.random.default_rng(1).normal(1000, 300, (512, 512))
    folders = [folder / str(share) for share in range(shares)]
    for share, target in enumerate(folders):
        count = images // shares + (share < images % shares)
        ct_series(target, pixels=np.broadcast_to(noise.astype(np.int16), (count, 512, 512)))
    return folders


def without_delay() -> None:
    """Switch off Nagle's algorithm in DCMTK and in Orthanc, which is built on it.

    With it, each of their answers waits some 40 ms for a delayed ACK: no fair peer.
    """
    os.environ["TCP_NODELAY"] = "1"


def send(contender: Contender, folders: list[Path], images: int) -> tuple[float, int]:
    """Send each folder in an association of its own, all at once; return seconds and peak MB."""
    contender.forget()
    with peak_of(contender.pid) as peak:
        began = time.monotonic()
        senders = [
            subprocess.Popen(
                [tool("storescu"), "-aec", "APPLIANCE", "+sd", HOST, str(contender.port), folder],
                stdout=subprocess.DEVNULL,
            )
            for folder in folders
        ]
        codes = [sender.wait() for sender in senders]
        seconds = time.monotonic() - began
    if any(codes) or contender.count() != images:
        raise RuntimeError(f"{contender.name} got {contender.count()} of {images}, exits {codes}")
    return seconds, peak[0]


@contextmanager
def peak_of(pid: int) -> Iterator[list[int]]:
    """Yield a list whose one number becomes the largest peak (MB) of the process or a child."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            children = Path(f"/proc/{pid}/task/{pid}/children")
            pids = [str(pid), *(children.read_text().split() if children.exists() else [])]
            peak[0] = max(peak[0], *map(_peak_mb, pids))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _peak_mb(pid: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(s.split()[1]) // 1000 for s in status.splitlines() if "VmHWM" in s), 0)


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@contextmanager
def process(name: str, command: list[str], port: int, folder: Path) -> Iterator[Contender]:
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port))
        yield Contender(
            name=name,
            port=port,
            pid=running.pid,
            forget=lambda: empty(folder),
            count=lambda: len(list(folder.iterdir())),
        )
    finally:
        os.kill(running.pid, signal.SIGTERM)
        running.wait(20)


@contextmanager
def appliance(folder: Path) -> Iterator[Contender]:
    port, spool = free_port(), folder / "spool"
    command = [sys.executable, "-m", "benchmarks.receiver", str(port), str(spool)]
    with process("appliance", command, port, spool / "new") as contender:
        yield contender


@contextmanager
def storescp(folder: Path) -> Iterator[Contender]:
    port, received = free_port(), folder / "storescp"
    received.mkdir()
    # +B writes the data set as it comes, which is what we do, and its quickest way.
    command = [tool("storescp"), "--fork", "+B", "-od", str(received), str(port)]
    with process("storescp", command, port, received) as contender:
        yield contender


@contextmanager
def orthanc_node(folder: Path) -> Iterator[Contender]:
    settings = {"DicomAlwaysAllowStore": True, "DicomCheckCalledAet": False, "Plugins": []}
    with orthanc(folder, ae_title="APPLIANCE", settings=settings) as node:

        def forget() -> None:
            for study in node.get("/studies"):
                node.delete(f"/studies/{study}")

        yield Contender(
            name="orthanc",
            port=node.port,
            pid=node.pid,
            forget=forget,
            count=lambda: len(node.instances()),
        )


if __name__ == "__main__":
    main()
