"""One attempt of one job, from the files in the spool to the store's row: hand-over 4."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.crashpoints import CrashPoint, crash_point
from appliance.core.errors import PermanentPipelineError, StaleClaim
from appliance.core.model import Job, PipelineResult, ResultObject
from appliance.jobs.ahead import ReadAhead, is_little
from appliance.jobs.folders import Folders
from appliance.jobs.heartbeat import Heartbeat
from appliance.jobs.local import Outcome
from appliance.jobs.options import WorkerOptions
from appliance.jobs.phases import (
    Executor,
    Images,
    Phases,
    Prepares,
    Run,
    read_images,
    run_context,
    with_segments,
)
from appliance.jobs.results import keep_only, write_object
from pipelines.encode import EncodedObject, PriorObject, RunContext
from pipelines.manifest import Manifest
from pipelines.volume import Volume
from results_store.commands import CompletedRun
from results_store.store import Store


class Released(Exception):
    """The worker stops; somebody else is to do the job."""


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
        shadow_of: Callable[[Job], str],
        clock: Clock,
    ) -> None:
        """`shadow_of` says why nothing of a job's result may leave now; "" where it may."""
        self.options = options
        self.store = store
        self.executor = executor
        self.path_of = path_of
        self.patient_key_of = patient_key_of
        self.shadow_of = shadow_of
        self.clock = clock
        self.folders = Folders()
        names = tuple(options.pipelines)
        self.ahead = ReadAhead(
            peek=lambda: store.jobs.peek(names, clock.now()),
            read=self._read_ahead,
            poll=options.poll,
        )

    def files_of(self, job: Job) -> Mapping[str, list[Path]]:
        """Return the images of each of the job's inputs."""
        files: dict[str, list[Path]] = {}
        for item in job.inputs:
            files.setdefault(item.input_name, []).append(self.path_of(item.spool_name))
        return files

    def run_of(self, job: Job, files: Mapping[str, list[Path]]) -> Run:
        """Return what every attempt of the job runs; `files` are from `files_of`."""
        pipeline = self.options.pipelines[job.pipeline]
        return Run(
            pipeline=pipeline,
            manifest=self.folders.manifest_of(pipeline.folder),
            digest=job.pipeline_digest,
            run_uid=job.run_uid,
            files=files,
        )

    def _read_ahead(self, job: Job) -> Images | None:
        files = self.files_of(job)
        if not is_little([path for paths in files.values() for path in paths]):
            return None
        run = self.run_of(job, files)
        images = read_images(run.manifest, run.files, lambda _: None)
        if isinstance(self.executor, Prepares):
            self.executor.prepare(run.task(images))
        return images


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
        self._check_folder()
        paths = self._tools.files_of(self._job)
        run = self._tools.run_of(self._job, paths)
        phases = self._phases(run)
        volumes = phases.read(lambda: self._tools.ahead.take(self._job))
        outcome = self._infer(phases, volumes)
        crash_point(CrashPoint.JOB_AFTER_INFER)
        encoded = phases.encode(self._context(run.manifest), volumes, outcome.output)
        crash_point(CrashPoint.JOB_AFTER_ENCODE)
        with phases.phase("store", 0.95):
            objects = self._write(encoded)
        result = with_segments(outcome.output.result, encoded)
        return self._commit(result, outcome, objects, paths)

    def _check_folder(self) -> None:
        """Raise PermanentPipelineError where the pipeline is not what the job was queued for."""
        options = self._tools.options.pipelines[self._job.pipeline]
        digest = self._tools.folders.digest_of(options.folder)
        if digest != self._job.pipeline_digest:
            raise PermanentPipelineError(
                f"the folder of {options.name} changed after this run was queued (it was "
                f"{self._job.pipeline_digest[:12]}, now {digest[:12]}); send the study again, or "
                "put the old version back and retry"
            )

    def _phases(self, run: Run) -> Phases:
        tools = self._tools
        return Phases(run, tools.executor, tools.clock, self._heartbeat.tell, self.seconds)

    def _infer(self, phases: Phases, volumes: Mapping[str, Volume]) -> Outcome:
        # What is prepared beside a run can take its child down: the second attempt is alone.
        beside = self._tools.ahead.during() if self._job.attempt == 1 else nullcontext()
        with beside:
            outcome = phases.infer(volumes, lambda: self._heartbeat.is_lost or self._stopping())
        self._check_wanted()
        if outcome is None:
            raise Released
        return outcome

    def _context(self, manifest: Manifest) -> RunContext:
        job, options = self._job, self._tools.options
        context = run_context(
            manifest,
            digest=job.pipeline_digest,
            run_uid=job.run_uid,
            created_at=job.created_at,
            time_zone=options.time_zone,
            device_serial=options.device_serial,
        )
        return replace(
            context,
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
        return tuple(write_object(root, self._job.run_uid, item) for item in encoded)

    def _commit(
        self,
        result: PipelineResult,
        outcome: Outcome,
        objects: tuple[ResultObject, ...],
        paths: Mapping[str, list[Path]],
    ) -> CompletedRun:
        first = next(iter(paths.values()))[0]
        completed = CompletedRun(
            result=result,
            objects=objects,
            device=outcome.device,
            seconds=self.seconds,
            patient_key=self._tools.patient_key_of(first),
            gaps=outcome.gaps,
            # Asked again: days may have passed, and a run that is done again copies its orders.
            shadow=self._tools.shadow_of(self._job),
        )
        store, now = self._tools.store, self._tools.clock.now()
        store.commands.complete_run(self._job.claim(), completed, now)
        keep_only(self._tools.options.results, self._job.run_uid, objects)
        return completed

    def _check_wanted(self) -> None:
        if self._heartbeat.is_lost:
            raise StaleClaim(f"job {self._job.job_id} is not this worker's any more")
