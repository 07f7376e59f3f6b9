"""The way of one run: refuse, find the lungs, mark them, measure what the series allows."""

from pathlib import Path

from appliance.core.errors import InputRefused
from appliance.core.model import PipelineResult
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.chest_ct import fitness, report, suitable
from pipelines.chest_ct.airways import Airways, find_airways
from pipelines.chest_ct.coarse import Coarse, coarse
from pipelines.chest_ct.lungs import Lungs, air, find_lungs
from pipelines.chest_ct.refine import to_voxels
from pipelines.findings import Part, describe
from pipelines.manifest import Manifest
from pipelines.volume import LabelMap, Labels, Mask, Volume

INPUT = "chest"
ANYWAY = "measure_densities_anyway"
EMPTIEST_HU = -1100.0  # of the air in the windpipe of a CT in Hounsfield units


class ChestCt:
    """Volumes and densities of the lungs on a CT of the chest."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        self._outputs = manifest.outputs
        self._folder = folder

    def load(self, device: str) -> None:
        """Nothing to load; runs on the CPU only."""
        if device != "cpu":
            raise ValueError(f"{self._folder}: asked to run on {device}")

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return volumes, densities where the series allows them, and the label map."""
        volume = study.volumes[INPUT]
        reasons = suitable.refusals(volume.modality, volume.attributes)
        if reasons:
            raise InputRefused("; ".join(reasons))
        study.progress(0.05, "blocks")
        grid = coarse(volume)
        inside, outside = air(grid)
        study.progress(0.15, "airways")
        airways = _airways(grid, inside)
        study.progress(0.3, "lungs")
        lungs = find_lungs(grid, inside, outside, airways)
        study.progress(0.7, "voxels")
        labels = to_voxels(volume, grid, lungs, airways)
        study.progress(0.85, "densities")
        return self._report(study, volume, labels, lungs, airways)

    def _report(
        self, study: PipelineInput, volume: Volume, labels: Labels, lungs: Lungs, airways: Airways
    ) -> PipelineOutput:
        [output] = self._outputs
        parts = {
            Part(label=output.label, side=side): labels == number
            for number, side in enumerate(lungs.sides, 1)
        }
        said = describe(parts, self._outputs, volume, study.run_uid)
        unfit = fitness.reasons(volume)
        is_measured = not unfit or bool(study.parameters[ANYWAY])
        withheld = "" if is_measured else "; ".join(unfit)
        findings = report.with_densities(said, volume, withheld, study.run_uid)
        study.progress(1.0, "done")
        return PipelineOutput(
            result=PipelineResult(
                findings=findings,
                segments=said.segments,
                features=report.features(findings, airways),
                notes=(
                    *suitable.notes(volume.attributes),
                    *report.notes(volume, lungs, airways),
                    *((report.despite(unfit),) if unfit and is_measured else ()),
                ),
            ),
            label_map=LabelMap(array=said.label_map, input_name=INPUT),
        )


def _airways(grid: Coarse, inside: Mask) -> Airways:
    """Return the large airways. Raises InputRefused where there are none, or their air is none."""
    airways = find_airways(grid, inside)
    if airways is None:
        raise InputRefused(
            "no windpipe was found: the images show no whole chest, or are not in Hounsfield units"
        )
    if airways.air_hu < EMPTIEST_HU:
        raise InputRefused(
            f"the air in the windpipe has {airways.air_hu:.0f} HU, where a calibrated CT has about "
            "-1000: the values are no Hounsfield units"
        )
    return airways
