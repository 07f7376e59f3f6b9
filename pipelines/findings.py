"""Masks of structures and sides become segments, findings and one label map, for every kind."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from appliance.core.model import Code, Feature, Finding, Measurement, Region, Segment, Side
from appliance.core.uids import uid_from_name
from pipelines.outputs import Output, Sides
from pipelines.volume import Labels, Mask, Volume

VOLUME = Code(value="118565006", scheme="SCT", meaning="Volume")
MILLILITRE = Code(value="mL", scheme="UCUM", meaning="milliliter")


SIDE_OF: Mapping[Sides, Side] = MappingProxyType({Sides.LEFT: Side.LEFT, Sides.RIGHT: Side.RIGHT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One structure on one side, or a whole structure that has none."""

    label: int
    side: Side | None


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


def parts_of(labels: Labels, outputs: tuple[Output, ...]) -> Mapping[Part, Mask]:
    """Return the mask of each output whose own class number stands in `labels`.

    For models that tell sides by their labels or not at all: a paired structure stays whole.
    """
    present = set(np.flatnonzero(np.bincount(labels.ravel(), minlength=1)))
    return {
        Part(label=output.label, side=SIDE_OF.get(output.sides)): labels == output.label
        for output in outputs
        if output.label in present
    }


def volume_features(findings: tuple[Finding, ...]) -> tuple[Feature, ...]:
    """Return the volumes in mL that `describe` measured: by structure, and by side if it has one.

    A structure that was not found counts as 0.
    """
    numbers: dict[str, float] = {}
    for finding in findings:
        value = finding.measurements[0].value or 0.0
        name = feature_name(finding.name)
        numbers[f"{name}_ml"] = numbers.get(f"{name}_ml", 0.0) + value
        if finding.side:
            numbers[f"{name}_{finding.side}_ml"] = value
    return tuple(
        Feature(group="output", name=name, number=number) for name, number in numbers.items()
    )


def feature_name(structure: str) -> str:
    """Return a structure's name as features spell it."""
    return re.sub(r"[\W_]+", "_", structure.lower()).strip("_")


def _expected(
    parts: Mapping[Part, Mask], outputs: tuple[Output, ...]
) -> Iterator[tuple[Output, Part]]:
    for output in outputs:
        whole = Part(label=output.label, side=None)
        if output.sides in SIDE_OF:
            yield output, Part(label=output.label, side=SIDE_OF[output.sides])
        elif output.sides is not Sides.PAIRED or whole in parts:
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
    where = " on this side" if part.side is not None else ""
    missing = "" if volume_ml is not None else f"No voxel of this structure was found{where}"
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
