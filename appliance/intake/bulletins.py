"""Notices of procedure steps and available instances become rows, in the order they came.

For each: record, finish. After a crash in between the notice is still there, and recording it
again says nothing new. One of no use is quarantined with a reason and stops no other.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from appliance.core.errors import BadInstance, StoreError
from appliance.core.log import Event, log_event
from appliance.routing.images import is_image_class
from results_store.announcements import Announced, Announcement, Kind, StepChange
from results_store.store import Store
from scp.announced import (
    AVAILABILITY,
    PERFORMED_STEP,
    Listed,
    StepStatus,
    availability,
    changed_step,
    created_step,
)
from scp.command import N_CREATE_RQ
from scp.notices import Notice, Notices
from scp.step_states import StepStates

_OURS = frozenset({PERFORMED_STEP, AVAILABILITY})
_STATES = {
    StepStatus.IN_PROGRESS: Announced.IN_PROGRESS,
    StepStatus.COMPLETED: Announced.COMPLETED,
    StepStatus.DISCONTINUED: Announced.DISCONTINUED,
}
_TRIES = 5  # that the store may refuse one before it is quarantined
_KEEP = timedelta(days=30)  # a step that nobody changed for so long is over
_SWEEP_EVERY = timedelta(hours=1)


class Bulletins:
    """Reads notices. One at a time on one spool."""

    def __init__(self, notices: Notices, states: StepStates, store: Store) -> None:
        self._notices = notices
        self._states = states
        self._store = store
        self._others: frozenset[str] = frozenset()  # notices that are somebody else's
        self._refused: tuple[str, int] = ("", 0)  # by the store, and how often in a row
        self._swept_at: datetime | None = None

    def step(self, now: datetime) -> frozenset[str]:
        """Record what waits; return the studies of which something new is known."""
        names = self._notices.names()
        self._others &= frozenset(names)
        studies: set[str] = set()
        for name in names:
            if name in self._others:
                continue
            try:
                studies.update(self._read(name))
            except StoreError as error:
                if not self._gives_up(name, error):
                    break  # in order: what follows may build on this one
        self._sweep(now)
        return frozenset(studies)

    def _read(self, name: str) -> Iterable[str]:
        try:
            notice, data_set = self._notices.read(name)
            if notice.sop_class_uid not in _OURS:
                self._others |= {name}
                return ()
            studies = self._record(notice, data_set)
        except BadInstance as error:
            self._quarantine(name, str(error))
            return ()
        except OSError as error:
            reason = f"{type(error).__name__}, errno {error.errno}"
            log_event(Event.SERVICE_FAILED, level=logging.ERROR, spool_name=name, reason=reason)
            return ()
        self._notices.finish(name)
        return studies

    def _record(self, notice: Notice, data_set: bytes) -> tuple[str, ...]:
        """Record one; return its studies. Raises BadInstance and StoreError."""
        if notice.sop_class_uid == AVAILABILITY:
            return self._available(notice, data_set)
        if notice.operation == N_CREATE_RQ:
            return self._begun(notice, data_set)
        return self._changed(notice, data_set)

    def _available(self, notice: Notice, data_set: bytes) -> tuple[str, ...]:
        report = availability(data_set, notice.transfer_syntax_uid)
        uid, listed = report.study_instance_uid, report.listed
        self._store.announcements.available(
            _announcement(notice, Kind.IAN, uid, Announced.AVAILABLE, listed)
        )
        return (uid,)

    def _begun(self, notice: Notice, data_set: bytes) -> tuple[str, ...]:
        report = created_step(data_set, notice.transfer_syntax_uid)
        for uid in report.study_instance_uids:
            step = _announcement(notice, Kind.MPPS, uid, Announced.IN_PROGRESS, report.listed or {})
            self._store.announcements.begin_step(step)
        return report.study_instance_uids

    def _changed(self, notice: Notice, data_set: bytes) -> tuple[str, ...]:
        report = changed_step(data_set, notice.transfer_syntax_uid)
        change = StepChange(
            state=None if report.status is None else _STATES[report.status],
            reason=report.reason,
            listed=None if report.listed is None else _images(report.listed),
        )
        studies = self._store.announcements.change_step(
            notice.sop_instance_uid, change, notice.received_at
        )
        if not studies:
            raise BadInstance("the procedure step was never created")
        return studies

    def _gives_up(self, name: str, error: StoreError) -> bool:
        """Return whether this one is put aside, after the store refused it again and again."""
        before, times = self._refused
        self._refused = (name, times + 1 if name == before else 1)
        fields = {"spool_name": name, "reason": str(error)}
        log_event(Event.SERVICE_FAILED, level=logging.ERROR, **fields)
        if self._refused[1] < _TRIES:
            return False
        self._quarantine(name, f"refused by the store: {error}")
        return True

    def _quarantine(self, name: str, reason: str) -> None:
        fields = {"spool_name": name, "reason": reason}
        log_event(Event.NOTICE_QUARANTINED, level=logging.WARNING, **fields)
        self._notices.quarantine(name, reason)

    def _sweep(self, now: datetime) -> None:
        if self._swept_at is None or now - self._swept_at >= _SWEEP_EVERY:
            self._swept_at = now
            self._states.sweep(now - _KEEP)
            self._store.announcements.forget(now - _KEEP)


def _announcement(
    notice: Notice, kind: Kind, study: str, state: Announced, listed: Listed
) -> Announcement:
    return Announcement(
        kind=kind,
        sop_instance_uid=notice.sop_instance_uid,
        study_instance_uid=study,
        state=state,
        reason="",
        calling_ae_title=notice.calling_ae_title,
        listed=_images(listed),
        announced_at=notice.received_at,
    )


def _images(listed: Listed) -> dict[str, frozenset[str]]:
    """Return the images of each series: what is none is not waited for."""
    return {
        series: frozenset(uid for uid, sop_class in found.items() if is_image_class(sop_class))
        for series, found in listed.items()
    }
