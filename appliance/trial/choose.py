"""Which series of a study a pipeline would be given, by the same code that routes use."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.core.conditions import AllOf
from appliance.core.model import RouteDecision, StudySummary
from appliance.intake.folder import Folder
from appliance.routing.decide import Assessment, assess, series_label
from appliance.routing.rules import InputSpec, PipelineInputs, Route, attributes_needed
from pipelines.manifest import Manifest

_EVERYTHING = AllOf(parts=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one pipeline makes of one study.

    `files` are the images of each input, empty where it does not run; `reasons` say in plain words
    why which series was taken, and of each input without one why none was.
    """

    study_instance_uid: str
    decision: RouteDecision
    files: Mapping[str, tuple[Path, ...]]
    reasons: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Return whether each input that the pipeline requires has a series."""
        return self.decision.matched


def pipeline_inputs(manifest: Manifest) -> PipelineInputs:
    """Return what routing is told of a pipeline."""
    inputs = tuple(
        InputSpec(name=item.name, select=item.select, prefer=item.prefer, required=item.required)
        for item in manifest.inputs
    )
    return PipelineInputs(pipeline=manifest.name, inputs=inputs)


def attributes_of(manifest: Manifest) -> frozenset[str]:
    """Return the attributes that choosing for this pipeline reads."""
    return attributes_needed((), (pipeline_inputs(manifest),))


def choose(manifest: Manifest, study: StudySummary, folder: Folder) -> Choice:
    """Return the series for each input of the pipeline, as a route without conditions has it."""
    inputs = pipeline_inputs(manifest)
    route = Route(name=manifest.name, when=_EVERYTHING, run=(manifest.name,))
    assessment = assess(route, study, {manifest.name: inputs})
    return Choice(
        study_instance_uid=study.study_instance_uid,
        decision=assessment.decision,
        files={
            chosen.input_name: tuple(
                folder.paths[study.study_instance_uid, uid] for uid in chosen.sop_instance_uids
            )
            for chosen in assessment.decision.inputs
        },
        reasons=tuple(_reasons(manifest, study, assessment)),
    )


def _reasons(manifest: Manifest, study: StudySummary, assessment: Assessment) -> Iterator[str]:
    labels = {one.series_instance_uid: series_label(one) for one in study.series}
    filled = {chosen.input_name: chosen for chosen in assessment.filled}
    for item in manifest.inputs:
        chosen = filled.get(item.name)
        if chosen is not None:
            count = len(chosen.sop_instance_uids)
            label = labels[chosen.series_instance_uid]
            yield f"{item.name}: {label}, {count} objects: {chosen.why}"
            continue
        optional = "" if item.required else ", and none is needed"
        yield f"{item.name} ({item.title}): no series fits{optional}"
        for uid, label in labels.items():
            unmet = "; ".join(_unmet(manifest.name, item.name, uid, assessment))
            yield f"    {label}: {unmet or 'serves another input'}"


def _unmet(pipeline: str, name: str, series: str, assessment: Assessment) -> Iterator[str]:
    """Yield the conditions of one input that one series does not meet."""
    mine = f"{pipeline}/{name}: "
    for reason in assessment.decision.reasons:
        is_others = reason.condition.startswith(f"{pipeline}/") and mine not in reason.condition
        if reason.series_instance_uid == series and not reason.holds and not is_others:
            yield f"{reason.condition.removeprefix(mine)} (found: {reason.found})"
