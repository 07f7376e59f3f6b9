"""Bundles of the MONAI model zoo, byte for byte; weights are initialised here and know nothing.

What they mark with such weights means nothing, so it is compared with what MONAI's own runner
writes for the same volume and weights.
"""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.networks.nets import SegResNet, UNet

from appliance.core.errors import ConfigError
from pipelines import nifti
from pipelines.base import PipelineOutput
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.volume import Labels, Volume
from tests.bundles import SPLEEN, ZOO, output, quiet, write_manifest, zoo_bundle
from tests.runs import loaded
from tests.volumes import given, volume

pytestmark = quiet

# Git's own hashes of the files in github.com/Project-MONAI/model-zoo at the commit that README.md
# in tests/data names.
PUBLISHED = {
    "brats_mri_segmentation/configs/inference.json": "a6d5f8878616ce469f3d885a5fb3a0dc2581ce8e",
    "brats_mri_segmentation/configs/metadata.json": "c26134f919ca8947804c90584c02990a0c2d1adf",
    "lung_nodule_ct_detection/configs/inference.json": "2fc82727790548ca6e9507a4b08f7d8b5f33aca4",
    "lung_nodule_ct_detection/configs/metadata.json": "4bc75d2754a87a745597c6ef1bc767e64384619a",
    "segmentation_template/configs/inference.yaml": "bbbb2c7f06e1d8a02e4cb9ab5b4582306d24e05d",
    "segmentation_template/configs/metadata.json": "3bebcb9d58946abaed233e24e8d6eba09cc005bc",
    "spleen_ct_segmentation/configs/inference.json": "f843dcf993505d27ce59073948332515ef869c43",
    "spleen_ct_segmentation/configs/metadata.json": "461379315a760030fa3e8e1df510845df137c2d3",
}


def blob(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def is_as_published(name: str, root: Path) -> bool:
    files = {path: sha for path, sha in PUBLISHED.items() if path.startswith(name)}
    return bool(files) and all(blob(root / path) == sha for path, sha in files.items())


def test_configurations_are_those_of_the_zoo() -> None:
    assert {path: blob(ZOO / path) for path in PUBLISHED} == PUBLISHED


def abdomen(shape: tuple[int, int, int] = (22, 40, 48)) -> Volume:
    """Return a CT of nothing in particular, sagittal and oblique, 3 mm apart."""
    noise = np.random.default_rng(7).normal(0.0, 1.0, shape).astype(np.float32)
    ramp = np.linspace(-60.0, 160.0, shape[2], dtype=np.float32)
    turn = np.array([[0.0, 0.8, 0.6], [-0.1, 0.6, -0.8], [1.0, 0.0, 0.1]])
    turn, _ = np.linalg.qr(turn)
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array([3.0, 1.1, 0.9])
    affine[:3, 3] = (-20.0, 31.5, -111.25)
    return replace(
        volume(shape=shape),
        array=ramp + 40 * noise,
        affine=affine,
        spacing=(3.0, 1.1, 0.9),
        modality="CT",
    )


def marked(folder: Path, source: Volume, scratch: Path) -> PipelineOutput:
    scratch.mkdir()
    return loaded(folder).infer(given({"image": source}, scratch=scratch))


def by_monai(folder: Path, config: str, source: Volume, scratch: Path) -> Labels:
    """Return what MONAI's own runner writes, in the order of our axes."""
    (scratch / "data").mkdir(parents=True)
    nifti.write(source, scratch / "data" / "image.nii.gz")
    workflow = ConfigWorkflow(
        config_file=str(folder / "configs" / config),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(folder),
        dataset_dir=str(scratch / "data"),
        output_dir=str(scratch / "out"),
        device=torch.device("cpu"),
        **{
            "dataset::data": [{"image": scratch / "data" / "image.nii.gz"}],
            "dataloader::num_workers": 0,
        },
    )
    workflow.initialize()
    workflow.run()
    [written] = (scratch / "out").rglob("*.nii.gz")
    image = nibabel.load(written)
    np.testing.assert_allclose(
        nifti.other_frame(image.affine)[:, [2, 1, 0, 3]], source.affine, atol=1e-4
    )
    return np.asarray(image.dataobj).squeeze().T.astype(np.uint8)


@pytest.fixture
def spleen(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    network = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=2,
        channels=[16, 32, 64, 128, 256],
        strides=[2, 2, 2, 2],
        num_res_units=2,
        norm="batch",
    )
    return zoo_bundle(
        tmp_path / "spleen_ct_segmentation",
        "spleen_ct_segmentation",
        network,
        inputs=[{"name": "image", "title": "Abdomen", "select": {"Modality": "CT"}}],
        outputs=[output(1, "Spleen", SPLEEN)],
    )


def test_the_spleen_bundle_runs_as_published_and_marks_what_it_marks_in_monai(
    spleen: Path, tmp_path: Path
) -> None:
    source = abdomen()
    result = marked(spleen, source, tmp_path / "scratch")
    assert is_as_published("spleen_ct_segmentation", tmp_path)
    assert result.label_map is not None
    expected = by_monai(spleen, "inference.json", source, tmp_path / "monai")
    assert 0.02 < expected.mean() < 0.98  # there is something to compare
    np.testing.assert_array_equal(result.label_map.array, expected)
    [finding] = result.result.findings
    assert finding.structure.value == SPLEEN["value"]
    assert finding.measurements[0].value == pytest.approx(expected.sum() * 3.0 * 1.1 * 0.9 / 1000)
    assert [f.name for f in result.result.features] == ["spleen_ml"]


def test_one_in_yaml_without_orientation_window_or_inversion_runs_as_published(
    tmp_path: Path,
) -> None:
    """segmentation_template: its checkpoint is loaded by a handler, if the file is there."""
    torch.manual_seed(4)
    network = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=4,
        channels=[8, 16, 32, 64],
        strides=[2, 2, 2],
        num_res_units=2,
    )
    folder = zoo_bundle(
        tmp_path / "segmentation_template",
        "segmentation_template",
        network,
        bundle={"inference": "configs/inference.yaml"},
        outputs=[output(1, "Category 1"), output(3, "Category 3")],
    )
    with pytest.raises(ConfigError, match=r"nothing is said of 2 category 2; map them or write"):
        build(load_manifest(folder), folder)
    write_manifest(
        folder,
        bundle={"inference": "configs/inference.yaml", "left_out": [2]},
        outputs=[output(1, "Category 1"), output(3, "Category 3")],
    )
    source = abdomen((24, 40, 48))
    result = marked(folder, source, tmp_path / "scratch")
    assert is_as_published("segmentation_template", tmp_path)
    expected = by_monai(folder, "inference.yaml", source, tmp_path / "monai")
    assert len(set(np.unique(expected)) - {0, 2}) > 0
    assert result.label_map is not None
    known = {segment.name: segment.number for segment in result.result.segments}
    for number in (1, 3):
        found = result.label_map.array == known.get(f"Category {number}", -1)
        np.testing.assert_array_equal(found, expected == number)
    assert ((result.label_map.array > 0) == np.isin(expected, [1, 3])).all()


def test_without_its_checkpoint_that_one_is_not_run_with_weights_at_random(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "segmentation_template"
    shutil.copytree(ZOO / "segmentation_template", folder)
    write_manifest(
        folder,
        bundle={"inference": "configs/inference.yaml"},
        outputs=[output(number, f"Category {number}") for number in (1, 2, 3)],
    )
    with pytest.raises(ConfigError, match=r"inference.yaml:1: handlers::0: is disabled, so the"):
        loaded(folder)


BRATS = [
    output(1, "Necrotic and non-enhancing tumour core"),
    output(2, "Oedema"),
    output(4, "Enhancing tumour"),
]
FOUR = [{"name": n, "title": n, "select": {"Modality": "MR"}} for n in ("t1c", "t1", "t2", "flair")]


def brats(tmp_path: Path, **manifest: object) -> Path:
    torch.manual_seed(5)
    network = SegResNet(
        blocks_down=[1, 2, 2, 4],
        blocks_up=[1, 1, 1],
        init_filters=16,
        in_channels=4,
        out_channels=3,
        dropout_prob=0.2,
    )
    return zoo_bundle(
        tmp_path / "brats_mri_segmentation",
        "brats_mri_segmentation",
        network,
        **{"inputs": FOUR, "outputs": BRATS, **manifest},
    )


def test_one_that_takes_four_series_and_numbers_its_structures_itself_is_loaded(
    tmp_path: Path,
) -> None:
    """Its window of 240 x 240 x 160 makes a run too long for a test."""
    folder = brats(
        tmp_path, bundle={"numbers": "own", "inputs": {"image": ["t1c", "t1", "t2", "flair"]}}
    )
    loaded(folder)
    assert is_as_published("brats_mri_segmentation", tmp_path)


def test_channels_that_are_no_classes_are_not_taken_for_such(tmp_path: Path) -> None:
    folder = brats(tmp_path, bundle={"inputs": {"image": ["t1c", "t1", "t2"]}})
    with pytest.raises(ConfigError) as refused:
        build(load_manifest(folder), folder)
    problems = [p.removeprefix(f"{folder}/pipeline.yaml:1: ") for p in refused.value.problems]
    assert problems == [
        "bundle.inputs: the input flair goes nowhere; give it a key or leave it out",
        "bundle.inputs: image has 4 channels in metadata.json (T1c, T1, T2, FLAIR); 3 given",
        (
            "outputs: metadata.json calls channel 0 'Tumor core', not 'background', so channels "
            "are no class numbers; write `numbers: own` under bundle, and here the numbers that "
            "the bundle's postprocessing writes"
        ),
    ]


def test_a_detector_is_refused_in_plain_words(tmp_path: Path) -> None:
    folder = tmp_path / "lung_nodule_ct_detection"
    shutil.copytree(ZOO / "lung_nodule_ct_detection", folder)
    write_manifest(folder, outputs=[output(1, "Nodule")], bundle={"numbers": "own"})
    with pytest.raises(ConfigError) as refused:
        build(load_manifest(folder), folder)
    [problem] = refused.value.problems
    assert problem == (
        f"{folder}/configs/metadata.json:1: the output pred is of type object and format dict: "
        "this kind reads segmentations; what gives boxes, points or classes needs one of kind "
        "python"
    )
