"""Migrations: what they make, and what they refuse."""

import multiprocessing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from appliance.core.errors import ConfigError, StoreError
from results_store.engine import Database, make_engine
from results_store.local_disk import check_local_disk, file_system_type
from results_store.migrate import migrate
from results_store.options import StoreOptions, parse_url
from results_store.revisions import known
from results_store.schema import metadata
from results_store.store import Store, open_store
from tests.store.world import SteppedClock, facts, received, submit


def database(options: StoreOptions) -> Database:
    return Database(make_engine(parse_url(options.url), options.busy_timeout), SteppedClock())


def execute(options: StoreOptions, statement: str) -> None:
    opened = database(options)
    with opened.write() as connection:
        connection.execute(text(statement))
    opened.close()


def test_an_upgraded_database_has_the_tables_that_the_code_describes(store: Store) -> None:
    with store.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(options: StoreOptions, store: Store) -> None:
    store.accounts.create("reader", "hash", "reader")
    migrate(options)
    assert store.accounts.get("reader") is not None


def _take_back_the_registry(options: StoreOptions) -> None:
    """Undo step 0009, and what came after it."""
    execute(options, "ALTER TABLE job DROP COLUMN gaps")
    for table in ("pipeline_version", "pipeline_release"):
        execute(options, f"DROP TABLE {table}")
        if options.url.startswith("postgresql"):
            execute(options, f"DROP FUNCTION {table}_refuse")
    execute(options, "DROP INDEX ix_job_pipeline_digest")
    execute(options, "ALTER TABLE job DROP COLUMN shadow")


def test_runs_of_an_earlier_version_went_where_their_route_sent(
    options: StoreOptions, store: Store
) -> None:
    job = submit(store)
    _take_back_the_registry(options)
    execute(options, "UPDATE alembic_version SET version_num = '0008'")
    migrate(options)
    assert store.jobs.get(job.job_id).shadow == ""
    assert store.registry.versions() == ()


def test_of_runs_of_an_earlier_version_nobody_knows_how_isolated_they_were(
    options: StoreOptions, store: Store
) -> None:
    job = submit(store)
    execute(options, "ALTER TABLE job DROP COLUMN gaps")
    execute(options, "UPDATE alembic_version SET version_num = '0009'")
    migrate(options)
    assert store.jobs.get(job.job_id).gaps is None


def test_checksums_of_an_earlier_version_stay(options: StoreOptions, store: Store) -> None:
    kept = received(checksum="ab" * 32)
    store.studies.index(kept, facts())
    _take_back_the_registry(options)
    execute(options, "ALTER TABLE instance RENAME COLUMN checksum TO sha256")
    execute(options, "UPDATE alembic_version SET version_num = '0007'")
    migrate(options)
    assert store.overview.checksums(kept.spool_name) == {kept.spool_name: "ab" * 32}


def test_the_names_of_the_steps_are_the_revisions_that_alembic_sees() -> None:
    config = Config()
    config.set_main_option("script_location", "results_store:migrations")
    seen = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert known() == tuple(reversed(seen))


def test_many_processes_may_migrate_an_empty_database_at_once(empty: StoreOptions) -> None:
    context = multiprocessing.get_context("spawn")
    starters = [context.Process(target=migrate, args=(empty,)) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(60)
    assert [starter.exitcode for starter in starters] == [0, 0, 0, 0]
    open_store(empty, SteppedClock()).close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    options: StoreOptions, clock: SteppedClock
) -> None:
    execute(options, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer version"):
        migrate(options)
    with pytest.raises(StoreError, match="newer version"):
        open_store(options, clock)


def test_a_database_without_tables_is_not_opened(empty: StoreOptions, clock: SteppedClock) -> None:
    with pytest.raises(StoreError, match="appliance run"):
        open_store(empty, clock)


def test_a_database_of_another_program_is_left_alone(empty: StoreOptions) -> None:
    if empty.url.startswith("sqlite"):
        Path(empty.url.removeprefix("sqlite:///")).touch()
    execute(empty, "CREATE TABLE patients (id INTEGER)")
    with pytest.raises(StoreError, match="another program"):
        migrate(empty)
    opened = database(empty)
    with opened.read() as connection:
        assert inspect(connection).get_table_names() == ["patients"]
    opened.close()


def test_a_failed_migration_leaves_nothing_behind(
    empty: StoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_tables: str) -> None:
        raise StoreError("no triggers today")

    with monkeypatch.context() as patched:
        patched.setattr("results_store.migrations.protect.append_only", fail)
        with pytest.raises(StoreError, match="no triggers today"):
            migrate(empty)
    opened = database(empty)
    with opened.read() as connection:
        assert inspect(connection).get_table_names() == []
    opened.close()
    migrate(empty)
    open_store(empty, SteppedClock()).close()


def test_sqlite_keeps_what_it_committed_through_a_power_cut(tmp_path: Path) -> None:
    options = StoreOptions(url=f"sqlite:///{tmp_path}/sub/store.db")
    migrate(options)
    store = open_store(options, SteppedClock())
    with store.database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    store.close()
    full = 2
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": 30000,
    }
    assert (tmp_path / "sub" / "store.db").stat().st_mode & 0o077 == 0


def test_a_store_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/store"):
        migrate(StoreOptions(url=f"sqlite:///{tmp_path}/file/store.db"))


@pytest.mark.parametrize(
    "url",
    ["", "store.db", "sqlite://", "sqlite:///:memory:", "mysql://host/store", "postgres:secret@x"],
)
def test_a_url_that_will_not_do_is_a_configuration_error_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


MOUNTS = """\
27 1 0:25 / / rw - ext4 /dev/vda rw
42 40 0:42 / /var/lib/appliance/local rw - xfs /dev/vdb rw
40 27 0:40 / /var/lib/appliance rw - nfs4 nas:/export rw
41 27 0:41 / /mnt/with\\040blank rw - cifs //nas/share rw
"""


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/var/lib/appliance/store.db", "nfs4"),
        ("/var/lib/appliance-two/store.db", "ext4"),
        ("/mnt/with blank/store.db", "cifs"),
        ("/var/lib/appliance/local/store.db", "xfs"),
    ],
)
def test_the_file_system_of_a_file_is_that_of_its_innermost_mount(file: str, kind: str) -> None:
    assert file_system_type(Path(file), MOUNTS) == kind


def test_sqlite_on_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    with pytest.raises(ConfigError, match="nfs4"):
        check_local_disk("sqlite:////var/lib/appliance/store.db", mounts)
    check_local_disk("sqlite:////var/lib/appliance/local/store.db", mounts)
    check_local_disk("postgresql://nas/store", mounts)
