"""One radiograph → an array of one slice. It has no place in the patient, and gets none."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from appliance.core.errors import BadInstance, InputRefused
from pipelines.attributes import shared_attributes
from pipelines.decode import decode_frames
from pipelines.series import READ_ERRORS
from pipelines.volume import Float32, FrameRef, Volume

MAX_PIXELS = 100_000_000


def read_image(paths: Sequence[Path], *, progress: Callable[[float], None] | None = None) -> Volume:
    """Return the one grey image in `paths` as a volume of the shape (1, rows, columns).

    Values are rescaled, and grow with brightness: MONOCHROME1 is turned over (PS3.3 C.7.6.3.1.2).
    `spacing` is that of the pixels on the detector where the image says one, else 1; `affine`
    only scales by it, since a projection has no position in the patient. Raises BadInstance for a
    file that cannot be read, InputRefused for several images, frames or colours.
    """
    if len(paths) != 1:
        raise InputRefused(f"the series has {len(paths)} images; one radiograph is needed")
    path = paths[0]
    with warnings.catch_warnings():
        # What is written oddly and matters is checked here; the rest is the source's business.
        warnings.simplefilter("ignore", UserWarning)
        try:
            dataset = dcmread(path)
            _one_grey_image(dataset, path.name)
            spacing = _spacing(dataset)
            slope, intercept = _rescale(dataset)
        except READ_ERRORS as error:
            raise BadInstance(f"{path.name}: cannot be read as DICOM: {error}") from error
        [stored] = decode_frames(dataset, path.name)
        array = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        if progress is not None:
            progress(1.0)
        return _volume(dataset, _bright(dataset, array)[None], spacing)


def _one_grey_image(dataset: Dataset, name: str) -> None:
    for keyword in ("Rows", "Columns", "SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID"):
        if dataset.get(keyword) in (None, ""):
            raise BadInstance(f"{name}: has no {keyword}")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise InputRefused(f"{name}: has several frames; one radiograph is needed")
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise InputRefused(f"{name}: is a colour image; grey images are needed")
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise InputRefused(f"{name}: has more than {MAX_PIXELS} pixels")


def _spacing(dataset: Dataset) -> tuple[float, float]:
    written = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    return (float(written[0]), float(written[1])) if written else (1.0, 1.0)


def _rescale(dataset: Dataset) -> tuple[float, float]:
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return (1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))


def _bright(dataset: Dataset, array: Float32) -> Float32:
    if dataset.get("PhotometricInterpretation") != "MONOCHROME1":
        return array
    turned: Float32 = array.max() + array.min() - array
    return turned


def _volume(dataset: Dataset, array: Float32, spacing: tuple[float, float]) -> Volume:
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[3, 3] = 1.0
    affine[1, 1], affine[0, 2] = spacing
    frame = FrameRef(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        frame_number=None,
        path_index=0,
    )
    return Volume(
        array=array,
        affine=affine,
        spacing=(1.0, *spacing),
        frames=(frame,),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        frame_of_reference_uid=None,
        modality=str(dataset.get("Modality") or ""),
        attributes=shared_attributes([dataset]),
    )
