"""`appliance receive`: several processes on one port, each of which may die."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import yaml
from pydicom.uid import MRImageStorage

from tests.appliance import settings
from tests.builders import mr_slices
from tests.counterparts import HOST, listens, tool, wait_until
from tests.receiving import ExplicitVR, association, send_dataset

CONTEXT = (MRImageStorage, [ExplicitVR])


class Role:
    """The running role."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.new = folder / "data" / "spool" / "new"
        self.log = folder / "log"

    def said(self, event: str) -> int:
        return self.log.read_text().count(f'"event": "{event}"')

    def connections(self, process: int) -> int:
        """Return how many connections to the port a process has. proc(5), /proc/net/tcp."""
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        established = {
            f"socket:[{row[9]}]"
            for row in rows
            if row[1].endswith(f":{self.port:04X}") and row[3] == "01"
        }
        count = 0
        for path in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed just now
                count += str(path.readlink()) in established
        return count

    def processes(self) -> set[int]:
        pid = self.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@contextmanager
def receive_role(folder: Path, *before: str, **receiver: object) -> Iterator[Role]:
    """The role; `before` is a program that starts it, told to listen where `{listen}` stands."""
    data = settings(folder, 1)
    data["receiver"] |= receiver
    config = folder / "appliance.yaml"
    config.write_text(yaml.safe_dump(data))
    port = int(data["receiver"]["listen"].rpartition(":")[2])
    starter = [part.format(listen=data["receiver"]["listen"]) for part in before]
    command = [*starter, sys.executable, "-m", "appliance", "receive", "--config", str(config)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            wait_until(lambda: listens(port))
            yield Role(process, port, folder)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_a_process_that_dies_takes_nobody_along_and_limits_hold_over_all(tmp_path: Path) -> None:
    with receive_role(tmp_path, processes=2, max_associations=2) as role:
        wait_until(lambda: len(role.processes()) == 2)
        before = role.processes()
        with association(role.port, CONTEXT) as one, association(role.port, CONTEXT) as other:
            assert one.is_established
            assert other.is_established
            with association(role.port, CONTEXT) as third:
                assert third.is_rejected
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda: len(role.processes()) == 2 and role.processes() != before)
            for living in (one, other):  # that of the dead one may be either, both or none
                if living.is_established:
                    send_dataset(living, mr_slices(slices=1)[0])
            os.kill(max(before), signal.SIGKILL)
            wait_until(lambda: len(role.processes()) == 2 and not role.processes() & before)
            wait_until(lambda: not one.is_established and not other.is_established)
        with association(role.port, CONTEXT) as again:  # the seats of the dead are free
            assert again.is_established
            assert send_dataset(again, mr_slices(slices=1)[0]) == 0x0000
        wait_until(lambda: list(role.new.iterdir()))


def test_associations_are_spread_over_the_processes(tmp_path: Path) -> None:
    with receive_role(tmp_path, processes=2) as role, ExitStack() as made:
        wait_until(lambda: role.said("service.started") == 1 and len(role.processes()) == 2)
        for _ in range(8):
            assert made.enter_context(association(role.port, CONTEXT)).is_established
        assert sum(map(role.connections, role.processes())) == 8
        assert all(map(role.connections, role.processes()))


def test_nobody_is_refused_while_the_role_reads_new_settings(tmp_path: Path) -> None:
    with receive_role(tmp_path) as role:
        wait_until(lambda: role.said("service.started") == 1)
        role.process.send_signal(signal.SIGHUP)
        wait_until(lambda: role.said("service.stopped"))
        connections = 0
        while role.said("service.started") == 1:
            with socket.create_connection((HOST, role.port), timeout=20):
                connections += 1
        assert connections
        with association(role.port, CONTEXT) as made:
            assert send_dataset(made, mr_slices(slices=1)[0]) == 0x0000


def test_systemd_can_do_the_listening(tmp_path: Path) -> None:
    activate = (tool("systemd-socket-activate"), "-l", "{listen}", "-E", "PATH")
    with (
        receive_role(tmp_path, *activate, processes=1) as role,
        association(role.port, CONTEXT) as made,
    ):
        assert send_dataset(made, mr_slices(slices=1)[0]) == 0x0000
