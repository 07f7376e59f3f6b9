"""The way of one run: refuse, conform, infer, set upright if tilted, tell sides, report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from appliance.core.errors import (
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from appliance.core.model import PipelineResult
from pipelines.base import PipelineInput, PipelineOutput, Progress
from pipelines.brain_mr import findings, net, plausible, suitable
from pipelines.brain_mr.head import Head, reaches_out, read_head
from pipelines.brain_mr.sides import Plane, fit_plane, split
from pipelines.brain_mr.tilt import Tilt, measure, upright
from pipelines.findings import describe
from pipelines.manifest import Manifest
from pipelines.outputs import Sides
from pipelines.resample import Grid, most_likely
from pipelines.volume import LabelMap, Labels, Volume

INPUT = "head"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """What one pass through the network says, on the source's voxels."""

    labels: Labels
    grid: Grid
    plane: Plane


class BrainMr:
    """MeshNet-18 on an adult whole-head T1."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        self._folder = folder
        self._outputs = manifest.outputs
        self._names = {output.label: output.name for output in manifest.outputs}
        self._paired = self._labels(Sides.PAIRED)
        self._midline = self._labels(Sides.MIDLINE)
        self._net: torch.nn.Sequential | None = None
        self._device = "cpu"

    def _labels(self, sides: Sides) -> tuple[int, ...]:
        return tuple(output.label for output in self._outputs if output.sides is sides)

    def load(self, device: str) -> None:
        """Read the weights; the SHA-256 was compared before."""
        self._net = net.load(self._folder, device)
        self._device = device

    def prepare(self, volumes: Mapping[str, Volume]) -> Head:
        """Return the head in conformed space, as long as it need not be set upright."""
        return read_head(volumes[INPUT])

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return volumes by structure and side, and their label map on the source's voxels."""
        volume = study.volumes[INPUT]
        reasons = suitable.refusals(volume.modality, volume.attributes)
        if reasons:
            raise InputRefused("; ".join(reasons))
        study.progress(0.0, "conform")
        ready = study.prepared
        head = ready if isinstance(ready, Head) else self.prepare(study.volumes)
        first = self._run(volume, head, _between(study.progress, 0.0, 0.8))
        tilt = measure(first.plane, first.grid)
        last = first
        if first.plane.trusted and tilt.too_much:
            study.progress(0.8, "conform")
            head = read_head(volume, upright(first.plane, first.grid))
            last = self._run(volume, head, _between(study.progress, 0.8, 0.95))
        study.progress(0.95, "sides")
        return self._report(study, volume, last, tilt)

    def _run(self, volume: Volume, whole: Head, progress: Progress) -> _Run:
        labels = self._segment(whole, volume, progress)
        reasons = plausible.refusals(volume, labels, self._names)
        if reasons:
            raise InputRefused("this is not a whole adult head on a T1: " + "; ".join(reasons))
        plane = fit_plane(labels, volume.affine, self._paired, self._midline)
        if plane is None:
            raise InputRefused("no structure of a brain was found")
        return _Run(labels=labels, grid=whole.grid, plane=plane)

    def _segment(self, whole: Head, volume: Volume, progress: Progress) -> Labels:
        shape = (volume.array.shape[0], volume.array.shape[1], volume.array.shape[2])
        source = Grid(shape=shape, affine=volume.affine)
        try:
            part = whole.cranium()
            classes = self._classes(part, _between(progress, 0.05, 0.7))
            if reaches_out(classes, part, whole):
                part = whole
                classes = self._classes(part, _between(progress, 0.7, 0.9))
            progress(0.9, "back to the source")
            return most_likely(classes, part.grid, source)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise TransientPipelineError(f"out of memory on {self._device}: {error}") from error

    def _classes(self, part: Head, progress: Progress) -> torch.Tensor:
        if self._net is None:
            raise PermanentPipelineError("asked to infer before it was loaded")
        intensities = torch.from_numpy(part.array).to(self._device)
        return net.probabilities(self._net, intensities, lambda done: progress(done, "infer"))

    def _report(
        self, study: PipelineInput, volume: Volume, run: _Run, tilt: Tilt
    ) -> PipelineOutput:
        parts = split(run.labels, volume.affine, run.plane, self._paired, self._midline)
        said = describe(parts, self._outputs, volume, study.run_uid)
        numbers = {
            "roll_deg": tilt.roll,
            "yaw_deg": tilt.yaw,
            "plane_residual_mm": run.plane.residual_mm,
        }
        known = {name: number for name, number in numbers.items() if np.isfinite(number)}
        study.progress(1.0, "done")
        return PipelineOutput(
            result=PipelineResult(
                findings=said.findings,
                segments=said.segments,
                features=findings.features(said.findings, volume, run.labels > 0, known),
                notes=(*suitable.notes(volume.attributes), *_notes(run.plane, tilt)),
            ),
            label_map=LabelMap(array=said.label_map, input_name=INPUT),
        )


def _notes(plane: Plane, tilt: Tilt) -> tuple[str, ...]:
    if not plane.trusted:
        said = (
            "Left and right could not be told: the structures do not lie evenly about a "
            f"mid-sagittal plane (residual {plane.residual_mm:.1f} mm)."
        )
    elif tilt.too_much:
        said = (
            f"The head is tilted (roll {tilt.roll:.0f} degrees, yaw {tilt.yaw:.0f} degrees); it "
            "was set upright and the model was run again."
        )
    else:
        return ()
    return (said,)


def _between(progress: Progress, start: float, stop: float) -> Callable[[float, str], None]:
    return lambda done, phase: progress(start + (stop - start) * done, phase)
