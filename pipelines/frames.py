"""Values of one frame, wherever its object keeps them.

A single-frame object has them at its top level, a multi-frame one in its functional groups:
per frame, else shared by all frames (PS3.3 C.7.6.16). Attributes that an object has in several
places are taken from the most specific one.
"""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.dataelem import DataElement

PIXEL_MEASURES = "PixelMeasuresSequence"
PLANE_ORIENTATION = "PlaneOrientationSequence"
PLANE_POSITION = "PlanePositionSequence"
PIXEL_VALUES = "PixelValueTransformationSequence"
VOI = "FrameVOILUTSequence"


def is_multi_frame(dataset: Dataset) -> bool:
    """Return whether the object has functional groups for its frames."""
    return "PerFrameFunctionalGroupsSequence" in dataset


def frame_element(
    dataset: Dataset, frame_number: int | None, group: str, keyword: str
) -> DataElement | None:
    """Return the frame's element `keyword`, which multi-frame objects keep in `group`.

    `frame_number` counts from 1; None is the only frame of a single-frame object. None comes
    back where the element is absent or empty.
    """
    for place in _places(dataset, frame_number, group):
        if keyword in place and not place[keyword].is_empty:
            return place[keyword]
    return None


def frame_numbers(
    dataset: Dataset, frame_number: int | None, group: str, keyword: str
) -> tuple[float, ...]:
    """Return the frame's values of a numeric element as floats; () where there are none."""
    element = frame_element(dataset, frame_number, group, keyword)
    if element is None:
        return ()
    values = element.value if element.VM > 1 else [element.value]
    return tuple(float(value) for value in values)


def _places(dataset: Dataset, frame_number: int | None, group: str) -> Iterator[Dataset]:
    index = (frame_number or 1) - 1
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for functional_groups in (*per_frame[index : index + 1], *shared[:1]):
        yield from (functional_groups.get(group) or ())[:1]
    yield dataset
