"""The loop of every role."""

import os
import signal
import socket
import sys
import threading
from datetime import timedelta
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
from appliance.supervisor import EXIT_CONFIG, Supervisor

CLOCK = SystemClock()
# A role of a few lines: says that it is ready, then does as its folder tells.
ACTOR = """
import os, pathlib, socket, sys, time
role, folder = sys.argv[1], pathlib.Path(sys.argv[2])
(folder / f"{role}.{os.getpid()}").touch()
if role == "web" and (folder / "bad-settings").exists():
    sys.exit(78)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    time.sleep(0.05)
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
    actor = tmp_path / "actor.py"
    actor.write_text(ACTOR)
    stop, codes = Stop(), []
    supervisor = Supervisor(
        command=[sys.executable, str(actor)],
        arguments=[str(tmp_path)],
        clock=CLOCK,
        roles=(Role.WORK, Role.WEB),
    )
    thread = threading.Thread(target=lambda: codes.append(supervisor.run(stop)))
    yield tmp_path, stop, codes, thread
    stop.requested.set()
    thread.join(60)
    assert not thread.is_alive()


def _pids(folder: Path, role: str) -> set[int]:
    return {int(path.suffix[1:]) for path in folder.glob(f"{role}.[0-9]*")}


def _until(holds) -> None:
    deadline = CLOCK.monotonic() + 60
    while not holds():
        assert CLOCK.monotonic() < deadline, "not within a minute"
        threading.Event().wait(0.02)


def test_a_role_that_dies_is_started_again_and_the_other_goes_on(supervised) -> None:
    folder, stop, codes, thread = supervised
    thread.start()
    _until(lambda: _pids(folder, "work") and _pids(folder, "web"))
    (first,) = _pids(folder, "work")
    os.kill(first, signal.SIGKILL)
    _until(lambda: len(_pids(folder, "work")) == 2)
    assert len(_pids(folder, "web")) == 1
    stop.requested.set()
    thread.join(60)
    assert codes == [0]
    for pid in _pids(folder, "work") | _pids(folder, "web"):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_bad_settings_of_one_role_end_all_with_78(supervised) -> None:
    folder, _, codes, thread = supervised
    (folder / "bad-settings").touch()
    thread.start()
    thread.join(60)
    assert codes == [EXIT_CONFIG]


def test_bad_settings_that_come_later_end_one_role_alone_until_they_are_good(
    supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, codes, thread = supervised
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "n"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "n"))
        thread.start()
        while manager.recv(100) != b"READY=1":
            pass
    (folder / "bad-settings").touch()
    (first,) = _pids(folder, "web")
    os.kill(first, signal.SIGKILL)
    _until(lambda: len(_pids(folder, "web")) >= 3)  # came again twice
    (folder / "bad-settings").unlink()
    _until(lambda: any(Path(f"/proc/{pid}/stat").exists() for pid in _pids(folder, "web")))
    assert codes == []
    assert len(_pids(folder, "work")) == 1
