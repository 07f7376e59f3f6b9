"""Commands that only read: check, explain, status, and the lists."""

from pathlib import Path
from typing import Annotated

import typer

from appliance import diagnosis
from appliance.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    console,
    print_json,
    show_rows,
)
from appliance.core.model import Delivery, Job
from appliance.core.states import JobState
from appliance.wiring.checks import check_installation
from appliance.wiring.intake import explain_folder, explain_study
from appliance.wiring.site import load, open_site

_JOB_COLUMNS = ("job", "study", "route", "pipeline", "state", "attempt", "progress", "reason")
_DELIVERY_COLUMNS = ("delivery", "study", "object", "destination", "state", "attempt", "reason")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(check)
    app.command()(explain)
    app.command()(status)


def check(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also send a C-ECHO to every destination.")
    ] = False,
) -> int:
    """Check settings, pipelines, forms, folders; all problems at once."""
    settings = load(config)
    check_installation(settings)
    warnings = diagnosis.warnings(settings) + diagnosis.stranded_so_far(settings)
    if peers:
        warnings += diagnosis.unreachable(settings)
    for line in warnings:
        console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)
    routes, pipelines = len(settings.routes), len(settings.pipelines)
    console.print(f"{config}: good ({routes} routes, {pipelines} pipelines).")
    return 0


def explain(
    study: Annotated[str, typer.Argument(help="A Study Instance UID, or a folder of DICOM files.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    as_json: JsonOption = False,
) -> int:
    """Print what the routes say of a study and why, condition by condition.

    A folder need not have been received: it gets the same decision as if it had been.
    """
    folder = Path(study)
    explanation = (
        explain_folder(config, folder) if folder.is_dir() else explain_study(config, study)
    )
    if as_json:
        print_json(explanation.data)
    else:
        for line in explanation.lines:
            console.print(line, markup=False, soft_wrap=True)
    return 0


def status(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> int:
    """Print what is running, waiting, held and failed."""
    with open_site(config) as site:
        overview = diagnosis.overview(site.settings, site.store, site.spool, site.clock.now())
    if as_json:
        print_json(overview)
        return 0
    for title, value in overview.items():
        console.print(f"{title.replace('_', ' '):<24} {_plain(value)}", markup=False)
    return 0


def list_jobs(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """List jobs."""
    with open_site(config) as site:
        jobs = site.store.jobs.list(state=state, limit=limit)
    show_rows([_job_row(job) for job in jobs], columns=_JOB_COLUMNS, as_json=as_json)
    return 0


def list_deliveries(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """List deliveries."""
    with open_site(config) as site:
        deliveries = site.store.deliveries.list(limit=limit)
    rows = [_delivery_row(delivery) for delivery in deliveries]
    show_rows(rows, columns=_DELIVERY_COLUMNS, as_json=as_json)
    return 0


def _job_row(job: Job) -> dict[str, object]:
    return {
        "job": job.job_id,
        "study": job.study_instance_uid,
        "route": job.route,
        "pipeline": f"{job.pipeline} {job.pipeline_version}",
        "run": job.run_number,
        "state": job.state.value,
        "attempt": job.attempt,
        "progress": f"{job.progress:.0%} {job.phase}".strip(),
        "priority": job.priority.value,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "reason": job.reason,
    }


def _delivery_row(delivery: Delivery) -> dict[str, object]:
    return {
        "delivery": delivery.delivery_id,
        "job": delivery.job_id,
        "study": delivery.study_instance_uid,
        "object": delivery.result.kind,
        "destination": delivery.destination,
        "state": delivery.state.value,
        "attempt": delivery.attempt,
        "not_before": delivery.not_before,
        "reason": delivery.reason,
    }


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
