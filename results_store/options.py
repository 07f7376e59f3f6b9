"""What the store has to be told."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from appliance.core.errors import ConfigError

_WRITE = "write sqlite:////absolute/path/store.db or postgresql://user@host/database"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Where the database is and how long a writer waits for another one."""

    url: str
    busy_timeout: timedelta = timedelta(seconds=30)


def parse_url(text: str) -> URL:
    """Return `text` with its driver named. Raises ConfigError; never repeats a password."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise ConfigError(f"the store's url is not a database URL; {_WRITE}") from None
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ConfigError(f"{url.drivername!r} is not a database for the store; {_WRITE}")
    if url.database in (None, "", ":memory:"):
        raise ConfigError(f"the store has to outlive its process: {_WRITE}")
    return url.set(drivername="sqlite+pysqlite")


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite URL, or None for PostgreSQL."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return Path(url.database)
