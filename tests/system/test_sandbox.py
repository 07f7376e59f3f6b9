"""An enclosed process can do its work, and nothing that its enclosure forbids.

Each thing that is forbidden is also done without enclosure, so that it is the enclosure that
prevents it; and against each part of the enclosure alone.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.sandbox.enclosure import Enclosure, Isolation, Part, gaps
from tests.enclosed import ACTS

ROOT = Path(__file__).parents[2]
NOBODY = 65534
ME = os.geteuid()
ALL = frozenset(part.value for part in Part)
# Whoever is root is also somebody who is not: services run as a user of their own.
USERS = (ME, NOBODY) if ME == 0 else (ME,)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user may enter, with listeners to connect to."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for name in ("scratch", "outside"):
        (folder / name).mkdir()
    (folder / "outside/file").write_text("a secret")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as stream,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
    ):
        (folder / "port").write_text(str(server.getsockname()[1]))
        stream.bind(str(folder / "outside/listener"))
        abstract.bind(f"\0appliance-test-{os.getpid()}")
        datagrams.bind(str(folder / "outside/datagrams"))
        for one in (stream, abstract):
            one.listen()
        yield folder
    shutil.rmtree(folder)


def enclosed(parts: str, act: str, folder: Path, user: int = ME) -> str:
    """Return "done" or the error of `act` in a process that is enclosed in `parts`."""
    if user != ME:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user)
    process = subprocess.run(
        [sys.executable, "-m", "tests.enclosed", parts, act, str(folder), str(user)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder / "scratch")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    if parts == "all":
        assert set(process.stderr.split()) == ALL
    return process.stdout.strip()


FORBIDDEN = sorted(ACTS.keys() - {"work"})
# What the kernel lets one process of a user do to another may be up to the machine (Yama).
NOT_ALWAYS = frozenset({"trace_parent", "use_io_uring", "connect_vsock"})


@pytest.mark.parametrize("act", sorted(set(FORBIDDEN) - NOT_ALWAYS))
def test_without_an_enclosure_it_would_be_done(folder: Path, act: str) -> None:
    assert enclosed("none", act, folder) == "done"


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("act", FORBIDDEN)
def test_an_enclosed_process_cannot(folder: Path, act: str, user: int) -> None:
    secret = (folder / "outside/file").stat()
    assert enclosed("all", act, folder, user) in ("EPERM", "EACCES", "EROFS", "EXDEV")
    after = (folder / "outside/file").stat()
    assert (secret.st_size, secret.st_mode) == (after.st_size, after.st_mode)


@pytest.mark.parametrize("user", USERS)
def test_an_enclosed_process_can_do_its_work(folder: Path, user: int) -> None:
    assert enclosed("all", "work", folder, user) == "done"
    assert (folder / "scratch/from-a-program").read_text() == "x\n"


@pytest.mark.parametrize(
    ("part", "act", "answer"),
    [
        ("network", "connect", "ENETUNREACH"),
        ("network", "send_udp", "ENETUNREACH"),
        ("network", "connect_abstract", "ECONNREFUSED"),
        ("mounts", "write", "EROFS"),
        ("mounts", "overwrite", "EROFS"),
        ("mounts", "delete", "EROFS"),
        ("mounts", "change_mode", "EROFS"),
        ("landlock", "write", "EACCES"),
        ("landlock", "overwrite", "EACCES"),
        ("landlock", "empty", "EACCES"),
        ("landlock", "delete", "EACCES"),
        ("landlock", "read", "EACCES"),
        ("landlock", "connect", "EACCES"),
        ("landlock", "signal_parent", "EPERM"),
        ("landlock", "read_parents_memory", "EACCES"),
        ("seccomp", "connect", "EPERM"),
        ("seccomp", "send_udp", "EPERM"),
        ("seccomp", "connect_by_path", "EPERM"),
        ("seccomp", "send_by_path", "EPERM"),
        ("seccomp", "limit_parent", "EPERM"),
        ("seccomp", "clone_namespace", "EPERM"),
    ],
)
def test_each_part_alone_prevents_what_it_is_there_for(
    folder: Path, part: str, act: str, answer: str
) -> None:
    assert enclosed(part, act, folder) == answer


@pytest.mark.parametrize(
    ("part", "act"), [("network", "write"), ("mounts", "read"), ("seccomp", "write")]
)
def test_no_part_claims_what_another_does(folder: Path, part: str, act: str) -> None:
    assert enclosed(part, act, folder) == "done"


def test_a_part_that_the_kernel_refuses_is_told_with_its_reason(folder: Path) -> None:
    # An enclosed process may not make namespaces; the other two parts can be put on again.
    told = enclosed("twice", "write", folder).splitlines()[0]
    assert "'network': 'unshare: Operation not permitted'" in told
    assert "'mounts': 'unshare: Operation not permitted'" in told
    assert "landlock" not in told


def test_what_is_open_follows_from_the_parts_that_hold() -> None:
    assert gaps(ALL) == ()
    assert gaps(frozenset({"landlock", "seccomp"})) == ("change who may use a file",)
    assert gaps(frozenset({"network", "mounts"})) == (
        "use other services of this machine",
        "read what is not its input",
    )
    nothing = Isolation(parts=(), lacking={"seccomp": "not here"})
    assert nothing.gaps[0] == "open a connection"
    assert "write outside its folder" in nothing.gaps


def test_an_enclosure_travels_as_an_argument() -> None:
    enclosure = Enclosure(readable=(Path("/a b"),), writable=(Path("/c"), Path('/"')))
    assert Enclosure.from_text(enclosure.as_text()) == enclosure
