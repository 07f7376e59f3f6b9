"""Whatever a pipeline does, its run ends with a reason in plain words, and the queue goes on."""

import resource
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.core.backoff import Backoff
from appliance.core.clock import SystemClock
from appliance.core.errors import PermanentPipelineError, PipelineError, TransientPipelineError
from appliance.core.states import JobState
from appliance.jobs.local import LocalExecutor, Outcome, Task
from appliance.jobs.options import PipelineOptions
from pipelines.sandbox.enclosure import Part
from tests.jobs_world import BRIGHT, TROUBLE, World
from tests.volumes import volume

FOLDER = Path(__file__).parents[1] / "pipelines/trouble"
OPTIONS = PipelineOptions(
    name="trouble",
    folder=FOLDER,
    device="cpu",
    timeout=timedelta(seconds=60),
    hang=timedelta(seconds=20),
    processes=20,
)
MIB = 1 << 20


def run(
    executor: LocalExecutor,
    description: str,
    options: PipelineOptions = OPTIONS,
    *,
    digest: str = "a",
    files: tuple[Path, ...] = (),
    on_progress: Callable[[float, str], None] = lambda *_: None,
) -> Outcome:
    task = Task(
        pipeline=options,
        digest=digest,
        volumes={"image": volume(description)},
        files={"image": files},
        run_uid="2.25.7",
    )
    outcome = executor.run(task, on_progress=on_progress, cancelled=lambda: False)
    assert outcome is not None
    return outcome


def reason(executor: LocalExecutor, description: str, **options: object) -> str:
    """Return why a run of this description failed; the next run works."""
    limited = replace(OPTIONS, **options)  # type: ignore[arg-type]
    with pytest.raises(PipelineError) as failed:
        run(executor, description, limited)
    unlimited = replace(OPTIONS, name=limited.name, folder=limited.folder)
    assert run(executor, "t1", unlimited).output.result.features
    return str(failed.value)


def running(pipeline: Path) -> set[int]:
    """Return the processes, whoever's they are, that run the pipeline of this folder."""
    found = set()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if folder.name.isdigit() and str(pipeline).encode() in words:
                found.add(int(folder.name))  # one that is over has no words any more
    return found


def test_a_run_tells_what_isolation_it_had(executor: LocalExecutor) -> None:
    assert run(executor, "t1").gaps == ()


@pytest.mark.parametrize(
    ("description", "error"),
    [
        ("write outside", "OSError"),
        ("read elsewhere", "PermissionError"),
        ("connect", "PermissionError"),
    ],
)
def test_what_isolation_forbids_is_said_so(
    executor: LocalExecutor, description: str, error: str
) -> None:
    with pytest.raises(PermanentPipelineError) as failed:
        run(executor, description)
    assert str(failed.value).startswith("the pipeline tried what its isolation forbids: it may")
    assert f"the pipeline raised {error} at " in str(failed.value)
    assert not (FOLDER / "outside").exists()


def test_a_runs_images_can_be_read_and_not_changed(executor: LocalExecutor, tmp_path: Path) -> None:
    image = tmp_path / "image.dcm"
    image.write_bytes(b"DICM")
    with pytest.raises(PermanentPipelineError, match=r"OSError at pathlib\.py"):
        run(executor, "delete input", files=(image,))
    assert image.read_bytes() == b"DICM"
    assert image.stat().st_nlink == 1, "what was lent is gone after the run"


def test_a_pipeline_that_forks_without_end_is_ended_with_all_of_it(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    # A folder of its own: other tests run the same pipeline at the same time.
    own = Path(shutil.copytree(FOLDER, tmp_path / "forks"))
    run(executor, "t1", replace(OPTIONS, name="forks", folder=own))
    before = running(own)
    said = reason(executor, "fork", name="forks", folder=own)
    assert "processes, more than its limit of 20" in said
    after = running(own)
    assert len(before) == 2, "a keeper and a child"
    assert len(after - before) == 2, "the next ones, and nothing of what was forked"
    assert not before & after


def test_what_lies_in_the_current_folder_is_not_for_pipelines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir("/")  # as systemd starts a service
    executor = LocalExecutor(warm_children=1, clock=SystemClock())
    try:
        with pytest.raises(PermanentPipelineError, match="PermissionError"):
            run(executor, "read elsewhere")
    finally:
        executor.close()


def test_one_that_left_the_session_ends_with_its_pipeline(executor: LocalExecutor) -> None:
    told: list[str] = []
    run(executor, "daemon", on_progress=lambda _, text: told.append(text))
    daemon = int(told[-1])
    assert daemon in running(FOLDER)
    reason(executor, "kill")
    assert daemon not in running(FOLDER)


def test_memory_of_all_that_it_started_counts(executor: LocalExecutor) -> None:
    text = reason(executor, "hog", memory=400 * MIB)
    assert "of memory, more than its limit of 400 MiB" in text


def test_memory_that_they_share_counts_once(executor: LocalExecutor) -> None:
    # Nine processes with the same 100 MiB.
    assert run(executor, "share", replace(OPTIONS, memory=400 * MIB))


def test_one_that_fills_the_disk_is_ended_and_what_it_wrote_is_gone(
    executor: LocalExecutor,
) -> None:
    text = reason(executor, "fill", disk=30 * MIB)
    assert "trouble wrote 40 MiB, more than its limit of 30 MiB" in text


def test_one_that_sleeps_for_ever_is_ended_long_before_its_time(executor: LocalExecutor) -> None:
    run(executor, "t1")
    start = time.monotonic()
    text = reason(executor, "hang", hang=timedelta(seconds=1))
    assert "trouble hung: no progress and no CPU time used for 1 s, its limit" in text
    assert time.monotonic() - start < 30


def test_one_that_prints_a_gigabyte_is_read_to_the_end_and_kept_in_bounds(
    executor: LocalExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    run(executor, "t1")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(executor, "print")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 32 << 10
    lines = [record for record in caplog.records if record.name == "pipelines.child"]
    assert 100 < len(lines) < 600
    assert "not logged" in lines[-1].getMessage()
    assert reason(executor, "kill").endswith("a line that says nothing at all | the last line")


def test_what_a_pipeline_says_that_it_does_names_nobody(executor: LocalExecutor) -> None:
    told: list[str] = []
    run(executor, "gossip", on_progress=lambda _, text: told.append(text))
    assert told[-1] == "found ***"


def test_one_that_never_gets_ready_is_ended(executor: LocalExecutor, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "pipeline"))
    source = (folder / "pipeline.py").read_text()
    stuck = source.replace('print("loaded on", device)', "time.sleep(3600)")
    (folder / "pipeline.py").write_text(stuck)
    with pytest.raises(TransientPipelineError, match="hung: no progress"):
        stuck_options = replace(OPTIONS, folder=folder, hang=timedelta(seconds=2))
        run(executor, "t1", stuck_options, digest="b")


# description: words of the reason on the job's page
FAULTS = {
    "not a number": "not a finite number: feature sum",
    "another shape": "the label map is (2, 2, 2), its input (8,",
    "write outside": "it may write to its scratch folder alone",
    "connect": "open no connection",
    "fork": "processes, more than its limit of 20",
    "hang": "hung: no progress and no CPU time",
    "hog": "of memory, more than its limit of 400 MiB",
    "kill": "the process of trouble was ended by SIGKILL",
    "crash": "the process of trouble was ended by SIGSEGV",
    "raise": "the pipeline raised KeyError at pipeline.py",
    "leave": "the process of trouble ended with exit code 3",
}


def test_after_every_fault_the_next_job_runs(tmp_path: Path, executor: LocalExecutor) -> None:
    world = World(tmp_path, executor=executor)
    once = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=1), attempts=1)
    limits = {"hang": timedelta(seconds=5), "memory": 400 * MIB, "processes": 20}
    worker = world.worker(pipeline=limits, backoff=once)
    for fault, words in FAULTS.items():
        bad, good = world.submit(TROUBLE, fault), world.submit(BRIGHT)
        while worker.step() == timedelta(0):
            pass
        ended = world.store.jobs.get(bad.job_id)
        assert ended.state is JobState.FAILED
        assert words in ended.reason, fault
        assert world.store.jobs.get(good.job_id).state is JobState.DONE, fault
    world.close()


def test_the_parts_of_the_enclosure_are_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", "appliance"):
        executor = LocalExecutor(warm_children=1, clock=SystemClock())
        run(executor, "t1")
        executor.close()
    (started,) = (r for r in caplog.records if r.getMessage() == "child.started")
    assert started.fields["isolation"] == [part.value for part in Part]  # type: ignore[attr-defined]
