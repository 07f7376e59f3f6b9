"""What is sent: blank instances with the sizes and the headers of real ones, made here.

Users have no hospital's images, so the headers are synthetic, but as rich as a scanner's (some
eighty elements, sequences, private groups); the pixels are noise.
"""

import math
from io import BytesIO
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundImageStorage,
)

from benchmarks.wire import Blank, Instance, uid
from tests.builders import CT, MR, PATIENT, STUDY, override

_STUDY, _SERIES, _INSTANCE = (uid(kind, 0, 0, 0) for kind in (1, 2, 3))
_NUMBER, _POSITION = b"00000001", b"000777.0"
_ALSO: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "InstanceCreationDate": "20260102",
    "InstanceCreationTime": "101510",
    "SeriesDate": "20260102",
    "AcquisitionDate": "20260102",
    "ContentDate": "20260102",
    "SeriesTime": "101501",
    "AcquisitionTime": "101502",
    "ContentTime": "101503.250000",
    "InstitutionName": "Example Hospital",
    "StationName": "ROOM1",
    "DeviceSerialNumber": "4711",
    "SoftwareVersions": "2.3.5",
    "SeriesNumber": 3,
    "AcquisitionNumber": 1,
    "SliceThickness": 1,
    "SpacingBetweenSlices": 1,
    "ImagePositionPatient": ["-228.036842", "-93.0631599", "000777.0"],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "FrameOfReferenceUID": "2.25.77",
    "PositionReferenceIndicator": "",
    "SliceLocation": -124,
    "PixelSpacing": [0.841796875, 0.841796875],
    "WindowCenter": [60, 40],
    "WindowWidth": [350, 80],
    "PerformedProcedureStepStartDate": "20260102",
    "PerformedProcedureStepStartTime": "101500",
    "PerformedProcedureStepID": "PPS1",
    "RequestedProcedureDescription": "as requested",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
}
_PLAIN: dict[str, object] = {"ImageType": ["ORIGINAL", "PRIMARY"], "BodyPartExamined": "CHEST"}
_US = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
_BYTES = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


def blank(kind: str, **attributes: object) -> Blank:
    """Return the blank of a kind: ct, cr, mr, dx, us, multiframe; any keyword overrides."""
    sop_class_uid, rows, columns, frames, own = _KINDS[kind]
    return _blank(sop_class_uid, rows, columns, frames, own | attributes)


def sized(size: int) -> Blank:
    """Return a multi-frame blank of about so many bytes."""
    frames = max(1, round(size / (512 * 512 * 2)))
    side = 512 if size >= 512 * 512 * 2 else math.isqrt(size // 2)
    return _blank(str(EnhancedCTImageStorage), side, side, frames, {**CT})


_KINDS: dict[str, tuple[str, int, int, int, dict[str, object]]] = {
    "ct": (str(CTImageStorage), 512, 512, 1, {**CT}),
    "mr": (str(MRImageStorage), 256, 256, 1, {**MR}),
    "cr": (
        str(ComputedRadiographyImageStorage), 2500, 2000, 1, {**_PLAIN, "Modality": "CR"},
    ),
    "dx": (
        str(DigitalXRayImageStorageForPresentation), 3000, 2500, 1, {**_PLAIN, "Modality": "DX"},
    ),
    "us": (
        str(UltrasoundImageStorage), 768, 1024, 1, {**_PLAIN, **_US, **_BYTES, "Modality": "US"},
    ),
    "multiframe": (str(EnhancedCTImageStorage), 512, 512, 191, {**CT}),
}  # fmt: skip


def _blank(
    sop_class_uid: str, rows: int, columns: int, frames: int, attributes: dict[str, object]
) -> Blank:
    dataset = _header(sop_class_uid, attributes)
    dataset.Rows, dataset.Columns = rows, columns
    if frames > 1:
        dataset.NumberOfFrames = frames
    pixel_bytes = rows * columns * frames * int(dataset.SamplesPerPixel)
    pixel_bytes *= int(dataset.BitsAllocated) // 8
    dataset.add_new(Tag(0x7FE00010), "OW", b"")
    stream = BytesIO()
    dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    prefix = stream.getvalue()[:-4] + pixel_bytes.to_bytes(4, "little")
    return Blank(
        sop_class_uid=sop_class_uid,
        prefix=prefix,
        pixel_bytes=pixel_bytes,
        study=_only(prefix, _STUDY),
        series=_only(prefix, _SERIES),
        instance=_only(prefix, _INSTANCE),
        number=_only(prefix, _NUMBER),
        position=_only(prefix, _POSITION),
    )


def _header(sop_class_uid: str, attributes: dict[str, object]) -> Dataset:
    dataset = Dataset()
    override(dataset, {**PATIENT, **STUDY, **_ALSO, **attributes})
    dataset.SOPClassUID = sop_class_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _STUDY.decode(), _SERIES.decode()
    dataset.SOPInstanceUID = _INSTANCE.decode()
    dataset.add_new("InstanceNumber", "IS", _NUMBER.decode())
    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class_uid
    reference.ReferencedSOPInstanceUID = "2.25.78"
    dataset.ReferencedImageSequence = [reference] * 3
    block = dataset.private_block(0x00E1, "BENCHMARK", create=True)
    for element in range(8):
        block.add_new(element, "LO", f"private value {element}")
    return dataset


def _only(prefix: bytes, value: bytes) -> int:
    if prefix.count(value) != 1:
        raise ValueError(f"{value!r} is there {prefix.count(value)} times")
    return prefix.index(value)


def write_files(made: Blank, folder: Path, run: int, share: int, count: int) -> Path:
    """Write so many numbered copies as DICOM files, for senders that read files."""
    folder.mkdir(parents=True)
    study, series = (uid(kind, run, share, 0) for kind in (1, 2))
    instance = Instance(made, 1, 0)
    for index in range(1, count + 1):
        name = uid(3, run, share, index)
        instance.number(1, study, series, name)
        with (folder / f"{index:06}.dcm").open("wb") as file:
            file.write(_preamble(made.sop_class_uid, name.decode()))
            file.writelines(instance.data_set())
    return folder


def _preamble(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("2.25.1")
    stream = DicomBytesIO()
    write_file_meta_info(stream, meta)
    return b"\0" * 128 + b"DICM" + stream.getvalue()
