"""The manifests that docs/pipelines/command.md shows are read as they stand."""

import re
from pathlib import Path

import pytest

from pipelines.coding import verify_codes
from pipelines.command_spec import Convention
from pipelines.manifest import Manifest, load_manifest

GUIDE = Path(__file__).parents[2] / "docs" / "pipelines" / "command.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)


def read(text: str, folder: Path) -> Manifest:
    (folder / "pipeline.yaml").write_text(text)
    (folder / "card.md").write_text("# Card\n")
    manifest = load_manifest(folder)
    verify_codes(manifest, folder / "pipeline.yaml")
    return manifest


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.split("\n")[0])
def test_a_manifest_of_the_guide_is_read(text: str, tmp_path: Path) -> None:
    command = read(text, tmp_path).command
    assert command is not None
    if command.arguments[0] == "podman":
        assert command.isolation == "own"
        assert "--network=none" in command.arguments
        assert "@sha256:" in command.arguments[-1]


def test_the_guide_shows_each_convention(tmp_path: Path) -> None:
    commands = [read(text, tmp_path).command for text in BLOCKS]
    assert {command.convention for command in commands if command} == set(Convention)
