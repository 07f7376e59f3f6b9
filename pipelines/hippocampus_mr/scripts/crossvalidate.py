"""Five folds, split by subject, and the final model: one command that goes on where it stopped.

    python -m pipelines.hippocampus_mr.scripts.crossvalidate --data FOLDER [--fold N]

Writes `validation.json` and `model.pt` into `--out`. What is there and was made by the same recipe
is not made again. With `--fold`, trains that one and compares it with the published validation.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.hippocampus_mr.scripts import report
from pipelines.hippocampus_mr.scripts.data import (
    BUNDLE,
    FINAL,
    FOLDS,
    labelled,
    missing,
    testing_recipe,
)
from pipelines.hippocampus_mr.scripts.ranges import training_range

ROOT = BUNDLE.parents[1]
# Tensors of some MB come and go at every step: kept and in huge pages, that costs half.
_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
_EPOCH = re.compile(r"epoch (\d+)/(\d+)")
_WHAT_DATA = """\
The data is Task04_Hippocampus of the Medical Segmentation Decathlon (medicaldecathlon.com, 27 MB,
CC BY-SA 4.0): MR volumes around one hippocampus with labels of its parts. Unpack the archive and
name the folder that has imagesTr and labelsTr in it (or images and labels):
    make train-hippocampus DATA=.../Task04_Hippocampus"""


class Clock:
    """Says how far all models are and how long the rest of them takes."""

    def __init__(self, models: int) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._models = models
        self._done: dict[int, float] = {}

    def heard(self, model: int, line: str) -> None:
        """Pass on what the process that makes a model says of its progress."""
        epoch = _EPOCH.match(line)
        if epoch is None:
            return
        with self._lock:
            self._done[model] = int(epoch[1]) / int(epoch[2])
            spent, done = time.monotonic() - self._started, sum(self._done.values())
            left = spent / done * (self._models - done) / 60
            print(f"{_name(model)}: {line}; all {self._models}: {left:.0f} min left", flush=True)


def _name(model: int) -> str:
    return "final model" if model == FINAL else f"fold {model}"


def finished(model: int, out: Path) -> bool:
    """Say whether a model is there, made by what the files say now."""
    said, weights = out / f"fold-{model}.json", out / f"fold-{model}.pt"
    if not (said.is_file() and weights.is_file()):
        return False
    return bool(json.loads(said.read_text())["tested_by"] == testing_recipe())


def make(model: int, data: Path, out: Path, clock: Clock) -> None:
    """Train and test one model in a process of its own. Raises SystemExit where it fails."""
    command = [sys.executable, "-m", "pipelines.hippocampus_mr.scripts.fold"]
    command += ["--data", str(data), "--out", str(out), "--fold", str(model)]
    environment = {**os.environ, **_MEMORY, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    log = out / f"fold-{model}.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=errors
        ) as child,
    ):
        for line in child.stdout or ():
            clock.heard(model, line.rstrip())
    if child.returncode:
        raise SystemExit(f"{_name(model)} ended with {child.returncode}: see {log}")


def main(arguments: Sequence[str]) -> None:
    """Make what is not there yet; say what it is worth."""
    wanted = _parsed(arguments)
    if wanted.data is None:
        raise SystemExit(f"No data was named.\n{_WHAT_DATA}")
    lacking = missing(wanted.data)
    if lacking:
        raise SystemExit(
            f"{wanted.data}: {lacking} of the {len(labelled())} volumes that "
            f"configs/folds.json names are not there.\n{_WHAT_DATA}"
        )
    wanted.out.mkdir(parents=True, exist_ok=True)
    models = (*FOLDS, FINAL) if wanted.fold is None else (wanted.fold,)
    to_make = [model for model in models if not finished(model, wanted.out)]
    clock = Clock(len(to_make))
    with ThreadPoolExecutor(wanted.jobs) as pool:
        made = [pool.submit(make, m, wanted.data, wanted.out, clock) for m in to_make]
        for each in made:
            each.result()
    said = [json.loads((wanted.out / f"fold-{model}.json").read_text()) for model in models]
    if wanted.fold is None:
        _publish(said, wanted.data, wanted.out)
    else:
        print(report.beside(wanted.fold, said[0]["volumes"], report.shipped()))


def _publish(said: list[dict[str, Any]], data: Path, out: Path) -> None:
    rows = [row for fold in said for row in fold["volumes"]]
    validation = {
        "command": "make train-hippocampus DATA=Task04_Hippocampus",
        "machine": machine(),
        "seconds": {_name(fold["fold"]): fold["seconds"] for fold in said},
        "recipe": testing_recipe(),
        "training_range": training_range(data, rows),
        "volumes": rows,
    }
    (out / "validation.json").write_text(report.as_json(validation))
    (out / "model.pt").write_bytes((out / f"fold-{FINAL}.pt").read_bytes())
    print(report.dice_table(validation), report.volume_table(validation), sep="\n\n")
    print(f"\nTo ship them: {out}/model.pt into models/, {out}/validation.json into docs/.")


def machine() -> dict[str, str]:
    """Return what the numbers were made with."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    packages = ("torch", "monai", "pytorch-ignite", "numpy")
    return {
        "processor": found[1] if found else platform.processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "hippocampus-mr")
    parser.add_argument("--fold", type=int, choices=FOLDS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
