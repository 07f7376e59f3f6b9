"""Every other shipped study ends with its results in the stand-in PACS, and nowhere else."""

import json
from pathlib import Path

import pytest

from tests.appliance import command

CHEST, CROPS = "ct-chest-lungdx-a0001", ("mr-hippocrop-a", "mr-hippocrop-b")
LUNGS = {"Lung", "Lungs"}
HIPPOCAMPUS = {"Anterior hippocampus", "Posterior hippocampus"}


@pytest.mark.parametrize(
    ("study", "route", "names"),
    [
        (CHEST, "lung volumes", LUNGS),
        *((crop, "hippocampus volumes", HIPPOCAMPUS) for crop in CROPS),
    ],
)
def test_its_results_are_in_the_pacs(
    study: str, route: str, names: set[str], tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    command("demo", "--once", "--json", str(out), "--keep", str(tmp_path / "kept"), study)
    report = json.loads(out.read_text())
    assert report["problems"] == []
    assert [item["rule"] for item in report["decisions"] if item["matched"]] == [route]
    assert [job["state"] for job in report["jobs"]] == ["done"]
    assert {finding["name"] for finding in report["findings"]} == names
    volumes = [f["value"] for f in report["findings"] if f["measured"] == "Volume"]
    assert len(volumes) >= 2
    assert min(volumes) > 0.9
    arrived = [Path(item["path"]) for item in report["objects"]]
    assert len(arrived) == 2
    assert all(tmp_path / "kept" in path.parents for path in arrived)
