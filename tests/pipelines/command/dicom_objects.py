"""DICOM objects as programs make them: with highdicom, under random UIDs."""

import sys
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ImplicitVRLittleEndian, generate_uid

IN, OUT = Path(sys.argv[1]), Path(sys.argv[2])
COPIED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def images():
    """Return the images that it was given, in the order of their slices."""
    found = [dcmread(path) for path in sorted(IN.rglob("*.dcm"))]
    return sorted(found, key=lambda image: (image.SeriesInstanceUID, image.InstanceNumber))


def save(dataset):
    dataset.save_as(OUT / f"{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)


def algorithm():

    return hd.AlgorithmIdentificationSequence(
        name="Outside", family=codes.DCM.ArtificialIntelligence, version="7"
    )


def make_seg():
    """Mark every pixel above 500, in a Segmentation of highdicom's."""

    given = images()
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Bright",
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(),
    )
    return hd.seg.Segmentation(
        source_images=given,
        pixel_array=np.stack([image.pixel_array > 500 for image in given]),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=hd.UID(),
        series_number=4711,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Outside Makers",
        manufacturer_model_name="Outside",
        software_versions="7",
        device_serial_number="1",
        content_label="BRIGHT",
    )


def make_sr(seg):
    """Report the segment's volume, in a Comprehensive 3D SR that refers to the Segmentation."""

    given = images()
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier="Bright"),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=1,
            source_series=hd.sr.SourceSeriesForSegmentation(given[0].SeriesInstanceUID),
        ),
        finding_type=codes.SCT.Tissue,
        measurements=[
            hd.sr.Measurement(name=codes.SCT.Volume, value=3.5, unit=codes.UCUM.CubicMillimeter)
        ],
    )
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(uid=hd.UID()),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=hd.sr.CodedConcept("25056-3", "LN", "MRI unspecified body region"),
        imaging_measurements=[group],
    )
    return hd.sr.Comprehensive3DSR(
        evidence=[seg, *given],
        content=report,
        series_instance_uid=hd.UID(),
        series_number=4712,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Outside Makers",
    )


def make_sc(**attributes):
    """Return a picture as Secondary Capture."""

    given = images()[0]
    picture = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=given,
        pixel_array=np.full((8, 6, 3), 77, np.uint8),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        series_instance_uid=hd.UID(),
        sop_instance_uid=hd.UID(),
        series_number=4713,
        instance_number=attributes.pop("InstanceNumber", 1),
        manufacturer="Outside Makers",
    )
    for keyword, value in attributes.items():
        setattr(picture, keyword, value)
    return picture


def make_pdf():
    """Return a document as Encapsulated PDF."""

    given = images()[0]
    document = Dataset()
    for keyword in COPIED:
        document[keyword] = given[keyword]
    document.SOPClassUID = EncapsulatedPDFStorage
    document.SOPInstanceUID, document.SeriesInstanceUID = generate_uid(), generate_uid()
    document.Modality, document.ConversionType = "DOC", "WSD"
    document.Manufacturer, document.SeriesNumber, document.InstanceNumber = "", 4714, 1
    document.ContentDate = document.ContentTime = document.AcquisitionDateTime = ""
    document.BurnedInAnnotation, document.DocumentTitle = "YES", "Report"
    document.ConceptNameCodeSequence = []
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocument = b"%PDF-1.4\n%%EOF\n\0"
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return document


def make_filtered(image):
    """Return the image, changed, as a program that knows little of DICOM changes it."""

    image.SOPInstanceUID = generate_uid()
    image.PixelData = (image.pixel_array // 2).tobytes()
    return image


def seg_and_sr():
    """Save both."""
    seg = make_seg()
    save(seg)
    save(make_sr(seg))


def filtered():
    """Save every image changed."""
    for image in images():
        save(make_filtered(image))
