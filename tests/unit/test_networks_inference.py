"""What is done round a network: windows, planes, several inputs, scores, precision, clean-up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from appliance.core.errors import InputRefused, PermanentPipelineError
from pipelines.kinds.afterwards import apply
from pipelines.kinds.preprocess import grid_of, stacked, through, transforms
from pipelines.kinds.torch_file import open_network
from pipelines.network import Network
from pipelines.steps import Afterwards, Step
from pipelines.volume import Volume
from tests.networks import (
    INPUT,
    LEVELS,
    OUTPUTS,
    SCORES,
    Format,
    Tiny,
    content,
    exported,
    looking,
    nearest,
    onnx_model,
    pipeline_folder,
    scripted,
)
from tests.runs import loaded
from tests.volumes import given, volume

SHAPE = (9, 10, 11)


def phantom(**changes: object) -> Volume:
    array = np.zeros(SHAPE, dtype=np.float32)
    array[1:4, 2:5, 2:9] = LEVELS[1]
    array[5:8, 6:9, 3:6] = LEVELS[2]
    return replace(volume(shape=SHAPE), array=array, **changes)


def labels(folder: Path, **volumes: Volume) -> np.ndarray:
    output = loaded(folder).infer(given(volumes))
    assert output.label_map is not None
    assert output.label_map.input_name == "t1"
    return output.label_map.array


@pytest.mark.parametrize("kind", list(Format))
def test_windows_give_what_the_whole_volume_gives(kind: Format, tmp_path: Path) -> None:
    data = content(nearest(), kind)
    windows = "inference: {sliding_window: {roi_size: [4, 5, 16], overlap: 0.5, batch: 3}}"
    told: list[tuple[float, str]] = []
    folder = pipeline_folder(tmp_path / "windows", data, kind, keys=windows)
    output = loaded(folder).infer(
        given({"t1": phantom()}, progress=lambda done, text: told.append((done, text)))
    )
    assert output.label_map is not None
    whole = labels(pipeline_folder(tmp_path / "whole", data, kind), t1=phantom())
    assert np.array_equal(output.label_map.array, whole)
    windows_told = [text for _, text in told if text.startswith("infer")]
    # 4 x 4 x 1 windows, three at a time
    assert windows_told == [f"infer {number} of 6" for number in range(1, 7)]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (1.0, "done")


def test_the_findings_are_volumes_in_ml_on_the_source(tmp_path: Path) -> None:
    output = loaded(pipeline_folder(tmp_path, nearest(), Format.ONNX)).infer(
        given({"t1": phantom()})
    )
    found = {f.name: f.measurements[0].value for f in output.result.findings}
    assert found == pytest.approx({"Box": 63 / 1000, "Ball": 27 / 1000})
    assert {f.name: f.number for f in output.result.features} == pytest.approx(
        {"box_ml": 63 / 1000, "ball_ml": 27 / 1000}
    )


def test_a_structure_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    empty = replace(phantom(), array=np.zeros(SHAPE, dtype=np.float32))
    output = loaded(pipeline_folder(tmp_path, nearest(), Format.ONNX)).infer(given({"t1": empty}))
    assert output.result.segments == ()
    assert all(f.measurements[0].value is None for f in output.result.findings)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("fixed", [{}, {0: 4}])
def test_a_2d_network_sees_plane_by_plane(axis: int, fixed: dict[int, int], tmp_path: Path) -> None:
    centres = np.array(LEVELS, dtype=np.float32)
    kernel = np.zeros((3, 1, 3, 3), dtype=np.float32)
    kernel[:, 0, 2, 1] = 2 * centres  # looks one voxel further along the plane's first axis
    flat = Tiny(kernel=kernel, bias=-(centres**2), fixed=fixed)
    folder = pipeline_folder(
        tmp_path, flat, Format.ONNX, keys=f"inference: {{slices: {{axis: {axis}, batch: 4}}}}"
    )
    first = 1 if axis == 0 else 0
    wanted = np.roll((phantom().array * 2).astype(np.uint8), -1, axis=first)
    assert np.array_equal(labels(folder, t1=phantom()), wanted)


def test_sigmoid_marks_what_is_most_likely_and_above_the_threshold(tmp_path: Path) -> None:
    # Channel 0 is the box's probability, channel 1 the ball's; no background.
    kernel = np.array([-20.0, 20.0], dtype=np.float32).reshape(-1, 1, 1, 1, 1)
    network = Tiny(kernel=kernel, bias=np.array([5.0, -8.0], dtype=np.float32))
    array = np.broadcast_to(np.linspace(0, 1, 11, dtype=np.float32), SHAPE)
    for threshold in (0.5, 0.9):
        folder = pipeline_folder(
            tmp_path / str(threshold),
            network,
            Format.ONNX,
            keys=f"activation: sigmoid\nthreshold: {threshold}",
        )
        found = labels(folder, t1=replace(phantom(), array=array))
        chance = 1 / (1 + np.exp(-np.stack([5 - 20 * array, 20 * array - 8])))
        wanted = np.where(chance.max(axis=0) > threshold, chance.argmax(axis=0) + 1, 0)
        assert np.array_equal(found, wanted)
        assert set(np.unique(found)) == {0, 1, 2}


TWO = (
    INPUT
    + """
  - name: flair
    title: A second one
    select: {Modality: MR}
registered: true
"""
)


def second() -> Tiny:
    """Looks at the second channel only."""
    kernel = np.zeros((3, 2, 1, 1, 1), dtype=np.float32)
    kernel[:, 1] = nearest().kernel[:, 0]
    return Tiny(kernel=kernel, bias=nearest().bias)


def test_a_second_input_is_brought_onto_the_first_ones_voxels(tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path, second(), Format.ONNX, inputs=TWO)
    wanted = phantom()
    # The same patient, stored with axes in another order, backwards, shifted and padded.
    padded = np.pad(wanted.array, 2)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 1.0], [-1.0, 0, 0], [0, 1.0, 0]]
    stored = padded.transpose(1, 2, 0)[::-1]
    affine[:3, 3] = [-2.0, -2.0 + padded.shape[1] - 1, -2.0]
    other = replace(wanted, array=np.ascontiguousarray(stored), affine=affine)
    blank = replace(wanted, array=np.zeros(SHAPE, dtype=np.float32))
    found = labels(folder, t1=blank, flair=other)
    assert np.array_equal(found, (wanted.array * 2).astype(np.uint8))


def test_outside_of_a_second_input_is_its_least_value(tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path, second(), Format.ONNX, inputs=TWO)
    part = phantom()
    affine = np.eye(4)
    affine[0, 3] = 5.0
    part = replace(part, array=part.array[5:] + LEVELS[1], affine=affine)
    found = labels(folder, t1=phantom(), flair=part)
    assert set(np.unique(found[:5])) == {1}  # 0.5, not 0


def test_a_second_input_elsewhere_or_in_another_frame_of_reference(tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path, second(), Format.ONNX, inputs=TWO)
    far = np.eye(4)
    far[2, 3] = 500.0
    with pytest.raises(InputRefused, match="flair and t1 do not overlap"):
        labels(folder, t1=phantom(), flair=replace(phantom(), affine=far))
    with pytest.raises(InputRefused, match="do not share a frame of reference"):
        labels(folder, t1=phantom(), flair=phantom(frame_of_reference_uid="2.25.7"))


SCORED = """
g (float[N,1,D,H,W] x) => (float[N,2] y) {
  c = Conv (x, k, b)
  m = GlobalAveragePool (c)
  y = Flatten (m)
}"""


@pytest.mark.parametrize(
    ("activation", "wanted"),
    [
        ("none", 3.0),
        ("sigmoid", 1 / (1 + np.exp(-3.0))),
        ("softmax", np.exp(3.0) / (np.exp(3.0) + np.exp(1.0))),
    ],
)
def test_scores_are_findings_without_a_segment(
    activation: str, wanted: float, tmp_path: Path
) -> None:
    data = onnx_model(
        SCORED,
        k=np.zeros((2, 1, 1, 1, 1), dtype=np.float32),
        b=np.array([1.0, 3.0], dtype=np.float32),
    )
    folder = pipeline_folder(
        tmp_path, data, Format.ONNX, keys=f"activation: {activation}", says=SCORES
    )
    output = loaded(folder).infer(given({"t1": phantom()}))
    [finding] = output.result.findings
    [measurement] = finding.measurements
    assert measurement.value == pytest.approx(wanted, rel=1e-6)
    assert measurement.concept.meaning == "Certainty of Finding"
    assert (measurement.unit.value, finding.structure.meaning) == ("1", "Lung")
    assert (finding.region, finding.side, output.label_map) == (None, None, None)
    assert [(f.name, f.number) for f in output.result.features] == [
        ("pneumothorax", measurement.value)
    ]


def test_a_score_of_one_image_by_a_2d_network(tmp_path: Path) -> None:
    data = onnx_model(
        "g (float[N,1,H,W] x) => (float[N,1] y) { m = GlobalAveragePool (x)\n y = Flatten (m) }"
    )
    says = SCORES.replace("channel: 1", "channel: 0")
    keys = "inference: {slices: {}}\nactivation: none"
    folder = pipeline_folder(tmp_path, data, Format.ONNX, keys=keys, says=says)
    one = volume(shape=(1, 6, 7), fill=42.0)
    [finding] = loaded(folder).infer(given({"t1": one})).result.findings
    assert finding.measurements[0].value == pytest.approx(42.0)


class Several(nn.Module):
    """Gives what is wanted second, as deep supervision does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nearest().module

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, self.layer(x)


@pytest.mark.parametrize("kind", [Format.EXPORTED, Format.TORCHSCRIPT])
def test_one_of_several_outputs_is_taken_by_its_place(kind: Format, tmp_path: Path) -> None:
    save = exported if kind is Format.EXPORTED else scripted
    data = save(Several().eval(), nearest())
    folder = pipeline_folder(tmp_path / "named", data, kind, keys="output: 1")
    assert np.array_equal(labels(folder, t1=phantom()), (phantom().array * 2).astype(np.uint8))
    folder = pipeline_folder(tmp_path / "open", data, kind)
    with pytest.raises(Exception, match="gives 2 outputs"):
        labels(folder, t1=phantom())


@pytest.mark.parametrize("kind", [Format.EXPORTED, Format.TORCHSCRIPT])
def test_mixed_precision_is_what_the_manifest_says(kind: Format, tmp_path: Path) -> None:
    network = Tiny(kernel=np.ones((1, 1, 1, 1, 1), np.float32), bias=np.zeros(1, np.float32))
    data, path = content(network, kind), tmp_path / kind.value
    image = torch.full((1, 1, 4, 4, 4), 1 + 2**-10 + 2**-20)  # cut off where each ends
    found = {
        precision: open_network(
            data, path, Network.model_validate({"file": "f", "precision": precision}), "cpu"
        ).net(image)
        for precision in ("float32", "bfloat16", "float16")
    }
    assert {given.dtype for given in found.values()} == {torch.float32}
    assert {name: float(given.detach().max()) for name, given in found.items()} == {
        "float32": 1 + 2**-10 + 2**-20,
        "bfloat16": 1.0,
        "float16": 1 + 2**-10,
    }


class Unrepeatable(nn.Module):
    """Puts numbers where an index says, which has no deterministic algorithm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        here = torch.zeros(1, dtype=torch.int64)
        return x.repeat(1, 3, 1, 1, 1).put_(here, torch.zeros(1))


def test_deterministic_lets_nothing_else_run(tmp_path: Path) -> None:
    data = scripted(Unrepeatable().eval(), nearest())
    folder = pipeline_folder(tmp_path / "free", data, Format.TORCHSCRIPT)
    labels(folder, t1=phantom())
    keys = "deterministic: true"
    folder = pipeline_folder(tmp_path / "bound", data, Format.TORCHSCRIPT, keys=keys)
    with pytest.raises(PermanentPipelineError, match="deterministic"):
        labels(folder, t1=phantom())
    assert not torch.are_deterministic_algorithms_enabled()
    for kind in Format:
        again = pipeline_folder(tmp_path / kind.value, looking(0, 1), kind, keys=keys)
        assert np.array_equal(labels(again, t1=phantom()), labels(again, t1=phantom()))


# -- after the network ------------------------------------------------------------------------


def scattered() -> np.ndarray:
    found = np.zeros((8, 8, 8), dtype=np.uint8)
    found[1:5, 1:5, 1:5] = 1
    found[2:4, 2:4, 2:4] = 0  # a hole, and something else in it
    found[2, 2, 2] = 2
    found[6, 6, 6] = 1
    found[7, 7, 7] = 1  # touches at a corner
    found[6:8, 0, 0] = 2
    return found


def after(*steps: dict[str, object]) -> np.ndarray:
    before = scattered()
    result = apply(before, [Afterwards.model_validate(step) for step in steps], [1, 2], 0.001)
    assert np.array_equal(before, scattered())
    return result


def test_the_largest_part_of_each_class_is_kept() -> None:
    found = after({"KeepLargestComponent": {}})
    assert (found == 1).sum() == 64 - 8
    assert np.array_equal(np.argwhere(found == 2), [[6, 0, 0], [7, 0, 0]])
    found = after({"KeepLargestComponent": {"labels": [2]}})
    assert (found == 1).sum() == 64 - 8 + 2


def test_holes_are_filled_and_other_classes_left() -> None:
    found = after({"FillHoles": {"labels": [1]}})
    assert (found == 1).sum() == 64 - 1 + 2
    assert found[2, 2, 2] == 2


def test_what_is_smaller_than_a_volume_is_removed() -> None:
    found = after({"RemoveSmallComponents": {"min_ml": 0.002}})
    assert (found == 1).sum() == 64 - 8 + 2  # two voxels are 0.002 mL
    assert (found == 2).sum() == 2
    assert (after({"RemoveSmallComponents": {"min_ml": 0.003}}) > 0).sum() == 64 - 8


def test_a_manifest_s_clean_up_is_done(tmp_path: Path) -> None:
    keys = "postprocess: [{RemoveSmallComponents: {min_ml: 0.03}}]"
    folder = pipeline_folder(tmp_path, nearest(), Format.ONNX, keys=keys)
    assert set(np.unique(labels(folder, t1=phantom()))) == {0, 1}


# -- before the network -----------------------------------------------------------------------

STEPS: list[dict[str, object]] = [
    {"Conform": {}},
    {"Orientation": {"axcodes": "LIA"}},
    {"Spacing": {"pixdim": [1, 1.5, 2], "mode": "nearest", "padding_mode": "zeros"}},
    {"Resize": {"spatial_size": [8, -1, 9], "mode": "area"}},
    {"ResizeWithPadOrCrop": {"spatial_size": 8, "mode": "replicate"}},
    {"SpatialPad": {"spatial_size": 12, "method": "end"}},
    {"CenterSpatialCrop": {"roi_size": [4, -1, 20]}},
    {"CropForeground": {"threshold": 0.1, "margin": 1, "k_divisible": 2}},
    {"DivisiblePad": {"k": 8}},
    {"ScaleIntensity": {"minv": -1, "maxv": 1, "channel_wise": True}},
    {"ScaleIntensityRange": {"a_min": 0, "a_max": 0.5, "clip": True}},
    {"ScaleIntensityRangePercentiles": {"lower": 2, "upper": 98, "clip": True}},
    {"ClipIntensityPercentiles": {"lower": 2, "upper": 98}},
    {"NormalizeIntensity": {"nonzero": True, "channel_wise": True}},
    {"ThresholdIntensity": {"threshold": 0.4, "above": True, "cval": 0.4}},
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: next(iter(step)))
def test_every_step_is_done_and_gives_the_size_that_it_says(step: dict[str, object]) -> None:
    parsed = Step.model_validate(step)
    image = stacked({"t1": phantom()}, ["t1"])
    after = through(image, transforms([parsed]))
    said = parsed.arguments.size_after(SHAPE)
    assert all(size in (None, real) for size, real in zip(said, after.shape[1:], strict=True))
    grid = grid_of(after)
    assert grid.shape == tuple(after.shape[1:])
    # The brightest place is where it was in the patient.
    if next(iter(step)) not in ("CenterSpatialCrop", "ResizeWithPadOrCrop"):
        found = after.numpy()[0]
        where = np.argwhere(found > found.max() - 1e-3)[:, :3].mean(axis=0)
        there = grid.affine[:3, :3] @ where + grid.affine[:3, 3]
        inside = phantom().array[tuple(np.clip(np.round(there).astype(int), 0, 8))]
        assert inside > 0


def test_every_step_is_tried() -> None:
    assert {next(iter(step)) for step in STEPS} == {
        field.alias for field in Step.model_fields.values()
    }


def test_a_step_that_leaves_nothing_is_told(tmp_path: Path) -> None:
    keys = "preprocess: [{Spacing: {pixdim: 1}}, {CropForeground: {threshold: 5}}]"
    folder = pipeline_folder(tmp_path, nearest(), Format.ONNX, keys=keys, says=OUTPUTS)
    with pytest.raises(PermanentPipelineError, match="preprocess: step 2, CropForeground"):
        labels(folder, t1=phantom())
