"""Pipelines without a store: loaded here, or run as a worker does it, in a child."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path

from appliance.core.clock import SystemClock
from appliance.jobs.local import LocalExecutor, Outcome
from appliance.jobs.options import PipelineOptions
from appliance.jobs.phases import Phases, Run, run_context
from pipelines.base import Pipeline
from pipelines.encode import EncodedObject
from pipelines.manifest import digest, load_manifest
from pipelines.registry import build


def loaded(folder: Path, device: str = "cpu") -> Pipeline:
    """Return the pipeline in `folder`, loaded in this process."""
    pipeline = build(load_manifest(folder), folder)
    pipeline.load(device)
    return pipeline


def whole_run(
    executor: LocalExecutor, folder: Path, files: Mapping[str, Sequence[Path]]
) -> tuple[Outcome, tuple[EncodedObject, ...]]:
    """Run the pipeline in `folder` on the files of its inputs; return what it said and made."""
    manifest, clock = load_manifest(folder), SystemClock()
    run = Run(
        pipeline=PipelineOptions(name=manifest.name, folder=folder, device="cpu"),
        manifest=manifest,
        digest=digest(folder),
        run_uid="2.25.7",
        files=files,
    )
    phases = Phases(run, executor, clock, lambda _done, _phase: None, {})
    volumes = phases.read()
    outcome = phases.infer(volumes, lambda: False)
    assert outcome is not None
    context = run_context(
        manifest,
        digest=run.digest,
        run_uid=run.run_uid,
        created_at=clock.now(),
        time_zone=UTC,
        device_serial="1",
    )
    return outcome, phases.encode(context, volumes, outcome.output)
