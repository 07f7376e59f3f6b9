"""The checks that hold for every pipeline, whatever it is: its inputs before, its output after."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from appliance.core.errors import InputRefused, PermanentPipelineError
from pipelines.base import Pipeline, PipelineInput, PipelineOutput, Prepares
from pipelines.coverage import shortcomings
from pipelines.inputs import Input
from pipelines.manifest import Manifest
from pipelines.parameters import effective, notes
from pipelines.quality import Judgement, flagged, judge, unexpected
from pipelines.volume import Volume


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
            volumes = volumes_of(wanted, study.volumes)
            if not volumes and wanted.required:
                reasons.append(f"the input {wanted.name} ({wanted.title}) is missing")
            for name, volume in volumes.items():
                prefix = "" if len(study.volumes) == 1 else f"{name}."
                judged.append(judge(volume, wanted, prefix=prefix))
                reasons += [
                    *shortcomings(volume, wanted.coverage),
                    *(one.text for one in judged[-1].departures if one.refused),
                ]
        if self._manifest.registered:
            reasons += _in_several_spaces(study.volumes)
        if reasons:
            raise InputRefused("; ".join(reasons))
        return tuple(judged)


class GuardedAhead(Guarded):
    """One that also prepares its next run."""

    def __init__(self, manifest: Manifest, pipeline: Pipeline, ahead: Prepares) -> None:
        super().__init__(manifest, pipeline)
        self._ahead = ahead

    def prepare(self, volumes: Mapping[str, Volume]) -> object:
        """Return what the pipeline makes of them; whether they will do is found out in its run."""
        return self._ahead.prepare(volumes)


def guarded(manifest: Manifest, pipeline: Pipeline) -> Pipeline:
    """Return `pipeline` behind the checks, with all that it can."""
    if isinstance(pipeline, Prepares):
        return GuardedAhead(manifest, pipeline, pipeline)
    return Guarded(manifest, pipeline)


def _with_notes(output: PipelineOutput, sentences: tuple[str, ...]) -> PipelineOutput:
    result = output.result
    return replace(output, result=replace(result, notes=(*result.notes, *sentences)))


def volumes_of(wanted: Input, volumes: Mapping[str, Volume]) -> Mapping[str, Volume]:
    """Return the volumes of one input: one, or as many as its series was split into."""
    return {
        name: volume
        for name, volume in volumes.items()
        if name == wanted.name or name.startswith(f"{wanted.name}.")
    }


def _in_several_spaces(volumes: Mapping[str, Volume]) -> list[str]:
    """Return why the volumes can't be laid over one another; nothing where they can.

    PS3.3 C.7.4.1: only what shares a Frame of Reference UID shares coordinates.
    """
    by_frame: dict[str, list[str]] = {}
    for name, volume in volumes.items():
        by_frame.setdefault(volume.frame_of_reference_uid or f"none ({name})", []).append(name)
    if len(by_frame) <= 1:
        return []
    groups = "; ".join(" and ".join(names) for names in by_frame.values())
    return [f"the series do not share a frame of reference ({groups}): they are not registered"]


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
