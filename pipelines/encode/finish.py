"""What every object of ours has in common."""

from datetime import datetime

from pydicom import Dataset

from appliance.core import product
from appliance.core.model import ObjectKind
from pipelines.encode.context import EncodedObject, RunContext
from pipelines.encode.equipment import describe_equipment
from pipelines.encode.inherit import choose_character_set, inherit, source_time_zone
from pipelines.encode.part10 import part10
from pipelines.encode.source import Source
from pipelines.encode.terms import declare_schemes


def finish(
    dataset: Dataset,
    kind: ObjectKind,
    context: RunContext,
    source: Source,
    own_texts: tuple[str, ...],
) -> EncodedObject:
    """Return the object as a Part 10 file.

    `own_texts` are the texts in `dataset` that are neither the source's nor known to be ASCII.
    """
    texts = (*own_texts, *texts_of(context))
    moment = moment_of(context, source.header)
    inherit(dataset, source.header, choose_character_set(source.header, texts))
    describe_equipment(dataset, context, source.header, moment)
    set_dates(dataset, moment)
    dataset.InstanceCreatorUID = product.APPLIANCE_DEVICE_UID
    dataset.SeriesDescription = context.series_description(kind)
    declare_schemes(dataset, context.coding_schemes)
    return EncodedObject(
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        series_description=str(dataset.SeriesDescription),
        data=part10(dataset),
    )


def moment_of(context: RunContext, header: Dataset) -> datetime:
    """Return when the run was made, in the time zone that the source's dates are in."""
    return context.created_at.astimezone(source_time_zone(header) or context.time_zone)


def texts_of(context: RunContext) -> tuple[str, ...]:
    """Return every text of the context that stands in an object."""
    return (
        context.pipeline,
        context.title,
        context.manufacturer,
        context.regulatory_label,
        context.device_serial,
        context.institution,
        *(text for one in context.coding_schemes for text in (one.name, one.responsible)),
    )


def set_dates(dataset: Dataset, moment: datetime) -> None:
    """Write when instance, series and content were made."""
    for event in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{event}Date", f"{moment:%Y%m%d}")
        setattr(dataset, f"{event}Time", f"{moment:%H%M%S.%f}")
