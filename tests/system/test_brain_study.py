"""The main job on real input: a head MR through every room, by `appliance demo`."""

import json
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from appliance.core.product import APPLIANCE_DEVICE_UID
from pipelines.folders import SHIPPED
from tests.appliance import command
from tests.builders import ct_series
from tests.counterparts import dciodvfy_errors, dcmdump
from tests.reformat import head_paths

REFERENCE = Path(__file__).parents[1] / "data/meshnet-18-brain-mr"
KEYS = {
    "study_instance_uid", "decisions", "jobs", "findings", "objects", "review_url", "problems",
}  # fmt: skip
SR, SEG = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.66.4"


def volumes(report: dict[str, Any]) -> dict[tuple[str, str | None], float]:
    return {(f["name"], f["side"]): f["value"] for f in report["findings"]}


def joined(report: dict[str, Any], name: str) -> float:
    return sum(value for (n, _), value in volumes(report).items() if n == name)


def path_of(report: dict[str, Any], sop_class: str) -> Path:
    (path,) = (o["path"] for o in report["objects"] if o["sop_class_uid"] == sop_class)
    return Path(path)


def test_the_report_has_its_fixed_keys_and_no_problems(brain: tuple[dict[str, Any], Path]) -> None:
    report, _ = brain
    assert report.keys() == KEYS
    assert report["problems"] == []
    assert [(d["rule"], d["matched"]) for d in report["decisions"]] == [
        ("brain volumes", True),
        ("lung volumes", False),
        ("hippocampus volumes", False),
    ]
    assert [j["state"] for j in report["jobs"]] == ["done"]
    assert sorted(o["sop_class_uid"] for o in report["objects"]) == sorted([SR, SEG])


@pytest.mark.parametrize(("name", "millilitres"), [("Hippocampus", 8.97), ("Brain-Stem", 23.48)])
def test_volumes_are_the_published_models(
    brain: tuple[dict[str, Any], Path], name: str, millilitres: float
) -> None:
    assert joined(brain[0], name) == pytest.approx(millilitres, rel=0.03)


def test_paired_structures_have_two_sides_and_midline_ones_none(
    brain: tuple[dict[str, Any], Path],
) -> None:
    names = volumes(brain[0]).keys()
    midline = {"3rd-Ventricle", "4th-Ventricle", "Brain-Stem"}
    assert {name for name, side in names if side is None} == midline
    paired = {name for name, _ in names} - midline
    assert all({(name, "left"), (name, "right")} <= names for name in paired)
    assert len(paired) == 14


def test_every_structure_lies_where_the_reference_has_it(
    brain: tuple[dict[str, Any], Path],
) -> None:
    report, _ = brain
    ours = _labels_in_source_frame(path_of(report, SEG))
    reference = _reference_in_source_frame()
    names = json.loads((SHIPPED["brain-mr"] / "colormap.json").read_text())["labels"]
    for number, name in enumerate(names):
        if number == 0:
            continue
        a, b = ours == number, reference == number
        dice = 2 * (a & b).sum() / (a.sum() + b.sum())
        assert dice >= (0.82 if name == "Inferior-Lateral-Ventricle" else 0.92), (name, dice)


def _labels_in_source_frame(path: Path) -> NDArray[np.uint8]:
    """Return the SEG as joined labels, shape (slices, rows, columns), slices as in the files."""
    segmentation = hd.seg.segread(path)
    names = json.loads((SHIPPED["brain-mr"] / "colormap.json").read_text())["labels"]
    uids = [dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in head_paths()]
    masks = segmentation.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    labels = np.zeros(masks.shape[:3], np.uint8)
    for index, number in enumerate(segmentation.segment_numbers):
        label = segmentation.get_segment_description(number).segment_label
        (name,) = (n for n in names[1:] if n == label.partition(",")[0])
        labels[masks[..., index] > 0] = names.index(name)
    return labels


def _reference_in_source_frame() -> NDArray[np.uint8]:
    image = nib.load(REFERENCE / "reference_labels_mr-t1-mprage-head.nii.gz")
    data = np.asarray(image.dataobj).astype(np.uint8)
    to_index = np.linalg.inv(image.affine)
    slices = []
    for path in head_paths():
        dataset = dcmread(path, stop_before_pixels=True)
        position = np.array(dataset.ImagePositionPatient, float)
        along_row, along_column = np.reshape(
            np.array(dataset.ImageOrientationPatient, float), (2, 3)
        )
        row, column = np.mgrid[: dataset.Rows, : dataset.Columns]
        lps = (
            position
            + row[..., None] * along_column * float(dataset.PixelSpacing[0])
            + column[..., None] * along_row * float(dataset.PixelSpacing[1])
        )
        ras = lps * (-1, -1, 1)
        index = np.rint(ras @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < data.shape)).all(-1)
        clipped = np.clip(index, 0, np.array(data.shape) - 1)
        slices.append(np.where(inside, data[tuple(np.moveaxis(clipped, -1, 0))], 0))
    return np.stack(slices)


def test_both_objects_are_valid_dicom_and_name_the_model(
    brain: tuple[dict[str, Any], Path],
) -> None:
    report, _ = brain
    for sop_class in (SR, SEG):
        path = path_of(report, sop_class)
        assert dciodvfy_errors(path) == []
        dump = dcmdump(path, "+P", "0018,a001", "+P", "0018,1002")
        assert "ContributingEquipmentSequence" in dump
        assert dump.count("DeviceUID") >= 2  # the model's, and ours
        assert APPLIANCE_DEVICE_UID in dump


def test_highdicom_reads_the_report_and_its_references(
    brain: tuple[dict[str, Any], Path],
) -> None:
    report, _ = brain
    document = hd.sr.srread(path_of(report, SR))
    groups = document.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(report["findings"]) == 31
    segmentation = dcmread(path_of(report, SEG), stop_before_pixels=True)
    for group in groups:
        (measurement,) = group.get_measurements()
        assert measurement.unit.value == "mL"
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == segmentation.SOPInstanceUID


def test_a_knee_ct_runs_nothing_and_says_why_condition_by_condition(tmp_path: Path) -> None:
    ct_series(tmp_path / "ct", BodyPartExamined="KNEE", SeriesDescription="knee 1.0")
    out = tmp_path / "out.json"
    command("demo", str(tmp_path / "ct"), "--once", "--json", str(out))
    report = json.loads(out.read_text())
    assert (report["jobs"], report["objects"]) == ([], [])
    assert not any(decision["matched"] for decision in report["decisions"])
    brain, lungs, _ = report["decisions"]
    assert any(r.startswith("fails: Modality is MR (found CT)") for r in brain["reasons"])
    assert any(r.startswith("fails: BodyPartExamined") for r in lungs["reasons"])


def test_a_folder_without_dicom_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    said = command("demo", str(tmp_path), "--once", code=1)
    assert "no DICOM file" in said
    assert "Traceback" not in said
