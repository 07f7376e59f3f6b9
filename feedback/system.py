"""How the whole appliance is: the one value behind the status page and `appliance status`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from feedback.whereabouts import InSpool, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleLine:
    """One role, and whether a process of it is there to be woken."""

    role: str
    runs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLine:
    """The disk that receives. Sizes in bytes."""

    free: int
    size: int
    warn_below: int
    refuse_below: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLine:
    """What one caller did since counting began. `size` in bytes of data sets that were kept."""

    calling_ae_title: str
    peer_address: str
    associations: int
    rejected: Mapping[str, int]  # associations, by reason
    stored: int
    duplicates: int
    refused: Mapping[str, int]  # instances, by reason
    others: Mapping[str, int]  # what else it asked for
    size: int
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLine:
    """One pipeline as it lies in its folder now, and what becomes of its results."""

    name: str
    version: str  # "" where the folder is broken
    digest: str
    words: str
    leaves: bool  # whether its results go wherever a route sends them


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """Everything at one moment."""

    now: datetime
    version: str
    roles: tuple[RoleLine, ...]
    disk: DiskLine
    not_yet_indexed: int  # instances in the spool
    quarantined: int
    notices: int  # messages of modalities that wait to be read
    open_studies: int  # studies that a route waits for, or that nobody looked at
    routes: Mapping[str, int]  # by state
    jobs: Mapping[str, int]
    deliveries: Mapping[str, int]
    paused: tuple[str, ...]
    pipelines: tuple[PipelineLine, ...]
    stranded: tuple[str, ...]
    last_problems: tuple[str, ...]
    peers: tuple[PeerLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """What the pages see beside the store. `in_spool` takes a Study Instance UID."""

    rules: Rules
    in_spool: Callable[[str], InSpool]
    system: Callable[[], SystemStatus]
    pipelines: Callable[[], tuple[PipelineLine, ...]]
