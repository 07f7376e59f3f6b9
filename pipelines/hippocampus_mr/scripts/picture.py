"""Bland-Altman plots as SVG text, for `docs/bland-altman.svg`. `make docs` draws it."""

from collections.abc import Sequence

from pipelines.hippocampus_mr.scripts.measure import PARTS, agreement
from pipelines.hippocampus_mr.scripts.report import shipped, volumes

_WIDTH, _HEIGHT = 300, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 288, 30, 196
_INK, _DOT, _LINE = "#333333", "#2b6cb0", "#c05621"


def bland_altman() -> str:
    """Return one plot a part, side by side: difference over mean of model and label, in mL."""
    rows = shipped()["volumes"]
    plots = [
        f'<g transform="translate({number * _WIDTH} 0)">{_plot(part, *volumes(rows, part))}</g>'
        for number, part in enumerate(PARTS)
    ]
    width = _WIDTH * len(plots)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{_INK}">'
        f'<rect width="{width}" height="{_HEIGHT}" fill="#ffffff"/>\n'
        + "\n".join(plots)
        + "</svg>\n"
    )


def _plot(part: str, model: Sequence[float], label: Sequence[float]) -> str:
    means = [(a + b) / 2 for a, b in zip(model, label, strict=True)]
    differences = [a - b for a, b in zip(model, label, strict=True)]
    x = _Axis(min(means), max(means), _LEFT, _RIGHT)
    reach = max(map(abs, differences))
    y = _Axis(-reach, reach, _BOTTOM, _TOP)
    found = agreement(model, label)
    marks = [
        _text((_LEFT + _RIGHT) / 2, 16, f"{part}, n = {len(means)}"),
        _text((_LEFT + _RIGHT) / 2, _HEIGHT - 8, "mean of model and label, mL"),
        f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" fill="none" stroke="{_INK}"/>',
        *(_text(x.at(value), _BOTTOM + 16, f"{value:.1f}") for value in x.ticks()),
        *(_text(_LEFT - 6, y.at(value) + 4, f"{value:+.1f}", "end") for value in y.ticks()),
        *(
            f'<circle cx="{x.at(mean):.1f}" cy="{y.at(difference):.1f}" r="1.8" fill="{_DOT}" '
            'fill-opacity="0.6"/>'
            for mean, difference in zip(means, differences, strict=True)
        ),
        *(_rule(y.at(value), value) for value in (found.low, found.bias, found.high)),
    ]
    return "".join(marks)


class _Axis:
    """A scale from mL to pixels."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        margin = 0.05 * (high - low)
        self._low, self._high = low - margin, high + margin
        self._start, self._stop = start, stop

    def at(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._start + share * (self._stop - self._start)

    def ticks(self) -> list[float]:
        """Return round values inside: at most some five of them."""
        step = next(s for s in (0.1, 0.2, 0.5, 1.0, 2.0) if (self._high - self._low) / s <= 6)
        first = int(self._low / step) - 1
        values = [(first + count) * step for count in range(10)]
        return [value for value in values if self._low <= value <= self._high]


def _rule(y: float, value: float) -> str:
    return f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="{_LINE}" stroke-dasharray="4 3"/>' + _text(
        _RIGHT, y - 3, f"{value:+.2f}", "end"
    )


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'
