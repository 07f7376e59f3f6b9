"""Radiographs go the whole way: several in one pass, their numbers in a report that names each."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from appliance.core.errors import ConfigError, InputRefused, PermanentPipelineError
from appliance.core.model import PipelineResult
from appliance.jobs.local import LocalExecutor
from appliance.jobs.phases import read_images
from pipelines.manifest import load_manifest
from tests import networks
from tests.builders import PATIENT, STUDY, instance, set_pixels, write
from tests.counterparts import dciodvfy_errors
from tests.networks import OUTPUTS, SCORES, Format, onnx_model, pipeline_folder
from tests.readback import comments
from tests.runs import loaded, whole_run
from tests.volumes import given

# Of each image, how much brighter it is than the darkest of its pass: alone, that is 0.
BRIGHTER = """
g (float[N,1,H,W] x) => (float[N,1] y) {
  m = GlobalAveragePool (x)
  f = Flatten (m)
  least = ReduceMin <keepdims = 1> (f, first)
  y = Sub (f, least)
}"""
IMAGES = """
  - name: chest
    title: Radiographs of a chest
    select: {Modality: DX}
    form: image
    split: {by: InstanceNumber, take: all}
"""
KEYS = """
preprocess:
  - Resize: {spatial_size: [1, 8, 8], mode: area}
inference: {slices: {batch: 8}}
activation: none
"""
SAYS = SCORES.replace("channel: 1", "channel: 0")


def radiographs(folder: Path, *means: int) -> list[Path]:
    """Write radiographs of one series, each of its own size and brightness, last one first."""
    shared = {
        **PATIENT,
        **STUDY,
        "Modality": "DX",
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "ImagerPixelSpacing": [0.2, 0.2],
        "PresentationIntentType": "FOR PRESENTATION",
    }
    paths = []
    for number, mean in enumerate(means, 1):
        image = instance(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, shared)
        image.InstanceNumber = number
        set_pixels(image, np.full((16 + 8 * number, 24), mean, dtype=np.uint16))
        paths.append(write(image, folder / f"{9 - number}.dcm"))
    return paths


def folder(tmp_path: Path, **changes: str) -> Path:
    written = {"keys": KEYS, "says": SAYS, "inputs": IMAGES} | changes
    network = onnx_model(BRIGHTER, first=np.array([0], dtype=np.int64))
    return pipeline_folder(tmp_path / "p", network, Format.ONNX, **written)


def said_of(folder: Path, files: list[Path]) -> PipelineResult:
    """Return what the pipeline says, in this process."""
    read = read_images(load_manifest(folder), {"chest": files}, lambda _: None)
    return loaded(folder).infer(given(read.volumes)).result


def test_several_go_in_one_pass_and_each_is_named_in_the_report(
    tmp_path: Path, executor: LocalExecutor
) -> None:
    files = radiographs(tmp_path / "images", 100, 700, 300)
    outcome, (report,) = whole_run(executor, folder(tmp_path), {"chest": files})
    (finding,) = outcome.output.result.findings
    assert finding.measurements[0].value == 600.0
    path = tmp_path / "sr.dcm"
    path.write_bytes(report.data)
    assert dciodvfy_errors(path) == []
    said = "Pneumothorax is the highest of 3 images, in their order: 0, 600, 200"
    assert said in comments(path)
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in dcmread(path).CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert evidence == {dcmread(file).SOPInstanceUID for file in files}


@pytest.mark.parametrize(("combine", "value"), [("lowest", 0.0), ("mean", 800 / 3)])
def test_the_manifest_says_which_number_is_the_study_s(
    combine: str, value: float, tmp_path: Path
) -> None:
    files = radiographs(tmp_path / "images", 100, 700, 300)
    says = SAYS.rstrip() + f"\n    combine: {combine}\n"
    (finding,) = said_of(folder(tmp_path, says=says), files).findings
    assert finding.measurements[0].value == pytest.approx(value)


def test_one_is_as_good_as_several(tmp_path: Path) -> None:
    result = said_of(folder(tmp_path), radiographs(tmp_path / "images", 100))
    assert len(result.findings) == 1
    assert result.notes == ()


def test_images_that_differ_in_size_cannot_go_in_one_pass(tmp_path: Path) -> None:
    files = radiographs(tmp_path / "images", 100, 700)
    place = folder(tmp_path, keys=KEYS[KEYS.index("inference") :])
    with pytest.raises(InputRefused, match=r"chest\.2 is \(1, 32, 24\) .* one size \(add Resize\)"):
        said_of(place, files)


def test_nothing_is_marked_where_nobody_knows_where_it_lies(
    tmp_path: Path, executor: LocalExecutor
) -> None:
    one = IMAGES.replace("    split: {by: InstanceNumber, take: all}\n", "")
    place = pipeline_folder(
        tmp_path / "p", networks.nearest(), Format.ONNX, says=OUTPUTS, inputs=one
    )
    with pytest.raises(PermanentPipelineError, match="where they lie in the patient, and chest"):
        whole_run(executor, place, {"chest": radiographs(tmp_path / "images", 1)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("form: image", "form: volume"),
        ("inference: {slices: {batch: 8}}", "inference: {}"),
        (SAYS, OUTPUTS),
    ],
)
def test_all_is_for_radiographs(old: str, new: str, tmp_path: Path) -> None:
    text = {"keys": KEYS, "says": SAYS, "inputs": IMAGES}
    changed = {key: value.replace(old, new) for key, value in text.items()}
    with pytest.raises(ConfigError, match="a network takes one volume, not all"):
        load_manifest(folder(tmp_path, **changed))
