"""More models than memory: the least recently used make room, and a full GPU is no dead end."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.core.clock import SystemClock
from appliance.core.errors import TransientPipelineError
from appliance.jobs.local import LocalExecutor, Outcome, Task
from appliance.jobs.options import PipelineOptions
from tests.volumes import volume

HERE = Path(__file__).parents[1]
GB = 10**9


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children find a GPU of 10 GB."""
    monkeypatch.setenv("PYTHONPATH", str(HERE / "gpu_stand_in"))


@pytest.fixture
def start() -> Iterator[Callable[..., LocalExecutor]]:
    """Make executors that are closed at the end."""
    made: list[LocalExecutor] = []

    def start(**options: int) -> LocalExecutor:
        made.append(LocalExecutor(clock=SystemClock(), **{"warm_children": 9, **options}))
        return made[-1]

    yield start
    for executor in made:
        executor.close()


def pipeline(parent: Path, name: str, *lines: str) -> PipelineOptions:
    """Return a copy of `trouble` whose manifest has these lines too."""
    folder = Path(shutil.copytree(HERE / "pipelines/trouble", parent / name))
    manifest = folder / "pipeline.yaml"
    text = manifest.read_text().replace("name: trouble", f"name: {name}")
    manifest.write_text("\n".join([text, *lines, ""]))
    return PipelineOptions(name=name, folder=folder, timeout=timedelta(minutes=2))


def run(executor: LocalExecutor, options: PipelineOptions, description: str = "t1") -> Outcome:
    task = Task(
        pipeline=options,
        digest=options.name,
        volumes={"image": volume(description)},
        files={},
        run_uid="2.25.7",
    )
    outcome = executor.run(task, on_progress=lambda *_: None, cancelled=lambda: False)
    assert outcome is not None
    return outcome


def is_warm(outcome: Outcome) -> bool:
    return outcome.seconds["load"] == 0


def test_a_run_that_nobody_knows_yet_gets_room_and_one_that_is_known_what_it_took(
    tmp_path: Path, start: Callable[..., LocalExecutor]
) -> None:
    one, two = (pipeline(tmp_path, name, "memory: 1 GB") for name in ("one", "two"))
    executor = start(warm_memory=GB)
    run(executor, one)
    run(executor, two)  # may take all there is, so that the other one had to end
    assert not is_warm(run(executor, one))  # both took little: they stay
    assert is_warm(run(executor, two))
    assert is_warm(run(executor, one))


def test_on_a_full_gpu_the_least_recently_used_makes_room(
    tmp_path: Path, start: Callable[..., LocalExecutor], gpu: None
) -> None:
    one, two, three = (
        pipeline(tmp_path, name, "gpu_memory: 4 GB") for name in ("one", "two", "three")
    )
    executor = start()
    assert [run(executor, it).device for it in (one, two, three)] == ["cuda:0"] * 3
    assert is_warm(run(executor, two))
    assert not is_warm(run(executor, one))  # in place of three
    assert is_warm(run(executor, two))


def test_out_of_gpu_memory_is_tried_alone_then_on_the_cpu_and_the_result_says_so(
    tmp_path: Path, start: Callable[..., LocalExecutor], gpu: None
) -> None:
    one = pipeline(tmp_path, "one", "gpu_memory: 4 GB")
    two = pipeline(tmp_path, "two", "gpu_memory: 4 GB", "cpu_fallback: true")
    executor = start()
    run(executor, one)
    outcome = run(executor, two, "out of gpu")
    assert outcome.device == "cpu"
    (note,) = outcome.output.result.notes
    assert note == "Computed on the CPU, as the memory of the GPU was not enough."
    assert not is_warm(run(executor, one)), "it had to end, so that the other one was alone"
    again = run(executor, two)
    assert (again.device, again.output.result.notes) == ("cuda:0", ())


@pytest.mark.parametrize("fallback", ["cpu_fallback: false", "cpu_fallback: true"])
def test_no_other_device_where_manifest_or_site_want_the_gpu(
    tmp_path: Path, start: Callable[..., LocalExecutor], gpu: None, fallback: str
) -> None:
    options = pipeline(tmp_path, "one", "gpu_memory: 4 GB", fallback)
    if fallback.endswith("true"):
        options = replace(options, device="cuda")
    with pytest.raises(TransientPipelineError, match="no other pipeline of this worker was on"):
        run(start(), options, "out of gpu")
