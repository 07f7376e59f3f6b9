"""docs/PIPELINES.md is true: its commands are typed as they stand, and print what it shows.

`make guide` writes what the commands print into the page.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from monai.networks.nets import UNet
from pydicom import dcmread

from appliance.core.states import JobState
from pipelines.specs import Kind
from tests.appliance import appliance, settings, write
from tests.builders import ct_series, write_all
from tests.bundles import ZOO, quiet, save_weights, sha256
from tests.counterparts import storescu
from tests.phantoms import slices

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "PIPELINES.md"
BUNDLES = ROOT / "docs" / "pipelines" / "monai-bundle.md"
WRITE = "APPLIANCE_WRITE_GUIDE"
NAME = "our-model"


def block(kind: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- check: {kind} -->\n).*?(<!-- check ends -->)", re.DOTALL)


def typed(where: Path, *arguments: str) -> str:
    """Run a command as a person does, in the folder `where`; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *arguments],
        cwd=where,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout


def comparable(text: str) -> str:
    """Return the text without what differs from machine to machine and from day to day."""
    text = re.sub(r"^(on \w+), .*$", r"\1", text, flags=re.MULTILINE)  # what isolates it here
    text = re.sub(r"^(read|load|transfer|infer|encode) .*$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"\d[\d.]* (B|KB|MB|GB)\b", "some bytes", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "a digest", text)
    return re.sub(r" +", " ", text)


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_the_check_prints_what_the_guide_shows(tmp_path: Path, kind: str) -> None:
    uids = {"study_instance_uid": "2.25.1", "series_instance_uid": "2.25.2"}
    write_all(slices(**uids), tmp_path / "phantom")
    typed(tmp_path, "pipeline", "new", NAME, "--kind", kind)
    options = ("--study", "phantom", "--out", "looked")
    printed = typed(tmp_path, "pipeline", "check", NAME, *options)
    shown = f"```\n{printed.strip()}\n```\n"
    page = GUIDE.read_text()
    if os.environ.get(WRITE):
        GUIDE.write_text(block(kind).sub(lambda found: f"{found[1]}{shown}{found[2]}", page))
        return
    (found,) = block(kind).finditer(page)
    assert comparable(found[0]) == comparable(f"{found[1]}{shown}{found[2]}"), "run `make guide`"


def stick(folder: Path) -> Path:
    """Lay out what the guide finds on the stick: the zoo's bundle with weights, and a CT."""
    bundle = folder / "spleen_ct_segmentation"
    shutil.copytree(ZOO / bundle.name, bundle)
    torch.manual_seed(0)
    save_weights(
        bundle, UNet(3, 1, 2, [16, 32, 64, 128, 256], [2] * 4, num_res_units=2, norm="batch")
    )
    (bundle / "models" / "model.ts").write_bytes(b"not used")
    ct_abdomen(folder / "ct")
    return folder


def ct_abdomen(folder: Path) -> list[Path]:
    return ct_series(folder, slices=16, rows=32, columns=32, gap=3.0, BodyPartExamined="ABDOMEN")


class Typist:
    """Types the guide's commands in a folder that stands for the machine's root."""

    def __init__(self, root: Path, config: Path) -> None:
        self._root = root
        tools = root / "bin"
        tools.mkdir()
        script = f'#!/bin/sh\nexec "{sys.executable}" -m appliance "$@"\n'
        (tools / "appliance").write_text(script)
        (tools / "appliance").chmod(0o755)
        self._environment = os.environ | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "APPLIANCE_CONFIG": str(config),
        }

    def type(self, commands: str) -> str:
        script = re.sub(r"(?<=[ \n])/(etc|media|srv)/", rf"{self._root}/\1/", commands)
        done = subprocess.run(
            ["sh", "-eu", "-c", script],
            cwd=self._root,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@quiet
def test_from_a_bundle_on_a_stick_to_shadow_mode(tmp_path: Path) -> None:
    """The steps as they stand in the guide, then a study comes by the network."""
    page = GUIDE.read_text()
    lay_out, check, cohort, change = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (written,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    ct = stick(tmp_path / "media" / "stick") / "ct"
    shutil.copytree(ct, tmp_path / "srv" / "known-studies" / "1")
    folder = tmp_path / "etc" / "appliance" / "pipelines" / "spleen-ct"
    data = settings(tmp_path, 104)
    typist = Typist(tmp_path, write(tmp_path, data))

    digest = typist.type(lay_out).splitlines()[-1].split()[0]
    assert digest == sha256(folder / "models" / "model.pt")
    manifest = next(t for t in re.findall(r"```yaml\n(.*?)```", BUNDLES.read_text(), re.DOTALL))
    (folder / "pipeline.yaml").write_text(manifest.replace("0" * 64, digest))
    assert "good" in typist.type(check)
    assert (tmp_path / "looked" / "abdomen.png").is_file()
    assert "1 studies: 1 done" in typist.type(cohort)

    added = yaml.safe_load(written.replace(" /etc/", f" {tmp_path}/etc/"))
    data["pipelines"] = added["pipelines"]
    data["routes"] = added["routes"]
    data["routes"][0]["complete"] = {"quiet": "500 ms", "at_most": "20 s", "then": "hold"}
    write(tmp_path, data)
    said = typist.type(change.replace("systemctl", "true systemctl"))
    assert "good (1 route, 1 pipeline)" in said
    assert "route 'spleen, in shadow': matches" in said

    with appliance(tmp_path, data) as site:
        images = ct_abdomen(tmp_path / "scanner")
        storescu(site.receiver_port, images)
        study = str(dcmread(images[0]).StudyInstanceUID)
        (job,) = site.wait_for_jobs(study, JobState.DONE, 120)
        assert job.pipeline == "spleen-ct"
        assert site.store.jobs.sends(job.job_id) == ()
        assert len(site.store.results.objects(job.job_id)) >= 1
        assert "Shadow: not sent to the PACS" in site.page(study)
