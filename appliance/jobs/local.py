"""Runs pipelines on this machine, each in a child process that stays warm.

A child that died, hung, grew too large or was stopped is gone with everything that it started;
the next run starts another one.
"""

import logging
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.errors import ApplianceError, TransientPipelineError
from appliance.core.log import Event, log_event
from appliance.jobs.options import PipelineOptions
from appliance.jobs.process import ChildProcess, personal_values, without
from pipelines.base import PipelineOutput
from pipelines.volume import Volume
from pipelines.wire import (
    BrokenChannel,
    Done,
    Failed,
    Infer,
    Load,
    Message,
    Progress,
    Ready,
    as_error,
)

_LOOK = 0.1  # seconds between two looks at the clock and at `cancelled`
_WEIGH = 0.25  # seconds between two looks at the group's memory
_PATIENCE = 30.0  # seconds for one message to pass whole, once begun


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
    """What came of it; `seconds` by phase: load, transfer, infer."""

    output: PipelineOutput
    device: str
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Warm:
    child: ChildProcess
    digest: str
    device: str  # as it really is


class _Stopped(Exception):
    """Whoever asked for the run does not want it any more."""


class _OverLimit(TransientPipelineError):
    """The run took too long or too much."""


class LocalExecutor:
    """Warm children by pipeline, the least recently used one ended first."""

    def __init__(self, *, warm_children: int, clock: Clock, scratch: Path | None = None) -> None:
        """Each run gets a folder of its own under `scratch`, or where temporary files go."""
        self._limit = warm_children
        self._scratch = scratch
        self._clock = clock
        self._warm: OrderedDict[str, _Warm] = OrderedDict()

    def run(
        self,
        task: Task,
        *,
        on_progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> Outcome | None:
        """Return the outcome, or None where `cancelled` said that nobody wants it.

        Raises the pipeline's own error, or TransientPipelineError where the child died, hung or
        took more memory than it may.
        """
        watch = _Watch(task, self._clock, cancelled)
        try:
            warm, load = self._ready(task, watch)
            return self._infer(warm, task, watch, on_progress, load)
        except _Stopped:
            self._end(task.pipeline.name, "stopped")
            return None
        except _OverLimit as error:
            raise TransientPipelineError(self._bury(task, str(error))) from None
        except BrokenChannel as error:
            raise TransientPipelineError(self._bury(task, "")) from error

    def close(self) -> None:
        """End all children."""
        for name in tuple(self._warm):
            self._end(name, "executor closed", gently=True)

    # -- one run ------------------------------------------------------------------------

    def _ready(self, task: Task, watch: "_Watch") -> tuple[_Warm, float]:
        """Return a loaded child and the seconds that this took (0 for a warm one)."""
        name = task.pipeline.name
        warm = self._warm.get(name)
        if warm and warm.digest == task.digest and warm.child.is_alive():
            self._warm.move_to_end(name)
            return warm, 0.0
        start = self._clock.monotonic()
        self._start(task)
        device = self._load(task, watch)
        self._warm[name] = _Warm(child=self._warm[name].child, digest=task.digest, device=device)
        seconds = self._clock.monotonic() - start
        log_event(Event.CHILD_STARTED, pipeline=name, device=device, seconds=round(seconds, 3))
        return self._warm[name], seconds

    def _start(self, task: Task) -> None:
        self._end(task.pipeline.name, "replaced", gently=True)
        while len(self._warm) >= self._limit:
            self._end(next(iter(self._warm)), "least recently used", gently=True)
        child = ChildProcess(task.pipeline.folder)
        self._warm[task.pipeline.name] = _Warm(child=child, digest=task.digest, device="")

    def _load(self, task: Task, watch: "_Watch") -> str:
        child = self._warm[task.pipeline.name].child
        child.channel.send(Load(device=task.pipeline.device), timeout=_PATIENCE)
        answer = _next(child, watch)
        if isinstance(answer, Ready):
            return answer.device
        raise self._error(task, answer)

    def _infer(
        self,
        warm: _Warm,
        task: Task,
        watch: "_Watch",
        on_progress: Callable[[float, str], None],
        load: float,
    ) -> Outcome:
        start = self._clock.monotonic()
        warm.child.keep_quiet_about(task.volumes.values())
        with tempfile.TemporaryDirectory(prefix="run-", dir=self._scratch) as scratch:
            warm.child.channel.send(_request(task, scratch), timeout=_PATIENCE)
            while isinstance(answer := _next(warm.child, watch), Progress):
                on_progress(answer.fraction, answer.text)
        if not isinstance(answer, Done):
            raise self._error(task, answer)
        around = self._clock.monotonic() - start - answer.seconds
        seconds = {"load": load, "transfer": max(around, 0.0), "infer": answer.seconds}
        return Outcome(output=answer.output, device=warm.device, seconds=seconds)

    def _error(self, task: Task, answer: Message) -> ApplianceError:
        """Return the error that the child told of; end the child where it ends itself."""
        if not isinstance(answer, Failed):
            return BrokenChannel(f"{type(answer).__name__} was not asked for")
        if answer.ends:
            self._end(task.pipeline.name, "failed", gently=True)
        secrets = personal_values(task.volumes.values())
        return as_error(
            Failed(error=answer.error, text=without(secrets, answer.text), ends=answer.ends)
        )

    # -- ends ---------------------------------------------------------------------------

    def _bury(self, task: Task, why: str) -> str:
        """End the task's child and return why, or else how it ended, and its last words."""
        warm = self._warm[task.pipeline.name]
        how = self._end(task.pipeline.name, why or "died")
        text = why or f"the process of {task.pipeline.name} {how}"
        words = warm.child.last_words
        return f"{text}; it last wrote: {words}" if words else text

    def _end(self, name: str, reason: str, *, gently: bool = False) -> str:
        warm = self._warm.pop(name, None)
        if warm is None:
            return ""
        how = warm.child.end(gently=gently)
        log_event(
            Event.CHILD_ENDED, level=logging.INFO, pipeline=name, reason=f"{reason}: it {how}"
        )
        return how


def _request(task: Task, scratch: str) -> Infer:
    return Infer(
        run_uid=task.run_uid,
        volumes=task.volumes,
        files={name: tuple(map(str, paths)) for name, paths in task.files.items()},
        scratch=scratch,
        parameters=task.pipeline.parameters,
    )


class _Watch:
    """The limits of one run."""

    def __init__(self, task: Task, clock: Clock, cancelled: Callable[[], bool]) -> None:
        self._options = task.pipeline
        self._clock = clock
        self._cancelled = cancelled
        self._deadline = clock.monotonic() + task.pipeline.timeout.total_seconds()
        self._weighed = clock.monotonic()

    def check(self, child: ChildProcess) -> None:
        """Raise _Stopped or _OverLimit where the run must not go on."""
        now = self._clock.monotonic()
        if self._cancelled():
            raise _Stopped
        if now >= self._deadline:
            limit = self._options.timeout.total_seconds()
            raise _OverLimit(f"{self._options.name} took longer than its limit of {limit:g} s")
        if now - self._weighed >= _WEIGH:
            self._weighed = now
            self._weigh(child)

    def _weigh(self, child: ChildProcess) -> None:
        size = child.resident_bytes()
        if size > self._options.memory:
            limit = self._options.memory
            raise _OverLimit(
                f"{self._options.name} took {size >> 20} MiB of memory, more than its limit of "
                f"{limit >> 20} MiB"
            )


def _next(child: ChildProcess, watch: _Watch) -> Message:
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
