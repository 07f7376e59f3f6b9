"""Study summaries for tests of rules, written as keyword=value; no files."""

from collections.abc import Sequence

from appliance.core.conditions import Condition, parse_condition
from appliance.core.model import (
    Attributes,
    AttributeValue,
    InstanceSummary,
    SeriesSummary,
    StudySummary,
)
from appliance.core.preferences import parse_preferences
from appliance.routing.rules import InputSpec, PipelineInputs, Route

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"


def attributes(**written: object) -> dict[str, tuple[AttributeValue, ...]]:
    """Return Attributes: numbers become floats, lists several values, None an empty element."""
    return {key: _values(value) for key, value in written.items()}


def _values(written: object) -> tuple[AttributeValue, ...]:
    if written is None:
        return ()
    items = written if isinstance(written, list) else [written]
    return tuple(item if isinstance(item, str) else float(item) for item in items)


def series(
    uid: str,
    *,
    images: int = 2,
    sop_class_uid: str = MR_IMAGE,
    frames: int = 1,
    differing: Sequence[Attributes] = (),
    **shared: object,
) -> SeriesSummary:
    """Return a series of MR images; `differing` has what each image has of its own."""
    common = attributes(**({"Modality": "MR", "Rows": 4, "SeriesNumber": 1} | shared))
    own = differing or tuple({} for _ in range(images))
    return SeriesSummary(
        series_instance_uid=uid,
        attributes=common,
        instances=tuple(
            InstanceSummary(
                sop_instance_uid=f"{uid}.{number}",
                sop_class_uid=sop_class_uid,
                number_of_frames=frames,
                attributes=common | dict(one),
            )
            for number, one in enumerate(own, 1)
        ),
    )


def study(*parts: SeriesSummary, uid: str = "1.2.3") -> StudySummary:
    return StudySummary(study_instance_uid=uid, attributes={}, series=parts)


def condition(data: object) -> Condition:
    return parse_condition(data)


def spec(
    name: str = "t1", select: object = None, prefer: object = None, *, required: bool = True
) -> InputSpec:
    return InputSpec(
        name=name,
        select=parse_condition(select or {}),
        prefer=parse_preferences(prefer or []),
        required=required,
    )


def one_pipeline(*specs: InputSpec, name: str = "brain-mr") -> dict[str, PipelineInputs]:
    return {name: PipelineInputs(pipeline=name, inputs=specs or (spec(),))}


def route(
    when: object = None, *, run: tuple[str, ...] = ("brain-mr",), name: str = "brain"
) -> Route:
    return Route(name=name, when=parse_condition(when or {}), run=run)
