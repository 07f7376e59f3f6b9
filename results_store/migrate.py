"""Brings a database to this version's schema, safely when several processes start at once."""

import importlib
import os
from pathlib import Path

from sqlalchemy import Connection, text

from appliance.core.clock import SystemClock
from appliance.core.errors import StoreError
from results_store.engine import Database, make_engine
from results_store.local_disk import check_local_disk
from results_store.options import StoreOptions, parse_url, sqlite_file
from results_store.revisions import is_current

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
            ready = is_current(connection)
        if not ready:  # a start beside a busy writer does not wait for it
            with database.write() as connection:
                _upgrade(connection)
    finally:
        database.close()


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
    if not is_current(connection):  # another process may have done it meanwhile
        # Alembic is imported by the one process that needs it.
        importlib.import_module("results_store.upgrade").upgrade(connection)
