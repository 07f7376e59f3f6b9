from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from appliance.core.model import Code, Side
from pipelines.base import PipelineOutput
from pipelines.encode import EncodedObject, PriorObject, encode
from tests import phantoms
from tests.counterparts import dciodvfy_errors
from tests.phantoms import BALL, BOX, Stored

EMPTY = np.zeros(phantoms.SHAPE, np.uint8)


@pytest.fixture
def series(tmp_path: Path) -> Stored:
    return phantoms.stored(tmp_path / "in")


def report(
    series: Stored, folder: Path, output: PipelineOutput | None = None, **changes: object
) -> Path:
    output = phantoms.run_output(series.volume) if output is None else output
    items = encode(phantoms.context(**changes), series.paths, series.volume, output)
    return save(items[-1], folder)


def save(item: EncodedObject, folder: Path) -> Path:
    path = folder / f"{item.kind}.dcm"
    path.write_bytes(item.data)
    return path


def texts(item: Dataset) -> list[str]:
    """Return the comments among the children of a content item."""
    return [
        child.TextValue
        for child in item.ContentSequence
        if child.ValueType == "TEXT" and child.ConceptNameCodeSequence[0].CodeValue == "121106"
    ]


def test_each_finding_is_a_volume_of_its_segment(series: Stored, tmp_path: Path) -> None:
    path = report(series, tmp_path)
    groups = hd.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    expected = phantoms.volume_labels(series.volume)
    for group, item in zip(groups, (BOX, BALL), strict=True):
        (measured,) = group.get_measurements()
        millilitres = np.count_nonzero(expected == item.number) * 1.25 * 1.0 * 1.5 / 1000
        assert measured.name == codes.SCT.Volume
        assert measured.value == pytest.approx(millilitres)
        assert (measured.unit.value, measured.unit.scheme_designator) == ("mL", "UCUM")
        assert group.finding_type.value == item.structure.value
        assert group.finding_category.value == "91723000"
        assert group.tracking_uid == item.tracking_uid
        assert group.referenced_segment.has_source_images() is False
        segment = group.referenced_segment[0]
        (reference,) = segment.ReferencedSOPSequence
        assert reference.ReferencedSegmentNumber == item.number
    assert dciodvfy_errors(path) == []


def test_a_side_is_written_where_it_is_known_and_only_there(series: Stored, tmp_path: Path) -> None:
    groups = hd.sr.srread(report(series, tmp_path)).content.get_volumetric_roi_measurement_groups()
    left, midline = (group.finding_sites[0] for group in groups)
    assert left.laterality == codes.SCT.Left
    assert midline.laterality is None


def test_a_right_side_is_right(series: Stored, tmp_path: Path) -> None:
    right = phantoms.segment(1, "Hippocampus", phantoms.HIPPOCAMPUS, Side.RIGHT)
    output = phantoms.run_output(series.volume, segments=(right, BALL))
    content = hd.sr.srread(report(series, tmp_path, output)).content
    site = content.get_volumetric_roi_measurement_groups()[0].finding_sites[0]
    assert (site.laterality.value, site.laterality.meaning) == ("24028007", "Right")


def test_the_report_refers_to_the_segmentation_of_its_run(series: Stored, tmp_path: Path) -> None:
    output = phantoms.run_output(series.volume)
    seg, sr = (
        dcmread(save(item, tmp_path))
        for item in encode(phantoms.context(), series.paths, series.volume, output)
    )
    (study,) = sr.CurrentRequestedProcedureEvidenceSequence
    referenced = {
        item.ReferencedSOPInstanceUID
        for one in study.ReferencedSeriesSequence
        for item in one.ReferencedSOPSequence
    }
    assert referenced == {seg.SOPInstanceUID, *(item.SOPInstanceUID for item in series.datasets)}
    groups = hd.sr.srread(tmp_path / "sr.dcm").content.get_volumetric_roi_measurement_groups()
    assert {group.referenced_segment[0].referenced_sop_instance_uid for group in groups} == {
        seg.SOPInstanceUID
    }


def test_the_document_is_complete_and_not_verified(series: Stored, tmp_path: Path) -> None:
    sr = dcmread(report(series, tmp_path))
    assert sr.SOPClassUID == Comprehensive3DSRStorage
    assert (sr.CompletionFlag, sr.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    language = sr.ContentSequence[0]
    assert language.ConceptCodeSequence[0].CodeValue == "en"


@pytest.mark.parametrize(
    ("modality", "code"), [("MR", "25056-3"), ("CT", "25045-6"), ("OT", "363679005")]
)
def test_the_procedure_reported_is_the_imaging_procedure(
    modality: str, code: str, tmp_path: Path
) -> None:
    series = phantoms.stored(tmp_path / "in", phantoms.slices(Modality=modality))
    sr = dcmread(report(series, tmp_path))
    (procedure,) = (
        item.ConceptCodeSequence[0].CodeValue
        for item in sr.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "121058"
    )
    assert procedure == code


def test_the_regulatory_label_and_the_notes_stand_in_the_report(
    series: Stored, tmp_path: Path
) -> None:
    output = phantoms.run_output(series.volume, notes=("The head was set upright by 12 degrees.",))
    sr = dcmread(report(series, tmp_path, output))
    assert texts(sr) == ["Research, not for diagnosis", "The head was set upright by 12 degrees."]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_was_not_measured_is_said_in_words_and_never_as_a_number(
    value: float | None, series: Stored, tmp_path: Path
) -> None:
    output = phantoms.run_output(series.volume)
    uid = series.volume.series_instance_uid
    output = phantoms.with_findings(
        output, phantoms.finding(BOX, uid, value, "cut off"), phantoms.finding(BALL, uid, 0.25)
    )
    path = report(series, tmp_path, output)
    box, ball = hd.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    assert box.get_measurements() == []
    (said,) = box.get_qualitative_evaluations(name=codes.SCT.Volume)
    assert said.value == codes.DCM.MeasurementFailure
    assert texts(box[0]) == ["Volume was not measured: cut off"]
    assert ball.get_measurements()[0].value == 0.25
    assert dciodvfy_errors(path) == []


def test_a_finding_without_segment_stands_on_its_own(series: Stored, tmp_path: Path) -> None:
    path = report(series, tmp_path, phantoms.run_output(series.volume, labels=EMPTY))
    content = hd.sr.srread(path).content
    assert content.get_volumetric_roi_measurement_groups() == []
    groups = content.get_image_measurement_groups()
    assert [group.get_measurements()[0].value for group in groups] == [0.0, 0.0]
    assert dciodvfy_errors(path) == []


def test_a_structure_without_voxels_moves_the_references_with_the_numbers(
    series: Stored, tmp_path: Path
) -> None:
    labels = phantoms.volume_labels(series.volume)
    labels[labels == 1] = 0
    path = report(series, tmp_path, phantoms.run_output(series.volume, labels=labels))
    content = hd.sr.srread(path).content
    (group,) = content.get_volumetric_roi_measurement_groups()
    assert group.finding_type.value == BALL.structure.value
    assert group.referenced_segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == 1
    (alone,) = content.get_image_measurement_groups()
    assert alone.finding_type.value == BOX.structure.value


def test_ran_and_found_nothing_is_said_by_its_code(series: Stored, tmp_path: Path) -> None:
    output = phantoms.with_findings(phantoms.run_output(series.volume, segments=(), labels=EMPTY))
    path = report(series, tmp_path, output)
    (group,) = hd.sr.srread(path).content.get_image_measurement_groups()
    (said,) = group.get_qualitative_evaluations()
    assert said.value.value == "111241"
    assert said.value.meaning == "All algorithms succeeded; without findings"
    assert dciodvfy_errors(path) == []


def test_a_new_version_names_the_report_that_it_supersedes(series: Stored, tmp_path: Path) -> None:
    old = [
        PriorObject(
            kind=kind, sop_class_uid=sop_class, sop_instance_uid=uid, series_instance_uid="1.2.3"
        )
        for kind, sop_class, uid in (
            ("seg", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.3.4"),
            ("sr", Comprehensive3DSRStorage, "1.2.3.5"),
        )
    ]
    path = report(series, tmp_path, run_number=2, supersedes=tuple(old))
    sr = dcmread(path)
    (study,) = sr.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == sr.StudyInstanceUID
    (predecessor,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert predecessor.ReferencedSOPInstanceUID == "1.2.3.5"
    assert sr.InstanceNumber == 2
    assert dciodvfy_errors(path) == []


def test_a_first_version_has_no_predecessor(series: Stored, tmp_path: Path) -> None:
    assert "PredecessorDocumentsSequence" not in dcmread(report(series, tmp_path))


def test_our_own_coding_scheme_is_declared_where_it_is_used_and_only_there(
    series: Stored, tmp_path: Path
) -> None:
    assert "CodingSchemeIdentificationSequence" not in dcmread(report(series, tmp_path))
    own = Code(value="CDA001", scheme="99CDA", meaning="Something of ours")
    segments = (phantoms.segment(1, "Ours", own, None), BALL)
    output = phantoms.run_output(series.volume, segments=segments)
    for item in encode(phantoms.context(), series.paths, series.volume, output):
        path = save(item, tmp_path)
        (scheme,) = dcmread(path).CodingSchemeIdentificationSequence
        assert scheme.CodingSchemeDesignator == "99CDA"
        assert dciodvfy_errors(path) == []
