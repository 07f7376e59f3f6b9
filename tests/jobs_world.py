"""A store on SQLite, a folder of images and a worker on real children, for tests of jobs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pydicom

from appliance.core.backoff import Backoff
from appliance.core.clock import SystemClock
from appliance.core.crashpoints import CrashPoint
from appliance.core.model import (
    Job,
    JobInput,
    Priority,
    ReceivedInstance,
    RouteDecision,
    SelectedInput,
)
from appliance.core.ports import Role
from appliance.jobs.attempt import Tools
from appliance.jobs.local import LocalExecutor
from appliance.jobs.options import PipelineOptions, WorkerOptions
from appliance.jobs.phases import Executor
from appliance.jobs.worker import Worker
from pipelines.manifest import digest
from results_store.commands import NewRun
from results_store.facts import InstanceFacts
from results_store.jobs import SendTo
from results_store.migrate import migrate
from results_store.options import StoreOptions
from results_store.store import Store, open_store
from tests.builders import mr_series

FOLDERS = Path(__file__).parent / "pipelines"
BRIGHT, TROUBLE = "bright-volume", "trouble"
FOLDER_OF = {BRIGHT: FOLDERS / "bright_volume", TROUBLE: FOLDERS / "trouble"}
SOON = Backoff(first=timedelta(milliseconds=20), longest=timedelta(seconds=1), attempts=3)
SEND = (SendTo(destination="pacs", objects=("seg", "sr")),)


def arm(folder: Path, point: CrashPoint) -> Path:
    """Return the file that arms `point`; it is gone once a process died there."""
    armed = folder / "crash" / point.value
    armed.parent.mkdir()
    armed.touch()
    return armed


@dataclass(slots=True)
class Wakes:
    """Remembers who was woken."""

    roles: list[Role] = field(default_factory=list)

    def wake(self, role: Role) -> None:
        self.roles.append(role)


class World:
    """One data folder. `open` once makes the tables; other processes open it again.

    The first worker has the `executor` that is lent; it may have warm children.
    """

    def __init__(
        self,
        folder: Path,
        *,
        new: bool = True,
        executor: Executor | None = None,
        url: str | None = None,
        pipelines: Mapping[str, Path] = FOLDER_OF,
    ) -> None:
        self.folder = folder
        self.pipelines = pipelines  # folders by name
        self.clock = SystemClock()
        self.wakes = Wakes()
        self.shadows: dict[str, str] = {}  # by pipeline, why nothing of it may leave now
        options = StoreOptions(url=url or f"sqlite:///{folder}/store.db")
        if new:
            migrate(options)
        self.store: Store = open_store(options, self.clock)
        self._lent = [] if executor is None else [executor]
        self._executors: list[LocalExecutor] = []

    def close(self) -> None:
        for executor in self._executors:
            executor.close()
        self.store.close()

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def worker(self, name: str = "w1", **changes: Any) -> Worker:
        """Return a worker whose timings suit tests; `pipeline` changes a pipeline's options."""
        of_pipeline = changes.pop("pipeline", {})
        values: dict[str, Any] = {
            "name": name,
            "pipelines": {
                pipeline: PipelineOptions(
                    name=pipeline, folder=folder, **({"device": "cpu"} | of_pipeline)
                )
                for pipeline, folder in self.pipelines.items()
            },
            "results": self.results,
            "institution": "Example Hospital",
            "time_zone": UTC,
            "device_serial": "1",
            "lease": timedelta(seconds=2),
            "heartbeat": timedelta(milliseconds=50),
            "poll": timedelta(milliseconds=50),
            "backoff": SOON,
        }
        tools = Tools(
            options=WorkerOptions(**(values | changes)),
            store=self.store,
            executor=self._lent.pop() if self._lent else self._new_executor(),
            path_of=lambda name: self.folder / name,
            patient_key_of=lambda path: str(pydicom.dcmread(path).PatientID).lower(),
            shadow_of=lambda job: self.shadows.get(job.pipeline, ""),
            clock=self.clock,
        )
        return Worker(tools, self.wakes)

    def _new_executor(self) -> LocalExecutor:
        self._executors.append(
            LocalExecutor(warm_children=2, clock=self.clock, scratch=self.folder / "scratch")
        )
        return self._executors[-1]

    def submit(
        self,
        pipeline: str = BRIGHT,
        description: str = "t1",
        *,
        send: tuple[SendTo, ...] = SEND,
        **changes: Any,
    ) -> Job:
        """Write a series, index it and queue one run on it."""
        number = len(self.store.jobs.list())
        paths = mr_series(self.folder / f"series{number}", slices=8, SeriesDescription=description)
        received = [self._received(path) for path in paths]
        for instance in received:
            self.store.studies.index(instance, _FACTS)
        folder = self.pipelines[pipeline]
        values: dict[str, Any] = {
            "pipeline": pipeline,
            "pipeline_version": "1.0.0",
            "pipeline_digest": digest(folder),
            "priority": Priority.ROUTINE,
            "inputs": tuple(_input(instance) for instance in received),
            "send": send,
            "feedback_form": None,
            "run_after": self.clock.now(),
        }
        run = NewRun(**(values | changes))
        study = received[0].study_instance_uid
        (job,) = self.store.commands.submit_runs(
            study, _decision(run), "count", (run,), self.clock.now()
        )
        return job

    def work(self, worker: Worker, until: Callable[[], bool], seconds: float = 60) -> None:
        """Let the worker step until the condition is true."""
        deadline = self.clock.monotonic() + seconds
        while not until():
            assert self.clock.monotonic() < deadline, "the condition did not come true"
            worker.step()

    def _received(self, path: Path) -> ReceivedInstance:
        dataset = pydicom.dcmread(path)
        return ReceivedInstance(
            spool_name=path.relative_to(self.folder).as_posix(),
            study_instance_uid=dataset.StudyInstanceUID,
            series_instance_uid=dataset.SeriesInstanceUID,
            sop_instance_uid=dataset.SOPInstanceUID,
            sop_class_uid=dataset.SOPClassUID,
            transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
            calling_ae_title="MR01",
            called_ae_title="APPLIANCE",
            peer_address="127.0.0.1",
            received_at=self.clock.now(),
            size=path.stat().st_size,
            checksum="0" * 64,
        )


_FACTS = InstanceFacts(
    modality="MR",
    number_of_frames=1,
    accession_number="A0001",
    study_date="20260102",
    study_time="101500",
    patient_key="synthetic-1",
    is_own=False,
)


def _input(instance: ReceivedInstance) -> JobInput:
    return JobInput(
        input_name="image",
        sop_instance_uid=instance.sop_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        spool_name=instance.spool_name,
    )


def _decision(run: NewRun) -> RouteDecision:
    chosen = SelectedInput(
        pipeline=run.pipeline,
        input_name="image",
        series_instance_uid=run.inputs[0].series_instance_uid,
        sop_instance_uids=tuple(item.sop_instance_uid for item in run.inputs),
        why="the only one",
    )
    return RouteDecision(
        route="everything", matched=True, reasons=(), inputs=(chosen,), summary="It matched."
    )
