"""The loop of every role."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from appliance.core.clock import SystemClock
from appliance.core.ports import Role
from appliance.service import (
    Service,
    SocketWakeup,
    Stop,
    WakeupListener,
    notify_manager,
    run_service,
)
from appliance.supervisor import EXIT_CONFIG
from tests.counterparts import wait_until

CLOCK = SystemClock()
ROOT = Path(__file__).parents[2]
# A supervisor of two roles of a few lines: they say that they are ready, then do as told.
SUPERVISED = """
import os, pathlib, signal, socket, sys, time
from appliance.core.clock import SystemClock
from appliance.core.ports import Role
from appliance.service import Stop
from appliance.supervisor import Supervisor

folder = pathlib.Path(sys.argv[1])

def execute_anew(*_):
    os.execv(sys.executable, [sys.executable, __file__, sys.argv[1], "anew"])

def act(role):
    signal.signal(signal.SIGHUP, execute_anew)
    (folder / f"{role}.{os.getpid()}").touch()
    if role == "web" and (folder / "bad-settings").exists():
        return 78
    if role == "web" and (folder / "broken").exists():
        raise OSError("broken")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    while True:
        time.sleep(0.05)

if sys.argv[2:] == ["anew"]:
    (folder / f"anew.{os.getpid()}").touch()
    while True:
        time.sleep(0.05)
stop = Stop()
stop.listen()
roles = (Role.WORK, Role.WEB)
sys.exit(Supervisor(run_role=act, clock=SystemClock(), roles=roles).run(stop))
"""


def _long_folder(tmp_path: Path) -> Path:
    folder = tmp_path / ("a" * 100) / "run"
    folder.mkdir(parents=True)
    return folder


def test_a_wakeup_ends_a_wait_also_where_the_path_is_long(tmp_path: Path) -> None:
    folder = _long_folder(tmp_path)
    listener = WakeupListener(folder, Role.WORK)
    SocketWakeup(folder).wake(Role.WORK)
    start = CLOCK.monotonic()
    listener.wait(timedelta(seconds=30))
    assert CLOCK.monotonic() - start < 20
    listener.close()


def test_waking_a_role_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    SocketWakeup(tmp_path).wake(Role.DELIVER)


def test_a_failing_step_is_tried_again(tmp_path: Path) -> None:
    stop, calls = Stop(), []

    def step() -> timedelta:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("once")
        stop.requested.set()
        return timedelta(0)

    listener = WakeupListener(tmp_path, Role.WORK)
    assert run_service(Service(role=Role.WORK, step=step), listener, stop, CLOCK)
    assert len(calls) == 2
    listener.close()


@pytest.fixture
def own_signals() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr("appliance.service.LONGEST_WAIT", timedelta(minutes=5))
    stop = Stop(wake=partial(SocketWakeup(tmp_path).wake, Role.WORK))
    stop.listen()
    listener = WakeupListener(tmp_path, Role.WORK)
    waits = threading.Timer(0.2, os.kill, (os.getpid(), number))

    def step() -> timedelta:
        waits.start()
        return timedelta(minutes=5)

    start = CLOCK.monotonic()
    run_service(Service(role=Role.WORK, step=step), listener, stop, CLOCK)
    assert CLOCK.monotonic() - start < 30
    listener.close()


def test_a_role_says_that_it_is_ready_and_that_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        stop = Stop()

        def step() -> timedelta:
            stop.requested.set()
            return timedelta(0)

        listener = WakeupListener(tmp_path, Role.WORK)
        run_service(Service(role=Role.WORK, step=step), listener, stop, CLOCK)
        assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]
        listener.close()


def test_a_role_that_reads_its_settings_again_is_not_taken_for_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        stop = Stop(reload=True)
        stop.requested.set()
        listener = WakeupListener(tmp_path, Role.WORK)
        run_service(Service(role=Role.WORK, step=lambda: timedelta(0)), listener, stop, CLOCK)
        assert manager.recv(100) == b"READY=1"
        first, second = manager.recv(100).splitlines()
        assert first == b"RELOADING=1"
        assert second.startswith(b"MONOTONIC_USEC=")
        listener.close()


def test_a_service_manager_that_reads_no_more_holds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
    ):
        manager.bind(str(tmp_path / "n"))
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"x", str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        monkeypatch.setattr("appliance.service._MANAGER_LISTENS", 0.1)
        thread = threading.Thread(target=notify_manager, args=("STOPPING=1",), daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def supervised(tmp_path: Path):
    """Yield a folder and what starts a supervisor on it; end it, and see that no role is left."""
    script = tmp_path / "supervised.py"
    script.write_text(SUPERVISED)
    with ExitStack() as ends:

        def start(**environment: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, str(script), str(tmp_path)],
                env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            )
            ends.callback(process.wait, 60)
            ends.callback(process.terminate)
            return process

        yield tmp_path, start
    wait_until(lambda: not (_alive(tmp_path, "work") | _alive(tmp_path, "web")))


def _pids(folder: Path, role: str) -> set[int]:
    return {int(path.suffix[1:]) for path in folder.glob(f"{role}.[0-9]*")}


def _alive(folder: Path, role: str) -> set[int]:
    return {pid for pid in _pids(folder, role) if _runs(pid)}


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_role_that_dies_is_started_again_and_the_other_goes_on(supervised) -> None:
    folder, start = supervised
    process = start()
    wait_until(lambda: _pids(folder, "work") and _pids(folder, "web"))
    (first,) = _pids(folder, "work")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(_pids(folder, "work")) == 2)
    assert len(_pids(folder, "web")) == 1
    process.terminate()
    assert process.wait(60) == 0
    assert not _alive(folder, "work") | _alive(folder, "web")


def test_a_role_is_a_process_of_its_own_name_and_knows_no_other_role(supervised) -> None:
    folder, start = supervised
    process = start()
    wait_until(lambda: _pids(folder, "work") and _pids(folder, "web"))
    for role in ("work", "web"):
        (pid,) = _pids(folder, role)
        assert Path(f"/proc/{pid}/comm").read_text().strip() == role
    assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1


def test_a_role_that_has_no_handlers_yet_ends_when_told_to(supervised) -> None:
    folder, start = supervised
    process = start()
    wait_until(lambda: _pids(folder, "work"))
    (first,) = _pids(folder, "work")
    os.kill(first, signal.SIGTERM)  # which the supervisor takes for a wish, and a role must not
    wait_until(lambda: len(_pids(folder, "work")) == 2)
    assert process.poll() is None


def test_no_role_outlives_its_supervisor(supervised) -> None:
    folder, start = supervised
    process = start()
    wait_until(lambda: _pids(folder, "work") and _pids(folder, "web"))
    process.kill()
    wait_until(lambda: not (_alive(folder, "work") | _alive(folder, "web")))


def test_a_role_that_executes_itself_anew_is_still_its_supervisors(supervised) -> None:
    folder, start = supervised
    process = start()
    wait_until(lambda: _pids(folder, "work") and _pids(folder, "web"))
    process.send_signal(signal.SIGHUP)
    roles = _pids(folder, "work") | _pids(folder, "web")
    wait_until(lambda: _pids(folder, "anew") == roles)
    process.terminate()
    assert process.wait(60) == 0
    assert not _alive(folder, "anew")


def test_bad_settings_of_one_role_end_all_with_78(supervised) -> None:
    folder, start = supervised
    (folder / "bad-settings").touch()
    assert start().wait(60) == EXIT_CONFIG


def test_what_comes_later_ends_one_role_alone_until_it_is_good(supervised) -> None:
    folder, start = supervised
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "n"))
        manager.settimeout(60)
        process = start(NOTIFY_SOCKET=str(folder / "n"), WATCHDOG_USEC="60000000")
        assert manager.recv(100) == b"WATCHDOG=1"
        assert manager.recv(100) == b"READY=1"
    for mistake, times in (("bad-settings", 2), ("broken", 3)):
        (folder / mistake).touch()
        for pid in _alive(folder, "web"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda times=times: len(_pids(folder, "web")) >= times)
        (folder / mistake).unlink()
    wait_until(lambda: _alive(folder, "web"))
    assert process.poll() is None
    assert len(_pids(folder, "work")) == 1
