"""Findings → Comprehensive 3D SR with a measurement report (TID 1500, PS3.16).

One measurement group a finding: of a region (TID 1411) where it has a segment, else of the
images (TID 1501). Numbers that are not there are said in words, never written as numbers.
"""

import math
from collections.abc import Iterator, Mapping

from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as NumericMeasurement
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from appliance.core import product
from appliance.core.model import Finding, Measurement, ObjectKind, PipelineResult
from pipelines.encode.context import MAX_LO, RunContext
from pipelines.encode.equipment import algorithm_of_measurements
from pipelines.encode.source import Source, stand_in
from pipelines.encode.terms import (
    CAD_SUMMARY,
    COMMENT,
    DEVICE,
    ENGLISH,
    LATERALITY,
    MEASUREMENT_FAILURE,
    WITHOUT_FINDINGS,
    concept,
    procedure_reported,
)


def build_report(
    context: RunContext,
    source: Source,
    result: PipelineResult,
    numbers: Mapping[int, int],
    *,
    is_all: bool = True,
) -> Dataset:
    """Return the SR without what all our objects have in common.

    `numbers` gives the Segment Number for each label value that the run's Segmentation has; it
    is empty where there is no Segmentation. Where `is_all` is false, the pipeline says more in
    objects of its own: without findings here, nothing is said of whether there are any.
    """
    report = MeasurementReport(
        observation_context=_observer(context),
        procedure_reported=concept(procedure_reported(str(source.header.get("Modality") or ""))),
        imaging_measurements=list(_groups(context, result, numbers, is_all=is_all)),
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            concept(ENGLISH)
        ),
    )
    for note in (context.regulatory_label, *result.notes):
        report[0].ContentSequence.append(_comment(note))
    document: Dataset = Comprehensive3DSR(
        evidence=list(_evidence(context, source, numbers)),
        content=report,
        series_instance_uid=context.uid(ObjectKind.SR, "series"),
        series_number=context.series_number(ObjectKind.SR),
        sop_instance_uid=context.uid(ObjectKind.SR, "instance"),
        instance_number=context.run_number,
        manufacturer=product.MANUFACTURER,
        is_complete=True,
        is_verified=False,
        previous_versions=_predecessors(context, source) or None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    return document


def finding_label(finding: Finding) -> str:
    """Return the name of a finding for people, with its side."""
    side = f", {finding.side}" if finding.side else ""
    return finding.name[: MAX_LO - len(side)] + side


def is_measured(measurement: Measurement) -> bool:
    """Return whether there is a number that a NUM item can say."""
    return measurement.value is not None and math.isfinite(measurement.value)


def _observer(context: RunContext) -> ObservationContext:
    model = context.model
    device = ObserverContext(
        observer_type=concept(DEVICE),
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=model.device_uid,
            name=model.name,
            manufacturer_name=model.manufacturer,
            model_name=model.name,
        ),
    )
    return ObservationContext(observer_device_context=device)


def _groups(
    context: RunContext, result: PipelineResult, numbers: Mapping[int, int], *, is_all: bool
) -> Iterator[ContentSequence]:
    if not result.findings:
        yield _nothing_found(context, is_all=is_all)
    for finding in result.findings:
        yield _group(context, result, finding, numbers)


def _nothing_found(context: RunContext, *, is_all: bool) -> ContentSequence:
    """Return a group that says: it ran and, if this is all that it says, found nothing."""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=context.uid(ObjectKind.SR, "nothing found"), identifier=context.pipeline
        ),
        algorithm_id=algorithm_of_measurements(context.model),
        qualitative_evaluations=[
            QualitativeEvaluation(concept(CAD_SUMMARY), concept(WITHOUT_FINDINGS))
        ]
        if is_all
        else None,
    )


def _group(
    context: RunContext, result: PipelineResult, finding: Finding, numbers: Mapping[int, int]
) -> ContentSequence:
    segment = _referenced_segment(context, finding, numbers)
    common = {
        "tracking_identifier": TrackingIdentifier(
            uid=finding.tracking_uid, identifier=finding_label(finding)
        ),
        "finding_type": concept(finding.structure),
        "finding_category": _category(result, finding),
        "finding_sites": [_site(finding)],
        "algorithm_id": algorithm_of_measurements(context.model),
        "measurements": [_number(item) for item in finding.measurements if is_measured(item)],
        "qualitative_evaluations": [
            QualitativeEvaluation(concept(item.concept), concept(MEASUREMENT_FAILURE))
            for item in finding.measurements
            if not is_measured(item)
        ],
    }
    group = (
        MeasurementsAndQualitativeEvaluations(**common)
        if segment is None
        else VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=segment, **common
        )
    )
    for item in finding.measurements:
        if not is_measured(item):
            group[0].ContentSequence.append(_why_not(item))
    return group


def _referenced_segment(
    context: RunContext, finding: Finding, numbers: Mapping[int, int]
) -> ReferencedSegment | None:
    if finding.region is None or finding.region.segment_number not in numbers:
        return None
    return ReferencedSegment(
        sop_class_uid=SegmentationStorage,
        sop_instance_uid=context.uid(ObjectKind.SEG, "instance"),
        segment_number=numbers[finding.region.segment_number],
        source_series=SourceSeriesForSegmentation(finding.region.series_instance_uid),
    )


def _category(result: PipelineResult, finding: Finding) -> CodedConcept | None:
    if finding.region is None:
        return None
    number = finding.region.segment_number
    return next(
        (concept(segment.category) for segment in result.segments if segment.number == number),
        None,
    )


def _site(finding: Finding) -> FindingSite:
    side = LATERALITY[finding.side] if finding.side is not None else None
    return FindingSite(
        anatomic_location=concept(finding.structure),
        laterality=concept(side) if side is not None else None,
    )


def _number(measurement: Measurement) -> NumericMeasurement:
    return NumericMeasurement(
        name=concept(measurement.concept), value=measurement.value, unit=concept(measurement.unit)
    )


def _why_not(measurement: Measurement) -> TextContentItem:
    # An empty Measured Value Sequence with a qualifier would be the other way (PS3.3 C.18.1),
    # but readers, highdicom among them, fail on the whole document at the first one.
    reason = measurement.not_measured or "no value"
    return _comment(f"{measurement.concept.meaning} was not measured: {reason}")


def _comment(text: str) -> TextContentItem:
    return TextContentItem(
        name=concept(COMMENT), value=text, relationship_type=RelationshipTypeValues.CONTAINS
    )


def _evidence(context: RunContext, source: Source, numbers: Mapping[int, int]) -> Iterator[Dataset]:
    if numbers:
        yield stand_in(
            source,
            SegmentationStorage,
            context.uid(ObjectKind.SEG, "series"),
            context.uid(ObjectKind.SEG, "instance"),
        )
    for series, frame in source.looked_at():
        yield stand_in(source, frame.sop_class_uid, series, frame.sop_instance_uid)


def _predecessors(context: RunContext, source: Source) -> list[Dataset]:
    return [
        stand_in(source, prior.sop_class_uid, prior.series_instance_uid, prior.sop_instance_uid)
        for prior in context.supersedes
        if prior.kind == ObjectKind.SR
    ]
