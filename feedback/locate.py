"""Gathers where a study is from the store and the spool: one function for page and command."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from appliance.core.model import Delivery, Door, Job
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
from feedback.whereabouts import (
    AnnouncedLine,
    DeliveryLine,
    FetchLine,
    InSpool,
    RouteLine,
    Rules,
    RunLine,
    SeriesLine,
    Whereabouts,
)
from results_store.announcements import Kind
from results_store.fetches import UNKNOWN, Fetch, FetchOutcome
from results_store.overview import Arrivals
from results_store.routes import RouteStatus, StoredDecision
from results_store.store import Store
from results_store.studies import StudyRow

_MOST_FOUND = 20
_ANNOUNCED = {Kind.MPPS: "procedure step", Kind.IAN: "images announced as"}
_DOORS = {Door.PUSHED: "", Door.FETCHED: "fetched: ", Door.IMPORTED: "imported: "}
_FETCHED = {
    FetchOutcome.RUNNING: (Mood.BUSY, "being fetched"),
    FetchOutcome.DONE: (Mood.READY, "fetched"),
    FetchOutcome.PARTIAL: (Mood.ATTENTION, "fetched in part"),
    FetchOutcome.FAILED: (Mood.ATTENTION, "not fetched"),
}
_PROOFS = {
    "c-find": "found at the destination by C-FIND",
    "none": "its answer, success; nothing more is asked",
}


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
    fetches = tuple(map(_fetch, store.fetches.of_study(study_uid)))
    if study is None and not (fetches or spool.not_yet_indexed or spool.quarantined):
        return None
    jobs = store.jobs.of_study(study_uid)
    routes = store.routes.of_study(study_uid)
    decisions = store.decisions.of_study(study_uid)
    told = _Told(rules=rules, late=late_words(store.events.of_study(study_uid)))
    return Whereabouts(
        study_instance_uid=study_uid,
        accession_number=study.accession_number if study else None,
        status=of_study(jobs, routes, decisions) if study else _of_nothing(spool, fetches),
        first_received_at=study.first_received_at if study else None,
        last_received_at=study.last_received_at if study else None,
        images=study.instance_count if study else 0,
        not_yet_indexed=spool.not_yet_indexed,
        doubts=store.studies.doubts(study_uid).sentences(),
        series=series_lines(store.overview.arrivals(study_uid)),
        fetches=fetches,
        announced=_announced(store, study_uid),
        routes=_routes(study, routes, decisions, jobs, told) if study else (),
        runs=tuple(_run(job) for job in sorted(jobs, key=lambda job: job.job_id)),
        deliveries=tuple(_sending(one, rules) for one in store.deliveries.of_study(study_uid)),
        quarantined=spool.quarantined,
    )


def _of_nothing(spool: InSpool, fetches: Sequence[FetchLine]) -> Status:
    """Return the one line on a study of which no image is indexed."""
    if spool.not_yet_indexed:
        return Status(mood=Mood.BUSY, words="Received; not looked at yet")
    if spool.quarantined:
        why = spool.quarantined[0].reason
        return Status(mood=Mood.ATTENTION, words="Nothing of it can be used", why=why)
    return fetches[-1].status


def _fetch(fetch: Fetch) -> FetchLine:
    mood, words = _FETCHED[fetch.outcome]
    return FetchLine(
        node=fetch.node,
        status=Status(mood=mood, words=words.capitalize(), why=fetch.reason),
        asked_by=fetch.asked_by,
        images=None if fetch.instances == UNKNOWN else fetch.instances,
        came=fetch.completed,
        asked_at=fetch.asked_at,
        ended_at=fetch.ended_at,
    )


def series_lines(arrivals: Iterable[Arrivals]) -> tuple[SeriesLine, ...]:
    """Return one line a series, in the order in which they began to come."""
    by_series: dict[str, list[Arrivals]] = {}
    for one in arrivals:
        by_series.setdefault(one.series_instance_uid, []).append(one)
    return tuple(_series(uid, some) for uid, some in by_series.items())


def _series(uid: str, arrivals: Sequence[Arrivals]) -> SeriesLine:
    images = [one for one in arrivals if one.current and not one.own]
    senders = (f"{_DOORS[one.door]}{one.calling_ae_title} ({one.peer_address})" for one in arrivals)
    return SeriesLine(
        series_instance_uid=uid,
        modality=next((one.modality for one in arrivals if one.modality), ""),
        images=sum(one.instances for one in images),
        frames=sum(one.frames for one in images),
        kept=sum(one.instances for one in images if one.is_here),
        own=sum(one.instances for one in arrivals if one.own),
        other_versions=sum(one.instances for one in arrivals if not (one.current or one.cut_off)),
        cut_off=sum(one.instances for one in arrivals if one.cut_off),
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
        shadow=job.shadow,
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
