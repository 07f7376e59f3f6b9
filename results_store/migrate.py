"""Brings a database to this version's schema, safely when several processes start at once."""

import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from appliance.core.clock import SystemClock
from appliance.core.errors import StoreError
from results_store.engine import Database, make_engine
from results_store.local_disk import check_local_disk
from results_store.options import StoreOptions, parse_url, sqlite_file

_ADVISORY_LOCK = 0x636461_6D6967  # any number that nobody else takes on this database


def migrate(options: StoreOptions) -> None:
    """Bring the database to this version's schema, in one transaction; do nothing if it is.

    Makes a SQLite file that is not there yet. Raises StoreError where the database was written
    by a newer version, ConfigError where it must not be.
    """
    url = parse_url(options.url)
    check_local_disk(options.url)
    file = sqlite_file(url)
    if file is not None:
        _make_file(file)
    database = Database(make_engine(url, options.busy_timeout), SystemClock())
    try:
        with database.read() as connection:
            ready = _is_current(connection)
        if not ready:  # a start beside a busy writer does not wait for it
            with database.write() as connection:
                _upgrade(connection)
    finally:
        database.close()


def _is_current(connection: Connection) -> bool:
    script = ScriptDirectory.from_config(_config(connection))
    return _revision(connection) == script.get_current_head()


def check_schema(connection: Connection) -> None:
    """Return if the database has exactly this version's schema. Raises StoreError."""
    config = _config(connection)
    found, head = _revision(connection), ScriptDirectory.from_config(config).get_current_head()
    _refuse_newer(config, found)
    if found != head:
        raise StoreError(
            "the store has no tables yet or those of an older version; "
            "start the appliance once (`appliance run`), which brings them up to date"
        )


def _make_file(file: Path) -> None:
    """Make an empty SQLite file that only its owner may read; leave one that is there."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}") from error


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    config = _config(connection)
    found = _revision(connection)
    _refuse_newer(config, found)
    if found is None and inspect(connection).get_table_names():
        raise StoreError("the database has tables of another program; give the store its own")
    command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "results_store:migrations")
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(config: Config, found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"the store was written by a newer version of the appliance (schema {found}); "
            "install that version again, or restore a backup made with this one"
        )
