"""Does what the series description says: dies, hangs, grows, refuses, raises, talks or works."""

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from appliance.core.errors import InputRefused, TransientPipelineError
from appliance.core.model import Feature, PipelineResult
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.manifest import Manifest
from pipelines.volume import LabelMap, Volume


class Trouble:
    """One behaviour a word."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        self._runs = 0
        self._has_prepared = threading.Event()
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
            "kill": kill,
            "write outside": write_outside,
            "delete input": delete_input,
            "read elsewhere": read_elsewhere,
            "connect": connect,
            "fork": fork,
            "daemon": daemon,
            "share": share,
            "fill": fill,
            "print": print_without_end,
            "gossip": gossip,
            "slow": slow,
            "long": long,
        }

    def load(self, device: str) -> None:
        self._device = device
        print("loaded on", device)

    def prepare(self, volumes: Mapping[str, Volume]) -> str:
        volume = volumes["image"]
        (description,) = volume.attributes["SeriesDescription"]
        if description == "cannot be prepared":
            raise ValueError(description)
        if description == "prepared without end":
            time.sleep(3600)
        if description == "killed when prepared":
            os.kill(os.getpid(), signal.SIGKILL)
        print("preparing", *volume.attributes["AccessionNumber"], file=sys.stderr, flush=True)
        self._has_prepared.set()
        return description

    def infer(self, study: PipelineInput) -> PipelineOutput:
        self._runs += 1
        volume = study.volumes["image"]
        (description,) = volume.attributes["SeriesDescription"]
        behaviour = self._behaviours.get(str(description))
        if description == "out of gpu" and self._device != "cpu":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        if description == "until the next is prepared":
            self._has_prepared.wait()
        if behaviour is not None:
            behaviour(study)
        numbers = {
            "runs": self._runs,
            "process": os.getpid(),
            "sum": float(volume.array.sum(dtype="f8")),
        }
        if description == "not a number":
            numbers["sum"] = math.nan
        features = tuple(
            Feature(group="output", name=name, number=float(number))
            for name, number in numbers.items()
        )
        notes = () if study.prepared is None else (f"prepared {study.prepared}",)
        result = PipelineResult(findings=(), segments=(), features=features, notes=notes)
        if description == "another shape":
            labels = np.ones((2, 2, 2), dtype=np.uint8)
            return PipelineOutput(
                result=result, label_map=LabelMap(array=labels, input_name="image")
            )
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


def kill(study: PipelineInput) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class OutOfMemoryError(RuntimeError):
    """Called like PyTorch's, which takes a second to import."""


def write_outside(study: PipelineInput) -> None:
    (study.scratch / "inside").write_text("x")
    (Path(__file__).parent / "outside").write_text("x")


def delete_input(study: PipelineInput) -> None:
    study.files["image"][0].read_bytes()
    study.files["image"][0].unlink()


def read_elsewhere(study: PipelineInput) -> None:
    Path("/etc/shadow").read_bytes()


def connect(study: PipelineInput) -> None:
    socket.create_connection(("127.0.0.1", 80), timeout=1)


def fork(study: PipelineInput) -> None:
    for _ in range(7):
        os.fork()
    time.sleep(3600)


def share(study: PipelineInput) -> None:
    held = b"\1" * (100 << 20)
    children: list[int] = []
    while len(children) < 8 and all(children):
        children.append(os.fork())
    time.sleep(1)
    if not all(children):
        os._exit(held[0])
    for child in children:
        os.waitpid(child, 0)


def daemon(study: PipelineInput) -> None:
    """Leave a process behind that left the session and whose parent ended."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
            time.sleep(3600)
        os._exit(0)
    study.progress(0.5, os.read(reader, 20).decode())


def print_without_end(study: PipelineInput) -> None:
    block = b"a line that says nothing at all\n" * (1 << 15)
    for _ in range(1 << 10):
        os.write(2, block)
    os.write(2, b"the last line\n")


def fill(study: PipelineInput) -> None:
    with (study.scratch / "large").open("wb") as file:
        for _ in range(40):
            file.write(b"\1" * (1 << 20))
    time.sleep(3600)


def gossip(study: PipelineInput) -> None:
    study.progress(0.5, f"found {study.volumes['image'].attributes['AccessionNumber'][0]}")
