"""Charts as SVG text: line, dots, histogram, bars. Pure.

Every mark has a <title>, which browsers show as a tooltip and screen readers read. Colours are
presentation attributes and classes, never `style`: the pages' content policy forbids it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.sax.saxutils import escape, quoteattr

WIDTH, HEIGHT = 360, 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 352, 24, 136
_REFERENCE, _WINDOW, _ALERT = "#8a94a6", "#4c9be8", "#e5534b"
_SMALLEST = 1e-12  # a range below it is rounding, and drawn as none
_LONGEST = 26  # letters of a label; two of them fit beside each other

Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A value at a time; `alert` marks it, `label` is its tooltip."""

    at: datetime
    value: float
    label: str
    alert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of reference and window (0 … 1) is in one bin or category."""

    label: str
    reference: float
    window: float


def line_chart(title: str, moments: Sequence[Moment], threshold: float | None = None) -> str:
    """Return the values over time, joined, with the threshold as a dashed line."""
    top = max([m.value for m in moments] + [threshold or 0.0])
    top = top if top > _SMALLEST else 1.0
    x, y = _time_scale(moments), _scale(0.0, top, _BOTTOM, _TOP)
    parts = [*_value_axis(0.0, top, y), *_time_axis(moments)]
    if threshold is not None:
        parts.append(_rule("threshold", y(threshold), f"alert above {number(threshold)}"))
    path = " ".join(f"{x(_seconds(m.at)):.1f},{y(m.value):.1f}" for m in moments)
    parts.append(f'<polyline class="line" points="{path}" fill="none" stroke="{_WINDOW}"/>')
    return _svg(title, [*parts, *_dots(moments, x, y)])


def dot_chart(
    title: str, moments: Sequence[Moment], band: tuple[float, float] | None = None
) -> str:
    """Return the values over time as dots, over the band in which the reference lies."""
    values = [m.value for m in moments] + list(band or ())
    low, high = _padded(values)
    x, y = _time_scale(moments), _scale(low, high, _BOTTOM, _TOP)
    parts = []
    if band is not None:
        text = f"reference: {number(band[0])} to {number(band[1])}"
        parts.append(
            f'<rect class="band" x="{_LEFT}" width="{_RIGHT - _LEFT}" y="{y(band[1]):.1f}" '
            f'height="{max(y(band[0]) - y(band[1]), 1):.1f}" fill="currentColor" '
            f'fill-opacity="0.18">{_title(text)}</rect>'
        )
    parts += [*_value_axis(low, high, y), *_time_axis(moments)]
    return _svg(title, [*parts, *_dots(moments, x, y)])


def share_chart(title: str, shares: Sequence[Share]) -> str:
    """Return reference and window side by side, bin by bin: a histogram, or bars."""
    top = max((max(s.reference, s.window) for s in shares), default=0.0) or 1.0
    y = _scale(0.0, top, _BOTTOM, _TOP)
    parts = [*_value_axis(0.0, top, y)]
    room = (_RIGHT - _LEFT) / max(len(shares), 1)
    for number_, share in enumerate(shares):
        left = _LEFT + number_ * room
        parts.append(_bar("reference", left + 0.1 * room, 0.4 * room, y, share))
        parts.append(_bar("window", left + 0.5 * room, 0.4 * room, y, share))
    if shares:
        parts.append(_text(_LEFT, HEIGHT - 8, shares[0].label[:_LONGEST], "start"))
    if len(shares) > 1:
        parts.append(_text(_RIGHT, HEIGHT - 8, shares[-1].label[:_LONGEST], "end"))
    return _svg(title, parts)


def histogram(reference: Sequence[float], window: Sequence[float], bins: int = 12) -> list[Share]:
    """Return the shares of both samples in equal bins over the range of both."""
    low, high = _padded([*reference, *window])
    step = (high - low) / bins

    def counted(values: Sequence[float]) -> list[float]:
        counts = [0] * bins
        for value in values:
            counts[min(int((value - low) / step), bins - 1)] += 1
        return [count / len(values) if values else 0.0 for count in counts]

    edges = [f"{number(low + i * step)} to {number(low + (i + 1) * step)}" for i in range(bins)]
    return [
        Share(label=label, reference=old, window=new)
        for label, old, new in zip(edges, counted(reference), counted(window), strict=True)
    ]


def number(value: float) -> str:
    """Return a number as people read it, four significant digits."""
    return f"{value:.4g}"


# -- pieces -------------------------------------------------------------------------------


def _svg(title: str, parts: Sequence[str]) -> str:
    name = quoteattr(_printable(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label={name} font-size="10" font-family="sans-serif">'
        f"{_title(title)}{_text(0, 11, title, 'start')}{''.join(parts)}</svg>"
    )


def _title(text: str) -> str:
    return f"<title>{escape(_printable(text))}</title>"


def _printable(text: str) -> str:
    """XML has no way to write a control character; categories come from other people's headers."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    shown = escape(_printable(text))
    return (
        f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
        f'fill="currentColor">{shown}</text>'
    )


def _rule(kind: str, y: float, text: str) -> str:
    return (
        f'<line class="{kind}" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="{_ALERT}" stroke-dasharray="4 3">{_title(text)}</line>'
    )


def _dots(moments: Sequence[Moment], x: Scale, y: Scale) -> Iterator[str]:
    for moment in moments:
        kind, colour = ("dot alert", _ALERT) if moment.alert else ("dot", _WINDOW)
        yield (
            f'<circle class="{kind}" cx="{x(_seconds(moment.at)):.1f}" cy="{y(moment.value):.1f}" '
            f'r="{3.5 if moment.alert else 2.5}" fill="{colour}">{_title(moment.label)}</circle>'
        )


def _bar(kind: str, x: float, width: float, y: Scale, share: Share) -> str:
    value, colour = (
        (share.reference, _REFERENCE) if kind == "reference" else (share.window, _WINDOW)
    )
    return (
        f'<rect class="bar {kind}" x="{x:.1f}" y="{y(value):.1f}" width="{width:.1f}" '
        f'height="{_BOTTOM - y(value):.1f}" fill="{colour}">'
        f"{_title(f'{share.label}: {kind} {value:.1%}')}</rect>"
    )


def _value_axis(low: float, high: float, y: Scale) -> Iterator[str]:
    for tick in ticks(low, high):
        yield (
            f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            'stroke="currentColor" stroke-opacity="0.2"/>'
        )
        yield _text(_LEFT - 4, y(tick) + 3, number(tick), "end")


def _time_axis(moments: Sequence[Moment]) -> Iterator[str]:
    yield (
        f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}" '
        'stroke="currentColor"/>'
    )
    if not moments:
        return
    first, last = min(m.at for m in moments), max(m.at for m in moments)
    yield _text(_LEFT, HEIGHT - 8, first.strftime("%Y-%m-%d"), "start")
    if last - first >= timedelta(days=1):
        yield _text(_RIGHT, HEIGHT - 8, last.strftime("%Y-%m-%d"), "end")


def ticks(low: float, high: float) -> list[float]:
    """Return two to six round numbers from `low` to `high`."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(s * power for s in (1, 2, 5, 10) if (high - low) / (s * power) <= 5)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    factor = (end - start) / (high - low)
    return lambda value: start + (value - low) * factor


def _time_scale(moments: Sequence[Moment]) -> Scale:
    times = [_seconds(m.at) for m in moments] or [0.0]
    low, high = min(times), max(times)
    return (
        _scale(low, high, _LEFT + 4, _RIGHT - 4) if high > low else lambda _: (_LEFT + _RIGHT) / 2
    )


def _seconds(at: datetime) -> float:
    return at.timestamp()


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """Return a range a little wider than the values, never empty."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.05 * (high - low) or 0.05 * abs(high)
    room = room if room > _SMALLEST else 1.0
    return low - room, high + room
