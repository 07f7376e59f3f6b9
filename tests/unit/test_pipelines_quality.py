"""What a volume is like, compared with what its pipeline was made for and trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.core.errors import InputRefused
from appliance.core.model import Finding, Measurement
from appliance.core.model import PipelineResult as Result
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.findings import MILLILITRE, VOLUME
from pipelines.guard import Guarded
from pipelines.inputs import WORDED, Check, Input, Measure, Training
from pipelines.manifest import load_manifest
from pipelines.quality import FLAG, MEASURES, contrast, judge, noise, orientation, signal_to_noise
from pipelines.series import read_volume
from pipelines.volume import Volume
from tests.reformat import HIPPOCAMPUS_CROP, head_paths
from tests.unit.test_pipelines_manifest import BRIGHT, copy, problems
from tests.volumes import given, volume

RNG = np.random.default_rng(7)


def noisy(deviation: float, mean: float = 1000.0) -> Volume:
    """A bright block in air, with Gaussian noise."""
    array = np.zeros((20, 64, 64), dtype=np.float32)
    array[:, 16:48, 16:48] = mean
    array += RNG.normal(0.0, deviation, array.shape).astype(np.float32)
    return replace(volume(shape=(20, 64, 64)), array=array)


def turned(axis: int, *, degrees: float = 0.0) -> Volume:
    """Slices whose normal lies along a patient axis, tilted towards the next one."""
    angle = np.radians(degrees)
    affine = np.eye(4)
    order = [axis, (axis + 1) % 3, (axis + 2) % 3]
    affine[:3, :3] = np.eye(3)[:, order]
    turn = np.eye(3)
    turn[np.ix_(order[:2], order[:2])] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    affine[:3, :3] = turn @ affine[:3, :3]
    return replace(volume(), affine=affine)


def wants(*checks: Check, training: Training | None = None) -> Input:
    condition = load_manifest(BRIGHT).input("image").select
    return Input.model_construct(
        name="image", title="Any", select=condition, checks=checks, training=training or Training()
    )


def test_every_measure_is_measured() -> None:
    assert set(MEASURES) == set(Measure)
    for measure, measured in MEASURES.items():
        found = measured(noisy(10.0))
        assert isinstance(found, str) == (measure in WORDED)
        assert not isinstance(found, str) or found in WORDED[measure]
        assert measure.words


@pytest.mark.parametrize("deviation", [2.0, 25.0])
def test_noise_is_that_of_the_image_and_not_its_edges(deviation: float) -> None:
    assert noise(noisy(deviation)) == pytest.approx(deviation, rel=0.03)
    assert signal_to_noise(noisy(deviation)) == pytest.approx(1000.0 / deviation, rel=0.05)


def test_an_image_without_noise_has_a_number_too() -> None:
    assert noise(volume()) == 0.0
    assert signal_to_noise(noisy(0.0)) == 1e6


@pytest.mark.parametrize(
    ("axis", "degrees", "said"),
    [
        (0, 0.0, "sagittal"),
        (1, 0.0, "coronal"),
        (2, 0.0, "axial"),
        (2, 15.0, "axial"),
        (2, 30.0, "oblique"),
        (0, -45.0, "oblique"),
    ],
)
def test_orientation_is_told_by_the_slices_normal(axis: int, degrees: float, said: str) -> None:
    assert orientation(turned(axis, degrees=degrees)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "unknown"),
        ((), "unknown"),
        (("NO",), "none"),
        (("None ",), "none"),
        (("Omnipaque 300",), "given"),
    ],
)
def test_contrast_is_what_the_header_says_and_unknown_where_it_says_nothing(
    value: tuple[str, ...] | None, said: str
) -> None:
    attributes = {} if value is None else {"ContrastBolusAgent": value}
    assert contrast(replace(volume(), attributes=attributes)) == said


def test_a_check_that_does_not_hold_says_what_was_found_and_what_is_wanted() -> None:
    check = Check(measure=Measure.LARGEST_SPACING, at_most=1.5, why="thin slices only")
    thick = replace(volume(), spacing=(5.0, 1.0, 1.0))
    [departure] = judge(thick, wants(check)).departures
    assert departure.refused
    assert departure.text == (
        "the largest voxel spacing in mm is 5; at most 1.5 (thin slices only)"
    )
    assert judge(volume(), wants(check)).departures == ()


def test_what_the_model_never_saw_is_flagged_and_counted_for_drift() -> None:
    training = Training(source="12 heads", ranges={Measure.HEAD_FEET: (100.0, 200.0)})
    found = judge(volume(), wants(training=training), prefix="t1.")
    [departure] = found.departures
    assert not departure.refused
    assert departure.text.endswith("the model was trained on 100 to 200 (12 heads)")
    features = {feature.name: feature.number for feature in found.features}
    assert features == {"t1.head-feet": 6.0, "t1.outside": 1.0}


class Weighs:
    """A pipeline that says one volume, and counts how often it was asked."""

    def __init__(self, volume_ml: float) -> None:
        self.volume_ml, self.asked = volume_ml, 0

    def load(self, device: str) -> None:
        raise NotImplementedError(device)

    def infer(self, study: PipelineInput) -> PipelineOutput:
        self.asked += 1
        structure = load_manifest(BRIGHT).outputs[0]
        measured = Measurement(concept=VOLUME, value=self.volume_ml, unit=MILLILITRE)
        finding = Finding(
            name=structure.name,
            structure=structure.structure.code,
            side=None,
            measurements=(measured,),
            region=None,
            tracking_uid="2.25.9",
        )
        result = Result(findings=(finding,), segments=(), features=(), notes=("own",))
        return PipelineOutput(result=result, label_map=None)


def guarded(folder: Path, pipeline: Weighs, said: str) -> Guarded:
    copy(folder, "outputs:", f"{said}\noutputs:")
    return Guarded(load_manifest(folder), pipeline)


def test_a_refused_study_is_not_run_and_every_reason_is_told(tmp_path: Path) -> None:
    pipeline = Weighs(1.0)
    text = "    checks:\n      - {measure: contrast, one_of: [none]}\n"
    text += "      - {measure: slice-spacing, at_least: 2}"
    with pytest.raises(InputRefused, match="contrast agent is unknown; none is needed") as refused:
        guarded(tmp_path, pipeline, text).infer(given({"image": volume()}))
    assert "the distance of the slices in mm is 1; at least 2" in str(refused.value)
    assert pipeline.asked == 0


def test_a_flagged_study_is_run_and_the_result_says_so(tmp_path: Path) -> None:
    text = "    checks:\n      - {measure: contrast, one_of: [none], otherwise: flag}"
    output = guarded(tmp_path, Weighs(1.0), text).infer(given({"image": volume()}))
    assert output.result.notes == ("own", f"{FLAG} contrast agent is unknown; none is needed.")
    features = {one.name: one.number or one.category for one in output.result.features}
    assert features == {"contrast": "unknown", "outside": 1.0}


def test_a_volume_that_the_training_data_never_had_is_flagged(tmp_path: Path) -> None:
    copy(tmp_path)
    manifest = load_manifest(tmp_path)
    expecting = manifest.model_copy(
        update={"outputs": (manifest.outputs[0].model_copy(update={"expected_ml": (1.0, 5.0)}),)}
    )
    for found, notes in ((3.0, 0), (7.5, 1)):
        output = Guarded(expecting, Weighs(found)).infer(given({"image": volume()}))
        said = [note for note in output.result.notes if note.startswith(FLAG)]
        assert len(said) == notes
    assert "has 7.5 mL; the training data had 1 to 5 mL" in said[0]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("checks: [{measure: contrast, at_most: 3}]", "contrast is a word; write one_of with"),
        ("checks: [{measure: orientation, one_of: [flat]}]", "orientation is a word"),
        ("checks: [{measure: noise}]", "noise is a number; write at_least, at_most or both"),
        ("checks: [{measure: noise, at_least: 3, at_most: 2}]", "at_least 3 is above at_most 2"),
        ("training: {ranges: {noise: [1, 2]}}", "say with source which data the ranges are of"),
        ("training: {source: x, ranges: {contrast: [1, 2]}}", "contrast is a word and has no"),
    ],
)
def test_a_wrong_check_is_told_with_its_key(tmp_path: Path, written: str, said: str) -> None:
    copy(tmp_path, "outputs:", f"    {written}\noutputs:")
    [told] = problems(tmp_path)
    assert said in told
    assert ": inputs.0." in told


@pytest.mark.parametrize("what", ["head", "crop"])
def test_real_volumes_have_plausible_measures(what: str) -> None:
    paths = head_paths() if what == "head" else sorted(HIPPOCAMPUS_CROP.iterdir())
    found = read_volume(paths)
    assert 3.0 < signal_to_noise(found) < 100.0
    assert orientation(found) == ("sagittal" if what == "head" else "axial")
