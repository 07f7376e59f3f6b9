"""Messages other than images that a peer was answered success for: kept until somebody acts.

    notices/<name>              one message: a line of JSON, then its data set as it came
    quarantine/<name>.notice    of no use, with <name>.notice.txt that says why

The receivers put, `orchestrate` reads and finishes. `<name>` is made here from the time and a
random number, so that no path is built from what a peer sent and names sort as they came.
"""

import errno
import json
import os
import re
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from appliance.core.errors import BadInstance
from scp.scratch import Kind, Scratch, sync_folder

MOST_WAITING = 10_000
"""Notices that may wait for intake; with so many nobody reads them, and the disk is finite."""

_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A DIMSE-N request, as its command set and its association told it."""

    operation: int  # Command Field (0000,0100)
    sop_class_uid: str
    sop_instance_uid: str
    action_type_id: int | None  # of an N-ACTION
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    received_at: datetime
    name: str = ""  # in the spool; given by `put`


class Notices:
    """The notices of the spool under `root`. Safe in several processes and threads."""

    def __init__(
        self, root: Path, *, most: int = MOST_WAITING, refuse_below_bytes: int = 0
    ) -> None:
        self._folder = root / "notices"
        self._quarantine = root / "quarantine"
        temporary = root / "tmp"
        for folder in (self._folder, self._quarantine, temporary):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        sync_folder(root)
        self._scratch = Scratch(temporary)  # swept with the spool's own
        self._most = most
        self._refuse_below_bytes = refuse_below_bytes
        self._guard = threading.Lock()
        self._newest = 0  # microseconds: names of one process sort as it gave them

    def put(self, notice: Notice, data_set: bytes) -> str:
        """Return the name under which the notice is on the disk, durable.

        Raises OSError where the disk refuses or too many wait.
        """
        self._check_room()
        name = f"{self._next_moment(notice.received_at):016x}-{token_hex(8)}"
        temporary = self._scratch.new_path(Kind.COPY)
        try:
            _write(temporary, encode(replace(notice, name=name), data_set))
            temporary.rename(self._folder / name)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(self._folder)
        return name

    def names(self) -> tuple[str, ...]:
        """Return the names of all notices that wait, oldest first."""
        with os.scandir(self._folder) as entries:
            return tuple(sorted(one.name for one in entries if _NAME.fullmatch(one.name)))

    def read(self, name: str) -> tuple[Notice, bytes]:
        """Return the notice and its data set.

        Raises BadInstance where it is gone or damaged: quarantine it; OSError where the disk
        does not give it now.
        """
        try:
            notice, data_set = decode(self._path(name).read_bytes())
        except FileNotFoundError:
            raise BadInstance(f"notice {name} is not in the spool") from None
        return replace(notice, name=name), data_set

    def finish(self, name: str) -> None:
        """Forget the notice: what follows from it is true elsewhere. Twice does nothing."""
        self._path(name).unlink(missing_ok=True)

    def quarantine(self, name: str, reason: str) -> None:
        """Take the notice out of the way, and write down why; one that is gone does nothing."""
        path = self._path(name)
        (self._quarantine / f"{name}.notice.txt").write_text(reason + "\n")
        with suppress(FileNotFoundError):
            path.rename(self._quarantine / f"{name}.notice")
        sync_folder(self._quarantine)

    def quarantined(self) -> tuple[str, ...]:
        """Return the names of notices in quarantine."""
        return tuple(sorted(path.stem for path in self._quarantine.glob("*.notice")))

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a notice")
        return self._folder / name

    def _next_moment(self, at: datetime) -> int:
        with self._guard:
            moment = round((at - datetime.fromtimestamp(0, UTC)).total_seconds() * 1_000_000)
            self._newest = max(moment, self._newest + 1)
            return self._newest

    def _check_room(self) -> None:
        if len(self.names()) >= self._most:
            raise OSError(errno.EDQUOT, f"{self._most} notices wait already")
        state = os.statvfs(self._folder)
        if state.f_bavail * state.f_frsize < self._refuse_below_bytes:
            raise OSError(errno.ENOSPC, "the disk is kept free for what is here already")


def encode(notice: Notice, data_set: bytes) -> bytes:
    """Return the bytes of a notice's file."""
    head = asdict(notice) | {
        "received_at": notice.received_at.isoformat(timespec="microseconds"),
        "size": len(data_set),
        "sha256": sha256(data_set).hexdigest(),
    }
    return json.dumps(head).encode("ascii") + b"\n" + data_set


def decode(data: bytes) -> tuple[Notice, bytes]:
    """Return what `encode` wrote. Raises BadInstance where the bytes are anything else."""
    line, _, data_set = data.partition(b"\n")  # JSON in ASCII has no line break of its own
    try:
        head = json.loads(line)
        size, digest = head.pop("size"), head.pop("sha256")
        head["received_at"] = datetime.fromisoformat(head["received_at"])
        notice = Notice(**head)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInstance(f"not a notice of ours ({type(error).__name__})") from None
    if len(data_set) != size or sha256(data_set).hexdigest() != digest:
        raise BadInstance("the notice's data set is not what was received")
    return notice, data_set


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
