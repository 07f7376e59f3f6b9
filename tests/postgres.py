"""A PostgreSQL server of the test session's own, on loopback; missing tools are a failure."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.counterparts import free_port

_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"


class PostgresServer:
    """Makes databases, each from a template, and drops them."""

    def __init__(self, port: int, user: str, folder: Path) -> None:
        self._port = port
        self._user = user
        self._folder = folder
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        return f"postgresql://{self._user}@127.0.0.1:{self._port}/{database}"

    def socket_url(self, database: str) -> str:
        """Return the address by the server's Unix socket, which needs no network."""
        return f"postgresql://{self._user}@/{database}?host={self._folder}&port={self._port}"

    def create(self, template: str = "template0") -> str:
        """Return the name of a new database, a copy of `template`."""
        name = f"test_{next(self._numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, database: str) -> None:
        self._run(f"DROP DATABASE {database} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server in a folder of its own; stop it and remove the folder at the end."""
    tools = _tools()
    folder = Path(tempfile.mkdtemp(prefix="appliance-postgres-"))
    user = _server_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, port = folder / "data", free_port()
    try:
        _call(user, tools / "initdb", "-D", data, "-U", "test", "-A", "trust", "--no-sync",
              "-E", "UTF8", "--locale=C")  # fmt: skip
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} {_FAST}"
        log = folder / "log"
        _call(user, tools / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
        try:
            yield PostgresServer(port, "test", folder)
        finally:
            _call(user, tools / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _tools() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    assert on_path, "PostgreSQL is not installed: apt-get install postgresql"
    return Path(on_path).parent


def _server_user() -> pwd.struct_passwd | None:
    """initdb refuses root; Debian's package made a user for it."""
    return pwd.getpwnam("postgres") if os.getuid() == 0 else None


def _call(user: pwd.struct_passwd | None, *arguments: object) -> None:
    ran = subprocess.run(
        [str(argument) for argument in arguments],
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if "start" not in arguments else subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    output = (ran.stdout or b"").decode(errors="replace")
    assert ran.returncode == 0, f"{arguments[0]} failed: {output}"
