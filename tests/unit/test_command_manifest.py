"""What a manifest says of an outside program, and how a wrong one is told."""

from pathlib import Path
from typing import Any

import pytest

from appliance.core.errors import ConfigError
from appliance.core.model import ObjectKind
from pipelines.command_spec import Exit
from pipelines.manifest import load_manifest
from tests.commands import ARGUMENTS, BRIGHT, TISSUE, write_folder

VOLUME: dict[str, Any] = {
    "key": "volume",
    "of": "Lesion",
    "structure": TISSUE,
    "concept": {"value": "118565006", "meaning": "Volume"},
    "unit": {"value": "mL", "meaning": "milliliter"},
}


def problem(folder: Path, manifest: dict[str, Any] | None = None, **command: Any) -> str:
    write_folder(folder / "p", "p", manifest=manifest or {}, **command)
    with pytest.raises(ConfigError) as refused:
        load_manifest(folder / "p")
    (told,) = refused.value.problems
    return told.partition(":1: ")[2]


def test_a_manifest_says_what_is_taken_and_what_exit_codes_mean(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "p", "p", manifest={}, adopt=["seg", "sr"], exits={"75": "retry"}
    )
    manifest = load_manifest(folder)
    assert manifest.command is not None
    assert manifest.adopts == {ObjectKind.SEG, ObjectKind.SR}
    assert manifest.command.exits == {75: Exit.RETRY}
    assert manifest.command.arguments == ARGUMENTS


@pytest.mark.parametrize(
    ("command", "manifest", "told"),
    [
        ({}, {}, "command: nothing is taken from the program; write adopt, labels or numbers"),
        ({"adopt": ["gif"]}, {}, "command.adopt.0: write 'seg', 'sr', "),
        ({"adopt": ["sr"], "arguments": "run"}, {}, "command.arguments: write a list, not 'run'"),
        ({"adopt": ["sr"], "arguments": []}, {}, "command.arguments: "),
        (
            {"adopt": ["sr"], "arguments": ["run", "{inputs}"]},
            {},
            "command.arguments.1: {inputs} stands for nothing; did you mean 'input'?",
        ),
        (
            {"adopt": ["sr"], "environment": {"LEVEL": "{parameter:level}"}},
            {},
            "command.environment.LEVEL: {parameter:level} stands for nothing",
        ),
        ({"adopt": ["sr"], "environment": {"A=B": "1"}}, {}, "command.environment.A=B"),
        ({"adopt": ["sr"], "exits": {"0": "retry"}}, {}, "command.exits.0"),
        ({"adopt": ["sr"], "labels": {"file": "a.nii"}}, {}, "command: labels say what outputs"),
        ({"adopt": ["sr"]}, {"outputs": [BRIGHT]}, "command: labels say what outputs lie in"),
        (
            {"labels": {"file": "a.nii", "input": "imgae"}},
            {"outputs": [BRIGHT]},
            "command.labels.input: 'imgae' is no input; did you mean 'image'?",
        ),
        (
            {"numbers": {"measurements": [VOLUME | {"structure": None}]}},
            {},
            "command.numbers.measurements.0.of: 'Lesion' is no output and has no structure here",
        ),
        (
            {
                "labels": {"file": "a.nii"},
                "numbers": {"measurements": [VOLUME | {"of": "Bright"}]},
            },
            {"outputs": [BRIGHT]},
            "command.numbers.measurements.0: structure and side of 'Bright' are said by outputs",
        ),
        (
            {"numbers": {"features": {"score": "a.b"}}},
            {},
            "command.numbers.features.score: is not among the features of the manifest",
        ),
        (
            {"numbers": {"measurements": [VOLUME | {"unit": TISSUE | {"scheme": "SCT"}}]}},
            {},
            "command.numbers.measurements.0.unit.scheme: ",
        ),
        ({"labels": {"file": "../a.nii"}}, {"outputs": [BRIGHT]}, "command.labels.file: "),
    ],
)
def test_a_mistake_is_told_at_its_key(
    command: dict[str, Any], manifest: dict[str, Any], told: str, tmp_path: Path
) -> None:
    assert problem(tmp_path, manifest, **command).startswith(told)


def test_braces_that_are_no_placeholder_stay(tmp_path: Path) -> None:
    arguments = ["run", '{"threshold": 3}', "{ input }", "{INPUT}"]
    folder = write_folder(tmp_path / "p", "p", manifest={}, adopt=["sr"], arguments=arguments)
    manifest = load_manifest(folder)
    assert manifest.command is not None
    assert list(manifest.command.arguments) == arguments
