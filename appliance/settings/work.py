"""Which pipelines there are, and which study goes to which."""

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from appliance.core.backoff import Backoff
from appliance.core.documents import Document, mistakes_at
from appliance.core.model import ObjectKind, Priority
from appliance.core.quantities import Duration, Size, format_duration
from appliance.settings.values import (
    AbsolutePath,
    Name,
    Names,
    RouteTitle,
    Text,
    When,
    check_digest,
    check_list,
)
from pipelines.clinical import ClinicalRole


class Release(Document):
    """The hospital's word that results of one version may leave. Without it they stay here."""

    version: Text = Field(description="The version that was accepted, as its manifest says it.")
    digest: Annotated[str, AfterValidator(check_digest)] | None = Field(
        default=None,
        description="How the SHA-256 of its folder begins, as `appliance pipeline list` shows it: "
        "not only the version, but these very files.",
    )
    role: ClinicalRole = Field(
        description="What its results are to a reader here; not more than the manifest's "
        "`clinical_role`. What each role allows is in docs/REGISTRY.md."
    )
    by: Text = Field(min_length=1, description="Who released it.")
    on: date = Field(description="The day from which on it is released.", examples=["2026-11-21"])
    reference: Text = Field(
        min_length=1, description="What it rests on: a protocol of acceptance, a ticket."
    )
    approval: Text = Field(
        default="",
        description="Who approved that results for research go to a destination in clinical use.",
    )
    until: date | None = Field(
        default=None,
        description="The last day; then its results stay here.",
        examples=["2027-11-21"],
    )

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.until is not None and self.until < self.on:
            raise mistakes_at((("until",), f"is before on ({self.on}); write a later day"))
        return self


class PipelineSettings(Document):
    """How one pipeline runs here."""

    path: AbsolutePath | None = Field(
        default=None,
        description="Its folder with pipeline.yaml. Not needed for the pipelines that are shipped.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Where the model runs. auto takes the GPU where there is one; cuda fails "
        "where there is none, it never falls back silently.",
    )
    timeout: Duration = Field(
        default=timedelta(minutes=10),
        gt=timedelta(0),
        description="Time after which a run is stopped and tried again.",
    )
    hang: Duration = Field(
        default=timedelta(minutes=2),
        gt=timedelta(0),
        description="Time without progress and without use of the CPU after which a run counts as "
        "hung: it is stopped and tried again.",
    )
    memory: Size = Field(
        default=8 * 10**9,
        ge=10**8,
        description="Main memory (resident), with what it started, above which a run is stopped.",
    )
    gpu_memory: Size | None = Field(
        default=None,
        ge=10**8,
        description="Memory of a GPU that PyTorch may take. Without it, all there is.",
    )
    processes: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Processes at once above which a run is stopped.",
    )
    disk: Size = Field(
        default=20 * 10**9,
        ge=10**6,
        description="Bytes in its scratch folder above which a run is stopped.",
    )
    parameters: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="Values for parameters that its manifest declares, where not the default.",
    )
    release: Release | None = Field(
        default=None, description="Which version's results may leave, and as what."
    )


class Complete(Document):
    """When a study's inputs count as complete for a route."""

    quiet: Duration = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="Time without a new image of an input series.",
    )
    at_most: Duration = Field(
        default=timedelta(hours=2),
        gt=timedelta(0),
        description="Time after the last image at which waiting for missing ones ends.",
    )
    then: Literal["hold", "proceed"] = Field(
        default="hold",
        description="What happens then: hold the study with a reason, or run with what is there "
        "and say so.",
    )
    query: Name | None = Field(
        default=None,
        description="A destination that is asked by C-FIND how many images each series has. "
        "Its answer can delay the end, never bring it forward.",
    )

    @model_validator(mode="after")
    def _quiet_fits(self) -> Self:
        if self.at_most < self.quiet:
            quiet = format_duration(self.quiet)
            raise mistakes_at((("at_most",), f"is less than quiet ({quiet}); write a longer time"))
        return self


class Send(Document):
    """Which result objects leave, and where to."""

    to: Names = Field(description="Names of destinations.")
    objects: Annotated[tuple[ObjectKind, ...], AfterValidator(check_list)] = Field(
        default=(ObjectKind.SR, ObjectKind.SEG),
        description="Kinds of objects: sr (measurements, reports), seg (segmentation); and of "
        "those that a pipeline may make itself, sc (pictures), pdf, map (parametric map), pr "
        "(presentation state), rt (structures), image (derived images), other.",
    )


class RouteSettings(Document):
    """One rule: which studies, which pipelines, where the results go."""

    name: RouteTitle = Field(description="What people call it; unique.")
    when: When = Field(description="What a series must be like. See Conditions.")
    complete: Complete = Field(
        default_factory=Complete, description="When the inputs count as complete."
    )
    run: Names = Field(description="Names of pipelines.")
    send: Send | None = Field(
        default=None,
        description="Where results go. Without it the route is a shadow: results stay here.",
    )
    max_age: Duration = Field(
        default=timedelta(days=2),
        gt=timedelta(0),
        description="Studies whose study date is older count as backfill, and so do all that were "
        "not sent to us: fetched or imported.",
    )
    backfill: Literal["skip", "shadow", "send"] = Field(
        default="shadow",
        description="What happens to them: nothing, run without sending, or all as usual.",
    )
    late: Literal["ignore", "rerun"] = Field(
        default="ignore",
        description="What happens when an image of an input series comes after the jobs were "
        "queued. ignore keeps it and tells; rerun waits for the rest as for a new study and runs "
        "again: a new, numbered run that supersedes the earlier one and is sent as well. A second "
        "result of one study in the PACS should be meant, so it has to be asked for.",
    )
    priority: Priority = Field(default=Priority.ROUTINE, description="How soon its jobs run.")
    feedback: Name | None = Field(
        default=None, description="Name of the form (a file in web.forms) that readers fill in."
    )


class ClusterSettings(Document):
    """A Ray cluster that runs the pipelines. Needs the extra ray."""

    address: str = Field(
        description="Its head as host:port, or auto for the cluster that this host belongs to. "
        "Whoever reaches a Ray cluster can run code on it: keep it in a network of its own.",
        pattern=r"auto|[^\s/]+:\d{1,5}",
    )
    node_address: str | None = Field(
        default=None,
        description="This host's address in the cluster's network, where it has several.",
    )
    cpus: float = Field(default=1.0, gt=0, description="CPUs that one warm pipeline takes.")
    gpus: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Part of a GPU that a warm pipeline takes, if it uses one; 0.25 lets four "
        "share it.",
    )


class JobSettings(Document):
    """The queue and its workers."""

    executor: Literal["local", "ray"] = Field(
        default="local",
        description="Where pipelines run: on this host, or on the nodes of a Ray cluster.",
    )
    cluster: ClusterSettings | None = Field(
        default=None, description="The cluster of executor: ray."
    )

    lease: Duration = Field(
        default=timedelta(seconds=60),
        ge=timedelta(seconds=5),
        description="Time without a heartbeat after which a worker counts as dead.",
    )
    delivery_lease: Duration = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=5),
        description="Time after which a delivery that began and never ended is tried again; longer "
        "than any one object takes to send.",
    )
    attempts: int = Field(
        default=3, ge=1, le=100, description="Attempts of a job before it counts as failed."
    )
    warm_pipelines: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Pipelines whose models stay loaded; the least recently used one makes room.",
    )
    warm_memory: Size | None = Field(
        default=None,
        ge=10**8,
        description="Main memory that loaded models and the run of one may take together; the "
        "least recently used ones make room. Without it, six tenths of the machine's.",
    )
    retry_first: Duration = Field(
        default=timedelta(seconds=10),
        gt=timedelta(0),
        description="Delay after the first failed attempt; it doubles each time.",
    )
    retry_longest: Duration = Field(
        default=timedelta(minutes=10),
        gt=timedelta(0),
        description="Longest delay between attempts.",
    )

    @model_validator(mode="after")
    def _cluster_where_it_is_used(self) -> Self:
        if (self.executor == "ray") != (self.cluster is not None):
            raise mistakes_at((("cluster",), "belongs to executor: ray, which needs it"))
        return self

    @property
    def backoff(self) -> Backoff:
        """Return the delays between attempts."""
        return Backoff(first=self.retry_first, longest=self.retry_longest, attempts=self.attempts)
