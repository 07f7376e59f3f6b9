"""Claims jobs one after another and settles how each attempt ended."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.errors import (
    BadInstance,
    ConfigError,
    InputRefused,
    PermanentPipelineError,
    StaleClaim,
    TransientPipelineError,
)
from appliance.core.log import Event, log_event
from appliance.core.model import Job
from appliance.core.ports import Role, Wakeup
from appliance.core.states import JobEvent, JobState
from appliance.jobs.attempt import Attempt, Released, Tools
from appliance.jobs.heartbeat import Heartbeat
from appliance.jobs.reasons import in_words

# The first class that an error is decides.
EVENTS: Mapping[type[Exception], JobEvent] = {
    Released: JobEvent.RELEASE,
    InputRefused: JobEvent.REFUSE,
    TransientPipelineError: JobEvent.FAIL_TRANSIENT,
    PermanentPipelineError: JobEvent.FAIL_PERMANENT,
    BadInstance: JobEvent.FAIL_PERMANENT,
    ConfigError: JobEvent.FAIL_PERMANENT,
    OSError: JobEvent.FAIL_TRANSIENT,  # a full disk, a file system that is not mounted
}

_LOGGED: Mapping[JobEvent, Event] = {
    JobEvent.RELEASE: Event.JOB_RETRYING,
    JobEvent.FAIL_TRANSIENT: Event.JOB_RETRYING,
    JobEvent.REFUSE: Event.JOB_REFUSED,
    JobEvent.EXHAUST: Event.JOB_FAILED,
    JobEvent.FAIL_PERMANENT: Event.JOB_FAILED,
}


class Worker:
    """One job at a time. `step` is called in a loop; `stop` may be called by a signal handler."""

    def __init__(self, tools: Tools, wakeup: Wakeup) -> None:
        self._tools = tools
        self._wakeup = wakeup
        self._stopping = False

    def stop(self) -> None:
        """Give back the job that runs now, without counting the attempt, and claim no other."""
        self._stopping = True

    def step(self) -> timedelta:
        """Do one job, or return how long there will be nothing to do as far as is known."""
        options, clock = self._tools.options, self._tools.clock
        self._expire_leases()
        if self._stopping:
            return options.poll
        names = tuple(options.pipelines)
        job = self._tools.store.jobs.claim(options.name, names, options.lease, clock.now())
        if job is None:
            return self._until_due()
        crash_point(CrashPoint.JOB_AFTER_CLAIM)
        log_event(Event.JOB_CLAIMED, **_who(job), worker=options.name)
        self._attempt(job)
        return timedelta(0)

    def _attempt(self, job: Job) -> None:
        tools = self._tools
        with (
            _Settlement(job, tools) as settlement,
            Heartbeat(tools.store.jobs, job.claim(), tools.options, tools.clock) as heartbeat,
        ):
            attempt = Attempt(job, tools, heartbeat, lambda: self._stopping)
            settlement.seconds = attempt.seconds
            completed = attempt.run()
            seconds = round(sum(completed.seconds.values()), 3)
            log_event(Event.JOB_DONE, **_who(job), device=completed.device, seconds=seconds)
            self._wakeup.wake(Role.DELIVER)

    def _until_due(self) -> timedelta:
        now, poll = self._tools.clock.now(), self._tools.options.poll
        due = self._tools.store.jobs.next_due(now)
        return poll if due is None else min(poll, due - now)

    def _expire_leases(self) -> None:
        now, backoff = self._tools.clock.now(), self._tools.options.backoff
        for job in self._tools.store.jobs.expire_leases(now, backoff):
            event = Event.JOB_FAILED if job.state is JobState.FAILED else Event.JOB_RETRYING
            log_event(event, level=logging.WARNING, **_who(job), reason=job.reason)


class _Settlement:
    """Writes how an attempt ended, whatever it ended of.

    Errors that the table knows are settled with that. Others are ours: the attempt is settled,
    and they go on to the service loop, which tells of them.
    """

    def __init__(self, job: Job, tools: Tools) -> None:
        self._job = job
        self._tools = tools
        self.seconds: Mapping[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        try:
            if not isinstance(error, StaleClaim):
                event = event_of(error)
                self._fail(event, reason_of(error, trace) if event in _LOGGED else "")
        except StaleClaim as stale:
            error = stale
        if isinstance(error, StaleClaim):
            log_event(Event.JOB_LOST_CLAIM, level=logging.WARNING, **_who(self._job))
        return isinstance(error, (*EVENTS, StaleClaim))

    def _fail(self, event: JobEvent, reason: str) -> None:
        tools, job, run_after = self._tools, self._job, None
        now = tools.clock.now()
        if event is JobEvent.FAIL_TRANSIENT:
            delay = tools.options.backoff.delay_after(job.attempt)
            run_after = None if delay is None else now + delay
            event = JobEvent.EXHAUST if delay is None else event
        tools.store.jobs.fail(job.claim(), event, reason, run_after, self.seconds, now)
        level = logging.INFO if event is JobEvent.REFUSE else logging.WARNING
        log_event(_LOGGED[event], level=level, **_who(job), reason=reason)


def event_of(error: BaseException) -> JobEvent:
    """Return what an attempt's error does to its job."""
    for kind, event in EVENTS.items():
        if isinstance(error, kind):
            return event
    # Not foreseen. The same again may fail the same way, but attempts are counted; one that
    # only asks this process to end is not the job's fault.
    return JobEvent.FAIL_TRANSIENT if isinstance(error, Exception) else JobEvent.RELEASE


def reason_of(error: BaseException, trace: TracebackType | None) -> str:
    """Return why in words."""
    return "the worker was stopped" if isinstance(error, Released) else in_words(error, trace)


def _who(job: Job) -> dict[str, Any]:
    return {
        "job": job.job_id,
        "attempt": job.attempt,
        "pipeline": job.pipeline,
        "version": job.pipeline_version,
        "route": job.route,
        "study_instance_uid": job.study_instance_uid,
    }
