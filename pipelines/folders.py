"""From a pipeline's name to its folder. Loads no code of a pipeline.

To add a shipped pipeline, add its folder here; a site's pipeline needs only a `path` in the
settings.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from appliance.core.documents import suggest
from appliance.core.errors import ConfigError
from pipelines.manifest import FILE_NAME, load_manifest

_HERE = Path(__file__).resolve().parent
SHIPPED: Mapping[str, Path] = MappingProxyType(
    {
        "brain-mr": _HERE / "brain_mr",
        "chest-ct-densitometry": _HERE / "chest_ct",
        "brain-mr-onnx": _HERE / "brain_mr_onnx",
        "hippocampus-mr": _HERE / "hippocampus_mr",
        "pet-ct-uptake": _HERE / "pet_ct",
    }
)


def find_folder(name: str, path: Path | None) -> Path:
    """Return the folder of the pipeline `name`: `path` if given, else the shipped one.

    Raises ConfigError, saying which pipelines there are, also where the folder's manifest is
    another pipeline's.
    """
    folder = path or SHIPPED.get(name)
    if folder is None:
        raise ConfigError(
            f"no pipeline is called {name!r}{suggest(name, list(SHIPPED))}; "
            "a pipeline that is not shipped needs its path"
        )
    if not (folder / FILE_NAME).is_file():
        raise ConfigError(f"{folder}: is no pipeline's folder: it has no {FILE_NAME}")
    found = load_manifest(folder).name
    if found != name:
        raise ConfigError(f"{folder / FILE_NAME}:1: name: is {found!r}, not {name!r}")
    return folder
