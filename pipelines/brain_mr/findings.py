"""Features of a brain: volumes by structure and side, intensities."""

from collections.abc import Mapping

import numpy as np

from appliance.core.model import Feature, Finding
from pipelines.findings import volume_features
from pipelines.volume import Mask, Volume

_PERCENTILES = (5, 50, 95)


def features(
    findings: tuple[Finding, ...], volume: Volume, brain: Mask, others: Mapping[str, float]
) -> tuple[Feature, ...]:
    """Return the output features: volumes by structure and side, intensities, and `others`."""
    inside = volume.array[brain]
    numbers = {"brain_ml": float(inside.size) * volume.voxel_ml}
    numbers["intensity_mean"] = float(inside.mean(dtype=np.float64))
    numbers["intensity_sd"] = float(inside.std(dtype=np.float64))
    for percent, value in zip(_PERCENTILES, np.percentile(inside, _PERCENTILES), strict=True):
        numbers[f"intensity_p{percent:02d}"] = float(value)
    numbers.update(others)
    return volume_features(findings) + tuple(
        Feature(group="output", name=name, number=number) for name, number in numbers.items()
    )
