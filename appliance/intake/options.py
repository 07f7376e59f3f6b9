"""What intake is told: routes with everything around them, pipelines, retention."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from appliance.core.backoff import Backoff
from appliance.core.model import Priority
from appliance.core.objections import Objection, reasons_on
from appliance.routing.rules import PipelineInputs, Route
from results_store.jobs import SendTo


class Ceiling(StrEnum):
    """What happens when images that were announced never came."""

    HOLD = "hold"  # a person has to look
    PROCEED = "proceed"  # run with what is there, and say so


class Backfill(StrEnum):
    """What happens to a study that is older than the route's max_age."""

    SKIP = "skip"  # not run
    SHADOW = "shadow"  # run, but nothing is sent
    SEND = "send"  # as if it were new


class Late(StrEnum):
    """What happens when an image of a chosen series comes after the jobs were queued."""

    IGNORE = "ignore"  # kept and told
    RERUN = "rerun"  # the route is open again; what it then runs supersedes what ran


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteOptions:
    """When the inputs of a route are complete."""

    quiet: timedelta  # since the last image of the series that were chosen
    at_most: timedelta  # since the last image of the study; then something is done
    then: Ceiling = Ceiling.HOLD
    query: str | None = None  # the peer that is asked how many images each series has


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePlan:
    """A route, and what happens before and after its pipelines run."""

    route: Route
    complete: CompleteOptions
    send: tuple[SendTo, ...] = ()  # empty: shadow
    objections: Mapping[str, tuple[Objection, ...]] = field(default_factory=dict)  # by pipeline
    max_age: timedelta | None = None
    backfill: Backfill = Backfill.SKIP
    late: Late = Late.IGNORE
    priority: Priority = Priority.ROUTINE
    feedback_form: str | None = None

    def shadows(self, day: date) -> Mapping[str, str]:
        """Return why results stay here on `day`, by pipeline; those that may leave are not in it.

        A route that sends nowhere has no reason to give: it is a shadow as a whole.
        """
        said = {name: reasons_on(found, day) for name, found in self.objections.items()}
        return {name: why for name, why in said.items() if why and self.send}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledVersion:
    """The version of a pipeline that new jobs run."""

    version: str
    digest: str  # SHA-256 of the pipeline's folder
    inputs: PipelineInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeOptions:
    """Everything that the orchestrator is told."""

    routes: tuple[RoutePlan, ...]
    pipelines: Mapping[str, InstalledVersion]
    time_zone: ZoneInfo  # of StudyDate and StudyTime that carry none
    poll: timedelta = timedelta(seconds=1)  # the net where a wake-up got lost
    pace: timedelta = timedelta(seconds=1)  # while images stream in, a study is looked at so often
    ask_counts_every: timedelta = timedelta(seconds=15)  # at most, for one study
    ask_for_held_every: timedelta = timedelta(minutes=5)  # whether a count is right by now

    def inputs(self) -> Mapping[str, PipelineInputs]:
        """Return the inputs of each pipeline, as routing wants them."""
        return {name: version.inputs for name, version in self.pipelines.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionOptions:
    """When images are deleted."""

    images: timedelta  # after their study's last image
    free_at_least: int  # bytes; below, the oldest go early
    keep_at_least: timedelta = timedelta(hours=1)  # even when the disk is full


_REPORT = Backoff(first=timedelta(seconds=5), longest=timedelta(minutes=10), attempts=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentOptions:
    """What a storage commitment promises, and the patience with those who ask for it."""

    keep: timedelta  # from the answer on, whatever age and disk say
    wait: timedelta = timedelta(minutes=1)  # for instances that are not here yet
    wait_for_index: timedelta = timedelta(minutes=10)  # while received ones are not indexed
    retry: Backoff = _REPORT  # of a peer that does not take answers
    patience: timedelta = timedelta(days=2)  # with one request; a modality asks again
