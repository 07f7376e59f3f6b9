"""A network's numbers of one image, or of each of several, to coded findings of the study."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch

from appliance.core.errors import InputRefused, PermanentPipelineError
from appliance.core.model import Feature, Finding, Measurement, PipelineResult
from appliance.core.uids import uid_from_name
from pipelines.findings import feature_name
from pipelines.network import Activation
from pipelines.outputs import Combine, Score

_COMBINED: Mapping[Combine, Callable[[Sequence[float]], float]] = MappingProxyType(
    {
        Combine.HIGHEST: max,
        Combine.LOWEST: min,
        Combine.MEAN: lambda values: sum(values) / len(values),
    }
)


def scored(
    given: torch.Tensor,
    images: Sequence[str],
    activation: Activation,
    scores: tuple[Score, ...],
    run_uid: str,
) -> PipelineResult:
    """Return a finding for each of `scores`, from what a network gives of `images`.

    `given` has the shape (channels,), or (images, channels). The numbers of several images are
    combined as the manifest says, and a note tells each of them. Raises InputRefused where there
    are more planes than images, PermanentPipelineError for other shapes.
    """
    if given.dim() not in (1, 2):
        raise PermanentPipelineError(
            f"the network gives {given.dim()} axes for one image; scores have one: channel"
        )
    rows = given.reshape(-1, given.shape[-1])
    if len(rows) != len(images):
        wanted = "one" if len(images) == 1 else str(len(images))
        raise InputRefused(f"there are {len(rows)} images, and the scores are of {wanted}")
    values = _activated(rows, activation).tolist()
    of_each = {score.name: [float(row[score.channel]) for row in values] for score in scores}
    findings = tuple(
        _finding(score, _COMBINED[score.combine](of_each[score.name]), run_uid) for score in scores
    )
    return PipelineResult(
        findings=findings,
        segments=(),
        features=_features(findings),
        notes=tuple(_note(score, of_each[score.name]) for score in scores if len(images) > 1),
    )


def _activated(rows: torch.Tensor, activation: Activation) -> torch.Tensor:
    if activation is Activation.SOFTMAX:
        return torch.softmax(rows, dim=1)
    return torch.sigmoid(rows) if activation is Activation.SIGMOID else rows


def _finding(score: Score, value: float, run_uid: str) -> Finding:
    return Finding(
        name=score.name,
        structure=score.structure.code,
        side=None,
        measurements=(Measurement(concept=score.concept.code, value=value, unit=score.unit.code),),
        region=None,
        tracking_uid=uid_from_name(run_uid, "tracking", score.name),
    )


def _note(score: Score, values: Sequence[float]) -> str:
    said = ", ".join(f"{value:.3g}" for value in values)
    return f"{score.name} is the {score.combine} of {len(values)} images, in their order: {said}"


def _features(findings: tuple[Finding, ...]) -> tuple[Feature, ...]:
    return tuple(
        Feature(group="output", name=feature_name(finding.name), number=item.value)
        for finding in findings
        for item in finding.measurements
    )
