"""The checks that hold for every pipeline, whatever it is: its inputs before, its output after."""

from dataclasses import replace

import numpy as np

from appliance.core.errors import InputRefused, PermanentPipelineError
from pipelines.base import Pipeline, PipelineInput, PipelineOutput
from pipelines.coverage import shortcomings
from pipelines.manifest import Manifest
from pipelines.parameters import effective, notes
from pipelines.quality import Judgement, flagged, judge, unexpected


class Guarded:
    """A pipeline that sees only what its manifest wants, and says only what can be encoded."""

    def __init__(self, manifest: Manifest, pipeline: Pipeline) -> None:
        self._manifest = manifest
        self._pipeline = pipeline

    def load(self, device: str) -> None:
        """Load the pipeline on `device`."""
        self._pipeline.load(device)

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Return what the pipeline says.

        Raises InputRefused where an input is missing or does not show what the manifest
        declares, PermanentPipelineError where the output does not fit the input.
        """
        judged = self._judge(study)
        declared, given = self._manifest.parameters, study.parameters
        output = self._pipeline.infer(replace(study, parameters=effective(declared, given)))
        _consistent(study, output)
        told = _with_notes(output, notes(declared, given))
        return flagged(told, judged, unexpected(output.result, self._manifest.outputs))

    def _judge(self, study: PipelineInput) -> tuple[Judgement, ...]:
        """Return what was found of each input. Raises InputRefused with every reason."""
        judged: list[Judgement] = []
        reasons: list[str] = []
        for wanted in self._manifest.inputs:
            volume = study.volumes.get(wanted.name)
            if volume is None:
                if wanted.required:
                    reasons.append(f"the input {wanted.name} ({wanted.title}) is missing")
                continue
            prefix = "" if len(study.volumes) == 1 else f"{wanted.name}."
            judged.append(judge(volume, wanted, prefix=prefix))
            reasons += [
                *shortcomings(volume, wanted.coverage),
                *(one.text for one in judged[-1].departures if one.refused),
            ]
        if reasons:
            raise InputRefused("; ".join(reasons))
        return tuple(judged)


def _with_notes(output: PipelineOutput, sentences: tuple[str, ...]) -> PipelineOutput:
    result = output.result
    return replace(output, result=replace(result, notes=(*result.notes, *sentences)))


def _consistent(study: PipelineInput, output: PipelineOutput) -> None:
    numbers = [segment.number for segment in output.result.segments]
    if numbers != list(range(1, len(numbers) + 1)):
        raise PermanentPipelineError(f"segments are numbered {numbers}, not from 1 without gaps")
    if output.label_map is None:
        if numbers:
            raise PermanentPipelineError("there are segments but no label map")
        return
    volume = study.volumes[output.label_map.input_name]
    if output.label_map.array.shape != volume.array.shape:
        raise PermanentPipelineError(
            f"the label map is {output.label_map.array.shape}, its input {volume.array.shape}"
        )
    present = np.flatnonzero(np.bincount(output.label_map.array.ravel(), minlength=1))
    if [int(number) for number in present if number] != numbers:
        raise PermanentPipelineError("the label map's values are not the segments' numbers")
