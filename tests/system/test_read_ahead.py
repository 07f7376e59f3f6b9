"""While one study is inferred, the images of the next one are read, and prepared."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.core.backoff import Backoff
from appliance.core.model import Job, Priority
from appliance.core.states import JobState
from appliance.jobs import ahead
from appliance.jobs.local import LocalExecutor
from appliance.jobs.options import PipelineOptions
from pipelines.manifest import digest
from pipelines.series import read_volume
from pipelines.volume import Volume
from tests.counterparts import wait_until
from tests.jobs_world import FOLDER_OF, TROUBLE, World


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


@pytest.fixture
def warm(world: World, executor: LocalExecutor) -> World:
    """One whose child is loaded: nothing else can prepare a run."""
    folder = FOLDER_OF[TROUBLE]
    executor.load(PipelineOptions(name=TROUBLE, folder=folder, device="cpu"), digest(folder))
    return world


def notes(world: World, job: Job) -> tuple[str, ...]:
    assert world.store.jobs.get(job.job_id).state is JobState.DONE
    return world.store.results.notes(job.job_id)


def test_the_next_run_is_prepared_by_the_child_that_infers_this_one(warm: World) -> None:
    warm.submit(TROUBLE, "until the next is prepared")
    following = warm.submit(TROUBLE, "t1")
    assert run_all(warm) == [JobState.DONE, JobState.DONE]
    assert notes(warm, following) == ("prepared t1",)


def test_what_cannot_be_prepared_is_inferred_without(warm: World) -> None:
    warm.submit(TROUBLE, "slow")
    following = warm.submit(TROUBLE, "cannot be prepared")
    run_all(warm)
    assert notes(warm, following) == ()


def test_what_another_worker_took_is_thrown_away_and_given_to_no_other_study(
    warm: World, readers: list[str]
) -> None:
    warm.submit(TROUBLE, "slow")
    second = warm.submit(TROUBLE, "t1")
    third = warm.submit(TROUBLE, "another")
    worker = warm.worker()
    worker.step()
    taken = warm.store.jobs.claim("w9", (TROUBLE,), timedelta(minutes=1), warm.clock.now())
    assert taken is not None
    assert taken.job_id == second.job_id
    worker.step()
    assert notes(warm, third) == ()
    assert readers == ["MainThread", "read-ahead", "MainThread"]


def test_who_the_patient_of_the_next_run_is_stays_out_of_the_log(
    warm: World, caplog: pytest.LogCaptureFixture
) -> None:
    warm.submit(TROUBLE, "slow")
    warm.submit(TROUBLE, "t1")
    run_all(warm)
    said = [record.getMessage() for record in caplog.records if "preparing" in record.getMessage()]
    assert said
    assert set(said) == {"preparing ***"}


def test_one_that_is_prepared_without_end_costs_its_own_run(warm: World) -> None:
    warm.submit(TROUBLE, "slow")
    following = warm.submit(TROUBLE, "prepared without end")
    once = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=1), attempts=1)
    worker = warm.worker(pipeline={"hang": timedelta(seconds=1)}, backoff=once)
    while worker.step() == timedelta(0):
        pass
    states = [job.state for job in reversed(warm.store.jobs.list())]
    assert states == [JobState.DONE, JobState.FAILED]
    assert "hung: no progress" in warm.store.jobs.get(following.job_id).reason


def test_one_that_kills_the_child_when_prepared_costs_another_run_one_attempt_at_most(
    warm: World, readers: list[str]
) -> None:
    first = warm.submit(TROUBLE, "slow", priority=Priority.STAT)
    following = warm.submit(TROUBLE, "killed when prepared")
    worker = warm.worker()
    worker.step()
    again = warm.store.jobs.get(first.job_id)
    assert again.state is JobState.RETRYING
    wait_until(lambda: warm.clock.now() >= again.run_after)
    worker.step()  # with the other one still next in the queue
    assert warm.store.jobs.get(first.job_id).state is JobState.DONE
    assert readers == ["MainThread", "read-ahead", "MainThread"]
    worker.step()
    assert warm.store.jobs.get(following.job_id).state is JobState.DONE  # infer does no harm
