"""Objects that a program made itself, taken into the study."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEGLSLossless,
    generate_uid,
)

from appliance.core import product
from appliance.core.model import ObjectKind
from appliance.intake.headers import names_appliance
from pipelines.base import PipelineOutput
from pipelines.encode import EncodedObject
from pipelines.segmentation import read_segmentation
from tests import phantoms
from tests.adoption import KINDS, Given, bytes_of, made_of
from tests.counterparts import dciodvfy_errors


def by_kind(items: tuple[EncodedObject, ...]) -> dict[str, EncodedObject]:
    return {item.kind: item for item in items}


def test_each_object_is_of_the_study_and_says_what_made_it(given: Given, tmp_path: Path) -> None:
    source = given.series.datasets[0]
    errors_before = {kind: given.errors(kind, tmp_path) for kind in KINDS}
    assert errors_before[ObjectKind.SEG] == errors_before[ObjectKind.SR] == []
    objects = given.encode(given.once)
    assert {item.kind for item in objects} == KINDS  # no report of ours: the program made its own
    for item in objects:
        path = tmp_path / f"{item.kind}.dcm"
        path.write_bytes(item.data)
        result = dcmread(path)
        assert set(dciodvfy_errors(path)) <= set(errors_before[item.kind])
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"):
            assert result[keyword] == source[keyword]
        assert result.IssuerOfPatientID == "TEST"
        assert result.SOPInstanceUID == result.file_meta.MediaStorageSOPInstanceUID
        assert result.SOPInstanceUID == item.sop_instance_uid
        assert result.SeriesDescription == item.series_description
        assert result.SeriesDescription.endswith(" - research, not for diagnosis")
        assert result.Manufacturer == "Outside Makers" or item.kind == ObjectKind.PDF
        assert names_appliance(result)
        assert result.InstanceCreatorUID == product.APPLIANCE_DEVICE_UID
        assert result.file_meta.ImplementationClassUID == product.IMPLEMENTATION_CLASS_UID
        assert result.SeriesNumber >= 90_000


def test_pixels_content_and_references_to_the_images_stay(given: Given) -> None:
    seg, before = (
        dcmread(BytesIO(by_kind(given.encode(given.once))["seg"].data)),
        given.file(ObjectKind.SEG),
    )
    assert seg.PixelData == before.PixelData
    assert seg.PerFrameFunctionalGroupsSequence == before.PerFrameFunctionalGroupsSequence
    assert seg.ReferencedSeriesSequence == before.ReferencedSeriesSequence


def test_the_report_refers_to_the_segmentation_by_its_new_uids(given: Given) -> None:
    items = by_kind(given.encode(given.once))
    report = dcmread(BytesIO(items["sr"].data))
    referred = {
        str(element.value) for element in report.iterall() if element.keyword.startswith("Refer")
    }
    assert items["seg"].sop_instance_uid in referred
    assert given.file(ObjectKind.SEG).SOPInstanceUID not in referred
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    series = {item.SeriesInstanceUID for item in evidence.ReferencedSeriesSequence}
    assert series == {
        items["seg"].series_instance_uid,
        given.series.volume.series_instance_uid,
    }


def test_another_attempt_has_the_same_uids(given: Given) -> None:
    assert given.once.made is not None
    assert given.again.made is not None
    assert not set(given.once.made.names) & set(given.again.made.names)  # random UIDs in both
    first, second = (
        {(item.kind, item.sop_instance_uid, item.series_instance_uid) for item in given.encode(one)}
        for one in (given.once, given.again)
    )
    assert first == second
    other = given.encode(given.once, run_uid="2.25.99")
    assert not {uid for _, uid, _ in first} & {item.sop_instance_uid for item in other}


def test_the_order_of_several_pictures_is_that_of_their_content(given: Given) -> None:
    def pictures() -> list[Dataset]:
        found = []
        for value in (11, 22, 33):
            picture = given.file(ObjectKind.SC)
            picture.SOPInstanceUID, picture.PixelData = generate_uid(), bytes([value] * 144)
            found.append(picture)
        return found

    def numbered(datasets: list[Dataset]) -> dict[str, int]:
        return {item.SOPInstanceUID: item.PixelData[0] for item in given.adopt(*datasets)}

    assert numbered(pictures()) == numbered(pictures()[::-1])
    assert len(numbered(pictures())) == 3


def test_series_numbers_of_adopted_objects_are_nobody_elses() -> None:
    runs = [phantoms.context(run_number=run) for run in range(1, 51)]
    own = {run.series_number(kind) for run in runs for kind in (ObjectKind.SEG, ObjectKind.SR)}
    adopted = {run.adopted_series_number(place) for run in runs for place in range(16)}
    assert len(own) == 100
    assert len(adopted) == 800
    assert max(10_000 + 800 * 50 * 2 - 1, *own) < min(adopted)
    # As in every release so far: a rerun's objects stay beside those of the first run.
    assert [runs[0].series_number(kind) for kind in (ObjectKind.SEG, ObjectKind.SR)] == [
        85_900,
        85_901,
    ]


def test_what_the_object_leaves_empty_is_filled_from_the_source(given: Given) -> None:
    picture = given.file(ObjectKind.SC)
    picture.PatientName = ""
    for keyword in ("PatientID", "PatientSex", "AccessionNumber", "StudyDate"):
        delattr(picture, keyword)
    (result,) = given.adopt(picture)
    source = given.series.datasets[0]
    for keyword in ("PatientName", "PatientID", "PatientSex", "AccessionNumber", "StudyDate"):
        assert result[keyword] == source[keyword]


def test_a_name_that_only_ends_in_empty_parts_is_the_same_name(given: Given) -> None:
    picture = given.file(ObjectKind.SC)
    picture.PatientName = "Synthetic^Patient^^^="
    (result,) = given.adopt(picture)
    assert result.PatientName == "Synthetic^Patient"


def test_compressed_pixels_stay_compressed(given: Given, tmp_path: Path) -> None:
    picture = given.file(ObjectKind.SC)
    picture.compress(JPEGLSLossless, generate_instance_uid=False)
    compressed = picture.PixelData
    (result,) = given.adopt(picture)
    assert result.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert result.PixelData == compressed
    assert (result.pixel_array == 77).all()
    path = tmp_path / "compressed.dcm"
    path.write_bytes(bytes_of(result))
    assert dciodvfy_errors(path) == given.errors(ObjectKind.SC, tmp_path)


def test_what_is_made_of_an_image_is_derived_whatever_it_says(given: Given) -> None:
    image = dcmread(given.series.paths[0])
    image.SOPInstanceUID = generate_uid()  # but the series is still that of the scanner
    seg = given.file(ObjectKind.SEG)
    kinds = frozenset({ObjectKind.SEG, ObjectKind.IMAGE})
    results = {item.Modality: item for item in given.adopt(image, seg, adopt=kinds)}
    assert list(results["MR"].ImageType) == ["DERIVED", "PRIMARY", "M", "ND"]
    assert results["MR"].ImageComments == "Research, not for diagnosis"
    scanned = given.series.volume.series_instance_uid
    assert results["MR"].SeriesInstanceUID != scanned
    assert results["SEG"].ReferencedSeriesSequence[0].SeriesInstanceUID == scanned


@pytest.mark.parametrize("character_set", ["ISO_IR 100", "ISO_IR 192"])
def test_text_keeps_its_letters_in_whatever_character_set(character_set: str, given: Given) -> None:
    report = given.file(ObjectKind.SR)
    report.SpecificCharacterSet = character_set
    for item in report.ContentSequence[-1].ContentSequence[0].ContentSequence:
        if item.ValueType == "TEXT":
            item.TextValue = "Läsion, größer"
    (result,) = given.adopt(dcmread(BytesIO(bytes_of(report))))
    texts = {element.value for element in result.iterall() if element.keyword == "TextValue"}
    assert "Läsion, größer" in texts
    assert result.SpecificCharacterSet == "ISO_IR 192"  # the source says ASCII, which cannot


def test_the_report_says_that_it_is_research(given: Given) -> None:
    (result,) = given.adopt(given.file(ObjectKind.SR))
    last = result.ContentSequence[-1]
    assert last.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    assert last.TextValue == "Research, not for diagnosis"


def test_signatures_over_what_is_changed_are_dropped(given: Given) -> None:
    picture = given.file(ObjectKind.SC)
    signature = Dataset()
    signature.MACIDNumber = 1
    picture.DigitalSignaturesSequence, picture.MACParametersSequence = [signature], [signature]
    (result,) = given.adopt(picture)
    assert "DigitalSignaturesSequence" not in result
    assert "MACParametersSequence" not in result


def test_segments_of_its_segmentation_can_be_shown(given: Given, tmp_path: Path) -> None:
    item = by_kind(given.encode(given.once))["seg"]
    (segment,) = item.segments
    assert (segment.name, segment.structure.meaning) == ("Bright", "Tissue")
    assert segment.tracking_uid
    path = tmp_path / "seg.dcm"
    path.write_bytes(item.data)
    assert read_segmentation(path).segments[0].tracking_uid == segment.tracking_uid
    again = by_kind(given.encode(given.again))["seg"]
    assert again.segments == item.segments


def test_a_segmentation_that_no_page_can_read_is_taken_all_the_same(given: Given) -> None:
    seg = given.file(ObjectKind.SEG)
    for groups in seg.PerFrameFunctionalGroupsSequence:
        del groups.DerivationImageSequence
    output = PipelineOutput(result=given.once.result, label_map=None, made=made_of(seg))
    (item,) = given.encode(output)
    assert item.segments == ()
