"""While one study is inferred, the images of the next one are read."""

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.core.clock import SystemClock
from appliance.core.states import JobState
from appliance.jobs import ahead
from appliance.jobs.local import LocalExecutor
from pipelines.series import read_volume
from pipelines.volume import Volume
from tests.jobs_world import TROUBLE, World


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    executor = LocalExecutor(warm_children=1, clock=SystemClock())
    yield executor
    executor.close()


@pytest.fixture
def world(tmp_path: Path, executor: LocalExecutor) -> Iterator[World]:
    world = World(tmp_path, executor=executor)
    yield world
    world.close()


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that read a series, in order."""
    names: list[str] = []

    def read(paths: Sequence[Path], **options: Any) -> Volume:
        names.append(threading.current_thread().name)
        return read_volume(paths, **options)

    monkeypatch.setattr("appliance.jobs.phases.read_volume", read)
    return names


def run_all(world: World) -> list[JobState]:
    """Let one worker step until nothing is left to do; return how the jobs ended, by age."""
    worker = world.worker()
    while worker.step() == timedelta(0):
        pass
    return [job.state for job in reversed(world.store.jobs.list())]


def test_the_next_jobs_images_are_read_while_this_one_runs(
    world: World, readers: list[str]
) -> None:
    world.submit(TROUBLE, "slow")
    world.submit(TROUBLE, "t1")
    assert run_all(world) == [JobState.DONE, JobState.DONE]
    assert readers == ["MainThread", "read-ahead"]


def test_a_job_that_comes_while_this_one_runs_is_found(world: World, readers: list[str]) -> None:
    world.submit(TROUBLE, "slow")
    thread = threading.Thread(target=world.worker().step)
    thread.start()
    while not readers:
        thread.join(0.02)
    world.submit(TROUBLE, "t1")
    thread.join()
    assert readers[1:] == ["read-ahead"]


def test_what_another_worker_took_is_thrown_away(world: World, readers: list[str]) -> None:
    world.submit(TROUBLE, "slow")
    second = world.submit(TROUBLE, "t1")
    third = world.submit(TROUBLE, "another")
    worker = world.worker()
    worker.step()
    taken = world.store.jobs.claim("w9", (TROUBLE,), timedelta(minutes=1), world.clock.now())
    assert taken is not None
    assert taken.job_id == second.job_id
    worker.step()
    assert world.store.jobs.get(third.job_id).state is JobState.DONE
    assert readers == ["MainThread", "read-ahead", "MainThread"]


def test_images_that_cannot_be_read_fail_their_own_job(world: World) -> None:
    world.submit(TROUBLE, "slow")
    second = world.submit(TROUBLE, "t1")
    (world.folder / second.inputs[3].spool_name).write_bytes(b"not DICOM at all")
    assert run_all(world) == [JobState.DONE, JobState.FAILED]
    assert world.store.jobs.get(second.job_id).reason


def test_too_much_is_not_read_ahead(
    world: World, readers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_MOST", 1000)
    world.submit(TROUBLE, "slow")
    world.submit(TROUBLE, "t1")
    assert run_all(world) == [JobState.DONE, JobState.DONE]
    assert readers == ["MainThread", "MainThread"]
