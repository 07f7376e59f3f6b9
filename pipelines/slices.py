"""One slice as a stack needs it: where it is, how large, how to rescale, where it came from.

Classic single-frame objects have these on top, enhanced ones in functional groups
(PS3.3 C.7.6.16.2): per frame, else shared.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from appliance.core.errors import BadInstance, InputRefused
from pipelines.volume import Float64, FrameRef

_NEEDED = ("Rows", "Columns", "SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """One frame in space. `row` is the direction in which columns count, and vice versa."""

    frame: FrameRef
    position: Float64  # LPS mm of the centre of the first voxel
    row: Float64  # unit vector, Image Orientation (Patient) 1-3
    column: Float64  # unit vector, Image Orientation (Patient) 4-6
    matrix: tuple[int, int]  # rows, columns
    spacing: tuple[float, float]  # mm between rows, between columns
    slope: float
    intercept: float


def slices_of(dataset: Dataset, path_index: int, name: str) -> tuple[Slice, ...]:
    """Return the slices of one object, in stored order.

    Raises BadInstance where the header is incomplete, InputRefused where the object is whole
    but not one stack of grey images.
    """
    for keyword in _NEEDED:
        if dataset.get(keyword) in (None, ""):
            raise BadInstance(f"{name}: has no {keyword}")
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise InputRefused(f"{name}: is a colour image; grey images are needed")
    _readable_values(dataset, name)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if "PerFrameFunctionalGroupsSequence" in dataset:
        return tuple(_enhanced(dataset, frames, path_index, name))
    if frames != 1:
        raise InputRefused(f"{name}: has {frames} frames but does not say where each one lies")
    return (_slice(dataset, (dataset,), None, path_index, name),)


def _readable_values(dataset: Dataset, name: str) -> None:
    """Refuse stored values whose meaning would have to be guessed."""
    if dataset.get("ModalityLUTSequence"):
        raise InputRefused(f"{name}: says its values by a Modality LUT, which is not supported")
    stored, high = dataset.get("BitsStored"), dataset.get("HighBit")
    is_native = not dataset.file_meta.TransferSyntaxUID.is_compressed
    if is_native and None not in (stored, high) and int(high) >= int(stored):
        raise InputRefused(
            f"{name}: keeps its values in {stored} bits up to bit {high}, not in the lower ones"
        )


def _enhanced(dataset: Dataset, frames: int, path_index: int, name: str) -> Iterator[Slice]:
    groups = dataset.PerFrameFunctionalGroupsSequence
    if len(groups) != frames:
        raise BadInstance(f"{name}: has {frames} frames but {len(groups)} functional groups")
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    _one_stack(groups, name)
    for number, group in enumerate(groups, 1):
        levels = (*_flat(group, shared[0]), dataset)
        yield _slice(dataset, levels, number, path_index, name)


def _flat(group: Dataset, shared: Dataset) -> Iterator[Dataset]:
    """Yield the functional groups' items: per frame before shared."""
    for keyword in (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    ):
        for level in (group, shared):
            if level.get(keyword):
                yield level[keyword].value[0]
                break


def _one_stack(groups: list[Dataset], name: str) -> None:
    contents = [
        group.FrameContentSequence[0] for group in groups if "FrameContentSequence" in group
    ]
    for keyword, what in (("StackID", "stacks"), ("TemporalPositionIndex", "time points")):
        found = {str(content[keyword].value) for content in contents if keyword in content}
        if len(found) > 1:
            raise InputRefused(f"{name}: holds {len(found)} {what}; a single one is needed")


def _slice(
    dataset: Dataset, levels: tuple[Dataset, ...], number: int | None, path_index: int, name: str
) -> Slice:
    where = name if number is None else f"{name}, frame {number}"
    orientation = _numbers(levels, "ImageOrientationPatient", 6, where)
    row, column = orientation[:3], orientation[3:]
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-2):
        raise BadInstance(f"{where}: ImageOrientationPatient is not two perpendicular unit vectors")
    spacing = _numbers(levels, "PixelSpacing", 2, where)
    if spacing.min() <= 0:
        raise BadInstance(f"{where}: PixelSpacing is not positive")
    return Slice(
        frame=FrameRef(
            sop_instance_uid=str(dataset.SOPInstanceUID),
            sop_class_uid=str(UID(dataset.SOPClassUID)),
            frame_number=number,
            path_index=path_index,
        ),
        position=_numbers(levels, "ImagePositionPatient", 3, where),
        row=row / np.linalg.norm(row),
        column=column / np.linalg.norm(column),
        matrix=(int(dataset.Rows), int(dataset.Columns)),
        spacing=(float(spacing[0]), float(spacing[1])),
        slope=_slope(levels, where),
        intercept=_number(levels, "RescaleIntercept", 0.0, where),
    )


def _slope(levels: tuple[Dataset, ...], where: str) -> float:
    slope = _number(levels, "RescaleSlope", 1.0, where)
    if slope == 0:
        raise BadInstance(f"{where}: RescaleSlope is 0, which makes all values the same")
    return slope


def _numbers(levels: tuple[Dataset, ...], keyword: str, count: int, where: str) -> Float64:
    for level in levels:
        values = level.get(keyword)
        if values is not None and not isinstance(values, str) and len(values) == count:
            numbers = np.array([float(value) for value in values])
            if np.isfinite(numbers).all():
                return numbers
    raise InputRefused(f"{where}: has no usable {keyword}, so its place in the patient is unknown")


def _number(levels: tuple[Dataset, ...], keyword: str, default: float, where: str) -> float:
    for level in levels:
        if level.get(keyword) is not None:
            number = float(level[keyword].value)
            if not np.isfinite(number):
                raise BadInstance(f"{where}: {keyword} is {number}, which is no number")
            return number
    return default
