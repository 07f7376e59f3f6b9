"""Does what the series description says: dies, hangs, grows, refuses, raises, talks or works."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.core.errors import InputRefused, TransientPipelineError
from appliance.core.model import Feature, PipelineResult
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.manifest import Manifest


class Trouble:
    """One behaviour a word."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        self._runs = 0
        self._behaviours: Mapping[str, Callable[[PipelineInput], None]] = {
            "crash": crash,
            "leave": leave,
            "hang": hang,
            "hang with grandchild": hang_with_grandchild,
            "hog": hog,
            "refuse": refuse,
            "raise": raise_unexpectedly,
            "out of memory": out_of_memory,
            "transient": transient,
            "talk": talk,
            "slow": slow,
            "long": long,
        }

    def load(self, device: str) -> None:
        print("loaded on", device)

    def infer(self, study: PipelineInput) -> PipelineOutput:
        self._runs += 1
        volume = study.volumes["image"]
        (description,) = volume.attributes["SeriesDescription"]
        behaviour = self._behaviours.get(str(description))
        if behaviour is not None:
            behaviour(study)
        numbers = {
            "runs": self._runs,
            "process": os.getpid(),
            "sum": float(volume.array.sum(dtype="f8")),
        }
        features = tuple(
            Feature(group="output", name=name, number=float(number))
            for name, number in numbers.items()
        )
        result = PipelineResult(findings=(), segments=(), features=features)
        return PipelineOutput(result=result, label_map=None)


def crash(study: PipelineInput) -> None:
    print(
        "about to die with", study.volumes["image"].attributes["AccessionNumber"], file=sys.stderr
    )
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(study: PipelineInput) -> None:
    os._exit(3)


def hang(study: PipelineInput) -> None:
    time.sleep(3600)


def hang_with_grandchild(study: PipelineInput) -> None:
    grandchild = subprocess.Popen(["sleep", "3600"])
    study.progress(0.5, str(grandchild.pid))
    time.sleep(3600)


def hog(study: PipelineInput) -> None:
    held = []
    while len(held) < 64:
        held.append(b"\1" * (32 << 20))
        time.sleep(0.02)


def refuse(study: PipelineInput) -> None:
    raise InputRefused("the image shows a knee")


def raise_unexpectedly(study: PipelineInput) -> None:
    raise KeyError(f"no such thing in {study.volumes['image'].attributes['PatientName'][0]}")


def out_of_memory(study: PipelineInput) -> None:
    raise MemoryError


def transient(study: PipelineInput) -> None:
    raise TransientPipelineError("the licence server did not answer")


def talk(study: PipelineInput) -> None:
    for step in range(500):
        study.progress(step / 500, "talk")


def slow(study: PipelineInput) -> None:
    for step in range(10):
        study.progress(step / 10, "slow")
        time.sleep(0.1)


def long(study: PipelineInput) -> None:
    for step in range(80):
        study.progress(step / 80, "long")
        time.sleep(0.1)
