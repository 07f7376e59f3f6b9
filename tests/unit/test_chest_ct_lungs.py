"""What chest-ct-densitometry finds in a chest whose lungs are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.core.errors import InputRefused
from appliance.core.model import Finding, Side
from pipelines.base import Pipeline, PipelineOutput
from pipelines.folders import SHIPPED
from pipelines.manifest import load_manifest
from pipelines.series import read_volume
from tests import chest
from tests.chest import Chest, phantom
from tests.runs import loaded
from tests.volumes import given

FINE = (1.5, 2.5, 2.5)
QUICK = (3.0, 2.5, 2.5)
FOLDER = SHIPPED["chest-ct-densitometry"]
UNDER_THE_LEFT = (-138.0, -10.0, 70.0)
VOLUME, MEAN, LAA_950, PERC_15 = range(4)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return loaded(FOLDER)


def run(pipeline: Pipeline, given_chest: Chest, **attributes: object) -> PipelineOutput:
    return pipeline.infer(given({"chest": given_chest.volume(**attributes)}))


def by_side(output: PipelineOutput) -> dict[tuple[str, Side | None], Finding]:
    return {(finding.name, finding.side): finding for finding in output.result.findings}


def number(finding: Finding, which: int) -> float:
    value = finding.measurements[which].value
    assert value is not None
    return value


def dice(one: np.ndarray, two: np.ndarray) -> float:
    return float(2 * np.count_nonzero(one & two) / (one.sum() + two.sum()))


@pytest.mark.parametrize("touching", [False, True])
def test_volumes_and_densities_are_those_of_the_phantom(pipeline: Pipeline, touching: bool) -> None:
    known = phantom(spacing=FINE, touching=touching)
    output = run(pipeline, known)
    found = by_side(output)
    assert output.label_map is not None
    for label, side in ((1, Side.RIGHT), (2, Side.LEFT)):
        finding = found["Lung", side]
        assert finding.region is not None
        assert number(finding, VOLUME) == pytest.approx(
            np.count_nonzero(known.truth == label) * known.voxel_ml, rel=0.003
        )
        assert number(finding, PERC_15) == chest.LIGHT_HU
        assert number(finding, LAA_950) == pytest.approx(chest.LAA_950, abs=0.05)
        assert number(finding, MEAN) == pytest.approx(chest.MEAN_HU, abs=0.1)
        marked = output.label_map.array == finding.region.segment_number
        assert dice(marked, known.truth == label) > 0.998
    both = found["Lungs", None]
    assert number(both, VOLUME) == pytest.approx(
        sum(number(found["Lung", side], VOLUME) for side in Side)
    )
    assert number(both, PERC_15) == chest.LIGHT_HU
    assert number(both, LAA_950) == pytest.approx(chest.LAA_950, abs=0.05)
    assert output.result.notes == ()


def test_windpipe_bronchi_table_and_bowel_gas_are_no_lung(pipeline: Pipeline) -> None:
    known = chest.with_ball(phantom(spacing=FINE), UNDER_THE_LEFT, 25.0)
    output = run(pipeline, known)
    assert output.label_map is not None
    marked = output.label_map.array > 0
    assert not (marked & known.airways).any()
    assert np.count_nonzero(marked & (known.truth == 0)) < 0.0005 * np.count_nonzero(marked)
    assert output.result.notes == ()
    numbers = {feature.name: feature.number for feature in output.result.features}
    assert numbers["windpipe_air_hu"] == chest.AIR_HU


def test_an_emphysema_as_empty_as_a_bronchus_is_not_taken_for_one(pipeline: Pipeline) -> None:
    known = phantom(spacing=FINE, light=2)
    output = run(pipeline, known)
    assert output.result.notes == ()
    found = by_side(output)
    for label, side in ((1, Side.RIGHT), (2, Side.LEFT)):
        volume = np.count_nonzero(known.truth == label) * known.voxel_ml
        assert number(found["Lung", side], VOLUME) == pytest.approx(volume, rel=0.003)
        assert number(found["Lung", side], LAA_950) == pytest.approx(50.0, abs=0.1)


def test_lungs_as_empty_as_the_bronchi_are_counted_with_them_and_a_note_says_so(
    pipeline: Pipeline,
) -> None:
    known = phantom(spacing=FINE, light=2, light_hu=chest.AIR_HU)
    output = run(pipeline, known)
    found = by_side(output)
    for label, side in ((1, Side.RIGHT), (2, Side.LEFT)):
        volume = np.count_nonzero(known.truth == label) * known.voxel_ml
        assert number(found["Lung", side], VOLUME) == pytest.approx(volume, rel=0.01)
    [note] = output.result.notes
    assert note.startswith("The main bronchi could not be told from lungs")


@pytest.mark.parametrize(
    "storage",
    ["SUPINE", "HEAD_FIRST_IN_FILE", "FEET_FIRST_PRONE", "PRONE", "MIRRORED", "CORONAL",
     "SAGITTAL"],
)  # fmt: skip
def test_left_and_right_are_the_patients_however_he_lay_and_is_stored(
    pipeline: Pipeline, tmp_path: Path, storage: str
) -> None:
    known = phantom(spacing=QUICK)
    paths = chest.stored(known, tmp_path, getattr(chest, storage))
    found = by_side(pipeline.infer(given({"chest": read_volume(paths)})))
    for label, side in ((1, Side.RIGHT), (2, Side.LEFT)):
        volume = np.count_nonzero(known.truth == label) * known.voxel_ml
        assert number(found["Lung", side], VOLUME) == pytest.approx(volume, rel=0.002)


@pytest.mark.parametrize("apart", [1.5, 3.0, 5.0, 8.0])
def test_volumes_hold_at_every_slice_distance_that_is_taken(
    pipeline: Pipeline, apart: float
) -> None:
    known = phantom(spacing=(apart, 2.5, 2.5), touching=True)
    found = by_side(run(pipeline, known, SliceThickness=apart))
    fine = phantom(spacing=FINE, touching=True)
    for label, side in ((1, Side.RIGHT), (2, Side.LEFT)):
        volume = np.count_nonzero(fine.truth == label) * fine.voxel_ml
        assert number(found["Lung", side], VOLUME) == pytest.approx(volume, rel=0.01)


def test_slices_further_apart_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(InputRefused, match="at most 8 mm each are allowed"):
        run(pipeline, phantom(spacing=(10.0, 2.5, 2.5)), SliceThickness=10.0)


def test_on_a_series_that_is_not_fit_there_are_volumes_only(pipeline: Pipeline) -> None:
    found = by_side(run(pipeline, phantom(spacing=QUICK), SliceThickness=3.0))
    assert len(found) == 3
    for finding in found.values():
        assert number(finding, VOLUME) > 2000
        for which in (MEAN, LAA_950, PERC_15):
            measurement = finding.measurements[which]
            assert measurement.value is None
            assert measurement.not_measured == (
                "the slices are 3 mm thick; at most 1.5 mm are allowed"
            )


def test_a_site_may_have_densities_anyway_and_a_note_says_so(pipeline: Pipeline) -> None:
    volume = phantom(spacing=QUICK).volume(SliceThickness=3.0)
    output = pipeline.infer(given({"chest": volume}, parameters={"measure_densities_anyway": True}))
    assert number(by_side(output)["Lungs", None], PERC_15) == chest.LIGHT_HU
    assert any(
        "cannot be compared with others: the slices are 3 mm thick" in note
        for note in output.result.notes
    )


def test_the_parameter_can_be_set_in_shadow_mode_alone() -> None:
    [parameter] = load_manifest(FOLDER).parameters
    assert (parameter.name, parameter.default) == ("measure_densities_anyway", False)
    assert parameter.shadow_only


@pytest.mark.parametrize(("side", "x"), [("right", 70.0), ("left", -70.0)])
def test_of_a_single_lung_no_side_is_given_and_gas_does_not_make_a_second(
    pipeline: Pipeline, side: str, x: float
) -> None:
    known = chest.with_ball(phantom(spacing=QUICK, sides=side), (-80.0, -10.0, x), 45.0)
    output = run(pipeline, known, SliceThickness=3.0)
    [finding] = output.result.findings
    assert (finding.name, finding.side) == ("Lung", None)
    volume = np.count_nonzero(known.truth) * known.voxel_ml
    assert number(finding, VOLUME) == pytest.approx(volume, rel=0.003)
    assert "Only one lung was found" in output.result.notes[0]


def test_a_cushion_beside_the_body_does_not_make_a_second_lung(pipeline: Pipeline) -> None:
    known = chest.with_cushion(phantom(spacing=QUICK, sides="right"))
    [finding] = run(pipeline, known, SliceThickness=3.0).result.findings
    assert finding.side is None


def test_vessels_and_nodules_of_a_lung_are_counted_with_it(pipeline: Pipeline) -> None:
    plain = phantom(spacing=FINE)
    known = chest.with_vessel(plain, 4.0)
    known = chest.with_ball(known, (-30.0, 0.0, -80.0), 12.0, hu=chest.TISSUE_HU)
    output = run(pipeline, known)
    assert output.label_map is not None
    added = (known.hu == chest.TISSUE_HU) & (plain.truth > 0)
    marked = output.label_map.array[added] > 0
    assert np.count_nonzero(marked) > 0.97 * marked.size


def test_air_filled_tissue_that_belongs_to_no_lung_is_told(pipeline: Pipeline) -> None:
    known = chest.with_ball(phantom(spacing=QUICK), (-80.0, 70.0, 0.0), 22.0, hu=-700)
    output = run(pipeline, known, SliceThickness=3.0)
    [note] = output.result.notes
    assert "of air-filled tissue between the lungs' ends belong to neither lung" in note


def test_gaps_between_slices_are_told(pipeline: Pipeline) -> None:
    output = run(pipeline, phantom(spacing=QUICK), SliceThickness=1.0)
    [note] = output.result.notes
    assert note.startswith("The slices are 1 mm thick and 3 mm apart")


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"z": slice(None, 82)}, "the lungs are cut off at the top"),
        ({"z": slice(32, None)}, "the lungs are cut off at the bottom"),
        ({"x": slice(36, None)}, "the lungs are cut off at the side"),
    ],
    ids=str,
)
def test_lungs_that_are_not_whole_in_the_images_are_refused(
    pipeline: Pipeline, part: dict[str, slice], reason: str
) -> None:
    known = chest.cropped(phantom(spacing=QUICK), **part)
    with pytest.raises(InputRefused, match=reason):
        run(pipeline, known)


def test_a_body_without_lungs_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(InputRefused, match="no lungs were found"):
        run(pipeline, phantom(spacing=QUICK, sides="none"))


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        (1024, "no windpipe was found: the images show no whole chest, or are not in Hounsfield"),
        (-1024, "no windpipe was found"),
        (-150, "the air in the windpipe has -1150 HU"),
    ],
)
def test_values_that_are_no_hounsfield_units_are_refused(
    pipeline: Pipeline, shift: int, reason: str
) -> None:
    known = phantom(spacing=QUICK)
    shifted = replace(known, hu=(known.hu + shift).astype(np.int16))
    with pytest.raises(InputRefused, match=reason):
        run(pipeline, shifted)


def test_a_series_that_is_no_ct_is_refused_before_anything_is_computed(
    pipeline: Pipeline,
) -> None:
    with pytest.raises(InputRefused, match="the modality is MR; CT is needed"):
        run(pipeline, phantom(spacing=(8.0, 8.0, 8.0)), Modality="MR")
