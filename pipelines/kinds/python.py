"""Kind `python`: a class in the pipeline's folder."""

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType

from appliance.core.errors import ConfigError, PermanentPipelineError
from pipelines.base import Pipeline
from pipelines.manifest import Manifest


def build(manifest: Manifest, folder: Path) -> Pipeline:
    """Return an object of the class that `entry` names. Raises ConfigError, PipelineError."""
    file_name, _, class_name = (manifest.entry or "").partition(":")
    module = _import_from(folder, Path(file_name).stem)
    factory = getattr(module, class_name, None)
    if factory is None:
        raise ConfigError(f"{folder / file_name}:1: has no class {class_name}")
    pipeline: Pipeline = factory(manifest=manifest, folder=folder)
    return pipeline


def _import_from(folder: Path, module: str) -> ModuleType:
    """Import `module` from `folder` as part of a package of its own.

    The folder never gets onto sys.path: its module names can't hide anybody else's. Its modules
    reach one another by relative imports.
    """
    resolved = folder.resolve()
    package = f"pipeline_{hashlib.sha256(str(resolved).encode()).hexdigest()[:16]}"
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(resolved)]
        sys.modules[package] = parent
    try:
        return importlib.import_module(f"{package}.{module}")
    except (ImportError, SyntaxError) as error:
        raise PermanentPipelineError(f"{folder / module}.py cannot be imported: {error}") from error
