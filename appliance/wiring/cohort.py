"""One pipeline over a cohort of studies, its results in the store and in tables."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from appliance.core.documents import suggest
from appliance.core.errors import ConfigError
from appliance.trial.cohort import Cohort, Ended, StudyDone
from appliance.trial.journal import Heading, Journal, Settled
from appliance.trial.listing import Listing, list_studies
from appliance.trial.rows import Target
from appliance.trial.subject import Subject, subject_in
from appliance.wiring.registry import version_of
from appliance.wiring.site import Site, lease_holder, open_site
from appliance.wiring.trial import pipeline_folder
from appliance.wiring.work import executor_of, worker_options
from pipelines.device import AUTO
from pipelines.folders import SHIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortOptions:
    """What is run on what, and where its results go."""

    config: Path
    pipeline: str  # its name in the settings, or a folder
    where: tuple[Path, ...]  # folders and files
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
    """Return what came of all studies. Raises ConfigError, ApplianceError.

    What is settled is in the tables however this ends.
    """
    target = Target(options.out)
    name = options.name or target.name
    with open_site(options.config) as site:
        subject = _subject(site, options.pipeline)
        version = version_of(subject.manifest, subject.options.folder, subject.digest)
        site.store.registry.add(version, site.clock.now())
        heading = Heading(
            cohort=name,
            pipeline=subject.manifest.name,
            version=subject.manifest.version,
            digest=subject.digest,
        )
        with (
            Journal(target.journal, heading, resume=options.resume) as journal,
            closing(executor_of(site)) as executor,
        ):
            cohort = Cohort(
                name=name,
                subject=subject,
                store=site.store,
                executor=executor,
                journal=journal,
                clock=site.clock,
                worker=lease_holder(),
            )
            listing = list_studies(options.where, listener.listing)
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
    if pipeline in site.settings.pipelines:
        options = worker_options(site).pipelines[pipeline]
        return replace(subject_in(options.folder, options.device), options=options)
    folder = pipeline_folder(pipeline)
    if folder is None:
        known = suggest(pipeline, [*site.settings.pipelines, *SHIPPED])
        raise ConfigError(f"there is no pipeline {pipeline!r}, and no such folder{known}")
    return subject_in(folder, AUTO)
