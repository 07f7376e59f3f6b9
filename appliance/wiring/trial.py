"""Pipelines tried on studies that nobody sent."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.core.clock import SystemClock
from appliance.jobs.local import LocalExecutor
from appliance.trial.check import Check
from appliance.trial.report import Ending, Report
from appliance.trial.subject import about, subject_in
from pipelines.folders import SHIPPED

Tell = Callable[[float, str], None]


def pipeline_folder(text: str) -> Path | None:
    """Return the folder that `text` names, by its path or as a shipped pipeline; None: neither."""
    folder = Path(text)
    return folder if folder.is_dir() else SHIPPED.get(text)


def check_pipeline(
    folder: Path, study: Path | None, out: Path | None, device: str, tell: Tell
) -> Report:
    """Return what a check of the pipeline in `folder` finds; needs no settings and no store.

    Raises ConfigError with every mistake in the folder.
    """
    subject = subject_in(folder, device)
    if study is None:
        return Report(about=about(subject), ending=Ending.NOT_RUN)
    clock = SystemClock()
    executor = LocalExecutor(warm_children=1, clock=clock)
    try:
        return Check(subject, executor, clock, out, tell).run(study)
    finally:
        executor.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortOptions:
    """What is run on what, and where its results go."""

    config: Path
    pipeline: str  # its name in the settings, or a folder
    source: Path
    column: str
    out: Path
    name: str  # of the cohort; "" for that of `out`
    resume: bool
    retry: bool  # failed studies of the run that is resumed


class Listener(Protocol):
    """Hears how far a cohort is."""

    def listing(self, files: int) -> None:
        """So many files were looked at."""

    def listed(self, listing: Listing, waiting: int) -> None:
        """All studies are known; so many of them are not settled."""

    def tell(self, done: float, phase: str) -> None:
        """How far the study that is run now is."""

    def settled(self, study: StudyDone) -> None:
        """A study was settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortDone:
    """How many studies ended how, of all in the journal, and the files with the results."""

    counts: Counter[str]
    tables: tuple[Path, ...]


def run_cohort(options: CohortOptions, listener: Listener) -> CohortDone:
    """Return what came of all studies that the source lists.

    Raises ConfigError, ApplianceError, and ValueError for a source that is none. What is settled
    is in the tables however this ends.
    """
    where = places(options.source, options.column)
    target = Target(options.out)
    name = options.name or target.name
    with open_site(options.config) as site, closing(_executor(site)) as executor:
        subject = _subject(site, options.pipeline)
        heading = Heading(
            cohort=name,
            pipeline=subject.manifest.name,
            version=subject.manifest.version,
            digest=subject.digest,
        )
        with Journal(target.journal, heading, resume=options.resume) as journal:
            cohort = Cohort(
                name=name,
                subject=subject,
                store=site.store,
                executor=executor,
                journal=journal,
                clock=site.clock,
                worker=lease_holder(),
            )
            listing = list_studies(where, listener.listing)
            waiting = {
                uid: paths
                for uid, paths in listing.studies.items()
                if _waits(journal.settled.get(uid), retry=options.retry)
            }
            listener.listed(listing, len(waiting))
            try:
                for study in cohort.run(waiting, listener.tell):
                    listener.settled(study)
            finally:
                tables = target.write(journal.settled.values())
            counts = Counter(str(one.study["outcome"]) for one in journal.settled.values())
    return CohortDone(counts=counts, tables=tables)


def _waits(settled: Settled | None, *, retry: bool) -> bool:
    return settled is None or (retry and settled.study["outcome"] == Ended.FAILED)


def _subject(site: Site, pipeline: str) -> Subject:
    """Return the pipeline of this name in the settings, with its limits; else a folder's."""
    if pipeline not in site.settings.pipelines:
        folder = pipeline_folder(pipeline)
        if folder is None:
            site.known("pipeline", pipeline)
        return subject_in(folder, AUTO)
    options = worker_options(site).pipelines[pipeline]
    return replace(subject_in(options.folder, options.device), options=options)


def _executor(site: Site) -> LocalExecutor:
    return LocalExecutor(warm_children=1, clock=site.clock)
