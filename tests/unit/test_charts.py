"""Charts are well-formed SVG that a strict content policy lets through."""

import math
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.charts import (
    HEIGHT,
    WIDTH,
    Moment,
    Share,
    dot_chart,
    histogram,
    line_chart,
    share_chart,
    ticks,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"
values = st.floats(-1e9, 1e9, allow_nan=False)


def moments(numbers: list[float], label: str = "study") -> list[Moment]:
    return [
        Moment(at=START + timedelta(days=day), value=value, label=label, alert=day % 3 == 2)
        for day, value in enumerate(numbers)
    ]


def parsed(svg: str) -> ET.Element:
    assert "style=" not in svg
    return ET.fromstring(svg)  # noqa: S314 - our own text


@given(st.lists(values.map(abs), max_size=20), st.none() | values.map(abs), st.text(max_size=30))
def test_a_line_chart_is_well_formed_whatever_it_shows(
    numbers: list[float], threshold: float | None, text: str
) -> None:
    drawn = parsed(line_chart(text, moments(numbers, text), threshold))
    assert len(drawn.findall(f"{SVG}circle")) == len(numbers)


@given(st.lists(values, max_size=20), st.none() | st.tuples(values, values).map(sorted).map(tuple))
def test_every_dot_stands_inside_the_chart(
    numbers: list[float], band: tuple[float, float] | None
) -> None:
    drawn = parsed(dot_chart("volume", moments(numbers), band))
    for dot in drawn.findall(f"{SVG}circle"):
        assert 0 <= float(dot.attrib["cx"]) <= WIDTH
        assert 0 <= float(dot.attrib["cy"]) <= HEIGHT


@given(st.lists(values, min_size=1), st.lists(values, min_size=1))
def test_a_histogram_counts_every_value_once(old: list[float], new: list[float]) -> None:
    shares = histogram(old, new)
    assert math.fsum(share.reference for share in shares) == pytest.approx(1)
    assert math.fsum(share.window for share in shares) == pytest.approx(1)


def test_text_from_a_header_stays_text() -> None:
    label = '</title><script>alert("1")</script>\x08&'
    drawn = parsed(share_chart(label, [Share(label=label, reference=0.5, window=1)]))
    assert drawn.findall(f".//{SVG}script") == []
    assert drawn.find(f"{SVG}title").text.startswith("</title><script>")


def test_each_mark_says_what_it_is() -> None:
    drawn = parsed(line_chart("PSI", moments([0.1, 0.2, 0.3], "2026-01-01: 0.3"), 0.25))
    for mark in drawn.findall(f"{SVG}circle"):
        assert mark.find(f"{SVG}title").text == "2026-01-01: 0.3"
    assert drawn.find(f"{SVG}line[@class='threshold']/{SVG}title").text == "alert above 0.25"
    assert [mark.attrib["class"] for mark in drawn.findall(f"{SVG}circle")][-1] == "dot alert"


def test_the_threshold_is_on_the_chart_also_where_all_values_are_small() -> None:
    drawn = parsed(line_chart("PSI", moments([0.01]), 0.25))
    assert 0 <= float(drawn.find(f"{SVG}line[@class='threshold']").attrib["y1"]) <= HEIGHT


def test_more_is_higher_up() -> None:
    drawn = parsed(dot_chart("volume", moments([1.0, 2.0])))
    low, high = (float(dot.attrib["cy"]) for dot in drawn.findall(f"{SVG}circle"))
    assert high < low


@given(values, st.floats(1e-3, 1e9))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 6
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in found)
