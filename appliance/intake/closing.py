"""One open route of one study: judged now, then it waits, is held, or closes with its jobs."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.model import Job, JobInput, RouteDecision
from appliance.core.ports import Role, Wakeup
from appliance.core.states import RouteState
from appliance.intake.completion import Completion, Outcome, Said, evaluate
from appliance.intake.counting import Counting, SeriesCounts
from appliance.intake.judge import Judgement, judge
from appliance.intake.library import StoredStudy
from appliance.intake.options import IntakeOptions, RoutePlan
from results_store.commands import NewRun
from results_store.routes import RouteStatus
from results_store.store import Store


class Closer:
    """Moves open routes of studies."""

    def __init__(
        self,
        *,
        options: IntakeOptions,
        store: Store,
        clock: Clock,
        wakeup: Wakeup,
        counts: Mapping[str, SeriesCounts],
    ) -> None:
        self._options = options
        self._store = store
        self._clock = clock
        self._wakeup = wakeup
        self._counting = Counting(counts, options.ask_counts_every)

    def look(
        self, study: StoredStudy, plan: RoutePlan, status: RouteStatus | None, now: datetime
    ) -> datetime | None:
        """Do what is due; return when to look again."""
        judgement = judge(plan, study.summary, self._options, now)
        uid = study.summary.study_instance_uid
        released_by = status.released_by if status is not None else None
        said = self._said(study, released_by)
        completion, again = self._complete(study, plan, judgement, said, now)
        match completion.outcome:
            case Outcome.WAITING:
                self.wait(uid, plan, status, completion.reason, completion.deadline)
                return again
            case Outcome.HELD:
                self._hold(uid, judgement.decision, completion.reason)
            case Outcome.CLOSED:
                doubt = self._doubt(uid, judgement.decision)
                if doubt and released_by is None:
                    self._hold(uid, judgement.decision, doubt)
                else:
                    notes = (*completion.notes, doubt) if doubt else completion.notes
                    self._decide(study, plan, judgement, replace(completion, notes=notes))
        return None

    def would_close(self, study: StoredStudy, plan: RoutePlan, now: datetime) -> bool:
        """Return whether a held route would close now. Asks the route's peer."""
        judgement = judge(plan, study.summary, self._options, now)
        completion, _ = self._complete(study, plan, judgement, self._said(study, None), now)
        uid = study.summary.study_instance_uid
        return completion.outcome is Outcome.CLOSED and not self._doubt(uid, judgement.decision)

    def _said(self, study: StoredStudy, released_by: str | None) -> Said:
        uid = study.summary.study_instance_uid
        return Said(
            announced=self._store.announcements.of_study(uid),
            here=study.series_uids(),
            released_by=released_by,
        )

    def _complete(
        self, study: StoredStudy, plan: RoutePlan, judgement: Judgement, said: Said, now: datetime
    ) -> tuple[Completion, datetime | None]:
        """Return the completion, after asking the route's peer where its counts matter."""
        options, assessment = plan.complete, judgement.assessment
        last = study.last_image_at()
        completion = evaluate(options, assessment, study.arrivals({}), last, now, said)
        again = completion.look_again_at
        if not completion.is_quiet or options.query is None:
            return completion, again
        uid = study.summary.study_instance_uid
        counted = self._counting.ask(options.query, uid, now)
        arrivals = study.arrivals(counted.by_series)
        completion = evaluate(options, assessment, arrivals, last, now, said)
        if not counted.answered:
            note = f"{options.query} did not say how many images there are"
            completion = replace(completion, notes=(*completion.notes, note))
        if completion.look_again_at is not None:
            ask_again = counted.asked_at + self._options.ask_counts_every
            again = min(completion.look_again_at, ask_again)
        return completion, again

    def wait(
        self,
        uid: str,
        plan: RoutePlan,
        status: RouteStatus | None,
        reason: str,
        deadline: datetime | None,
    ) -> None:
        """Note why the route waits, if that is news."""
        known = status is not None and status.state is RouteState.OPEN
        if known and status is not None and (status.reason, status.deadline) == (reason, deadline):
            return
        self._store.routes.waiting(uid, plan.route.name, reason, deadline)

    def _doubt(self, uid: str, decision: RouteDecision) -> str:
        """Return what a person must look at before anything runs; "" where nothing would."""
        return self._store.studies.doubts(uid).sentence() if decision.matched else ""

    def _hold(self, uid: str, decision: RouteDecision, reason: str) -> None:
        summary = f"held: {reason}; {decision.summary}"
        self.hold(uid, replace(decision, matched=False, inputs=(), summary=summary), reason)

    def hold(self, uid: str, decision: RouteDecision, reason: str) -> None:
        """Hold the route until something is known that it lacks."""
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
            self.close(uid, decision, signal)
            return
        runs = tuple(self._run(study, plan, judgement, name, now) for name in plan.route.run)
        runs = self._with_news(uid, decision.route, runs)
        jobs = self._store.commands.submit_runs(uid, decision, signal, runs, now)
        log_event(Event.ROUTE_CLOSED, study_instance_uid=uid, route=decision.route, signal=signal)
        for job in jobs:
            log_event(
                Event.JOB_QUEUED,
                study_instance_uid=uid,
                route=job.route,
                pipeline=job.pipeline,
                job=job.job_id,
                reason=f"shadow: {job.shadow}" if job.shadow else "",
            )
        self._wakeup.wake(Role.WORK)

    def _with_news(self, uid: str, route: str, runs: tuple[NewRun, ...]) -> tuple[NewRun, ...]:
        """Return the runs without those whose pipeline ran last on these very images.

        What ran in shadow then, and would go out now, runs again.
        """
        jobs = sorted(self._store.jobs.of_study(uid), key=lambda job: job.run_number)
        last = {job.pipeline: job for job in jobs if job.route == route}
        return tuple(run for run in runs if _is_news(run, last.get(run.pipeline)))

    def close(self, uid: str, decision: RouteDecision, signal: str) -> None:
        """Close the route with a decision that runs nothing."""
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
        installed = self._options.pipelines[pipeline]
        shadow = judgement.shadows.get(pipeline, "")
        return NewRun(
            pipeline=pipeline,
            pipeline_version=installed.version,
            pipeline_digest=installed.digest,
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
            send=() if shadow else plan.send,
            shadow=shadow,
            feedback_form=plan.feedback_form,
            run_after=now,
        )


def _is_news(run: NewRun, last: Job | None) -> bool:
    if last is None or _images(run.inputs) != _images(last.inputs):
        return True
    return bool(last.shadow) and not run.shadow


def _images(inputs: Iterable[JobInput]) -> frozenset[tuple[str, str]]:
    return frozenset((one.input_name, one.sop_instance_uid) for one in inputs)
