"""From a pipeline's folder to an object that infers.

To add a kind of pipeline, add it to `manifest.Kind` and here to `_BUILDERS`.
"""

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

from appliance.core.errors import ConfigError, PermanentPipelineError
from pipelines import weights
from pipelines.base import Pipeline
from pipelines.guard import Guarded
from pipelines.manifest import Kind, Manifest


def build(manifest: Manifest, folder: Path) -> Pipeline:
    """Return the pipeline, not yet loaded, behind the checks that its manifest declares.

    Raises ConfigError where weights or code don't fit.
    """
    weights.verify(manifest, folder)
    return Guarded(manifest, _BUILDERS[manifest.kind](manifest, folder))


def _build_python(manifest: Manifest, folder: Path) -> Pipeline:
    file_name, _, class_name = manifest.entry.partition(":")
    module = _import_from(folder, Path(file_name).stem)
    factory = getattr(module, class_name, None)
    if factory is None:
        raise ConfigError(f"{folder / file_name}:1: has no class {class_name}")
    pipeline: Pipeline = factory(manifest=manifest, folder=folder)
    return pipeline


_BUILDERS: Mapping[Kind, Callable[[Manifest, Path], Pipeline]] = MappingProxyType(
    {Kind.PYTHON: _build_python}
)


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
