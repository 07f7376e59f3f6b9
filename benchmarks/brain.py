"""The brain network on the whole cube, on the cranium alone, and as ONNX: processor seconds.

Interleaved, on one head; the processor's time and not the clock's, for other programs may run.
"""

import os
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from appliance.demo.play import study_folder
from benchmarks.common import Ratio, report
from pipelines.brain_mr import net
from pipelines.brain_mr.head import Head, read_head
from pipelines.conform import SIZE
from pipelines.folders import SHIPPED
from pipelines.kinds.onnx_file import open_network
from pipelines.manifest import load_manifest
from pipelines.series import read_volume

ROUNDS = 3


def run(out: Path, rounds: int = ROUNDS) -> None:
    """Run all in turn, and report."""
    ways = _ways(read_head(read_volume(sorted(study_folder(None).glob("*.dcm")))))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(_processor_seconds(way))
            print(f"  {name:<16} {seconds[name][-1]:7.1f} s of processor time", flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    report(
        "brain",
        [
            Ratio(what=what, peer=peer, ratio=medians[what] / medians[peer], conditions={})
            for what, peer in (("cranium", "whole-cube"), ("cranium-onnx", "cranium"))
        ],
        {"processor_seconds": seconds, "rounds": rounds},
        out,
    )


def _ways(head: Head) -> dict[str, Callable[[], object]]:
    folder = SHIPPED["brain-mr-onnx"]
    network = load_manifest(folder).network
    if network is None:
        raise RuntimeError(f"{folder} is no network's")
    path = folder / network.file
    onnx = open_network(path.read_bytes(), path, network, "cpu").net
    torched = net.load(SHIPPED["brain-mr"], "cpu")
    cranium = torch.from_numpy(head.cranium().array)
    cube = torch.from_numpy(np.zeros((SIZE, SIZE, SIZE), dtype=np.float32))
    i, j, k = head.array.shape
    cube[:i, :j, :k] = torch.from_numpy(head.array)
    return {
        "whole-cube": lambda: net.probabilities(torched, cube, lambda _: None),
        "cranium": lambda: net.probabilities(torched, cranium, lambda _: None),
        "cranium-onnx": lambda: torch.softmax(onnx(cranium[None, None])[0], dim=0),
    }


def _processor_seconds(way: Callable[[], object]) -> float:
    before = os.times()
    way()
    after = os.times()
    return after.user + after.system - before.user - before.system


if __name__ == "__main__":
    run(Path("benchmarks/results"))
