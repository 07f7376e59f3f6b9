"""The receivers that are compared, each started fresh in a folder of its own, on loopback."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.counterparts import free_port, orthanc, running, tool

MAX_PDU = 131_072  # the most that DCMTK takes; the same for all
NAMES = (
    "appliance:instance",
    "appliance:association",
    "appliance:none",
    "storescp",
    "storescp-bit-preserving",
    "orthanc",
    "pynetdicom",
    "discard",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A receiver that listens, and how many instances lie there as files of their own."""

    port: int
    pid: int
    filed: Callable[[], int] | None  # None: it keeps nothing


@contextmanager
def receiver(
    name: str, folder: Path, *, associations: int, processes: int | None
) -> Iterator[Receiver]:
    """Run a receiver of `NAMES` until the block ends; then everything it wrote is emptied.

    What is dirty is written back before and after, so that no receiver pays for another. The
    files stay, without their bytes, until `folder` is removed: for minutes after a file was
    deleted ext4 steps over its inode whenever it looks for a free one (recently_deleted in
    fs/ext4/ialloc.c), and whoever comes next would pay for that.
    """
    os.sync()
    home = Path(tempfile.mkdtemp(prefix=f"{name.replace(':', '-')}-", dir=folder))
    try:
        if name == "storescp":
            started = _storescp(home, associations, [])
        elif name == "storescp-bit-preserving":
            # It writes the data set as it comes, which is what we do, and its quickest way.
            started = _storescp(home, associations, ["+B", "--max-pdu", str(MAX_PDU)])
        elif name == "orthanc":
            started = _orthanc(home)
        elif name == "pynetdicom":
            started = _pynetdicom(home)
        elif name == "discard":
            started = _discard(home)
        else:
            started = _appliance(home, name.partition(":")[2], processes)
        with started as one:
            yield one
    finally:
        _empty(home)
        os.sync()


def _empty(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)


def receiver_settings(port: int, durability: str, processes: int | None) -> dict[str, Any]:
    """Return the settings of our receiver: as shipped but for who may send, and how much."""
    chosen: dict[str, Any] = {
        "listen": f"127.0.0.1:{port}",
        "accept_unknown_peers": True,
        "max_associations_per_peer": 64,
        "disk": {"warn_below": "2 MB", "refuse_below": "1 MB"},
        "durability": durability,
    }
    if processes is not None:
        chosen["processes"] = processes
    return chosen


@contextmanager
def _appliance(home: Path, durability: str, processes: int | None) -> Iterator[Receiver]:
    port = free_port()
    config = home / "appliance.yaml"
    site = {
        "appliance": {"ae_title": "APPLIANCE", "data_dir": str(home / "data")},
        "receiver": receiver_settings(port, durability, processes),
    }
    config.write_text(yaml.safe_dump(site))
    command = [sys.executable, "-m", "appliance", "receive", "--config", str(config)]
    new = home / "data" / "spool" / "new"
    with running(command, port=port, log=home / "log") as process:
        yield Receiver(port=port, pid=process.pid, filed=lambda: _count(new))


@contextmanager
def _storescp(home: Path, associations: int, options: list[str]) -> Iterator[Receiver]:
    port = free_port()
    fork = ["--fork"] if associations > 1 else []
    command = [tool("storescp"), *fork, *options, "-od", str(_made(home / "in")), str(port)]
    with running(command, port=port, log=home / "log") as process:
        yield Receiver(port=port, pid=process.pid, filed=lambda: _count(home / "in"))


@contextmanager
def _pynetdicom(home: Path) -> Iterator[Receiver]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.stock", str(port)]
    with in_folder(command, _made(home / "in"), port, home / "log") as process:
        yield Receiver(port=port, pid=process.pid, filed=lambda: _count(home / "in"))


@contextmanager
def _discard(home: Path) -> Iterator[Receiver]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.discard", str(port)]
    with in_folder(command, _made(home / "in"), port, home / "log") as process:
        yield Receiver(port=port, pid=process.pid, filed=None)


@contextmanager
def _orthanc(home: Path) -> Iterator[Receiver]:
    settings = {
        "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False,
        "DicomThreadsCount": 32,
        "MaximumPduLength": MAX_PDU,
        "Plugins": [],
    }
    with orthanc(home, ae_title="APPLIANCE", settings=settings) as node:
        yield Receiver(
            port=node.port,
            pid=node.pid,
            filed=lambda: int(node.get("/statistics")["CountInstances"]),
        )


@contextmanager
def in_folder(
    command: Sequence[str], folder: Path, port: int, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of this project in another working folder."""
    root = str(Path(__file__).parents[1])
    shell = ["env", "-C", str(folder), f"PYTHONPATH={root}", *command]
    with running(shell, port=port, log=log) as process:
        yield process


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())
