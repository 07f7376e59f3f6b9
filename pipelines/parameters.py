"""Values that a site sets for what a manifest declares."""

import math
from collections.abc import Iterator, Mapping, Sequence

from appliance.core.documents import suggest
from pipelines.specs import Parameter, ParameterValue


def mistakes(
    declared: Sequence[Parameter], given: Mapping[str, ParameterValue]
) -> Iterator[tuple[str, str]]:
    """Yield the name and what is wrong for each value that the pipeline can't be given."""
    known = {parameter.name: parameter for parameter in declared}
    for name, value in given.items():
        if name not in known:
            yield name, f"the pipeline has no such parameter{suggest(name, list(known))}"
        elif not _fits(value, known[name].default):
            yield name, f"write {_words(known[name].default)}, not {value!r}"


def effective(
    declared: Sequence[Parameter], given: Mapping[str, ParameterValue]
) -> Mapping[str, ParameterValue]:
    """Return a value for each parameter: what is given, else its default."""
    return {one.name: _value(one, given.get(one.name, one.default)) for one in declared}


def notes(declared: Sequence[Parameter], given: Mapping[str, ParameterValue]) -> tuple[str, ...]:
    """Return a sentence for a reader for each parameter that differs from its default."""
    values = effective(declared, given)
    return tuple(
        f"Here {one.name} is set to {values[one.name]}, not {one.default}: {one.meaning}"
        for one in declared
        if values[one.name] != one.default
    )


def _value(parameter: Parameter, value: ParameterValue) -> ParameterValue:
    return float(value) if isinstance(parameter.default, float) else value


def _fits(value: ParameterValue, default: ParameterValue) -> bool:
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, type(default))


def _words(default: ParameterValue) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, int):
        return "a whole number"
    return "a number" if isinstance(default, float) else "text"
