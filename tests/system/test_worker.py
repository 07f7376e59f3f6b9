"""Attempts of jobs end in exactly one way, on a real store, with real children and files."""

import hashlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pydicom
import pytest

from appliance.core.crashpoints import VARIABLE, CrashPoint
from appliance.core.model import Job
from appliance.core.ports import Role
from appliance.core.product import MANUFACTURER
from appliance.core.states import JobEvent, JobState
from appliance.jobs.local import LocalExecutor
from pipelines.manifest import load_manifest
from tests.jobs_world import BRIGHT, FOLDER_OF, TROUBLE, World, arm

ROOT = Path(__file__).parents[2]


def in_state(world: World, job: Job, *states: JobState) -> Callable[[], bool]:
    return lambda: world.store.jobs.get(job.job_id).state in states


def finish(world: World, job: Job) -> Job:
    ends = (JobState.DONE, JobState.FAILED, JobState.REFUSED, JobState.CANCELLED)
    world.work(world.worker(), in_state(world, job, *ends))
    return world.store.jobs.get(job.job_id)


def events(world: World, job: Job) -> list[JobEvent]:
    return [entry.event for entry in world.store.jobs.log(job.job_id)]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def in_background(step: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=step)
    thread.start()
    return thread


def worker_process(world: World, **environment: str) -> subprocess.Popen[bytes]:
    """Start a worker that steps until it is killed or nothing is waiting or running."""
    script = (
        "import sys; from pathlib import Path; from tests.jobs_world import World\n"
        "from appliance.core.states import JobState\n"
        "world = World(Path(sys.argv[1]), new=False)\n"
        "worker = world.worker('w' + sys.argv[2])\n"
        "world.work(worker, lambda: not any(world.store.jobs.list(state=s) for s in\n"
        "    (JobState.QUEUED, JobState.RETRYING, JobState.RUNNING)))\n"
        "world.close()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(world.folder), str(time.monotonic_ns())],
        cwd=ROOT,
        env=os.environ | environment,
    )


def assert_done_once(world: World, job: Job) -> None:
    done = world.store.jobs.get(job.job_id)
    assert done.state is JobState.DONE, done.reason
    objects = world.store.results.objects(job.job_id)
    assert sorted(item.kind for item in objects) == ["seg", "sr"]
    assert len(world.store.deliveries.of_study(job.study_instance_uid)) == 2
    assert len(world.store.results.findings(job.job_id)) == 1
    files = [path for path in world.results.rglob("*") if path.is_file()]
    assert sorted(files) == sorted(world.results / item.path for item in objects)


def test_a_job_ends_with_its_result_its_files_and_its_outbox(world: World) -> None:
    job = finish(world, world.submit())
    assert_done_once(world, job)
    assert job.device == "cpu"
    phases = {"queue", "read", "load", "transfer", "infer", "encode", "store"}
    assert job.seconds.keys() == phases
    for item in world.store.results.objects(job.job_id):
        path = world.results / item.path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == item.sha256
        assert path.stat().st_size == item.size
        dataset = pydicom.dcmread(path)
        assert dataset.SOPInstanceUID == item.sop_instance_uid
        assert dataset.StudyInstanceUID == job.study_instance_uid
    (first, _) = world.store.deliveries.of_study(job.study_instance_uid)
    assert first.patient_key == "synthetic-1"
    assert world.wakes.roles == [Role.DELIVER]


def test_features_of_the_acquisition_stand_beside_the_pipelines_own(world: World) -> None:
    job = finish(world, world.submit())
    features = {(item.group, item.name) for item in world.store.results.features(job.job_id)}
    assert {("output", "volume_ml"), ("metadata", "manufacturer")} <= features
    assert ("output", "intensity_mean") in features


def test_the_objects_name_the_models_maker_beside_the_appliances(world: World) -> None:
    job = finish(world, world.submit())
    maker = load_manifest(FOLDER_OF[BRIGHT]).manufacturer
    assert maker
    for item in world.store.results.objects(job.job_id):
        dataset = pydicom.dcmread(world.results / item.path)
        model, ours, *_ = dataset.ContributingEquipmentSequence
        assert model.Manufacturer == maker
        assert ours.Manufacturer == dataset.Manufacturer == MANUFACTURER != maker


def test_a_shadow_job_has_objects_and_no_outbox(world: World) -> None:
    job = finish(world, world.submit(send=()))
    assert len(world.store.results.objects(job.job_id)) == 2
    assert world.store.deliveries.of_study(job.study_instance_uid) == ()


def test_what_may_not_leave_any_more_has_no_outbox_whatever_was_ordered(world: World) -> None:
    world.shadows[BRIGHT] = "the release ended on 2026-11-21"
    job = finish(world, world.submit())
    assert world.store.deliveries.of_study(job.study_instance_uid) == ()
    assert job.shadow == "the release ended on 2026-11-21"


def test_the_same_run_makes_the_same_bytes_at_each_attempt(world: World) -> None:
    job = world.submit()
    world.store.jobs.claim("w0", (BRIGHT,), timedelta(seconds=-1), world.clock.now())
    first = finish(world, job)
    hashes = {item.sha256 for item in world.store.results.objects(first.job_id)}
    assert first.attempt == 2
    again = finish(world, world.store.commands.resubmit(job.job_id, world.clock.now()))
    assert again.state is JobState.DONE
    others = {item.sha256 for item in world.store.results.objects(again.job_id)}
    assert hashes.isdisjoint(others), "another run has other UIDs"


def test_a_rerun_names_what_it_supersedes(world: World) -> None:
    job = finish(world, world.submit())
    again = finish(world, world.store.commands.resubmit(job.job_id, world.clock.now()))
    old = {item.sop_instance_uid for item in world.store.results.objects(job.job_id)}
    (report,) = (o for o in world.store.results.objects(again.job_id) if o.kind == "sr")
    text = str(pydicom.dcmread(world.results / report.path))
    assert any(uid in text for uid in old)


@pytest.mark.parametrize(
    ("description", "state", "event", "reason"),
    [
        ("refuse", JobState.REFUSED, JobEvent.REFUSE, "the image shows a knee"),
        ("raise", JobState.FAILED, JobEvent.FAIL_PERMANENT, "KeyError"),
        ("transient", JobState.FAILED, JobEvent.EXHAUST, "licence server"),
        ("crash", JobState.FAILED, JobEvent.EXHAUST, "SIGSEGV"),
        ("hang", JobState.FAILED, JobEvent.EXHAUST, "longer than its limit"),
    ],
)
def test_each_kind_of_failure_ends_in_its_state_with_its_reason(
    world: World, description: str, state: JobState, event: JobEvent, reason: str
) -> None:
    job = world.submit(TROUBLE, description)
    limit = timedelta(seconds=1 if description == "hang" else 60)
    world.work(world.worker(pipeline={"timeout": limit}), in_state(world, job, state))
    ended = world.store.jobs.get(job.job_id)
    assert reason in ended.reason
    log = events(world, job)
    assert log[-1] is event
    attempts = 3 if event is JobEvent.EXHAUST else 1
    assert log.count(JobEvent.CLAIM) == attempts
    assert log.count(JobEvent.FAIL_TRANSIENT) == attempts - 1
    assert world.store.results.objects(job.job_id) == ()
    assert finish(world, world.submit()).state is JobState.DONE


def test_a_series_that_cannot_be_read_fails_and_the_next_job_runs(world: World) -> None:
    bad, good = world.submit(), world.submit()
    (world.folder / bad.inputs[3].spool_name).write_bytes(b"not DICOM at all")
    assert finish(world, bad).state is JobState.FAILED
    assert finish(world, good).state is JobState.DONE


def test_a_series_with_a_slice_missing_is_refused_with_the_reason(world: World) -> None:
    whole = world.submit()
    job = world.submit(inputs=whole.inputs[:3] + whole.inputs[4:])
    ended = finish(world, job)
    assert ended.state is JobState.REFUSED
    assert ended.reason


def test_a_pipeline_that_changed_since_is_not_run_as_if_it_had_not(world: World) -> None:
    job = finish(world, world.submit(pipeline_digest="0" * 64))
    assert job.state is JobState.FAILED
    assert "changed after this run was queued" in job.reason


def test_a_full_disk_is_tried_again(world: World) -> None:
    world.results.write_text("in the way")
    job = world.submit()
    worker = world.worker()
    world.work(worker, in_state(world, job, JobState.RETRYING))
    assert "File exists" in world.store.jobs.get(job.job_id).reason or "Not a directory" in (
        world.store.jobs.get(job.job_id).reason
    )
    world.results.unlink()
    world.work(worker, in_state(world, job, JobState.DONE))
    assert_done_once(world, job)


def test_an_error_of_ours_is_settled_and_goes_on_to_the_service_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("appliance.jobs.phases.encode", broken)
    job, worker = world.submit(), world.worker()
    with pytest.raises(ZeroDivisionError):
        worker.step()
    ended = world.store.jobs.get(job.job_id)
    assert ended.state is JobState.RETRYING
    assert ended.reason.startswith("internal error: ZeroDivisionError at test_worker.py")


def test_a_value_that_is_no_number_is_no_result(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from appliance.core.model import Feature  # noqa: PLC0415

    nan = (Feature(group="output", name="odd", number=float("nan")),)
    monkeypatch.setattr("appliance.jobs.phases.intensity_features", lambda _: nan)
    job = finish(world, world.submit())
    assert job.state is JobState.FAILED
    assert "not a finite number: feature odd" in job.reason


def test_progress_is_seen_in_the_store_while_the_job_runs(world: World) -> None:
    job = world.submit(TROUBLE, "slow")
    seen: set[tuple[float, str]] = set()
    thread = in_background(world.worker().step)
    while thread.is_alive():
        now = world.store.jobs.get(job.job_id)
        if now.state is JobState.RUNNING:
            seen.add((now.progress, now.phase))
        time.sleep(0.02)
    assert len({progress for progress, phase in seen if phase == "slow"}) >= 3
    assert all(0 <= progress <= 1 for progress, _ in seen)


def test_a_job_cancelled_while_it_runs_stops_at_once_and_leaves_nothing(world: World) -> None:
    job = world.submit(TROUBLE, "hang")
    thread = in_background(world.worker().step)
    wait_for(lambda: world.store.jobs.get(job.job_id).progress > 0)
    world.store.commands.cancel(job.job_id)
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert world.store.jobs.get(job.job_id).state is JobState.CANCELLED
    assert world.store.results.objects(job.job_id) == ()


def test_a_worker_told_to_stop_gives_its_job_back_without_counting_the_attempt(
    world: World,
) -> None:
    job = world.submit(TROUBLE, "hang")
    worker = world.worker()
    thread = in_background(worker.step)
    wait_for(lambda: world.store.jobs.get(job.job_id).progress > 0)
    worker.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()
    given_back = world.store.jobs.get(job.job_id)
    assert (given_back.state, given_back.attempt) == (JobState.QUEUED, 0)
    assert worker.step() > timedelta(0)
    assert world.store.jobs.get(job.job_id).state is JobState.QUEUED


def test_a_paused_pipeline_waits_and_goes_on_when_resumed(world: World) -> None:
    world.store.controls.pause("pipeline", BRIGHT, "admin")
    job, worker = world.submit(), world.worker()
    for _ in range(3):
        assert worker.step() == timedelta(milliseconds=50)
    assert world.store.jobs.get(job.job_id).state is JobState.QUEUED
    world.store.controls.resume("pipeline", BRIGHT)
    world.work(worker, in_state(world, job, JobState.DONE))


def test_a_worker_that_lost_its_job_meanwhile_commits_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The heartbeat is silent: the worker learns of it only from the commit itself."""
    monkeypatch.setattr("appliance.jobs.heartbeat.Heartbeat._beat", lambda _: True)
    job = world.submit(TROUBLE, "slow", send=())
    slow = in_background(world.worker("slow", lease=timedelta(milliseconds=200)).step)
    wait_for(lambda: world.store.jobs.get(job.job_id).state is JobState.RUNNING)
    other = world.worker("other")
    with caplog.at_level(logging.INFO, "appliance"):
        world.work(other, in_state(world, job, JobState.DONE))
        slow.join()
    assert "job.lost-claim" in caplog.text
    assert events(world, job).count(JobEvent.COMPLETE) == 1
    (winner,) = (e for e in world.store.jobs.log(job.job_id) if e.event is JobEvent.COMPLETE)
    assert winner.worker == "other"
    files = {path for path in world.results.rglob("*") if path.is_file()}
    assert {world.results / o.path for o in world.store.results.objects(job.job_id)} <= files


def test_a_kill_of_the_child_costs_one_attempt(
    world: World, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.close()  # the point is looked for by a child that starts after it is armed
    armed = arm(tmp_path, CrashPoint.CHILD_DURING_INFER)
    monkeypatch.setenv(VARIABLE, str(armed.parent))
    job = finish(world, world.submit())
    assert not armed.exists()
    assert events(world, job) == [
        JobEvent.CLAIM,
        JobEvent.FAIL_TRANSIENT,
        JobEvent.CLAIM,
        JobEvent.COMPLETE,
    ]
    assert_done_once(world, job)


@pytest.mark.parametrize(
    "point",
    [CrashPoint.JOB_AFTER_CLAIM, CrashPoint.DONE_BEFORE_COMMIT, CrashPoint.DONE_AFTER_COMMIT],
)
def test_a_kill_of_the_worker_loses_nothing_and_doubles_nothing(
    world: World, tmp_path: Path, point: CrashPoint
) -> None:
    job, armed = world.submit(), arm(tmp_path, point)
    first = worker_process(world, **{VARIABLE: str(armed.parent)})
    assert first.wait(timeout=60) == -signal.SIGKILL
    assert not armed.exists()
    world.work(world.worker("w2"), in_state(world, job, JobState.DONE))
    assert_done_once(world, job)
    expected = 1 if point is CrashPoint.DONE_AFTER_COMMIT else 2
    assert events(world, job).count(JobEvent.CLAIM) == expected
