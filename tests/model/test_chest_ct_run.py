"""A real chest CT (5 mm, kernel B, without contrast agent, a tumour on the left), all the way."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from appliance.core.model import Side
from pipelines.base import PipelineOutput
from pipelines.codes import LAA_950, PERC_15
from pipelines.folders import SHIPPED
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.series import read_volume
from pipelines.volume import Mask, Volume
from tests import readback
from tests.appliance import command
from tests.counterparts import dciodvfy_errors
from tests.reformat import ROOT
from tests.volumes import given

CHEST = ROOT / "appliance" / "demo" / "data" / "ct-chest-lungdx-a0001"
SR, SEG = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.66.4"
WHY = "the slices are 5 mm thick; at most 1.5 mm are allowed"
VOLUME = "118565006"


@pytest.fixture(scope="module")
def images() -> list[Path]:
    return sorted(CHEST.iterdir())


@pytest.fixture(scope="module")
def volume(images: list[Path]) -> Volume:
    return read_volume(images)


@pytest.fixture(scope="module")
def measured_anyway(volume: Volume) -> PipelineOutput:
    """What a run says with its parameter set, so that there are densities to look at."""
    folder = SHIPPED["chest-ct-densitometry"]
    pipeline = build(load_manifest(folder), folder)
    pipeline.load("cpu")
    return pipeline.infer(given({"chest": volume}, parameters={"measure_densities_anyway": True}))


def masks(output: PipelineOutput) -> Mapping[Side | None, Mask]:
    assert output.label_map is not None
    return {
        segment.side: output.label_map.array == segment.number for segment in output.result.segments
    }


def test_the_demo_ends_with_volumes_in_the_pacs_and_says_what_it_did_not_measure(
    tmp_path: Path, images: list[Path]
) -> None:
    out = tmp_path / "out.json"
    command("demo", CHEST.name, "--once", "--json", str(out), "--keep", str(tmp_path / "kept"))
    report: dict[str, Any] = json.loads(out.read_text())
    assert report["problems"] == []
    paths = {item["sop_class_uid"]: Path(item["path"]) for item in report["objects"]}
    assert set(paths) == {SR, SEG}
    assert [error for path in paths.values() for error in dciodvfy_errors(path)] == []
    marked, sides = readback.masks(paths[SEG]), readback.sides(paths[SEG])
    voxel_ml = readback.voxel_ml(images)
    counted = {
        f"Lung, {side.lower()}": sum(mask.sum() for mask in marked[number].values()) * voxel_ml
        for side, number in sides.items()
    }
    counted["Lungs"] = sum(counted.values())
    found = readback.reported(paths[SR])
    assert found == {
        name: {VOLUME: (pytest.approx(value, rel=1e-6), "mL")} for name, value in counted.items()
    }
    assert sum(WHY in text for text in readback.comments(paths[SR])) == 9
    withheld = [row for row in report["findings"] if row["value"] is None]
    assert {row["not_measured"] for row in withheld} == {WHY}
    assert len(withheld) == 9


def test_the_lungs_are_plausible(measured_anyway: PipelineOutput) -> None:
    found = {
        (finding.side, item.concept.value): item.value
        for finding in measured_anyway.result.findings
        for item in finding.measurements
    }
    assert found[Side.RIGHT, VOLUME] == pytest.approx(3140, rel=0.01)
    assert found[Side.LEFT, VOLUME] == pytest.approx(2238, rel=0.01)
    assert found[None, "112181"] == pytest.approx(-817, abs=3)
    assert found[None, PERC_15.value] == pytest.approx(-889, abs=2)
    assert found[None, LAA_950.value] == pytest.approx(0.09, abs=0.1)
    assert any("cannot be compared" in note for note in measured_anyway.result.notes)


def test_the_windpipes_air_is_that_of_a_calibrated_scanner(
    measured_anyway: PipelineOutput,
) -> None:
    numbers = {feature.name: feature.number for feature in measured_anyway.result.features}
    assert -1020 < (numbers["windpipe_air_hu"] or 0) < -940


def test_another_way_of_finding_lungs_agrees(
    measured_anyway: PipelineOutput, volume: Volume
) -> None:
    ours = masks(measured_anyway)
    for side, reference in another_way(volume).items():
        both = np.count_nonzero(ours[side] & reference)
        dice = 2 * both / (np.count_nonzero(ours[side]) + np.count_nonzero(reference))
        assert dice > 0.97, (side, dice)


def another_way(volume: Volume) -> Mapping[Side, Mask]:
    """Return lungs found slice by slice on the voxels: nothing in common but the threshold.

    Air below -500 HU that does not reach the image's border, in pieces of at least 10 cm2,
    which is more than a windpipe's section and less than most of a lung's; holes are filled in
    the slice. A piece that crosses the body's middle is cut there.
    """
    x, y = np.meshgrid(np.arange(volume.array.shape[2]), np.arange(volume.array.shape[1]))
    least = 1000.0 / (volume.spacing[1] * volume.spacing[2])
    found = {side: np.zeros(volume.array.shape, dtype=bool) for side in Side}
    for at, section in enumerate(volume.array):
        body = ndimage.binary_opening(section > -200, iterations=5)
        if not body.any():
            continue
        middle = float(x[body].mean())
        lowest = float(np.percentile(y[body], 99))
        pieces, count = ndimage.label(section < -500)
        edge = set(pieces[0]) | set(pieces[-1]) | set(pieces[:, 0]) | set(pieces[:, -1])
        for number in range(1, count + 1):
            piece = pieces == number
            if number in edge or piece.sum() < least or float(y[piece].mean()) > lowest:
                continue
            filled = ndimage.binary_fill_holes(piece)
            found[Side.RIGHT][at] |= filled & (x < middle)  # columns count to the patient's left
            found[Side.LEFT][at] |= filled & (x >= middle)
    return found
