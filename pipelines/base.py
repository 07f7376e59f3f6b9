"""What a pipeline is: something that is loaded on a device once, and then infers.

The class that a manifest's `entry` names is called with the keywords `manifest` and `folder`,
after the weights' SHA-256 were compared. It reads its files in `load`, not before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from appliance.core.errors import PermanentPipelineError
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
    `prepared` is what the pipeline's own `prepare` made of these volumes, or None.
    """

    volumes: Mapping[str, Volume]
    files: Mapping[str, tuple[Path, ...]]
    scratch: Path
    parameters: Mapping[str, ParameterValue]
    run_uid: str
    progress: Progress
    prepared: object = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeObjects:
    """DICOM files that the pipeline made itself, as they are: nobody has looked at them yet.

    `data` has the bytes of all files, one after the other: one array, whatever their number.
    `names` are the pipeline's own, for messages; `sizes` are in bytes, in the same order.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    data: npt.NDArray[np.uint8]

    @staticmethod
    def of(files: Sequence[tuple[str, bytes]]) -> "MadeObjects":
        """Return these files, each with its name."""
        return MadeObjects(
            names=tuple(name for name, _ in files),
            sizes=tuple(len(data) for _, data in files),
            data=np.frombuffer(b"".join(data for _, data in files), dtype=np.uint8),
        )

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield each file's name and bytes.

        Raises PermanentPipelineError where the sizes are not those of the bytes: what a child
        process sent is not to be believed.
        """
        if (
            len(self.names) != len(self.sizes)
            or min(self.sizes, default=0) < 0
            or sum(self.sizes) != self.data.size
        ):
            raise PermanentPipelineError("the sizes of its objects are not those of their bytes")
        start = 0
        for name, size in zip(self.names, self.sizes, strict=True):
            yield name, self.data[start : start + size].tobytes()
            start += size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PipelineOutput:
    """What one run says; the label map lies on the voxels of one input volume.

    `made` are objects that the pipeline made itself: `pipelines.encode` adopts them or refuses.
    """

    result: PipelineResult
    label_map: LabelMap | None
    made: MadeObjects | None = None


class Pipeline(Protocol):
    """A model behind one interface. Used by one thread at a time."""

    def load(self, device: str) -> None:
        """Read the weights and put them on `device` ("cpu", "cuda:0"). Called once."""

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return what the model says of `study`.

        Raises InputRefused where this is not what the pipeline was made for, and other
        PipelineErrors where the model failed.
        """


@runtime_checkable
class Prepares(Protocol):
    """A pipeline that can do a part of the next run while one is inferred: resampling, mostly."""

    def prepare(self, volumes: Mapping[str, Volume]) -> object:
        """Return what `infer` finds as `study.prepared`, never None.

        Called beside `infer`, in another thread: it uses no device and changes nothing that
        `infer` reads. Whatever it raises is dropped; `infer` then does it all, and says why not.
        """


class PipelineFactory(Protocol):
    """The class that a manifest's `entry` names."""

    def __call__(self, *, manifest: Manifest, folder: Path) -> Pipeline: ...
