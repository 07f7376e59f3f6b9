"""Pixel data has one digest, whatever stands around it."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from scp.head import MalformedDataSet
from scp.pixels import PixelDigest, pixel_digest
from tests.builders import encapsulated_pdf, mr_slices
from tests.receiving import encoded


def written(dataset: Dataset, syntax: UID) -> bytes:
    stream = BytesIO()
    plain = Dataset({element.tag: element for element in dataset})
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    dcmwrite(stream, plain, implicit_vr=implicit, little_endian=little)
    return stream.getvalue()


def digest(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> PixelDigest | None:
    return pixel_digest(written(dataset, syntax), 0, syntax)


def image(**attributes: object) -> Dataset:
    return mr_slices(slices=1, **attributes)[0]


def test_only_the_pixels_count() -> None:
    same = digest(image(PatientName="A"))
    assert same == digest(image(PatientName="B", StudyDescription="longer than before"))
    assert same == digest(image(), ImplicitVRLittleEndian)
    assert same != digest(mr_slices(slices=2)[1])


def test_another_byte_order_is_another_form() -> None:
    little, big = digest(image()), digest(image(), ExplicitVRBigEndian)
    assert little is not None
    assert big is not None
    assert little.form != big.form


def test_float_pixels_count_too() -> None:
    found = []
    for value in (0.5, 0.25):
        dataset = image(PixelData=None)
        dataset.FloatPixelData = np.full((16, 16), value, "<f4").tobytes()
        found.append(digest(dataset))
    assert None not in found
    assert found[0] != found[1]


def test_of_fragments_the_bytes_count_and_neither_their_lengths_nor_the_offset_table() -> None:
    frames = [b"\xff\x4f" + bytes([number]) * 998 for number in range(3)]
    ways = [
        encapsulate(frames, has_bot=True),
        encapsulate(frames, has_bot=False),
        encapsulate(frames, fragments_per_frame=2),
    ]
    found = set()
    for pixels in ways:
        dataset = image(PixelData=pixels, NumberOfFrames=3)
        dataset["PixelData"].is_undefined_length = True
        found.add(digest(dataset, JPEG2000Lossless))
    assert len(found) == 1
    (one,) = found
    assert one is not None
    assert one.is_encapsulated
    other = image(PixelData=encapsulate([*frames[:2], frames[0]]), NumberOfFrames=3)
    other["PixelData"].is_undefined_length = True
    assert digest(other, JPEG2000Lossless) != one


def test_what_has_no_pixels_has_no_digest() -> None:
    assert digest(encapsulated_pdf()) is None


def test_a_data_set_that_is_not_whole_has_no_digest() -> None:
    content = encoded(image())
    with pytest.raises(MalformedDataSet):
        pixel_digest(content[:-2], 0, ExplicitVRLittleEndian)


def test_a_fragment_without_a_length_is_refused() -> None:
    content = encoded(image(PixelData=None))
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\xfe\xff\x0d\xe0\0\0\0\0"
    broken = content + pixels + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    with pytest.raises(MalformedDataSet, match="fragment"):
        pixel_digest(broken, 0, JPEG2000Lossless)
