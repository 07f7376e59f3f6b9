"""The network on the cranium, on the whole cube, and as ONNX: the same structures.

Compared before sides are told.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from pipelines.base import Pipeline, PipelineOutput
from pipelines.brain_mr import head as head_module
from pipelines.brain_mr import net
from pipelines.brain_mr.head import _scaled
from pipelines.conform import conform
from pipelines.folders import SHIPPED
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.resample import Grid, most_likely
from pipelines.series import read_volume
from pipelines.volume import Labels, Volume
from tests.reformat import head_paths
from tests.volumes import given

NAMES = {output.name: output.label for output in load_manifest(SHIPPED["brain-mr"]).outputs}
Told = list[tuple[float, str]]


@pytest.fixture(scope="module")
def head() -> Volume:
    return read_volume(head_paths())


def run(name: str, head: Volume, told: Told | None = None) -> PipelineOutput:
    pipeline: Pipeline = build(load_manifest(SHIPPED[name]), SHIPPED[name])
    pipeline.load("cpu")
    heard: Told = [] if told is None else told
    return pipeline.infer(
        given({"head": head}, progress=lambda done, text: heard.append((done, text)))
    )


def labels_of(output: PipelineOutput) -> Labels:
    """The model's own class numbers, sides joined."""
    assert output.label_map is not None
    numbers = np.zeros(256, dtype=np.uint8)
    for segment in output.result.segments:
        numbers[segment.number] = NAMES[segment.name]
    return numbers[output.label_map.array]


def volumes(labels: Labels, head: Volume) -> dict[str, float]:
    counts = np.bincount(labels.ravel(), minlength=256)
    return {name: float(counts[label]) * head.voxel_ml for name, label in NAMES.items()}


@pytest.fixture(scope="module")
def ours(head: Volume) -> Labels:
    return labels_of(run("brain-mr", head))


@pytest.fixture(scope="module")
def bare(head: Volume) -> Labels:
    """The network on all of the 256 x 256 x 256 voxels."""
    source = Grid(shape=head.array.shape, affine=head.affine)  # type: ignore[arg-type]
    array, grid = conform(head.array, source)
    network = net.load(SHIPPED["brain-mr"], "cpu")
    classes = net.probabilities(network, torch.from_numpy(_scaled(array)), lambda _: None)
    return most_likely(classes, grid, source)


def differences(
    one: dict[str, float], other: dict[str, float], allowed: Callable[[float], float]
) -> dict[str, float]:
    return {
        name: one[name] - value
        for name, value in other.items()
        if abs(one[name] - value) > allowed(value)
    }


def test_leaving_out_face_and_neck_changes_no_volume_by_1_per_cent_or_0_05_ml(
    ours: Labels, bare: Labels, head: Volume
) -> None:
    wanted = volumes(bare, head)
    assert min(wanted.values()) > 1.0
    assert not differences(volumes(ours, head), wanted, lambda ml: max(0.01 * ml, 0.05))
    assert (ours == bare).mean() >= 0.999


def test_a_brain_that_reaches_out_of_the_cranium_s_box_is_run_whole(
    bare: Labels, head: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_module, "REACH", 90)  # through the temporal lobes
    told: Told = []
    found = labels_of(run("brain-mr", head, told))
    assert not differences(
        volumes(found, head), volumes(bare, head), lambda ml: max(0.01 * ml, 0.05)
    )
    assert sum(phase == "infer" for _, phase in told) == 20  # ten layers, twice
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_onnx_file_gives_the_same_labels(ours: Labels, head: Volume) -> None:
    output = run("brain-mr-onnx", head)
    found = labels_of(output)
    assert (found == ours).mean() >= 0.999
    assert not differences(
        volumes(found, head), volumes(ours, head), lambda ml: max(0.01 * ml, 0.05)
    )
    assert {segment.side for segment in output.result.segments} == {None}
    assert len(output.result.segments) == len(NAMES) == 17
