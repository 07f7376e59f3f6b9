"""Masks of structures and sides become segments, findings, features and one label map."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from appliance.core.model import Code, Feature, Finding, Measurement, Region, Segment, Side
from appliance.core.uids import uid_from_name
from pipelines.brain_mr.sides import Mask, Part
from pipelines.manifest import Output, Sides
from pipelines.volume import Labels, Volume

VOLUME = Code(value="118565006", scheme="SCT", meaning="Volume")
MILLILITRE = Code(value="mL", scheme="UCUM", meaning="milliliter")
_PERCENTILES = (5, 50, 95)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """What one run says of all structures."""

    findings: tuple[Finding, ...]
    segments: tuple[Segment, ...]
    label_map: Labels


def describe(
    parts: Mapping[Part, Mask], outputs: tuple[Output, ...], volume: Volume, run_uid: str
) -> Said:
    """Return a finding and a segment for each structure and side, numbered from 1.

    A side of a paired structure on which nothing was found gets a finding that says so, and no
    segment.
    """
    label_map = np.zeros(volume.array.shape, dtype=np.uint8)
    findings: list[Finding] = []
    segments: list[Segment] = []
    for output, part in _expected(parts, outputs):
        uid = uid_from_name(run_uid, "tracking", output.name, part.side or "")
        mask = parts.get(part)
        if mask is None:
            findings.append(_finding(output, part, uid, None, None))
            continue
        number = len(segments) + 1
        label_map[mask] = number
        segments.append(_segment(number, output, part, uid))
        region = Region(segment_number=number, series_instance_uid=volume.series_instance_uid)
        volume_ml = float(np.count_nonzero(mask)) * volume.voxel_ml
        findings.append(_finding(output, part, uid, volume_ml, region))
    return Said(findings=tuple(findings), segments=tuple(segments), label_map=label_map)


def _expected(
    parts: Mapping[Part, Mask], outputs: tuple[Output, ...]
) -> Iterator[tuple[Output, Part]]:
    for output in outputs:
        whole = Part(label=output.label, side=None)
        if output.sides is Sides.MIDLINE or whole in parts:
            yield output, whole
        else:
            for side in Side:
                yield output, Part(label=output.label, side=side)


def _segment(number: int, output: Output, part: Part, uid: str) -> Segment:
    return Segment(
        number=number,
        name=output.name,
        structure=output.structure.code,
        category=output.category.code,
        side=part.side,
        tracking_uid=uid,
        color=output.color,
    )


def _finding(
    output: Output, part: Part, uid: str, volume_ml: float | None, region: Region | None
) -> Finding:
    missing = "" if volume_ml is not None else "No voxel of this structure was found on this side"
    return Finding(
        name=output.name,
        structure=output.structure.code,
        side=part.side,
        measurements=(
            Measurement(concept=VOLUME, value=volume_ml, unit=MILLILITRE, not_measured=missing),
        ),
        region=region,
        tracking_uid=uid,
    )


def features(
    findings: tuple[Finding, ...], volume: Volume, brain: Mask, others: Mapping[str, float]
) -> tuple[Feature, ...]:
    """Return the output features: volumes by structure and side, intensities, and `others`."""
    numbers: dict[str, float] = {}
    for finding in findings:
        value = finding.measurements[0].value or 0.0
        name = feature_name(finding.name)
        numbers[f"{name}_ml"] = numbers.get(f"{name}_ml", 0.0) + value
        if finding.side:
            numbers[f"{name}_{finding.side}_ml"] = value
    inside = volume.array[brain]
    numbers["brain_ml"] = float(inside.size) * volume.voxel_ml
    numbers["intensity_mean"] = float(inside.mean(dtype=np.float64))
    numbers["intensity_sd"] = float(inside.std(dtype=np.float64))
    for percent, value in zip(_PERCENTILES, np.percentile(inside, _PERCENTILES), strict=True):
        numbers[f"intensity_p{percent:02d}"] = float(value)
    numbers.update(others)
    return tuple(
        Feature(group="output", name=name, number=number) for name, number in numbers.items()
    )


def feature_name(structure: str) -> str:
    """Return a structure's name as features spell it."""
    return structure.lower().replace("-", "_")
