"""What a volume is like, and whether that is what a pipeline was made for and trained on. Pure.

A manifest's `checks` say what an input must be like, its `training` what the model has seen. A
volume outside of either is refused or run and flagged, as the manifest says: in the report, on
the page, and as features of the group "quality" that drift watches.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from appliance.core.model import Feature, PipelineResult
from pipelines.base import PipelineOutput
from pipelines.checks import NO_CONTRAST
from pipelines.findings import VOLUME
from pipelines.inputs import Check, Input, Measure, Otherwise
from pipelines.outputs import Output
from pipelines.volume import Float32, Mask, Volume

GROUP = "quality"
FLAG = "Outside of what the model was made for:"
OUTSIDE = "outside"  # the feature that counts what is outside of what the manifest says

_OBLIQUE_DEGREES = 20.0
_ORIENTATIONS = ("sagittal", "coronal", "axial")  # by the patient axis that slices follow
_STEP = 2  # every second voxel along each axis says the same, eight times as fast
_BODY = 0.2  # of the way from the 2nd to the 98th percentile
_MAD_OF_A_GAUSSIAN = 0.6745
_LEAST_VOXELS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """One thing about an input that is not as its manifest says."""

    input_name: str
    text: str  # a clause for people: what was found, what is wanted, and why
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found of one input."""

    departures: tuple[Departure, ...]
    features: tuple[Feature, ...]


def judge(volume: Volume, wanted: Input, *, prefix: str = "") -> Judgement:
    """Return how `volume` compares with what its input declares.

    `prefix` stands before the features' names, where a pipeline has several inputs.
    """
    found = {
        measure: MEASURES[measure](volume)
        for measure in (*(check.measure for check in wanted.checks), *wanted.training.ranges)
    }
    departures = (*_checks(found, wanted), *_training(found, wanted))
    return Judgement(
        departures=departures, features=tuple(_features(found, departures, wanted, prefix))
    )


def _checks(found: Mapping[Measure, float | str], wanted: Input) -> Iterator[Departure]:
    for check in wanted.checks:
        value = found[check.measure]
        if not _holds(value, check):
            why = f" ({check.why})" if check.why else ""
            yield Departure(
                input_name=wanted.name,
                text=f"{check.measure.words} is {_said(value)}; {_wanted(check)}{why}",
                refused=check.otherwise is Otherwise.REFUSE,
            )


def _holds(value: float | str, check: Check) -> bool:
    if isinstance(value, str):
        return value in check.one_of
    above = check.at_least is None or value >= check.at_least
    return above and (check.at_most is None or value <= check.at_most)


def _wanted(check: Check) -> str:
    if check.one_of:
        return f"{' or '.join(check.one_of)} is needed"
    limits = (("at least", check.at_least), ("at most", check.at_most))
    return " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)


def _training(found: Mapping[Measure, float | str], wanted: Input) -> Iterator[Departure]:
    training = wanted.training
    for measure, (low, high) in training.ranges.items():
        value = found[measure]
        if isinstance(value, float) and not low <= value <= high:
            yield Departure(
                input_name=wanted.name,
                text=f"{measure.words} is {_said(value)}; the model was trained on {low:g} to "
                f"{high:g} ({training.source})",
                refused=training.otherwise is Otherwise.REFUSE,
            )


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _features(
    found: Mapping[Measure, float | str],
    departures: tuple[Departure, ...],
    wanted: Input,
    prefix: str,
) -> Iterator[Feature]:
    for measure, value in found.items():
        name = f"{prefix}{measure.value}"
        if isinstance(value, str):
            yield Feature(group=GROUP, name=name, category=value)
        else:
            yield Feature(group=GROUP, name=name, number=value)
    if wanted.checks or wanted.training.ranges:
        count = float(len(departures))
        yield Feature(group=GROUP, name=f"{prefix}{OUTSIDE}", number=count)


def unexpected(result: PipelineResult, outputs: Sequence[Output]) -> tuple[str, ...]:
    """Return in words which volumes the training data never had, as outputs' `expected_ml` say."""
    expected = {output.name: output.expected_ml for output in outputs if output.expected_ml}
    return tuple(
        f"{finding.name}{f', {finding.side}' if finding.side else ''} has {measured.value:.3g} mL; "
        f"the training data had {expected[finding.name][0]:g} to {expected[finding.name][1]:g} mL"
        for finding in result.findings
        for measured in finding.measurements
        if finding.name in expected
        and measured.concept == VOLUME
        and measured.value is not None
        and not expected[finding.name][0] <= measured.value <= expected[finding.name][1]
    )


def flagged(
    output: PipelineOutput, judged: Sequence[Judgement], volumes: Sequence[str]
) -> PipelineOutput:
    """Return `output` with a note for each departure that did not refuse, and features of all.

    `volumes` are results outside of what was expected, in words.
    """
    features = [feature for one in judged for feature in one.features]
    texts = [*(part.text for one in judged for part in one.departures), *volumes]
    if volumes:
        features.append(Feature(group=GROUP, name="unexpected_volumes", number=float(len(volumes))))
    if not texts and not features:
        return output
    result = replace(
        output.result,
        notes=(*output.result.notes, *(f"{FLAG} {text}." for text in texts)),
        features=(*output.result.features, *features),
    )
    return replace(output, result=result)


# -- measures ---------------------------------------------------------------------------------


def orientation(volume: Volume) -> str:
    """Return in which plane the slices lie; "oblique" beyond 20 degrees from each."""
    normal = volume.affine[:3, 0] / np.linalg.norm(volume.affine[:3, 0])
    cosines = np.abs(normal)
    nearest = int(np.argmax(cosines))
    angle = float(np.degrees(np.arccos(min(cosines[nearest], 1.0))))
    return "oblique" if angle > _OBLIQUE_DEGREES else _ORIENTATIONS[nearest]


def contrast(volume: Volume) -> str:
    """Return "given", "none" or "unknown": what (0018,0010) says, which is type 2 (PS3.3 C.7.6.4).

    An empty value means that nobody knows; an absent one, that nobody asked.
    """
    agents = {
        str(value).strip().upper() for value in volume.attributes.get("ContrastBolusAgent", ())
    }
    agents.discard("")
    if not agents:
        return "unknown"
    return "none" if agents <= NO_CONTRAST else "given"


def noise(volume: Volume) -> float:
    """Return the standard deviation of the noise within the body, in the volume's units.

    Median absolute value of the diagonal details of a Haar transform of each slice (Donoho and
    Johnstone, Biometrika 1994); edges are few among them and don't count.
    """
    array = volume.array[:, : volume.array.shape[1] // 2 * 2, : volume.array.shape[2] // 2 * 2]
    corners = (array[:, ::2, ::2], array[:, 1::2, ::2], array[:, ::2, 1::2], array[:, 1::2, 1::2])
    details = (corners[0] - corners[1] - corners[2] + corners[3]) / 2.0
    inside = details[_body(volume.array, corners[0])]
    if inside.size < _LEAST_VOXELS:
        inside = details.ravel()
    return float(np.median(np.abs(inside))) / _MAD_OF_A_GAUSSIAN if inside.size else 0.0


def signal_to_noise(volume: Volume) -> float:
    """Return the mean within the body over the noise; 1e6 where there is no noise at all."""
    inside = volume.array[_body(volume.array, volume.array)]
    deviation = noise(volume)
    if not inside.size:
        return 0.0
    return min(abs(float(inside.mean(dtype=np.float64))) / deviation, 1e6) if deviation else 1e6


def _body(array: Float32, of: Float32) -> Mask:
    low, high = np.percentile(array[::_STEP, ::_STEP, ::_STEP], (2, 98))
    found: Mask = of > low + _BODY * (high - low)
    return found


def _spacing(volume: Volume, axis: int) -> float:
    return float(volume.spacing[axis])


def _extent(volume: Volume, patient: int) -> float:
    return float(volume.extent_mm[patient])


def _percentile(volume: Volume, percent: float) -> float:
    return float(np.percentile(volume.array[::_STEP, ::_STEP, ::_STEP], percent))


def _spread(volume: Volume) -> float:
    """Return (p99 - p50) / (p50 - p01): how skewed the histogram is, whatever its scale."""
    low, middle, high = np.percentile(volume.array[::_STEP, ::_STEP, ::_STEP], (1, 50, 99))
    return float((high - middle) / (middle - low)) if middle > low else 1e6


MEASURES: Mapping[Measure, Callable[[Volume], float | str]] = MappingProxyType(
    {
        Measure.SLICE_SPACING: lambda volume: _spacing(volume, 0),
        Measure.PIXEL_SPACING: lambda volume: max(volume.spacing[1:]),
        Measure.LARGEST_SPACING: lambda volume: max(volume.spacing),
        Measure.SMALLEST_SPACING: lambda volume: min(volume.spacing),
        Measure.LEFT_RIGHT: lambda volume: _extent(volume, 0),
        Measure.ANTERIOR_POSTERIOR: lambda volume: _extent(volume, 1),
        Measure.HEAD_FEET: lambda volume: _extent(volume, 2),
        Measure.ORIENTATION: orientation,
        Measure.CONTRAST: contrast,
        Measure.NOISE: noise,
        Measure.SIGNAL_TO_NOISE: signal_to_noise,
        Measure.INTENSITY_P01: lambda volume: _percentile(volume, 1),
        Measure.INTENSITY_P50: lambda volume: _percentile(volume, 50),
        Measure.INTENSITY_P99: lambda volume: _percentile(volume, 99),
        Measure.INTENSITY_SPREAD: _spread,
    }
)
