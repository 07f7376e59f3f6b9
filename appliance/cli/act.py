"""Commands that change something: pause, resume, jobs, deliveries, links, copies."""

import getpass
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.common import DEFAULT_CONFIG, ConfigOption, add_group, console, errors
from appliance.cli.look import list_deliveries, list_jobs
from appliance.core.documents import suggest
from appliance.core.errors import StoreError
from appliance.core.uids import is_valid_uid
from appliance.wiring.copies import backup_store, export_store
from appliance.wiring.readers import make_link
from appliance.wiring.site import open_site


class Kind(StrEnum):
    """What can be paused."""

    ROUTE = "route"
    PIPELINE = "pipeline"
    DESTINATION = "destination"


JobArgument = Annotated[int, typer.Argument(help="The number that `jobs list` shows.")]
StudyArgument = Annotated[str, typer.Argument(help="A Study Instance UID.")]
RouteArgument = Annotated[str, typer.Argument(help="The route's name in the settings.")]
KindArgument = Annotated[Kind, typer.Argument(help="What the name is the name of.")]
NameArgument = Annotated[str, typer.Argument(help="Its name in the settings.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(pause)
    app.command()(resume)
    app.command()(release)
    app.command()(rerun)
    app.command()(export)
    app.command()(backup)
    app.command()(link)
    add_group(
        app,
        "jobs",
        "List, retry, cancel or resubmit runs of pipelines.",
        (list_jobs, retry, cancel, resubmit),
    )
    add_group(
        app,
        "deliveries",
        "List, resend or cancel results on their way.",
        (list_deliveries, resend, cancel_delivery),
    )


def pause(kind: KindArgument, name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Start nothing new for a route, pipeline or destination."""
    with open_site(config) as site:
        site.known(kind.value, name)
        site.store.controls.pause(kind.value, name, getpass.getuser())
    ending = shlex.join(("appliance", "resume", kind.value, name))
    console.print(f"{kind.value} {name} is paused; `{ending}` ends it.", markup=False)
    return 0


def resume(kind: KindArgument, name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """End a pause: what waited starts."""
    with open_site(config) as site:
        names = [paused for of_kind, paused in site.store.controls.paused() if of_kind == kind]
        if name not in names:
            others = suggest(name, names) if names else "; none is"
            raise StoreError(f"no {kind.value} {name!r} is paused{others}")
        site.store.controls.resume(kind.value, name)
        site.wake_all()
    console.print(f"{kind.value} {name} goes on.", markup=False)
    return 0


def release(
    study: StudyArgument, route: RouteArgument, config: ConfigOption = DEFAULT_CONFIG
) -> int:
    """Let a held route go on with the images that are here."""
    who = getpass.getuser()
    with open_site(config) as site:
        site.store.routes.release(study, route, who)
        site.store.audit.record(who, "route-released", study, route)
        site.wake_all()
    console.print(f"route {route} goes on with what is here of {study}.", markup=False)
    return 0


def rerun(study: StudyArgument, route: RouteArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Let a route that ran take late images in."""
    who = getpass.getuser()
    with open_site(config) as site:
        site.store.routes.run_again(study, route, f"asked for by {who}")
        site.store.audit.record(who, "route-rerun", study, route)
        site.wake_all()
    console.print(
        f"route {route} runs again if it has images of {study} that it had not, "
        "or if results stayed here that may leave now.",
        markup=False,
    )
    return 0


def retry(job: JobArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Try a failed run once more, with the same UIDs."""
    with open_site(config) as site:
        site.store.commands.retry(job)
        site.wake_all()
    console.print(f"job {job} is queued again.")
    return 0


def cancel(job: JobArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Cancel a run that waits or runs."""
    with open_site(config) as site:
        site.store.commands.cancel(job)
    console.print(f"job {job} is cancelled.")
    return 0


def resubmit(job: JobArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Run the same input again; the new run supersedes the old one."""
    with open_site(config) as site:
        new = site.store.commands.resubmit(job, site.clock.now())
        site.wake_all()
    console.print(f"job {new.job_id} is queued: run {new.run_number}, supersedes job {job}.")
    return 0


def resend(
    delivery: Annotated[int, typer.Argument(help="The number that `deliveries list` shows.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Send a result again, byte for byte the same."""
    with open_site(config) as site:
        site.store.commands.resend(delivery)
        site.wake_all()
    console.print(f"delivery {delivery} is on its way again.")
    return 0


def cancel_delivery(
    delivery: Annotated[int, typer.Argument(help="The number that `deliveries list` shows.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """End a delivery that waits or is held; nothing is sent."""
    with open_site(config) as site:
        site.store.commands.cancel_delivery(delivery)
    console.print(f"delivery {delivery} is cancelled.")
    return 0


def export(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Made if missing; an earlier export in it is replaced.", file_okay=False
        ),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Write findings, feedback and times as CSV and Parquet."""
    for path in export_store(config, folder):
        console.print(str(path), markup=False)
    return 0


def backup(
    target: Annotated[Path, typer.Argument(help="The file to write; must not exist.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Write a copy of the store, also while the appliance runs."""
    backup_store(config, target)
    console.print(f"{target} is a complete copy of the store.", markup=False)
    return 0


def link(
    study: StudyArgument,
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Print a signed link that opens a study's results for a while."""
    if not is_valid_uid(study):
        raise StoreError(f"{study!r} is no Study Instance UID; `appliance jobs list` shows some")
    with open_site(config) as site:
        if site.store.studies.get(study) is None:
            errors.print(f"no image of study {study} is here yet; the link is good all the same")
        typer.echo(make_link(site, study))
    return 0
