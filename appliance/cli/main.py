"""The table of commands, and from what went wrong to an exit code."""

import importlib
import sys
from collections.abc import Mapping
from types import MappingProxyType

import typer

from appliance.cli.common import errors
from appliance.core.errors import ApplianceError, ConfigError
from appliance.core.ports import Role
from appliance.supervisor import EXIT_CONFIG

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
PROGRAM = "appliance"

# Only the module of the command that is asked for is imported: a role that starts again after a
# crash should not wait for what other commands need.
_MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "roles": ("run", *(role.value for role in Role)),
        "look": ("check", "explain", "status"),
        "act": ("pause", "resume", "jobs", "deliveries", "link", "export", "backup"),
        "users": ("users",),
        "demo": ("demo",),
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
    )
    app.callback()(_keep_names)
    wanted = [name for name, commands in _MODULES.items() if first in commands] or list(_MODULES)
    for name in wanted:
        importlib.import_module(f"appliance.cli.{name}").add_to(app)
    return app


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    app = command_line(arguments[0] if arguments else "")
    try:
        result = app(args=arguments, standalone_mode=False, prog_name=PROGRAM)
    except ConfigError as error:
        for line in error.problems:
            errors.print(line, style="red", markup=False, soft_wrap=True)
        count = len(error.problems)
        errors.print(f"{count} problem{'s' if count != 1 else ''} in the configuration.")
        return EXIT_CONFIG
    except ApplianceError as error:
        errors.print(str(error), style="red", markup=False, soft_wrap=True)
        return EXIT_FAILED
    except typer.TyperException as error:
        _show_usage(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0


def _show_usage(error: typer.TyperException) -> None:
    """Say what is wrong with the command line, and where the right one is described."""
    said = error.format_message().replace("Value error, ", "")
    if not said:  # a group without a command has printed its help already
        return
    path = getattr(getattr(error, "ctx", None), "command_path", PROGRAM)
    errors.print(said, style="red", markup=False, soft_wrap=True)
    errors.print(f"`{path} --help` says what can be written.", markup=False)


def _keep_names() -> None:
    """Runs inference pipelines beside a PACS."""
