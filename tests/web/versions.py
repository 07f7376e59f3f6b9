"""Versions of pipelines as the registry keeps them, and what objects say of their runs."""

from datetime import UTC
from pathlib import Path
from typing import Any

from appliance.core.model import Job
from pipelines.encode.context import RunContext
from results_store.registry import PipelineVersion

BRIGHT = Path(__file__).parents[1] / "pipelines" / "bright_volume"


def version(**changes: Any) -> PipelineVersion:
    """Return the version that made the phantom's result, as the registry keeps it."""
    values = {
        "digest": "d" * 64,
        "name": "bright-volume",
        "version": "1.0.0",
        "manifest": (BRIGHT / "pipeline.yaml").read_text(),
        "card": (BRIGHT / "card.md").read_text(),
    }
    return PipelineVersion(**(values | changes))


def context_of(job: Job) -> RunContext:
    """Return what objects say of the run."""
    return RunContext(
        run_uid=job.run_uid,
        created_at=job.created_at,
        time_zone=UTC,
        pipeline=job.pipeline,
        pipeline_version=job.pipeline_version,
        pipeline_digest=job.pipeline_digest,
        title="Volume of the brightest object",
        manufacturer="Example",
        regulatory_label="Research, not for diagnosis",
        device_serial="1",
    )
