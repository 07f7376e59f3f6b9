"""Runs pipelines on the nodes of a Ray cluster: the same children, each behind an actor.

A worker has an actor for each warm pipeline. Ray places it on a node with room for it and its
share of a GPU; there it unpacks the pipeline's folder, checks its digest, and runs it as
`LocalExecutor` does: isolated, watched, warm. Volumes go through the object store. The queue stays
in the store: a node that goes away fails the attempt as worth another one, and the next attempt
finds another node.
"""

import importlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.core.clock import Clock
from appliance.core.errors import ConfigError, TransientPipelineError
from appliance.core.log import Event, log_event
from appliance.jobs.local import Outcome, Task
from appliance.jobs.node import Runner, pack_folder
from pipelines.manifest import Manifest, load_manifest
from pipelines.specs import Kind
from pipelines.wire import Failed, Progress, as_error

_LOOK = 0.2  # seconds between two looks at `cancelled`
_PATIENCE = 5.0  # seconds until a warm actor makes room for one that waits
# Kinds whose code may open the images themselves; the others get arrays alone.
_READS_FILES = frozenset({Kind.PYTHON, Kind.COMMAND})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Where the cluster is, and what one pipeline takes of a node.

    `address` is host:port of the head, or "auto" for the cluster that this host belongs to;
    `node_address` is this host's own, by which the cluster's nodes know it, where it has several.
    """

    address: str
    node_address: str | None = None
    cpus: float = 1.0
    gpus: float = 1.0  # of one GPU, for pipelines that use one; 0.25: four share it

    def __post_init__(self) -> None:
        if self.cpus <= 0 or not 0 < self.gpus <= 1:
            raise ValueError("cpus is above 0, gpus above 0 and at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Actor:
    handle: Any
    digest: str


class RayExecutor:
    """Actors by pipeline, the least recently used one ended first."""

    def __init__(self, options: ClusterOptions, *, warm_children: int, clock: Clock) -> None:
        """Join the cluster. Raises ConfigError without Ray, TransientPipelineError without it."""
        self._ray = _import_ray()
        self._options = options
        self._limit = warm_children
        self._clock = clock
        self._actors: OrderedDict[str, _Actor] = OrderedDict()
        try:
            self._ray.init(
                address=options.address,
                log_to_driver=False,
                configure_logging=False,
                ignore_reinit_error=True,
                **_known(_node_ip_address=options.node_address),
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise TransientPipelineError(f"no Ray cluster at {options.address}: {error}") from error

    def run(
        self,
        task: Task,
        *,
        on_progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> Outcome | None:
        """Return the outcome, or None where `cancelled` said that nobody wants it.

        Raises the pipeline's own error, or TransientPipelineError where no node had room or the
        node went away.
        """
        ray, name = self._ray, task.pipeline.name
        try:
            actor = self._actor(task)
            if not self._is_placed(task, actor, cancelled):
                return None
            run = actor.run.remote(ray.put(self._portable(task)))
            return self._follow(task, actor, run, on_progress, cancelled)
        except ray.exceptions.RayError as error:
            self._end(name, "lost")
            # The first line says what; what follows quotes the other side's log.
            reason = str(error).strip().partition("\n")[0]
            raise TransientPipelineError(
                f"the node that ran {name} is gone or lost its actor: {reason}"
            ) from error

    def close(self) -> None:
        """End all actors and leave the cluster."""
        for name in tuple(self._actors):
            self._end(name, "executor closed")
        self._ray.shutdown()

    # -- actors -------------------------------------------------------------------------------

    def _actor(self, task: Task) -> Any:  # noqa: ANN401 -- Ray makes the handle's class
        name = task.pipeline.name
        known = self._actors.get(name)
        if known is not None and known.digest == task.digest:
            self._actors.move_to_end(name)
            return known.handle
        self._end(name, "replaced")
        while len(self._actors) >= self._limit:
            self._end(next(iter(self._actors)), "least recently used")
        manifest = load_manifest(task.pipeline.folder)
        remote = self._ray.remote(Runner).options(
            num_cpus=self._options.cpus,
            num_gpus=self._gpus(task, manifest),
            max_concurrency=2,  # one runs, one may stop it
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        handle = remote.remote(pack_folder(task.pipeline.folder), task.digest)
        self._actors[name] = _Actor(handle=handle, digest=task.digest)
        return handle

    def _is_placed(self, task: Task, actor: Any, cancelled: Callable[[], bool]) -> bool:  # noqa: ANN401
        """Wait until the actor has a node; False where nobody wants the run any more.

        Warm actors hold their part of a node: they make room, the least recently used one first.
        """
        name, clock = task.pipeline.name, self._clock
        deadline = clock.monotonic() + task.pipeline.timeout.total_seconds()
        answer = actor.stop.remote()  # nothing runs yet; it answers once it is there
        make_room = clock.monotonic() + _PATIENCE
        while not self._ray.wait([answer], timeout=_LOOK)[0]:
            now = clock.monotonic()
            if cancelled():
                return False
            if now > deadline:
                self._end(name, "no room")
                raise TransientPipelineError(f"no node of the cluster had room for {name}")
            others = [other for other in self._actors if other != name]
            if now > make_room and others:
                self._end(others[0], "makes room")
                make_room = now + _PATIENCE
        self._ray.get(answer)
        return True

    def _gpus(self, task: Task, manifest: Manifest) -> float:
        wanted = task.pipeline.device
        if manifest.gpu_memory is None or wanted == "cpu":
            return 0.0
        has_gpu = self._ray.cluster_resources().get("GPU", 0) > 0
        return self._options.gpus if has_gpu or wanted != "auto" else 0.0

    def _end(self, name: str, reason: str) -> None:
        actor = self._actors.pop(name, None)
        if actor is not None:
            self._ray.kill(actor.handle, no_restart=True)
            log_event(Event.CHILD_ENDED, level=logging.INFO, pipeline=name, reason=reason)

    # -- one run ------------------------------------------------------------------------------

    def _portable(self, task: Task) -> tuple[Task, Mapping[str, tuple[bytes, ...]]]:
        """Return the task without this machine's paths, and the files' bytes where needed."""
        kind = load_manifest(task.pipeline.folder).kind
        files = {
            name: tuple(path.read_bytes() for path in paths)
            for name, paths in task.files.items()
            if kind in _READS_FILES
        }
        pipeline = replace(task.pipeline, folder=Path(task.pipeline.name))
        return replace(task, pipeline=pipeline, files={}), files

    def _follow(
        self,
        task: Task,
        actor: Any,  # noqa: ANN401
        run: Any,  # noqa: ANN401
        on_progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> Outcome | None:
        for said in self._messages(run, cancelled):
            if said is None:
                self._ray.get(actor.stop.remote())
                return None
            if isinstance(said, Progress):
                on_progress(said.fraction, said.text)
            elif isinstance(said, Failed):
                raise as_error(said)
            else:
                return said
        raise TransientPipelineError(f"the actor of {task.pipeline.name} ended without a word")

    def _messages(
        self,
        run: Any,  # noqa: ANN401
        cancelled: Callable[[], bool],
    ) -> Iterator[Progress | Failed | Outcome | None]:
        """Yield what the actor says, None where nobody wants the run any more.

        The run's time limit is kept where it runs.
        """
        while True:
            ready, _ = self._ray.wait([run], timeout=_LOOK, fetch_local=False)
            if cancelled():
                yield None
            elif ready:
                try:
                    yield self._ray.get(next(run))
                except StopIteration:
                    return


def _known(**options: object) -> Mapping[str, object]:
    """Return what is not None."""
    return {key: value for key, value in options.items() if value is not None}


def _import_ray() -> Any:  # noqa: ANN401 -- an extra: there may be nothing to type
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise ConfigError(
            "jobs.executor: ray needs the extra ray; install it, or write executor: local"
        ) from None
