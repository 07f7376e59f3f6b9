"""`appliance receive`: several processes on one port, each of which may die."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pydicom.uid import MRImageStorage

from tests.appliance import settings
from tests.builders import mr_slices
from tests.counterparts import listens, wait_until
from tests.receiving import ExplicitVR, association, send_dataset


class Role:
    """The running role."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, new: Path) -> None:
        self.process = process
        self.port = port
        self.new = new

    def processes(self) -> set[int]:
        pid = self.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@contextmanager
def receive_role(folder: Path, **receiver: object) -> Iterator[Role]:
    data = settings(folder, 1)
    data["receiver"] |= receiver
    config = folder / "appliance.yaml"
    config.write_text(yaml.safe_dump(data))
    port = int(data["receiver"]["listen"].rpartition(":")[2])
    command = [sys.executable, "-m", "appliance", "receive", "--config", str(config)]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: listens(port))
            yield Role(process, port, folder / "data" / "spool" / "new")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_a_process_that_dies_takes_nobody_along_and_limits_hold_over_all(tmp_path: Path) -> None:
    context = (MRImageStorage, [ExplicitVR])
    with receive_role(tmp_path, processes=2, max_associations=2) as role:
        wait_until(lambda: len(role.processes()) == 2)
        before = role.processes()
        with association(role.port, context) as one, association(role.port, context) as other:
            assert one.is_established
            assert other.is_established
            with association(role.port, context) as third:
                assert third.is_rejected
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda: len(role.processes()) == 2 and role.processes() != before)
            for living in (one, other):  # that of the dead one may be either, both or none
                if living.is_established:
                    send_dataset(living, mr_slices(slices=1)[0])
            os.kill(max(before), signal.SIGKILL)
            wait_until(lambda: len(role.processes()) == 2 and not role.processes() & before)
            wait_until(lambda: not one.is_established and not other.is_established)
        with association(role.port, context) as again:  # the seats of the dead are free
            assert again.is_established
            assert send_dataset(again, mr_slices(slices=1)[0]) == 0x0000
        wait_until(lambda: list(role.new.iterdir()))
