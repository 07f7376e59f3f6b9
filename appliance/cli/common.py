"""What commands share: options, the opened site, lists as a table or as JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

DEFAULT_CONFIG = Path("/etc/appliance/appliance.yaml")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="APPLIANCE_CONFIG",
        help="The settings file.",
        dir_okay=False,
        show_default=str(DEFAULT_CONFIG),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def show_rows(
    rows: Iterable[Mapping[str, object]], *, columns: Sequence[str], as_json: bool
) -> None:
    """Print one row a line with these columns, or a JSON list with everything in the rows."""
    rows = list(rows)
    if as_json:
        print_json(rows)
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console.print(table)


def print_json(data: object) -> None:
    """Print `data` as JSON; times in ISO 8601, everything else as text."""
    typer.echo(json.dumps(data, default=str, indent=2))


def _cell(value: object) -> str:
    return "" if value is None else str(value)
