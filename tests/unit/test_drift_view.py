"""What the drift page gathers of each feature."""

from datetime import UTC, datetime, timedelta

from appliance.core.model import DriftPoint
from feedback.drift_view import feature_views
from results_store.drift import FeatureRow, ReferencePeriod

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
REFERENCE = ReferencePeriod(
    pipeline="p", name="first", since=START, until=START + 10 * DAY, named_at=START
)


def row(
    day: int, name: str, number: float | None = None, category: str | None = None
) -> FeatureRow:
    return FeatureRow(
        job_id=day,
        received_at=START + day * DAY,
        group="output",
        name=name,
        number=number,
        category=category,
    )


def point(feature: str, *, alert: bool, day: int = 20, statistic: str = "psi") -> DriftPoint:
    return DriftPoint(
        pipeline="p",
        feature=feature,
        group="output",
        reference="first",
        window_start=START + 10 * DAY,
        window_end=START + day * DAY,
        n=10,
        n_reference=10,
        statistic=statistic,
        value=1.0 if alert else 0.1,
        p_value=0.5,
        threshold=0.25,
        alert=alert,
        computed_at=START + day * DAY,
    )


def test_features_with_an_alert_come_first_then_by_name() -> None:
    rows = [row(day, name, float(day)) for day in range(20) for name in ("a", "b", "c")]
    points = [point("a", alert=False), point("b", alert=False), point("c", alert=True)]
    assert [v.name for v in feature_views(rows, points, REFERENCE)] == ["c", "a", "b"]


def test_the_newest_point_of_each_test_counts() -> None:
    rows = [row(day, "a", float(day)) for day in range(20)]
    points = [
        point("a", alert=True, day=18),
        point("a", alert=True, day=18, statistic="ks"),
        point("a", alert=False, day=19),
        point("a", alert=False, day=19, statistic="ks"),
    ]
    (view,) = feature_views(rows, points, REFERENCE)
    assert not view.alert
    assert [(p.statistic, p.window_end) for p in view.latest] == [
        ("psi", START + 19 * DAY),
        ("ks", START + 19 * DAY),
    ]


def test_a_number_has_its_studies_its_spread_and_its_distance() -> None:
    rows = [row(day, "a", float(day)) for day in range(20)]
    (view,) = feature_views(rows, [point("a", alert=False)], REFERENCE)
    values, shares, distance = view.charts
    assert 'class="band"' in values
    assert values.count("<circle") == 20
    assert 'class="bar reference"' in shares
    assert 'class="threshold"' in distance


def test_without_a_reference_studies_are_shown_as_they_came() -> None:
    rows = [row(1, "a", 1.0), row(1, "b", category="x"), row(1, "unknown")]
    views = feature_views(rows, [], None)
    assert [(v.name, len(v.charts), v.latest) for v in views] == [("a", 1, ()), ("b", 0, ())]


def test_a_category_of_a_foreign_header_is_drawn_as_text() -> None:
    rows = [row(day, "a", category="<script>") for day in range(20)]
    (view,) = feature_views(rows, [point("a", alert=False)], REFERENCE)
    assert "<script>" not in "".join(view.charts)
    assert "&lt;script&gt;" in view.charts[0]
