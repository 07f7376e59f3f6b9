"""The loop's body: index what came, look at studies that changed, close their routes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from appliance.core.clock import Clock
from appliance.core.errors import ApplianceError, BadInstance
from appliance.core.log import Event, log_event
from appliance.core.model import JobInput, RouteDecision
from appliance.core.ports import Role, Wakeup
from appliance.core.states import RouteState
from appliance.intake.completion import Completion, Outcome, evaluate
from appliance.intake.counting import Counting, SeriesCounts
from appliance.intake.indexer import Indexer
from appliance.intake.judge import Judgement, judge
from appliance.intake.library import Library, StoredStudy
from appliance.intake.options import IntakeOptions, RoutePlan
from results_store.commands import NewRun
from results_store.routes import RouteStatus
from results_store.store import Store

_AFTER_A_FAILURE = timedelta(seconds=30)
_WHILE_PAUSED = timedelta(seconds=10)


@dataclass(slots=True, kw_only=True)
class _Memory:
    """What the last look at a study saw. Lost at a restart, which only costs a look."""

    images: int = -1
    looked_at: datetime | None = None
    look_again: dict[str, datetime] = field(default_factory=dict)  # by route
    late: dict[str, int] = field(default_factory=dict)  # by route; how many were told
    not_before: datetime | None = None  # after a failure, or while images stream in

    def due(self) -> list[datetime]:
        """Return when each route that waits for a time is to be looked at."""
        moments = self.look_again.values()
        return [max(at, self.not_before) if self.not_before else at for at in moments]


class Orchestrator:
    """Turns received images into queued jobs. One at a time on one store."""

    def __init__(
        self,
        *,
        options: IntakeOptions,
        store: Store,
        indexer: Indexer,
        library: Library,
        clock: Clock,
        wakeup: Wakeup,
        counts: Mapping[str, SeriesCounts],
    ) -> None:
        self._options = options
        self._store = store
        self._indexer = indexer
        self._library = library
        self._clock = clock
        self._wakeup = wakeup
        self._counting = Counting(counts, options.ask_counts_every)
        self._memory: dict[str, _Memory] = {}
        self._paused: frozenset[tuple[str, str]] = frozenset()
        shortest = min((plan.complete.quiet for plan in options.routes), default=options.poll)
        # While images stream in, a study is looked at no more often than this.
        self._pace = min(options.poll, shortest / 2)

    def step(self) -> timedelta:
        """Do what can be done now; return how long nothing is due, if nobody wakes us."""
        as_of = self._indexer.step(self._clock.now()).as_of
        if as_of is None:
            return timedelta(0)
        self._note_pauses()
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

    def _until_next(self) -> timedelta:
        now = self._clock.now()
        due = [at - now for one in self._memory.values() for at in one.due()]
        return max(timedelta(0), min([self._options.poll, *due]))

    # -- one study ------------------------------------------------------------------------

    def _look_safely(self, uid: str, memory: _Memory, now: datetime) -> None:
        """Look at a study as of `now`: what came later is not indexed and does not count."""
        if memory.not_before is not None and now < memory.not_before:
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
        if fresh and memory.looked_at is not None:
            since = now - memory.looked_at
            if timedelta(0) <= since < self._pace:
                memory.not_before = memory.looked_at + self._pace
                return
        statuses = {status.route: status for status in self._store.routes.of_study(uid)}
        self._close_unknown(uid, statuses)
        due = [plan for plan in self._options.routes if fresh or self._is_due(plan, memory, now)]
        if due:
            self._look_at_routes(uid, memory, due, statuses, now)
        if fresh:
            self._store.studies.evaluated(uid, row.instance_count)
        memory.images, memory.looked_at = row.instance_count, now

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
            self._hold(uid, decision, f"an image cannot be read: {reason}")
        if not left and row is not None:
            self._store.studies.evaluated(uid, row.instance_count)
        return not left

    @staticmethod
    def _is_due(plan: RoutePlan, memory: _Memory, now: datetime) -> bool:
        at = memory.look_again.get(plan.route.name)
        return at is not None and now >= at

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
                self._close(uid, decision, "settings")

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
            if status is not None and not self._opens(uid, status):
                self._tell_late(uid, status, memory)
                continue
            if ("route", name) in self._paused:
                self._wait(uid, plan, status, "the route is paused", None)
                memory.look_again[name] = now + _WHILE_PAUSED
                continue
            study = study or self._library.study(uid)
            if study is None:
                return
            again = self._look_at_route(study, plan, status, now)
            if again is not None:
                memory.look_again[name] = again

    def _opens(self, uid: str, status: RouteStatus) -> bool:
        """Return whether the route is open, or opens again because images came."""
        if status.state is not RouteState.CLOSED:
            return status.state is RouteState.OPEN  # the store opens a held one itself
        row = self._store.studies.get(uid)
        if row is None or row.instance_count <= status.images_seen:
            return False
        return self._store.routes.reopen(uid, status.route)

    def _tell_late(self, uid: str, status: RouteStatus, memory: _Memory) -> None:
        """Tell of images that came for a chosen series after its jobs were queued."""
        if status.state is not RouteState.CLOSED:
            return
        decisions = [one.decision for one in self._store.decisions.of_study(uid)]
        inputs = [i for one in decisions if one.route == status.route for i in one.inputs]
        frozen = {uid for chosen in inputs for uid in chosen.sop_instance_uids}
        series = {chosen.series_instance_uid for chosen in inputs}
        late = sum(
            one.series_instance_uid in series and one.sop_instance_uid not in frozen
            for one in self._store.studies.instances(uid)
        )
        if late > memory.late.get(status.route, 0):
            memory.late[status.route] = late
            reason = "came after the route's jobs were queued; not used"
            fields: dict[str, object] = {"study_instance_uid": uid, "route": status.route}
            fields |= {"reason": reason, "count": late}
            log_event(Event.ROUTE_LATE, level=logging.WARNING, **fields)
            self._store.events.record(Event.ROUTE_LATE, fields)

    # -- one route ------------------------------------------------------------------------

    def _look_at_route(
        self, study: StoredStudy, plan: RoutePlan, status: RouteStatus | None, now: datetime
    ) -> datetime | None:
        """Do what is due; return when to look again."""
        judgement = judge(plan, study.summary, self._options, now)
        completion, again = self._complete(study, plan, judgement, now)
        uid = study.summary.study_instance_uid
        match completion.outcome:
            case Outcome.WAITING:
                self._wait(uid, plan, status, completion.reason, completion.deadline)
                return again
            case Outcome.HELD:
                summary = f"held: {completion.reason}; {judgement.decision.summary}"
                decision = replace(judgement.decision, matched=False, inputs=(), summary=summary)
                self._hold(uid, decision, completion.reason)
            case Outcome.CLOSED:
                self._decide(study, plan, judgement, completion)
        return None

    def _complete(
        self, study: StoredStudy, plan: RoutePlan, judgement: Judgement, now: datetime
    ) -> tuple[Completion, datetime | None]:
        """Return the completion, after asking the route's peer where its counts matter."""
        options, assessment = plan.complete, judgement.assessment
        last = study.last_image_at()
        completion = evaluate(options, assessment, study.arrivals({}), last, now)
        again = completion.look_again_at
        if not completion.is_quiet or options.query is None:
            return completion, again
        uid = study.summary.study_instance_uid
        counted = self._counting.ask(options.query, uid, now)
        arrivals = study.arrivals(counted.by_series)
        completion = evaluate(options, assessment, arrivals, last, now)
        if not counted.answered:
            note = f"{options.query} did not say how many images there are"
            completion = replace(completion, notes=(*completion.notes, note))
        if completion.look_again_at is not None:
            ask_again = counted.asked_at + self._options.ask_counts_every
            again = min(completion.look_again_at, ask_again)
        return completion, again

    def _wait(
        self,
        uid: str,
        plan: RoutePlan,
        status: RouteStatus | None,
        reason: str,
        deadline: datetime | None,
    ) -> None:
        known = status is not None and status.state is RouteState.OPEN
        if known and status is not None and (status.reason, status.deadline) == (reason, deadline):
            return
        self._store.routes.waiting(uid, plan.route.name, reason, deadline)

    def _hold(self, uid: str, decision: RouteDecision, reason: str) -> None:
        self._store.routes.hold(uid, decision.route, reason, decision)
        log_event(
            Event.ROUTE_HELD,
            level=logging.WARNING,
            study_instance_uid=uid,
            route=decision.route,
            reason=reason,
        )

    def _decide(
        self,
        study: StoredStudy,
        plan: RoutePlan,
        judgement: Judgement,
        completion: Completion,
    ) -> None:
        now = self._clock.now()
        uid = study.summary.study_instance_uid
        signal = str(completion.signal)
        decision = judgement.decision
        if completion.notes:
            summary = "; ".join((decision.summary, *completion.notes))
            decision = replace(decision, summary=summary)
        if not decision.matched:
            self._close(uid, decision, signal)
            return
        runs = tuple(self._run(study, plan, judgement, name, now) for name in plan.route.run)
        jobs = self._store.commands.submit_runs(uid, decision, signal, runs, now)
        log_event(Event.ROUTE_CLOSED, study_instance_uid=uid, route=decision.route, signal=signal)
        for job in jobs:
            log_event(
                Event.JOB_QUEUED,
                study_instance_uid=uid,
                route=job.route,
                pipeline=job.pipeline,
                job=job.job_id,
            )
        self._wakeup.wake(Role.WORK)

    def _close(self, uid: str, decision: RouteDecision, signal: str) -> None:
        self._store.routes.close_without_jobs(uid, decision, signal)
        log_event(Event.ROUTE_CLOSED, study_instance_uid=uid, route=decision.route, signal=signal)

    def _run(
        self,
        study: StoredStudy,
        plan: RoutePlan,
        judgement: Judgement,
        pipeline: str,
        now: datetime,
    ) -> NewRun:
        release = self._options.pipelines[pipeline]
        return NewRun(
            pipeline=pipeline,
            pipeline_version=release.version,
            pipeline_digest=release.digest,
            priority=plan.priority,
            inputs=tuple(
                JobInput(
                    input_name=chosen.input_name,
                    sop_instance_uid=sop_instance_uid,
                    series_instance_uid=chosen.series_instance_uid,
                    spool_name=spool_name,
                )
                for chosen in judgement.decision.inputs
                if chosen.pipeline == pipeline
                for sop_instance_uid, spool_name in study.files(chosen)
            ),
            send=judgement.send,
            feedback_form=plan.feedback_form,
            run_after=now,
        )
