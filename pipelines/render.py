"""Frames and masks as PNG, for pages that draw on the server.

    geometry = frame_geometry(path, 1)         # display size, edge letters
    image = render_frame(path, 1)              # 8-bit grey (or RGB) PNG, one pixel a voxel
    labels = read_segmentation(seg).labels_for(sop_instance_uid, None)
    mask = overlay_png(labels, {1: (255, 0, 0)}, 0.4)   # RGBA PNG on the same pixels

Non-square pixels are not resampled: both PNGs keep the stored rows and columns, and
`frame_geometry` says at which width and height they show the patient undistorted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from appliance.core.errors import BadInstance
from pipelines.decode import Stored, decode_frame
from pipelines.frames import (
    PIXEL_MEASURES,
    PIXEL_VALUES,
    PLANE_ORIENTATION,
    VOI,
    frame_element,
    frame_numbers,
)
from pipelines.volume import Float64, Labels

Color = tuple[int, int, int]
Bytes8 = npt.NDArray[np.uint8]

_QUICK = 1  # PNG compression: a frame is looked at once, its time matters more than its size
_PERCENTILES = (0.5, 99.5)
_OBLIQUE = 0.2  # a direction cosine below it (11 degrees) gets no letter
_UNREADABLE = (
    AttributeError,
    EOFError,
    IndexError,
    InvalidDicomError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A VOI window in the frame's rescaled units (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str = "LINEAR"  # or LINEAR_EXACT, SIGMOID


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameGeometry:
    """How one frame lies in the patient and at which size it shows him undistorted."""

    rows: int
    columns: int
    width: int  # CSS pixels
    height: int
    letters: tuple[str, str, str, str]  # left, right, top, bottom edge; "" where not known
    window: Window | None  # as the object says; None where it says none


def render_frame(
    path: Path, frame_number: int | None = None, window: Window | None = None
) -> bytes:
    """Return the frame as an 8-bit PNG, one pixel a stored pixel.

    `frame_number` counts from 1. Without `window`, the object's own VOI LUT or first window is
    used, else the range that holds 99 % of the frame's values. MONOCHROME1 comes back inverted,
    so that more is brighter as in MONOCHROME2. Raises BadInstance.
    """
    dataset = _read(path)
    try:
        stored = decode_frame(dataset, frame_number or 1, path.name)
        return _png(_eight_bit(dataset, stored, frame_number, window))
    except _UNREADABLE as error:
        raise BadInstance(f"frame {frame_number or 1} of {path.name}: {error}") from error


def frame_geometry(path: Path, frame_number: int | None = None) -> FrameGeometry:
    """Return size, edge letters and window of one frame. Raises BadInstance."""
    dataset = _read(path, pixels=False)
    try:
        return _geometry(dataset, frame_number)
    except _UNREADABLE as error:
        raise BadInstance(f"frame {frame_number or 1} of {path.name}: {error}") from error


def overlay_png(
    labels: Labels, colors: Mapping[int, Color], opacity: float, *, outline: bool = False
) -> bytes:
    """Return an RGBA PNG of the shape of `labels`; labels without a color stay transparent.

    With `outline` only the voxels at the edge of each segment are drawn, those fully opaque.
    """
    table = np.zeros((256, 4), np.uint8)
    for number, color in colors.items():
        table[number] = (*color, 255 if outline else round(255 * opacity))
    drawn = np.where(_edges(labels), labels, 0) if outline else labels
    return _png(table[drawn])


def edge_letters(image_orientation_patient: tuple[float, ...]) -> tuple[str, str, str, str]:
    """Return the letters at the left, right, top and bottom edge of the image.

    Direction cosines as in Image Orientation (Patient): along a row, then along a column. The
    letters are those of Patient Orientation (PS3.3 C.7.6.1.1.1), the nearest direction first:
    "R", "AL", "HPL". All are empty where there are not six numbers.
    """
    if len(image_orientation_patient) != 6:
        return ("", "", "", "")
    along_row = np.array(image_orientation_patient[:3])
    along_column = np.array(image_orientation_patient[3:])
    return (
        letters(-along_row),
        letters(along_row),
        letters(-along_column),
        letters(along_column),
    )


def letters(direction: Float64) -> str:
    """Return the letters of a direction in the patient (LPS), the nearest one first."""
    names = ("LR", "PA", "HF")  # towards plus, towards minus of x, y, z in LPS
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(
        names[axis][0 if direction[axis] > 0 else 1]
        for axis in order
        if abs(direction[axis]) >= _OBLIQUE
    )


def _read(path: Path, *, pixels: bool = True) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=not pixels)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise BadInstance(f"{path.name} cannot be read: {error}") from error


def _geometry(dataset: Dataset, frame_number: int | None) -> FrameGeometry:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    between_rows, between_columns = _pixel_size(dataset, frame_number)
    smaller = min(between_rows, between_columns)
    return FrameGeometry(
        rows=rows,
        columns=columns,
        width=round(columns * between_columns / smaller),
        height=round(rows * between_rows / smaller),
        letters=_edge_letters_of(dataset, frame_number),
        window=_own_window(dataset, frame_number),
    )


def _pixel_size(dataset: Dataset, frame_number: int | None) -> tuple[float, float]:
    """Return the distances between rows and between columns; only their ratio means anything."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        size = frame_numbers(dataset, frame_number, PIXEL_MEASURES, keyword)
        if len(size) == 2 and min(size) > 0:
            return (size[0], size[1])
    return (1.0, 1.0)


def _edge_letters_of(dataset: Dataset, frame_number: int | None) -> tuple[str, str, str, str]:
    orientation = frame_numbers(dataset, frame_number, PLANE_ORIENTATION, "ImageOrientationPatient")
    if len(orientation) == 6:
        return edge_letters(orientation)
    written = dataset.get("PatientOrientation") or ()  # projections: CR, DX, MG
    if len(written) != 2:
        return ("", "", "", "")
    right, bottom = (str(letters)[:3] for letters in written)
    opposite = str.maketrans("LRPAHF", "RLAPFH")
    return (right.translate(opposite), right, bottom.translate(opposite), bottom)


def _eight_bit(
    dataset: Dataset, stored: Stored, frame_number: int | None, window: Window | None
) -> Bytes8:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colors = apply_color_lut(stored, dataset)
        return cast(Bytes8, (colors >> (8 if colors.dtype == np.uint16 else 0)).astype(np.uint8))
    if stored.ndim == 3:
        shift = max(0, int(dataset.BitsStored) - 8)
        return cast(Bytes8, (stored.astype(np.uint16) >> shift).astype(np.uint8))
    grey = _grey(dataset, stored, frame_number, window)
    return 255 - grey if _is_inverse(dataset) else grey


def _grey(
    dataset: Dataset,
    stored: Stored,
    frame_number: int | None,
    window: Window | None,
) -> Bytes8:
    values = _rescaled(dataset, stored, frame_number)
    if window is None and "VOILUTSequence" in dataset:
        looked_up = apply_voi(values.astype(np.int32), dataset).astype(np.float64)
        return _scaled(
            looked_up, 0.0, float(2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1)
        )
    chosen = window or _own_window(dataset, frame_number)
    if chosen is None:
        low, high = np.percentile(_without_padding(dataset, stored, values), _PERCENTILES)
        return _scaled(values, float(low), float(high))
    return _windowed(values, chosen)


def _rescaled(dataset: Dataset, stored: Stored, frame_number: int | None) -> Float64:
    if dataset.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, dataset).astype(np.float64)
    slope = frame_numbers(dataset, frame_number, PIXEL_VALUES, "RescaleSlope") or (1.0,)
    intercept = frame_numbers(dataset, frame_number, PIXEL_VALUES, "RescaleIntercept") or (0.0,)
    return stored.astype(np.float64) * slope[0] + intercept[0]


def _own_window(dataset: Dataset, frame_number: int | None) -> Window | None:
    center = frame_numbers(dataset, frame_number, VOI, "WindowCenter")
    width = frame_numbers(dataset, frame_number, VOI, "WindowWidth")
    if not center or not width or width[0] <= 0:
        return None
    function = frame_element(dataset, frame_number, VOI, "VOILUTFunction")
    name = str(function.value) if function is not None else "LINEAR"
    return Window(center=center[0], width=width[0], function=name)


def _windowed(values: Float64, window: Window) -> Bytes8:
    if window.function == "SIGMOID":
        curve = 255.0 / (1.0 + np.exp(-4.0 * (values - window.center) / window.width))
        return cast(Bytes8, np.rint(curve).astype(np.uint8))
    if window.function == "LINEAR_EXACT" or window.width <= 1.0:
        half = window.width / 2.0
        return _scaled(values, window.center - half, window.center + half)
    # PS3.3 C.11.2.1.2.1: LINEAR is off by half a unit, on purpose.
    half = (window.width - 1.0) / 2.0
    return _scaled(values, window.center - 0.5 - half, window.center - 0.5 + half)


def _scaled(values: Float64, low: float, high: float) -> Bytes8:
    if high <= low:
        return np.where(values > low, 255, 0).astype(np.uint8)
    return cast(
        Bytes8, np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    )


def _without_padding(dataset: Dataset, stored: Stored, values: Float64) -> Float64:
    padding = dataset.get("PixelPaddingValue")
    kept = values[stored != padding] if padding is not None else values.ravel()
    return kept if kept.size else values.ravel()


def _is_inverse(dataset: Dataset) -> bool:
    shape = dataset.get("PresentationLUTShape")
    if shape:
        return bool(shape == "INVERSE")
    return bool(dataset.PhotometricInterpretation == "MONOCHROME1")


def _edges(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return which pixels have a neighbour above, below, left or right of another label."""
    padded = np.pad(labels, 1)
    inner = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return cast(npt.NDArray[np.bool_], np.any([inner != other for other in neighbours], axis=0))


def _png(pixels: Bytes8) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=_QUICK)
    return buffer.getvalue()
