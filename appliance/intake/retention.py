"""Deletes images that nobody needs any more: by age, and earlier when the disk gets full.

Which images may go is the store's answer: never those of a study that a route has not looked at
or still waits for, of an unfinished job or an undelivered result. It is asked again for each
study while the files go, and nothing can begin to need them meanwhile. A crash in between leaves
rows without files, which the next round notes.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.intake.options import RetentionOptions
from results_store.store import Store
from scp.spool import Spool


class Retention:
    """Deletes images; results, decisions and rows stay."""

    def __init__(self, options: RetentionOptions, store: Store, spool: Spool, clock: Clock) -> None:
        self._options = options
        self._store = store
        self._spool = spool
        self._clock = clock

    def step(self) -> int:
        """Delete what is too old, then what the disk's watermark asks for; return how many."""
        now = self._clock.now()
        return self._by_age(now) + self._by_pressure(now)

    def _by_age(self, now: datetime) -> int:
        return self._delete(now - self._options.images, "age", lambda: False)

    def _by_pressure(self, now: datetime) -> int:
        """Delete whole studies, oldest first, until enough is free."""
        if self._has_room():
            return 0
        deleted = self._delete(now - self._options.keep_at_least, "disk", self._has_room)
        if not self._has_room():
            free = self._spool.free_bytes()
            log_event(Event.DISK_LOW, level=logging.ERROR, free=free, count=deleted)
        return deleted

    def _has_room(self) -> bool:
        return self._spool.free_bytes() >= self._options.free_at_least

    def _delete(self, before: datetime, reason: str, enough: Callable[[], bool]) -> int:
        deleted = 0
        for uid in self._store.studies.deletable(before):
            if enough():
                break
            deleted += self._delete_study(uid, before, reason)
        return deleted

    def _delete_study(self, uid: str, before: datetime, reason: str) -> int:
        fields: dict[str, Any] = {"study_instance_uid": uid, "reason": reason}
        try:
            with self._store.studies.deleting(uid, before) as names:
                for name in names:
                    self._spool.remove(name)
        except OSError as error:  # the other studies may still go
            fields["reason"] = f"not deleted: {type(error).__name__}, errno {error.errno}"
            log_event(Event.SERVICE_FAILED, level=logging.ERROR, **fields)
            return 0
        if names:
            log_event(Event.INSTANCE_DELETED, **fields, count=len(names))
        return len(names)
