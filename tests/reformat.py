"""The same volume stored otherwise: other planes, other order, other objects, other extents.

    paths = restored(sorted(HEAD.iterdir()), tmp_path, Storage.ENHANCED)

Stored values are moved, never interpolated; every header says where its voxels are now.
"""

from collections.abc import Sequence
from copy import deepcopy
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

from pipelines.series import read_volume
from tests.builders import override, set_pixels, write, write_all

ROOT = Path(__file__).resolve().parents[1]
HEAD = ROOT / "appliance" / "demo" / "data" / "mr-t1-mprage-head"
LEG = ROOT / "tests" / "data" / "mr-leg-sts025"
HIPPOCAMPUS_CROP = ROOT / "appliance" / "demo" / "data" / "mr-hippocrop-a"


class Storage(StrEnum):
    """How a sagittal series (axes: to the right, to the feet, to the back) is stored instead."""

    AXIAL = "axial"
    CORONAL = "coronal"
    REVERSED = "reversed"  # the last slice first, and each slice seen from the other side
    FLIPPED = "flipped"  # rows from bottom to top, with headers that say so
    ENHANCED = "enhanced"  # one axial multi-frame object


# Which old axis each new one is (slices, rows, columns), and whether it runs backwards.
_AXES = {
    Storage.AXIAL: ((1, True), (2, False), (0, True)),
    Storage.CORONAL: ((2, False), (1, False), (0, True)),
    Storage.REVERSED: ((0, True), (1, False), (2, True)),
    Storage.FLIPPED: ((0, False), (1, True), (2, False)),
    Storage.ENHANCED: ((1, True), (2, False), (0, True)),
}


def head_paths() -> list[Path]:
    """Return the files of the shipped head MR."""
    return sorted(HEAD.iterdir())


def restored(paths: Sequence[Path], folder: Path, storage: Storage) -> list[Path]:
    """Write the series in `paths` into `folder` as `storage` says; return the new files."""
    stored, affine, template = _read(paths)
    stored, affine = _reordered(stored, affine, _AXES[storage])
    if storage is Storage.ENHANCED:
        return [write(_enhanced(stored, affine, template), folder / "enhanced.dcm")]
    return write_all(_classic(stored, affine, template), folder)


def cropped(paths: Sequence[Path], folder: Path, box: tuple[slice, slice, slice]) -> list[Path]:
    """Write only the voxels of `box` (slices, rows, columns of the volume) into `folder`."""
    stored, affine, template = _read(paths)
    start = [part.indices(n)[0] for part, n in zip(box, stored.shape, strict=True)]
    affine = affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(start, dtype=float)
    return write_all(_classic(stored[box], affine, template), folder)


def _read(paths: Sequence[Path]) -> tuple[NDArray[np.uint16], NDArray[np.float64], Dataset]:
    volume = read_volume(paths)
    template = dcmread(paths[0])
    slope = float(template.get("RescaleSlope", 1.0))
    return np.round(volume.array / slope).astype(np.uint16), volume.affine, template


def _reordered(
    stored: NDArray[np.uint16], affine: NDArray[np.float64], axes: tuple[tuple[int, bool], ...]
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    order = [axis for axis, _ in axes]
    view, new = stored.transpose(order), affine.copy()
    new[:, :3] = affine[:, order]
    for axis, (_, backwards) in enumerate(axes):
        if backwards:
            new[:3, 3] += new[:3, axis] * (view.shape[axis] - 1)
            new[:3, axis] *= -1
            view = np.flip(view, axis)
    return view, new


def _classic(
    stored: NDArray[np.uint16], affine: NDArray[np.float64], template: Dataset
) -> list[Dataset]:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    series = generate_uid()
    datasets = []
    for number, frame in enumerate(stored, 1):
        dataset = _header(template, series)
        position = affine[:3, 3] + affine[:3, 0] * (number - 1)
        override(
            dataset,
            {
                "InstanceNumber": number,
                "ImagePositionPatient": _numbers(position),
                "ImageOrientationPatient": _orientation(affine),
                "PixelSpacing": _numbers(spacing[1:]),
                "SliceThickness": _numbers(spacing[:1])[0],
            },
        )
        set_pixels(dataset, frame)
        datasets.append(dataset)
    return datasets


def _header(template: Dataset, series_instance_uid: str) -> Dataset:
    """Return the template's public, flat elements with UIDs of a new instance."""
    dataset = Dataset()
    for element in template:
        if element.VR != "SQ" and not element.tag.is_private and element.keyword != "PixelData":
            dataset.add(deepcopy(element))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = series_instance_uid
    return dataset


def _orientation(affine: NDArray[np.float64]) -> list[str]:
    row, column = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (2, 1))
    return _numbers(np.concatenate([row, column]))


def _numbers(values: NDArray[np.float64]) -> list[str]:
    """Return DS texts of at most 16 characters."""
    return [f"{value:.10f}"[:16] for value in values]


def _enhanced(
    stored: NDArray[np.uint16], affine: NDArray[np.float64], template: Dataset
) -> Dataset:
    """Return one Enhanced MR object (PS3.3 A.36.2) with the template's facts."""
    dataset = _header(template, generate_uid())
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "RepetitionTime",
        "EchoTime",
        "SliceThickness",
        "ScanningSequence",
        "SequenceVariant",
        "WindowCenter",
        "WindowWidth",
        "SliceLocation",
    ):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.SOPClassUID = EnhancedMRImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.InstanceNumber = 1
    set_pixels(dataset, stored[0])
    dataset.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()
    dataset.NumberOfFrames = len(stored)
    dataset.SharedFunctionalGroupsSequence = [_shared(affine, template)]
    dataset.PerFrameFunctionalGroupsSequence = Items(
        _frame(number, affine) for number in range(1, len(stored) + 1)
    )
    return dataset


def _shared(affine: NDArray[np.float64], template: Dataset) -> Dataset:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    groups: dict[str, dict[str, object]] = {
        "PixelMeasuresSequence": {
            "PixelSpacing": _numbers(spacing[1:]),
            "SliceThickness": _numbers(spacing[:1])[0],
        },
        "PlaneOrientationSequence": {"ImageOrientationPatient": _orientation(affine)},
        "PixelValueTransformationSequence": {
            "RescaleIntercept": template.RescaleIntercept,
            "RescaleSlope": template.RescaleSlope,
            "RescaleType": "US",
        },
        "MRTimingAndRelatedParametersSequence": {
            "RepetitionTime": template.RepetitionTime,
            "FlipAngle": template.FlipAngle,
        },
        "MREchoSequence": {"EffectiveEchoTime": float(template.EchoTime)},
        "MRImageFrameTypeSequence": {
            "FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
            "AcquisitionContrast": "T1",
        },
    }
    shared = Dataset()
    for keyword, values in groups.items():
        item = Dataset()
        override(item, values)
        setattr(shared, keyword, [item])
    return shared


def _frame(number: int, affine: NDArray[np.float64]) -> Dataset:
    group, content, place = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = "1", number
    content.DimensionIndexValues = [1, number]
    place.ImagePositionPatient = _numbers(affine[:3, 3] + affine[:3, 0] * (number - 1))
    group.FrameContentSequence, group.PlanePositionSequence = [content], [place]
    return group
