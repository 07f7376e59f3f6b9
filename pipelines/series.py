"""Files of one series → a volume in rescaled units, or the reason why not.

All headers are looked at before the first pixel is decoded, so that a refusal is quick and
nothing larger than allowed is ever allocated.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from appliance.core.errors import BadInstance, InputRefused
from pipelines.attributes import shared_attributes
from pipelines.decode import decode_frames
from pipelines.geometry import Stack, stack
from pipelines.slices import Slice, slices_of
from pipelines.volume import Float32, Volume

MAX_BYTES = 4 << 30
READ_ERRORS = (
    InvalidDicomError,
    BytesLengthException,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    AttributeError,
    NotImplementedError,
    TypeError,
)
_FLOAT32_BYTES = 4


def read_volume(
    paths: Sequence[Path],
    *,
    max_bytes: int = MAX_BYTES,
    progress: Callable[[float], None] | None = None,
) -> Volume:
    """Return the series in `paths` as one volume, slices sorted along their normal.

    `max_bytes` bounds the array; `progress` is told 0 … 1 while pixels are decoded. Raises
    BadInstance for a file that cannot be read, InputRefused where the files are fine but no
    single regular stack. PS3.3 C.7.6.2, C.7.6.16.
    """
    if not paths:
        raise InputRefused("the series has no images")
    with warnings.catch_warnings():
        # pydicom warns of values that are too long, padded or oddly written; what matters to a
        # volume is checked here and refused with a reason.
        warnings.simplefilter("ignore", UserWarning)
        return _read_volume(paths, max_bytes, progress or (lambda _: None))


def _read_volume(
    paths: Sequence[Path], max_bytes: int, progress: Callable[[float], None]
) -> Volume:
    datasets = [_read(path) for path in paths]
    slices = [
        item
        for index, (path, dataset) in enumerate(zip(paths, datasets, strict=True))
        for item in _slices(dataset, index, path.name)
    ]
    _one_series(datasets)
    _bounded(slices, max_bytes)
    stacked = stack(slices)
    array = _decode(paths, datasets, stacked, progress)
    first = datasets[0]
    return Volume(
        array=array,
        affine=stacked.affine,
        spacing=stacked.spacing,
        frames=tuple(item.frame for item in stacked.slices),
        series_instance_uid=str(first.SeriesInstanceUID),
        frame_of_reference_uid=str(first.get("FrameOfReferenceUID") or "") or None,
        modality=str(first.get("Modality") or ""),
        attributes=shared_attributes(datasets),
    )


def _read(path: Path) -> FileDataset:
    try:
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise BadInstance(f"{path.name}: is deflated, which is not accepted")
        dataset = dcmread(path)
        if "TransferSyntaxUID" not in dataset.file_meta:
            raise BadInstance(f"{path.name}: does not say its transfer syntax")
    except READ_ERRORS as error:
        raise BadInstance(f"{path.name}: cannot be read as DICOM: {error}") from error
    return dataset


def _slices(dataset: FileDataset, index: int, name: str) -> tuple[Slice, ...]:
    try:
        return slices_of(dataset, index, name)
    except READ_ERRORS as error:
        raise BadInstance(f"{name}: has a value that cannot be read: {error}") from error


def _one_series(datasets: Sequence[FileDataset]) -> None:
    for keyword, what in (
        ("SeriesInstanceUID", "series"),
        ("PatientID", "patients"),
        ("StudyInstanceUID", "studies"),
        ("FrameOfReferenceUID", "frames of reference"),
        ("Modality", "modalities"),
    ):
        found = {str(dataset.get(keyword) or "") for dataset in datasets}
        if len(found) > 1:
            raise InputRefused(f"the images belong to {len(found)} {what}; one is needed")


def _bounded(slices: Sequence[Slice], max_bytes: int) -> None:
    needed = sum(item.matrix[0] * item.matrix[1] for item in slices) * _FLOAT32_BYTES
    if needed > max_bytes:
        raise InputRefused(
            f"the series needs {needed / 1e9:.1f} GB as an array; at most {max_bytes / 1e9:.1f} GB "
            "are allowed"
        )


def _decode(
    paths: Sequence[Path],
    datasets: Sequence[FileDataset],
    stacked: Stack,
    progress: Callable[[float], None],
) -> Float32:
    array = np.empty((len(stacked.slices), *stacked.slices[0].matrix), dtype=np.float32)
    places = {
        (item.frame.path_index, item.frame.frame_number or 1): (place, item)
        for place, item in enumerate(stacked.slices)
    }
    for index, (path, dataset) in enumerate(zip(paths, datasets, strict=True)):
        done = 0
        for done, stored in enumerate(decode_frames(dataset, path.name), 1):
            if (index, done) not in places:
                raise BadInstance(f"{path.name}: has more frames than its header says")
            place, item = places[(index, done)]
            np.multiply(stored, np.float32(item.slope), out=array[place], casting="unsafe")
            array[place] += np.float32(item.intercept)
        if (index, done + 1) in places:
            raise BadInstance(f"{path.name}: its pixel data ends after {done} frames")
        progress((index + 1) / len(paths))
    return array
