"""How a program is told where its files are: placeholders, variables, mercure's task.json.

Names as in the MONAI Deploy App SDK (monai/deploy/core/runtime_env.py; the older set is that of
its versions up to 0.5) and in mercure (docs/modules.rst, app/common/types.py).
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from pipelines.command_spec import PARAMETER, PLACEHOLDER, Convention
from pipelines.device import CPU
from pipelines.specs import ParameterValue

_SEARCHED = "/usr/local/bin:/usr/bin:/bin"
_MODELS = "models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of one run; all but `folder` lie in its scratch."""

    input: Path
    output: Path
    work: Path  # where the program starts, and its home
    temporary: Path
    folder: Path  # the pipeline's own; nobody writes to it

    @staticmethod
    def make(scratch: Path, folder: Path) -> "Places":
        """Return the places of a run, each an empty folder of its own."""
        places = Places(
            input=scratch / "in",
            output=scratch / "out",
            work=scratch / "work",
            temporary=scratch / "tmp",
            folder=folder.resolve(),
        )
        for place in (places.input, places.output, places.work, places.temporary):
            place.mkdir()
        return places

    def fill_in(self, text: str, python: str, parameters: Mapping[str, ParameterValue]) -> str:
        """Return `text` with every placeholder replaced; what is put in is not looked at again."""
        values = {
            "input": str(self.input),
            "output": str(self.output),
            "work": str(self.work),
            "folder": str(self.folder),
            "python": python,
            **{PARAMETER + name: _written(value) for name, value in parameters.items()},
        }
        return PLACEHOLDER.sub(lambda match: values[match[1]], text)


def environment(places: Places, convention: Convention, device: str) -> Mapping[str, str]:
    """Return every variable that the program sees but for those that its manifest adds."""
    return {
        "PATH": os.environ.get("PATH", _SEARCHED),
        "HOME": str(places.work),
        "TMPDIR": str(places.temporary),
        "LANG": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": _visible(device),
        **dict(_variables(places, convention)),
    }


def _variables(places: Places, convention: Convention) -> Iterator[tuple[str, str]]:
    if convention is Convention.MONAI_DEPLOY:
        own = places.folder / _MODELS
        models = own if own.is_dir() else places.folder
        for names, place in (
            (("HOLOSCAN_INPUT_PATH", "MONAI_INPUTPATH"), places.input),
            (("HOLOSCAN_OUTPUT_PATH", "MONAI_OUTPUTPATH"), places.output),
            (("HOLOSCAN_MODEL_PATH", "MONAI_MODELPATH"), models),
            (("HOLOSCAN_WORKDIR", "MONAI_WORKDIR"), places.work),
        ):
            yield from ((name, str(place)) for name in names)
    if convention is Convention.MERCURE:
        yield "MERCURE_IN_DIR", str(places.input)
        yield "MERCURE_OUT_DIR", str(places.output)


def write_task(
    places: Places, module: str, header: Dataset, parameters: Mapping[str, ParameterValue]
) -> None:
    """Write mercure's task.json: the settings are the pipeline's parameters."""
    series = str(header.get("SeriesInstanceUID") or "")
    task = {
        "id": str(places.work.parent.name),
        "info": {
            "action": "process",
            "uid": series,
            "uid_type": "series",
            "triggered_rules": "",
            "applied_rule": None,
            "patient_name": str(header.get("PatientName") or ""),
            "mrn": str(header.get("PatientID") or ""),
            "acc": str(header.get("AccessionNumber") or ""),
            "mercure_version": "",
            "mercure_appliance": "",
            "mercure_server": "",
        },
        "dispatch": {},
        "process": {
            "module_name": module,
            "module_config": None,
            "settings": dict(parameters),
            "retain_input_images": False,
        },
        "study": {},
    }
    (places.input / "task.json").write_text(json.dumps(task, indent=1), encoding="utf-8")


def _visible(device: str) -> str:
    """Return CUDA_VISIBLE_DEVICES so that the program sees `device` alone, as its first."""
    if device == CPU:
        return ""
    index = int(device.partition(":")[2])
    inherited = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return inherited[index] if index < len(inherited) else str(index)


def _written(value: ParameterValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
