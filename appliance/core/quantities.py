"""Durations and sizes as people write them: `30 s`, `2 h`, `14 d`, `50 GB`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


def _number_and_unit(value: object, units: dict[str, float] | dict[str, int], what: str) -> float:
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"{value!r} is not a {what}; write a number and one of {', '.join(units)}")
    return float(match[1]) * units[match[2]]


def parse_duration(value: object) -> timedelta:
    """Return the duration that `value` ("30 s", "2 h") names. Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    return timedelta(seconds=_number_and_unit(value, _SECONDS, "duration"))


def parse_size(value: object) -> int:
    """Return the bytes that `value` ("50 GB") names; decimal units. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(_number_and_unit(value, _BYTES, "size"))


def format_duration(value: timedelta) -> str:
    """Return the shortest text that parse_duration reads back."""
    seconds = value.total_seconds()
    for unit in ("d", "h", "min", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:g} {unit}"
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def format_size(value: int) -> str:
    """Return bytes as people read them, three significant digits."""
    for unit, factor in reversed(_BYTES.items()):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} B"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "examples": ["30 s", "10 min", "2 h", "14 d"]}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "examples": ["500 MB", "50 GB"]}),
]
