"""Rules that can never match, found before any study comes.

Careful in one direction: what is reported can never hold; what is not reported may still be
nonsense. Only attributes with a single value (value multiplicity 1) can contradict themselves,
because a test holds if any of several values meets it; presence and absence always can.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

from pydicom.datadict import dictionary_VM, tag_for_keyword

from appliance.core.conditions import AllOf, AnyOf, Condition, Not, Operator, SomeInstance, Test
from appliance.core.model import AttributeValue
from appliance.routing.values import Values, holds
from appliance.routing.wording import text

_MOST_WAYS = 512  # combinations of `any` that are looked at; beyond them nothing is claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Literal:
    """A test that has to hold, or has to fail, for all images (scope 0) or for one of them."""

    test: Test
    positive: bool
    scope: int


_Way = tuple[_Literal, ...]  # one way in which the condition could hold


def contradictions(condition: Condition) -> tuple[str, ...]:
    """Return why the condition, or one alternative in it, can never hold; empty if it may."""
    ways = list(islice(_ways(condition, positive=True, scope=0), _MOST_WAYS + 1))
    if len(ways) > _MOST_WAYS:
        return ()
    problems = [_problem(way) for way in ways]
    if ways and all(problems):
        return tuple(dict.fromkeys(problem for problem in problems if problem))
    return tuple(_dead_alternatives(condition))


def _dead_alternatives(condition: Condition) -> Iterator[str]:
    match condition:
        case AllOf():
            for part in condition.parts:
                yield from _dead_alternatives(part)
        case AnyOf():
            for part in condition.parts:
                for problem in contradictions(part):
                    yield f"the alternative ({text(part)}) can never hold: {problem}"
        case _:
            return


def _ways(condition: Condition, *, positive: bool, scope: int) -> Iterator[_Way]:
    match condition:
        case Test():
            yield (_Literal(test=condition, positive=positive, scope=scope),)
        case Not():
            yield from _ways(condition.part, positive=not positive, scope=scope)
        case SomeInstance():
            # Its negation says something of every image that no single way can express.
            yield from (
                _ways(condition.part, positive=True, scope=id(condition)) if positive else ((),)
            )
        case AllOf() | AnyOf():
            parts = [_ways(part, positive=positive, scope=scope) for part in condition.parts]
            if isinstance(condition, AllOf) is positive:
                for combination in product(*(islice(p, _MOST_WAYS + 1) for p in parts)):
                    yield tuple(literal for way in combination for literal in way)
            else:
                for part in parts:
                    yield from part


def _problem(way: _Way) -> str | None:
    scopes = {literal.scope for literal in way} | {0}
    for scope in sorted(scopes):
        here = [literal for literal in way if literal.scope in (0, scope)]
        for attribute in dict.fromkeys(literal.test.attribute for literal in here):
            problem = _clash([one for one in here if one.test.attribute == attribute])
            if problem:
                return problem
    return None


def _clash(literals: Sequence[_Literal]) -> str | None:
    if len(literals) < 2 or _satisfiable(literals):
        return None
    said = " and ".join(
        text(one.test if one.positive else Not(part=one.test)) for one in dict.fromkeys(literals)
    )
    return f"{said} exclude each other"


def _satisfiable(literals: Sequence[_Literal]) -> bool:
    if _all_met(literals, None):
        return True
    if any(_demands_absence(one) for one in literals):
        return False
    if _single_valued(literals[0].test.attribute) and _decidable(literals):
        return any(_all_met(literals, (value,)) for value in _interesting(literals))
    return True


def _all_met(literals: Iterable[_Literal], values: Values) -> bool:
    return all(holds(one.test, values) is one.positive for one in literals)


def _demands_absence(one: _Literal) -> bool:
    return one.test.operator is Operator.EXISTS and bool(one.test.value) is not one.positive


def _single_valued(attribute: str) -> bool:
    tag = tag_for_keyword(attribute)
    return tag is not None and dictionary_VM(tag) == "1"


_LISTING = frozenset({Operator.EQUALS, Operator.IN, Operator.ABSENT_OR_IN})
_BOUNDS = frozenset({Operator.AT_LEAST, Operator.AT_MOST})


def _decidable(literals: Sequence[_Literal]) -> bool:
    """Return whether the values that count are known: some are listed, or all tests are bounds."""
    listed = any(one.positive and one.test.operator in _LISTING for one in literals)
    return listed or all(one.test.operator in _BOUNDS | {Operator.EXISTS} for one in literals)


def _interesting(literals: Sequence[_Literal]) -> Iterator[AttributeValue]:
    """Yield every value that the tests name, and for bounds also what lies around them."""
    numbers = {0.0}
    for one in literals:
        value = one.test.value
        if isinstance(value, tuple):
            yield from value
        elif isinstance(value, str) and one.test.operator is Operator.EQUALS:
            yield value
        elif isinstance(value, float):
            numbers.add(value)
    for bound in sorted(numbers):
        yield from (bound, bound - 1e-6 * max(1.0, abs(bound)), bound + 1e-6 * max(1.0, abs(bound)))
