"""What a run measured or marked, as the table of the page: a structure's two sides on one line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from appliance.core.model import Finding, Segment

Column = Literal["right", "left", "none"]
# UCUM's own code is for machines where people write another symbol.
_SYMBOLS: Mapping[str, str] = MappingProxyType({"[hnsf'U]": "HU"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One measured value, and the segment that it was measured on."""

    text: str
    segment: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One measurement of one structure: right, left, or neither."""

    name: str
    measured: str  # what: "Volume"; "" where it is only marked
    color: str  # "#rrggbb", or "" without a segment
    unit: str
    cells: Mapping[Column, Cell]


def table(findings: Sequence[Finding], segments: Sequence[Segment]) -> tuple[TableRow, ...]:
    """Return the findings with a structure's two sides on one line; then what is only marked."""
    colors = {segment.number: "#{:02x}{:02x}{:02x}".format(*segment.color) for segment in segments}
    rows: dict[tuple[str, str, str], dict[Column, Cell]] = {}
    for finding in findings:
        number = finding.region.segment_number if finding.region else None
        column: Column = finding.side.value if finding.side else "none"
        for measurement in finding.measurements:
            value = measurement.value
            text = "not measured" if value is None else f"{value:.2f}"
            unit = _SYMBOLS.get(measurement.unit.value, measurement.unit.value)
            row = rows.setdefault((finding.name, measurement.concept.meaning, unit), {})
            row[column] = Cell(text=text, segment=number)
    measured = {cell.segment for cells in rows.values() for cell in cells.values()}
    for segment in segments:
        if segment.number not in measured:
            row = rows.setdefault((segment.name, "", ""), {})
            marked = Cell(text="marked", segment=segment.number)
            row[segment.side.value if segment.side else "none"] = marked
    return tuple(
        TableRow(name=name, measured=what, color=_color(cells, colors), unit=unit, cells=cells)
        for (name, what, unit), cells in rows.items()
    )


def withheld(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return a sentence for each reason for which something was not measured."""
    missing: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for finding in findings:
        for measurement in finding.measurements:
            if measurement.value is None:
                what, of = missing.setdefault(measurement.not_measured, ({}, {}))
                what[measurement.concept.meaning] = None
                of[_label(finding)] = None
    return tuple(
        f"Not measured: {', '.join(what)} ({'; '.join(of)}){f': {reason}' if reason else ''}."
        for reason, (what, of) in missing.items()
    )


def _label(finding: Finding) -> str:
    return f"{finding.name.replace('-', ' ')}{f', {finding.side}' if finding.side else ''}"


def _color(cells: Mapping[Column, Cell], colors: Mapping[int, str]) -> str:
    numbers = [cell.segment for cell in cells.values() if cell.segment is not None]
    return next((colors[number] for number in numbers if number in colors), "")
