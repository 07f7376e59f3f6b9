"""A consistent copy of the database while everything runs."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.engine import URL

from appliance.core.errors import StoreError
from results_store.options import StoreOptions, parse_url, sqlite_file


def backup(options: StoreOptions, target: Path) -> None:
    """Write a copy of the database, as it is at one moment, to the new file `target`.

    SQLite: a database file, to be put in the store's place. PostgreSQL: an archive for
    pg_restore. Writers go on meanwhile. Raises StoreError, also where `target` exists.
    """
    url = parse_url(options.url)
    file = sqlite_file(url)
    with _new_file(target) as part:
        if file is not None:
            _copy_sqlite(file, part)
        else:
            _dump_postgresql(url, part)


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Yield a hidden file that becomes `target`, durably, if all goes well."""
    part = target.with_name(f".{target.name}.part")
    try:
        if target.exists():
            raise StoreError(f"{target} exists; a backup never replaces another one")
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        try:
            yield part
            _sync(part)
            os.link(part, target)
            _sync(target.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_sqlite(file: Path, part: Path) -> None:
    if not file.exists():
        raise StoreError(f"{file} does not exist: there is nothing to back up")
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(part)) as copy:
            # One step: in WAL mode it reads one snapshot and stops no writer.
            source.backup(copy, pages=-1)
            # One file, without a log beside it that somebody would forget to copy.
            copy.execute("PRAGMA journal_mode=DELETE")
            (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{file}: {error}") from error
    if verdict != "ok":
        raise StoreError(f"the copy of {file} is damaged: {verdict}")


def _dump_postgresql(url: URL, part: Path) -> None:
    # The password goes by the environment: arguments can be seen by every user.
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    ran = subprocess.run(
        [_pg_dump(), "--format=custom", "--no-password", f"--file={part}", f"--dbname={_uri(url)}"],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ran.returncode != 0:
        raise StoreError(f"pg_dump failed: {ran.stderr.strip()}")


def _uri(url: URL) -> str:
    bare = URL.create(
        "postgresql",
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query=url.query,
    )
    return bare.render_as_string()


def _pg_dump() -> str:
    found = shutil.which("pg_dump")
    if found is None:
        raise StoreError("pg_dump is not installed; install PostgreSQL's client tools")
    return found
