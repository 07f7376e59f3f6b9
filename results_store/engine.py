"""Connections and transactions; the only module that knows how each database begins one."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from appliance.core.clock import Clock
from appliance.core.errors import StoreError

_WRITES = "store_writes"


class Database:
    """Hands out transactions: `read` and `snapshot` to look, `write` to change."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._readers = engine
        self._writers = engine.execution_options(**{_WRITES: True})
        self.clock = clock

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that only reads. Raises StoreError."""
        with plain_errors(), self._readers.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection that only reads and sees the database as it is now, to its end."""
        with plain_errors(), self._readers.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection; its work is committed as a whole or not at all. Raises StoreError."""
        with plain_errors(), self._writers.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._readers.dispose()


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn a driver's errors into StoreError, without the statement's values."""
    try:
        yield
    except StatementError as error:
        raise StoreError(f"the database said: {error.orig}") from error
    except PoolTimeout as error:
        raise StoreError("no free connection to the database") from error


def make_engine(url: URL, busy_timeout: timedelta) -> Engine:
    """Return an engine on `url` (see `parse_url`) that no connection is opened on yet."""
    sqlite_url = url.get_backend_name() == "sqlite"
    engine = create_engine(
        url,
        hide_parameters=True,
        json_serializer=_to_json,
        pool_pre_ping=not sqlite_url,
        connect_args={} if sqlite_url else {"application_name": "appliance"},
    )
    if sqlite_url:
        event.listen(engine, "connect", _configure(busy_timeout))
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def insert_if_absent(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Return whether the row was inserted; a row with the same key stays as it is."""
    statement = _insert(connection, table).values(**values).on_conflict_do_nothing()
    statement = statement.execution_options(preserve_rowcount=True)
    return connection.execute(statement).rowcount == 1


def insert_absent(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows; one with the same key as a row that is there changes nothing."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _to_json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _configure(busy_timeout: timedelta) -> Callable[[DBAPIConnection, object], None]:
    milliseconds = int(busy_timeout / timedelta(milliseconds=1))

    def configure(connection: DBAPIConnection, _record: object) -> None:
        # The driver must not begin transactions by itself: _begin_sqlite says which kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={milliseconds}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return configure


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later could not be upgraded beside another
    # writer and would fail at once, whatever busy_timeout says: writers begin as writers.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
