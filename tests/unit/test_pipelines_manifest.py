"""What a pipeline's manifest says, and how a wrong one is told."""

from pathlib import Path

import pytest

from appliance.core import conditions
from appliance.core.errors import ConfigError
from appliance.core.preferences import ImageCount
from pipelines.card import RegulatoryStatus
from pipelines.folders import SHIPPED
from pipelines.manifest import digest, load_manifest, read_card
from pipelines.specs import Kind

BRIGHT = Path(__file__).resolve().parents[1] / "pipelines" / "bright_volume"


def copy(folder: Path, replace: str = "", by: str = "") -> Path:
    for path in BRIGHT.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    manifest = folder / "pipeline.yaml"
    text = manifest.read_text()
    assert replace in text
    manifest.write_text(text.replace(replace, by))
    return folder


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        load_manifest(folder)
    return tuple(problem.removeprefix(str(folder)) for problem in refused.value.problems)


def test_a_manifest_gives_conditions_and_preferences() -> None:
    manifest = load_manifest(BRIGHT)
    assert manifest.kind is Kind.PYTHON
    assert manifest.input("image").select == conditions.Test(
        attribute="Modality", operator=conditions.Operator.IN, value=("CT", "MR")
    )
    assert manifest.input("image").prefer[0] == ImageCount(most=True)
    assert manifest.outputs[0].structure.code.scheme == "SCT"


@pytest.mark.parametrize("name", list(SHIPPED))
def test_shipped_manifests_are_complete(name: str) -> None:
    manifest = load_manifest(SHIPPED[name])
    assert manifest.name == name
    assert manifest.weights or manifest.kind is Kind.PYTHON
    assert manifest.citations
    card = read_card(manifest, SHIPPED[name])
    for weights in manifest.weights:
        if weights.file.endswith(".bin"):
            assert weights.sha256 in card
    if manifest.regulatory.status is RegulatoryStatus.RESEARCH:
        assert manifest.regulatory.label == "Research, not for diagnosis"
        assert manifest.regulatory.label.lower() in card.lower()


def test_the_maker_is_named_and_fits_where_dicom_wants_it(tmp_path: Path) -> None:
    assert load_manifest(SHIPPED["brain-mr"]).manufacturer == "neuroneural (Brainchop)"
    maker = "manufacturer: Tests of the Clinical Deployment Appliance\n"
    copy(tmp_path, maker)
    assert "manufacturer: is missing" in problems(tmp_path)[0]
    for wrong in ("M" * 65, "Makers \\ Sons", '" "'):
        copy(tmp_path, maker, f"manufacturer: {wrong}\n")
        assert ":7: manufacturer: " in problems(tmp_path)[0]


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    copy(tmp_path, "kind: python", "kind: perl\ntitel: x")
    text = (tmp_path / "pipeline.yaml").read_text().replace("version: 1.0.0", "version: one")
    (tmp_path / "pipeline.yaml").write_text(text)
    found = problems(tmp_path)
    assert found[0] == "/pipeline.yaml:3: version: 'one' is not a version like 1.0.0"
    kinds = "'python', 'monai-bundle', 'onnx', 'torch' or 'command'"
    assert found[1] == f"/pipeline.yaml:4: kind: write {kinds}, not 'perl'"
    assert found[2] == "/pipeline.yaml:5: titel: unknown key; did you mean 'title'?"


def test_a_wrong_condition_says_what_to_write(tmp_path: Path) -> None:
    copy(tmp_path, "Modality: {in: [CT, MR]}", "Modalty: MR")
    assert "'Modalty' is neither a DICOM keyword" in problems(tmp_path)[0]


@pytest.mark.parametrize("name", ["../secret.md", "/etc/passwd"])
def test_files_outside_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    copy(tmp_path, "licence: Apache-2.0", f"licence: Apache-2.0\ncard: {name}")
    assert "is not a file name within the pipeline's folder" in problems(tmp_path)[0]


def test_a_file_that_the_manifest_names_must_be_there(tmp_path: Path) -> None:
    copy(tmp_path)
    (tmp_path / "card.md").unlink()
    assert problems(tmp_path) == (f"/pipeline.yaml:1: names card.md, which is not in {tmp_path}",)


def test_a_folder_without_a_manifest_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in problems(tmp_path)[0]


def test_two_outputs_with_one_label_are_refused(tmp_path: Path) -> None:
    text = copy(tmp_path).joinpath("pipeline.yaml").read_text()
    start, end = text.index("  - label: 1"), text.index("features:")
    (tmp_path / "pipeline.yaml").write_text(text[:end] + text[start:end] + text[end:])
    assert "more than one is" in problems(tmp_path)[0]


def test_the_digest_changes_with_any_file_and_with_nothing_else(tmp_path: Path) -> None:
    copy(tmp_path)
    before = digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "pipeline.pyc").write_bytes(b"1")
    (tmp_path / ".hidden").write_bytes(b"1")
    assert digest(tmp_path) == before
    (tmp_path / "pipeline.py").rename(tmp_path / "other.py")
    renamed = digest(tmp_path)
    assert renamed != before
    (tmp_path / "other.py").write_text("x = 1\n")
    assert digest(tmp_path) not in (before, renamed)


def test_a_kind_has_its_own_section_and_no_other(tmp_path: Path) -> None:
    copy(tmp_path, "entry: pipeline.py:BrightVolume\n", "")
    assert "a pipeline of kind python needs entry; write it" in problems(tmp_path)[0]
    copy(tmp_path, "kind: python", "kind: onnx")
    assert "entry belongs to another kind; one of kind onnx has network" in problems(tmp_path)[0]
