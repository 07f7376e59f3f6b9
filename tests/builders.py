"""Synthetic DICOM objects with meaningful defaults.

    paths = mr_series(tmp_path / "t1", slices=24, SeriesDescription="T1 MPRAGE")
    one = mr_slices(slices=1, PatientID="4711")[0]          # a Dataset, not written

Any DICOM keyword given as an argument overrides (or, with None, removes) that element in every
instance. UIDs are fresh at each call unless they are given. Values are synthetic: the patient
does not exist.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

# Row direction, column direction, both in LPS; slices advance along their cross product.
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)

PATIENT: Mapping[str, object] = {
    "PatientName": "Synthetic^Patient",
    "PatientID": "SYNTHETIC-1",
    "IssuerOfPatientID": "TEST",
    "PatientBirthDate": "19700101",
    "PatientSex": "O",
    "PatientAge": "056Y",
}

STUDY: Mapping[str, object] = {
    "StudyDate": "20260102",
    "StudyTime": "101500",
    "AccessionNumber": "A0001",
    "StudyID": "1",
    "StudyDescription": "synthetic study",
    "ReferringPhysicianName": "",
}

MR: Mapping[str, object] = {
    "Modality": "MR",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "Manufacturer": "SYNTHETIC",
    "ManufacturerModelName": "Phantom One",
    "BodyPartExamined": "BRAIN",
    "SeriesDescription": "t1 mprage",
    "ProtocolName": "t1 mprage",
    "ScanningSequence": "GR",
    "SequenceVariant": "SP",
    "ScanOptions": "",
    "MRAcquisitionType": "3D",
    "MagneticFieldStrength": 3,
    "RepetitionTime": 2300,
    "EchoTime": 3,
    "EchoTrainLength": 1,
    "InversionTime": 900,
    "FlipAngle": 9,
    "PatientPosition": "HFS",
}

CT: Mapping[str, object] = {
    "Modality": "CT",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "Manufacturer": "SYNTHETIC",
    "ManufacturerModelName": "Phantom Two",
    "BodyPartExamined": "CHEST",
    "SeriesDescription": "chest 1.0",
    "KVP": 120,
    "RescaleIntercept": -1024,
    "RescaleSlope": 1,
    "RescaleType": "HU",
    "PatientPosition": "HFS",
}


def mr_slices(**options: Any) -> list[Dataset]:
    """Return an MR series as datasets with file meta; see `series`."""
    return series(MRImageStorage, MR, **options)


def ct_slices(**options: Any) -> list[Dataset]:
    """Return a CT series as datasets with file meta; see `series`."""
    return series(CTImageStorage, CT, **options)


def mr_series(folder: Path, **options: Any) -> list[Path]:
    """Write an MR series into `folder`; see `series`."""
    return write_all(mr_slices(**options), folder)


def ct_series(folder: Path, **options: Any) -> list[Path]:
    """Write a CT series into `folder`; see `series`."""
    return write_all(ct_slices(**options), folder)


def series(
    sop_class_uid: UID,
    modality: Mapping[str, object],
    *,
    slices: int = 6,
    rows: int = 16,
    columns: int = 16,
    spacing: tuple[float, float] = (1.0, 1.0),
    gap: float = 1.0,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    orientation: tuple[float, float, float, float, float, float] = AXIAL,
    pixels: NDArray[np.integer[Any]] | None = None,
    transfer_syntax_uid: UID = ExplicitVRLittleEndian,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    frame_of_reference_uid: str | None = None,
    **attributes: object,
) -> list[Dataset]:
    """Return one dataset a slice, first slice at `origin` (LPS, mm), `gap` mm between centres.

    `pixels` has the shape (slices, rows, columns) and then gives all three; else a gradient.
    `spacing` is between rows, then between columns, in mm, as Pixel Spacing is.
    """
    voxels = _gradient(slices, rows, columns) if pixels is None else pixels
    shared = {
        **PATIENT,
        **STUDY,
        **modality,
        "StudyInstanceUID": study_instance_uid or generate_uid(),
        "SeriesInstanceUID": series_instance_uid or generate_uid(),
        "FrameOfReferenceUID": frame_of_reference_uid or generate_uid(),
        "SeriesNumber": 1,
        "PixelSpacing": list(spacing),
        "SliceThickness": gap,
        "ImageOrientationPatient": list(orientation),
    }
    normal = np.cross(orientation[:3], orientation[3:])
    datasets = []
    for index, frame in enumerate(voxels):
        dataset = instance(sop_class_uid, transfer_syntax_uid, shared)
        dataset.InstanceNumber = index + 1
        position = np.asarray(origin) + index * gap * normal
        dataset.ImagePositionPatient = [round(float(x), 6) for x in position]
        set_pixels(dataset, frame)
        override(dataset, attributes)
        datasets.append(dataset)
    return datasets


def encapsulated_pdf(**attributes: object) -> Dataset:
    """Return an Encapsulated PDF: a storage class that is no image."""
    shared = {
        **PATIENT,
        **STUDY,
        "Modality": "DOC",
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "EncapsulatedDocument": b"%PDF-1.4\n",
    }
    dataset = instance(EncapsulatedPDFStorage, ExplicitVRLittleEndian, shared)
    override(dataset, attributes)
    return dataset


def instance(sop_class_uid: UID, transfer_syntax_uid: UID, shared: Mapping[str, object]) -> Dataset:
    """Return a dataset with its file meta and a fresh SOP Instance UID."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = generate_uid()
    override(dataset, shared)
    return dataset


def override(dataset: Dataset, attributes: Mapping[str, object]) -> None:
    """Set each keyword; None removes the element."""
    for keyword, value in attributes.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)


def set_pixels(dataset: Dataset, frame: NDArray[np.integer[Any]]) -> None:
    """Put one 16-bit frame into the dataset."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = frame.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1 if np.issubdtype(frame.dtype, np.signedinteger) else 0
    dataset.PixelData = frame.astype(frame.dtype.newbyteorder("<").str[:-1] + "2").tobytes()


def write(dataset: Dataset, path: Path) -> Path:
    """Write the dataset as a Part 10 file, without judging it, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = dataset.file_meta
    if "SOPClassUID" in dataset:
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    if "SOPInstanceUID" in dataset:
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format="SOPInstanceUID" in dataset)
    return path


def write_all(datasets: list[Dataset], folder: Path) -> list[Path]:
    """Write each dataset into `folder` as 0001.dcm, 0002.dcm, …"""
    return [
        write(dataset, folder / f"{number:04}.dcm") for number, dataset in enumerate(datasets, 1)
    ]


def _gradient(slices: int, rows: int, columns: int) -> NDArray[np.uint16]:
    z, y, x = np.mgrid[:slices, :rows, :columns]
    return ((z * 97 + y * 13 + x * 7) % 4096).astype(np.uint16)
