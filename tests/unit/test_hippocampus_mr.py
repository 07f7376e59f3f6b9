"""The hippocampus bundle on paper: folds by subject, numbers that agree with their rows."""

import json
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from appliance.documents import ROOT
from pipelines.codes import ANTERIOR_HIPPOCAMPUS, OWN, POSTERIOR_HIPPOCAMPUS
from pipelines.folders import SHIPPED
from pipelines.hippocampus_mr.scripts import crossvalidate, measure, picture, report
from pipelines.hippocampus_mr.scripts.data import FINAL, FOLDS, fold_of, labelled, missing
from pipelines.hippocampus_mr.scripts.ranges import WATCHED, read_nifti
from pipelines.inputs import Measure
from pipelines.manifest import Manifest, file_sha256, load_manifest

BUNDLE = SHIPPED["hippocampus-mr"]
CARD = "pipelines/hippocampus_mr/card.md"
VOLUMES = Path(__file__).resolve().parents[1] / "data" / "hippocampus-msd"
PUBLISHED = report.shipped()


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest(BUNDLE)


def test_both_sides_of_a_brain_are_tested_by_a_model_that_has_seen_neither() -> None:
    volumes = labelled()
    subjects = sorted({item.subject for item in volumes})
    assert len({item.volume for item in volumes}) == len(volumes) == 224
    assert len(subjects) == 152
    for item in volumes:
        assert item.subject == (int(item.volume[12:15]) + 1) // 2
        assert item.fold == fold_of(item.subject, subjects)
    sizes = Counter(item.fold for item in volumes)
    assert sorted(sizes) == list(FOLDS)
    assert min(sizes.values()) > 40
    assert FINAL not in sizes


def test_every_volume_was_tested_once_by_its_fold() -> None:
    rows = PUBLISHED["volumes"]
    assert sorted((row["volume"], row["subject"], row["fold"]) for row in rows) == sorted(
        (item.volume, item.subject, item.fold) for item in labelled()
    )


def test_the_shipped_validation_reaches_what_was_asked() -> None:
    by_part = [
        statistics.fmean(row["dice"][part] for row in PUBLISHED["volumes"])
        for part in ("anterior", "posterior")
    ]
    assert report.mean_dice(PUBLISHED["volumes"]) == pytest.approx(statistics.fmean(by_part))
    assert report.mean_dice(PUBLISHED["volumes"]) >= 0.88


def test_the_picture_is_made_from_the_rows() -> None:
    drawn = (BUNDLE / "docs" / "bland-altman.svg").read_text()
    assert drawn == picture.bland_altman(), "run `make docs`"
    assert drawn.count("<circle ") == 3 * 224


def test_training_and_inference_make_the_same_network() -> None:
    training = yaml.safe_load((BUNDLE / "configs" / "train.yaml").read_text())
    inference = json.loads((BUNDLE / "configs" / "inference.json").read_text())
    assert training["network_def"] == inference["network_def"]


def test_the_manifest_says_what_the_validation_says(manifest: Manifest) -> None:
    rows = PUBLISHED["volumes"]
    stated = {metric.name: metric.value for metric in manifest.metrics}
    assert stated == {
        "Dice, mean of anterior and posterior": round(report.mean_dice(rows), 3),
        **{
            f"Dice, {part}": round(statistics.fmean(row["dice"][part] for row in rows), 3)
            for part in ("anterior", "posterior")
        },
    }


def test_the_manifests_limits_are_those_of_the_training_data(manifest: Manifest) -> None:
    spans = PUBLISHED["training_range"]
    assert {measure.words for measure in WATCHED} <= set(spans)
    wanted = manifest.input("crop")
    assert set(wanted.training.ranges) == set(WATCHED)
    for asked, (low, high) in wanted.training.ranges.items():
        span = spans[asked.words]
        assert low <= span["least"], asked
        assert high >= span["most"], asked
        assert high - low <= 1.1 * (span["most"] - span["least"]) + 0.03, asked
    limits = {check.measure: check for check in wanted.checks}
    for axis in (Measure.LEFT_RIGHT, Measure.ANTERIOR_POSTERIOR, Measure.HEAD_FEET):
        assert limits[axis].at_least < spans[axis.words]["least"]
        assert spans[axis.words]["most"] < limits[axis].at_most <= 1.15 * spans[axis.words]["most"]


def test_unexpected_volumes_are_those_that_no_training_label_had(manifest: Manifest) -> None:
    for output, part in zip(manifest.outputs, ("anterior", "posterior"), strict=True):
        labels = [row["label_ml"][part] for row in PUBLISHED["volumes"]]
        assert output.expected_ml is not None
        low, high = output.expected_ml
        assert low == pytest.approx(min(labels), abs=0.1)
        assert high == pytest.approx(max(labels), abs=0.1)


def test_the_parts_have_codes_of_ours_that_the_conformance_statement_declares(
    manifest: Manifest,
) -> None:
    codes = [output.structure.code for output in manifest.outputs]
    assert codes == [ANTERIOR_HIPPOCAMPUS, POSTERIOR_HIPPOCAMPUS]
    assert set(codes) <= set(OWN)


def test_the_card_names_the_weights_and_their_licence(manifest: Manifest) -> None:
    card = (ROOT / CARD).read_text()
    digest = file_sha256(BUNDLE / "models" / "model.pt")
    assert [item.sha256 for item in manifest.weights] == [digest]
    assert digest in card
    assert manifest.weights[0].licence == "CC BY-SA 4.0"
    licence = (BUNDLE / "LICENSE-weights").read_text()
    for words in ("Attribution-ShareAlike 4.0", "Medical Segmentation Decathlon", "1902.09063"):
        assert words in licence


# -- measuring --------------------------------------------------------------------------------


def test_dice_and_volume_of_a_part() -> None:
    one = np.zeros((4, 4, 4), dtype=np.uint8)
    other = one.copy()
    one[0], other[0, :2] = 1, 1  # 16 voxels, 8 of them
    one[1], other[1] = 2, 1  # the other calls these the front
    assert measure.dice(one, other, "anterior") == pytest.approx(2 * 8 / (16 + 24))
    assert measure.dice(one, other, "posterior") == 0.0
    assert measure.dice(one, other, "whole") == pytest.approx(2 * 24 / (32 + 24))
    assert measure.volume_ml(one, 2.0, "whole") == pytest.approx(0.064)
    assert measure.dice(one * 0, other * 0, "whole") == 1.0


def test_agreement_is_bland_and_altmans() -> None:
    found = measure.agreement([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    assert found.bias == pytest.approx(1.0)
    assert (found.low, found.high) == pytest.approx((1.0 - 1.96, 1.0 + 1.96))


def test_a_nifti_volume_becomes_one_of_ours() -> None:
    volume = read_nifti(VOLUMES / "images" / "hippocampus_003.nii.gz")  # 34 x 52 x 35, RAS
    assert volume.array.shape == (35, 52, 34)
    assert volume.extent_mm == (34.0, 52.0, 35.0)
    assert [round(x) for x in volume.affine[:3, 0]] == [0, 0, 1]  # slices go to the head
    assert [round(x) for x in volume.affine[:3, 1]] == [0, -1, 0]  # rows to the front
    assert [round(x) for x in volume.affine[:3, 2]] == [-1, 0, 0]  # columns to the right


# -- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--data", "no-such-folder"]])
def test_without_data_the_command_says_what_it_wants(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        crossvalidate.main(arguments)
    assert "Task04_Hippocampus" in str(ended.value)
    assert "medicaldecathlon.com" in str(ended.value)
    assert "make train-hippocampus DATA=" in str(ended.value)


def test_some_volumes_are_not_all() -> None:
    assert missing(VOLUMES) == 222
    with pytest.raises(SystemExit, match="222 of the 224 volumes"):
        crossvalidate.main(["--data", str(VOLUMES)])


def test_the_decathlons_own_names_of_folders_are_known(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / f"{name}Tr").symlink_to(VOLUMES / name)
    assert missing(tmp_path) == 222


def test_a_fold_is_made_again_only_where_the_recipe_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not crossvalidate.finished(0, tmp_path)
    (tmp_path / "fold-0.pt").write_bytes(b"")
    note = {"tested_by": crossvalidate.testing_recipe()}
    (tmp_path / "fold-0.json").write_text(json.dumps(note))
    assert crossvalidate.finished(0, tmp_path)
    monkeypatch.setattr(crossvalidate, "testing_recipe", lambda: "another")
    assert not crossvalidate.finished(0, tmp_path)


def test_the_clock_says_how_long_all_models_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 600.0, 600.0])
    monkeypatch.setattr(crossvalidate.time, "monotonic", lambda: next(times))
    clock = crossvalidate.Clock(2)
    clock.heard(0, "a warning of a library")
    clock.heard(0, "epoch 15/60  loss 0.3000  30.0 min left")
    clock.heard(FINAL, "epoch 15/60  loss 0.3000  30.0 min left")
    assert capsys.readouterr().out.splitlines() == [
        "fold 0: epoch 15/60  loss 0.3000  30.0 min left; all 2: 70 min left",
        "final model: epoch 15/60  loss 0.3000  30.0 min left; all 2: 30 min left",
    ]


def test_a_fold_made_again_is_compared_with_the_published_one() -> None:
    rows = [row for row in PUBLISHED["volumes"] if row["fold"] == 3]
    assert report.beside(3, rows, PUBLISHED).endswith("; +0.0000")


def test_the_file_is_written_one_line_a_volume() -> None:
    written = report.as_json(PUBLISHED)
    assert json.loads(written) == PUBLISHED
    assert (BUNDLE / "docs" / "validation.json").read_text() == written
