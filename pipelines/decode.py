"""Pixel data of one object → stored values, bounded before anything is allocated."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, get_frame
from pydicom.pixels.utils import iter_pixels, pixel_array
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from appliance.core.errors import BadInstance

_J2K = frozenset({*JPEG2000TransferSyntaxes, JPEG2000Lossless, HTJ2K, HTJ2KLossless})
_J2K_ALL = _J2K | {HTJ2KLosslessRPCL}
_SIZ = b"\xff\x4f\xff\x51"
_DECODER_ERRORS = (
    ValueError,
    RuntimeError,
    NotImplementedError,
    AttributeError,
    KeyError,
    TypeError,
    IndexError,
    MemoryError,
    OSError,
)

Stored = npt.NDArray[np.generic]


def decode_frames(dataset: Dataset, name: str) -> Iterator[Stored]:
    """Yield the stored values of each frame, shape (rows, columns).

    `name` says which object in the messages. Raises BadInstance where the pixel data is
    missing, shorter than the header says, of other dimensions, or not decodable.
    """
    shape = (int(dataset.Rows), int(dataset.Columns))
    try:
        _check_codestreams(dataset, shape, name)
        for frame in iter_pixels(dataset, raw=True, decoding_plugin=_plugin(dataset)):
            if frame.shape != shape:
                raise BadInstance(
                    f"{name}: the pixel data is {frame.shape}, the header says {shape}"
                )
            yield frame
    except _DECODER_ERRORS as error:
        raise BadInstance(f"{name}: its pixel data cannot be decoded: {error}") from error


def decode_frame(dataset: Dataset, number: int, name: str) -> Stored:
    """Return frame `number` (from 1) alone: stored values, or RGB with a third axis for color.

    Raises as `decode_frames` does, and where there is no such frame.
    """
    count = int(dataset.get("NumberOfFrames", None) or 1)
    if not 1 <= number <= count:
        raise BadInstance(f"{name}: has no frame {number}, it has {count}")
    shape = (int(dataset.Rows), int(dataset.Columns))
    is_grey = int(dataset.get("SamplesPerPixel") or 1) == 1
    try:
        _check_codestreams(dataset, shape, name, only=number)
        frame: Stored = pixel_array(
            dataset, index=number - 1, raw=is_grey, decoding_plugin=_plugin(dataset)
        )
    except _DECODER_ERRORS as error:
        raise BadInstance(f"{name}: frame {number} cannot be decoded: {error}") from error
    return frame


def _plugin(dataset: Dataset) -> str:
    """Return the decoder to use: the fastest exact one, or "" for pydicom's own choice."""
    syntax = dataset.file_meta.TransferSyntaxUID
    return "pyjpegls" if syntax in JPEGLSTransferSyntaxes else ""


def _check_codestreams(
    dataset: Dataset, shape: tuple[int, int], name: str, *, only: int | None = None
) -> None:
    """Compare each frame's own dimensions with the header's: decoders allocate by their own.

    `only` is the number of the one frame to look at; None looks at all.
    """
    syntax: UID = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax == RLELossless:
        return
    count = int(dataset.get("NumberOfFrames", None) or 1)
    for number, frame in enumerate(_codestreams(dataset, count, only), only or 1):
        size = _j2k_size(frame) if syntax in _J2K_ALL else _jpeg_size(frame)
        if size != shape:
            raise BadInstance(
                f"{name}: frame {number}'s compressed pixel data is {size or 'not readable'}, "
                f"the header says {shape}"
            )


def _codestreams(dataset: Dataset, count: int, only: int | None) -> Iterator[bytes]:
    if only is None:
        yield from generate_frames(dataset.PixelData, number_of_frames=count)
    else:
        yield get_frame(dataset.PixelData, only - 1, number_of_frames=count)


def _j2k_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) of a JPEG 2000 codestream (ISO 15444-1 A.5.1), also within JP2."""
    start = frame.find(_SIZ, 0, 512)
    if start < 0:
        return None
    x1, y1, x0, y0 = (int.from_bytes(frame[start + at : start + at + 4]) for at in (8, 12, 16, 20))
    return y1 - y0, x1 - x0


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) of a JPEG or JPEG-LS frame header (ISO 10918-1 B.2.2)."""
    at = 2
    while at + 9 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return (
                int.from_bytes(frame[at + 5 : at + 7]),
                int.from_bytes(frame[at + 7 : at + 9]),
            )
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None
