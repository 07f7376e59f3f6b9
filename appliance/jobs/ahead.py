"""Reads the images of the job that is probably next while this one is inferred.

A pipeline that can also prepares them: see `pipelines.base.Prepares`.

Nothing is claimed: if another worker takes that job, what was read is thrown away, and if it
cannot be read, its own attempt will say so.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from appliance.core.errors import ApplianceError
from appliance.core.model import Job
from appliance.core.processes import give_way
from appliance.jobs.phases import Images

_MOST = 1 << 30  # bytes of files; reading more ahead would cost more memory than it saves time

Peek = Callable[[], Job | None]
Read = Callable[[Job], Images | None]


class ReadAhead:
    """What was read ahead, for one worker."""

    def __init__(self, peek: Peek, read: Read, poll: timedelta) -> None:
        """`peek` tells which job is next; asked again every `poll` until there is one."""
        self._peek = peek
        self._read = read
        self._poll = poll
        self._reading: _Reading | None = None

    @contextmanager
    def during(self) -> Iterator[None]:
        """Look for the next job and read its images as long as the block runs."""
        self._reading = _Reading(self._peek, self._read, self._poll)
        self._reading.start()
        try:
            yield
        finally:
            self._reading.over.set()

    def take(self, job: Job) -> Images | None:
        """Return the images of `job`, once they are read, or None if it was not that one."""
        reading, self._reading = self._reading, None
        if reading is None or reading.job_id != job.job_id:
            return None
        reading.join()
        return reading.images


class _Reading(threading.Thread):
    """One reading ahead. Once begun it goes on to its end: its job may be claimed meanwhile."""

    def __init__(self, peek: Peek, read: Read, poll: timedelta) -> None:
        super().__init__(name="read-ahead", daemon=True)
        self.over = threading.Event()
        self.job_id: int | None = None
        self.images: Images | None = None
        self._peek = peek
        self._read = read
        self._poll = poll

    def run(self) -> None:
        """Wait until a job is next, then read."""
        give_way()
        try:
            while (job := self._peek()) is None:
                if self.over.wait(self._poll.total_seconds()):
                    return
            self.job_id = job.job_id
            self.images = self._read(job)
        except (ApplianceError, OSError):
            return  # whoever runs the job will meet the same, and say so


def is_little(paths: list[Path]) -> bool:
    """Return whether there is so little in the files that they may be read ahead."""
    return sum(path.stat().st_size for path in paths) <= _MOST
