"""Children that run pipelines: warm, watched, and gone without a trace when they misbehave."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.core.clock import SystemClock
from appliance.core.crashpoints import VARIABLE, CrashPoint
from appliance.core.errors import (
    ConfigError,
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from appliance.jobs.local import LocalExecutor, Outcome, Task
from appliance.jobs.options import PipelineOptions
from tests.jobs_world import arm
from tests.volumes import volume

FOLDERS = Path(__file__).parents[1] / "pipelines"
TROUBLE = PipelineOptions(
    name="trouble", folder=FOLDERS / "trouble", device="cpu", timeout=timedelta(seconds=30)
)
MIB = 1 << 20


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    """One that has no child yet."""
    executor = LocalExecutor(warm_children=2, clock=SystemClock())
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def used() -> Iterator[LocalExecutor]:
    """One that may have a warm child, as another test left it."""
    executor = LocalExecutor(warm_children=2, clock=SystemClock())
    yield executor
    executor.close()


def task(description: str, options: PipelineOptions = TROUBLE, digest: str = "a") -> Task:
    volumes = {"image": volume(description)}
    return Task(pipeline=options, digest=digest, volumes=volumes, files={}, run_uid="2.25.7")


def run(
    executor: LocalExecutor,
    description: str,
    options: PipelineOptions = TROUBLE,
    *,
    digest: str = "a",
    on_progress: Callable[[float, str], None] = lambda *_: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Outcome | None:
    return executor.run(
        task(description, options, digest), on_progress=on_progress, cancelled=cancelled
    )


def numbers(outcome: Outcome | None) -> dict[str, float]:
    assert outcome is not None
    return {feature.name: feature.number or 0.0 for feature in outcome.output.result.features}


def children() -> list[str]:
    """Return the states of this process's children: "Z" is a zombie."""
    me = str(os.getpid())
    found = []
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == me:
            found.append(fields[0])
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    # A process whose main thread has ended still ends as long as other threads do.
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return False
    return state != "Z" or threads > 1


def test_the_second_run_finds_the_child_warm(executor: LocalExecutor) -> None:
    first, second = run(executor, "t1"), run(executor, "t1")
    assert numbers(first)["process"] == numbers(second)["process"]
    assert numbers(second)["runs"] == 2
    assert first is not None
    assert second is not None
    assert first.device == "cpu"
    assert first.seconds["load"] > 0
    assert second.seconds["load"] == 0
    assert second.seconds["transfer"] < 1


def test_the_volume_arrives_whole(used: LocalExecutor) -> None:
    assert numbers(run(used, "t1"))["sum"] == 4 * 5 * 6


def test_a_pipeline_that_changed_is_loaded_anew(executor: LocalExecutor) -> None:
    first = run(executor, "t1", digest="a")
    second = run(executor, "t1", digest="b")
    assert numbers(first)["process"] != numbers(second)["process"]
    assert not is_running(int(numbers(first)["process"]))


def test_only_as_many_children_stay_warm_as_allowed(executor: LocalExecutor) -> None:
    names = ("one", "two", "three")
    pids = [
        int(numbers(run(executor, "t1", replace(TROUBLE, name=name)))["process"]) for name in names
    ]
    assert [is_running(pid) for pid in pids] == [False, True, True]


@pytest.mark.parametrize(
    ("description", "error", "text"),
    [
        ("refuse", InputRefused, "the image shows a knee"),
        ("transient", TransientPipelineError, "the licence server did not answer"),
    ],
)
def test_a_pipelines_own_error_arrives_and_the_child_stays(
    used: LocalExecutor, description: str, error: type[Exception], text: str
) -> None:
    before = numbers(run(used, "t1"))["process"]
    with pytest.raises(error, match=text) as caught:
        run(used, description)
    assert type(caught.value) is error
    assert numbers(run(used, "t1"))["process"] == before


def test_an_unexpected_exception_is_permanent_names_its_place_and_ends_the_child(
    used: LocalExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    before = numbers(run(used, "t1"))["process"]
    with pytest.raises(PermanentPipelineError, match=r"raised KeyError at pipeline.py:\d+") as e:
        run(used, "raise")
    assert "ACC-7731" not in str(e.value)
    assert "KeyError" in caplog.text
    assert "ACC-7731" not in caplog.text
    assert numbers(run(used, "t1"))["process"] != before


def test_running_out_of_memory_is_worth_another_attempt(used: LocalExecutor) -> None:
    with pytest.raises(TransientPipelineError, match="MemoryError"):
        run(used, "out of memory")
    assert run(used, "t1") is not None


def test_a_child_that_crashes_costs_one_run_and_tells_its_signal_and_last_words(
    used: LocalExecutor,
) -> None:
    with pytest.raises(TransientPipelineError) as caught:
        run(used, "crash")
    assert "ended by SIGSEGV" in str(caught.value)
    assert "about to die with" in str(caught.value)
    assert "ACC-7731" not in str(caught.value)
    assert run(used, "t1") is not None


def test_a_child_that_leaves_is_told_with_its_exit_code(used: LocalExecutor) -> None:
    with pytest.raises(TransientPipelineError, match="exit code 3"):
        run(used, "leave")


def test_a_kill_in_the_middle_of_a_run_costs_that_run_only(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(arm(tmp_path, CrashPoint.CHILD_DURING_INFER).parent))
    with pytest.raises(TransientPipelineError, match="SIGKILL"):
        run(executor, "t1")
    assert run(executor, "t1") is not None


def test_a_warm_child_that_died_meanwhile_costs_nothing(used: LocalExecutor) -> None:
    pid = int(numbers(run(used, "t1"))["process"])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_running(pid))
    assert int(numbers(run(used, "t1"))["process"]) != pid


def test_a_run_that_takes_too_long_is_ended_with_everything_that_it_started(
    used: LocalExecutor,
) -> None:
    words: list[str] = []
    run(used, "t1")
    with pytest.raises(TransientPipelineError, match="longer than its limit of 1 s"):
        run(
            used,
            "hang with grandchild",
            replace(TROUBLE, timeout=timedelta(seconds=1)),
            on_progress=lambda _, text: words.append(text),
        )
    grandchild = int(words[-1])
    wait_for(lambda: not is_running(grandchild))


def test_a_run_that_takes_too_much_memory_is_ended(used: LocalExecutor) -> None:
    with pytest.raises(TransientPipelineError, match="more than its limit of 400 MiB"):
        run(used, "hog", replace(TROUBLE, memory=400 * MIB))
    assert run(used, "t1", replace(TROUBLE, memory=400 * MIB)) is not None


def test_a_run_can_be_stopped(used: LocalExecutor) -> None:
    stop = threading.Event()
    start = time.monotonic()
    outcome = run(used, "hang", on_progress=lambda *_: stop.set(), cancelled=stop.is_set)
    assert outcome is None
    assert time.monotonic() - start < 10
    assert "Z" not in children()


def test_progress_is_told_while_it_runs(used: LocalExecutor) -> None:
    told: list[tuple[float, str]] = []
    run(used, "slow", on_progress=lambda fraction, text: told.append((fraction, text)))
    assert told[-1] == (0.9, "slow")
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)


def test_much_talk_does_not_outrun_the_limits(used: LocalExecutor) -> None:
    assert run(used, "talk") is not None
    calls = []
    run(used, "talk", cancelled=lambda: bool(calls.append(1)))
    assert len(calls) >= 500


def test_a_device_that_is_not_there_is_an_error_and_never_another_device(
    executor: LocalExecutor,
) -> None:
    with pytest.raises(ConfigError, match="cuda"):
        run(executor, "t1", replace(TROUBLE, device="cuda"))
    assert run(executor, "t1") is not None


def test_a_folder_that_is_no_pipeline_is_a_clear_error(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"pipeline\.yaml"):
        run(executor, "t1", replace(TROUBLE, folder=tmp_path))


def test_nothing_is_left_open_after_any_end() -> None:
    def once(description: str) -> None:
        executor = LocalExecutor(warm_children=2, clock=SystemClock())
        try:
            run(executor, description, cancelled=lambda: description == "stop")
        except (TransientPipelineError, PermanentPipelineError):
            pass
        finally:
            executor.close()

    def open_descriptors() -> set[str]:
        gc.collect()
        return {entry.name for entry in Path("/proc/self/fd").iterdir()}

    once("t1")
    before, threads = open_descriptors(), threading.active_count()
    for description in ("t1", "crash", "raise", "refuse", "stop"):
        once(description)
    assert open_descriptors() == before
    assert threading.active_count() == threads
    assert "Z" not in children()


def test_a_child_does_not_survive_its_parent(tmp_path: Path) -> None:
    script = (
        "from tests.system.test_local_executor import *\n"
        "executor = LocalExecutor(warm_children=1, clock=SystemClock())\n"
        "pid = int(numbers(run(executor, 't1'))['process'])\n"
        "run(executor, 'hang', on_progress=lambda *_: print(pid, flush=True))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    wait_for(lambda: not is_running(pid))
