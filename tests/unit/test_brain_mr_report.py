"""What brain-mr says of the reference labels, and when it says nothing because it can't be true."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import nibabel
import numpy as np
import pytest
from pydicom.sr._concepts_dict import concepts  # the tables behind pydicom.sr.codes

from appliance.core.model import Side
from pipelines.brain_mr.findings import features
from pipelines.brain_mr.plausible import RANGES_ML, refusals
from pipelines.brain_mr.sides import fit_plane, split
from pipelines.brain_mr.tilt import Tilt, measure, upright
from pipelines.findings import Part, Said, describe, feature_name
from pipelines.folders import SHIPPED
from pipelines.manifest import load_manifest
from pipelines.outputs import Sides
from pipelines.resample import Grid
from pipelines.series import read_volume
from pipelines.volume import Labels, Mask, Volume
from tests.reformat import head_paths
from tests.unit.test_brain_mr_sides import MIDLINE, PAIRED, REFERENCE

MANIFEST = load_manifest(SHIPPED["brain-mr"])
NAMES = {output.label: output.name for output in MANIFEST.outputs}
NUMBERS = {name: label for label, name in NAMES.items()}


class Marked(NamedTuple):
    volume: Volume
    labels: Labels
    parts: Mapping[Part, Mask]
    said: Said


@pytest.fixture(scope="module")
def marked() -> Marked:
    """The head MR with the reference labels on its own voxels."""
    volume = read_volume(head_paths())
    image = nibabel.load(REFERENCE)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(image.affine)
    array = np.asarray(image.dataobj).astype(np.uint8)
    index = np.linalg.solve(affine, volume.affine)
    order = [int(np.argmax(np.abs(index[:3, axis]))) for axis in range(3)]
    places = [
        np.round(index[order[axis], axis] * np.arange(n) + index[order[axis], 3]).astype(int)
        for axis, n in enumerate(volume.array.shape)
    ]
    labels = array.transpose(order)[np.ix_(*places)]
    plane = fit_plane(labels, volume.affine, PAIRED, MIDLINE)
    assert plane is not None
    parts = split(labels, volume.affine, plane, PAIRED, MIDLINE)
    return Marked(volume, labels, parts, describe(parts, MANIFEST.outputs, volume, "1.2.3"))


def test_the_reference_is_a_plausible_brain(marked: Marked) -> None:
    assert refusals(marked.volume, marked.labels, NAMES) == ()


def test_there_is_one_finding_for_each_structure_and_side(marked: Marked) -> None:
    found = [(finding.name, finding.side) for finding in marked.said.findings]
    assert len(found) == len(set(found)) == 31
    assert ("Hippocampus", Side.LEFT) in found
    assert ("Brain-Stem", None) in found


def test_volumes_are_those_of_the_reference(marked: Marked) -> None:
    totals: dict[str, float] = {}
    for finding in marked.said.findings:
        [measurement] = finding.measurements
        assert measurement.concept.value == "118565006"
        assert measurement.unit.value == "mL"
        totals[finding.name] = totals.get(finding.name, 0.0) + (measurement.value or 0.0)
    assert totals["Hippocampus"] == pytest.approx(8.97, abs=0.01)
    assert totals["Brain-Stem"] == pytest.approx(23.48, abs=0.01)


def test_segments_are_numbered_from_1_and_are_the_label_maps_values(marked: Marked) -> None:
    numbers = [segment.number for segment in marked.said.segments]
    assert numbers == list(range(1, 32))
    assert set(np.unique(marked.said.label_map)) == {0, *numbers}
    by_uid = {segment.tracking_uid: segment for segment in marked.said.segments}
    for finding in marked.said.findings:
        assert finding.region is not None
        assert by_uid[finding.tracking_uid].number == finding.region.segment_number
        assert by_uid[finding.tracking_uid].side == finding.side


def test_attempts_of_one_run_use_the_same_uids(marked: Marked) -> None:
    again = describe(marked.parts, MANIFEST.outputs, marked.volume, "1.2.3")
    assert again.findings == marked.said.findings
    other = describe(marked.parts, MANIFEST.outputs, marked.volume, "1.2.4")
    assert other.findings[0].tracking_uid != marked.said.findings[0].tracking_uid


def test_a_side_without_a_voxel_is_said_to_be_not_measured(marked: Marked) -> None:
    part = Part(label=NUMBERS["Amygdala"], side=Side.LEFT)
    rest = {key: mask for key, mask in marked.parts.items() if key != part}
    said = describe(rest, MANIFEST.outputs, marked.volume, "1.2.3")
    [finding] = [f for f in said.findings if (f.name, f.side) == ("Amygdala", Side.LEFT)]
    assert finding.measurements[0].value is None
    assert finding.measurements[0].not_measured
    assert finding.region is None
    assert len(said.segments) == 30


def test_features_are_those_that_the_manifest_promises(marked: Marked) -> None:
    others = {"roll_deg": 0.0, "yaw_deg": 0.0, "plane_residual_mm": 0.3}
    found = features(marked.said.findings, marked.volume, marked.labels > 0, others)
    assert tuple(feature.name for feature in found) == MANIFEST.features
    assert {feature.group for feature in found} == {"output"}
    numbers = {feature.name: feature.number or 0.0 for feature in found}
    assert numbers["hippocampus_ml"] == pytest.approx(
        numbers["hippocampus_left_ml"] + numbers["hippocampus_right_ml"]
    )
    assert numbers["intensity_p05"] < numbers["intensity_p50"] < numbers["intensity_p95"]


def test_codes_are_those_of_the_standards_context_group() -> None:
    known = {
        (scheme, code, context)
        for scheme, keywords in concepts.items()
        for codes in keywords.values()
        for code, (_, contexts) in codes.items()
        for context in contexts
    }
    for output in MANIFEST.outputs:
        assert (output.structure.scheme, output.structure.value, 7140) in known, output.name
        assert (output.category.scheme, output.category.value, 7150) in known


def test_every_structure_has_a_plausible_range_and_a_side_rule() -> None:
    assert set(RANGES_ML) == set(NAMES.values())
    midline = {output.name for output in MANIFEST.outputs if output.sides is Sides.MIDLINE}
    assert midline == {"3rd-Ventricle", "4th-Ventricle", "Brain-Stem"}
    assert feature_name("3rd-Ventricle") == "3rd_ventricle"


# -- results that cannot be true --------------------------------------------------------------


def test_little_brain_is_no_brain(marked: Marked) -> None:
    few = np.where(marked.labels == NUMBERS["Thalamus"], marked.labels, 0).astype(np.uint8)
    [reason] = refusals(marked.volume, few, NAMES)
    assert reason == "a whole adult brain has 700 to 2200 mL; 19 mL were found"


def test_a_structure_of_implausible_size_is_told(marked: Marked) -> None:
    without = marked.labels.copy()
    without[without == NUMBERS["Hippocampus"]] = NUMBERS["Cerebral-Cortex"]
    [reason] = refusals(marked.volume, without, NAMES)
    assert reason.startswith("Hippocampus would have 0.00 mL")


def test_a_brain_that_reaches_the_images_border_is_cut(marked: Marked) -> None:
    cut = replace(marked.volume, array=marked.volume.array[:, 50:])
    assert any(
        "cut off at the upper or lower border" in reason
        for reason in refusals(cut, marked.labels[:, 50:], NAMES)
    )


def test_a_brain_in_pieces_is_told(marked: Marked) -> None:
    pieces = marked.labels.copy()
    pieces[:, :, 120:128] = 0
    assert any("lies in pieces" in r for r in refusals(marked.volume, pieces, NAMES))


def test_the_contrast_of_a_t2_is_told(marked: Marked) -> None:
    inverted = replace(marked.volume, array=marked.volume.array.max() - marked.volume.array)
    assert any(
        "not the contrast of a T1" in reason for reason in refusals(inverted, marked.labels, NAMES)
    )


# -- tilt ---------------------------------------------------------------------------------------


def test_roll_and_yaw_are_measured_and_undone(marked: Marked) -> None:
    plane = fit_plane(marked.labels, marked.volume.affine, PAIRED, MIDLINE)
    assert plane is not None
    straight = np.eye(4)
    straight[:3, 0] = plane.normal
    straight[:3, 1] = np.cross([0.0, 1.0, 0.0], plane.normal)
    straight[:3, 1] *= -np.sign(straight[2, 1]) / np.linalg.norm(straight[:3, 1])
    straight[:3, 2] = np.cross(straight[:3, 0], straight[:3, 1])
    turn = np.radians(12.0)
    rolled = straight.copy()
    rolled[:3, 0] = np.cos(turn) * straight[:3, 0] + np.sin(turn) * straight[:3, 1]
    rolled[:3, 1] = np.cos(turn) * straight[:3, 1] - np.sin(turn) * straight[:3, 0]
    tilt = measure(plane, Grid(shape=(8, 8, 8), affine=rolled))
    assert tilt.roll == pytest.approx(12.0)
    assert tilt.yaw == pytest.approx(0.0, abs=1e-9)
    assert tilt.too_much
    directions = upright(plane, Grid(shape=(8, 8, 8), affine=rolled))
    np.testing.assert_allclose(directions, straight[:3, :3], atol=1e-9)


def test_a_small_tilt_is_left_alone() -> None:
    assert not Tilt(roll=4.9, yaw=-4.9).too_much
    assert Tilt(roll=0.0, yaw=-5.1).too_much
