"""What is really on the disk: the files of the spool read as bytes, the rows of the index counted.

An instance counts by the bytes of its data set. It is there once if exactly one name of the
spool has them, whichever folders the name stands in, and exactly one row has the name.
"""

import hashlib
import sqlite3
import struct
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.faults.datasets import Instance

KEPT = ("new", "images")  # folders of the spool in which what was acknowledged may lie
SET_ASIDE = "quarantine"  # where it lies, with a reason, if it is of no use


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong: SOP Instance UIDs."""

    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled)


def data_set_of(path: Path) -> bytes:
    """Return the bytes after the file meta group of a Part 10 file."""
    content = path.read_bytes()
    assert content[128:132] == b"DICM", f"{path.name} has no prefix"
    (length,) = struct.unpack_from("<I", content, 140)
    return content[144 + length :]


class SpoolReader:
    """Reads each file of a spool once: names never change their content."""

    def __init__(self, spool: Path, folders: tuple[str, ...] = KEPT) -> None:
        self._spool = spool
        self._folders = folders
        self._digests: dict[str, str] = {}

    def names(self) -> Mapping[str, set[str]]:
        """Return, for the digest of each data set, the names that have it."""
        found: dict[str, set[str]] = defaultdict(set)
        for folder in self._folders:
            for path in (self._spool / folder).rglob("*"):
                name = path.name.removesuffix(".dcm")
                try:
                    if name not in self._digests and path.suffix != ".txt" and path.is_file():
                        data = data_set_of(path)
                        self._digests[name] = hashlib.sha256(data).hexdigest()
                except FileNotFoundError:  # handed over just now: it is found where it went
                    continue
                if name in self._digests:
                    found[self._digests[name]].add(name)
        return found

    def judge(self, instances: Iterable[Instance]) -> Finding:
        """Return which of the instances are not there, or there more than once."""
        names = self.names()
        wanted = list(instances)
        return Finding(
            lost=tuple(i.sop_instance_uid for i in wanted if not names.get(i.sha256)),
            doubled=tuple(i.sop_instance_uid for i in wanted if len(names.get(i.sha256, ())) > 1),
        )

    def wait_for(self, instances: Iterable[Instance], seconds: float = 15) -> Finding:
        """Return the finding as soon as nothing is lost, or when the time is over.

        What waits for its lasting name is there when it has that.
        """
        wanted = list(instances)
        deadline = time.monotonic() + seconds
        while (finding := self.judge(wanted)).lost and time.monotonic() < deadline:
            time.sleep(0.02)
        return finding


def rows(store: Path) -> Mapping[str, int]:
    """Return how many rows of the index each SOP Instance UID has; none before it has tables."""
    if not store.exists():
        return {}
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=30)) as database:
        tables = database.execute("SELECT name FROM sqlite_schema WHERE name = 'instance'")
        if not tables.fetchall():
            return {}
        found = database.execute("SELECT sop_instance_uid, count(*) FROM instance GROUP BY 1")
        return dict(found.fetchall())


def wait_for_rows(store: Path, instances: Iterable[Instance], seconds: float = 30) -> Finding:
    """Return which instances have no row or several, when all have one or the time is over."""
    wanted = [one.sop_instance_uid for one in instances]
    deadline = time.monotonic() + seconds
    while True:
        counts = rows(store)
        finding = Finding(
            lost=tuple(uid for uid in wanted if not counts.get(uid)),
            doubled=tuple(uid for uid in wanted if counts.get(uid, 0) > 1),
        )
        if not finding.lost or time.monotonic() > deadline:
            return finding
        time.sleep(0.05)
