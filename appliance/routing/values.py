"""One test on the values of one element.

What holds (the same for routes and for pipelines' inputs):

- Several values (ImageType, PixelSpacing): a test holds if any value meets it.
- Text is compared without its padding, and upper and lower case count.
- Numbers compare as numbers, also where the rule or the header writes them as text; an age
  ("034Y") counts in years.
- An element that is there but empty counts as absent. Only `exists: false` and `absent_or_in`
  hold for what is absent.
"""

import math
import re
from collections.abc import Callable, Mapping

from pydicom.datadict import dictionary_VR, tag_for_keyword

from appliance.core.conditions import Operator, Test
from appliance.core.model import AttributeValue

Values = tuple[AttributeValue, ...] | None

_AGE = re.compile(r"(\d{3})([DWMY])")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_LONGEST = 1024  # letters of a received value that a regular expression ever sees


def clean(values: Values) -> tuple[AttributeValue, ...]:
    """Return the values without padding and without empty ones; nothing for what is absent."""
    stripped = (v.strip(" \0") if isinstance(v, str) else v for v in values or ())
    return tuple(value for value in stripped if value != "")


def vr_of(attribute: str) -> str:
    """Return the standard VR of a keyword; "UN" for private elements."""
    tag = tag_for_keyword(attribute)
    return "UN" if tag is None else dictionary_VR(tag)


def number(attribute: str, value: AttributeValue) -> float | None:
    """Return the value as a finite number, an age in years, or None."""
    if isinstance(value, str):
        age = _AGE.fullmatch(value) if vr_of(attribute) == "AS" else None
        if age:
            return int(age[1]) * _YEARS[age[2]]
        try:
            value = float(value)
        except ValueError:
            return None
    return value if math.isfinite(value) else None


def holds(test: Test, values: Values) -> bool:
    """Return whether an element with these values meets the test."""
    present = clean(values)
    if test.operator is Operator.EXISTS:
        return bool(present) is bool(test.value)
    if test.operator is Operator.ABSENT_OR_IN and not present:
        return True
    return any(_MEETS[test.operator](test, value) for value in present)


def _same(attribute: str, value: AttributeValue, wanted: object) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return value == wanted.strip(" \0")
    if not isinstance(wanted, str | float):
        return False
    left, right = number(attribute, value), number(attribute, wanted)
    return left is not None and right is not None and math.isclose(left, right, rel_tol=1e-9)


def _equals(test: Test, value: AttributeValue) -> bool:
    return _same(test.attribute, value, test.value)


def _one_of(test: Test, value: AttributeValue) -> bool:
    return isinstance(test.value, tuple) and any(
        _same(test.attribute, value, wanted) for wanted in test.value
    )


def _matches(test: Test, value: AttributeValue) -> bool:
    text = value if isinstance(value, str) else f"{value:g}"
    return re.search(str(test.value), text[:_LONGEST]) is not None


def _at_least(test: Test, value: AttributeValue) -> bool:
    found = number(test.attribute, value)
    return found is not None and isinstance(test.value, float) and found >= test.value


def _at_most(test: Test, value: AttributeValue) -> bool:
    found = number(test.attribute, value)
    return found is not None and isinstance(test.value, float) and found <= test.value


_MEETS: Mapping[Operator, Callable[[Test, AttributeValue], bool]] = {
    Operator.EQUALS: _equals,
    Operator.IN: _one_of,
    Operator.ABSENT_OR_IN: _one_of,
    Operator.MATCHES: _matches,
    Operator.AT_LEAST: _at_least,
    Operator.AT_MOST: _at_most,
}


def near_miss(test: Test, values: Values) -> bool:
    """Return whether a test that fails would hold if upper and lower case were the same."""
    if test.operator not in (Operator.EQUALS, Operator.IN, Operator.ABSENT_OR_IN, Operator.MATCHES):
        return False
    wanted = test.value if isinstance(test.value, tuple) else (test.value,)
    for value in clean(values):
        if not isinstance(value, str):
            continue
        if test.operator is Operator.MATCHES:
            if re.search(str(test.value), value[:_LONGEST], re.IGNORECASE):
                return True
        elif value.casefold() in {str(item).strip(" \0").casefold() for item in wanted}:
            return True
    return False
