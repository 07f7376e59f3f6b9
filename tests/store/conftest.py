"""Every store test runs on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from results_store.migrate import migrate
from results_store.options import StoreOptions
from results_store.store import Store, open_store
from tests.postgres import PostgresServer, postgres_server
from tests.store.world import SteppedClock


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "store.db"
    migrate(StoreOptions(url=f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    name = postgres.create()
    migrate(StoreOptions(url=postgres.url(name)))
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def empty(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StoreOptions]:
    """A database without tables."""
    if kind == "sqlite":
        yield StoreOptions(url=f"sqlite:///{tmp_path}/empty.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create()
    yield StoreOptions(url=server.url(name))
    server.drop(name)


@pytest.fixture
def options(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StoreOptions]:
    """A database with the tables and no rows."""
    if kind == "sqlite":
        file = tmp_path / "store.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), file)
        yield StoreOptions(url=f"sqlite:///{file}")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create(template=request.getfixturevalue("migrated_postgres"))
    yield StoreOptions(url=server.url(name))
    server.drop(name)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def store(options: StoreOptions, clock: SteppedClock) -> Iterator[Store]:
    opened = open_store(options, clock)
    yield opened
    opened.close()
