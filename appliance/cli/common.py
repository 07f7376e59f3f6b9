"""What commands share: options, the opened site, lists as a table or as JSON."""

import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from appliance.core.errors import ApplianceError, ConfigError
from appliance.supervisor import EXIT_CONFIG

DEFAULT_CONFIG = Path("/etc/appliance/appliance.yaml")
WIDTH = 100  # of what lists print
INDENT = 4

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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, with every field.")]

EXIT_FAILED = 1

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command; print the error of ours that it ends with. Return its exit code."""
    try:
        return command()
    except ConfigError as error:
        for line in error.problems:
            errors.print(line, style="red", markup=False, soft_wrap=True)
        count = len(error.problems)
        errors.print(f"{count} problem{'s' if count != 1 else ''} in the configuration.")
        return EXIT_CONFIG
    except ApplianceError as error:
        errors.print(str(error), style="red", markup=False, soft_wrap=True)
        return EXIT_FAILED


def add_group(
    app: typer.Typer, name: str, text: str, commands: Iterable[Callable[..., int]]
) -> None:
    """Add `name` with these commands, each called by the first word of its function's name."""
    group = typer.Typer(help=text, no_args_is_help=True)
    for command in commands:
        group.command(name=command.__name__.partition("_")[0])(command)
    app.add_typer(group, name=name)


def show_rows(
    rows: Iterable[Mapping[str, object]],
    *,
    columns: Sequence[str],
    as_json: bool,
    below: Callable[[Mapping[str, object]], str] | None = None,
) -> None:
    """Print one row a line with these columns, or a JSON list with everything in the rows.

    `below` says what stands under a row, indented: what is too long for a column.
    """
    rows = list(rows)
    if as_json:
        print_json(rows)
        return
    lines = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    console.print(texts[0], style="bold", markup=False, soft_wrap=True)
    for row, text in zip(rows, texts[1:], strict=True):
        console.print(text, markup=False, soft_wrap=True)
        for line in textwrap.wrap(below(row), WIDTH - INDENT) if below else ():
            console.print(f"{'':{INDENT}}{line}", markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """Return a text for the terminal: what peers and pipelines say can hold what steers one."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def print_json(data: object) -> None:
    """Print `data` as JSON; times in ISO 8601, everything else as text."""
    typer.echo(json.dumps(data, default=_json_value, indent=2))


def _json_value(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)
