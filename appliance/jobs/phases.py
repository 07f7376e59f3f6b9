"""What every run does, wherever its images lie and its results go: read, infer, encode."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from appliance.core.clock import Clock
from appliance.core.errors import PermanentPipelineError
from appliance.core.model import ObjectKind, PipelineResult
from appliance.jobs.local import Outcome, Task
from appliance.jobs.options import PipelineOptions
from pipelines.base import PipelineOutput
from pipelines.encode import EncodedObject, RunContext, encode
from pipelines.features import intensity_features, metadata_features
from pipelines.inputs import Form
from pipelines.manifest import Manifest
from pipelines.radiograph import read_image
from pipelines.series import read_volume
from pipelines.split import split_files
from pipelines.volume import Volume

# How much of the whole each phase is on the bar that a reader sees.
_READ, _INFER = 0.1, 0.8

Tell = Callable[[float, str], None]
"""Told how far a run is, 0 … 1, and in which phase."""


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


@runtime_checkable
class Prepares(Protocol):
    """An executor whose pipelines can prepare a run while they infer another."""

    def prepare(self, task: Task) -> None:
        """Let the pipeline prepare `task`, if it is at hand. From any thread; raises nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one pipeline: `files` are the images of each input, in any order."""

    pipeline: PipelineOptions
    manifest: Manifest
    digest: str
    run_uid: str
    files: Mapping[str, Sequence[Path]]

    def task(self, images: "Images") -> Task:
        """Return what an executor is asked for, once the images are read."""
        return Task(
            pipeline=self.pipeline,
            digest=self.digest,
            volumes=images.volumes,
            files=images.files,
            run_uid=self.run_uid,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """What was read for a run: its volumes, and the files of each; an input may have been split."""

    volumes: Mapping[str, Volume]
    files: Mapping[str, tuple[Path, ...]]


def read_images(
    manifest: Manifest, files: Mapping[str, Sequence[Path]], progress: Callable[[float], None]
) -> Images:
    """Return each input as a volume, or as several where its manifest splits it.

    Raises BadInstance, InputRefused.
    """
    parts: dict[str, tuple[Path, ...]] = {}
    forms: dict[str, Form] = {}
    for name, paths in files.items():
        wanted = manifest.input(name)
        found = split_files(name, paths, wanted.split)
        parts |= found
        forms |= dict.fromkeys(found, wanted.form)
    volumes: dict[str, Volume] = {}
    for name, paths in parts.items():
        tell = partial(_tell_part, progress, len(volumes), len(parts))
        read = read_image if forms[name] is Form.IMAGE else read_volume
        volumes[name] = read(paths, progress=tell)
    return Images(volumes=volumes, files=parts)


def _tell_part(progress: Callable[[float], None], before: int, parts: int, done: float) -> None:
    progress((before + done) / parts)


class Phases:
    """The phases of one run, to be called one after the other.

    How long each took goes into `seconds`, so that it is known of those before a failure too.
    """

    def __init__(
        self, run: Run, executor: Executor, clock: Clock, tell: Tell, seconds: dict[str, float]
    ) -> None:
        self._run = run
        self._executor = executor
        self._clock = clock
        self._tell = tell
        self._seconds = seconds
        self._files: Mapping[str, tuple[Path, ...]] = {}

    @property
    def files(self) -> Mapping[str, tuple[Path, ...]]:
        """Return the files of each volume that was read; an input may have been split."""
        return self._files

    def read(self, ready: Callable[[], Images | None] = lambda: None) -> Mapping[str, Volume]:
        """Return each input as a volume, or as several where its manifest splits it.

        `ready` may have them already. Raises BadInstance, InputRefused.
        """
        with self.phase("read", 0.0):
            images = ready() or read_images(
                self._run.manifest,
                self._run.files,
                lambda done: self._tell(_READ * done, "read"),
            )
        self._files = images.files
        return images.volumes

    def infer(self, volumes: Mapping[str, Volume], cancelled: Callable[[], bool]) -> Outcome | None:
        """Return what the pipeline says, with features for drift, or None where cancelled.

        Raises the pipeline's own error, and PermanentPipelineError for what is no finite number.
        """
        self._tell(_READ, "load")
        outcome = self._executor.run(
            self._run.task(Images(volumes=volumes, files=self._files)),
            on_progress=lambda done, text: self._tell(_READ + _INFER * done, text),
            cancelled=cancelled,
        )
        if outcome is None:
            return None
        self._seconds |= outcome.seconds
        result = with_features(outcome.output.result, volumes)
        _check_numbers(result)
        return replace(outcome, output=replace(outcome.output, result=result))

    def encode(
        self, context: RunContext, volumes: Mapping[str, Volume], output: PipelineOutput
    ) -> tuple[EncodedObject, ...]:
        """Return the run's objects. Raises BadInstance, PermanentPipelineError."""
        name = next(iter(volumes)) if output.label_map is None else output.label_map.input_name
        if name not in volumes:
            raise PermanentPipelineError(f"the label map lies on {name!r}, which is no input")
        context = replace(context, given=frozenset(_uids(volumes.values())))
        with self.phase("encode", _READ + _INFER):
            others = [volume for other, volume in volumes.items() if other != name]
            return encode(context, self._files[name], volumes[name], output, others=others)

    @contextmanager
    def phase(self, name: str, progress: float) -> Iterator[None]:
        """Tell of a phase and measure it."""
        self._tell(progress, name)
        start = self._clock.monotonic()
        yield
        self._seconds[name] = self._clock.monotonic() - start


def run_context(
    manifest: Manifest,
    *,
    digest: str,
    run_uid: str,
    created_at: datetime,
    time_zone: tzinfo,
    device_serial: str,
) -> RunContext:
    """Return what objects say of a run of this pipeline; nothing of a site or an earlier run."""
    return RunContext(
        run_uid=run_uid,
        created_at=created_at,
        time_zone=time_zone,
        pipeline=manifest.name,
        pipeline_version=manifest.version,
        pipeline_digest=digest,
        title=manifest.title,
        manufacturer=manifest.manufacturer,
        regulatory_label=manifest.regulatory.label_on(created_at.astimezone(time_zone).date()),
        device_serial=device_serial,
        adopt=manifest.adopts,
        coding_schemes=tuple(written.scheme for written in manifest.coding_schemes),
    )


def _uids(volumes: Iterable[Volume]) -> Iterator[str]:
    for volume in volumes:
        yield volume.series_instance_uid
        yield from (frame.sop_instance_uid for frame in volume.frames)


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


def with_segments(result: PipelineResult, encoded: Sequence[EncodedObject]) -> PipelineResult:
    """Return `result` with the segments of the first Segmentation, where the pipeline made it."""
    made = next((item for item in encoded if item.kind == ObjectKind.SEG), None)
    if result.segments or made is None:
        return result
    return replace(result, segments=made.segments)


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
