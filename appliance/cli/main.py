"""The table of commands, and from what went wrong to an exit code."""

import importlib
import sys
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import typer

from appliance.cli.common import exit_code_of
from appliance.core.ports import Role

PROGRAM = "appliance"

# Only the module of the command that is asked for is imported: a role that starts again after a
# crash should not wait for what other commands need.
_MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "roles": ("run", *(role.value for role in Role)),
        "look": ("check", "explain"),
        "where": ("status",),
        "act": ("pause", "resume", "jobs", "deliveries", "link", "export", "backup"),
        "users": ("users",),
        "fetch": ("fetch", "fetches"),
        "demo": ("demo",),
        "pipeline": ("pipeline",),
    }
)


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def command_line(first: str) -> typer.Typer:
    """Return the commands of the module that has the command `first`, or all commands."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Runs inference pipelines beside a PACS.",
        result_callback=_exit_with,
    )
    app.callback()(_keep_names)
    wanted = [name for name, commands in _MODULES.items() if first in commands] or list(_MODULES)
    for name in wanted:
        importlib.import_module(f"appliance.cli.{name}").add_to(app)
    return app


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    return exit_code_of(partial(_by_typer, arguments))


def _by_typer(arguments: list[str]) -> int:
    try:
        command_line(arguments[0] if arguments else "")(args=arguments, prog_name=PROGRAM)
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 0
    return 0


def _exit_with(code: int) -> None:
    raise typer.Exit(code)


def _keep_names() -> None:
    """Runs inference pipelines beside a PACS."""
