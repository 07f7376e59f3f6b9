"""The crops of a hippocampus through every room: their results end in the stand-in PACS."""

import json
from pathlib import Path

import pytest

from tests.appliance import command


@pytest.mark.parametrize("crop", ["mr-hippocrop-a", "mr-hippocrop-b"])
def test_its_results_are_in_the_pacs(crop: str, tmp_path: Path) -> None:
    out, kept = tmp_path / "out.json", tmp_path / "kept"
    command("demo", "--once", "--json", str(out), "--keep", str(kept), crop)
    report = json.loads(out.read_text())
    assert report["problems"] == []
    matched = [item["rule"] for item in report["decisions"] if item["matched"]]
    assert matched == ["hippocampus volumes"]
    assert [job["state"] for job in report["jobs"]] == ["done"]
    volumes = {finding["name"]: finding["value"] for finding in report["findings"]}
    assert volumes.keys() == {"Anterior hippocampus", "Posterior hippocampus"}
    assert min(volumes.values()) > 0.9
    assert {finding["side"] for finding in report["findings"]} == {None}
    arrived = [Path(item["path"]) for item in report["objects"]]
    assert len(arrived) == 2
    assert all(kept in path.parents for path in arrived)
