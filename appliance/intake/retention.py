"""Deletes images that nobody needs any more: by age, and earlier when the disk gets full.

Which images may go is the store's answer: never those of a study with an open route, an
unfinished job or an undelivered result. The file goes first, its row is marked after: a crash in
between leaves a row without a file, which the next round marks; the other order would leave
files that nobody knows.
"""

import logging
from datetime import datetime

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.intake.options import RetentionOptions
from results_store.store import Store
from results_store.studies import IndexedInstance
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
        old = self._store.studies.deletable(now - self._options.images)
        self._delete(old, "age")
        return len(old)

    def _by_pressure(self, now: datetime) -> int:
        """Delete whole studies, oldest first, until enough is free."""
        if self._spool.free_bytes() >= self._options.free_at_least:
            return 0
        deleted = 0
        for study in _by_study(self._store.studies.deletable(now - self._options.keep_at_least)):
            if self._spool.free_bytes() >= self._options.free_at_least:
                return deleted
            self._delete(study, "disk")
            deleted += len(study)
        if (free := self._spool.free_bytes()) < self._options.free_at_least:
            log_event(Event.DISK_LOW, level=logging.ERROR, free=free, count=deleted)
        return deleted

    def _delete(self, images: tuple[IndexedInstance, ...], reason: str) -> None:
        for study in _by_study(images):
            for one in study:
                self._spool.remove(one.spool_name)
            self._store.studies.forget_images(tuple(one.spool_name for one in study))
            log_event(
                Event.INSTANCE_DELETED,
                study_instance_uid=study[0].study_instance_uid,
                count=len(study),
                reason=reason,
            )


def _by_study(images: tuple[IndexedInstance, ...]) -> tuple[tuple[IndexedInstance, ...], ...]:
    """Return the images study by study, in the order of each study's first image."""
    studies: dict[str, list[IndexedInstance]] = {}
    for one in images:
        studies.setdefault(one.study_instance_uid, []).append(one)
    return tuple(tuple(study) for study in studies.values())
