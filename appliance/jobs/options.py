"""What the worker room wants to be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from pathlib import Path

from appliance.core.backoff import Backoff
from pipelines.specs import ParameterValue

_BACKOFF = Backoff(first=timedelta(seconds=10), longest=timedelta(minutes=10), attempts=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """One pipeline that this worker runs."""

    name: str
    folder: Path
    device: str = "auto"
    timeout: timedelta = timedelta(minutes=10)  # loading included, where it is not warm
    hang: timedelta = timedelta(minutes=2)  # without progress and without CPU time
    memory: int = 16 << 30  # bytes resident in the child and all that it started
    gpu_memory: int | None = None  # bytes that PyTorch may take of a GPU; None for all
    processes: int = 64  # that the child may have at once
    disk: int = 20 << 30  # bytes that it may have written in its folder
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)  # that the site set

    def __post_init__(self) -> None:
        if (
            min(self.timeout, self.hang) <= timedelta(0)
            or min(self.memory, self.processes, self.disk) <= 0
        ):
            raise ValueError(f"{self.name}: limits are above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """One worker process. `name` is another one for each process that ever runs."""

    name: str
    pipelines: Mapping[str, PipelineOptions]
    results: Path
    institution: str
    time_zone: tzinfo
    device_serial: str  # of this installation
    uid_root: str | None = None
    lease: timedelta = timedelta(seconds=30)
    heartbeat: timedelta = timedelta(seconds=1)
    poll: timedelta = timedelta(seconds=1)
    backoff: Backoff = _BACKOFF

    def __post_init__(self) -> None:
        if self.heartbeat * 3 > self.lease:
            raise ValueError("a lease is at least three heartbeats long")
