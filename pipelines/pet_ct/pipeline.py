"""Threshold the PET on the CT's voxels, keep what hangs together with the hottest one, measure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from appliance.core.errors import InputRefused
from appliance.core.model import Code, Feature, Finding, Measurement, PipelineResult
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.codes import HOUNSFIELD, MEAN_ATTENUATION
from pipelines.findings import MILLILITRE, describe, parts_of
from pipelines.manifest import Manifest
from pipelines.resample import Grid, linear
from pipelines.volume import Float32, LabelMap, Labels, Mask, Volume

PET, CT, MR = "pt", "ct", "mr"
METABOLIC_VOLUME = Code(value="126032", scheme="DCM", meaning="Metabolic Volume")
GLYCOLYSIS = Code(value="126033", scheme="DCM", meaning="Total Lesion Glycolysis")
GRAM = Code(value="g", scheme="UCUM", meaning="gram")
SUV_UNITS = "GML"  # g/mL: the value of Units (0054,1001) for SUV by weight, PS3.3 C.8.9.1.1.3


class HottestLesion:
    """A fixed threshold around the hottest voxel."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        self._outputs = manifest.outputs
        self._folder = folder

    def load(self, device: str) -> None:
        """Nothing to load; runs on the CPU only."""
        if device != "cpu":
            raise ValueError(f"{self._folder}: asked to run on {device}")

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return the lesion on the CT's voxels, with what PET and CT say there.

        Raises InputRefused where the PET is not in SUV, or shows nothing where the CT is.
        """
        ct, pet = study.volumes[CT], study.volumes[PET]
        if pet.attributes.get("Units", ()) != (SUV_UNITS,):
            raise InputRefused(f"the PET is not in SUV by body weight (Units {SUV_UNITS})")
        study.progress(0.1, "resample")
        uptake = on(ct, pet)
        study.progress(0.5, "threshold")
        lesion = hottest(uptake, float(study.parameters["fraction_of_maximum"]))
        numbers = {
            "metabolic_volume_ml": float(np.count_nonzero(lesion)) * ct.voxel_ml,
            "suv_max": float(uptake[lesion].max()),
            "suv_mean": float(uptake[lesion].mean(dtype=np.float64)),
            "ct_mean_hu": float(ct.array[lesion].mean(dtype=np.float64)),
        }
        numbers["total_lesion_glycolysis_g"] = numbers["metabolic_volume_ml"] * numbers["suv_mean"]
        if MR in study.volumes:
            mr = study.volumes[MR]
            covered = lesion & (on(ct, replace(mr, array=np.ones_like(mr.array))) > 0.5)
            if covered.any():
                numbers["mr_mean"] = float(on(ct, mr)[covered].mean(dtype=np.float64))
        study.progress(1.0, "done")
        return self._said(study, lesion, numbers)

    def _said(
        self, study: PipelineInput, lesion: Mask, numbers: Mapping[str, float]
    ) -> PipelineOutput:
        labels: Labels = lesion.astype(np.uint8)
        parts = parts_of(labels, self._outputs)
        said = describe(parts, self._outputs, study.volumes[CT], study.run_uid)
        return PipelineOutput(
            result=PipelineResult(
                findings=tuple(_measured(finding, numbers) for finding in said.findings),
                segments=said.segments,
                features=tuple(_features(numbers)),
            ),
            label_map=LabelMap(array=said.label_map, input_name=CT),
        )


def on(target: Volume, source: Volume) -> Float32:
    """Return `source` on the voxels of `target`, 0 outside: (slices, rows, columns)."""
    return linear(source.array, _grid(source), _grid(target))


def _grid(volume: Volume) -> Grid:
    slices, rows, columns = volume.array.shape
    return Grid(shape=(slices, rows, columns), affine=volume.affine)


def hottest(uptake: Float32, fraction: float) -> Mask:
    """Return what hangs together with the hottest voxel above `fraction` of it."""
    peak = np.unravel_index(int(np.argmax(uptake)), uptake.shape)
    if not uptake[peak] > 0:
        raise InputRefused("the PET shows no uptake where the CT is")
    labels, _ = ndimage.label(uptake >= fraction * uptake[peak])
    found: Mask = labels == labels[peak]
    return found


def _measured(finding: Finding, numbers: Mapping[str, float]) -> Finding:
    measured = (
        (METABOLIC_VOLUME, "metabolic_volume_ml", MILLILITRE),
        (GLYCOLYSIS, "total_lesion_glycolysis_g", GRAM),
        (MEAN_ATTENUATION, "ct_mean_hu", HOUNSFIELD),
    )
    return replace(
        finding,
        measurements=tuple(
            Measurement(concept=concept, value=numbers[name], unit=unit)
            for concept, name, unit in measured
        ),
    )


def _features(numbers: Mapping[str, float]) -> Iterator[Feature]:
    for name, number in numbers.items():
        yield Feature(group="output", name=name, number=number)
