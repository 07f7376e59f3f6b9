"""`fetch`: have a study from another node, now; `fetches`: what was had, by whom."""

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

import typer

from appliance.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    console,
    errors,
    print_json,
    show_rows,
)
from appliance.core.errors import StoreError
from appliance.core.uids import is_usable_uid
from appliance.wiring.doors import Fetch, FetchProgress, FetchReport, fetcher, source_node, turn
from appliance.wiring.site import Site, open_site


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(fetch)
    app.command()(fetches)


def fetch(
    study: Annotated[str, typer.Argument(help="A Study Instance UID.")],
    node: Annotated[
        str | None, typer.Option("--from", help="The destination that has it; needed if several.")
    ] = None,
    *,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> int:
    """Fetch a study from the archive; it counts as backfill."""
    if not is_usable_uid(study):
        raise StoreError(f"{study!r} is no Study Instance UID")
    with open_site(config) as site:
        name = source_node(site, node)
        with turn(site.folders.run, name, lambda: _say_waiting(name)):
            report = _fetched(site, name, study)
        stays = [route.name for route in site.settings.routes if route.backfill != "send"]
    if as_json:
        print_json(_as_data(report, name))
        return 1 if report.problems else 0
    for problem in report.problems:
        errors.print(problem, style="red", markup=False, soft_wrap=True)
    if not report.series:
        console.print("Nothing was fetched: all that it has is here already.")
    else:
        console.print(f"{report.completed} images came, {report.failed} could not be had.")
    if stays:
        console.print(
            f"Nothing leaves by {', '.join(stays)}: fetched studies are backfill there.",
            markup=False,
            soft_wrap=True,
        )
    return 1 if report.problems else 0


def _say_waiting(node: str) -> None:
    errors.print(f"Another fetch from {node} is under way; waiting for its end.", markup=False)


def _fetched(site: Site, node: str, study: str) -> FetchReport:
    stop = threading.Event()  # nobody sets it: a person interrupts

    def wait(time: timedelta) -> bool:
        return stop.wait(time.total_seconds())

    one = fetcher(site, node, wait)
    listing = one.find(study)
    many = "an unknown number of" if listing.instances < 0 else listing.instances
    taken = listing.study_date or "an unknown date"
    errors.print(f"{node} has {many} instances of the study, taken on {taken}.", markup=False)
    return one.fetch(listing, _show)


def _show(progress: FetchProgress) -> None:
    failed = f", {progress.failed} failed" if progress.failed else ""
    line = f"series {progress.series} of {progress.of_series}: {progress.completed} images{failed}"
    if errors.is_terminal:
        errors.print(line, end="\r", markup=False)
    elif progress.remaining == 0:
        errors.print(line, markup=False)


def _as_data(report: FetchReport, node: str) -> dict[str, object]:
    return {
        "study_instance_uid": report.listing.study_instance_uid,
        "node": node,
        "outcome": report.outcome.value,
        "series": report.series,
        "completed": report.completed,
        "failed": report.failed,
        "problems": report.problems,
    }


def fetches(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """List what was fetched, by people and rules, newest first."""
    with open_site(config) as site:
        rows = [_as_row(one) for one in site.store.fetches.list(limit)]
    show_rows(rows, columns=_COLUMNS, as_json=as_json, below=_reason)
    return 0


_COLUMNS = ("asked", "from", "by", "outcome", "images", "failed", "study")


def _as_row(one: Fetch) -> dict[str, object]:
    return {
        "asked": one.asked_at,
        "from": one.node,
        "by": one.asked_by or "a person",
        "outcome": one.outcome.value,
        "images": one.completed,
        "failed": one.failed,
        "study": one.study_instance_uid,
        "way": one.way.value,
        "ended": one.ended_at,
        "reason": one.reason,
    }


def _reason(row: Mapping[str, object]) -> str:
    return str(row["reason"])
