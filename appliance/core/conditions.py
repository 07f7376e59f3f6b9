"""Conditions as data: attribute, operator, value; joined by all, any and not.

`when:` of a route and `select:` of a pipeline's input are the same language. Written:

    Modality: MR                                     # equals
    BodyPartExamined: {absent_or_in: [BRAIN, HEAD]}
    SeriesDescription: {matches: "(?i)t1|mprage"}    # re.search
    SliceThickness: {at_most: 1.5}
    ContrastBolusAgent: {exists: false}
    any: [{Manufacturer: Philips}, {"0019,1012 SIEMENS MR HEADER": {at_least: 2}}]
    not: {ImageType: {in: [DERIVED]}}
    instance: {ImageType: {in: [PRIMARY]}}           # some instance of the series

Keys beside each other must all hold. Evaluating is `appliance.routing`'s job.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydicom.datadict import tag_for_keyword

from appliance.core.model import AttributeValue

_PRIVATE = re.compile(r"([0-9A-Fa-f]{3}[13579BDFbdf]),([0-9A-Fa-f]{4}) (\S.{0,63})")
_BOUNDED_PATTERN = 200  # characters; a longer pattern is a mistake or an attack on re


class Operator(StrEnum):
    """How a value is compared."""

    EQUALS = "equals"
    IN = "in"
    ABSENT_OR_IN = "absent_or_in"
    MATCHES = "matches"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One comparison. `attribute` is a keyword or "gggg,ee creator" in upper-case hex."""

    attribute: str
    operator: Operator
    value: AttributeValue | bool | tuple[AttributeValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """Holds where every part holds; without parts, always."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """Holds where at least one part holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """Holds where the part does not."""

    part: "Condition"


@dataclass(frozen=True, slots=True, kw_only=True)
class SomeInstance:
    """Holds for a series where one of its instances, on its own, meets the part."""

    part: "Condition"


Condition = Test | AllOf | AnyOf | Not | SomeInstance


def parse_condition(data: object) -> Condition:
    """Return the condition that plain YAML data writes. Raises ValueError, saying what to write."""
    if not isinstance(data, Mapping):
        raise ValueError("write attributes and what they must be, like Modality: MR")
    parts = tuple(_parse_entry(str(key), value) for key, value in data.items())
    return parts[0] if len(parts) == 1 else AllOf(parts=parts)


def _parse_entry(key: str, value: object) -> Condition:
    if key in ("all", "any"):
        if not isinstance(value, list) or not value:
            raise ValueError(f"{key}: wants a list of conditions")
        parts = tuple(parse_condition(item) for item in value)
        return AllOf(parts=parts) if key == "all" else AnyOf(parts=parts)
    if key == "not":
        return Not(part=parse_condition(value))
    if key == "instance":
        return SomeInstance(part=parse_condition(value))
    return _parse_test(attribute_key(key), value)


def attribute_key(text: str) -> str:
    """Return the key under which `Attributes` holds what `text` names. Raises ValueError."""
    private = _PRIVATE.fullmatch(text)
    if private:
        # The block that the creator reserved differs by file: only the last two digits count.
        return f"{private[1].upper()},{private[2][2:].upper()} {private[3].strip()}"
    if tag_for_keyword(text) is None:
        raise ValueError(
            f"{text!r} is neither a DICOM keyword (like SeriesDescription) nor a private element "
            'with its creator (like "0019,1012 SIEMENS MR HEADER")'
        )
    return text


def _parse_test(attribute: str, value: object) -> Condition:
    if not isinstance(value, Mapping):
        return Test(attribute=attribute, operator=Operator.EQUALS, value=_scalar(attribute, value))
    if not value:
        raise ValueError(f"{attribute}: wants one of {', '.join(Operator)}")
    tests = tuple(_parse_operator(attribute, str(key), item) for key, item in value.items())
    return tests[0] if len(tests) == 1 else AllOf(parts=tests)


def _parse_operator(attribute: str, key: str, value: object) -> Test:
    if key not in Operator.__members__.values():
        raise ValueError(f"{attribute}: {key!r} is no operator; use one of {', '.join(Operator)}")
    operator = Operator(key)
    return Test(attribute=attribute, operator=operator, value=_operand(attribute, operator, value))


def _operand(
    attribute: str, operator: Operator, value: object
) -> AttributeValue | bool | tuple[AttributeValue, ...]:
    if operator in (Operator.IN, Operator.ABSENT_OR_IN):
        if not isinstance(value, list) or not value:
            raise ValueError(f"{attribute}: {operator} wants a list, like [BRAIN, HEAD]")
        return tuple(_scalar(attribute, item) for item in value)
    if operator is Operator.EXISTS:
        if not isinstance(value, bool):
            raise ValueError(f"{attribute}: exists wants true or false")
        return value
    if operator in (Operator.AT_LEAST, Operator.AT_MOST):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{attribute}: {operator} wants a number")
        return float(value)
    if operator is Operator.MATCHES:
        return _pattern(attribute, value)
    return _scalar(attribute, value)


def _pattern(attribute: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _BOUNDED_PATTERN:
        raise ValueError(f"{attribute}: matches wants a regular expression of at most 200 letters")
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{attribute}: {value!r} is no regular expression: {error}") from None
    return value


def _scalar(attribute: str, value: object) -> AttributeValue:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{attribute}: {value!r} is neither text nor a number")
    return value if isinstance(value, str) else float(value)


def attributes_in(condition: Condition) -> frozenset[str]:
    """Return every attribute that the condition reads."""
    match condition:
        case Test():
            return frozenset({condition.attribute})
        case AllOf() | AnyOf():
            return frozenset().union(*(attributes_in(part) for part in condition.parts))
        case Not() | SomeInstance():
            return attributes_in(condition.part)
