"""Which procedure steps there are and whether they are over, as files: no database is asked.

mpps/lock        held while a step is created or changed, by whichever process does
mpps/<hash>      one step; <hash> is the SHA-256 of its SOP Instance UID
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from scp.announced import StepStatus
from scp.scratch import Kind, Scratch, sync_folder

_LOCK = "lock"


class StepStates:
    """The states under `root`. Safe in several processes and threads."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "mpps"
        temporary = root / "tmp"
        for folder in (self._folder, temporary):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        sync_folder(root)
        self._scratch = Scratch(temporary)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else create or change a step meanwhile."""
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def get(self, sop_instance_uid: str) -> StepStatus | None:
        """Return the step's status, or None where there is no such step."""
        try:
            return StepStatus(self._path(sop_instance_uid).read_text("ascii"))
        except FileNotFoundError:
            return None
        except ValueError:  # damaged: that it began is what its being there says
            return StepStatus.IN_PROGRESS

    def put(self, sop_instance_uid: str, status: StepStatus) -> None:
        """Return when the status is on the disk. Raises OSError."""
        temporary = self._scratch.new_path(Kind.COPY)
        try:
            with temporary.open("x", encoding="ascii") as file:
                file.write(status)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._path(sop_instance_uid))
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(self._folder)

    def sweep(self, before: datetime) -> int:
        """Forget steps that were last changed before then; return how many."""
        removed = 0
        with self.held(), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name != _LOCK and entry.stat().st_mtime < before.timestamp():
                    Path(entry).unlink()
                    removed += 1
        return removed

    def _path(self, sop_instance_uid: str) -> Path:
        return self._folder / sha256(sop_instance_uid.encode()).hexdigest()
