"""The same head stored otherwise gives the same volumes and sides, through the whole appliance."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.appliance import command
from tests.reformat import HEAD, Storage, head_paths, restored


def volumes(folder: Path, out: Path) -> dict[tuple[str, str | None], float]:
    command("demo", str(folder), "--once", "--json", str(out))
    report: dict[str, Any] = json.loads(out.read_text())
    return {(f["name"], f["side"]): f["value"] for f in report["findings"]}


def test_the_same_head_as_one_enhanced_axial_object_gives_the_same_volumes(tmp_path: Path) -> None:
    restored(head_paths(), tmp_path / "enhanced", Storage.ENHANCED)
    once = volumes(HEAD, tmp_path / "once.json")
    again = volumes(tmp_path / "enhanced", tmp_path / "again.json")
    assert len(once) == 31
    assert again == pytest.approx(once, rel=0.02)
