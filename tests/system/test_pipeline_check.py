"""`appliance pipeline check` as a data scientist types it: real children, real files."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pydicom import dcmread

from appliance.cli.main import run
from appliance.core.errors import BadInstance
from appliance.trial.montage import GAP, MOST_TILES, TILE, evenly
from pipelines.render import frame_geometry
from pipelines.segmentation import Segmentation
from tests.builders import ct_series, mr_series, set_pixels, write_all
from tests.phantoms import STORAGES, slices, truth

FOLDERS = Path(__file__).parents[1] / "pipelines"
BRIGHT, TROUBLE = FOLDERS / "bright_volume", FOLDERS / "trouble"
TITLE = 60  # pixels above the slices


def check(folder: Path, *options: object) -> int:
    return run(["pipeline", "check", str(folder), *map(str, options)])


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a check of the axial phantom left behind."""
    folder = tmp_path_factory.mktemp("check")
    write_all(slices(), folder / "study")
    options = ("--study", folder / "study", "--out", folder / "out", "--json", folder / "r.json")
    assert check(BRIGHT, *options) == 0
    return folder


def report(folder: Path) -> Any:
    return json.loads((folder / "r.json").read_text())


def test_a_good_pipeline_is_measured_and_sends_nothing(checked: Path) -> None:
    said = report(checked)
    assert said["ending"] == "good"
    assert said["device"] == "cpu"
    assert [line["phase"] for line in said["phases"]] == [
        "read",
        "load",
        "transfer",
        "infer",
        "encode",
    ]
    assert said["phases"][0]["here"] > 10 << 20
    assert said["phases"][1]["pipeline"] > 10 << 20
    (found,) = said["findings"]
    assert found["value"] == pytest.approx(0.1875)
    assert (found["unit"], found["concept_code"]) == ("mL", "SCT 118565006")
    assert [item["kind"] for item in said["objects"]] == ["seg", "sr"]
    for item in said["objects"]:
        assert Path(item["path"]).stat().st_size == item["size"]
    seg = dcmread(said["objects"][0]["path"])
    assert seg.StudyInstanceUID == said["study"]["study_instance_uid"]
    assert "research, not for diagnosis" in seg.SeriesDescription


def test_what_is_printed_says_all_of_it_and_names_no_patient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_all(slices(), tmp_path / "study")
    (tmp_path / "study" / "notes.txt").write_text("no image")
    assert check(BRIGHT, "--study", tmp_path / "study") == 0
    printed = capsys.readouterr()
    for words in (
        "bright-volume 1.0.0",
        "Research, not for diagnosis",
        "14 images in 1 series",
        "image: series 1 't1 mprage', 14 objects: the only series that fits",
        "notes.txt: StudyInstanceUID is missing",
        "on cpu, ",
        "Bright object",
        "0.1875",
        "nothing. A route with `send` would send seg",
        "good: this folder can run in shadow.",
    ):
        assert words in printed.out
    assert "% load" in printed.err
    assert "Synthetic" not in printed.out + printed.err
    assert "SYNTHETIC-1" not in printed.out + printed.err


@pytest.mark.parametrize("storage", ["axial", "sagittal", "coronal", "axial, rows flipped"])
def test_the_picture_shows_the_mark_where_its_letters_say(tmp_path: Path, storage: str) -> None:
    """The box lies at the patient's left, front and top: on each tile at the edges with these."""
    datasets = slices(STORAGES[storage])
    for dataset in datasets:
        set_pixels(dataset, (100 + 900 * (truth(dataset) == 1)).astype(np.uint16))
    paths = write_all(datasets, tmp_path / "study")
    assert check(BRIGHT, "--study", tmp_path / "study", "--out", tmp_path / "out") == 0
    geometry = frame_geometry(paths[0])
    scale = TILE / max(geometry.width, geometry.height)
    across, down = round(geometry.width * scale), round(geometry.height * scale)
    page = np.asarray(Image.open(tmp_path / "out" / "image.png").convert("RGB")).astype(int)
    tile = page[TITLE : TITLE + down, GAP : GAP + across]
    orange = tile[..., 0] - tile[..., 2]  # over white; the letters are yellower, the rest is grey
    rows, columns = np.nonzero((orange > 60) & (orange < 115))
    left, right, top, bottom = geometry.letters
    toward = {"L", "A", "H"}
    assert len(rows) > 500
    assert (columns.mean() > across / 2) == (right in toward) != (left in toward)
    assert (rows.mean() > down / 2) == (bottom in toward) != (top in toward)


def test_a_segmentation_that_cannot_be_shown_is_no_failure(
    checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(path: Path) -> Segmentation:
        raise BadInstance(f"{path.name}: refers to no source frames")

    monkeypatch.setattr("appliance.trial.check.read_segmentation", unreadable)
    assert check(BRIGHT, "--study", checked / "study", "--out", tmp_path) == 0
    with (
        Image.open(checked / "out" / "image.png") as marked,
        Image.open(tmp_path / "image.png") as bare,
    ):
        assert bare.height > marked.height  # all slices, and a line that says why


def test_slices_are_chosen_between_the_first_and_the_last_that_is_marked() -> None:
    assert evenly([False] * 5) == [0, 1, 2, 3, 4]
    assert evenly([False, True, False, True, False]) == [1, 2, 3]
    many = evenly([True] * 100)
    assert (len(many), many[0], many[-1]) == (MOST_TILES, 0, 99)


def test_all_mistakes_of_a_manifest_are_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(BRIGHT, tmp_path)
    change(folder, licence=None, version="one", limits=[], colour="red")
    assert check(folder) == 78
    told = capsys.readouterr().err
    for key in ("licence: is missing", "version: 'one'", "limits: is empty", "colour: unknown key"):
        assert key in told
    assert "4 problems in the configuration." in told


def test_codes_cards_and_weights_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(BRIGHT, tmp_path)
    (folder / "card.md").write_text("\n")
    (folder / "net.bin").write_bytes(b"weights")
    weights = {"file": "net.bin", "sha256": "0" * 64, "licence": "MIT", "source": "here"}
    output = yaml.safe_load((folder / "pipeline.yaml").read_text())["outputs"][0]
    output["structure"] = {"value": "110700", "scheme": "DCM", "meaning": "Tissue"}
    change(folder, weights=[weights], outputs=[output])
    assert check(folder) == 78
    told = capsys.readouterr().err
    assert "card.md:1: is empty" in told
    assert "DCM 110700 means 'Ventral Diencephalon', not 'Tissue'" in told
    assert "SHA-256 is" in told


def test_without_a_study_the_pipeline_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(BRIGHT) == 0
    told = capsys.readouterr().out
    assert "name a study with --study" in told
    assert "on cpu" in told
    assert "load" in told


def test_what_cannot_be_loaded_is_told_without_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(BRIGHT, tmp_path)
    (folder / "pipeline.py").write_text("import no_such_package\n")
    assert check(folder) == 1
    assert "cannot be imported: No module named 'no_such_package'" in capsys.readouterr().out


def test_a_series_that_does_not_fit_is_told_input_by_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ct_series(tmp_path / "study")
    assert check(TROUBLE, "--study", tmp_path / "study") == 1
    told = capsys.readouterr().out
    assert "image (Any MR volume): no series fits" in told
    assert "series 1 'chest 1.0': Modality is MR (found: CT)" in told
    assert "\nnot run: no series meets all conditions" in told


@pytest.mark.parametrize(
    ("behaviour", "ending", "said"),
    [
        ("refuse", "refused", "the image shows a knee"),
        ("crash", "failed", "was ended by SIGSEGV"),
        ("raise", "failed", "the pipeline raised KeyError at pipeline.py"),
        ("out of memory", "failed", "MemoryError"),
    ],
)
def test_what_goes_wrong_is_told_in_plain_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], behaviour: str, ending: str, said: str
) -> None:
    mr_series(tmp_path / "study", SeriesDescription=behaviour)
    options = ("--study", tmp_path / "study", "--json", tmp_path / "r.json")
    assert check(TROUBLE, *options) == 1
    told = capsys.readouterr()
    assert said in told.out
    assert "Synthetic" not in told.out
    assert report(tmp_path)["ending"] == ending
    assert report(tmp_path)["phases"][0]["phase"] == "read"


def test_a_device_that_is_not_there_is_a_matter_of_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mr_series(tmp_path / "study")
    assert check(BRIGHT, "--study", tmp_path / "study", "--device", "cuda:7") == 78
    assert "runs on the CPU only" in capsys.readouterr().err


def test_a_folder_without_images_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    assert check(BRIGHT, "--study", tmp_path) == 1
    assert "has no image. notes.txt: StudyInstanceUID is missing" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["/nowhere"], [str(BRIGHT), "--study", "/nowhere"], []])
def test_what_is_typed_wrong_is_usage(arguments: list[str]) -> None:
    assert run(["pipeline", "check", *arguments]) == 2


def copy_of(folder: Path, where: Path) -> Path:
    return Path(shutil.copytree(folder, where / "pipeline"))


def change(folder: Path, **keys: object) -> None:
    """Write keys into the manifest; None takes one away."""
    path = folder / "pipeline.yaml"
    data = yaml.safe_load(path.read_text()) | keys
    path.write_text(
        yaml.safe_dump({key: value for key, value in data.items() if value is not None})
    )
