"""What routing is asked: a route, and which series each of its pipelines wants."""

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.core.conditions import Condition, attributes_in
from appliance.core.preferences import Preference, attributes_in_preference


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One rule: series that meet `when` go to the pipelines in `run`."""

    name: str
    when: Condition
    run: tuple[str, ...]  # names of pipelines


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One named input of a pipeline: which series may be it, and which of them is best.

    The pipeline says with `required=False` that it can do without this input.
    """

    name: str
    select: Condition
    prefer: tuple[Preference, ...] = ()
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineInputs:
    """All inputs of one pipeline."""

    pipeline: str
    inputs: tuple[InputSpec, ...]


def attributes_needed(
    routes: Iterable[Route], pipelines: Iterable[PipelineInputs]
) -> frozenset[str]:
    """Return every attribute that deciding about these routes and pipelines reads."""
    specs = [spec for pipeline in pipelines for spec in pipeline.inputs]
    return frozenset().union(
        *(attributes_in(route.when) for route in routes),
        *(attributes_in(spec.select) for spec in specs),
        *(attributes_in_preference(item) for spec in specs for item in spec.prefer),
    )
