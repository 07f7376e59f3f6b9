"""Has a feature moved? Population stability index, Kolmogorov-Smirnov, chi-square. Pure.

Two questions are kept apart. *How far* is the population stability index (PSI), on bins of the
reference. *Could it be chance* is a p-value: of the two-sample KS test for numbers, of the
chi-square test of homogeneity for categories. PSI has one too: under no change,
PSI · n·m/(n+m) is nearly chi-square distributed with (bins - 1) degrees of freedom (Yurdakul
and Naranjo 2020). The usual 0.10 and 0.25 ignore it, and with few studies PSI passes them by
chance alone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # which imports `stats` when it is used: a sweep is rare
from numpy.typing import NDArray

BINS = 10
_FILL = 0.5  # what an empty bin counts; ln 0 would make one missing bin infinitely far
_RARE = 5  # categories that both periods together have less often than this are one

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far a window is from its reference, and whether chance alone gets that far.

    `critical` is the value that chance exceeds in the share `alpha` of all comparisons.
    """

    statistic: str
    value: float
    p_value: float
    critical: float


def compare_numbers(
    reference: Sequence[float], window: Sequence[float], alpha: float
) -> tuple[Difference, ...]:
    """Return PSI and KS of two samples of a number; both must have values."""
    edges = quantile_edges(reference)
    counts = (bin_counts(reference, edges), bin_counts(window, edges))
    return (_psi(*counts, alpha), _ks(reference, window, alpha))


def compare_categories(
    reference: Sequence[str], window: Sequence[str], alpha: float
) -> tuple[Difference, ...]:
    """Return PSI and chi-square of two samples of a category; each category is a bin."""
    counts = category_counts(reference, window)
    return (_psi(*counts, alpha), _chi_square(*counts, alpha))


def quantile_edges(reference: Sequence[float]) -> Counts:
    """Return the upper edges of all bins but the last: the reference's deciles.

    A value that is several deciles at once (many studies have exactly it) gets a bin of its own,
    so that values just below it are seen as different.
    """
    deciles = np.quantile(np.asarray(reference, dtype=float), np.arange(1, BINS) / BINS)
    values, times = np.unique(deciles, return_counts=True)
    below = np.nextafter(values[times > 1], -np.inf)
    return np.unique(np.concatenate([values, below]))


def bin_counts(values: Sequence[float], edges: Counts) -> Counts:
    """Return how many values each bin holds; bin i is edges[i-1] < value ≤ edges[i]."""
    where = np.searchsorted(edges, np.asarray(values, dtype=float), side="left")
    return np.bincount(where, minlength=len(edges) + 1).astype(float)


def category_counts(reference: Sequence[str], window: Sequence[str]) -> tuple[Counts, Counts]:
    """Return the counts of both, category by category; rare ones are one category together."""
    first, second = Counter(reference), Counter(window)
    both = first + second
    common = sorted(category for category, times in both.items() if times >= _RARE)
    counts = [
        np.array([*(c[name] for name in common), c.total() - sum(c[name] for name in common)])
        for c in (first, second)
    ]
    there = counts[0] + counts[1] > 0
    return counts[0][there].astype(float), counts[1][there].astype(float)


def population_stability(reference: Counts, window: Counts) -> float:
    """Return Σ (q - p) · ln(q / p) over the bins' shares; an empty bin counts as half a study."""
    expected = np.where(reference > 0, reference, _FILL) / reference.sum()
    actual = np.where(window > 0, window, _FILL) / window.sum()
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def _psi(reference: Counts, window: Counts, alpha: float) -> Difference:
    value = population_stability(reference, window)
    n, m = reference.sum(), window.sum()
    scale = n * m / (n + m)
    freedom = max(len(reference) - 1, 1)
    return Difference(
        statistic="psi",
        value=value,
        p_value=float(scipy.stats.chi2.sf(value * scale, freedom)),
        critical=float(scipy.stats.chi2.isf(alpha, freedom) / scale),
    )


def _ks(reference: Sequence[float], window: Sequence[float], alpha: float) -> Difference:
    found = scipy.stats.ks_2samp(reference, window, method="asymp")
    n, m = len(reference), len(window)
    effective = np.round(n * m / (n + m))  # as SciPy has it, so that both limits agree
    return Difference(
        statistic="ks",
        value=float(found.statistic),
        p_value=float(found.pvalue),
        critical=float(scipy.stats.kstwo.isf(alpha, effective)),
    )


def _chi_square(reference: Counts, window: Counts, alpha: float) -> Difference:
    freedom = len(reference) - 1
    if freedom == 0:
        return Difference(statistic="chi2", value=0.0, p_value=1.0, critical=0.0)
    found = scipy.stats.chi2_contingency(np.array([reference, window]), correction=False)
    return Difference(
        statistic="chi2",
        value=float(found.statistic),
        p_value=float(found.pvalue),
        critical=float(scipy.stats.chi2.isf(alpha, freedom)),
    )
