"""Encloses itself and then does one thing: `python -m tests.enclosed PARTS ACT FOLDER USER`.

It prints "done", or the name of the error that the kernel answered with. FOLDER has what acts
need: `scratch`, which it may write; `outside`, which it may not; the addresses of listeners.
It becomes USER first, if it is another one: the interpreter may lie where only root may read.
"""

import ctypes
import errno
import multiprocessing.synchronize
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipelines.sandbox import namespaces, seccomp
from pipelines.sandbox.enclosure import Enclosure, enter, landlocked
from pipelines.sandbox.kernel import call, control

_DUMPABLE, _NO_NEW_PRIVS = 4, 38


def write(folder: Path) -> None:
    (folder / "outside/new").write_text("x")


def overwrite(folder: Path) -> None:
    (folder / "outside/file").write_text("x")


def empty(folder: Path) -> None:
    os.truncate(folder / "outside/file", 0)


def delete(folder: Path) -> None:
    (folder / "outside/file").unlink()


def rename(folder: Path) -> None:
    (folder / "scratch/own").write_text("x")
    (folder / "scratch/own").rename(folder / "outside/own")


def change_mode(folder: Path) -> None:
    (folder / "outside/file").chmod(0o600)


def read(folder: Path) -> None:
    (folder / "outside/file").read_text()


def look(folder: Path) -> None:
    os.listdir(folder / "outside")  # noqa: PTH208, the shortest


def connect(folder: Path) -> None:
    port = int((folder / "port").read_text())
    socket.create_connection(("127.0.0.1", port), timeout=2).close()


def send_udp(folder: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", 9))


def connect_vsock(_: Path) -> None:
    socket.socket(socket.AF_VSOCK).close()


def connect_by_path(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(folder / "outside/listener"))


def send_by_path(folder: Path) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"x", str(folder / "outside/datagrams"))
    other.close()


def connect_abstract(_: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(f"\0appliance-test-{os.getppid()}")


def signal_parent(_: Path) -> None:
    os.kill(os.getppid(), 0)


def limit_parent(_: Path) -> None:
    resource.prlimit(os.getppid(), resource.RLIMIT_CORE)


def read_parents_memory(_: Path) -> None:
    Path(f"/proc/{os.getppid()}/mem").open("rb").close()


def trace_parent(_: Path) -> None:
    call("ptrace", 0x4206, os.getppid(), 0, 0)  # PTRACE_SEIZE


def make_namespace(_: Path) -> None:
    call("unshare", 0x1000_0000)  # CLONE_NEWUSER


def clone_namespace(_: Path) -> None:
    child = call("clone", 0x1000_0000 | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def use_io_uring(_: Path) -> None:
    os.close(call("io_uring_setup", 1, bytes(120)))


def work(folder: Path) -> None:
    """Do what pipelines do."""
    scratch = folder / "scratch"
    (scratch / "a").mkdir()
    (scratch / "a/file").write_text("x")
    (scratch / "a/file").chmod(0o640)
    (scratch / "a/file").rename(scratch / "file")
    Path("/dev/null").write_text("x")
    one, other = socket.socketpair()
    one.close()
    other.close()
    socket.socket(socket.AF_UNIX).close()  # CUDA listens on one
    with multiprocessing.get_context("fork").Lock():  # in shared memory
        pass
    resource.getrlimit(resource.RLIMIT_NOFILE)
    command = ["sh", "-c", f"echo x > {scratch}/from-a-program"]
    assert subprocess.run(command, check=False).returncode == 0
    command = ["sh", "-c", f"echo x > {folder}/outside/from-a-program"]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0
    ctypes.CDLL(None).getpid()


ACTS: dict[str, Callable[[Path], None]] = {
    act.__name__: act
    for act in (
        write, overwrite, empty, delete, rename, change_mode, read, look, connect, send_udp,
        connect_vsock, connect_by_path, send_by_path, connect_abstract, signal_parent, limit_parent,
        read_parents_memory, trace_parent, make_namespace, clone_namespace, use_io_uring, work,
    )
}  # fmt: skip


def enclose(parts: str, folder: Path) -> None:
    enclosure = Enclosure(readable=(), writable=(folder / "scratch",))
    if parts == "all":
        print(*enter(enclosure).parts, file=sys.stderr)
    if parts == "twice":
        enter(enclosure)
        print(enter(enclosure).lacking)
    if parts == "network":
        namespaces.leave_network()
    if parts == "mounts":
        namespaces.leave_network()
        namespaces.freeze_mounts([folder / "scratch"])
    if parts in ("landlock", "seccomp"):
        control(_NO_NEW_PRIVS, 1)
    if parts == "landlock":
        landlocked(enclosure)
    if parts == "seccomp":
        seccomp.restrict()


def become(user: int) -> None:
    if user != os.geteuid():
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        control(_DUMPABLE, 1)  # as after a start by this user: /proc/self is its own


def main(parts: str, act: str, folder: Path, user: int) -> None:
    become(user)
    enclose(parts, folder)
    try:
        ACTS[act](folder)
    except OSError as error:
        print(errno.errorcode.get(error.errno or 0, str(error)))
    else:
        print("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
