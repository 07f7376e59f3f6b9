"""Commands that change something: pause, resume, jobs, deliveries, users, links, copies."""

import getpass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, console, show_rows
from appliance.cli.look import list_deliveries, list_jobs
from appliance.core.errors import StoreError
from appliance.wiring.copies import backup_store, export_store
from appliance.wiring.readers import add_account, change_password, make_link
from appliance.wiring.site import open_site


class Kind(StrEnum):
    """What can be paused."""

    ROUTE = "route"
    PIPELINE = "pipeline"
    DESTINATION = "destination"


JobArgument = Annotated[int, typer.Argument(help="The number that `jobs list` shows.")]
NameArgument = Annotated[str, typer.Argument(help="Its name in the settings.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(pause)
    app.command()(resume)
    app.command()(export)
    app.command()(backup)
    app.command()(link)
    groups = {
        "jobs": ("Runs of pipelines.", (list_jobs, retry, cancel, resubmit)),
        "deliveries": ("Results on their way.", (list_deliveries, resend, cancel_delivery)),
        "users": ("Local accounts.", (list_users, add_user, password, disable_user)),
    }
    for name, (text, commands) in groups.items():
        group = typer.Typer(help=text, no_args_is_help=True)
        for command in commands:
            group.command(name=command.__name__.partition("_")[0])(command)
        app.add_typer(group, name=name)


def pause(kind: Kind, name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Stop starting new work for a route, pipeline or destination; nothing is lost."""
    with open_site(config) as site:
        site.known(kind.value, name)
        site.store.controls.pause(kind.value, name, getpass.getuser())
    console.print(f"{kind.value} {name} is paused; `appliance resume {kind.value}` ends it.")
    return 0


def resume(kind: Kind, name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Go on after a pause."""
    with open_site(config) as site:
        site.store.controls.resume(kind.value, name)
        site.wake_all()
    console.print(f"{kind.value} {name} goes on.")
    return 0


def retry(job: JobArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Try a failed run again."""
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
    """Run the same input again as a new, numbered run that supersedes the old one."""
    with open_site(config) as site:
        new = site.store.commands.resubmit(job, site.clock.now())
        site.wake_all()
    console.print(f"job {new.job_id} is queued: run {new.run_number}, supersedes job {job}.")
    return 0


def resend(
    delivery: Annotated[int, typer.Argument(help="The number that `deliveries list` shows.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Send a result object again, byte for byte the same."""
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
    folder: Annotated[Path, typer.Argument(help="An empty or new folder.", file_okay=False)],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Write findings, feedback and system times as CSV and Parquet."""
    for path in export_store(config, folder):
        console.print(str(path), markup=False)
    return 0


def backup(
    target: Annotated[Path, typer.Argument(help="The file to write; must not exist.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Write a consistent copy of the store, also while the appliance runs."""
    backup_store(config, target)
    console.print(f"{target} is a complete copy of the store.", markup=False)
    return 0


def link(
    study: Annotated[str, typer.Argument(help="A Study Instance UID.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Print a signed link that opens this study's results until it expires."""
    with open_site(config) as site:
        typer.echo(make_link(site, study))
    return 0


def list_users(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> int:
    """List accounts."""
    with open_site(config) as site:
        accounts = site.store.accounts.list()
    rows = [{"name": a.name, "role": a.role, "disabled": a.disabled_at} for a in accounts]
    show_rows(rows, columns=("name", "role", "disabled"), as_json=as_json)
    return 0


def add_user(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    role: Annotated[str, typer.Option(help="reader or admin")] = "reader",
) -> int:
    """Add an account; asks for its password."""
    with open_site(config) as site:
        add_account(site, name, _ask_password(), role)
    console.print(f"{name} can sign in.", markup=False)
    return 0


def password(
    name: Annotated[str, typer.Argument(help="An account.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Change an account's password; asks for the new one."""
    with open_site(config) as site:
        change_password(site, name, _ask_password())
    console.print("changed.")
    return 0


def disable_user(
    name: Annotated[str, typer.Argument(help="An account.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Lock an account; what it said stays."""
    with open_site(config) as site:
        if site.store.accounts.get(name) is None:
            raise StoreError(f"there is no account {name!r}; `appliance users list` shows all")
        site.store.accounts.disable(name)
    console.print(f"{name} can no longer sign in.", markup=False)
    return 0


def _ask_password() -> str:
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
