"""Objects that a program made itself, refused with the whole run."""

import resource
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    generate_uid,
)

from appliance.core.errors import PermanentPipelineError
from appliance.core.model import ObjectKind
from pipelines.base import MadeObjects, PipelineOutput
from tests.adoption import Given, bytes_of, made_of


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "OTHER"),
        ("PatientName", "Other^Patient"),
        ("PatientBirthDate", "19710101"),
        ("PatientSex", "F"),
        ("IssuerOfPatientID", "ELSEWHERE"),
        ("StudyInstanceUID", "1.2.3.4"),
        ("AccessionNumber", "A0002"),
        ("StudyDate", "20250102"),
        ("StudyID", "2"),
    ],
)
def test_an_object_of_somebody_else_is_refused_with_all_others(
    keyword: str, value: str, given: Given
) -> None:
    picture = given.file(ObjectKind.SC)
    setattr(picture, keyword, value)
    why = given.refused(given.file(ObjectKind.SEG), picture)
    assert f"1.dcm is not taken: {keyword} differs from the images'" in why
    assert value not in why
    assert "SYNTHETIC" not in why


def to(**values: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return change


def refer_elsewhere(report: Dataset) -> None:
    report.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID = "1.2.3.4"


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        (ObjectKind.SC, to(SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), "it is of kind image"),
        (ObjectKind.SC, to(SOPClassUID="1.2.840.10008.1.1"), "no object to store"),
        (ObjectKind.SC, to(SOPClassUID="1.2.840.10008.5.1.4.1.1.8"), "no object to store"),
        (ObjectKind.SC, to(SOPInstanceUID=""), "its SOPInstanceUID is missing or no UID"),
        (ObjectKind.SC, to(SeriesInstanceUID=""), "its SeriesInstanceUID is missing or no UID"),
        (ObjectKind.SC, to(StudyInstanceUID=None), "its StudyInstanceUID is missing"),
        (ObjectKind.SC, to(PixelData=None), "it has no PixelData"),
        (ObjectKind.SC, to(Rows=9), "it has 144 bytes of pixels, not 162"),
        (ObjectKind.SC, to(Rows=None), "cannot be read as DICOM"),
        (ObjectKind.SR, to(ContentSequence=[]), "it has no ContentSequence"),
        (ObjectKind.PDF, to(EncapsulatedDocument=None), "it has no EncapsulatedDocument"),
        (ObjectKind.SR, to(VerificationFlag="VERIFIED"), "a person has verified it"),
        (ObjectKind.SR, refer_elsewhere, "it refers to another study"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused(
    kind: ObjectKind, change: Callable[[Dataset], None], told: str, given: Given
) -> None:
    dataset = given.file(kind)
    change(dataset)
    assert told in given.refused(dataset)


def test_a_kind_that_the_manifest_does_not_name_is_refused(given: Given) -> None:
    why = given.refused(given.file(ObjectKind.PDF), adopt=frozenset({ObjectKind.SEG}))
    assert "it is of kind pdf (Encapsulated PDF Storage); taken are: seg" in why
    assert "taken are: none" in given.refused(given.file(ObjectKind.PDF), adopt=frozenset())


def test_two_objects_under_one_uid_are_refused(given: Given) -> None:
    picture = given.file(ObjectKind.SC)
    assert "has the SOPInstanceUID of another" in given.refused(picture, picture)


def test_an_image_that_it_was_given_is_refused(given: Given) -> None:
    picture = given.file(ObjectKind.SC)
    picture.SOPInstanceUID = given.series.datasets[3].SOPInstanceUID
    assert "has the SOPInstanceUID of an image that it was given" in given.refused(picture)


def test_more_series_than_there_are_numbers_for_are_refused(given: Given) -> None:
    pictures = []
    for _ in range(17):
        picture = given.file(ObjectKind.SC)
        picture.SOPInstanceUID, picture.SeriesInstanceUID = generate_uid(), generate_uid()
        pictures.append(picture)
    assert "objects of 17 series; 16 are taken at most" in given.refused(*pictures)


def refused_bytes(given: Given, data: bytes) -> str:
    output = PipelineOutput(
        result=given.once.result, label_map=None, made=MadeObjects.of([("bad.dcm", data)])
    )
    with pytest.raises(PermanentPipelineError) as error:
        given.encode(output)
    return str(error.value)


def explicit(given: Given) -> bytes:
    """Return a picture in explicit VR little endian; the program writes implicit VR."""
    return bytes_of(given.adopt(given.file(ObjectKind.SC))[0])


def test_damaged_files_are_refused_and_nothing_else_happens(given: Given) -> None:
    whole = bytes_of(given.file(ObjectKind.SC))
    assert "bad.dcm cannot be read as DICOM" in refused_bytes(given, b"")
    assert "bad.dcm cannot be read as DICOM" in refused_bytes(given, whole[:100])
    assert "ends in the middle of (7FE0,0010)" in refused_bytes(given, whole[:-20])
    for cut in range(132, len(whole) - 1, 37):
        assert "bad.dcm " in refused_bytes(given, whole[:cut])


def nested(depth: int) -> bytes:
    """Return a sequence in a sequence in a sequence …, of undefined length."""
    begin = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return begin * depth + end * depth


def test_sequences_that_nest_without_end_are_refused(given: Given) -> None:
    whole = explicit(given)
    pixels = whole.rindex(b"\xe0\x7f\x10\x00OW")
    data = whole[:pixels] + nested(5000) + whole[pixels:]
    assert "RecursionError" in refused_bytes(given, data)


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_transfer_syntaxes_that_hide_their_size_or_are_retired_are_refused(
    syntax: UID, given: Given
) -> None:
    picture = Dataset()
    for element in dcmread(BytesIO(explicit(given))):
        picture.add(element)
    picture.file_meta = given.file(ObjectKind.SC).file_meta
    picture.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    picture.save_as(buffer, enforce_file_format=True)
    assert "which is not taken" in refused_bytes(given, buffer.getvalue())


def test_what_grows_without_end_when_it_is_inflated_is_not_inflated(given: Given) -> None:
    picture = bytes_of(dcmread(BytesIO(explicit(given))))
    meta = picture[: picture.index(b"\x08\x00\x08\x00CS")]
    meta = meta.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    size = meta.index(b"1.2.840.10008.1.2.1.99") - 2
    meta = meta[:size] + (22).to_bytes(2, "little") + meta[size + 2 :]
    bomb = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = b"".join(bomb.compress(bytes(1 << 24)) for _ in range(24)) + bomb.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "Deflated Explicit VR Little Endian, which is not taken" in refused_bytes(
        given, meta + body
    )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 << 10  # KiB


def test_headers_without_end_are_refused_before_they_are_read(given: Given) -> None:
    document = given.file(ObjectKind.PDF)
    document.EncapsulatedDocument = bytes(20 << 20)
    other = given.file(ObjectKind.PDF)
    other.SOPInstanceUID = generate_uid()
    other.EncapsulatedDocument = bytes(20 << 20)
    assert given.adopt(document)
    assert "have too much beside their pixels" in given.refused(document, other)


def test_sizes_that_are_not_those_of_the_bytes_are_refused(given: Given) -> None:
    made = MadeObjects(names=("a", "b"), sizes=(-4, 8), data=made_of().data)
    output = PipelineOutput(result=given.once.result, label_map=None, made=made)
    with pytest.raises(PermanentPipelineError, match="sizes of its objects are not"):
        given.encode(output)
