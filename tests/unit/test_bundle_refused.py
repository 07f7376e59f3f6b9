"""What is wrong with a bundle is told in plain words, before a study or while one runs."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from appliance.core.errors import (
    ConfigError,
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from pipelines.base import Pipeline
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.volume import Volume
from tests.bundles import (
    ARGMAX,
    BOX_AND_BALL,
    INVERT,
    LOAD,
    ORIENT,
    SCALE,
    SOFTMAX,
    Config,
    config,
    intensity_bundle,
    intensity_network,
    metadata,
    output,
    quiet,
    save_weights,
    transform,
    write_manifest,
)
from tests.runs import loaded
from tests.volumes import given, volume

pytestmark = quiet

IMAGE = replace(
    volume(shape=(8, 12, 10)),
    array=np.random.default_rng(1).integers(0, 3, (8, 12, 10)).astype(np.float32) * 100,
)


def infer(pipeline: Pipeline, folder: Path, image: Volume = IMAGE) -> None:
    scratch = folder.with_name("scratch")
    scratch.mkdir()
    pipeline.infer(given({"image": image}, scratch=scratch))


def problems(folder: Path, do: Callable[[Path], object] = loaded) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        do(folder)
    return [problem.removeprefix(f"{folder}/") for problem in refused.value.problems]


# -- manifest and metadata -----------------------------------------------------------------


def test_channels_that_the_metadata_does_not_promise(tmp_path: Path) -> None:
    folder = intensity_bundle(
        tmp_path / "b", outputs=[BOX_AND_BALL[0], output(2, "Thalamus"), output(3, "Tail")]
    )
    assert problems(folder) == [
        (
            "pipeline.yaml:1: outputs: label 2 is 'brain_stem' in metadata.json and 'Thalamus' "
            "here; call it as the bundle does"
        ),
        (
            "pipeline.yaml:1: outputs: Tail has the label 3, which metadata.json does not promise; "
            "it has 0, 1, 2"
        ),
    ]


def test_a_structure_that_the_manifest_is_silent_about(tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b", outputs=BOX_AND_BALL[:1])
    assert problems(folder) == [
        (
            "pipeline.yaml:1: outputs: nothing is said of 2 brain_stem; map them or write "
            "bundle.left_out: [2]"
        )
    ]
    write_manifest(folder, outputs=BOX_AND_BALL[:1], bundle={"left_out": [2]})
    loaded(folder)
    write_manifest(folder, outputs=BOX_AND_BALL, bundle={"left_out": [2]})
    assert problems(folder) == [
        "pipeline.yaml:1: outputs: 2 also stand under bundle.left_out; keep one"
    ]


def test_inputs_that_lead_nowhere(tmp_path: Path) -> None:
    other = {"name": "other", "title": "Other", "select": {"Modality": "MR"}, "required": False}
    image = {"name": "image", "title": "Any", "select": {"Modality": "MR"}}
    folder = intensity_bundle(tmp_path / "b", inputs=[image, other])
    assert problems(folder) == [
        (
            "pipeline.yaml:1: bundle.inputs: missing; write which input is which of image, the "
            "keys in metadata.json"
        )
    ]
    write_manifest(
        folder, inputs=[image, other], outputs=BOX_AND_BALL, bundle={"inputs": {"image": "other"}}
    )
    assert problems(folder) == [
        (
            "pipeline.yaml:1: bundle.inputs: other is not required, but a bundle cannot do "
            "without; write required: true"
        ),
        (
            "pipeline.yaml:1: bundle.inputs: the input image goes nowhere; give it a key or leave "
            "it out"
        ),
    ]
    write_manifest(
        folder,
        outputs=BOX_AND_BALL,
        bundle={"inputs": {"image": ["image", "images"], "x": "image"}},
    )
    assert problems(folder) == [
        "pipeline.yaml:1: bundle.inputs: there is no input images; known: image",
        ("pipeline.yaml:1: bundle.inputs: image has 1 channels in metadata.json (image); 2 given"),
        "pipeline.yaml:1: bundle.inputs: has image, x; metadata.json image",
    ]
    write_manifest(folder, outputs=BOX_AND_BALL, inputs=[{**image, "form": "image"}])
    assert problems(folder) == [
        (
            "pipeline.yaml:1: bundle.inputs: image is not one volume; a bundle takes series whole, "
            "without form and split"
        )
    ]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{", "configs/metadata.json:1: cannot be read: Expecting property name"),
        ("[" * 100_000, "configs/metadata.json:1: cannot be read: maximum recursion depth"),
        ("[]", "configs/metadata.json:1: : Input should be a valid dictionary"),
        ('{"name": "x"}', "configs/metadata.json:1: network_data_format: Field required"),
    ],
)
def test_metadata_that_cannot_be_read(written: str, told: str, tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b")
    (folder / "configs" / "metadata.json").write_text(written)
    [problem] = problems(folder)
    assert problem.startswith(told)


def test_flat_images_and_two_outputs(tmp_path: Path) -> None:
    promised = metadata()
    formats = promised["network_data_format"]
    formats["inputs"]["image"]["spatial_shape"] = [64, 64]
    formats["outputs"]["again"] = formats["outputs"]["pred"]
    folder = intensity_bundle(tmp_path / "b", promised=promised)
    assert problems(folder) == [
        "configs/metadata.json:1: the bundle has 2 outputs; one segmentation is read",
        (
            "configs/metadata.json:1: the input image is of type image with 2 spatial dimensions: "
            "this kind gives volumes, with three"
        ),
    ]


def test_a_parameter_that_no_bundle_reads(tmp_path: Path) -> None:
    parameter = {"name": "overlap", "default": 0.5, "meaning": "Share of a window"}
    folder = intensity_bundle(tmp_path / "b", parameters=[parameter])
    assert problems(folder) == ["pipeline.yaml:1: parameters: a bundle reads none; leave them out"]


# -- packages, files and weights -----------------------------------------------------------


def test_a_package_that_is_required_and_missing(tmp_path: Path) -> None:
    required = {"nibabel": "5.2.1", "no-such-package-at-all": "1.0"}
    folder = intensity_bundle(tmp_path / "b", promised=metadata(required_packages_version=required))
    assert problems(folder) == [
        (
            "configs/metadata.json:1: required_packages_version: the bundle needs the package "
            "no-such-package-at-all (1.0), which is not installed; install it where the appliance "
            "runs"
        )
    ]


def test_a_package_that_is_optional_missing_and_needed(tmp_path: Path) -> None:
    folder = intensity_bundle(
        tmp_path / "b",
        written=config(network_def={"_target_": "no_such_package_at_all.Net"}),
        promised=metadata(optional_packages_version={"no-such-package-at-all": "1.0"}),
    )
    [problem] = problems(folder)
    assert problem.startswith(
        "configs/inference.json:1: the bundle needs a package that is not installed: "
        "ModuleNotFoundError: Cannot locate class or function path: 'no_such_package_at_all.Net'"
    )
    assert problem.endswith(
        "(of those that metadata.json names, no-such-package-at-all are not there)"
    )


def test_files_that_are_missing(tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b")
    (folder / "configs" / "metadata.json").unlink()
    assert problems(folder) == [
        f"pipeline.yaml:1: names configs/metadata.json, which is not in {folder}"
    ]


def test_a_configuration_without_what_a_run_needs(tmp_path: Path) -> None:
    written = config()
    del written["evaluator"], written["dataset"]["data"]
    folder = intensity_bundle(tmp_path / "b", written=written)
    [problem] = problems(folder)
    assert problem.startswith("configs/inference.json:1: has no evaluator, dataset::data; a bundle")


def test_weights_with_another_hash(tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b")
    with (folder / "models" / "model.pt").open("ab") as file:
        file.write(b"\0")
    [problem] = problems(folder)
    assert problem.startswith("models/model.pt: is not the file that bundle-under-test 1.0.0 was")


def test_weights_that_the_manifest_does_not_list(tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b", weights=[])
    assert problems(folder) == [
        (
            "pipeline.yaml:1: weights: models/model.pt is not listed with its SHA-256; list it, or "
            "delete it if the bundle does without"
        )
    ]


def test_weights_that_lie_elsewhere(tmp_path: Path) -> None:
    save_weights(tmp_path, intensity_network())
    written = config()
    written["checkpointloader"]["load_path"] = str(tmp_path / "models" / "model.pt")
    folder = intensity_bundle(tmp_path / "b", written=written)
    [problem] = problems(folder)
    assert problem.startswith(
        f"configs/inference.json:1: checkpointloader: loads {tmp_path}/models/model.pt, which has "
        "no SHA-256 in pipeline.yaml"
    )


class Evil:
    """A pickle that runs a command when it is read."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self._mark}",)


# Read by MONAI's loader, and by an expression that asks for any pickle.
ANY_PICKLE = "$torch.load(@bundle_root + '/models/model.pt', weights_only=False)"


@pytest.mark.parametrize("network", [config()["network_def"], ANY_PICKLE])
def test_weights_that_are_more_than_tensors(network: object, tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b", written=config(network_def=network))
    torch.save({"model": Evil(tmp_path / "ran")}, folder / "models" / "model.pt")
    write_manifest(folder, outputs=BOX_AND_BALL)
    [problem] = problems(folder)
    assert problem.startswith(
        "configs/inference.json:1: the bundle cannot be loaded: UnpicklingError: Weights only load "
        "failed"
    )
    assert not (tmp_path / "ran").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_weights_of_another_network(tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b", network=torch.nn.Conv3d(1, 4, 1))
    [problem] = problems(folder)
    assert "the bundle cannot be loaded: RuntimeError: Error(s) in loading state_dict" in problem


# -- while it runs -------------------------------------------------------------------------


def test_a_network_that_gives_other_channels_than_promised(tmp_path: Path) -> None:
    written = config()
    written["network_def"]["out_channels"] = 4
    folder = intensity_bundle(tmp_path / "b", written=written, network=torch.nn.Conv3d(1, 4, 1))
    pipeline = loaded(folder)
    with pytest.raises(
        PermanentPipelineError,
        match=r"^the bundle's network gives 4 channels, its metadata.json promises 3: which",
    ):
        infer(pipeline, folder)


def test_a_network_that_gives_no_numbers(tmp_path: Path) -> None:
    network = intensity_network()
    with torch.no_grad():
        network.bias[1] = torch.nan  # type: ignore[index]
    folder = intensity_bundle(tmp_path / "b", network=network)
    with pytest.raises(
        PermanentPipelineError,
        match=r"^the bundle's network gives values that are no numbers \(NaN",
    ):
        infer(loaded(folder), folder)


FINER = transform("Spacingd", keys="image", pixdim=[0.7, 0.7, 0.7], mode="bilinear")
FAULTY: dict[str, tuple[list[Config], str]] = {
    "interpolated": (
        [ARGMAX, INVERT],
        "interpolates between class numbers, which makes others of them: AsDiscreted belongs after",
    ),
    "unknown": (
        [SOFTMAX, INVERT, ARGMAX, transform("Lambdad", keys="pred", func="$lambda x: x * 2")],
        "the bundle marks 4, which pipeline.yaml does not have",
    ),
    "below nothing": (
        [SOFTMAX, INVERT, ARGMAX, transform("Lambdad", keys="pred", func="$lambda x: x - 1")],
        "the bundle marks numbers from -1 to 1",
    ),
    "overlapping": (
        [transform("AsDiscreted", keys="pred", threshold=-10.0)],
        "structures overlap: a label map can hold one of them at each voxel",
    ),
    "channels": (
        [transform("Lambdad", keys="pred", func="$lambda x: x[:2]")],
        "prediction has 2 channels: class numbers in one, or the 3 channels that metadata.json",
    ),
    "no affine": (
        [transform("Lambdad", keys="pred", func="$lambda x: x.as_tensor()", track_meta=False)],
        "the bundle left a plain tensor under the key 'pred', where a prediction with its affine",
    ),
    "infinite": (
        [SOFTMAX, transform("Lambdad", keys="pred", func="$lambda x: x / 0")],
        "the bundle's prediction holds values that are no numbers",
    ),
    "own fault": (
        [transform("Lambdad", keys="pred", func="$lambda x: x[7]")],
        "the bundle raised IndexError at ",
    ),
}


@pytest.mark.parametrize("fault", list(FAULTY))
def test_a_prediction_that_cannot_be_read(fault: str, tmp_path: Path) -> None:
    postprocessing, told = FAULTY[fault]
    written = config(
        preprocessing={"_target_": "Compose", "transforms": [*LOAD, ORIENT, FINER, SCALE]},
        postprocessing={"_target_": "Compose", "transforms": postprocessing},
    )
    folder = intensity_bundle(tmp_path / "b", written=written)
    with pytest.raises(PermanentPipelineError) as refused:
        infer(loaded(folder), folder)
    assert told in str(refused.value)


def test_a_prediction_under_another_key(tmp_path: Path) -> None:
    promised = metadata()
    outputs = promised["network_data_format"]["outputs"]
    outputs["mask"] = outputs.pop("pred")
    folder = intensity_bundle(tmp_path / "b", promised=promised)
    with pytest.raises(PermanentPipelineError, match="left nothing under the key 'mask', where"):
        infer(loaded(folder), folder)


def test_memory_that_runs_out_is_worth_another_attempt(tmp_path: Path) -> None:
    huge = transform("Lambdad", keys="pred", func="$lambda x: torch.empty(10**15)")
    folder = intensity_bundle(
        tmp_path / "b", written=config(postprocessing={"_target_": "Compose", "transforms": [huge]})
    )
    with pytest.raises(TransientPipelineError, match="memory ran out"):
        infer(loaded(folder), folder)


def test_a_series_of_another_modality(tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b")
    with pytest.raises(InputRefused, match="image: the bundle was made for MR, this series is CT"):
        infer(loaded(folder), folder, replace(IMAGE, modality="CT"))


def test_bundles_in_json_are_json(tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b")
    path = folder / "configs" / "metadata.json"
    path.write_text(json.dumps(metadata(), indent="\t"))
    build(load_manifest(folder), folder)
