"""A receiver and an orchestrator on a scratch folder, kept alive as systemd would.

with site(tmp_path) as it:
    send_all(it.port, instances)
    it.kill("receive")              # started again by itself
    it.wait_for(instances)          # in the spool, bit for bit, once
"""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.appliance import settings
from tests.counterparts import free_port
from tests.faults.wire import is_well

ROLES = ("receive", "orchestrate")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardships:
    """What makes life hard for the processes of a site."""

    largest_file: int = 0  # bytes after which the kernel refuses to write on; 0: no limit
    without_powers: bool = False  # root may not write where the modes forbid it
    clock: str = ""  # a file with the seconds by which the wall clock is wrong


class Nursery:
    """The process of which roles are forked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._guard = threading.Lock()

    def start(
        self,
        *arguments: str,
        log: Path,
        environment: Mapping[str, str],
        hardships: "Hardships",
    ) -> int:
        """Start `appliance …`; return the pid."""
        request = {
            "arguments": arguments,
            "log": str(log),
            "environment": dict(environment),
            "hardships": asdict(hardships),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._guard:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it and all that it started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


class Kept:
    """One role, started again whenever it ends."""

    def __init__(self, start: Callable[[], int]) -> None:
        self._start = start
        self._wanted = True
        self._is_swept = True
        self.pid = start()
        self.starts = 1
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while True:
            _wait_for_end(self.pid)
            if self._is_swept:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)  # as systemd does: nothing of it stays
            if not self._wanted:
                return
            self._is_swept = True
            self.pid = self._start()
            self.starts += 1

    def kill(self) -> None:
        """SIGKILL to all its processes; returns when it was started again."""
        self._kill_until_started_again(lambda: os.killpg(self.pid, signal.SIGKILL))

    def kill_leader(self) -> None:
        """SIGKILL to the process that was started, as where nobody sweeps up what it leaves."""
        self._is_swept = False
        self._kill_until_started_again(lambda: os.kill(self.pid, signal.SIGKILL))

    def kill_follower(self, rng: random.Random) -> None:
        """SIGKILL to one of the processes that it started, if there are any."""
        followers = sorted(set(_session(self.pid)) - {self.pid})
        if followers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(followers), signal.SIGKILL)

    def _kill_until_started_again(self, kill: Callable[[], None]) -> None:
        pid = self.pid
        with contextlib.suppress(ProcessLookupError):
            kill()
        _until(lambda: self.pid != pid, 20, "the role was not started again")

    def halt(self) -> None:
        """SIGKILL to all its processes, for good."""
        self._wanted = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._thread.join(15)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after a while."""
        self._wanted = False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self._thread.join(15)
        if self._thread.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._thread.join()


def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    finally:
        os.close(descriptor)


def _until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(what)
        time.sleep(0.005)


class Site:
    """The roles on one scratch folder."""

    def __init__(
        self, folder: Path, data: Mapping[str, Any], nursery: Nursery, hardships: Hardships
    ) -> None:
        self.folder = folder
        self._hardships = hardships
        self.data = dict(data)
        self.config = folder / "appliance.yaml"
        self.config.write_text(yaml.safe_dump(self.data, sort_keys=False))
        self.log = folder / "appliance.log"
        self.spool = Path(self.data["appliance"]["data_dir"]) / "spool"
        self.store = Path(self.data["appliance"]["data_dir"]) / "store.db"
        self.port = int(self.data["receiver"]["listen"].rpartition(":")[2])
        self.crash_folder = folder / "crash"
        self.crash_folder.mkdir(exist_ok=True)
        self.roles: dict[str, Kept] = {}
        self._nursery = nursery
        self.environment = {"APPLIANCE_CRASH_FOLDER": str(self.crash_folder)}

    def start(self, *roles: str) -> None:
        """Start these roles; returns when the receiver answers, if it is one of them."""
        for role in roles:
            self.roles[role] = Kept(partial(self._start, role))
        if "receive" in roles:
            self.wait_until_well()

    def _start(self, role: str) -> int:
        return self._nursery.start(
            role,
            "--config",
            str(self.config),
            log=self.log,
            environment=self.environment,
            hardships=self._hardships,
        )

    def wait_until_well(self, seconds: float = 30) -> None:
        """Return when a good peer is answered. Raises AssertionError."""
        try:
            _until(lambda: is_well(self.port), seconds, "the receiver does not answer")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def kill(self, *roles: str) -> None:
        """Kill these roles at once, with all their processes; they are started again."""
        threads = [threading.Thread(target=self.roles[role].kill) for role in roles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self, *roles: str) -> None:
        """Stop these roles as a site does."""
        for role in roles:
            self.roles.pop(role).stop()

    def resident(self, role: str = "receive") -> int:
        """Return the bytes of memory that the role's processes hold, together."""
        return sum(map(_resident, _session(self.roles[role].pid)))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log's lines of one event."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            if f'"{name}"' in line:
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return [line for line in found if line.get("event") == name]

    def strange_lines(self) -> list[str]:
        """Return the lines of the log that are no events: what was not caught, or not meant."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("{")]

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-4000:]


def _session(leader: int) -> Iterable[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.getsid(int(entry.name)) == leader:
                    yield int(entry.name)


def _resident(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return 0
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def site_settings(folder: Path, **receiver: object) -> dict[str, Any]:
    """Return settings with one quick route, no destination that is reached, and these limits."""
    data = settings(folder, free_port())
    data["receiver"]["peers"] = [
        {"ae_title": name, "address": "127.0.0.0/8"} for name in ("STORESCU", "GOOD")
    ]
    data["receiver"].update({"network_timeout": "20 s", **receiver})
    return data


@contextmanager
def site(
    folder: Path,
    *,
    roles: Iterable[str] = ROLES,
    nursery: Nursery | None = None,
    hardships: Hardships = Hardships(),
    **receiver: object,
) -> Iterator[Site]:
    """Run these roles on `folder` until the block ends. `receiver`: settings of that section."""
    folder.mkdir(parents=True, exist_ok=True)
    data = site_settings(folder, **receiver)
    own = nursery or Nursery()
    try:
        it = Site(folder, data, own, hardships)
        try:
            it.start(*roles)
            yield it
        finally:
            it.stop(*list(it.roles))
    finally:
        if nursery is None:
            own.close()
