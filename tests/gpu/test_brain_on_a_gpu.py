"""The brain model on a GPU says what it says on the CPU. Run by `make test-gpu` alone."""

import pytest
import torch

from pipelines.base import Pipeline, PipelineOutput
from pipelines.device import choose
from pipelines.folders import SHIPPED
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.series import read_volume
from tests.reformat import head_paths
from tests.volumes import given

FOLDER = SHIPPED["brain-mr"]


def _run(device: str) -> PipelineOutput:
    pipeline: Pipeline = build(load_manifest(FOLDER), FOLDER)
    pipeline.load(device)
    head = read_volume(head_paths())
    return pipeline.infer(given({"head": head}))


@pytest.mark.gpu
def test_the_gpu_is_chosen_where_there_is_one() -> None:
    assert choose("auto", load_manifest(FOLDER)).startswith("cuda")


@pytest.mark.gpu
def test_labels_on_the_gpu_are_those_of_the_cpu() -> None:
    on_gpu, on_cpu = _run("cuda"), _run("cpu")
    assert on_gpu.label_map is not None
    assert on_cpu.label_map is not None
    same = (on_gpu.label_map.array == on_cpu.label_map.array).mean()
    assert same >= 0.999
    assert torch.cuda.max_memory_allocated() > 0
