"""What `appliance status` and the status pages see: store, spool, counters, disk, roles."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress

from appliance.core.errors import BadInstance
from appliance.core.model import Delivery, Job
from appliance.core.ports import Role
from appliance.core.product import VERSION
from appliance.core.states import DeliveryState, JobState
from appliance.service import is_listening
from appliance.settings.model import Settings
from appliance.wiring.shelf import pipelines_now
from appliance.wiring.site import Site
from feedback.locate import find
from feedback.system import (
    DiskLine,
    Lookout,
    PeerLine,
    PipelineLine,
    RoleLine,
    SystemStatus,
)
from feedback.whereabouts import InSpool, Rules, Stray, Whereabouts
from results_store.store import Store
from scp.association import Refusal
from scp.notices import Notices
from scp.quarantine import Quarantined, read_quarantine
from scp.status import STATUSES, Outcome
from scp.tally import ACCEPTED, PeerTally, read_tallies

_NEWEST = 1000
_PROBLEMS = 5
_RECENT = 20  # results that are looked at for isolation


def lookout(site: Site) -> Lookout:
    """Return what the pages ask."""
    pipelines = pipelines_now(site.settings, site.clock)
    return Lookout(
        rules=_rules(site.settings),
        in_spool=lambda study: in_spool(site, study),
        system=lambda: _system_status(site, pipelines()),
        pipelines=pipelines,
    )


def where_is(site: Site, text: str) -> tuple[Whereabouts, ...]:
    """Return where the study of this Study Instance UID is, or those of this accession number."""
    rules = _rules(site.settings)
    return find(site.store, text, rules, lambda study: in_spool(site, study))


def in_spool(site: Site, study_uid: str) -> InSpool:
    """Return what the spool has of a study that the store does not know."""
    waiting = 0
    for name in site.spool.new_entries()[:_NEWEST]:
        with suppress(BadInstance, OSError):  # indexed just now, or intake will tell
            waiting += site.spool.read(name).study_instance_uid == study_uid
    bad = (one for one in read_quarantine(site.folders.spool) if one.study_instance_uid)
    return InSpool(
        not_yet_indexed=waiting,
        quarantined=tuple(_stray(one) for one in bad if one.study_instance_uid == study_uid),
    )


def system_status(site: Site) -> SystemStatus:
    """Return how everything is now."""
    return _system_status(site, pipelines_now(site.settings, site.clock)())


def _system_status(site: Site, pipelines: tuple[PipelineLine, ...]) -> SystemStatus:
    store = site.store
    return SystemStatus(
        now=site.clock.now(),
        version=VERSION,
        roles=tuple(
            RoleLine(role=role.value, runs=is_listening(site.folders.run, role)) for role in Role
        ),
        disk=_disk(site),
        not_yet_indexed=len(site.spool.new_entries()),
        quarantined=len(site.spool.quarantined()),
        notices=len(Notices(site.folders.spool).names()),
        open_studies=len(store.studies.dirty()),
        routes=store.overview.routes(),
        jobs=store.overview.jobs(),
        deliveries=store.overview.deliveries(),
        paused=tuple(sorted(f"{kind} {name}" for kind, name in store.controls.paused())),
        pipelines=pipelines,
        stranded=tuple(stranded(site.settings, store)),
        last_problems=_problems(store),
        peers=tuple(map(peer_line, read_tallies(site.folders.tallies))),
    )


def stranded(settings: Settings, store: Store) -> list[str]:
    """Return a sentence for what waits for a destination or pipeline that the settings lack."""
    deliveries, jobs = store.deliveries.under_way(), store.jobs.unfinished()
    return [
        *(
            f"{count} deliveries wait for destination {name!r}, which the settings do not have; "
            "put it back, or end them with `appliance deliveries cancel`"
            for name, count in deliveries.items()
            if name not in settings.destinations
        ),
        *(
            f"{count} jobs wait for pipeline {name!r}, which the settings do not have; "
            "put it back, or end them with `appliance jobs cancel`"
            for name, count in jobs.items()
            if name not in settings.pipelines
        ),
    ]


def peer_line(tally: PeerTally) -> PeerLine:
    """Return the caller's counts in words."""
    counts = dict(tally.counts)
    associations = counts.pop(ACCEPTED, 0)
    stored, duplicates = counts.pop(Outcome.STORED, 0), counts.pop(Outcome.DUPLICATE, 0)
    rejected = {why.value: counts.pop(why) for why in Refusal if why in counts}
    refused = {
        STATUSES[why].comment or why.value: counts.pop(why) for why in Outcome if why in counts
    }
    return PeerLine(
        calling_ae_title=tally.calling_ae_title,
        peer_address=tally.peer_address,
        associations=associations,
        rejected=rejected,
        stored=stored,
        duplicates=duplicates,
        refused=refused,
        others=counts,
        size=tally.size,
        last_seen=tally.last_seen,
    )


def _rules(settings: Settings) -> Rules:
    proofs: Mapping[str, str] = {name: one.verify for name, one in settings.destinations.items()}
    quiet = {route.name: route.complete.quiet for route in settings.routes}
    return Rules(quiet=quiet, proof=proofs)


def _disk(site: Site) -> DiskLine:
    limits = site.settings.receiver.disk
    usage = shutil.disk_usage(site.folders.spool)
    if usage.free < limits.refuse_below:
        words = "full: images are refused until there is room again"
    elif usage.free < limits.warn_below:
        words = "low: images that nothing needs are deleted before their time"
    else:
        words = "enough room"
    return DiskLine(
        free=usage.free,
        size=usage.total,
        warn_below=limits.warn_below,
        refuse_below=limits.refuse_below,
        words=words,
    )


def _problems(store: Store) -> tuple[str, ...]:
    failed = store.jobs.list(state=JobState.FAILED, limit=_PROBLEMS, cohorts=False)
    stuck: Sequence[Delivery] = [
        delivery
        for state in (DeliveryState.FAILED, DeliveryState.HELD)
        for delivery in store.deliveries.list(state=state, limit=_PROBLEMS)
    ]
    return (*map(_job_problem, failed), *map(_delivery_problem, stuck), *not_isolated(store))


def not_isolated(store: Store) -> list[str]:
    """Return a sentence for each pipeline whose latest result was made without isolation."""
    latest: dict[str, Job] = {}
    for job in store.jobs.list(state=JobState.DONE, limit=_RECENT):
        latest.setdefault(job.pipeline, job)
    return [
        f"{name} is not isolated: in job {job.job_id} it could {', '.join(job.gaps)}; the reason "
        "is in the log of the worker (child.started)"
        for name, job in sorted(latest.items())
        if job.gaps
    ]


def _job_problem(job: Job) -> str:
    return f"job {job.job_id}: {job.reason}"


def _delivery_problem(delivery: Delivery) -> str:
    return f"delivery {delivery.delivery_id}: {delivery.reason}"


def _stray(one: Quarantined) -> Stray:
    return Stray(
        name=one.name,
        reason=one.reason,
        sop_instance_uid=one.sop_instance_uid,
        calling_ae_title=one.calling_ae_title,
        peer_address=one.peer_address,
        received_at=one.received_at,
    )
