"""One attempt of one job, from the files in the spool to the store's row: hand-over 4."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from appliance.core.clock import Clock
from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.errors import PermanentPipelineError, StaleClaim
from appliance.core.model import Job, PipelineResult, ResultObject
from appliance.jobs.folders import Digests
from appliance.jobs.heartbeat import Heartbeat
from appliance.jobs.local import Outcome, Task
from appliance.jobs.options import PipelineOptions, WorkerOptions
from appliance.jobs.results import keep_only, write_object
from pipelines.base import PipelineOutput
from pipelines.encode import EncodedObject, PriorObject, RunContext, encode
from pipelines.features import intensity_features, metadata_features
from pipelines.manifest import load_manifest
from pipelines.series import read_volume
from pipelines.volume import Volume
from results_store.commands import CompletedRun
from results_store.store import Store

# How much of the whole each phase is on the bar that a reader sees.
_READ, _INFER = 0.1, 0.8


class Released(Exception):
    """The worker stops; somebody else is to do the job."""


class Executor(Protocol):
    """What runs a task: `LocalExecutor`, or one for many machines."""

    def run(
        self,
        task: Task,
        *,
        on_progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> Outcome | None:
        """Return the outcome, or None where `cancelled` said that nobody wants it."""


class Tools:
    """What all attempts of a worker share."""

    def __init__(
        self,
        *,
        options: WorkerOptions,
        store: Store,
        executor: Executor,
        path_of: Callable[[str], Path],
        patient_key_of: Callable[[Path], str | None],
        clock: Clock,
    ) -> None:
        self.options = options
        self.store = store
        self.executor = executor
        self.path_of = path_of
        self.patient_key_of = patient_key_of
        self.clock = clock
        self.digests = Digests()


class Attempt:
    """Reads, infers, encodes, writes and commits. Raises what went wrong on the way."""

    def __init__(
        self, job: Job, tools: Tools, heartbeat: Heartbeat, stopping: Callable[[], bool]
    ) -> None:
        self._job = job
        self._tools = tools
        self._heartbeat = heartbeat
        self._stopping = stopping
        waited = tools.clock.now() - max(job.created_at, job.run_after)
        self.seconds: dict[str, float] = {"queue": max(waited.total_seconds(), 0.0)}

    def run(self) -> CompletedRun:
        """Return what was committed.

        Raises StaleClaim or Released where the attempt is not wanted any more, and the errors of
        reading, inferring, encoding and writing.
        """
        pipeline = self._pipeline()
        paths = self._paths()
        volumes = self._read(paths)
        outcome = self._infer(pipeline, paths, volumes)
        crash_point(CrashPoint.JOB_AFTER_INFER)
        encoded = self._encode(pipeline, paths, volumes, outcome.output)
        crash_point(CrashPoint.JOB_AFTER_ENCODE)
        objects = self._write(encoded)
        return self._commit(outcome, objects, paths)

    # -- phases -------------------------------------------------------------------------

    def _pipeline(self) -> PipelineOptions:
        """Return the pipeline, which is still the one that the job was queued for."""
        options = self._tools.options.pipelines[self._job.pipeline]
        digest = self._tools.digests.of(options.folder)
        if digest != self._job.pipeline_digest:
            raise PermanentPipelineError(
                f"the folder of {options.name} changed after this run was queued (it was "
                f"{self._job.pipeline_digest[:12]}, now {digest[:12]}); send the study again, or "
                "put the old version back and retry"
            )
        return options

    def _paths(self) -> Mapping[str, list[Path]]:
        paths: dict[str, list[Path]] = {}
        for item in self._job.inputs:
            paths.setdefault(item.input_name, []).append(self._tools.path_of(item.spool_name))
        return paths

    def _read(self, paths: Mapping[str, list[Path]]) -> Mapping[str, Volume]:
        volumes: dict[str, Volume] = {}
        with self._phase("read", 0.0):
            for name, files in paths.items():
                share, before = _READ / len(paths), _READ * len(volumes) / len(paths)
                tell = partial(self._tell_read, before, share)
                volumes[name] = read_volume(files, progress=tell)
        return volumes

    def _tell_read(self, before: float, share: float, done: float) -> None:
        self._tell(before + share * done, "read")

    def _infer(
        self,
        pipeline: PipelineOptions,
        paths: Mapping[str, list[Path]],
        volumes: Mapping[str, Volume],
    ) -> Outcome:
        self._tell(_READ, "load")
        outcome = self._tools.executor.run(
            Task(
                pipeline=pipeline,
                digest=self._job.pipeline_digest,
                volumes=volumes,
                files={name: tuple(files) for name, files in paths.items()},
                run_uid=self._job.run_uid,
            ),
            on_progress=lambda done, text: self._tell(_READ + _INFER * done, text),
            cancelled=lambda: self._heartbeat.is_lost or self._stopping(),
        )
        self._check_wanted()
        if outcome is None:
            raise Released
        self.seconds |= outcome.seconds
        result = with_features(outcome.output.result, volumes)
        _check_numbers(result)
        return replace(outcome, output=replace(outcome.output, result=result))

    def _encode(
        self,
        pipeline: PipelineOptions,
        paths: Mapping[str, list[Path]],
        volumes: Mapping[str, Volume],
        output: PipelineOutput,
    ) -> tuple[EncodedObject, ...]:
        name = next(iter(volumes)) if output.label_map is None else output.label_map.input_name
        if name not in volumes:
            raise PermanentPipelineError(f"the label map lies on {name!r}, which is no input")
        with self._phase("encode", _READ + _INFER):
            return encode(self._context(pipeline), paths[name], volumes[name], output)

    def _context(self, pipeline: PipelineOptions) -> RunContext:
        job, options = self._job, self._tools.options
        manifest = load_manifest(pipeline.folder)
        return RunContext(
            run_uid=job.run_uid,
            created_at=job.created_at,
            time_zone=options.time_zone,
            pipeline=job.pipeline,
            pipeline_version=job.pipeline_version,
            pipeline_digest=job.pipeline_digest,
            title=manifest.title,
            manufacturer=manifest.manufacturer,
            regulatory_label=manifest.regulatory.label,
            device_serial=options.device_serial,
            run_number=job.run_number,
            institution=options.institution,
            uid_root=options.uid_root,
            supersedes=self._superseded(),
        )

    def _superseded(self) -> tuple[PriorObject, ...]:
        if self._job.supersedes is None:
            return ()
        return tuple(
            PriorObject(
                kind=item.kind,
                sop_class_uid=item.sop_class_uid,
                sop_instance_uid=item.sop_instance_uid,
                series_instance_uid=item.series_instance_uid,
            )
            for item in self._tools.store.results.objects(self._job.supersedes)
        )

    def _write(self, encoded: tuple[EncodedObject, ...]) -> tuple[ResultObject, ...]:
        self._check_wanted()
        root = self._tools.options.results
        with self._phase("store", 0.95):
            return tuple(write_object(root, self._job.run_uid, item) for item in encoded)

    def _commit(
        self,
        outcome: Outcome,
        objects: tuple[ResultObject, ...],
        paths: Mapping[str, list[Path]],
    ) -> CompletedRun:
        first = next(iter(paths.values()))[0]
        completed = CompletedRun(
            result=outcome.output.result,
            objects=objects,
            device=outcome.device,
            seconds=self.seconds,
            patient_key=self._tools.patient_key_of(first),
        )
        store, now = self._tools.store, self._tools.clock.now()
        store.commands.complete_run(self._job.claim(), completed, now)
        keep_only(self._tools.options.results, self._job.run_uid, objects)
        return completed

    # -- small things ---------------------------------------------------------------------

    @contextmanager
    def _phase(self, name: str, progress: float) -> Iterator[None]:
        self._tell(progress, name)
        start = self._tools.clock.monotonic()
        yield
        self.seconds[name] = self._tools.clock.monotonic() - start

    def _tell(self, progress: float, phase: str) -> None:
        self._heartbeat.tell(progress, phase)

    def _check_wanted(self) -> None:
        if self._heartbeat.is_lost:
            raise StaleClaim(f"job {self._job.job_id} is not this worker's any more")


def with_features(result: PipelineResult, volumes: Mapping[str, Volume]) -> PipelineResult:
    """Return `result` with how each input was acquired and how bright it is, for drift.

    What the pipeline said itself stays. Where it has several inputs, their names stand in front.
    """
    known = {(feature.group, feature.name) for feature in result.features}
    added = [
        feature if len(volumes) == 1 else replace(feature, name=f"{name}.{feature.name}")
        for name, volume in volumes.items()
        for feature in (
            *metadata_features(volume.attributes, images=len(volume.frames)),
            *intensity_features(volume),
        )
    ]
    fresh = (item for item in added if (item.group, item.name) not in known)
    return replace(result, features=(*result.features, *fresh))


def _check_numbers(result: PipelineResult) -> None:
    """Raise PermanentPipelineError where a measured value or feature is no finite number."""
    values = {
        **{f"finding {f.name}": m.value for f in result.findings for m in f.measurements},
        **{f"feature {feature.name}": feature.number for feature in result.features},
    }
    wrong = [
        name for name, value in values.items() if value is not None and math.isnan(value - value)
    ]
    if wrong:
        raise PermanentPipelineError(f"not a finite number: {', '.join(wrong)}")
