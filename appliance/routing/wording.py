"""Conditions and what was found, in words. Nothing of the patient is ever among them."""

from collections.abc import Iterable, Sequence

from pydicom.datadict import tag_for_keyword

from appliance.core.conditions import AllOf, AnyOf, Condition, Not, Operator, SomeInstance, Test
from appliance.core.model import Attributes, AttributeValue
from appliance.routing.values import Values, clean, holds, near_miss, vr_of

_WITHHELD_GROUPS = (0x0010, 0x0012, 0x0038)  # patient, clinical trial subject, visit
_INTEGERS = frozenset({"IS", "US", "SS", "UL", "SL"})
_VERBS = {
    Operator.EQUALS: "is",
    Operator.IN: "is one of",
    Operator.ABSENT_OR_IN: "is absent or one of",
    Operator.MATCHES: "matches",
    Operator.AT_LEAST: "is at least",
    Operator.AT_MOST: "is at most",
}
_LONGEST = 64  # letters of a received value that are shown
_MOST = 3  # different values of one series that are shown


def is_withheld(attribute: str) -> bool:
    """Return whether values may not be told: the patient's groups, and every person's name."""
    tag = tag_for_keyword(attribute)
    if tag is None:
        return False
    return tag >> 16 in _WITHHELD_GROUPS or vr_of(attribute) == "PN"


def text(condition: Condition) -> str:
    """Return the condition in plain words, in one line."""
    match condition:
        case Test():
            return f"{condition.attribute} {_test_text(condition)}"
        case AllOf():
            return " and ".join(_bracketed(part) for part in condition.parts) or "always"
        case AnyOf():
            return " or ".join(_bracketed(part) for part in condition.parts)
        case Not():
            return f"not {_bracketed(condition.part)}"
        case SomeInstance():
            return f"some image: {_bracketed(condition.part)}"


def _bracketed(condition: Condition) -> str:
    inner = text(condition)
    return f"({inner})" if isinstance(condition, AllOf | AnyOf) else inner


def _test_text(test: Test) -> str:
    if test.operator is Operator.EXISTS:
        return "has a value" if test.value else "has no value"
    return f"{_VERBS[test.operator]} {_wanted(test)}"


def _wanted(test: Test) -> str:
    if is_withheld(test.attribute) and not isinstance(test.value, float):
        return "what the rule says"
    if isinstance(test.value, tuple):
        return ", ".join(_shown(item) for item in test.value)
    return _shown(test.value)


def _shown(value: AttributeValue) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def value_text(attribute: str, values: Values) -> str:
    """Return received values as people read them: bounded, printable."""
    if values is None:
        return "absent"
    if not clean(values):
        return "empty"
    return "\\".join(_received(attribute, value) for value in clean(values))[:_LONGEST]


def _received(attribute: str, value: AttributeValue) -> str:
    if isinstance(value, str):
        return "".join(letter if letter.isprintable() else "?" for letter in value)
    return f"{value:.0f}" if vr_of(attribute) in _INTEGERS else str(value)


def found(condition: Condition, images: Sequence[Attributes]) -> str:
    """Return what the images have where the condition looks."""
    tests = tuple(_tests(condition))
    if len(tests) == 1:
        return _found_by(tests[0], images)
    return ", ".join(f"{test.attribute} {_found_by(test, images)}" for test in tests) or "nothing"


def _found_by(test: Test, images: Sequence[Attributes]) -> str:
    different = tuple(dict.fromkeys(_one_found(test, image) for image in images))
    if len(different) == 1:
        return different[0]
    rest = f" and {len(different) - _MOST} more" if len(different) > _MOST else ""
    return f"differs between images: {'; '.join(different[:_MOST])}{rest}"


def _one_found(test: Test, image: Attributes) -> str:
    values = image.get(test.attribute)
    if is_withheld(test.attribute) and clean(values):
        return "matches" if holds(test, values) else "differs"
    shown = value_text(test.attribute, values)
    if not holds(test, values) and near_miss(test, values):
        return f"{shown} (only upper and lower case differ)"
    return shown


def _tests(condition: Condition) -> Iterable[Test]:
    match condition:
        case Test():
            yield condition
        case AllOf() | AnyOf():
            for part in condition.parts:
                yield from _tests(part)
        case Not() | SomeInstance():
            yield from _tests(condition.part)


def shortfall(condition: Condition, images: Sequence[Attributes]) -> str:
    """Return, for a condition that does not hold, how that is said to a person."""
    what = found(condition, images)
    if not isinstance(condition, Test):
        return f"not true is: {text(condition)} (found: {what})"
    return _shortfall_of(condition, what)


def _shortfall_of(test: Test, what: str) -> str:
    wanted = _wanted(test)
    if is_withheld(test.attribute):
        return f"{test.attribute} {what}, but must be such that it {_test_text(test)}"
    match test.operator:
        case Operator.EQUALS:
            ending = f", not {wanted}"
        case Operator.IN:
            ending = f", not one of {wanted}"
        case Operator.ABSENT_OR_IN:
            ending = f", neither absent nor one of {wanted}"
        case Operator.MATCHES:
            ending = f", which does not match {wanted}"
        case Operator.AT_LEAST:
            ending = f", not at least {wanted}"
        case Operator.AT_MOST:
            ending = f", not at most {wanted}"
        case Operator.EXISTS:
            ending = ", but has to be there" if test.value else ", but must be absent"
    return f"{test.attribute} is {what}{ending}"
