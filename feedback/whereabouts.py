"""Where is a study: received, waiting, running, sent, or refused and why. For page and command.

One value says it all (`Whereabouts`), and one function makes it; the page and `appliance status`
only draw it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.core.model import Delivery, Job
from appliance.core.states import DeliveryState, JobState, RouteState
from appliance.core.uids import is_usable_uid
from feedback.status import (
    Mood,
    Status,
    late_words,
    latest_decisions,
    of_delivery,
    of_job,
    of_route,
    of_study,
    signal_words,
)
from results_store.announcements import Kind
from results_store.overview import Arrivals
from results_store.routes import RouteStatus, StoredDecision
from results_store.store import Store
from results_store.studies import StudyRow

_MOST_FOUND = 20
_ANNOUNCED = {Kind.MPPS: "procedure step", Kind.IAN: "images announced as"}
_PROOFS = {
    "c-find": "found at the destination by C-FIND",
    "none": "its answer, success; nothing more is asked",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """An instance of the study that is in quarantine."""

    name: str  # of the files in the spool's quarantine folder
    reason: str
    sop_instance_uid: str
    calling_ae_title: str
    peer_address: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InSpool:
    """What the spool has of a study that the store does not know."""

    not_yet_indexed: int = 0
    quarantined: tuple[Stray, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings say: quiet time by route, kind of proof by destination."""

    quiet: Mapping[str, timedelta]
    proof: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLine:
    """One series as it was received."""

    series_instance_uid: str
    modality: str
    images: int  # instances; our own, and versions that were replaced, not counted
    frames: int
    kept: int  # images whose files are still here
    own: int  # results of ours that came back
    replaced: int  # versions that a later one replaced
    senders: tuple[str, ...]  # "AE title (address)"
    first_received_at: datetime
    last_received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedLine:
    """What a modality or an archive announced: how many images it lists, and how many are here."""

    kind: str  # "mpps" or "ian"
    words: str
    calling_ae_title: str
    listed: int
    here: int
    announced_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLine:
    """What one route does with the study, or why nothing."""

    route: str
    status: Status
    opened_at: datetime
    quiet_until: datetime | None  # it goes on then at the latest, if no image comes and none lacks
    deadline: datetime | None  # when it is held, or goes on with what is there
    closed_at: datetime | None
    closed_by: str  # in words
    late: str  # what came after its jobs were queued, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run of a pipeline."""

    job_id: int
    route: str
    pipeline: str
    pipeline_version: str
    run_number: int
    status: Status
    attempt: int
    priority: str
    device: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One result object on its way."""

    delivery_id: int
    job_id: int
    kind: str
    destination: str
    sop_instance_uid: str
    status: Status
    proof: str  # what shows, or will show, that it arrived
    attempt: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """All that is known of the way of one study."""

    study_instance_uid: str
    accession_number: str | None
    status: Status
    first_received_at: datetime | None
    last_received_at: datetime | None
    images: int
    not_yet_indexed: int
    series: tuple[SeriesLine, ...]
    announced: tuple[AnnouncedLine, ...]
    routes: tuple[RouteLine, ...]
    runs: tuple[RunLine, ...]  # oldest first
    deliveries: tuple[DeliveryLine, ...]
    quarantined: tuple[Stray, ...]


def find(
    store: Store, text: str, rules: Rules, in_spool: Callable[[str], InSpool]
) -> tuple[Whereabouts, ...]:
    """Return where the studies with exactly this Study Instance UID or accession number are."""
    studies = store.studies.search(accession_number=text, limit=_MOST_FOUND)
    uids = [text] if is_usable_uid(text) else []
    uids += [study.study_instance_uid for study in studies]
    found = (whereabouts(store, uid, rules, in_spool(uid)) for uid in dict.fromkeys(uids))
    return tuple(one for one in found if one is not None)


def whereabouts(store: Store, study_uid: str, rules: Rules, spool: InSpool) -> Whereabouts | None:
    """Return where the study is; None where neither the store nor the spool knows it."""
    study = store.studies.get(study_uid)
    if study is None:
        return _unindexed(study_uid, spool)
    jobs = store.jobs.of_study(study_uid)
    routes = store.routes.of_study(study_uid)
    decisions = store.decisions.of_study(study_uid)
    late = late_words(store.events.of_study(study_uid))
    return Whereabouts(
        study_instance_uid=study_uid,
        accession_number=study.accession_number,
        status=of_study(jobs, routes, decisions),
        first_received_at=study.first_received_at,
        last_received_at=study.last_received_at,
        images=study.instance_count,
        not_yet_indexed=spool.not_yet_indexed,
        series=series_lines(store.overview.arrivals(study_uid)),
        announced=_announced(store, study_uid),
        routes=_routes(study, routes, decisions, jobs, _Told(rules=rules, late=late)),
        runs=tuple(_run(job) for job in sorted(jobs, key=lambda job: job.job_id)),
        deliveries=tuple(_sending(one, rules) for one in store.deliveries.of_study(study_uid)),
        quarantined=spool.quarantined,
    )


def _unindexed(study_uid: str, spool: InSpool) -> Whereabouts | None:
    if not spool.not_yet_indexed and not spool.quarantined:
        return None
    if spool.not_yet_indexed:
        status = Status(mood=Mood.BUSY, words="Received; not looked at yet")
    else:
        why = spool.quarantined[0].reason
        status = Status(mood=Mood.ATTENTION, words="Nothing of it can be used", why=why)
    return Whereabouts(
        study_instance_uid=study_uid,
        accession_number=None,
        status=status,
        first_received_at=None,
        last_received_at=None,
        images=0,
        not_yet_indexed=spool.not_yet_indexed,
        series=(),
        announced=(),
        routes=(),
        runs=(),
        deliveries=(),
        quarantined=spool.quarantined,
    )


def series_lines(arrivals: Iterable[Arrivals]) -> tuple[SeriesLine, ...]:
    """Return one line a series, in the order in which they began to come."""
    by_series: dict[str, list[Arrivals]] = {}
    for one in arrivals:
        by_series.setdefault(one.series_instance_uid, []).append(one)
    return tuple(_series(uid, some) for uid, some in by_series.items())


def _series(uid: str, arrivals: Sequence[Arrivals]) -> SeriesLine:
    images = [one for one in arrivals if one.current and not one.own]
    senders = (f"{one.calling_ae_title} ({one.peer_address})" for one in arrivals)
    return SeriesLine(
        series_instance_uid=uid,
        modality=arrivals[0].modality,
        images=sum(one.instances for one in images),
        frames=sum(one.frames for one in images),
        kept=sum(one.instances for one in images if one.is_here),
        own=sum(one.instances for one in arrivals if one.own),
        replaced=sum(one.instances for one in arrivals if not one.current),
        senders=tuple(dict.fromkeys(senders)),
        first_received_at=min(one.first_received_at for one in arrivals),
        last_received_at=max(one.last_received_at for one in arrivals),
    )


def _announced(store: Store, study_uid: str) -> tuple[AnnouncedLine, ...]:
    here = {one.sop_instance_uid for one in store.studies.instances(study_uid)}
    lines = []
    for one in store.announcements.of_study(study_uid):
        listed = frozenset().union(*one.listed.values())
        lines.append(
            AnnouncedLine(
                kind=one.kind.value,
                words=f"{_ANNOUNCED[one.kind]} {one.state.value}",
                calling_ae_title=one.calling_ae_title,
                listed=len(listed),
                here=len(listed & here),
                announced_at=one.announced_at,
            )
        )
    return tuple(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What all routes of a study share."""

    rules: Rules
    late: Mapping[str, str]  # by route


def _routes(
    study: StudyRow,
    routes: Sequence[RouteStatus],
    decisions: Sequence[StoredDecision],
    jobs: Sequence[Job],
    told: _Told,
) -> tuple[RouteLine, ...]:
    decided = latest_decisions(decisions)
    ran = {job.route for job in jobs}
    return tuple(
        _route(study, one, decided.get(one.route), told, has_run=one.route in ran) for one in routes
    )


def _route(
    study: StudyRow,
    route: RouteStatus,
    decision: StoredDecision | None,
    told: _Told,
    *,
    has_run: bool,
) -> RouteLine:
    status = of_route(route, decision)
    if has_run and route.state is RouteState.CLOSED:
        why = decision.decision.summary if decision else ""
        status = Status(mood=Mood.READY, words="Run; see below", why=why)
    quiet = told.rules.quiet.get(route.route)
    is_open = route.state is RouteState.OPEN
    return RouteLine(
        route=route.route,
        status=status,
        opened_at=route.opened_at,
        quiet_until=study.last_received_at + quiet if is_open and quiet else None,
        deadline=route.deadline if is_open else None,
        closed_at=route.closed_at,
        closed_by=signal_words(route.signal),
        late=told.late.get(route.route, ""),
    )


def _run(job: Job) -> RunLine:
    return RunLine(
        job_id=job.job_id,
        route=job.route,
        pipeline=job.pipeline,
        pipeline_version=job.pipeline_version,
        run_number=job.run_number,
        status=of_job(job),
        attempt=job.attempt,
        priority=job.priority.value,
        device=job.device,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        next_attempt_at=job.run_after if job.state is JobState.RETRYING else None,
    )


def _sending(delivery: Delivery, rules: Rules) -> DeliveryLine:
    proof = rules.proof.get(delivery.destination, "")
    tries = delivery.state is DeliveryState.PENDING and delivery.attempt > 0
    return DeliveryLine(
        delivery_id=delivery.delivery_id,
        job_id=delivery.job_id,
        kind=delivery.result.kind,
        destination=delivery.destination,
        sop_instance_uid=delivery.result.sop_instance_uid,
        status=of_delivery(delivery),
        proof=_PROOFS.get(proof, "the settings no longer have this destination"),
        attempt=delivery.attempt,
        next_attempt_at=delivery.not_before if tries else None,
        delivered_at=delivery.delivered_at,
    )
