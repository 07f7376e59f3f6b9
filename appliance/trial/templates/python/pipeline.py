"""Marks what is bright in an image. Put your model in its place."""

from pathlib import Path

import numpy as np

from appliance.core.errors import InputRefused
from appliance.core.model import Feature, PipelineResult
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.findings import describe, parts_of
from pipelines.manifest import Manifest
from pipelines.volume import LabelMap


class NewPipeline:
    """Made once in a process of its own, loaded once, then asked again and again."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        """Remember what is needed; `folder` is where this file lies. Read nothing yet."""
        self._outputs = manifest.outputs
        self._folder = folder

    def load(self, device: str) -> None:
        """Read the weights and put them on `device`: cpu, or cuda:0 where `gpu_memory` is said."""
        if device != "cpu":
            raise ValueError(f"{self._folder}: this template runs on the CPU")

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return what is found in one study.

        `volume.array` has the axes slice, row, column, in the units of the image (Hounsfield units
        for CT); `volume.affine` takes an index to the patient, `volume.spacing` is in mm.
        """
        volume = study.volumes["image"]
        if volume.array.min() == volume.array.max():
            raise InputRefused("all voxels have the same value")  # said to the reader as it stands
        study.progress(0.1, "threshold")
        dark, bright = np.percentile(volume.array, (1, 99))
        limit = dark + float(study.parameters["share"]) * (bright - dark)
        labels = (volume.array > limit).astype(np.uint8)  # the numbers of `outputs`
        study.progress(0.8, "describe")
        said = describe(parts_of(labels, self._outputs), self._outputs, volume, study.run_uid)
        return PipelineOutput(
            result=PipelineResult(
                findings=said.findings,
                segments=said.segments,
                features=(Feature(group="output", name="threshold", number=float(limit)),),
            ),
            label_map=LabelMap(array=said.label_map, input_name="image"),
        )
