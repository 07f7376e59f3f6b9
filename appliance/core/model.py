"""The values that cross borders between rooms: frozen, keyword-only, no I/O.

Pixel arrays are not here: they stay in `pipelines`. Attribute names are DICOM keywords in
snake_case. Times are aware and in UTC; DICOM dates and times stay the text that was received.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from appliance.core.states import DeliveryState, JobState

AttributeValue = str | float
"""One value of a data element: numbers for DS, IS, FD, FL, SL, SS, UL, US; else text."""

Attributes = Mapping[str, tuple[AttributeValue, ...]]
"""Values by keyword ("Modality"), or "gggg,ee creator" for a private element.

An element that is there but empty has an empty tuple; one that is absent has no entry.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A coded concept (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingScheme:
    """A private coding scheme, as objects that use it declare it (PS3.3 C.12.1)."""

    designator: str
    name: str
    uid: str
    responsible: str  # the organization


class Side(StrEnum):
    """A side of the patient. Not known is None, never a member."""

    LEFT = "left"
    RIGHT = "right"


class ObjectKind(StrEnum):
    """What a DICOM object of a run is; routes choose by it what they send."""

    SEG = "seg"  # Segmentation
    SR = "sr"  # structured report
    SC = "sc"  # Secondary Capture
    PDF = "pdf"  # Encapsulated PDF
    MAP = "map"  # Parametric Map
    PR = "pr"  # presentation state
    RT = "rt"  # RT Structure Set and other objects of radiotherapy
    IMAGE = "image"  # an image of a modality's own kind, derived
    OTHER = "other"


class Priority(StrEnum):
    """How soon a job runs."""

    STAT = "stat"
    URGENT = "urgent"
    ROUTINE = "routine"


# -- received -----------------------------------------------------------------------------


class Door(StrEnum):
    """How an instance came in. What nobody sent us of his own accord counts as backfill."""

    PUSHED = "pushed"  # sent to us: C-STORE, STOW-RS
    FETCHED = "fetched"  # asked for by us: C-MOVE, C-GET
    IMPORTED = "imported"  # out of a folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInstance:
    """One instance in the spool, as its file's name and file meta group tell it."""

    spool_name: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    received_at: datetime
    size: int  # bytes of the file
    checksum: str  # of the data set as it came, without preamble and file meta
    door: Door = Door.PUSHED


@dataclass(frozen=True, slots=True, kw_only=True)
class SopReference:
    """An instance that is named and not there: its class and itself (PS3.3 table 10-11)."""

    sop_class_uid: str
    sop_instance_uid: str


class CommitmentFailure(IntEnum):
    """Why an instance is not committed: Failure Reason (0008,1197). PS3.3 section C.14.1.1."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_CONFLICT = 0x0119


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """The answer to a storage commitment request: each instance is in one of the two."""

    transaction_uid: str
    committed: tuple[SopReference, ...]
    failed: tuple[tuple[SopReference, CommitmentFailure], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSummary:
    """What rules may know of one instance: attributes of its top level."""

    sop_instance_uid: str
    sop_class_uid: str
    number_of_frames: int
    attributes: Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSummary:
    """A series. `attributes` has what all its instances share, patient and study level too."""

    series_instance_uid: str
    attributes: Attributes
    instances: tuple[InstanceSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study as far as it is here; without our own objects."""

    study_instance_uid: str
    attributes: Attributes
    series: tuple[SeriesSummary, ...]
    door: Door = Door.PUSHED  # another, if one of its images came by another


# -- decided ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One condition, what was found, and whether it holds.

    `found` never holds a value of the patient module: it says "differs" or "matches" there.
    `series_instance_uid` is None where the condition is on the study.
    """

    condition: str
    found: str
    holds: bool
    series_instance_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedInput:
    """The series chosen for one named input of a pipeline, and why this one."""

    pipeline: str
    input_name: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDecision:
    """What one route says of one study, with its reasons, also where it did not match."""

    route: str
    matched: bool
    reasons: tuple[Reason, ...]
    inputs: tuple[SelectedInput, ...]  # empty unless matched
    summary: str  # one plain sentence for people


# -- run ----------------------------------------------------------------------------------

COHORT = "cohort:"
"""Begins the route of a run that `appliance pipeline run` did on images that were not received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInput:
    """One file of a job's frozen input."""

    input_name: str
    sop_instance_uid: str
    series_instance_uid: str
    spool_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one pipeline version on one study for one route; attempts share its UIDs."""

    job_id: int
    run_uid: str  # a UID of its own; every UID of the run's objects is made from it
    study_instance_uid: str
    route: str
    pipeline: str
    pipeline_version: str
    pipeline_digest: str  # SHA-256 of the pipeline's folder
    run_number: int
    supersedes: int | None  # the job whose result this one replaces
    state: JobState
    priority: Priority
    attempt: int  # 1 while the first attempt runs; 0 before
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_after: datetime
    progress: float  # 0 … 1
    phase: str
    reason: str  # why it failed or was refused; "" otherwise
    shadow: str  # why its result stays here although the route sends; "" otherwise
    device: str | None
    gaps: tuple[str, ...] | None  # what it could have done for want of isolation; None: not noted
    seconds: Mapping[str, float]  # by phase
    inputs: tuple[JobInput, ...]

    @property
    def is_of_cohort(self) -> bool:
        """Return whether no route asked for it, but a person with a list of studies."""
        return self.route.startswith(COHORT)

    def claim(self) -> "Claim":
        """Return the fencing token of the attempt that runs now."""
        if self.worker is None:
            raise ValueError(f"job {self.job_id} is not claimed")
        return Claim(job_id=self.job_id, attempt=self.attempt, worker=self.worker)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The fencing token: what a worker must still hold when it writes."""

    job_id: int
    attempt: int
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment of a result: what it is and which label of the label map is it."""

    number: int  # 1, 2, …, the voxel value in the label map and the Segment Number in the SEG
    name: str  # as in the model's label list
    structure: Code
    category: Code
    side: Side | None
    tracking_uid: str
    color: tuple[int, int, int]  # sRGB, 0 … 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with a code and a UCUM unit, or the reason why it was not measured."""

    concept: Code
    value: float | None
    unit: Code
    not_measured: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where a finding is: a segment of the run's segmentation, in one source series."""

    segment_number: int
    series_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a pipeline says of one structure and side."""

    name: str  # as in the model's label list
    structure: Code
    side: Side | None
    measurements: tuple[Measurement, ...]
    region: Region | None
    tracking_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One number or category for drift. `group` is "metadata" or "output"."""

    group: str
    name: str
    number: float | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """What a pipeline says, without pixels (those travel as a label map beside it)."""

    findings: tuple[Finding, ...]
    segments: tuple[Segment, ...]
    features: tuple[Feature, ...]
    notes: tuple[str, ...] = ()  # plain sentences for the reader, e.g. "the head was set upright"
    embedding: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One encoded object, fsynced under the results folder."""

    kind: str  # a value of ObjectKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    series_description: str
    path: str  # relative to the results folder
    sha256: str
    size: int


# -- delivered, said, watched ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One result object on its way to one destination."""

    delivery_id: int
    job_id: int
    study_instance_uid: str
    destination: str
    result: ResultObject
    state: DeliveryState
    attempt: int
    worker: str | None
    not_before: datetime
    reason: str
    # As the images had it when the object was made; compared just before sending.
    patient_key: str | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEntry:
    """What one reader said of one run. Append-only: a correction names what it replaces."""

    job_id: int
    study_instance_uid: str
    account: str
    form: str
    answers: Mapping[str, str | tuple[str, ...]]
    opened_at: datetime
    answered_at: datetime
    seconds: float  # looking time as the page measured it
    replaces: int | None = None
    feedback_id: int | None = None  # given by the store


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPoint:
    """One statistic of one feature over one window against one reference period."""

    pipeline: str
    feature: str
    group: str
    reference: str  # the reference period's name
    window_start: datetime
    window_end: datetime
    n: int
    n_reference: int
    statistic: str  # "psi", "ks" or "chi2"
    value: float
    p_value: float | None
    threshold: float
    alert: bool
    computed_at: datetime
    detail: Mapping[str, float] = field(default_factory=dict)
