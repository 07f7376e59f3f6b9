"""What kinds `onnx` and `torch` have in common: volumes in, a network, labels or scores out.

    volumes ─ channels ─ preprocess ─ network ─ probabilities ─ source's voxels ─ postprocess
    preprocess.py                     inferring.py              most_likely       afterwards.py
                                      └ numbers of images ─ scoring.py

A kind brings the one thing that differs: how its file becomes a `Net` on a device.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.data import MetaTensor

from appliance.core.errors import PermanentPipelineError
from appliance.core.model import PipelineResult
from pipelines import weights
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.findings import describe, parts_of, volume_features
from pipelines.kinds import afterwards, inferring, preprocess
from pipelines.kinds.axes import Signature, check, check_channels
from pipelines.kinds.inferring import Net
from pipelines.kinds.scoring import scored
from pipelines.manifest import Manifest
from pipelines.network import Network
from pipelines.resample import Grid, most_likely
from pipelines.volume import LabelMap, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A network on a device, and what its file says of itself."""

    net: Net
    signature: Signature


@dataclass(frozen=True, slots=True)
class Prepared:
    """Preprocessed images by name; one, unless all images of an input are wanted."""

    by_name: Mapping[str, MetaTensor]


Opener = Callable[[bytes, Path, Network, str], Opened]
"""The verified content of a network's file, its path for messages, what the manifest says, the
device, to the network on that device. Raises ConfigError."""


class NetworkPipeline:
    """One network between the steps that its manifest declares."""

    def __init__(
        self, *, manifest: Manifest, network: Network, folder: Path, opener: Opener
    ) -> None:
        self._manifest = manifest
        self._network = network
        self._folder = folder
        self._open = opener
        self._net: Net | None = None
        self._device = "cpu"
        self._steps: list[tuple[str, preprocess.Transform]] = []

    def load(self, device: str) -> None:
        """Read the network onto `device` and compare it with the manifest. Raises ConfigError."""
        content = weights.read(self._manifest, self._folder, self._network.file)
        opened = self._open(content, self._folder / self._network.file, self._network, device)
        check(opened.signature, self._manifest, self._network)
        batch = opened.signature.takes[0] if opened.signature.takes else None
        self._net = inferring.in_batches_of(batch, opened.net) if batch else opened.net
        self._steps = preprocess.transforms(self._network.preprocess)
        self._device = device

    def prepare(self, volumes: Mapping[str, Volume]) -> Prepared:
        """Return the preprocessed images, by the first volume of each."""
        names = [item.name for item in self._manifest.inputs]
        # An input of which all images are wanted comes as NAME.1, NAME.2, …
        images = [names] if names[0] in volumes else [[name] for name in volumes]
        return Prepared(
            {
                image[0]: preprocess.through(preprocess.stacked(volumes, image), self._steps)
                for image in images
            }
        )

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return structures on the voxels of the first input, or scores."""
        study.progress(0.0, "preprocess")
        ready = study.prepared
        images = ready if isinstance(ready, Prepared) else self.prepare(study.volumes)
        if self._manifest.scores:
            return self._scored(images, study)
        name, image = next(iter(images.by_name.items()))
        given = self._infer(image.as_tensor(), study)
        study.progress(0.9, "back to the source")
        return self._marked(given, preprocess.grid_of(image), study.volumes[name], name, study)

    def _scored(self, images: Prepared, study: PipelineInput) -> PipelineOutput:
        beside = preprocess.beside_each_other(images.by_name, self._network.inference)
        given = self._infer(beside, study)
        result = scored(
            given,
            tuple(images.by_name),
            self._network.activation,
            self._manifest.scores,
            study.run_uid,
        )
        study.progress(1.0, "done")
        return PipelineOutput(result=result, label_map=None)

    def _infer(self, image: torch.Tensor, study: PipelineInput) -> torch.Tensor:
        if self._net is None:
            raise PermanentPipelineError("asked to infer before it was loaded")
        inference = self._network.inference
        with torch.inference_mode():
            given = inferring.run(
                self._net,
                image.to(self._device, torch.float32),
                inference,
                lambda done, text: study.progress(0.1 + 0.8 * done, text),
            )
        channels = given.shape[0 if given.dim() > 2 else -1]
        check_channels(channels, self._manifest, self._network)
        return given

    def _marked(
        self, given: torch.Tensor, grid: Grid, volume: Volume, name: str, study: PipelineInput
    ) -> PipelineOutput:
        outputs = self._manifest.outputs
        if given.dim() != 4:
            raise PermanentPipelineError(
                f"the network gives {given.dim()} axes for one volume; what marks structures has "
                "four: channel and three of space"
            )
        likely = inferring.probabilities(given, self._network)
        labels = most_likely(likely, grid, preprocess.volume_grid(volume))
        every = [output.label for output in outputs]
        labels = afterwards.apply(labels, self._network.postprocess, every, volume.voxel_ml)
        said = describe(parts_of(labels, outputs), outputs, volume, study.run_uid)
        study.progress(1.0, "done")
        return PipelineOutput(
            result=PipelineResult(
                findings=said.findings,
                segments=said.segments,
                features=volume_features(said.findings),
            ),
            label_map=LabelMap(array=said.label_map, input_name=name),
        )
