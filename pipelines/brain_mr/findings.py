"""Features of a brain: volumes by structure and side, intensities."""

from collections.abc import Mapping

import numpy as np

from appliance.core.model import Feature, Finding
from pipelines.volume import Mask, Volume

_PERCENTILES = (5, 50, 95)


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
