"""Data set → Part 10 file, as pydicom would write it, but no frame's item twice.

The frames of a segmentation repeat themselves: all masks of one slice have the same position and
the same source, all frames of one segment name the same number. To encode each of them again
takes as long as everything else about the object together. Here each is encoded once; a test
holds the bytes against pydicom's own.
"""

import struct
from collections.abc import Iterator
from io import BytesIO

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import ItemTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from appliance.core import product

_FRAMES = Tag("PerFrameFunctionalGroupsSequence")
_LONG_HEADER = 12  # bytes of tag, VR, reserved and length of an SQ, OB or OW (PS3.5 7.1.2)


def part10(dataset: Dataset) -> bytes:
    """Return the file's bytes, in explicit VR little endian."""
    rest = Dataset()
    for element in dataset:
        if element.tag != _FRAMES:
            rest.add(element)
    written = _written(rest, ExplicitVRLittleEndian)
    if _FRAMES not in dataset:
        return written
    # Pixel Data is the last element, and the only one behind the frames' groups.
    end = len(written) - _LONG_HEADER - len(dataset.PixelData)
    return written[:end] + _frames(dataset[_FRAMES]) + written[end:]


def part10_of_others(dataset: Dataset, transfer_syntax_uid: UID) -> bytes:
    """Return the bytes of a file whose data set somebody else made, as pydicom writes it.

    `transfer_syntax_uid` is explicit VR little endian, or that of its compressed pixels.
    """
    whole = Dataset()
    for element in dataset:
        whole.add(element)
    return _written(whole, transfer_syntax_uid)


def _written(dataset: Dataset, transfer_syntax_uid: UID) -> bytes:
    dataset.file_meta = _meta(dataset, transfer_syntax_uid)
    dataset.preamble = bytes(128)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _meta(dataset: Dataset, transfer_syntax_uid: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax_uid
    meta.ImplementationClassUID = UID(product.IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = product.IMPLEMENTATION_VERSION_NAME
    return meta


def _frames(sequence: DataElement) -> bytes:
    body = b"".join(_items(sequence))
    header = struct.pack("<HH2s2xL", _FRAMES.group, _FRAMES.element, b"SQ", len(body))
    return header + body


def _items(sequence: DataElement) -> Iterator[bytes]:
    known: dict[tuple[int, int], bytes] = {}
    for groups in sequence.value:
        content = b"".join(_once(element, known) for element in groups)
        yield struct.pack("<HHL", ItemTag.group, ItemTag.element, len(content)) + content


def _once(element: DataElement, known: dict[tuple[int, int], bytes]) -> bytes:
    key = (element.tag, _identity(element))
    if key not in known:
        known[key] = _encoded(element)
    return known[key]


def _identity(element: DataElement) -> int:
    """Return a number that is the same only where the element's item is."""
    (item,) = element.value
    if element.keyword == "DerivationImageSequence":
        return id(item.SourceImageSequence[0])
    if element.keyword == "SegmentIdentificationSequence":
        return int(item.ReferencedSegmentNumber)
    return id(item)


def _encoded(element: DataElement) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_data_element(buffer, element)
    return buffer.getvalue()
