"""Otsu's threshold, the largest component, its volume in mL."""

from pathlib import Path

import numpy as np
from scipy import ndimage

from appliance.core.errors import InputRefused
from appliance.core.model import (
    Code,
    Feature,
    Finding,
    Measurement,
    PipelineResult,
    Region,
    Segment,
)
from appliance.core.uids import uid_from_name
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.manifest import Manifest
from pipelines.volume import LabelMap

VOLUME = Code(value="118565006", scheme="SCT", meaning="Volume")
MILLILITRE = Code(value="mL", scheme="UCUM", meaning="milliliter")


class BrightVolume:
    """The brightest object of any CT or MR."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        self._output = manifest.outputs[0]
        self._folder = folder

    def load(self, device: str) -> None:
        """Nothing to load; runs on the CPU only."""
        if device != "cpu":
            raise ValueError(f"{self._folder}: asked to run on {device}")

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return the largest bright component as one segment."""
        volume = study.volumes["image"]
        study.progress(0.1, "threshold")
        bright = volume.array > otsu(volume.array)
        study.progress(0.5, "components")
        labels, count = ndimage.label(bright)
        if count == 0:
            raise InputRefused("the volume is empty: all voxels have the same value")
        largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
        values = volume.array[largest]
        volume_ml = float(largest.sum()) * volume.voxel_ml
        segment = Segment(
            number=1,
            name=self._output.name,
            structure=self._output.structure.code,
            category=self._output.category.code,
            side=None,
            tracking_uid=uid_from_name(study.run_uid, "tracking", self._output.name),
            color=self._output.color,
        )
        finding = Finding(
            name=segment.name,
            structure=segment.structure,
            side=None,
            measurements=(Measurement(concept=VOLUME, value=volume_ml, unit=MILLILITRE),),
            region=Region(segment_number=1, series_instance_uid=volume.series_instance_uid),
            tracking_uid=segment.tracking_uid,
        )
        numbers = {
            "volume_ml": volume_ml,
            "mean": float(values.mean()),
            "standard_deviation": float(values.std()),
        }
        study.progress(1.0, "done")
        return PipelineOutput(
            result=PipelineResult(
                findings=(finding,),
                segments=(segment,),
                features=tuple(
                    Feature(group="output", name=name, number=number)
                    for name, number in numbers.items()
                ),
            ),
            label_map=LabelMap(array=largest.astype(np.uint8), input_name="image"),
        )


def otsu(array: np.ndarray) -> float:
    """Return the threshold that separates two classes best (Otsu 1979)."""
    counts, edges = np.histogram(array, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / np.maximum(below, 1)
    mean_above = (np.cumsum((counts * centres)[::-1]) / np.maximum(above[::-1], 1))[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[int(np.argmax(between))])
