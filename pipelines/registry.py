"""From a pipeline's folder to an object that infers.

To add a kind of pipeline, add it to `specs.Kind`, a module to `pipelines.kinds`, and that to
`_MODULES`.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pipelines import weights
from pipelines.base import Pipeline
from pipelines.guard import guarded
from pipelines.manifest import Manifest
from pipelines.specs import Kind

# Imported when one is built: a kind may need libraries that take seconds to import.
_MODULES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.PYTHON: "python",
        Kind.MONAI_BUNDLE: "bundle",
        Kind.ONNX: "onnx_file",
        Kind.TORCH: "torch_file",
        Kind.COMMAND: "command",
    }
)


def build(manifest: Manifest, folder: Path) -> Pipeline:
    """Return the pipeline, not yet loaded, behind the checks that its manifest declares.

    Raises ConfigError where weights or code don't fit.
    """
    weights.verify(manifest, folder)
    module = importlib.import_module(f"pipelines.kinds.{_MODULES[manifest.kind]}")
    return guarded(manifest, module.build(manifest, folder))
