"""Intake: the orchestrator, retention, and the same decision for `explain`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from appliance.core.clock import SystemClock
from appliance.core.errors import StoreError
from appliance.core.model import RouteDecision, StudySummary
from appliance.core.objections import Objection
from appliance.core.ports import Role
from appliance.intake.bulletins import Bulletins
from appliance.intake.commitment import Committer
from appliance.intake.committing import Committing
from appliance.intake.compare import Comparer
from appliance.intake.explain import (
    as_data,
    as_lines,
    decisions_for,
    series_labels,
    standing_data,
    standing_lines,
)
from appliance.intake.facts import FactsOf
from appliance.intake.folder import study_from_folder
from appliance.intake.indexer import Indexer
from appliance.intake.library import Library
from appliance.intake.options import (
    Backfill,
    Ceiling,
    CommitmentOptions,
    CompleteOptions,
    IntakeOptions,
    Late,
    RetentionOptions,
    RoutePlan,
)
from appliance.intake.orchestrator import Orchestrator
from appliance.intake.retention import Retention
from appliance.intake.scan import HeaderCache
from appliance.routing.rules import Route, attributes_needed
from appliance.service import Service, Stop
from appliance.settings.model import Settings
from appliance.settings.work import RouteSettings
from appliance.wiring.alone import alone
from appliance.wiring.catalogue import FolderWatch, Installed, installed
from appliance.wiring.frames import frames_digest
from appliance.wiring.nodes import commitment_reports, series_counts
from appliance.wiring.registry import register
from appliance.wiring.releases import all_objections
from appliance.wiring.site import Site, load, open_site
from results_store.jobs import SendTo
from scp.notices import Notices
from scp.step_states import StepStates


def build(site: Site, stop: Stop) -> Service:
    """Return the orchestrate role; files without a row are indexed first.

    It starts afresh when what lies in a pipeline's folder is another version.

    Two at once would each close a route without the images that the other one indexes.
    """
    let_go = alone(site.folders.run, Role.ORCHESTRATE)
    catalogue = installed(site.settings)
    register(site, catalogue)
    watch = FolderWatch(catalogue, site.clock)
    work, commitments = orchestrator(site), committer(site)

    def step() -> timedelta:
        if watch.saw_another_version():
            stop.start_afresh()
            return timedelta(0)  # a job of the version that was here would find it gone
        commitments.step()
        return work.step()

    def close() -> None:
        commitments.close()
        let_go()

    return Service(role=Role.ORCHESTRATE, step=step, close=close)


def intake_options(settings: Settings) -> IntakeOptions:
    """Return what the orchestrator is told. Raises ConfigError for a pipeline that is broken."""
    return _options(settings, installed(settings))


def _options(settings: Settings, catalogue: Mapping[str, Installed]) -> IntakeOptions:
    found = all_objections(settings, catalogue)
    return IntakeOptions(
        routes=tuple(
            _plan(route, {name: found[number, name] for name in route.run})
            for number, route in enumerate(settings.routes)
        ),
        pipelines={name: pipeline.version() for name, pipeline in catalogue.items()},
        time_zone=ZoneInfo(settings.appliance.time_zone),
    )


def orchestrator(site: Site) -> Orchestrator:
    """Return the orchestrator; files without a row are indexed first."""
    options = intake_options(site.settings)
    headers = HeaderCache(_attributes(options))
    comparer = Comparer(site.spool, frames_digest, site.settings.intake.identity_from)
    facts_of = FactsOf(site.secret("patient-key"))
    indexer = Indexer(site.spool, site.store, headers, facts_of, comparer)
    indexer.recover()
    return Orchestrator(
        options=options,
        store=site.store,
        indexer=indexer,
        bulletins=Bulletins(
            Notices(site.folders.spool), StepStates(site.folders.spool), site.store
        ),
        library=Library(site.store, site.spool, headers),
        clock=site.clock,
        wakeup=site.wakeup,
        counts=series_counts(site.settings),
    )


def committer(site: Site) -> Committer:
    """Return what answers storage commitment requests."""
    options = CommitmentOptions(keep=site.settings.retention.committed)
    return Committer(
        options,
        Notices(site.folders.spool),
        Committing(options, site.store, site.spool, site.clock),
        commitment_reports(site.settings),
        site.clock,
    )


def retention(site: Site) -> Retention:
    """Return what deletes images."""
    options = RetentionOptions(
        images=site.settings.retention.images,
        free_at_least=site.settings.receiver.disk.warn_below,
    )
    return Retention(options, site.store, site.spool, site.clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the routes say, as text for people and as data for programs."""

    lines: tuple[str, ...]
    data: dict[str, object]


def explain_folder(config: Path, folder: Path) -> Explanation:
    """Return what the routes would say of the studies in `folder`; needs no store.

    Raises ConfigError, and StoreError where the folder holds nothing to explain.
    """
    options = intake_options(load(config))
    if not folder.is_dir():
        raise StoreError(
            f"{folder} is neither a folder that this user may see nor a Study Instance UID"
        )
    found = study_from_folder(folder, _attributes(options))
    problems = [f"{name}: {why}" for name, why in found.problems]
    if not found.studies:
        why = f"; left out: {'; '.join(problems[:3])}" if problems else ""
        raise StoreError(f"{folder} holds no DICOM image{why}")
    return _explain(found.studies, options, problems)


def explain_study(config: Path, study_instance_uid: str) -> Explanation:
    """Return what the routes say now of a study that was received. Raises StoreError."""
    with open_site(config) as site:
        options = intake_options(site.settings)
        library = Library(site.store, site.spool, HeaderCache(_attributes(options)))
        study = library.study(study_instance_uid)
        stands = (
            site.store.routes.of_study(study_instance_uid),
            site.store.announcements.of_study(study_instance_uid),
            site.store.studies.doubts(study_instance_uid).sentences(),
        )
    if study is None:
        raise StoreError(
            f"no image of study {study_instance_uid} is here; "
            "name a Study Instance UID that was received, or a folder"
        )
    said = _explain([study.summary], options, [])
    return Explanation(
        lines=(*said.lines, *standing_lines(*stands)), data=said.data | standing_data(*stands)
    )


def _explain(
    studies: Iterable[StudySummary], options: IntakeOptions, problems: list[str]
) -> Explanation:
    lines: list[str] = []
    decisions: list[dict[str, object]] = []
    now = SystemClock().now()
    for study in studies:
        said: tuple[RouteDecision, ...] = decisions_for(study, options, now)
        lines += [f"study {study.study_instance_uid}", *as_lines(said, series_labels(study))]
        decisions += as_data(said)
    lines += [f"left out: {problem}" for problem in problems]
    return Explanation(lines=tuple(lines), data={"decisions": decisions, "left_out": problems})


def _attributes(options: IntakeOptions) -> frozenset[str]:
    return attributes_needed((plan.route for plan in options.routes), options.inputs().values())


def _plan(route: RouteSettings, objections: Mapping[str, tuple[Objection, ...]]) -> RoutePlan:
    send = route.send
    return RoutePlan(
        route=Route(name=route.name, when=route.when, run=route.run),
        complete=CompleteOptions(
            quiet=route.complete.quiet,
            at_most=route.complete.at_most,
            then=Ceiling(route.complete.then),
            query=route.complete.query,
        ),
        send=tuple(SendTo(destination=to, objects=send.objects) for to in send.to) if send else (),
        objections=objections,
        max_age=route.max_age,
        backfill=Backfill(route.backfill),
        late=Late(route.late),
        priority=route.priority,
        feedback_form=route.feedback,
    )
