"""What the Segmentation and the report have in common: whose, by whom, when, the same again."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from highdicom._standard_utils import get_module_attribute_map
from pydicom import Dataset, dcmread

from appliance.core import product
from appliance.core.model import Code, CodingScheme, ObjectKind
from appliance.core.uids import uid_from_name
from pipelines.encode import EncodedObject, encode
from pipelines.encode.inherit import INHERITED
from tests import phantoms
from tests.counterparts import dciodvfy_errors, dcmdump, orthanc, storescu
from tests.phantoms import objects


def saved(items: tuple[EncodedObject, ...], folder: Path) -> list[Path]:
    paths = [folder / f"{item.kind}.dcm" for item in items]
    for path, item in zip(paths, items, strict=True):
        path.write_bytes(item.data)
    return paths


def read_back(folder: Path, datasets: list[Dataset] | None = None, **changes: Any) -> list[Dataset]:
    series = phantoms.stored(folder / "in", datasets)
    return [dcmread(path) for path in saved(objects(series, **changes), folder)]


def test_encoding_again_gives_the_same_bytes(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    first, again = (
        [hashlib.sha256(item.data).hexdigest() for item in objects(series)] for _ in range(2)
    )
    assert first == again
    # Another process hashes strings differently, so its sets and dictionaries differ too.
    script = (
        "import hashlib, pathlib, sys\n"
        "from tests import phantoms\n"
        "from pipelines.series import read_volume\n"
        "paths = sorted(pathlib.Path(sys.argv[1]).iterdir())\n"
        "series = phantoms.Stored(datasets=[], paths=paths, volume=read_volume(paths))\n"
        "print(*(hashlib.sha256(item.data).hexdigest() for item in phantoms.objects(series)))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "in"], check=True, capture_output=True, text=True
    )
    assert printed.stdout.split() == first


def test_the_bytes_are_those_that_pydicom_writes(tmp_path: Path) -> None:
    multi = phantoms.stored_enhanced(tmp_path / "multi", phantoms.slices())
    for series in (phantoms.stored(tmp_path / "in"), multi):
        for item in objects(series):
            buffer = BytesIO()
            dataset = dcmread(BytesIO(item.data))
            for _ in dataset.iterall():
                pass  # decode everything, so that nothing is written as it was read
            dataset.save_as(buffer, enforce_file_format=True)
            assert buffer.getvalue() == item.data


def test_another_run_has_other_uids_for_everything(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    one, other = objects(series), objects(series, run_uid="2.25.987654321")
    assert {item.sop_instance_uid for item in one}.isdisjoint(
        item.sop_instance_uid for item in other
    )
    assert len({item.series_instance_uid for item in (*one, *other)}) == 4


def test_a_site_can_have_uids_under_its_own_root(tmp_path: Path) -> None:
    for dataset in read_back(tmp_path, uid_root="1.2.826.0.1.99"):
        assert dataset.SOPInstanceUID.startswith("1.2.826.0.1.99.")
        assert dataset.SeriesInstanceUID.startswith("1.2.826.0.1.99.")
        assert len(dataset.SOPInstanceUID) <= 64


def test_patient_and_study_are_the_sources_even_where_they_are_empty(tmp_path: Path) -> None:
    datasets = phantoms.slices(
        PatientName="",
        AccessionNumber="",
        PatientSex="UNKNOWN",
        StudyDate="",
        IssuerOfPatientID="HOSPITAL",
        PatientComments="left-handed",
        PatientWeight="71.5",
        StudyID=None,
    )
    for result in read_back(tmp_path, datasets):
        for keyword in INHERITED & {element.keyword for element in datasets[0]}:
            assert result[keyword] == datasets[0][keyword]
        assert result.StudyID is None or result.StudyID == ""
        assert (result.PatientName, result.AccessionNumber) == ("", "")
        assert result.StudyInstanceUID == datasets[0].StudyInstanceUID


def test_values_that_the_standard_does_not_allow_stop_no_result(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    for path in series.paths:
        raw = path.read_bytes()
        assert raw.count(b"DA\x08\x0019700101") == 1
        path.write_bytes(raw.replace(b"DA\x08\x0019700101", b"DA\x08\x0070-01-01"))
    for path in saved(objects(series), tmp_path):
        assert b"DA\x08\x0070-01-01" in path.read_bytes()


def test_an_institution_of_the_source_is_copied_as_it_is(tmp_path: Path) -> None:
    for result in read_back(tmp_path, phantoms.slices(InstitutionName=["North", "South"])):
        assert result.InstitutionName == ["North", "South"]


def test_an_empty_sequence_of_the_source_is_not_copied(tmp_path: Path) -> None:
    datasets = phantoms.slices(ProcedureCodeSequence=[], OtherPatientIDsSequence=[])
    series = phantoms.stored(tmp_path / "in", datasets)
    for path in saved(objects(series), tmp_path):
        assert dciodvfy_errors(path) == []


def test_nothing_of_patient_and_study_is_forgotten() -> None:
    modules = get_module_attribute_map()
    standard = {
        str(item["keyword"])
        for module in ("patient", "general-study", "patient-study", "clinical-trial-subject")
        for item in modules[module]
        if not item["path"]
    }
    of_retired_services = {"ReferencedPatientSequence", "ReferencedStudySequence"}
    assert standard - of_retired_services <= INHERITED


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 144", "Достоевский^Фёдор"),
        (None, "Smith^Jane"),
    ],
)
def test_names_keep_their_character_set_byte_for_byte(
    character_set: object, name: str, tmp_path: Path
) -> None:
    datasets = phantoms.slices(SpecificCharacterSet=character_set, PatientName=name)
    source = dcmread(phantoms.stored(tmp_path / "in", datasets).paths[0])
    for result in read_back(tmp_path, datasets):
        assert result.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")
        assert result.get_item("PatientName").value == source.get_item("PatientName").value


@pytest.mark.parametrize("character_set", ["ISO_IR 144", ["", "ISO 2022 IR 87"], None])
def test_what_the_sources_set_cannot_say_is_written_in_utf8(
    character_set: object, tmp_path: Path
) -> None:
    datasets = phantoms.slices(SpecificCharacterSet=character_set, PatientID="4711")
    for result in read_back(tmp_path, datasets, institution="Universitätsklinikum Köln"):
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert result.InstitutionName == "Universitätsklinikum Köln"
        assert result.PatientID == "4711"


@pytest.mark.parametrize(
    ("character_set", "name", "issuer"),
    [
        ("ISO_IR 144", "Достоевский^Фёдор", "Москва"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田病院"),
    ],
)
def test_names_survive_the_change_to_utf8(
    character_set: object, name: str, issuer: str, tmp_path: Path
) -> None:
    datasets = phantoms.slices(SpecificCharacterSet=character_set, PatientName=name)
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID = "17", issuer
    for dataset in datasets:
        dataset.OtherPatientIDsSequence = [other]
    for result in read_back(tmp_path, datasets, institution="Köln"):
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert result.PatientName == name
        assert result.OtherPatientIDsSequence[0].IssuerOfPatientID == issuer


def test_times_are_the_institutions_and_no_offset_is_added(tmp_path: Path) -> None:
    for result in read_back(tmp_path):  # created at 22:30:15.25 UTC, Berlin in summer
        assert (result.ContentDate, result.ContentTime) == ("20260704", "003015.250000")
        assert (result.SeriesDate, result.InstanceCreationTime) == ("20260704", "003015.250000")
        assert "TimezoneOffsetFromUTC" not in result
        contributed = result.ContributingEquipmentSequence[0].ContributionDateTime
        assert contributed == "20260704003015.250000+0200"


def test_times_are_in_the_sources_offset_where_it_says_one(tmp_path: Path) -> None:
    for result in read_back(tmp_path, phantoms.slices(TimezoneOffsetFromUTC="-0500")):
        assert result.TimezoneOffsetFromUTC == "-0500"
        assert (result.ContentDate, result.ContentTime) == ("20260703", "173015.250000")


def equipment(dataset: Dataset) -> Iterator[tuple[str, str, str, str]]:
    for item in dataset.ContributingEquipmentSequence:
        if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102":
            yield (
                item.Manufacturer,
                item.ManufacturerModelName,
                item.SoftwareVersions,
                item.DeviceUID,
            )


def test_the_model_is_named_alike_everywhere(tmp_path: Path) -> None:
    digest = "cd" * 32
    seg, sr = read_back(tmp_path, pipeline_digest=digest)
    model = ("The model's makers", "brain-mr", "1.0.0", uid_from_name("pipeline", digest))
    assert next(equipment(seg)) == next(equipment(sr)) == model
    manufacturer, name, version, device_uid = model
    for segment in seg.SegmentSequence:
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmSource == manufacturer
        assert algorithm.AlgorithmName == segment.SegmentAlgorithmName == name
        assert algorithm.AlgorithmVersion == version
    observer = {
        item.ConceptNameCodeSequence[0].CodeValue: item.get("UID") or item.get("TextValue")
        for item in sr.ContentSequence
    }
    assert observer["121012"] == device_uid
    assert observer["121014"] == manufacturer
    assert observer["121015"] == name
    (container,) = (item for item in sr.ContentSequence if item.ValueType == "CONTAINER")
    for group in container.ContentSequence:
        said = {
            item.ConceptNameCodeSequence[0].CodeValue: item.get("TextValue")
            for item in group.ContentSequence
        }
        assert (said["111001"], said["111003"]) == (name, version)


def test_our_own_objects_are_known_by_their_device_uid(tmp_path: Path) -> None:
    for result in read_back(tmp_path):
        assert product.APPLIANCE_DEVICE_UID in {uid for *_, uid in equipment(result)}
        assert result.InstanceCreatorUID == product.APPLIANCE_DEVICE_UID
        assert (result.Manufacturer, result.ManufacturerModelName) == (
            product.MANUFACTURER,
            product.MODEL_NAME,
        )
        assert (result.DeviceSerialNumber, result.SoftwareVersions) == ("CDA-0001", product.VERSION)
        assert result.file_meta.ImplementationClassUID == product.IMPLEMENTATION_CLASS_UID


def test_the_scanner_is_named_as_acquisition_equipment(tmp_path: Path) -> None:
    datasets = phantoms.slices(InstitutionName="Sending Hospital", DeviceSerialNumber="4711")
    for result in read_back(tmp_path, datasets):
        (scanner,) = (
            item
            for item in result.ContributingEquipmentSequence
            if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
        )
        assert (scanner.Manufacturer, scanner.DeviceSerialNumber) == ("SYNTHETIC", "4711")
        assert result.InstitutionName == "Sending Hospital"


def test_a_scanner_without_a_name_is_left_out(tmp_path: Path) -> None:
    for result in read_back(tmp_path, phantoms.slices(Manufacturer="")):
        assert len(result.ContributingEquipmentSequence) == 2
        assert result.InstitutionName == "Example Hospital"


def test_the_series_says_that_it_is_research(tmp_path: Path) -> None:
    seg, sr = read_back(tmp_path)
    assert seg.SeriesDescription == "brain-mr 1.0.0 segmentation - research, not for diagnosis"
    assert sr.SeriesDescription == "brain-mr 1.0.0 volumes - research, not for diagnosis"
    assert seg.SeriesInstanceUID != sr.SeriesInstanceUID
    assert len({seg.SeriesNumber, sr.SeriesNumber}) == 2
    assert min(seg.SeriesNumber, sr.SeriesNumber) >= 10_000


@pytest.mark.parametrize("kind", [ObjectKind.SEG, ObjectKind.SR])
def test_a_long_name_does_not_push_the_regulatory_label_out(kind: ObjectKind) -> None:
    run = phantoms.context(pipeline="a-pipeline-with-a-name-" + "x" * 40)
    description = run.series_description(kind)
    assert len(description) <= 64
    assert description.endswith(" - research, not for diagnosis")


def test_a_label_that_begins_with_an_acronym_keeps_its_capitals() -> None:
    run = phantoms.context(regulatory_label="CE marked, class IIa")
    assert run.series_description(ObjectKind.SR).endswith(" - CE marked, class IIa")


def test_each_run_has_its_own_series_numbers() -> None:
    numbers = [
        phantoms.context(run_number=run).series_number(kind)
        for run in range(1, 51)
        for kind in (ObjectKind.SEG, ObjectKind.SR)
    ]
    assert len(set(numbers)) == 100


def test_the_private_schemes_that_an_object_uses_are_declared_in_it(tmp_path: Path) -> None:
    theirs = CodingScheme(
        designator="99HOSPITAL", name="Ärzte", uid="2.25.7", responsible="The hospital"
    )
    unused = replace(theirs, designator="99OTHER")
    series = phantoms.stored(tmp_path / "in")
    codes = (
        Code(value="X1", scheme="99HOSPITAL", meaning="Something new"),
        Code(value="X2", scheme=product.CODING_SCHEME, meaning="Something of ours"),
    )
    segments = tuple(
        replace(segment, structure=code)
        for segment, code in zip((phantoms.BOX, phantoms.BALL), codes, strict=True)
    )
    output = phantoms.run_output(series.volume, segments=segments)
    run = phantoms.context(coding_schemes=(unused, theirs))
    for path in saved(encode(run, series.paths, series.volume, output), tmp_path):
        items = dcmread(path).CodingSchemeIdentificationSequence
        assert [str(item.CodingSchemeDesignator) for item in items] == ["99CDA", "99HOSPITAL"]
        assert str(items[1].CodingSchemeUID) == "2.25.7"
        assert items[1].CodingSchemeName == "Ärzte"
        assert items[1].CodingSchemeResponsibleOrganization == "The hospital"
    assert all("CodingSchemeIdentificationSequence" not in one for one in read_back(tmp_path / "a"))


def test_the_validator_finds_no_error(tmp_path: Path) -> None:
    for path in saved(objects(phantoms.stored(tmp_path / "in")), tmp_path):
        assert dciodvfy_errors(path) == []


def test_dcmtk_shows_the_models_device_uid(tmp_path: Path) -> None:
    for path in saved(objects(phantoms.stored(tmp_path / "in")), tmp_path):
        dump = dcmdump(path, "+P", "0018,a001", "+P", "0018,1002")
        assert "ContributingEquipmentSequence" in dump
        assert uid_from_name("pipeline", "ab" * 32) in dump


def test_orthanc_holds_both_in_the_study_of_the_source(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    paths = saved(objects(series), tmp_path)
    with orthanc(tmp_path, modalities={"APPLIANCE": 11112}) as pacs:
        sent = [series.paths[0], *paths]
        storescu(pacs.port, sent, calling="APPLIANCE", called="ORTHANC", options=["-R"])
        (study,) = pacs.get("/studies")
        modalities = {
            pacs.get(f"/series/{one}")["MainDicomTags"]["Modality"]
            for one in pacs.get(f"/studies/{study}")["Series"]
        }
        assert modalities == {"MR", "SEG", "SR"}
        assert len(pacs.instances()) == 3
