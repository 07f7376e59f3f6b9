"""A Segmentation and its source read by pydicom and numpy alone, and what they say of a segment.

Nothing of the product is used: the numbers in a report are compared with these.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread


def masks(segmentation: Path) -> dict[int, dict[str, NDArray[np.bool_]]]:
    """Return for each Segment Number the mask on each source image, by SOP Instance UID."""
    dataset = dcmread(segmentation)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    count = int(dataset.NumberOfFrames)
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    frames = bits[: count * rows * columns].reshape(count, rows, columns).astype(bool)
    found: dict[int, dict[str, NDArray[np.bool_]]] = {}
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        found.setdefault(number, {})[str(source.ReferencedSOPInstanceUID)] = frame
    return found


def values(marked: Mapping[str, NDArray[np.bool_]], images: Sequence[Path]) -> NDArray[np.float64]:
    """Return the rescaled values of all marked pixels of a series."""
    found = []
    for path in images:
        dataset = dcmread(path)
        mask = marked.get(str(dataset.SOPInstanceUID))
        if mask is not None:
            stored = dataset.pixel_array[mask].astype(np.float64)
            found.append(stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept))
    return np.concatenate(found)


def voxel_ml(images: Sequence[Path]) -> float:
    """Return one voxel's volume, from pixel spacing and the distance of neighbouring slices."""
    headers = [dcmread(path, stop_before_pixels=True) for path in images]
    first = headers[0]
    cosines = np.array([float(x) for x in first.ImageOrientationPatient])
    normal = np.cross(cosines[:3], cosines[3:])
    heights = sorted(
        float(np.array([float(x) for x in header.ImagePositionPatient]) @ normal)
        for header in headers
    )
    gap = float(np.median(np.diff(heights)))
    return float(first.PixelSpacing[0]) * float(first.PixelSpacing[1]) * gap / 1000.0


def sides(segmentation: Path) -> dict[str, int]:
    """Return the Segment Number of each side ("Left", "Right"; "" without one)."""
    found = {}
    for item in dcmread(segmentation).SegmentSequence:
        (kind,) = item.SegmentedPropertyTypeCodeSequence
        modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence") or ()
        found["".join(str(code.CodeMeaning) for code in modifiers)] = int(item.SegmentNumber)
    return found


def reported(report: Path) -> dict[str, dict[str, tuple[float, str]]]:
    """Return for each measurement group, by its tracking identifier, value and unit by concept."""
    found: dict[str, dict[str, tuple[float, str]]] = {}
    for group in _named(dcmread(report), "125007"):
        (name,) = (item.TextValue for item in _named(group, "112039"))
        found[str(name)] = {
            str(item.ConceptNameCodeSequence[0].CodeValue): (
                float(item.MeasuredValueSequence[0].NumericValue),
                str(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue),
            )
            for item in group.ContentSequence
            if item.ValueType == "NUM"
        }
    return found


def comments(report: Path) -> list[str]:
    """Return every comment in a report, whatever it hangs on."""
    return [str(item.TextValue) for item in _named(dcmread(report), "121106")]


def _named(item: Dataset, code: str) -> list[Dataset]:
    """Return the content items under `item` whose concept name has this code."""
    found = []
    for child in item.get("ContentSequence") or ():
        names = child.get("ConceptNameCodeSequence") or ()
        if names and names[0].CodeValue == code:
            found.append(child)
        found += _named(child, code)
    return found
