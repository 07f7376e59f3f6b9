"""The loop's body: index what came, look at studies that changed, close their routes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from appliance.core.clock import Clock
from appliance.core.errors import ApplianceError, BadInstance
from appliance.core.log import Event, log_event
from appliance.core.model import RouteDecision
from appliance.core.ports import Wakeup
from appliance.core.states import RouteState
from appliance.intake.bulletins import Bulletins
from appliance.intake.closing import Closer
from appliance.intake.counting import SeriesCounts
from appliance.intake.indexer import Indexer
from appliance.intake.late import LateImages
from appliance.intake.library import Library, StoredStudy
from appliance.intake.options import IntakeOptions, RoutePlan
from results_store.routes import RouteStatus
from results_store.store import Store

_AFTER_A_FAILURE = timedelta(seconds=30)
_WHILE_PAUSED = timedelta(seconds=10)
_HURRY = 0.2  # of the usual pace, where what came may be the last that was announced
_MOST_HELD = 50  # routes that a peer is asked about again, the latest held


@dataclass(slots=True, kw_only=True)
class _Memory:
    """What the last look at a study saw. Lost at a restart, which only costs a look."""

    images: int = -1
    looked_at: datetime | None = None
    look_again: dict[str, datetime] = field(default_factory=dict)  # by route
    late: dict[str, int] = field(default_factory=dict)  # by route; how many were told
    not_before: datetime | None = None  # after a failure, or while images stream in
    missing: int = 0  # images that were announced in lists and were not here

    def next_look(self, images: int, pace: timedelta) -> datetime | None:
        """Return before when new images are not worth a look; sooner if they may be the last."""
        if self.looked_at is None:
            return None
        may_be_all = 0 < self.missing <= images - self.images
        return self.looked_at + (pace * _HURRY if may_be_all else pace)

    def due(self) -> list[datetime]:
        """Return when the study is to be looked at: for new images, for each route that waits."""
        if self.not_before is None:
            return list(self.look_again.values())
        return [self.not_before, *(max(at, self.not_before) for at in self.look_again.values())]


class Orchestrator:
    """Turns received images into queued jobs. One at a time on one store."""

    def __init__(
        self,
        *,
        options: IntakeOptions,
        store: Store,
        indexer: Indexer,
        bulletins: Bulletins,
        library: Library,
        clock: Clock,
        wakeup: Wakeup,
        counts: Mapping[str, SeriesCounts],
    ) -> None:
        self._options = options
        self._store = store
        self._indexer = indexer
        self._bulletins = bulletins
        self._library = library
        self._clock = clock
        self._closer = Closer(
            options=options, store=store, clock=clock, wakeup=wakeup, counts=counts
        )
        self._late = LateImages(store)
        self._memory: dict[str, _Memory] = {}
        self._asked_at: datetime | None = None
        self._paused: frozenset[tuple[str, str]] = frozenset()
        shortest = min((plan.complete.quiet for plan in options.routes), default=options.pace)
        self._pace = min(options.pace, shortest / 2)

    def step(self) -> timedelta:
        """Do what can be done now; return how long nothing is due, if nobody wakes us."""
        news = self._bulletins.step(self._clock.now())
        for uid in news & self._memory.keys():
            self._memory[uid] = _Memory(late=self._memory[uid].late)  # all routes, at once
        as_of = self._indexer.step(self._clock.now()).as_of
        if as_of is None:
            return timedelta(0)
        self._note_pauses()
        self._ask_for_held(as_of)
        dirty = self._store.studies.dirty()
        self._memory = {uid: self._memory.get(uid, _Memory()) for uid in dirty}
        for uid, memory in self._memory.items():
            self._look_safely(uid, memory, as_of)
        return self._until_next()

    def _note_pauses(self) -> None:
        paused = self._store.controls.paused()
        now = self._clock.now()
        for kind, name in self._paused - paused:
            for memory in self._memory.values():
                if kind == "route" and name in memory.look_again:
                    memory.look_again[name] = now
        self._paused = paused

    def _ask_for_held(self, now: datetime) -> None:
        """Open held routes again whose peer by now counts as many images as are here."""
        if self._asked_at is not None and now - self._asked_at < self._options.ask_for_held_every:
            return
        self._asked_at = now
        plans = {one.route.name: one for one in self._options.routes if one.complete.query}
        for uid, name in self._store.routes.held(plans, _MOST_HELD) if plans else ():
            try:
                study = self._library.study(uid)
                if study is not None and self._closer.would_close(study, plans[name], now):
                    reason = f"{plans[name].complete.query} counts as many images as are here"
                    self._store.routes.reconsider(uid, name, reason)
            except (BadInstance, OSError):
                continue  # it is held as well for that; retention ends it

    def _until_next(self) -> timedelta:
        now = self._clock.now()
        due = [at - now for one in self._memory.values() for at in one.due()]
        return max(timedelta(0), min([self._options.poll, *due]))

    # -- one study ------------------------------------------------------------------------

    def _look_safely(self, uid: str, memory: _Memory, now: datetime) -> None:
        """Look at a study as of `now`: what came later is not indexed and does not count."""
        waits = memory.not_before is not None and now < memory.not_before
        if waits and not (memory.missing and memory.images >= 0):
            return
        memory.not_before = None
        try:
            self._look(uid, memory, now)
        except (ApplianceError, OSError) as error:
            if isinstance(error, BadInstance) and self._hold_unreadable(uid, str(error), now):
                return
            memory.not_before = now + _AFTER_A_FAILURE
            memory.images = -1  # which routes were looked at is not known: all again
            log_event(
                Event.SERVICE_FAILED,
                level=logging.ERROR,
                study_instance_uid=uid,
                error=type(error).__name__,
                reason=str(error) if isinstance(error, ApplianceError) else f"errno {error.errno}",
            )

    def _look(self, uid: str, memory: _Memory, now: datetime) -> None:
        row = self._store.studies.get(uid)
        if row is None:
            return
        fresh = row.instance_count != memory.images
        next_look = memory.next_look(row.instance_count, self._pace)
        if fresh and next_look and now < next_look <= now + self._pace:
            memory.not_before = next_look
            return
        statuses = {status.route: status for status in self._store.routes.of_study(uid)}
        self._close_unknown(uid, statuses)
        due = [
            plan
            for plan in self._options.routes
            if fresh or self._is_due(statuses.get(plan.route.name), plan, memory, now)
        ]
        if due:
            self._look_at_routes(uid, memory, due, statuses, now)
            memory.looked_at = now
            memory.missing = self._store.announcements.missing(uid)
        if fresh:
            self._store.studies.evaluated(uid, row.instance_count)
        memory.images = row.instance_count

    def _hold_unreadable(self, uid: str, reason: str, now: datetime) -> bool:
        """Hold the routes of a study whose files stay unreadable past their ceiling.

        Else it would be tried, and its images kept, for ever. Return whether none is left.
        """
        row = self._store.studies.get(uid)
        statuses = {status.route: status for status in self._store.routes.of_study(uid)}
        left = False
        for plan in self._options.routes:
            name = plan.route.name
            status = statuses.get(name)
            if status is not None and status.state is not RouteState.OPEN:
                continue
            if row is None or now < row.last_received_at + plan.complete.at_most:
                left = True
                continue
            summary = f"held: an image of the study cannot be read: {reason}"
            decision = RouteDecision(
                route=name, matched=False, reasons=(), inputs=(), summary=summary
            )
            self._closer.hold(uid, decision, f"an image cannot be read: {reason}")
        if not left and row is not None:
            self._store.studies.evaluated(uid, row.instance_count)
        return not left

    @staticmethod
    def _is_due(
        status: RouteStatus | None, plan: RoutePlan, memory: _Memory, now: datetime
    ) -> bool:
        at = memory.look_again.get(plan.route.name)
        if at is None:  # somebody else opened it: a person, or news
            return status is not None and status.state is RouteState.OPEN
        return now >= at

    def _close_unknown(self, uid: str, statuses: Mapping[str, RouteStatus]) -> None:
        """Close open routes that the settings no longer have: nothing would ever do it."""
        names = {plan.route.name for plan in self._options.routes}
        for status in statuses.values():
            if status.state is RouteState.OPEN and status.route not in names:
                decision = RouteDecision(
                    route=status.route,
                    matched=False,
                    reasons=(),
                    inputs=(),
                    summary="not run: the settings no longer have this route",
                )
                self._closer.close(uid, decision, "settings")

    def _look_at_routes(
        self,
        uid: str,
        memory: _Memory,
        due: Sequence[RoutePlan],
        statuses: Mapping[str, RouteStatus],
        now: datetime,
    ) -> None:
        study: StoredStudy | None = None
        for plan in due:
            name = plan.route.name
            status = statuses.get(name)
            memory.look_again.pop(name, None)
            if status is not None and not self._opens(uid, plan, status, memory):
                continue
            if ("route", name) in self._paused:
                self._closer.wait(uid, plan, status, "the route is paused", None)
                memory.look_again[name] = now + _WHILE_PAUSED
                continue
            study = study or self._library.study(uid)
            if study is None:
                return
            again = self._closer.look(study, plan, status, now)
            if again is not None:
                memory.look_again[name] = again

    def _opens(self, uid: str, plan: RoutePlan, status: RouteStatus, memory: _Memory) -> bool:
        """Return whether the route is open, or opens again because images came."""
        if status.state is not RouteState.CLOSED:
            return status.state is RouteState.OPEN  # the store opens a held one itself
        row = self._store.studies.get(uid)
        is_news = row is not None and row.instance_count > status.images_seen
        if is_news and self._store.routes.reopen(uid, status.route):
            return True
        return self._late.opens(uid, plan, memory.late, is_news=is_news)
