"""One sweep: every pipeline, reference period and feature → drift points, and who is told.

A feature is tested twice (PSI, and KS or chi-square). The p-values' limit is shared out among
the features of a pipeline (Bonferroni): with 60 features and a limit of 0.01, a sweep of an
unchanged pipeline raises a false alert about once in a hundred independent windows, not in
every second. PSI raises one only if it is both far (threshold) and beyond chance.

Window and reference never share a study: the window begins where the reference ends, at the
earliest.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.core.model import DriftPoint
from feedback.drift_stats import Difference, compare_categories, compare_numbers
from results_store.drift import FeatureRow, ReferencePeriod
from results_store.store import Store

FeatureKey = tuple[str, str]  # group and name


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftOptions:
    """When an unusual number becomes an alert."""

    every: timedelta
    window: timedelta
    min_rows: int  # studies that window and reference must each have
    psi: float
    p_value: float  # for all features of a pipeline together


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One feature's values over a period: numbers, or else categories."""

    numbers: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers) or len(self.categories)


def samples(rows: Iterable[FeatureRow]) -> Mapping[FeatureKey, Sample]:
    """Return the values by feature; rows without a value are left out."""
    found: dict[FeatureKey, tuple[list[float], list[str]]] = {}
    for row in rows:
        numbers, categories = found.setdefault((row.group, row.name), ([], []))
        if row.number is not None:
            numbers.append(row.number)
        elif row.category is not None:
            categories.append(row.category)
    return {
        key: Sample(numbers=tuple(numbers), categories=() if numbers else tuple(categories))
        for key, (numbers, categories) in found.items()
    }


class DriftSweep:
    """Computes and stores the points of all pipelines."""

    def __init__(
        self, options: DriftOptions, store: Store, pipelines: Iterable[str], clock: Clock
    ) -> None:
        self._options = options
        self._store = store
        self._pipelines = tuple(pipelines)
        self._clock = clock

    def run(self) -> None:
        """Compare every pipeline with each of its reference periods and store what is new."""
        started = self._clock.monotonic()
        now = self._clock.now()
        for pipeline in self._pipelines:
            points = tuple(
                point
                for reference in self._store.drift.references(pipeline)
                for point in self._compare(reference, now)
            )
            self._keep(pipeline, points)
        log_event(Event.DRIFT_COMPUTED, seconds=self._clock.monotonic() - started)

    def _compare(self, reference: ReferencePeriod, now: datetime) -> Iterator[DriftPoint]:
        start = max(now - self._options.window, reference.until)
        if start >= now:
            return
        rows = self._store.drift.feature_rows
        before = samples(rows(reference.pipeline, reference.since, reference.until))
        after = samples(rows(reference.pipeline, start, now))
        yield from drift_points(
            reference, start=start, now=now, before=before, after=after, options=self._options
        )

    def _keep(self, pipeline: str, points: tuple[DriftPoint, ...]) -> None:
        """Store the points that say something new; tell of alerts that were none before."""
        last = {_same(point): point for point in self._store.drift.points(pipeline)}
        new = tuple(p for p in points if not _repeats(p, last.get(_same(p))))
        self._store.drift.add_points(new)
        for point in new:
            before = last.get(_same(point))
            if point.alert and not (before and before.alert):
                log_event(
                    Event.DRIFT_ALERTED, level=logging.WARNING, pipeline=pipeline,
                    feature=point.feature, statistic=point.statistic, value=point.value,
                    count=point.n,
                )  # fmt: skip


def drift_points(
    reference: ReferencePeriod,
    *,
    start: datetime,
    now: datetime,
    before: Mapping[FeatureKey, Sample],
    after: Mapping[FeatureKey, Sample],
    options: DriftOptions,
) -> Iterator[DriftPoint]:
    """Yield the points of every feature that both periods know well enough."""
    enough = [
        key
        for key, sample in before.items()
        if min(len(sample), len(after.get(key, Sample()))) >= options.min_rows
    ]
    for group, feature in enough:
        old, new = before[group, feature], after[group, feature]
        if bool(old.numbers) != bool(new.numbers):
            continue  # a new version of the pipeline gave the name another meaning
        for difference in _differences(old, new, options.p_value / len(enough)):
            far = options.psi if difference.statistic == "psi" else 0.0
            threshold = max(far, difference.critical)
            yield DriftPoint(
                pipeline=reference.pipeline, feature=feature, group=group,
                reference=reference.name, window_start=start, window_end=now,
                n=len(new), n_reference=len(old), computed_at=now,
                statistic=difference.statistic, value=difference.value,
                p_value=difference.p_value, threshold=threshold,
                alert=difference.value > threshold,
            )  # fmt: skip


def _differences(old: Sample, new: Sample, alpha: float) -> tuple[Difference, ...]:
    if old.numbers:
        return compare_numbers(old.numbers, new.numbers, alpha)
    return compare_categories(old.categories, new.categories, alpha)


def _same(point: DriftPoint) -> tuple[str, str, str, str]:
    return point.reference, point.group, point.feature, point.statistic


def _repeats(point: DriftPoint, before: DriftPoint | None) -> bool:
    """Return whether nothing has come or gone since `before`: the line in the chart stays flat."""
    return before is not None and (before.n, before.value) == (point.n, point.value)
