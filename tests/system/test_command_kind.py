"""Outside programs: started, told where their files are, listened to, ended, their output read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.core.errors import (
    PermanentPipelineError,
)
from pipelines.segmentation import read_segmentation
from tests import phantoms
from tests.commands import ARGUMENTS, BRIGHT, TISSUE, Commands, notes
from tests.phantoms import Stored

NUMBERS = {
    "measurements": [
        {
            "key": "lesion.volume",
            "of": "Lesion",
            "structure": TISSUE,
            "concept": {"value": "118565006", "meaning": "Volume"},
            "unit": {"value": "mL", "meaning": "milliliter"},
        }
    ],
    "notes": ["comment"],
    "features": {"score": "score", "class": "class"},
}
FEATURES = {"features": ["score", "class"]}


def told(commands: Commands, stored: Stored, name: str, *keys: str, **command: Any) -> list[str]:
    """Return what the program was told, by the keys of its action `tell`."""
    folder = commands.folder(name, numbers={"notes": list(keys)}, **command)
    return notes(commands.run(folder, stored, "tell"))


# -- how it is told ---------------------------------------------------------------------------


def test_placeholders_fill_single_arguments_and_no_shell_sees_them(
    commands: Commands, stored: Stored
) -> None:
    folder = commands.folder(
        "quoted",
        arguments=[*ARGUMENTS, "{parameter:level}", "a b;c $HOME `id`", "{parameter:text}"],
        numbers={"notes": ["arguments"]},
        manifest={
            "parameters": [
                {"name": "do", "default": "", "meaning": "What."},
                {"name": "level", "default": 2.5, "meaning": "A number."},
                {"name": "text", "default": "x", "meaning": "A text."},
            ]
        },
    )
    text = "{input} $(touch no) 'q\""
    outcome = commands.run(folder, stored, "tell", parameters={"text": text})
    assert notes(outcome)[0] == f"2.5 | a b;c $HOME `id` | {text}"


def test_the_environment_is_what_we_list_and_what_the_manifest_adds(
    commands: Commands, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    names, home, place, device, added = told(
        commands,
        stored,
        "surrounded",
        "names",
        "environment.HOME",
        "place",
        "environment.LANG",
        "environment.THREADS",
        environment={"THREADS": "{parameter:do}-2"},
    )
    assert names.split() == ["CUDA_VISIBLE_DEVICES", "HOME", "LANG", "PATH", "THREADS", "TMPDIR"]
    assert home == place
    assert device == "C.UTF-8"
    assert added == "tell-2"


def test_monai_application_packages_are_told_by_their_variables(
    commands: Commands, stored: Stored
) -> None:
    folders = ("INPUT", "OUTPUT", "MODEL")
    keys = [f"environment.HOLOSCAN_{name}_PATH" for name in folders]
    keys += [f"environment.MONAI_{name}PATH" for name in folders]
    keys += ["environment.HOLOSCAN_WORKDIR", "environment.MONAI_WORKDIR", "files"]
    values = told(commands, stored, "packaged", *keys, convention="monai-deploy")
    assert values[:3] == values[3:6]
    assert [Path(value).name for value in values[:3]] == ["in", "out", "packaged"]
    assert values[6] == values[7]
    assert values[8] == "0001.dcm 0002.dcm 0003.dcm"


def test_mercure_modules_are_told_by_their_variables_and_task(
    commands: Commands, stored: Stored
) -> None:
    folder, out, files, settings, module, number = told(
        commands,
        stored,
        "moduled",
        "environment.MERCURE_IN_DIR",
        "environment.MERCURE_OUT_DIR",
        "files",
        "settings",
        "task.process.module_name",
        "task.info.acc",
        convention="mercure",
    )
    assert (Path(folder).name, Path(out).name) == ("in", "out")
    uids = sorted(str(dataset.SOPInstanceUID) for dataset in stored.datasets)
    uid = stored.volume.series_instance_uid
    assert files.split()[0] == f"{uid}#{uids[0]}.dcm"
    assert json.loads(settings) == {"do": "tell"}
    assert module == "moduled"
    assert number == "***"  # it is given to the program, and to nobody else


def test_the_program_has_copies_and_cannot_reach_the_images(
    commands: Commands, stored: Stored
) -> None:
    (kept,) = told(commands, stored, "copied", "kept")
    assert set(kept.split()) == {"1"}  # no link of either kind
    before = [path.read_bytes() for path in stored.paths]
    folder = commands.folder("copied")
    commands.run(folder, stored, "tell;spoil-inputs")
    assert [path.read_bytes() for path in stored.paths] == before


def test_several_inputs_have_a_folder_each(
    commands: Commands, stored: Stored, tmp_path: Path
) -> None:
    other = phantoms.stored(tmp_path / "other")
    inputs = [
        {"name": name, "title": "Any MR", "select": {"Modality": "MR"}} for name in ("t1", "flair")
    ]
    for form, files in (
        ("dicom", "flair flair/0001.dcm flair/0002.dcm"),
        ("nifti", "flair.nii.gz t1.nii.gz"),
    ):
        folder = commands.folder(
            f"several-{form}",
            input=form,
            numbers={"notes": ["files"]},
            manifest={"inputs": inputs},
        )
        outcome = commands.run(folder, {"t1": stored, "flair": other}, "tell")
        assert notes(outcome) == [files]


# -- what it says -----------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["axial", "sagittal", "oblique", "axial, columns flipped"])
def test_nifti_in_and_out_marks_the_right_voxels(
    storage: str, commands: Commands, tmp_path: Path
) -> None:
    datasets = phantoms.slices(phantoms.STORAGES[storage])
    given = phantoms.stored(tmp_path / "in", datasets[::-1])
    folder = commands.folder(
        "marking",
        input="nifti",
        labels={"file": "labels.nii.gz"},
        manifest={"outputs": [BRIGHT]},
    )
    output = commands.run(folder, given, "labels").output
    (finding,) = output.result.findings
    marked = sum(int((phantoms.truth(dataset) > 0).sum()) for dataset in datasets)
    assert finding.measurements[0].value == pytest.approx(marked * given.volume.voxel_ml)
    seg, report = commands.encode(folder, given, output)
    path = tmp_path / "seg.dcm"
    path.write_bytes(seg.data)
    view = read_segmentation(path)
    for dataset in datasets:
        labels = view.labels_for(dataset.SOPInstanceUID, None)
        assert np.array_equal(labels > 0, phantoms.truth(dataset) > 0)
    assert report.kind == "sr"


def test_numbers_texts_and_features_come_out_of_its_json(
    commands: Commands, stored: Stored
) -> None:
    folder = commands.folder("counting", numbers=NUMBERS, manifest=FEATURES)
    text = {
        "lesion": {"volume": 3},
        "comment": "one lesion\n of Synthetic^Patient",
        "score": 0.25,
        "class": "B2",
    }
    outcome = commands.run(folder, stored, "json=" + json.dumps(text))
    result = outcome.output.result
    (finding,) = result.findings
    assert (finding.name, finding.measurements[0].value) == ("Lesion", 3.0)
    assert finding.measurements[0].unit.scheme == "UCUM"
    assert notes(outcome) == ["one lesion of ***"]
    assert {item.name: item.number or item.category for item in result.features} == {
        "score": 0.25,
        "class": "B2",
    }


def test_labels_and_numbers_meet_in_one_finding(commands: Commands, stored: Stored) -> None:
    folder = commands.folder(
        "combined",
        input="nifti",
        labels={"file": "*.nii.gz"},
        numbers={
            "measurements": [
                {
                    "key": "mean",
                    "of": "Bright",
                    "concept": {"value": "373098007", "meaning": "Mean"},
                    "unit": {"value": "1", "meaning": "no units"},
                }
            ]
        },
        manifest={"outputs": [BRIGHT]},
    )
    output = commands.run(folder, stored, 'labels=a.nii.gz;json={"mean": 7.5}').output
    (finding,) = output.result.findings
    assert [item.concept.meaning for item in finding.measurements] == ["Volume", "Mean"]
    assert finding.region is not None
    missing = commands.run(folder, stored, "labels=a.nii.gz;json={}").output.result.findings[0]
    assert missing.measurements[1].not_measured == "The program gave no value"
    with pytest.raises(
        PermanentPipelineError, match=r"\*.nii.gz in its output: 2 files are called"
    ):
        commands.run(folder, stored, "labels=a.nii.gz;labels=b.nii.gz;json={}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "holds no object"),
        ("{", "is no JSON"),
        ('{"lesion": {"volume": NaN}}', "NaN is no number in JSON"),
        ('{"lesion": {"volume": 1e999}}', "lesion.volume is no finite number"),
        ('{"lesion": {"volume": "7"}}', "lesion.volume is no number"),
        ('{"lesion": {"volume": true}}', "lesion.volume is no number"),
        ('{"lesion": {"volume": ' + "9" * 400 + "}}", "lesion.volume is no finite number"),
        ('{"comment": 7}', "comment is no text"),
        ('{"comment": "' + "x" * 201 + '"}', "comment is longer than 200 characters"),
        ('{"class": "' + "x" * 65 + '"}', "class is no short text"),
        ('{"score": 1, "score": 2}', "a key is there twice"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_json_that_is_not_as_declared_is_refused(
    text: str, told: str, commands: Commands, stored: Stored
) -> None:
    folder = commands.folder("counting", numbers=NUMBERS, manifest=FEATURES)
    with pytest.raises(PermanentPipelineError, match=r"result\.json in its output: ") as error:
        commands.run(folder, stored, f"json={text}")
    assert told in str(error.value)
