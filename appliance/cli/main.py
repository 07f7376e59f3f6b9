"""The table of commands, and from what went wrong to an exit code."""

import sys

import click
import typer

from appliance.cli import act, demo, look, roles
from appliance.cli.common import errors
from appliance.core.errors import ApplianceError, ConfigError
from appliance.supervisor import EXIT_CONFIG

EXIT_FAILED = 1

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Runs inference pipelines beside a PACS.",
)
roles.add_to(app)
look.add_to(app)
act.add_to(app)
demo.add_to(app)


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    try:
        result = app(args=arguments, standalone_mode=False)
    except ConfigError as error:
        for line in error.problems:
            errors.print(line, style="red", markup=False, soft_wrap=True)
        count = len(error.problems)
        errors.print(f"{count} problem{'s' if count != 1 else ''} in the configuration.")
        return EXIT_CONFIG
    except ApplianceError as error:
        errors.print(str(error), style="red", markup=False, soft_wrap=True)
        return EXIT_FAILED
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    return result if isinstance(result, int) else 0
