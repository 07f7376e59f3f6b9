"""Codes in a manifest: of a scheme that is known or declared, and meaning what is written."""

from pathlib import Path

import pytest

from appliance.core.errors import ConfigError
from pipelines.coding import known_meanings, verify_codes
from pipelines.folders import SHIPPED
from pipelines.manifest import FILE_NAME, load_manifest
from pipelines.vocabulary import SCHEMES, code_problem
from tests.unit.test_pipelines_manifest import BRIGHT, copy, problems

STRUCTURE = 'structure: {value: "85756007", meaning: Tissue}'
DECLARED = (
    "coding_schemes: [{designator: 99HOSPITAL, name: Ours, uid: 2.25.1, responsible: Hospital}]\n"
)


def coded(value: str, scheme: str, meaning: str = "Tissue") -> str:
    return f'structure: {{value: "{value}", scheme: {scheme}, meaning: "{meaning}"}}'


def misnamed(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        verify_codes(load_manifest(folder), folder / FILE_NAME)
    return [problem.removeprefix(str(folder)) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("value", "scheme", "why"),
    [
        ("85756008", "SCT", "'85756008' is no code of SCT"),  # its check digit is 7
        ("123", "SCT", "'123' is no code of SCT"),
        ("T-D0050", "SRT", "SRT is retired; write the code of SCT"),
        ("24627-3", "LN", "'24627-3' is no code of LN"),  # 24627-2 is
        ("1301", "RADLEX", "'1301' is no code of RADLEX"),
    ],
)
def test_what_can_be_no_code_of_its_scheme_is_told(
    tmp_path: Path, value: str, scheme: str, why: str
) -> None:
    copy(tmp_path, STRUCTURE, coded(value, scheme))
    (told,) = problems(tmp_path)
    assert told.startswith(f"/pipeline.yaml:19: outputs.0.structure.value: {why}")


def test_a_scheme_that_nobody_knows_is_told_and_a_private_one_is_to_be_declared(
    tmp_path: Path,
) -> None:
    copy(tmp_path, STRUCTURE, coded("1", "SNOMED"))
    assert (
        ":19: outputs.0.structure.scheme: 'SNOMED' is no coding scheme; known: BARI"
        in (problems(tmp_path)[0])
    )
    copy(tmp_path, STRUCTURE, coded("1", "99HOSPITAL"))
    assert "99HOSPITAL is private; declare it under coding_schemes" in problems(tmp_path)[0]
    manifest = tmp_path / FILE_NAME
    manifest.write_text(DECLARED + manifest.read_text())
    assert load_manifest(tmp_path).coding_schemes[0].scheme.name == "Ours"


@pytest.mark.parametrize(("wrong", "key"), [("uid: 2.25.01", "uid"), ("99", "designator")])
def test_a_declared_scheme_has_a_uid_and_a_private_name(
    tmp_path: Path, wrong: str, key: str
) -> None:
    right = "uid: 2.25.1" if key == "uid" else "99HOSPITAL"
    copy(tmp_path, "kind: python\n", DECLARED.replace(right, wrong) + "kind: python\n")
    assert f"coding_schemes.0.{key}: " in problems(tmp_path)[0]


def test_a_code_under_another_meaning_is_told_with_both(tmp_path: Path) -> None:
    copy(tmp_path, STRUCTURE, coded("10200004", "SCT", "Spleen"))
    (told,) = misnamed(tmp_path)
    assert told.startswith(
        "/pipeline.yaml:19: outputs.0.structure.meaning: SCT 10200004 means 'Liver' or "
    )
    assert told.endswith("not 'Spleen'; write that, or the code of what you mean")


def test_a_code_that_dicom_never_gave_out_is_told(tmp_path: Path) -> None:
    copy(tmp_path, STRUCTURE, coded("199999", "DCM"))
    assert misnamed(tmp_path) == [
        "/pipeline.yaml:19: outputs.0.structure.value: '199999' is no code of DCM; look it up again"
    ]


@pytest.mark.parametrize("folder", [*SHIPPED.values(), BRIGHT], ids=lambda folder: folder.name)
def test_our_own_codes_mean_what_we_write(folder: Path) -> None:
    verify_codes(load_manifest(folder), folder / FILE_NAME)


def test_a_meaning_may_differ_in_case_and_punctuation(tmp_path: Path) -> None:
    folder = copy(tmp_path, STRUCTURE, coded("40146001", "SCT", "CEREBRAL  cortex"))
    verify_codes(load_manifest(folder), folder / FILE_NAME)


def test_what_the_standard_itself_uses_is_taken() -> None:
    """All of PS3.16 that pydicom has, but for its misprints, of which there are nine."""
    refused = [
        f"{scheme} {value}"
        for scheme, values in known_meanings().items()
        for value in values
        if scheme not in SCHEMES or code_problem(value, scheme)
    ]
    assert len(refused) == 9
    assert "SCT 115347700" in refused
