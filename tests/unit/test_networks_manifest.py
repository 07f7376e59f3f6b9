"""What a manifest says of a network: every mistake at its own key, and the guide's example."""

import re
from pathlib import Path

import pytest

from appliance.core.errors import ConfigError
from pipelines.manifest import Manifest, parse_manifest
from pipelines.network import Precision
from pipelines.steps import Afterwards, Step, size_of
from tests.networks import INPUT, OUTPUTS, SCORES, Format, nearest, pipeline_folder

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "pipelines" / "networks.md"


def manifest(folder: Path, keys: str, *, kind: Format = Format.ONNX, **others: str) -> Manifest:
    pipeline_folder(folder, b"", kind, keys=keys, **others)
    return parse_manifest((folder / "pipeline.yaml").read_text(), "pipeline.yaml")


def mistakes(folder: Path, keys: str, **others: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        manifest(folder, keys, **others)
    return [re.sub(r"^pipeline.yaml:\d+: ", "", problem) for problem in refused.value.problems]


def example() -> str:
    [text] = re.findall(
        r"<!-- begin example -->\n```yaml\n(.*?)```\n<!-- end example -->",
        GUIDE.read_text(),
        re.DOTALL,
    )
    return str(text)


def test_the_guide_s_example_is_a_manifest() -> None:
    network = parse_manifest(example(), "guide").network
    assert network is not None
    assert network.precision is Precision.BFLOAT16
    assert [step.name for step in network.preprocess] == [
        "Orientation",
        "Spacing",
        "ScaleIntensityRange",
        "CropForeground",
    ]


def test_the_guide_names_every_key_and_step() -> None:
    guide = GUIDE.read_text()
    network = Manifest.model_fields["network"].annotation
    keys = [*network.__args__[0].model_fields]  # type: ignore[union-attr]
    steps = [field.alias for one in (Step, Afterwards) for field in one.model_fields.values()]
    assert [name for name in (*keys, *steps) if f"`{name}" not in guide] == []
    for step in Step.model_fields.values():
        [row] = [line for line in guide.splitlines() if line.startswith(f"| `{step.alias}` |")]
        arguments = step.annotation.__args__[0].model_fields  # type: ignore[union-attr]
        assert [name for name in arguments if f"`{name}`" not in row] == []


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            "preprocess: [{Spacin: {pixdim: 1}}]",
            "network.preprocess.0.Spacin: unknown key; did you mean 'Spacing'?",
        ),
        (
            "preprocess: [{Spacing: {pixdim: [1, 1]}}]",
            "network.preprocess.0.Spacing.pixdim",
        ),
        (
            "preprocess: [{Spacing: {pixdim: 0}}]",
            "network.preprocess.0.Spacing.pixdim.0",
        ),
        (
            "preprocess: [{Spacing: {pixdim: 1, lazy: true}}]",
            "network.preprocess.0.Spacing.lazy: unknown key",
        ),
        (
            "preprocess: [{Orientation: {axcodes: RAL}}]",
            "network.preprocess.0.Orientation.axcodes: 'RAL' names a direction twice",
        ),
        (
            "preprocess: [{Orientation: {axcodes: XYZ}}]",
            "network.preprocess.0.Orientation.axcodes: 'XYZ' is not three directions",
        ),
        (
            "preprocess: [{ScaleIntensityRange: {a_min: 1, a_max: 0}}]",
            "network.preprocess.0.ScaleIntensityRange: a_min 1 must be below a_max 0",
        ),
        (
            "preprocess: [{Conform: {}, ScaleIntensity: {}}]",
            "network.preprocess.0: write one step, with its arguments or {}",
        ),
        (
            "preprocess: [{Conform: }]",
            "network.preprocess.0: write one step, with its arguments or {}",
        ),
        ("postprocess: [{FillHoles: {labels: [3]}}]", "network.postprocess.0: no output has"),
        (
            "inference: {sliding_window: {roi_size: 8}, slices: {}}",
            "network.inference: write sliding_window or slices, not both",
        ),
        ("threshold: 0.3", "network: threshold belongs to activation sigmoid"),
        ("channels: 2", "network.channels: Ball is channel 2, from 0, of a network with 2"),
        ("channels: 1", "network.channels: one channel and activation softmax leave nothing"),
        ("precision: float16", "network.precision: an ONNX file has its precision in it"),
    ],
)
def test_a_mistake_is_told_at_its_key(keys: str, said: str, tmp_path: Path) -> None:
    assert [problem for problem in mistakes(tmp_path, keys) if problem.startswith(said)]


def test_a_network_marks_structures_or_gives_scores(tmp_path: Path) -> None:
    either = "network: either marks structures or gives numbers; write outputs or scores"
    assert mistakes(tmp_path, "", says="") == [either]
    assert mistakes(tmp_path, "", says=OUTPUTS + SCORES) == [either]
    keys = "inference: {sliding_window: {roi_size: 8}}\npostprocess: [{FillHoles: {}}]"
    assert [problem.partition(":")[0] for problem in mistakes(tmp_path, keys, says=SCORES)] == [
        "network.inference",
        "network.postprocess",
    ]


def test_several_inputs_are_registered_and_all_there(tmp_path: Path) -> None:
    second = INPUT + "  - {name: b, title: B, select: {Modality: MR}, required: false}\n"
    keys = "preprocess: [{Conform: {}}]"
    assert {problem.partition(":")[0] for problem in mistakes(tmp_path, keys, inputs=second)} == {
        "inputs.1.required",
        "network.preprocess.0",
        "inputs",
    }
    parts = INPUT + "    split: {by: TemporalPositionIndex, take: all}\n"
    [said] = mistakes(tmp_path, "", inputs=parts)
    assert said.startswith("inputs.0.split: a network takes one volume")


def test_a_network_without_its_sha256_is_a_mistake(tmp_path: Path) -> None:
    text = (pipeline_folder(tmp_path, b"", Format.ONNX) / "pipeline.yaml").read_text()
    with pytest.raises(ConfigError, match=r"weights: lack other.onnx and its SHA-256"):
        parse_manifest(text.replace("file: model.onnx", "file: other.onnx", 1), "pipeline.yaml")


def test_scores_are_for_networks(tmp_path: Path) -> None:
    bright = Path(__file__).resolve().parents[1] / "pipelines" / "bright_volume"
    text = (bright / "pipeline.yaml").read_text() + SCORES
    with pytest.raises(ConfigError, match="scores: are what a network gives: kinds onnx and torch"):
        parse_manifest(text, "pipeline.yaml")


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ([], (None, None, None)),
        ([{"Resize": {"spatial_size": [8, -1, 9]}}], (8, None, 9)),
        ([{"Conform": {}}, {"Orientation": {"axcodes": "RAS"}}], (256, 256, 256)),
        ([{"Conform": {}}, {"CropForeground": {}}], (None, None, None)),
        (
            [
                {"ResizeWithPadOrCrop": {"spatial_size": [8, 9, 30]}},
                {"SpatialPad": {"spatial_size": [10, 4, -1]}},
                {"CenterSpatialCrop": {"roi_size": [-1, 4, 20]}},
                {"DivisiblePad": {"k": [4, 1, 16]}},
                {"ScaleIntensity": {}},
            ],
            (12, 4, 32),
        ),
    ],
)
def test_the_size_that_steps_promise(
    steps: list[dict[str, object]], size: tuple[int | None, ...]
) -> None:
    assert size_of([Step.model_validate(step) for step in steps]) == size


def test_sigmoid_has_no_background_channel(tmp_path: Path) -> None:
    found = manifest(tmp_path, "activation: sigmoid")
    assert found.network is not None
    assert found.network.promised(found.outputs, found.scores) == 2
    assert nearest().kernel.shape[0] == 3
