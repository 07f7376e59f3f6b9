"""Pipelines kept warm, beside a process for each job; what of a study's time is ours.

    python -m benchmarks.pipelines [--rounds N] [--parts kinds,dispatch,throughput,head,study]

- kinds: a small pipeline of each kind, cold and warm in `LocalExecutor`, and, in turn with it, in a
  fresh process that imports and loads everything and runs once: what a container for each job does
  at best, its own start left out.
- dispatch: from the job's row to its worker's claim, in `appliance run`, warm.
- throughput: studies a minute through one worker and through two, on one store.
- head: the 170 slices of the demo's head, decoded (JPEG-LS), and brought to the model's grid.
- study: the brain study from the first image sent to the last proof, by phase, beside the bare
  model (benchmarks.study).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from appliance.core.clock import SystemClock
from appliance.core.states import JobState
from appliance.demo.play import study_folder
from appliance.jobs.local import LocalExecutor, Task
from appliance.jobs.options import PipelineOptions
from appliance.trial.template import lay_out
from benchmarks import latency, study
from benchmarks.common import Ratio, report
from pipelines.brain_mr.head import read_head
from pipelines.manifest import digest, load_manifest
from pipelines.series import read_volume
from pipelines.specs import Kind
from pipelines.volume import Volume
from tests.appliance import appliance
from tests.builders import ct_series
from tests.counterparts import wait_until
from tests.jobs_world import BRIGHT, World

PARTS = ("kinds", "dispatch", "throughput", "head", "study")
_TIMEOUT = 600.0
_OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)
# What a job does that starts from nothing: import, check, load, read, infer.
_FRESH = """
import sys, tempfile
from pathlib import Path
from pipelines.base import PipelineInput
from pipelines.device import choose
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.series import read_volume
folder, images, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
manifest = load_manifest(folder)
pipeline = build(manifest, folder)
pipeline.load(choose("cpu", manifest))
files = tuple(sorted(images.iterdir()))
with tempfile.TemporaryDirectory() as scratch:
    pipeline.infer(PipelineInput(
        volumes={name: read_volume(files)}, files={name: files}, scratch=Path(scratch),
        parameters={}, run_uid="2.25.1", progress=lambda *_: None))
"""
_WORK = """
import sys
from pathlib import Path
from appliance.core.states import JobState
from tests.jobs_world import World
world = World(Path(sys.argv[1]), new=False)
worker = world.worker(sys.argv[2])
open_ones = (JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)
world.work(worker, lambda: not any(world.store.jobs.list(one) for one in open_ones), seconds=600)
world.close()
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", default=",".join(PARTS))
    given = parser.parse_args()
    run(given.out.resolve(), rounds=given.rounds, parts=tuple(given.parts.split(",")))


def run(out: Path, *, rounds: int = 5, parts: tuple[str, ...] = PARTS) -> None:
    """Measure each part; print tables, then the ratios."""
    out.mkdir(parents=True, exist_ok=True)
    ratios: list[Ratio] = []
    details: dict[str, object] = {}
    measures: dict[str, Callable[[], object]] = {
        "kinds": partial(_kinds, rounds, ratios),
        "dispatch": partial(_dispatch, out),
        "throughput": partial(_throughput, ratios),
        "head": partial(_head, rounds),
    }
    for part in parts:
        if part == "study":
            study.run(out)
        else:
            details[part] = measures[part]()
    report("pipelines", ratios, details, out)


# -- kinds ------------------------------------------------------------------------------------


def _kinds(rounds: int, ratios: list[Ratio]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        images = Path(scratch) / "images"
        pixels = np.zeros((40, 64, 64), np.uint16)
        pixels[10:30, 20:40, 20:40] = 1000
        paths = ct_series(images, pixels=pixels)
        volume = read_volume(paths)
        print(f"{'kind':14}{'cold s':>9}{'warm s':>9}{'fresh process s':>18}")
        for kind in Kind:
            folder = lay_out(f"a-{kind.value}", kind, Path(scratch))
            row = _kind(folder, images, volume, tuple(paths), rounds)
            found[kind.value] = row
            print(f"{kind.value:14}{row['cold']:9.2f}{row['warm']:9.3f}{row['fresh']:18.2f}")
            ratios.append(
                Ratio(
                    what="warm-run",
                    peer="fresh-process",
                    ratio=row["warm"] / row["fresh"],
                    conditions={"kind": kind.value, "rounds": rounds},
                )
            )
    return found


def _kind(
    folder: Path, images: Path, volume: Volume, paths: tuple[Path, ...], rounds: int
) -> dict[str, float]:
    """Return seconds: the first run of a new child, the median of the next, of fresh processes."""
    manifest = load_manifest(folder)
    name = manifest.inputs[0].name
    options = PipelineOptions(name=manifest.name, folder=folder, device="cpu")
    task = Task(
        pipeline=options,
        digest=digest(folder),
        volumes={name: volume},
        files={name: paths},
        run_uid="2.25.1",
    )
    fresh = [sys.executable, "-c", _FRESH, str(folder), str(images), name]
    executor = LocalExecutor(warm_children=1, clock=SystemClock())
    try:
        cold = _timed(lambda: _run(executor, task))
        warm, apart = [], []
        for _ in range(rounds):
            warm.append(_timed(lambda: _run(executor, task)))
            apart.append(_timed(lambda: subprocess.run(fresh, check=True, capture_output=True)))
    finally:
        executor.close()
    return {"cold": cold, "warm": median(warm), "fresh": median(apart)}


def _run(executor: LocalExecutor, task: Task) -> None:
    if executor.run(task, on_progress=lambda *_: None, cancelled=lambda: False) is None:
        raise RuntimeError(f"{task.pipeline.name} did not run")


def _timed(call: Callable[[], object]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


# -- the queue --------------------------------------------------------------------------------


def _dispatch(out: Path, studies: int = 12) -> dict[str, float]:
    """Return seconds from a job's row to its claim by a worker whose model is loaded."""
    with (
        tempfile.TemporaryDirectory(dir=out) as scratch,
        appliance(Path(scratch), latency.route_closed_by(Path(scratch), "mpps")) as site,
    ):
        latency.measure(site, "mpps", studies)
        wait_until(lambda: _settled(site), _TIMEOUT)
        jobs = site.store.jobs.list(JobState.DONE)
    waits = sorted(job.seconds["queue"] for job in jobs if not job.seconds["load"])
    found = {"jobs": len(waits), "median": median(waits), "worst": waits[-1]}
    print(f"queued to claimed, warm, {len(waits)} jobs: median {found['median'] * 1000:.0f} ms, ")
    print(f"  worst {found['worst'] * 1000:.0f} ms")
    return found


def _settled(site: Any) -> bool:
    return not any(site.store.jobs.list(one) for one in _OPEN)


def _throughput(ratios: list[Ratio], jobs: int = 40) -> dict[str, float]:
    """Return studies a minute by number of workers, of a pipeline that takes next to nothing."""
    found = {str(workers): _drained(workers, jobs) for workers in (1, 2)}
    print(f"studies a minute: {found['1']:.0f} with one worker, {found['2']:.0f} with two")
    ratios.append(
        Ratio(
            what="studies-a-minute",
            peer="one-worker",
            ratio=found["2"] / found["1"],
            conditions={"workers": 2, "jobs": jobs},
        )
    )
    return found


def _drained(workers: int, jobs: int) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        world = World(Path(scratch))
        for _ in range(jobs):
            world.submit(BRIGHT)
        running = [
            subprocess.Popen([sys.executable, "-c", _WORK, scratch, f"w{number}"])
            for number in range(workers)
        ]
        for process in running:
            if process.wait(_TIMEOUT) != 0:
                raise RuntimeError(f"a worker ended with {process.returncode}")
        done = world.store.jobs.list(JobState.DONE)
        world.close()
    # The first job of each worker loads the model: cold starts are another part's business.
    times = sorted(job.finished_at for job in done if job.finished_at is not None)[workers:]
    return 60.0 * (len(times) - 1) / (times[-1] - times[0]).total_seconds()


# -- the head ---------------------------------------------------------------------------------


def _head(rounds: int) -> dict[str, float]:
    """Return seconds to decode the head and to bring it to the model's grid."""
    paths = sorted(study_folder(None).glob("*.dcm"))
    head = read_volume(paths)
    decode = median(_timed(lambda: read_volume(paths)) for _ in range(rounds))
    resample = median(_timed(lambda: read_head(head)) for _ in range(rounds))
    print(f"the head, {len(paths)} slices: decode {decode:.2f} s, conform {resample:.2f} s")
    return {"decode": decode, "conform": resample}


if __name__ == "__main__":
    main()
