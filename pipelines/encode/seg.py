"""Label map → binary Segmentation (PS3.3 A.51), one segment a structure and side.

highdicom is given stand-ins for the source images, which hold geometry and nothing else: an odd
date or a code that is not in its tables does not stop a result, and single-frame and multi-frame
sources go one way. The references to the true images are written here.
"""

from collections.abc import Mapping

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from appliance.core import product
from appliance.core.errors import PermanentPipelineError
from appliance.core.model import ObjectKind, Segment
from pipelines.encode.context import MAX_LO, Model, RunContext
from pipelines.encode.equipment import algorithm_of_segments
from pipelines.encode.source import Plane, Source, stand_in
from pipelines.encode.terms import LATERALITY, concept
from pipelines.volume import Labels

_LABELS = 256
# What was lossy once stays so in whatever is derived from it (PS3.3 C.7.6.1.1.5).
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def number_segments(segments: tuple[Segment, ...], labels: Labels) -> Mapping[int, int]:
    """Return the Segment Number in the object for each label value that has voxels.

    Numbers run from 1 without a gap (PS3.3 C.8.20.2): a structure that was not found has none,
    and those after it move up. Raises PermanentPipelineError for a value without a segment.
    """
    counts = np.bincount(labels.ravel(), minlength=_LABELS)
    described = {segment.number for segment in segments}
    unknown = [value for value in range(1, _LABELS) if counts[value] and value not in described]
    if unknown:
        raise PermanentPipelineError(f"no segment describes the label map's values {unknown}")
    present = sorted(number for number in described if counts[number])
    return {label: number for number, label in enumerate(present, 1)}


def build_segmentation(
    context: RunContext,
    source: Source,
    segments: tuple[Segment, ...],
    labels: Labels,
    numbers: Mapping[int, int],
) -> Dataset:
    """Return the Segmentation without what all our objects have in common.

    `labels` has the shape of the source volume; `numbers` is from `number_segments` and not
    empty. Frames without a voxel of their segment are left out. The transfer syntax is native:
    compressed one-bit frames are read by few.
    """
    by_label = {segment.number: segment for segment in segments}
    segmentation: Dataset = Segmentation(
        source_images=_stand_ins(source),
        pixel_array=_renumbered(labels, numbers),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            describe_segment(by_label[label], number, context.model)
            for label, number in numbers.items()
        ],
        series_instance_uid=context.uid(ObjectKind.SEG, "series"),
        series_number=context.series_number(ObjectKind.SEG),
        sop_instance_uid=context.uid(ObjectKind.SEG, "instance"),
        instance_number=context.run_number,
        manufacturer=product.MANUFACTURER,
        manufacturer_model_name=product.MODEL_NAME,
        software_versions=product.VERSION,
        device_serial_number=context.device_serial,
        content_label="SEGMENTATION",
        content_description=context.series_description(ObjectKind.SEG),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    for keyword in _LOSSY:
        if source.header.get(keyword):
            segmentation[keyword] = source.header[keyword]
    _refer(segmentation, source)
    _name_dimensions(segmentation, context.uid(ObjectKind.SEG, "dimension organization"))
    return segmentation


def describe_segment(segment: Segment, number: int, model: Model) -> SegmentDescription:
    """Return the item of Segment Sequence: what the segment is, its side, which model made it."""
    description = SegmentDescription(
        segment_number=number,
        segment_label=segment_label(segment),
        segmented_property_category=concept(segment.category),
        segmented_property_type=concept(segment.structure),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm_of_segments(model),
        tracking_id=segment_label(segment),
        tracking_uid=segment.tracking_uid,
        display_color=CIELabColor.from_rgb(*segment.color),
    )
    if segment.side is not None:
        (property_type,) = description.SegmentedPropertyTypeCodeSequence
        property_type.SegmentedPropertyTypeModifierCodeSequence = [
            concept(LATERALITY[segment.side])
        ]
    return description


def segment_label(segment: Segment) -> str:
    """Return the name of a segment for people, with its side."""
    side = f", {segment.side}" if segment.side else ""
    return segment.name[: MAX_LO - len(side)] + side


def _renumbered(labels: Labels, numbers: Mapping[int, int]) -> Labels:
    table = np.zeros(_LABELS, np.uint8)
    for label, number in numbers.items():
        table[label] = number
    return table[labels]


def _stand_ins(source: Source) -> list[Dataset]:
    """Return one image a slice, known by its index: `2.25.1` is the first."""
    return [_stand_in(source, plane, index) for index, plane in enumerate(source.planes, 1)]


def _stand_in(source: Source, plane: Plane, index: int) -> Dataset:
    image = stand_in(source, MRImageStorage, source.series_instance_uid, f"2.25.{index}")
    image.FrameOfReferenceUID = source.frame_of_reference_uid
    image.Modality = "OT"
    image.Rows, image.Columns = source.matrix
    image.ImagePositionPatient = list(plane.position)
    image.ImageOrientationPatient = list(source.orientation)
    image.PixelSpacing = list(source.pixel_spacing)
    image.SliceThickness = source.slice_thickness
    image.SpacingBetweenSlices = source.slice_gap
    return image


def _refer(segmentation: Dataset, source: Source) -> None:
    """Put the true images in the stand-ins' place, frame by frame and in the object's lists."""
    planes = {f"2.25.{index}": plane for index, plane in enumerate(source.planes, 1)}
    seen: set[int] = set()
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        for image in groups.DerivationImageSequence[0].SourceImageSequence:
            if id(image) not in seen:  # the frames of one slice share their item
                seen.add(id(image))
                _point_at(image, planes[image.ReferencedSOPInstanceUID])
    references = [
        _reference(frame.sop_class_uid, frame.sop_instance_uid) for frame in source.instances()
    ]
    segmentation.SourceImageSequence = references
    series = Dataset()
    series.SeriesInstanceUID = source.series_instance_uid
    series.ReferencedInstanceSequence = references
    segmentation.ReferencedSeriesSequence = [series]


def _point_at(image: Dataset, plane: Plane) -> None:
    image.ReferencedSOPClassUID = plane.frame.sop_class_uid
    image.ReferencedSOPInstanceUID = plane.frame.sop_instance_uid
    if plane.frame.frame_number is not None:
        image.ReferencedFrameNumber = plane.frame.frame_number


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _name_dimensions(segmentation: Dataset, uid: str) -> None:
    """Replace the random UID of the dimension organization."""
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for index in segmentation.DimensionIndexSequence:
        index.DimensionOrganizationUID = uid
