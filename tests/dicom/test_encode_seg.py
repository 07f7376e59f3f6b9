from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from appliance.core.errors import BadInstance, PermanentPipelineError
from appliance.core.model import Side
from pipelines.encode import EncodedObject, encode
from pipelines.segmentation import read_segmentation
from tests import phantoms
from tests.counterparts import dciodvfy_errors
from tests.phantoms import BALL, BOX, Stored


def encoded(series: Stored, **options: object) -> EncodedObject:
    output = phantoms.run_output(series.volume, **options)
    return encode(phantoms.context(), series.paths, series.volume, output)[0]


def saved(item: EncodedObject, folder: Path) -> Path:
    path = folder / f"{item.kind}.dcm"
    path.write_bytes(item.data)
    return path


@pytest.mark.parametrize("storage", phantoms.STORAGES)
def test_the_mask_lies_on_the_right_voxel(storage: str, tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in", phantoms.slices(phantoms.STORAGES[storage]))
    path = saved(encoded(series), tmp_path)
    read = hd.seg.segread(path).get_pixels_by_source_instance(
        [dataset.SOPInstanceUID for dataset in series.datasets],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    expected = np.stack([phantoms.truth(dataset) for dataset in series.datasets])
    assert np.count_nonzero(expected == 1) > 50
    assert np.count_nonzero(expected == 2) > 50
    assert np.array_equal(read, expected)


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    datasets = phantoms.slices()
    order = np.random.default_rng(1).permutation(len(datasets))
    series = phantoms.stored(tmp_path / "in", [datasets[index] for index in order])
    view = read_segmentation(saved(encoded(series), tmp_path))
    for dataset in datasets:
        labels = view.labels_for(dataset.SOPInstanceUID, None)
        assert np.array_equal(labels, phantoms.truth(dataset))


@pytest.mark.parametrize("storage", ["axial", "sagittal", "oblique"])
def test_the_mask_lies_on_the_right_frame_of_an_enhanced_object(
    storage: str, tmp_path: Path
) -> None:
    datasets = phantoms.slices(phantoms.STORAGES[storage])
    order = np.random.default_rng(2).permutation(len(datasets))
    series = phantoms.stored_enhanced(tmp_path, [datasets[index] for index in order])
    path = saved(encoded(series), tmp_path)
    uid = dcmread(series.paths[0]).SOPInstanceUID
    read = hd.seg.segread(path).get_pixels_by_source_frame(
        uid,
        range(1, len(datasets) + 1),
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    assert np.array_equal(read, np.stack([phantoms.truth(item) for item in series.datasets]))
    view = read_segmentation(path)
    for number, dataset in enumerate(series.datasets, 1):
        assert np.array_equal(view.labels_for(uid, number), phantoms.truth(dataset))
    assert dciodvfy_errors(path) == []


def test_a_frame_without_mask_reads_as_empty(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    view = read_segmentation(saved(encoded(series), tmp_path))
    assert not view.labels_for(series.datasets[0].SOPInstanceUID, None).any()
    assert view.labels_for("1.2.3", None).shape == phantoms.SHAPE[1:]


def test_positions_are_those_of_the_source_digit_by_digit(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in", phantoms.slices(phantoms.STORAGES["oblique"]))
    seg = dcmread(saved(encoded(series), tmp_path))
    positions = {d.SOPInstanceUID: str(d.ImagePositionPatient) for d in series.datasets}
    for groups in seg.PerFrameFunctionalGroupsSequence:
        (image,) = groups.DerivationImageSequence[0].SourceImageSequence
        (plane,) = groups.PlanePositionSequence
        assert str(plane.ImagePositionPatient) == positions[image.ReferencedSOPInstanceUID]
    (shared,) = seg.SharedFunctionalGroupsSequence
    (orientation,) = shared.PlaneOrientationSequence
    assert orientation.ImageOrientationPatient == series.datasets[0].ImageOrientationPatient
    assert seg.FrameOfReferenceUID == series.datasets[0].FrameOfReferenceUID


def test_a_slice_thickness_of_zero_is_taken_for_none(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in", phantoms.slices(SliceThickness=0))
    path = saved(encoded(series), tmp_path)
    (shared,) = dcmread(path).SharedFunctionalGroupsSequence
    assert shared.PixelMeasuresSequence[0].SliceThickness == phantoms.GAP
    assert dciodvfy_errors(path) == []


def test_segments_are_coded_with_their_side_and_their_model(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    seg = dcmread(saved(encoded(series), tmp_path))
    box, ball = seg.SegmentSequence
    (structure,) = box.SegmentedPropertyTypeCodeSequence
    assert (structure.CodeValue, structure.CodingSchemeDesignator) == ("5366008", "SCT")
    (side,) = structure.SegmentedPropertyTypeModifierCodeSequence
    assert (side.CodeValue, side.CodeMeaning) == ("7771000", "Left")
    assert box.SegmentLabel == "Hippocampus, left"
    assert box.TrackingUID == BOX.tracking_uid
    assert box.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = box.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("brain-mr", "1.0.0")
    midline = ball.SegmentedPropertyTypeCodeSequence[0]
    assert "SegmentedPropertyTypeModifierCodeSequence" not in midline


def test_what_was_written_is_what_is_read_back(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    box, ball = read_segmentation(saved(encoded(series), tmp_path)).segments
    assert (box.structure, box.category, box.side) == (BOX.structure, BOX.category, Side.LEFT)
    assert (box.tracking_uid, box.color) == (BOX.tracking_uid, BOX.color)
    assert (ball.number, ball.side) == (2, None)


def test_the_object_is_binary_and_native_and_has_no_empty_frames(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    seg = dcmread(saved(encoded(series), tmp_path))
    labels = phantoms.volume_labels(series.volume)
    wanted = sum(bool((plane == number).any()) for plane in labels for number in (1, 2))
    assert seg.SOPClassUID == SegmentationStorage
    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (seg.SegmentationType, seg.BitsAllocated) == ("BINARY", 1)
    assert seg.NumberOfFrames == wanted < 2 * phantoms.SHAPE[0]


def test_what_is_derived_from_lossy_images_says_so(tmp_path: Path) -> None:
    datasets = phantoms.slices(
        LossyImageCompression="01",
        LossyImageCompressionRatio="12.5",
        LossyImageCompressionMethod="ISO_15444_1",
    )
    path = saved(encoded(phantoms.stored(tmp_path / "in", datasets)), tmp_path)
    seg = dcmread(path)
    assert (seg.LossyImageCompression, seg.LossyImageCompressionRatio) == ("01", 12.5)
    assert dciodvfy_errors(path) == []


def test_all_source_images_are_referenced(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    seg = dcmread(saved(encoded(series), tmp_path))
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == series.volume.series_instance_uid
    uids = {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence}
    assert uids == {dataset.SOPInstanceUID for dataset in series.datasets}
    assert {item.ReferencedSOPClassUID for item in referenced.ReferencedInstanceSequence} == {
        series.datasets[0].SOPClassUID
    }


def test_a_structure_that_was_not_found_leaves_no_gap_in_the_numbers(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    labels = phantoms.volume_labels(series.volume)
    labels[labels == 2] = 9
    missing = phantoms.segment(4, "Pallidum", phantoms.HIPPOCAMPUS, Side.RIGHT)
    far = phantoms.segment(9, "Brain stem", phantoms.BRAIN_STEM, None)
    path = saved(encoded(series, segments=(missing, far, BOX), labels=labels), tmp_path)
    view = read_segmentation(path)
    assert [(item.number, item.name) for item in view.segments] == [
        (1, "Hippocampus, left"),
        (2, "Brain stem"),
    ]
    for dataset in series.datasets:
        labels = view.labels_for(dataset.SOPInstanceUID, None)
        assert np.array_equal(labels, phantoms.truth(dataset))
    assert dciodvfy_errors(path) == []


def test_a_single_segment_on_a_single_slice_is_encoded(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    labels = np.zeros(phantoms.SHAPE, np.uint8)
    labels[5, 7, 3] = 2
    path = saved(encoded(series, segments=(BALL,), labels=labels), tmp_path)
    view = read_segmentation(path)
    frame = series.volume.frames[5]
    assert np.argwhere(view.labels_for(frame.sop_instance_uid, None)).tolist() == [[7, 3]]
    assert dciodvfy_errors(path) == []


def test_an_empty_label_map_gives_a_report_alone(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    output = phantoms.run_output(series.volume, labels=np.zeros(phantoms.SHAPE, np.uint8))
    items = encode(phantoms.context(), series.paths, series.volume, output)
    assert [item.kind for item in items] == ["sr"]


def test_a_label_that_no_segment_describes_is_refused(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    with pytest.raises(PermanentPipelineError, match=r"values \[2\]"):
        encoded(series, segments=(BOX,))


def test_a_label_map_of_another_shape_is_refused(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    with pytest.raises(PermanentPipelineError, match="label map"):
        encoded(series, labels=np.zeros((3, 3, 3), np.uint8))


def test_a_source_that_was_replaced_meanwhile_is_refused(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    series.paths[3].write_bytes(series.paths[4].read_bytes())
    with pytest.raises(BadInstance, match=r"0004\.dcm"):
        encoded(series)


def test_a_source_that_is_gone_is_refused(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    series.paths[3].unlink()
    with pytest.raises(BadInstance, match=r"0004\.dcm"):
        encoded(series)


def test_what_is_no_segmentation_cannot_be_read_as_one(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    with pytest.raises(BadInstance, match="Segmentation"):
        read_segmentation(series.paths[0])


def test_a_source_without_frame_of_reference_gets_one(tmp_path: Path) -> None:
    datasets = phantoms.slices()
    for dataset in datasets:
        del dataset.FrameOfReferenceUID
    series = phantoms.stored(tmp_path / "in", datasets)
    seg: Dataset = dcmread(saved(encoded(series), tmp_path))
    assert seg.FrameOfReferenceUID.startswith("2.25.")
