"""Where is a study: received, waiting, running, sent, or refused and why. The value alone.

One value says it all (`Whereabouts`), and one function makes it (`feedback.locate`); the page and
`appliance status` only draw it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from feedback.status import Status


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
    other_versions: int  # of its images; one version of each counts
    cut_off: int  # that came not whole, and are of no use
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
class FetchLine:
    """One attempt of ours to have the study from a node."""

    node: str
    status: Status
    asked_by: str
    images: int | None  # that the node has; None where it does not say
    came: int
    asked_at: datetime
    ended_at: datetime | None


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
    shadow: str  # why its result stays here although the route sends
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
    doubts: tuple[str, ...]  # what a person has to look at before the study is used
    series: tuple[SeriesLine, ...]
    fetches: tuple[FetchLine, ...]
    announced: tuple[AnnouncedLine, ...]
    routes: tuple[RouteLine, ...]
    runs: tuple[RunLine, ...]  # oldest first
    deliveries: tuple[DeliveryLine, ...]
    quarantined: tuple[Stray, ...]
