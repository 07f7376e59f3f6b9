"""What the drift page shows of one pipeline: one view for each feature. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from markupsafe import Markup

from appliance.core.model import DriftPoint
from feedback.charts import (
    Moment,
    Share,
    dot_chart,
    histogram,
    line_chart,
    number,
    share_chart,
)
from feedback.drift_sweep import FeatureKey, Sample, samples
from results_store.drift import FeatureRow, ReferencePeriod

MOST_DOTS = 200  # the newest studies; more would be a blot
MOST_BARS = 12
WORDS = {"psi": "PSI", "ks": "KS", "chi2": "chi-square"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView:
    """One feature: its newest statistics, and its charts as SVG."""

    group: str
    name: str
    alert: bool
    latest: tuple[DriftPoint, ...]
    charts: tuple[Markup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """All that is known of one feature."""

    name: str
    rows: Sequence[FeatureRow]
    points: Sequence[DriftPoint]
    reference: Sample
    window: Sample


def feature_views(
    rows: Sequence[FeatureRow], points: Sequence[DriftPoint], reference: ReferencePeriod | None
) -> list[FeatureView]:
    """Return every feature's view, those with an alert first.

    `points` are those against `reference`, oldest first.
    """
    inside = _between(rows, reference.since, reference.until) if reference else {}
    newest = points[-1] if points else None
    window = _between(rows, newest.window_start, newest.window_end) if newest else {}
    by_key: dict[FeatureKey, list[FeatureRow]] = {}
    for row in rows:
        if row.number is not None or row.category is not None:
            by_key.setdefault((row.group, row.name), []).append(row)
    views = [
        _view(
            key,
            _Facts(
                name=key[1],
                rows=found,
                points=[p for p in points if (p.group, p.feature) == key],
                reference=inside.get(key, Sample()),
                window=window.get(key, Sample()),
            ),
        )
        for key, found in by_key.items()
    ]
    return sorted(views, key=lambda view: (not view.alert, view.group, view.name))


def _between(
    rows: Iterable[FeatureRow], since: datetime, until: datetime
) -> Mapping[FeatureKey, Sample]:
    return samples(row for row in rows if since <= row.received_at < until)


def _view(key: FeatureKey, facts: _Facts) -> FeatureView:
    latest = tuple({point.statistic: point for point in facts.points}.values())
    charts = [_values(facts), _shares(facts), _distance(facts)]
    return FeatureView(
        group=key[0],
        name=key[1],
        alert=any(point.alert for point in latest),
        latest=latest,
        charts=tuple(Markup(chart) for chart in charts if chart),  # noqa: S704 - escaped there
    )


def _values(facts: _Facts) -> str:
    """Draw the number of each study over time, on the band of 95 % of the reference."""
    moments = [
        Moment(at=row.received_at, value=row.number, label=_label(row.received_at, row.number))
        for row in facts.rows[-MOST_DOTS:]
        if row.number is not None
    ]
    if not moments:
        return ""
    known = facts.reference.numbers
    band = np.quantile(known, (0.025, 0.975)) if known else None
    title = f"{facts.name}, each study"
    return dot_chart(title, moments, (float(band[0]), float(band[1])) if band is not None else None)


def _shares(facts: _Facts) -> str:
    """Draw how reference and window are spread."""
    old, new = facts.reference, facts.window
    title = f"{facts.name}, reference and window"
    if old.numbers and new.numbers:
        return share_chart(title, histogram(old.numbers, new.numbers))
    if not (old.categories and new.categories):
        return ""
    names = sorted({*old.categories, *new.categories}, key=lambda name: -_share(new, name))
    shares = [
        Share(label=name, reference=_share(old, name), window=_share(new, name))
        for name in names[:MOST_BARS]
    ]
    return share_chart(title, shares)


def _share(sample: Sample, name: str) -> float:
    return sample.categories.count(name) / len(sample)


def _distance(facts: _Facts) -> str:
    """Draw the stability index over time."""
    found = [point for point in facts.points if point.statistic == "psi"]
    if not found:
        return ""
    moments = [
        Moment(
            at=point.window_end,
            value=point.value,
            label=f"{_label(point.window_end, point.value)}, {point.n} studies",
            alert=point.alert,
        )
        for point in found[-MOST_DOTS:]
    ]
    return line_chart(f"{facts.name}, PSI of the window", moments, found[-1].threshold)


def _label(at: datetime, value: float) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC: {number(value)}"
