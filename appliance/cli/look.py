"""Commands that only read: check, explain, and the lists."""

from collections.abc import Mapping, Sized
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
from appliance.cli.spool import report_spool
from appliance.core.clock import SystemClock
from appliance.core.model import Delivery, Job
from appliance.core.quantities import parse_size
from appliance.core.states import JobState
from appliance.core.uids import is_valid_uid
from appliance.wiring.checks import check_everything
from appliance.wiring.intake import explain_folder, explain_study
from appliance.wiring.site import load, open_site

_JOB_COLUMNS = ("job", "state", "attempt", "progress", "pipeline", "version", "route")
_DELIVERY_COLUMNS = ("delivery", "state", "attempt", "job", "object", "destination")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(check)
    app.command()(explain)


def _size(text: str) -> int:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if size < 1:
        raise typer.BadParameter("write a size above 0")
    return size


def check(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="Also send a C-ECHO to every destination; 1 if one is silent."
        ),
    ] = False,
    spool: Annotated[
        bool,
        typer.Option("--spool", help="Also read every received file; 1 if one is not as it came."),
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option(
            parser=_size, metavar="SIZE", help='For --spool: bytes a second at most ("50 MB").'
        ),
    ] = None,
) -> int:
    """Check settings, pipelines, weights, forms: all mistakes."""
    settings = load(config)
    check_everything(settings, SystemClock().now())
    for line in diagnosis.warnings(settings) + diagnosis.stranded_so_far(settings):
        console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)
    counts = f"{_count(settings.routes, 'route')}, {_count(settings.pipelines, 'pipeline')}"
    console.print(f"{config}: good ({counts}).", markup=False, soft_wrap=True)
    silent = diagnosis.unreachable(settings) if peers else []
    for line in silent:
        console.print(line, style="red", markup=False, soft_wrap=True)
    unsound = report_spool(config, rate) if spool else 0
    return 1 if silent or unsound else 0


def explain(
    study: Annotated[str, typer.Argument(help="A Study Instance UID, or a folder of DICOM files.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    as_json: JsonOption = False,
) -> int:
    """Print what the routes say of a study, condition by condition.

    A folder need not have been received: it gets the same decision as if it had been.
    """
    folder = Path(study)
    is_folder = folder.is_dir() or not is_valid_uid(study)
    explanation = explain_folder(config, folder) if is_folder else explain_study(config, study)
    if as_json:
        print_json(explanation.data)
    else:
        for line in explanation.lines:
            console.print(line, markup=False, soft_wrap=True)
    return 0


def list_jobs(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """List runs with state, progress and reason, the newest first."""
    with open_site(config) as site:
        jobs = site.store.jobs.list(state=state, limit=limit)
    rows = [_job_row(job) for job in jobs]
    show_rows(rows, columns=_JOB_COLUMNS, as_json=as_json, below=_study_and_reason)
    return 0


def list_deliveries(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """List deliveries with state and reason, the newest first."""
    with open_site(config) as site:
        deliveries = site.store.deliveries.list(limit=limit)
    rows = [_delivery_row(delivery) for delivery in deliveries]
    show_rows(rows, columns=_DELIVERY_COLUMNS, as_json=as_json, below=_study_and_reason)
    return 0


def _job_row(job: Job) -> dict[str, object]:
    return {
        "job": job.job_id,
        "study": job.study_instance_uid,
        "route": job.route,
        "pipeline": job.pipeline,
        "version": job.pipeline_version,
        "digest": job.pipeline_digest,
        "run": job.run_number,
        "run_uid": job.run_uid,
        "supersedes": job.supersedes,
        "state": job.state.value,
        "attempt": job.attempt,
        "progress": round(job.progress, 3),
        "phase": job.phase,
        "priority": job.priority.value,
        "worker": job.worker,
        "device": job.device,
        "gaps": None if job.gaps is None else list(job.gaps),
        "seconds": dict(job.seconds),
        "created_at": job.created_at,
        "run_after": job.run_after,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "reason": job.reason,
        "shadow": job.shadow,
    }


def _delivery_row(delivery: Delivery) -> dict[str, object]:
    return {
        "delivery": delivery.delivery_id,
        "job": delivery.job_id,
        "study": delivery.study_instance_uid,
        "object": delivery.result.kind,
        "sop_class_uid": delivery.result.sop_class_uid,
        "sop_instance_uid": delivery.result.sop_instance_uid,
        "destination": delivery.destination,
        "state": delivery.state.value,
        "attempt": delivery.attempt,
        "not_before": delivery.not_before,
        "delivered_at": delivery.delivered_at,
        "reason": delivery.reason,
    }


def _study_and_reason(row: Mapping[str, object]) -> str:
    said = [str(row[key]) for key in ("reason", "shadow") if row.get(key)]
    return ": ".join((str(row["study"]), *said))


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
