"""Pipelines tried on studies that nobody sent."""

from collections.abc import Callable
from pathlib import Path

from appliance.core.clock import SystemClock
from appliance.jobs.local import LocalExecutor
from appliance.trial.check import Check
from appliance.trial.report import Report
from appliance.trial.subject import subject_in
from pipelines.folders import SHIPPED

Tell = Callable[[float, str], None]


def pipeline_folder(text: str) -> Path | None:
    """Return the folder that `text` names, by its path or as a shipped pipeline; None: neither."""
    folder = Path(text)
    return folder if folder.is_dir() else SHIPPED.get(text)


def check_pipeline(
    folder: Path, study: Path | None, out: Path | None, device: str, tell: Tell
) -> Report:
    """Return what a check of the pipeline in `folder` finds; needs no settings and no store.

    Raises ConfigError with every mistake in the folder.
    """
    subject = subject_in(folder, device)
    clock = SystemClock()
    executor = LocalExecutor(warm_children=1, clock=clock)
    try:
        check = Check(subject, executor, clock, out, tell)
        return check.load() if study is None else check.run(study)
    finally:
        executor.close()
