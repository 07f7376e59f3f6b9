"""`users`: accounts for the pages. A password comes from a prompt or from standard input."""

import getpass
import sys
from typing import Annotated

import typer

from appliance.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    add_group,
    console,
    show_rows,
)
from appliance.core.errors import StoreError
from appliance.wiring.readers import (
    AccountRole,
    add_account,
    change_password,
    check_account,
    check_no_account,
)
from appliance.wiring.site import open_site

NameArgument = Annotated[str, typer.Argument(help="The name to sign in with.")]
StdinOption = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input's first line."),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    add_group(
        app,
        "users",
        "List, add or disable local accounts; change a password.",
        (list_users, add_user, password, disable_user),
    )


def list_users(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> int:
    """List accounts by name."""
    with open_site(config) as site:
        accounts = site.store.accounts.list()
    rows: list[dict[str, object]] = [
        {
            "name": account.name,
            "role": account.role,
            "created_at": account.created_at,
            "disabled_at": account.disabled_at,
        }
        for account in accounts
    ]
    show_rows(rows, columns=("name", "role", "created_at", "disabled_at"), as_json=as_json)
    return 0


def add_user(
    name: NameArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    role: Annotated[AccountRole, typer.Option(help="What the account may do.")] = (
        AccountRole.READER
    ),
    password_stdin: StdinOption = False,
) -> int:
    """Add an account; asks for its password."""
    with open_site(config) as site:
        check_no_account(site, name)
        add_account(site, name, _password(from_stdin=password_stdin), role)
    console.print(f"{name} can sign in as {role.value}.", markup=False)
    return 0


def password(
    name: NameArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    password_stdin: StdinOption = False,
) -> int:
    """Change an account's password; its open sessions end."""
    with open_site(config) as site:
        check_account(site, name)
        change_password(site, name, _password(from_stdin=password_stdin))
    console.print(f"{name} has another password; open sessions have ended.", markup=False)
    return 0


def disable_user(name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> int:
    """Lock an account; what it said stays."""
    with open_site(config) as site:
        check_account(site, name)
        site.store.accounts.disable(name)
    console.print(f"{name} can no longer sign in.", markup=False)
    return 0


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise StoreError(
            "there is no terminal to ask for a password on; pipe it in and write --password-stdin"
        )
    typed = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != typed:
        raise StoreError("the two passwords differ; nothing was changed")
    return typed
