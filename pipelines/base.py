"""What a pipeline is: something that is loaded on a device once, and then infers.

The class that a manifest's `entry` names is called with the keywords `manifest` and `folder`,
after the weights' SHA-256 were compared. It reads its files in `load`, not before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.core.model import PipelineResult
from pipelines.manifest import Manifest
from pipelines.specs import ParameterValue
from pipelines.volume import LabelMap, Volume

Progress = Callable[[float, str], None]
"""Told how far a run is, 0 … 1, and what it does now in a word or two."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PipelineInput:
    """What one run may read: a volume for each input that the manifest names.

    `files` are the DICOM files that each volume was read from, in the order of
    `FrameRef.path_index`; nobody writes to them. `scratch` is an empty folder of this run's own
    that is gone after it. `parameters` has a value for each one that the manifest declares.
    `run_uid` is the root of every UID that the run makes, so that attempts make the same.
    """

    volumes: Mapping[str, Volume]
    files: Mapping[str, tuple[Path, ...]]
    scratch: Path
    parameters: Mapping[str, ParameterValue]
    run_uid: str
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PipelineOutput:
    """What one run says; the label map lies on the voxels of one input volume."""

    result: PipelineResult
    label_map: LabelMap | None


class Pipeline(Protocol):
    """A model behind one interface. Used by one thread at a time."""

    def load(self, device: str) -> None:
        """Read the weights and put them on `device` ("cpu", "cuda:0"). Called once."""

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return what the model says of `study`.

        Raises InputRefused where this is not what the pipeline was made for, and other
        PipelineErrors where the model failed.
        """


class PipelineFactory(Protocol):
    """The class that a manifest's `entry` names."""

    def __call__(self, *, manifest: Manifest, folder: Path) -> Pipeline: ...
