"""The hippocampus bundle: DICOM crops, no side, no whole head; MONAI alone says the same."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from pydicom import dcmread
from pydicom.dataset import Dataset

from appliance.core.errors import InputRefused
from pipelines.base import Pipeline, PipelineOutput
from pipelines.encode import encode
from pipelines.encode.terms import LATERALITY
from pipelines.folders import SHIPPED
from pipelines.hippocampus_mr.scripts.measure import dice
from pipelines.hippocampus_mr.scripts.ranges import read_nifti
from pipelines.manifest import load_manifest
from pipelines.series import read_volume
from pipelines.volume import Volume
from tests import bundles, phantoms
from tests.reformat import HIPPOCAMPUS_CROP, Storage, head_paths, restored
from tests.runs import loaded
from tests.volumes import given

pytestmark = bundles.quiet

BUNDLE = SHIPPED["hippocampus-mr"]
CROPS = {
    "a": HIPPOCAMPUS_CROP,
    "b": HIPPOCAMPUS_CROP.with_name("mr-hippocrop-b"),
}
LABELLED = Path(__file__).resolve().parents[1] / "data" / "hippocampus-msd"
PARTS = ("Anterior hippocampus", "Posterior hippocampus")


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return loaded(BUNDLE)


def infer(pipeline: Pipeline, volume: Volume, scratch: Path) -> PipelineOutput:
    return pipeline.infer(given({"crop": volume}, scratch=scratch))


def volumes_ml(output: PipelineOutput) -> list[float]:
    found = {one.name: one.measurements[0].value for one in output.result.findings}
    return [found[part] or 0.0 for part in PARTS]


@pytest.mark.parametrize("name", list(CROPS))
def test_a_crop_is_measured_and_gets_no_side(pipeline: Pipeline, name: str, tmp_path: Path) -> None:
    paths = sorted(CROPS[name].iterdir())
    volume = read_volume(paths)
    output = infer(pipeline, volume, tmp_path)
    for expected, found in zip(
        [one.expected_ml for one in load_manifest(BUNDLE).outputs], volumes_ml(output), strict=True
    ):
        assert expected is not None
        assert expected[0] <= found <= expected[1]
    assert output.result.notes == ()  # nothing about it is unlike the training data
    assert {one.side for one in output.result.findings} == {None}
    assert {one.side for one in output.result.segments} == {None}
    sides = {code.value for code in LATERALITY.values()}
    for written in encode(phantoms.context(), paths, volume, output):
        (tmp_path / "object.dcm").write_bytes(written.data)
        said = dcmread(tmp_path / "object.dcm")
        assert not sides & set(values(said)), written.kind
        assert not {"Laterality", "ImageLaterality"} & keywords(said), written.kind


def values(dataset: Dataset) -> list[str]:
    return [str(element.value) for element in dataset.iterall() if element.keyword == "CodeValue"]


def keywords(dataset: Dataset) -> set[str]:
    return {element.keyword for element in dataset.iterall()}


def test_a_crop_and_its_mirror_image_are_measured_alike(pipeline: Pipeline, tmp_path: Path) -> None:
    crop = read_volume(sorted(CROPS["a"].iterdir()))
    mirrored = replace(crop, array=np.ascontiguousarray(crop.array[:, :, ::-1]))
    there, back = (volumes_ml(infer(pipeline, one, tmp_path)) for one in (crop, mirrored))
    assert back == pytest.approx(there, rel=0.1)


@pytest.mark.parametrize("storage", [one for one in Storage if one is not Storage.ENHANCED])
def test_a_crop_is_measured_alike_however_it_is_stored(
    pipeline: Pipeline, storage: Storage, tmp_path: Path
) -> None:
    paths = sorted(CROPS["a"].iterdir())
    straight = volumes_ml(infer(pipeline, read_volume(paths), tmp_path))
    other = read_volume(restored(paths, tmp_path / "stored", storage))
    assert volumes_ml(infer(pipeline, other, tmp_path)) == pytest.approx(straight, abs=0.005)


def test_a_whole_head_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as refused:
        infer(pipeline, read_volume(head_paths()), tmp_path)
    assert (
        "the field of view from left to right in mm is 170; at least 24 and at most 48 "
        "(a crop around one hippocampus, not a head; training crops had 31 to 43 mm)"
    ) in str(refused.value)
    assert "the field of view from front to back in mm is 256" in str(refused.value)


@pytest.mark.parametrize("name", ["hippocampus_001", "hippocampus_003"])
def test_monai_alone_marks_the_same_voxels(pipeline: Pipeline, name: str, tmp_path: Path) -> None:
    """One of integer intensities, one of floats; both are training volumes: no measure of skill."""
    path = LABELLED / "images" / f"{name}.nii.gz"
    workflow = ConfigWorkflow(
        config_file=str(BUNDLE / "configs" / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(BUNDLE),
        datalist=[str(path)],
        output_dir=str(tmp_path),
    )
    workflow.initialize()
    workflow.run()
    alone = np.asarray(nibabel.load(tmp_path / f"{name}_seg.nii.gz").dataobj).astype(np.uint8)
    output = infer(pipeline, read_nifti(path), tmp_path)
    assert output.label_map is not None
    assert np.array_equal(output.label_map.array.transpose(), alone)
    truth = np.asarray(nibabel.load(LABELLED / "labels" / f"{name}.nii.gz").dataobj)
    assert dice(alone, truth.astype(np.uint8), "whole") > 0.85


def test_the_training_configuration_trains_the_network_that_is_shipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow = ConfigWorkflow(
        config_file=str(BUNDLE / "configs" / "train.yaml"),
        workflow_type="train",
        logging_file=False,
        bundle_root=str(BUNDLE),
        dataset_dir=str(LABELLED),
        output_dir=str(tmp_path),
        cases=[{"volume": f"hippocampus_{number}.nii.gz"} for number in ("001", "003")],
        max_epochs=8,
    )
    workflow.initialize()
    workflow.run()
    losses = [
        float(line.split("loss ")[1].split()[0])
        for line in capsys.readouterr().out.splitlines()
        if "loss " in line
    ]
    assert len(losses) == 8
    assert losses[-1] < 0.9 * losses[0]
    trained, shipped = (
        torch.load(path, weights_only=True)
        for path in (tmp_path / "model.pt", BUNDLE / "models" / "model.pt")
    )
    assert {name: tensor.shape for name, tensor in trained.items()} == {
        name: tensor.shape for name, tensor in shipped.items()
    }
