"""Files become summaries, whatever a peer wrote into them."""

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from appliance.core.errors import BadInstance
from appliance.core.product import APPLIANCE_DEVICE_UID
from appliance.intake.folder import study_from_folder
from appliance.intake.headers import read_header, study_summary
from tests.builders import encapsulated_pdf, mr_series, mr_slices, write

PRIVATE = "0019,0C SIEMENS MR HEADER"


def one_file(folder: Path, **attributes: object) -> Path:
    return write(mr_slices(slices=1, **attributes)[0], folder / "one.dcm")


def test_a_header_has_what_is_asked_for_and_the_base(tmp_path: Path) -> None:
    header = read_header(
        one_file(tmp_path, EchoTime=3.5, ScanOptions=""), {"EchoTime", "PatientAge"}
    )
    having = header.summary.attributes
    assert having["EchoTime"] == (3.5,)
    assert having["PatientAge"] == ("056Y",)
    assert having["ImageType"] == ("ORIGINAL", "PRIMARY", "M", "ND")
    assert having["PixelSpacing"] == (1.0, 1.0)
    assert having["SeriesNumber"] == (1.0,)
    assert "PatientName" not in having
    assert "FlipAngle" not in having
    assert (header.patient_id, header.issuer_of_patient_id) == ("SYNTHETIC-1", "TEST")
    assert not header.is_own


def test_an_empty_element_is_there_and_empty_and_an_absent_one_has_no_entry(tmp_path: Path) -> None:
    path = one_file(tmp_path, ScanOptions="", BodyPartExamined=None)
    having = read_header(path, {"ScanOptions", "BodyPartExamined"}).summary.attributes
    assert having["ScanOptions"] == ()
    assert "BodyPartExamined" not in having


@pytest.mark.parametrize("block", [0x10, 0x33])
def test_a_private_element_is_found_whatever_block_its_creator_reserved(
    tmp_path: Path, block: int
) -> None:
    dataset = mr_slices(slices=1)[0]
    dataset.add_new((0x0019, block), "LO", "SIEMENS MR HEADER ")
    dataset.add_new((0x0019, block << 8 | 0x0C), "IS", "800")
    dataset.add_new((0x0019, 0x20), "LO", "SOMEBODY ELSE")
    dataset.add_new((0x0019, 0x200C), "IS", "1")
    path = write(dataset, tmp_path / "p.dcm")
    assert read_header(path, {PRIVATE}).summary.attributes[PRIVATE] == (800.0,)


def test_a_private_element_of_unknown_vr_is_read_as_text(tmp_path: Path) -> None:
    dataset = mr_slices(slices=1)[0]
    dataset.add_new((0x0019, 0x10), "LO", "NOBODY KNOWS")
    dataset.add_new((0x0019, 0x100C), "UN", b"800\\900 ")
    dataset.add_new((0x0019, 0x100D), "UN", b"\x00\x01\xff")
    path = write(dataset, tmp_path / "p.dcm")
    text, binary = "0019,0C NOBODY KNOWS", "0019,0D NOBODY KNOWS"
    having = read_header(path, {text, binary}).summary.attributes
    assert having[text] == ("800", "900")
    assert having[binary] == ("binary",)


def test_values_that_break_their_vr_meet_no_number_and_hurt_nobody(tmp_path: Path) -> None:
    path = one_file(tmp_path)
    content = path.read_bytes()
    echo = content.index(b"\x18\x00\x50\x00DS")  # SliceThickness
    broken = bytearray(content)
    length = int.from_bytes(content[echo + 6 : echo + 8], "little")
    broken[echo + 8 : echo + 8 + length] = b"x" * length
    path.write_bytes(bytes(broken))
    assert read_header(path, ()).summary.attributes["SliceThickness"] == ("unreadable",)


def enhanced(**per_frame: object) -> Dataset:
    """Return two frames in the shape that Philips and Siemens send."""
    dataset = mr_slices(slices=1)[0]
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    for keyword in ("SliceThickness", "PixelSpacing", "ImageOrientationPatient", "EchoTime"):
        delattr(dataset, keyword)
    dataset.NumberOfFrames = 2
    measures, orientation, echo = Dataset(), Dataset(), Dataset()
    measures.SliceThickness, measures.PixelSpacing = 1.2, [0.5, 0.5]
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    echo.EffectiveEchoTime = 30
    shared, frames = Dataset(), [Dataset(), Dataset()]
    shared.MREchoSequence = Sequence([echo])
    shared.PlaneOrientationSequence = Sequence([orientation])
    for number, frame in enumerate(frames):
        frame.PixelMeasuresSequence = Sequence([measures])
        position = Dataset()
        position.ImagePositionPatient = [0, 0, number]
        frame.PlanePositionSequence = Sequence([position])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for keyword, values in per_frame.items():
        for frame, value in zip(frames, values, strict=True):  # type: ignore[call-overload]
            item = Dataset()
            setattr(item, keyword, value)
            frame.MRTimingAndRelatedParametersSequence = Sequence([item])
    return dataset


def test_a_number_of_a_length_that_none_has_hurts_nobody(tmp_path: Path) -> None:
    (dataset,) = mr_slices(slices=1)
    path = write(dataset, tmp_path / "one.dcm")
    rows = bytes.fromhex("28001000") + b"US"
    content = path.read_bytes()
    whole = rows + (2).to_bytes(2, "little")
    broken = rows + (3).to_bytes(2, "little") + b"\0"
    path.write_bytes(content.replace(whole, broken))
    assert read_header(path, ()).summary.attributes["Rows"] == ("unreadable",)


def test_an_enhanced_image_answers_to_the_classic_keywords(tmp_path: Path) -> None:
    path = write(enhanced(FlipAngle=[9, 9]), tmp_path / "e.dcm")
    header = read_header(path, {"EchoTime", "FlipAngle", "ImagePositionPatient"})
    having = header.summary.attributes
    assert having["SliceThickness"] == (1.2,)
    assert having["PixelSpacing"] == (0.5, 0.5)
    assert having["ImageOrientationPatient"] == (1, 0, 0, 0, 1, 0)
    assert having["EchoTime"] == (30.0,)
    assert having["FlipAngle"] == (9.0,)
    assert header.summary.number_of_frames == 2


def test_what_differs_between_frames_is_nobodys_attribute(tmp_path: Path) -> None:
    path = write(enhanced(RepetitionTime=[8, 9]), tmp_path / "e.dcm")
    dataset = dcmread(path)
    del dataset.RepetitionTime
    dataset.save_as(path)
    assert "RepetitionTime" not in read_header(path, {"RepetitionTime"}).summary.attributes


def test_contrast_that_only_the_sequence_names_is_seen(tmp_path: Path) -> None:
    dataset, agent = enhanced(), Dataset()
    agent.CodeValue, agent.CodingSchemeDesignator, agent.CodeMeaning = "1", "SRT", "Gadolinium"
    dataset.ContrastBolusAgentSequence = Sequence([agent])
    path = write(dataset, tmp_path / "e.dcm")
    having = read_header(path, {"ContrastBolusAgent"}).summary.attributes
    assert having["ContrastBolusAgent"] == ("Gadolinium",)


def test_our_own_objects_are_known_by_their_device_uid(tmp_path: Path) -> None:
    dataset, device = encapsulated_pdf(), Dataset()
    device.DeviceUID = APPLIANCE_DEVICE_UID
    dataset.ContributingEquipmentSequence = Sequence([Dataset(), device])
    assert read_header(write(dataset, tmp_path / "own.dcm"), ()).is_own


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_an_instance_without_a_uid_is_bad(tmp_path: Path, missing: str) -> None:
    with pytest.raises(BadInstance, match=f"{missing} is missing"):
        read_header(one_file(tmp_path, **{missing: None}), ())


@pytest.mark.parametrize(
    "content", [b"", b"hello, world\n" * 100, b"\0" * 128 + b"DICM", b"\xff" * 500, b"DICM"]
)
def test_what_is_no_dicom_is_bad(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "junk"
    path.write_bytes(content)
    with pytest.raises(BadInstance):
        read_header(path, ())


@pytest.mark.parametrize("keep", range(140, 1400, 60))
def test_a_truncated_header_is_bad_or_says_what_it_still_has(tmp_path: Path, keep: int) -> None:
    path = one_file(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    try:
        read_header(path, {"EchoTime", PRIVATE})
    except BadInstance as error:
        assert "Synthetic" not in str(error)


def test_a_series_has_what_all_its_images_share_in_the_order_of_their_numbers(
    tmp_path: Path,
) -> None:
    paths = mr_series(tmp_path, slices=3)
    summary = study_summary("1", [read_header(path, ()) for path in reversed(paths)])
    (series,) = summary.series
    assert series.attributes["Modality"] == ("MR",)
    assert "InstanceNumber" not in series.attributes
    assert [one.attributes["InstanceNumber"] for one in series.instances] == [(1,), (2,), (3,)]
    assert summary.attributes["StudyDate"] == ("20260102",)


def test_a_folder_yields_its_studies_and_says_what_was_no_use(tmp_path: Path) -> None:
    mr_series(tmp_path / "a", slices=2)
    (first, _) = mr_series(tmp_path / "b" / "deep", slices=2)
    shutil.copy(first, tmp_path / "copy.dcm")
    (tmp_path / "readme.txt").write_text("not an image")
    own, device = mr_slices(slices=1)[0], Dataset()
    device.DeviceUID = APPLIANCE_DEVICE_UID
    own.ContributingEquipmentSequence = Sequence([device])
    write(own, tmp_path / "own.dcm")
    found = study_from_folder(tmp_path, ())
    assert [len(study.series[0].instances) for study in found.studies] == [2, 2]
    problems = dict(found.problems)
    assert problems["copy.dcm"] == "a second copy of an instance"
    assert problems["own.dcm"] == "made by this appliance: never routed"
    assert "readme.txt" in problems
    assert len(problems) == 3


def test_one_file_is_a_folder_of_one(tmp_path: Path) -> None:
    (path,) = mr_series(tmp_path, slices=1)
    assert len(study_from_folder(path, ()).studies) == 1
