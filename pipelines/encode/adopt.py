"""Objects that a pipeline made itself → objects of the run: ours in identity, theirs in content.

What every object of a run has in common they get here: patient and study as the source has them,
UIDs made from the run, a series that says by which pipeline it is and what it may be used for,
the appliance and the model among the equipment, file meta. Pixels, content trees and references
to the source stay as they are. Another attempt that makes the same objects under other random UIDs
ends with the same UIDs.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO

from pydicom import Dataset

from appliance.core import product
from appliance.core.errors import BadInstance, PermanentPipelineError
from appliance.core.model import ObjectKind, Segment
from pipelines.base import MadeObjects
from pipelines.encode.context import ADOPTED_SERIES, EncodedObject, RunContext
from pipelines.encode.equipment import contributors
from pipelines.encode.finish import moment_of, set_dates, texts_of
from pipelines.encode.inherit import choose_character_set, inherit
from pipelines.encode.made import Heads, Made, read_made
from pipelines.encode.part10 import part10_of_others
from pipelines.encode.source import Source
from pipelines.encode.terms import COMMENT, concept
from pipelines.personal import personal_values_of, without
from pipelines.segmentation import read_segmentation

_TEXTS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_CHANGING = frozenset({"DA", "DT", "SQ", "TM", "UI"})  # SQ: its items are looked at themselves
# They sign bytes that are no more the same (PS3.3 C.12.1.1.3).
_SIGNATURES = ("MACParametersSequence", "DigitalSignaturesSequence")
_PICTURES = frozenset({ObjectKind.IMAGE, ObjectKind.SC})
_MAX_LT = 10_240  # characters of a Long Text (PS3.5 6.2)


def adopt(context: RunContext, source: Source, made: MadeObjects) -> Iterator[EncodedObject]:
    """Yield each object that the pipeline made as one of the run's.

    Raises PermanentPipelineError where any of them is not to be taken (see `read_made`), before
    the first is yielded.
    """
    header = source.header
    heads = Heads()
    objects = [read_made(name, data, header, context.adopt, heads) for name, data in made.files()]
    _check_alone(objects, context.given)
    ordered = _in_order(objects)
    series = tuple(dict.fromkeys(item.series_instance_uid for item in ordered))
    if len(series) > ADOPTED_SERIES:
        raise PermanentPipelineError(
            f"the pipeline made objects of {len(series)} series; {ADOPTED_SERIES} are taken at most"
        )
    series_of = [series.index(item.series_instance_uid) for item in ordered]
    uids = _new_uids(context, ordered, series)
    for number, (item, position) in enumerate(zip(ordered, series_of, strict=True), 1):
        for keyword in _SIGNATURES:
            item.dataset.pop(keyword, None)
        _rename(item.dataset, uids)
        item.dataset.SeriesInstanceUID = _series_uid(context, position)
        _place_in_series(context, item, number, position)
        yield _finished(context, source, item)


def _check_alone(objects: Sequence[Made], given: frozenset[str]) -> None:
    """Raise PermanentPipelineError for an object under the UID of another, or of an image."""
    seen = set(given)
    for item in objects:
        if item.sop_instance_uid in seen:
            whose = "an image that it was given" if item.sop_instance_uid in given else "another"
            raise PermanentPipelineError(
                f"{item.name} is not taken: it has the SOPInstanceUID of {whose}"
            )
        seen.add(item.sop_instance_uid)


def _in_order(objects: Sequence[Made]) -> list[Made]:
    """Return the objects in an order that no random UID, name or date has a part in."""
    return sorted(
        objects,
        key=lambda item: (
            str(item.dataset.SOPClassUID),
            _whole(item.dataset.get("InstanceNumber")),
            _fingerprint(item.dataset),
        ),
    )


def _whole(number: object) -> int:
    return int(str(number)) if str(number).isdecimal() else 0


def _fingerprint(dataset: Dataset) -> str:
    total = hashlib.sha256()
    for element in dataset.iterall():
        if element.VR not in _CHANGING and element.keyword != "SeriesNumber":
            value = element.value if isinstance(element.value, bytes) else str(element.value)
            total.update(f"{element.tag}".encode())
            total.update(value if isinstance(value, bytes) else value.encode(errors="replace"))
    return total.hexdigest()


def _new_uids(
    context: RunContext, ordered: Sequence[Made], series: Sequence[str]
) -> Mapping[str, str]:
    """Return the run's UID for each of the makers' that one object may refer to another by.

    Where a maker left its images in the source's series, a reference to that is to the source.
    """
    instances = {
        item.sop_instance_uid: context.uid(item.kind, f"adopted instance {number}")
        for number, item in enumerate(ordered, 1)
    }
    return instances | {
        uid: _series_uid(context, position)
        for position, uid in enumerate(series)
        if uid not in context.given
    }


def _series_uid(context: RunContext, position: int) -> str:
    return context.uid(ObjectKind.OTHER, f"adopted series {position}")


def _rename(dataset: Dataset, uids: Mapping[str, str]) -> None:
    for element in dataset.iterall():
        if element.VR == "UI" and element.value:
            if element.VM > 1:
                element.value = [uids.get(str(uid), uid) for uid in element.value]
            else:
                element.value = uids.get(str(element.value), element.value)


def _place_in_series(context: RunContext, item: Made, number: int, position: int) -> None:
    dataset = item.dataset
    dataset.SeriesNumber = context.adopted_series_number(position)
    dataset.SeriesDescription = context.adopted_description(item.kind)
    if not dataset.get("InstanceNumber"):
        dataset.InstanceNumber = number
    if not dataset.get("Manufacturer"):
        dataset.Manufacturer = context.manufacturer
    dataset.InstanceCreatorUID = product.APPLIANCE_DEVICE_UID
    if item.kind is ObjectKind.SEG:
        _track_segments(context, dataset, number)
    if item.kind is ObjectKind.SR:
        dataset.ContentSequence.append(_comment(context.regulatory_label))
    if item.kind in _PICTURES:
        # Whatever a program made of images is derived, even where it left what the scanner wrote.
        dataset.ImageType = ["DERIVED", *list(dataset.get("ImageType") or ["", "SECONDARY"])[1:]]
        said = (context.regulatory_label, str(dataset.get("ImageComments") or ""))
        dataset.ImageComments = ". ".join(text for text in said if text)[:_MAX_LT]


def _track_segments(context: RunContext, dataset: Dataset, number: int) -> None:
    """Give each segment that has none a Tracking UID: by it the review page knows it again."""
    for segment in dataset.get("SegmentSequence") or ():
        if not segment.get("TrackingUID"):
            what = f"adopted instance {number} segment {segment.get('SegmentNumber')}"
            segment.TrackingID = segment.get("TrackingID") or segment.get("SegmentLabel") or what
            segment.TrackingUID = context.uid(ObjectKind.SEG, what)


def _comment(text: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = [concept(COMMENT)]
    item.TextValue = text
    return item


def _finished(context: RunContext, source: Source, item: Made) -> EncodedObject:
    dataset, header = item.dataset, source.header
    moment = moment_of(context, header)
    texts = (*_texts(dataset), *texts_of(context))
    inherit(dataset, header, choose_character_set(header, texts))
    set_dates(dataset, moment)
    dataset.ContributingEquipmentSequence = [
        *(dataset.get("ContributingEquipmentSequence") or ()),
        *contributors(context, moment, "Ran the program that made this object"),
    ]
    try:
        data = part10_of_others(dataset, item.transfer_syntax_uid)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, struct.error) as error:
        raise PermanentPipelineError(
            f"{item.name} cannot be written as DICOM: {type(error).__name__}"
        ) from None
    return EncodedObject(
        kind=item.kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        series_description=str(dataset.SeriesDescription),
        data=data,
        segments=_shown(header, data) if item.kind is ObjectKind.SEG else (),
    )


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR in _TEXTS and element.value:
            yield str(element.value)


def _shown(header: Dataset, data: bytes) -> tuple[Segment, ...]:
    """Return the segments that a page can show; none where it cannot read the object."""
    try:
        segments = read_segmentation(BytesIO(data)).segments
    except BadInstance:
        return ()
    secrets = personal_values_of(header)
    return tuple(replace(item, name=without(secrets, item.name)) for item in segments)
