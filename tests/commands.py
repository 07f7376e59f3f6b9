"""Pipelines of kind command for tests: folders, runs in a real child, what comes of them.

world = Commands(tmp_path, executor)
folder = world.folder("seg", adopt=["seg"])         # a manifest and the test program
outcome = world.run(folder, series, "seg;print=done")
objects = world.encode(folder, series, outcome.output)
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.jobs.local import LocalExecutor, Outcome, Task
from appliance.jobs.options import PipelineOptions
from pipelines.base import PipelineOutput
from pipelines.encode import EncodedObject, encode
from pipelines.manifest import digest, load_manifest
from pipelines.specs import ParameterValue
from tests import phantoms
from tests.phantoms import Stored

PROGRAM = Path(__file__).parent / "pipelines" / "command"
ARGUMENTS = ("{python}", "{folder}/program.py", "{input}", "{output}", "{parameter:do}")
TISSUE = {"value": "85756007", "meaning": "Tissue"}
BRIGHT = {
    "label": 1,
    "name": "Bright",
    "structure": TISSUE,
    "category": TISSUE,
    "sides": "not-told",
    "color": [230, 148, 34],
}


def write_folder(folder: Path, name: str, *, manifest: Mapping[str, Any], **command: Any) -> Path:
    """Write a pipeline's folder with the test program; `command` is its section's."""
    folder.mkdir(parents=True)
    for path in PROGRAM.glob("*.py"):
        shutil.copy(path, folder)
    (folder / "card.md").write_text("# A program for tests\n")
    document = {
        "name": name,
        "version": "1.0.0",
        "kind": "command",
        "command": {"arguments": list(ARGUMENTS)} | command,
        "title": "An outside program",
        "manufacturer": "Outside Makers",
        "intended_use": "Tests.",
        "regulatory": {"status": "research"},
        "clinical_role": "second-reader",
        "inputs": [{"name": "image", "title": "Any MR", "select": {"Modality": "MR"}}],
        "parameters": [{"name": "do", "default": "", "meaning": "What it does."}],
        "licence": "Apache-2.0",
        "limits": ["None of this is clinical."],
    }
    (folder / "pipeline.yaml").write_text(json.dumps(document | dict(manifest)))
    return folder


def notes(outcome: Outcome) -> list[str]:
    """Return what the program itself has to say; not which parameters were changed."""
    return [note for note in outcome.output.result.notes if not note.startswith("Here do is set")]


class Commands:
    """Folders below one, and an executor with real children."""

    def __init__(self, root: Path, executor: LocalExecutor) -> None:
        self._root = root
        self._executor = executor

    def folder(self, name: str, **command: Any) -> Path:
        """Return the folder of the pipeline `name`, written at the first call."""
        manifest = command.pop("manifest", {})
        folder = self._root / name
        if not folder.exists():
            write_folder(folder, name, manifest=manifest, **command)
        return folder

    def run(
        self,
        folder: Path,
        series: Stored | Mapping[str, Stored],
        do: str = "",
        *,
        run_uid: str = "2.25.77",
        parameters: Mapping[str, ParameterValue] | None = None,
        **options: Any,
    ) -> Outcome:
        """Run the pipeline in its child. Raises what the executor raises."""
        given = {"image": series} if isinstance(series, Stored) else series
        pipeline = PipelineOptions(
            name=folder.name,
            folder=folder,
            device="cpu",
            parameters={"do": do} | dict(parameters or {}),
            **options,
        )
        outcome = self._executor.run(
            Task(
                pipeline=pipeline,
                digest=digest(folder),
                volumes={name: one.volume for name, one in given.items()},
                files={name: tuple(one.paths) for name, one in given.items()},
                run_uid=run_uid,
            ),
            on_progress=lambda _done, _text: None,
            cancelled=lambda: False,
        )
        assert outcome is not None
        return outcome

    def encode(
        self, folder: Path, series: Stored, output: PipelineOutput, **context: Any
    ) -> tuple[EncodedObject, ...]:
        """Return the run's objects, as a worker makes them."""
        manifest = load_manifest(folder)
        images = {frame.sop_instance_uid for frame in series.volume.frames}
        given = frozenset({series.volume.series_instance_uid, *images})
        run = phantoms.context(
            **({"pipeline": folder.name, "adopt": manifest.adopts, "given": given} | context)
        )
        return encode(run, series.paths, series.volume, output)
