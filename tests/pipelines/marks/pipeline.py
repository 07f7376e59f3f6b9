"""Marks by brightness alone: what is as bright as a label says, in steps of 600."""

from pathlib import Path

import numpy as np

from appliance.core.model import PipelineResult
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.findings import describe, parts_of
from pipelines.manifest import Manifest
from pipelines.volume import LabelMap

STEP = 600


class Marks:
    """Exact on a phantom whose parts are as bright as its labels say."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        self._outputs = manifest.outputs

    def load(self, device: str) -> None:
        """Nothing to load."""

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return each label's voxels as a segment."""
        volume = study.volumes["t1"]
        labels = np.round(volume.array / STEP).astype(np.uint8)
        said = describe(parts_of(labels, self._outputs), self._outputs, volume, study.run_uid)
        return PipelineOutput(
            result=PipelineResult(findings=said.findings, segments=said.segments, features=()),
            label_map=LabelMap(array=said.label_map, input_name="t1"),
        )
