"""What the page of one study says, gathered from the store (no drawing, no HTTP)."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo

from appliance.core.model import FeedbackEntry, Finding, Job, Reason, RouteDecision, Segment
from appliance.core.states import DeliveryState, JobState, RouteState
from feedback.cards import Card, Cards
from feedback.forms import Form, spoken
from feedback.measured import TableRow, table, withheld
from feedback.site import WebSources
from feedback.status import (
    ACTIVE,
    Status,
    late_words,
    latest_decisions,
    newest_runs,
    object_words,
    of_delivery,
    of_job,
    of_route,
    signal_words,
)
from pipelines.quality import FLAG
from results_store.studies import StudyRow

_ON_THE_WAY = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.SENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An earlier answer, in the form's words."""

    entry: FeedbackEntry
    said: tuple[tuple[str, str], ...]
    is_replaced: bool
    is_own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run and everything that hangs on it."""

    job: Job
    status: Status
    card: Card | None  # of the version that made the result
    made_on: date  # where the site is
    segments: tuple[Segment, ...]
    rows: tuple[TableRow, ...]
    withheld: tuple[str, ...]  # what was not measured, and why
    flags: tuple[str, ...]  # what about the study is outside of what the model was made for
    notes: tuple[str, ...]
    objects: Mapping[str, int]  # how many of each kind, in words
    is_shadow: bool
    deliveries: tuple[Status, ...]
    delivering: bool
    newer: Job | None  # the run that replaces this one
    changed_since: tuple[str, ...]  # what its images say otherwise by now
    form_name: str
    form: Form
    series_instance_uid: str

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """Return what was measured in which unit, each pair once."""
        return tuple(dict.fromkeys((row.measured, row.unit) for row in self.rows if row.measured))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesReasons:
    """The conditions on one candidate series."""

    series_instance_uid: str | None  # None: conditions on the study
    chosen: str  # why this series won; "" for the others
    reasons: tuple[Reason, ...]

    @property
    def met(self) -> int:
        """Return how many conditions hold."""
        return sum(reason.holds for reason in self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """One route: where it stands and why."""

    route: str
    status: Status | None  # None where a run tells it
    decision: RouteDecision | None
    closed_by: str  # what led to the decision, in words
    late: str  # how many images came after its jobs were queued, and what came of them
    is_held: bool
    series: tuple[SeriesReasons, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One study, with one of its runs in front (or none)."""

    study: StudyRow
    run: RunView | None
    runs: tuple[tuple[Job, Status], ...]  # all, newest first
    routes: tuple[RouteView, ...]
    doubts: tuple[str, ...]  # what a person has to look at
    unsettled: bool  # something may still change by itself
    mark: str  # differs when anything that is said of runs and routes differs


class Reviewer:
    """Gathers reviews."""

    def __init__(self, sources: WebSources, cards: Cards, zone: tzinfo) -> None:
        self._sources = sources
        self._cards = cards
        self._zone = zone
        self._store = sources.store

    def of_study(self, study: StudyRow, job_id: int | None) -> Review | None:
        """Return the review with run `job_id` in front (None: the best); None for a strange one."""
        uid = study.study_instance_uid
        jobs = self._store.jobs.of_study(uid)
        shown = choose(jobs, job_id)
        if job_id is not None and shown is None:
            return None
        routes = self._store.routes.of_study(uid)
        open_routes = [route for route in routes if route.state is RouteState.OPEN]
        views = self._routes(uid, {job.route for job in jobs})
        return Review(
            study=study,
            run=None if shown is None else self._run(shown, jobs),
            runs=tuple((job, of_job(job)) for job in sorted(jobs, key=lambda j: -j.job_id)),
            routes=views,
            doubts=self._store.studies.doubts(uid).sentences(),
            unsettled=bool(open_routes) or not routes or any(job.state in ACTIVE for job in jobs),
            mark=_mark(jobs, views),
        )

    def answers(self, run: RunView, account: str) -> tuple[Answered, ...]:
        """Return what was said of the run, newest first."""
        entries = self._store.feedback.of_job(run.job.job_id)
        replaced = {entry.replaces for entry in entries}
        forms = self._sources.forms
        return tuple(
            Answered(
                entry=entry,
                said=spoken(forms.get(entry.form), entry.answers),
                is_replaced=entry.feedback_id in replaced,
                is_own=entry.account == account,
            )
            for entry in reversed(entries)
        )

    def _run(self, job: Job, jobs: Sequence[Job]) -> RunView:
        results = self._store.results
        segments = results.segments(job.job_id)
        findings = results.findings(job.job_id)
        deliveries = [
            delivery
            for delivery in self._store.deliveries.of_study(job.study_instance_uid)
            if delivery.job_id == job.job_id
        ]
        form_name = self._store.jobs.feedback_form(job.job_id) or "default"
        notes = results.notes(job.job_id)
        return RunView(
            job=job,
            status=of_job(job),
            card=self._cards.of(job.pipeline_digest),
            made_on=job.created_at.astimezone(self._zone).date(),
            segments=segments,
            rows=table(findings, segments),
            withheld=withheld(findings),
            flags=tuple(note for note in notes if note.startswith(FLAG)),
            notes=tuple(note for note in notes if not note.startswith(FLAG)),
            objects=Counter(object_words(item.kind) for item in results.objects(job.job_id)),
            is_shadow=not self._store.jobs.sends(job.job_id),
            deliveries=tuple(of_delivery(delivery) for delivery in deliveries),
            delivering=any(delivery.state in _ON_THE_WAY for delivery in deliveries),
            changed_since=self._store.studies.identity_changes(job.study_instance_uid).get(
                job.job_id, ()
            ),
            newer=next((other for other in jobs if other.supersedes == job.job_id), None),
            form_name=form_name if form_name in self._sources.forms else "default",
            form=self._sources.forms.get(form_name, self._sources.forms["default"]),
            series_instance_uid=_series(job, findings),
        )

    def _routes(self, study_uid: str, with_jobs: set[str]) -> tuple[RouteView, ...]:
        decided = latest_decisions(self._store.decisions.of_study(study_uid))
        late = late_words(self._store.events.of_study(study_uid))
        views = []
        for route in self._store.routes.of_study(study_uid):
            stored = decided.get(route.route)
            is_told = route.route in with_jobs and route.state is RouteState.CLOSED
            views.append(
                RouteView(
                    route=route.route,
                    status=None if is_told else of_route(route, stored),
                    decision=stored.decision if stored else None,
                    closed_by=signal_words(stored.signal) if stored else "",
                    late=late.get(route.route, ""),
                    is_held=route.state is RouteState.HELD,
                    series=by_series(stored.decision) if stored else (),
                )
            )
        return tuple(views)


def choose(jobs: Sequence[Job], job_id: int | None) -> Job | None:
    """Return the run to show: the one asked for, else a newest one, with a result if any has.

    A cohort's run stands behind those that routes asked for.
    """
    if job_id is not None:
        return next((job for job in jobs if job.job_id == job_id), None)
    newest = sorted(newest_runs(jobs), key=lambda job: job.is_of_cohort)
    done = [job for job in newest if job.state is JobState.DONE]
    return next(iter(done or newest), None)


def by_series(decision: RouteDecision) -> tuple[SeriesReasons, ...]:
    """Return the reasons by series: the study's first, then the chosen, then the nearest misses."""
    chosen = {chosen.series_instance_uid: chosen.why for chosen in decision.inputs}
    grouped: dict[str | None, list[Reason]] = {}
    for reason in decision.reasons:
        grouped.setdefault(reason.series_instance_uid, []).append(reason)
    groups = [
        SeriesReasons(
            series_instance_uid=uid,
            chosen=chosen.get(uid, "") if uid is not None else "",
            reasons=tuple(reasons),
        )
        for uid, reasons in grouped.items()
    ]
    return tuple(sorted(groups, key=_order))


def _order(group: SeriesReasons) -> tuple[bool, bool, int]:
    is_series = group.series_instance_uid is not None
    return (is_series, not group.chosen, len(group.reasons) - group.met)


def _series(job: Job, findings: Sequence[Finding]) -> str:
    """Return the series whose frames carry the marks, else the first input's."""
    marked = (finding.region.series_instance_uid for finding in findings if finding.region)
    inputs = (item.series_instance_uid for item in job.inputs)
    return next(marked, next(inputs, ""))


def _mark(jobs: Sequence[Job], routes: Sequence[RouteView]) -> str:
    said = [f"{job.job_id} {job.state}" for job in jobs]
    said += [f"{view.route} {view.status}" for view in routes]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
