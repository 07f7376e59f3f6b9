"""Compare label maps: overlap and volumes, and what a set of them says together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
# The label values that make up each part.
PARTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"anterior": (1,), "posterior": (2,), "whole": (1, 2)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Bland and Altman, Lancet 1986: the mean of (model - label) and its 95 % limits, in mL."""

    bias: float
    low: float
    high: float


def dice(one: Labels, other: Labels, part: str) -> float:
    """Return 2 |A and B| / (|A| + |B|) of a part; 1 where neither has it."""
    a, b = np.isin(one, PARTS[part]), np.isin(other, PARTS[part])
    both = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / both if both else 1.0


def volume_ml(labels: Labels, voxel_mm3: float, part: str) -> float:
    """Return the volume of a part in mL."""
    return int(np.isin(labels, PARTS[part]).sum()) * voxel_mm3 / 1000.0


def agreement(model: Sequence[float], label: Sequence[float]) -> Agreement:
    """Return bias and limits of agreement (mean and 1.96 standard deviations each way)."""
    differences = np.asarray(model) - np.asarray(label)
    bias, reach = float(differences.mean()), 1.96 * float(differences.std(ddof=1))
    return Agreement(bias=bias, low=bias - reach, high=bias + reach)
