"""`appliance pipeline new`: what it lays out passes the check as it is."""

import json
from pathlib import Path

import numpy as np
import pytest

from appliance.cli.main import run
from appliance.trial.template import lay_out
from pipelines.manifest import load_manifest
from pipelines.specs import Kind
from tests.builders import write_all
from tests.phantoms import GAP, SPACING, slices, truth


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_what_is_laid_out_passes_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    write_all(slices(), tmp_path / "study")
    assert run(["pipeline", "new", "our-model", "--kind", kind, "--into", str(tmp_path)]) == 0
    folder = tmp_path / "our-model"
    assert f"pipeline check {folder} --study STUDY" in capsys.readouterr().out
    found = ("--study", str(tmp_path / "study"), "--json", str(tmp_path / "r.json"))
    assert run(["pipeline", "check", str(folder), *found]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["about"]["name"], report["about"]["kind"]) == ("our-model", kind)
    assert report["about"]["title"] == "Our model"
    # The box and the ball of the phantom, nothing else of it.
    bright = sum(np.count_nonzero(truth(dataset)) for dataset in slices())
    voxel_ml = SPACING[0] * SPACING[1] * GAP / 1000
    assert [one["value"] for one in report["findings"]] == pytest.approx([bright * voxel_ml])
    assert [item["kind"] for item in report["objects"]] == ["seg", "sr"]
    assert {path.name for path in folder.iterdir()} >= {"pipeline.yaml", "card.md", "LICENSE"}


def test_nothing_that_is_there_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lay_out("mine", Kind.PYTHON, tmp_path)
    (folder / "card.md").write_text("work of weeks")
    assert run(["pipeline", "new", "mine", "--kind", "python", "--into", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (folder / "card.md").read_text() == "work of weeks"
    assert load_manifest(folder).name == "mine"


@pytest.mark.parametrize(
    ("name", "kind"), [("Mine", "python"), ("../mine", "python"), ("mine", "matlab"), ("", "torch")]
)
def test_what_is_typed_wrong_is_usage(tmp_path: Path, name: str, kind: str) -> None:
    assert run(["pipeline", "new", name, "--kind", kind, "--into", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())
