"""Runs pipelines on this machine, each in a child process that stays warm.

A child that died, hung, grew too large or was stopped is gone with everything that it started;
the next run starts another one.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.errors import ApplianceError, TransientPipelineError
from appliance.core.log import Event, log_event
from appliance.jobs.limits import OverLimit, Stopped, Watch
from appliance.jobs.memory import Estimates, Stage, machine_memory, next_stage
from appliance.jobs.options import PipelineOptions
from appliance.jobs.process import ChildProcess
from appliance.jobs.scratch import Lent, Scratch
from appliance.jobs.warm import Warm, WarmChildren
from pipelines.base import PipelineOutput
from pipelines.device import AUTO, CPU
from pipelines.manifest import load_manifest
from pipelines.personal import personal_values, without
from pipelines.volume import Volume
from pipelines.wire import (
    BrokenChannel,
    Done,
    Enclosed,
    Failed,
    Infer,
    Load,
    Message,
    Prepare,
    Progress,
    Ready,
    as_error,
)

_LOOK = 0.1  # seconds between two looks at the clock and at `cancelled`
_PATIENCE = 30.0  # seconds for one message to pass whole, once begun
_USUAL = 10**9  # bytes of memory that a run is expected to take, where nobody knows better
_SHARE = 0.6  # of the machine's memory that warm children and a run may take together
_LONGEST_PHASE = 80  # characters of what a pipeline says that it does


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One run for an executor. `digest` is the SHA-256 of the pipeline's folder."""

    pipeline: PipelineOptions
    digest: str
    volumes: Mapping[str, Volume]
    files: Mapping[str, tuple[Path, ...]]
    run_uid: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What came of it; `seconds` by phase: load, transfer, infer.

    `gaps` is what the pipeline could have done for want of isolation ("open a connection").
    """

    output: PipelineOutput
    device: str
    seconds: Mapping[str, float]
    gaps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A pipeline in a child: where it is really, how long that took, what the child could do."""

    device: str
    seconds: float
    gaps: tuple[str, ...]


class _GpuFull(TransientPipelineError):
    """The memory of the GPU was not enough, by `lacking` bytes (0: unknown)."""

    def __init__(self, text: str, lacking: int) -> None:
        super().__init__(text)
        self.lacking = lacking


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """A task on a device, which may be another than the site asked for."""

    task: Task
    device: str
    watch: Watch
    on_progress: Callable[[float, str], None]

    @property
    def key(self) -> str:
        return _key(self.task, self.device)


def _key(task: Task, device: str) -> str:
    return f"{task.pipeline.name} on {device}"


class LocalExecutor:
    """Warm children by pipeline and device, the least recently used one ended first."""

    def __init__(
        self,
        *,
        warm_children: int,
        clock: Clock,
        warm_memory: int | None = None,
        scratch: Path | None = None,
    ) -> None:
        """Keep at most so many children in so many bytes, by default most of the machine's.

        Children write under `scratch` alone, or where temporary files go.
        """
        budget = warm_memory or int(machine_memory() * _SHARE)
        self._scratch = Scratch(scratch)
        self._clock = clock
        self._warm = WarmChildren(most=warm_children, budget=budget)
        self._estimates = Estimates()

    def run(
        self,
        task: Task,
        *,
        on_progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> Outcome | None:
        """Return the outcome, or None where `cancelled` said that nobody wants it.

        Raises the pipeline's own error, or TransientPipelineError where the child died, hung or
        took more than it may.
        """
        watch = Watch(task.pipeline, self._clock, cancelled)
        run = _Run(task=task, device=task.pipeline.device, watch=watch, on_progress=on_progress)
        stage = Stage.AS_ASKED
        while True:
            try:
                outcome = self._try(run)
            except _GpuFull as full:
                stage = self._after_full(run, stage, full)
                if stage is Stage.ON_CPU:
                    run = replace(run, device=CPU)
            else:
                return _noted(outcome) if outcome and stage is Stage.ON_CPU else outcome

    def prepare(self, task: Task) -> None:
        """Let the child that will run `task` prepare it, if it is warm and can. From any thread."""
        child = self._warm.that_prepares(_key(task, task.pipeline.device), task.digest)
        if child is None:
            return
        child.expect(task.volumes.values())
        # A child that ended meanwhile prepares nothing; its run will say so.
        with suppress(BrokenChannel):
            wanted = Prepare(run_uid=task.run_uid, volumes=task.volumes)
            child.channel.send(wanted, timeout=_PATIENCE)

    def load(self, pipeline: PipelineOptions, digest: str) -> Loaded:
        """Return where the pipeline is, loaded in a child that is warm for the next run.

        Raises as `run` does.
        """
        task = Task(pipeline=pipeline, digest=digest, volumes={}, files={}, run_uid="")
        watch = Watch(pipeline, self._clock, lambda: False)
        run = _Run(task=task, device=pipeline.device, watch=watch, on_progress=lambda *_: None)
        with self._burying(run):
            warm, seconds = self._ready(run)
        return Loaded(device=warm.device, seconds=seconds, gaps=warm.isolation.gaps)

    def close(self) -> None:
        """End all children."""
        self._warm.close()
        self._scratch.close()

    # -- one run ------------------------------------------------------------------------

    def _try(self, run: _Run) -> Outcome | None:
        try:
            with self._burying(run):
                warm, load = self._ready(run)
                return self._infer(warm, run, load)
        except Stopped:
            self._warm.end(run.key, "stopped")
            return None

    @contextmanager
    def _burying(self, run: _Run) -> Iterator[None]:
        """End a child that took too much or went away; tell that as TransientPipelineError."""
        try:
            yield
        except OverLimit as error:
            raise TransientPipelineError(self._bury(run, str(error))) from None
        except BrokenChannel as error:
            raise TransientPipelineError(self._bury(run, "")) from error

    def _after_full(self, run: _Run, stage: Stage, full: _GpuFull) -> Stage:
        """Return what to try next, with room made for it. Raises TransientPipelineError."""
        # Where a site asks for the GPU by name, nothing else will do.
        may_use_cpu = (
            run.task.pipeline.device == AUTO
            and load_manifest(run.task.pipeline.folder).cpu_fallback
        )
        following = next_stage(stage, is_lacking_known=full.lacking > 0, cpu_fallback=may_use_cpu)
        if following is None:
            alone = "; no other pipeline of this worker was on it"
            raise TransientPipelineError(f"{full}{alone}") from full
        if following is not Stage.ON_CPU:
            self._warm.free_gpu(run.key, full.lacking if following is Stage.WITH_ROOM else 0)
        return following

    def _ready(self, run: _Run) -> tuple[Warm, float]:
        """Return a loaded child and the seconds that this took (0 for a warm one)."""
        digest = run.task.digest
        warm = self._warm.find(run.key, digest)
        if warm:
            self._warm.make_room(run.key, self._estimates.of(digest, warm.memory))
            return warm, 0.0
        start = self._clock.monotonic()
        warm = self._start(run)
        self._load(warm, run)
        seconds = self._clock.monotonic() - start
        isolation = warm.isolation
        log_event(
            Event.CHILD_STARTED,
            level=logging.WARNING if isolation.gaps else logging.INFO,
            pipeline=warm.pipeline,
            device=warm.device,
            seconds=round(seconds, 3),
            isolation=list(isolation.parts),
            reason="; ".join(f"no {part}: {why}" for part, why in isolation.lacking.items()),
        )
        return warm, seconds

    def _start(self, run: _Run) -> Warm:
        options, digest = run.task.pipeline, run.task.digest
        self._warm.end(run.key, "replaced", gently=True)
        manifest = load_manifest(options.folder)
        memory = manifest.memory or _USUAL
        self._warm.make_room(run.key, self._estimates.of(digest, memory))
        child = ChildProcess(
            options.folder, self._scratch.room(), enclosed=not manifest.isolates_itself
        )
        warm = Warm(key=run.key, child=child, pipeline=options.name, digest=digest, memory=memory)
        self._warm.add(warm)
        return warm

    def _load(self, warm: Warm, run: _Run) -> None:
        answer = _next(warm.child, run.watch)
        if isinstance(answer, Enclosed):
            warm.isolation = answer.isolation
            request = Load(
                device=run.device,
                gpu_needed=self._estimates.on_gpu(run.task.digest),
                gpu_limit=run.task.pipeline.gpu_memory or 0,
            )
            warm.child.channel.send(request, timeout=_PATIENCE)
            answer = _next(warm.child, run.watch)
        if not isinstance(answer, Ready):
            raise self._error(run, answer)
        warm.device, warm.gpu_memory = answer.device, answer.gpu_memory
        warm.prepares = answer.prepares

    def _infer(self, warm: Warm, run: _Run, load: float) -> Outcome:
        start, task, child = self._clock.monotonic(), run.task, warm.child
        child.begin(task.volumes.values())
        secrets = personal_values(task.volumes.values())
        with child.room.run(task.files) as (scratch, files):
            child.channel.send(_request(task, scratch, files), timeout=_PATIENCE)
            while isinstance(answer := _next(child, run.watch), Progress):
                run.watch.heard()
                run.on_progress(answer.fraction, without(secrets, answer.text)[:_LONGEST_PHASE])
        if not isinstance(answer, Done):
            raise self._error(run, answer)
        warm.gpu_memory = answer.gpu_memory
        run.watch.look(child)
        self._estimates.learn(task.digest, run.watch.peak, answer.gpu_memory)
        around = self._clock.monotonic() - start - answer.seconds
        seconds = {"load": load, "transfer": max(around, 0.0), "infer": answer.seconds}
        return Outcome(
            output=answer.output, device=warm.device, seconds=seconds, gaps=warm.isolation.gaps
        )

    def _error(self, run: _Run, answer: Message) -> ApplianceError:
        """Return the error that the child told of; end the child where it ends itself."""
        if not isinstance(answer, Failed):
            return BrokenChannel(f"{type(answer).__name__} was not asked for")
        if answer.ends:
            self._warm.end(run.key, "failed", gently=True)
        secrets = personal_values(run.task.volumes.values())
        text = without(secrets, answer.text)
        if answer.is_gpu_full:
            return _GpuFull(f"{run.task.pipeline.name}: {text}", answer.gpu_lacking)
        return as_error(replace(answer, text=text))

    def _bury(self, run: _Run, why: str) -> str:
        """End the run's child and return why, or else how it ended, and its last words."""
        how, words = self._warm.end(run.key, why or "died")
        text = why or f"the process of {run.task.pipeline.name} {how}"
        return f"{text}; it last wrote: {words}" if words else text


def _request(task: Task, scratch: Path, files: Lent) -> Infer:
    return Infer(
        run_uid=task.run_uid,
        volumes=task.volumes,
        files=files,
        scratch=str(scratch),
        parameters=task.pipeline.parameters,
    )


def _noted(outcome: Outcome) -> Outcome:
    """Return the outcome with a note that it is not from the GPU."""
    note = "Computed on the CPU, as the memory of the GPU was not enough."
    result = outcome.output.result
    result = replace(result, notes=(*result.notes, note))
    return replace(outcome, output=replace(outcome.output, result=result))


def _next(child: ChildProcess, watch: Watch) -> Message:
    """Return the child's next message. Raises BrokenChannel where there will be none."""
    while True:
        watch.check(child)
        message, ended = child.wait(_LOOK)
        if message:
            answer = child.channel.receive(timeout=_PATIENCE)
            if answer is None:
                raise BrokenChannel("the child closed the channel")
            return answer
        if ended:
            raise BrokenChannel("the child ended")
