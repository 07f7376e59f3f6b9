"""Files of one series become a volume: classic, enhanced, compressed, broken."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from appliance.core.errors import BadInstance, InputRefused
from pipelines.decode import decode_frames
from pipelines.series import read_volume
from tests.builders import ct_series, ct_slices, mr_series, mr_slices, set_pixels, write, write_all
from tests.reformat import LEG, Storage, cropped, head_paths, restored

MR_SMALL = {  # 64 x 64, shipped with pydicom
    "plain": get_testdata_file("MR_small.dcm", download=False),
    JPEGLSLossless: get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False),
    JPEG2000Lossless: get_testdata_file("MR_small_jp2klossless.dcm", download=False),
}


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small part of the head MR."""
    box = (slice(60, 90), slice(60, 70), slice(80, 110))
    return cropped(head_paths(), tmp_path_factory.mktemp("part"), box)


def test_the_head_mr_is_read_as_it_was_acquired() -> None:
    told: list[float] = []
    volume = read_volume(head_paths(), progress=told.append)
    assert volume.array.shape == (170, 256, 256)
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.spacing, (1.0, 1.0, 1.0), atol=1e-5)
    assert volume.extent_mm == pytest.approx((170, 256, 256), abs=0.01)
    assert volume.voxel_ml == pytest.approx(0.001, rel=1e-3)
    assert volume.modality == "MR"
    assert volume.frames[0].frame_number is None
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_attributes_are_those_that_all_images_share() -> None:
    attributes = read_volume(head_paths()[:10]).attributes
    assert attributes["BodyPartExamined"] == ("BRAIN",)
    assert attributes["EchoTime"] == (2.93,)
    assert attributes["ContrastBolusAgent"] == ()
    assert attributes["PatientAge"] == ("041Y",)
    assert "SOPInstanceUID" not in attributes
    assert not {"PatientName", "PatientID", "PatientBirthDate"} & attributes.keys()


def test_what_all_frames_of_an_enhanced_object_share_is_an_attribute(
    part: list[Path], tmp_path: Path
) -> None:
    """Scanners write the echo time frame by frame also where all frames have the same one."""
    [path] = restored(part, tmp_path, Storage.ENHANCED)
    dataset = dcmread(path)
    del dataset.SharedFunctionalGroupsSequence[0].MREchoSequence
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        echo = Dataset()
        echo.EffectiveEchoTime = 110.0
        groups.MREchoSequence = [echo]
    attributes = read_volume([write(dataset, tmp_path / "echo.dcm")]).attributes
    assert attributes["EffectiveEchoTime"] == (110.0,)
    assert {"DimensionIndexValues", "InStackPositionNumber"} & {
        element.keyword for element in groups.FrameContentSequence[0]
    }
    differ = {"DimensionIndexValues", "InStackPositionNumber", "ImagePositionPatient"}
    assert not differ & attributes.keys()


def test_an_age_that_is_not_written_is_told_by_the_birth_date(tmp_path: Path) -> None:
    """A child is no adult because its scanner leaves Patient's Age out."""
    dates = {"PatientAge": None, "PatientBirthDate": "20091104", "StudyDate": "20251103"}
    attributes = read_volume(mr_series(tmp_path / "child", **dates)).attributes
    assert attributes["PatientAge"] == ("015Y",)
    assert "PatientBirthDate" not in attributes
    dates["StudyDate"] = "20251104"
    assert read_volume(mr_series(tmp_path / "later", **dates)).attributes["PatientAge"] == ("016Y",)


@pytest.mark.parametrize("birth", ["", "00010101", "20300101", "19810229"])
def test_a_birth_date_that_cannot_be_tells_no_age(tmp_path: Path, birth: str) -> None:
    volume = read_volume(mr_series(tmp_path, PatientAge=None, PatientBirthDate=birth))
    assert "PatientAge" not in volume.attributes


def test_a_contrast_agent_that_is_coded_only_is_named(tmp_path: Path) -> None:
    agent = Dataset()
    agent.CodeValue, agent.CodingSchemeDesignator = "386961009", "SCT"
    agent.CodeMeaning = "Gadobutrol"
    paths = mr_series(tmp_path, ContrastBolusAgent="", ContrastBolusAgentSequence=[agent])
    assert read_volume(paths).attributes["ContrastBolusAgent"] == ("Gadobutrol",)


def test_values_behind_a_modality_lut_are_refused_rather_than_taken_raw(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "HU"
    table.LUTData = bytes(8192)
    paths = ct_series(
        tmp_path, RescaleSlope=None, RescaleIntercept=None, ModalityLUTSequence=[table]
    )
    with pytest.raises(InputRefused, match="Modality LUT"):
        read_volume(paths)


def test_values_that_are_not_in_the_lower_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="12 bits up to bit 15"):
        read_volume(mr_series(tmp_path, BitsStored=12, HighBit=15))


@pytest.mark.parametrize("slope", ["0", "inf", "nan"])
def test_a_rescale_slope_that_makes_no_number_is_a_bad_instance(tmp_path: Path, slope: str) -> None:
    paths = mr_series(tmp_path, RescaleSlope="1.0", RescaleIntercept="0")
    for path in paths:
        written = b"\x28\x00\x53\x10DS\x04\x001.0 "
        content = path.read_bytes()
        assert written in content
        path.write_bytes(content.replace(written, written[:-4] + slope.ljust(4).encode()))
    with pytest.raises(BadInstance, match="RescaleSlope"):
        read_volume(paths)


def test_a_rescale_that_stands_above_the_frames_groups_is_applied(
    part: list[Path], tmp_path: Path
) -> None:
    """Multi-frame objects that are not enhanced ones keep it there (PS3.3 A.8.3)."""
    [path] = restored(part, tmp_path, Storage.ENHANCED)
    before = read_volume([path]).array
    dataset = dcmread(path)
    for groups in (
        *dataset.SharedFunctionalGroupsSequence,
        *dataset.PerFrameFunctionalGroupsSequence,
    ):
        if "PixelValueTransformationSequence" in groups:
            del groups.PixelValueTransformationSequence
    plain = read_volume([write(dataset, tmp_path / "plain.dcm")]).array
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -7
    found = read_volume([write(dataset, tmp_path / "rescaled.dcm")]).array
    np.testing.assert_array_equal(found, 2 * plain - 7)
    assert before.shape == found.shape


def test_a_number_that_is_none_is_as_good_as_absent(tmp_path: Path) -> None:
    paths = mr_series(tmp_path, B1rms=float("nan"), DiffusionBValue=float("inf"))
    assert not {"B1rms", "DiffusionBValue"} & read_volume(paths).attributes.keys()


def test_an_enhanced_object_gives_the_same_volume_with_frame_numbers(
    part: list[Path], tmp_path: Path
) -> None:
    axial = read_volume(restored(part, tmp_path / "axial", Storage.AXIAL))
    enhanced = read_volume(restored(part, tmp_path / "enhanced", Storage.ENHANCED))
    np.testing.assert_array_equal(enhanced.array, axial.array)
    np.testing.assert_allclose(enhanced.affine, axial.affine)
    assert [frame.frame_number for frame in enhanced.frames] == list(range(1, 11))
    assert len({frame.sop_instance_uid for frame in enhanced.frames}) == 1
    for keyword in ("FlipAngle", "RepetitionTime", "AcquisitionContrast"):
        assert enhanced.attributes[keyword]


def test_frames_of_an_enhanced_object_are_put_in_order(part: list[Path], tmp_path: Path) -> None:
    [path] = restored(part, tmp_path, Storage.ENHANCED)
    straight = read_volume([path])
    dataset = dcmread(path)
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    dataset.PerFrameFunctionalGroupsSequence = frames[::-1]
    dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[::-1]).tobytes()
    turned = read_volume([write(dataset, tmp_path / "turned.dcm")])
    np.testing.assert_array_equal(turned.array, straight.array)
    assert turned.frames[0].frame_number == 10


@pytest.mark.parametrize(
    ("keyword", "what"), [("StackID", "stacks"), ("TemporalPositionIndex", "time points")]
)
def test_an_enhanced_object_with_several_stacks_or_times_is_refused(
    part: list[Path], tmp_path: Path, keyword: str, what: str
) -> None:
    [path] = restored(part, tmp_path, Storage.ENHANCED)
    dataset = dcmread(path)
    for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        value = 1 + number % 2
        setattr(group.FrameContentSequence[0], keyword, str(value) if "ID" in keyword else value)
    with pytest.raises(InputRefused, match=f"holds 2 {what}"):
        read_volume([write(dataset, tmp_path / "two.dcm")])


def test_a_multi_frame_object_that_does_not_say_where_its_frames_lie_is_refused(
    tmp_path: Path,
) -> None:
    [dataset] = mr_slices(slices=1)
    dataset.NumberOfFrames = 3
    dataset.PixelData = dataset.PixelData * 3
    with pytest.raises(InputRefused, match="3 frames but does not say where"):
        read_volume([write(dataset, tmp_path / "a.dcm")])


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_compressed_series_decode_to_the_same_values(tmp_path: Path, syntax: str) -> None:
    noise = np.random.default_rng(1).integers(0, 4000, (4, 40, 30), dtype=np.uint16)
    datasets = ct_slices(pixels=noise)
    plain = read_volume(write_all(datasets, tmp_path / "plain"))
    for dataset in datasets:
        dataset.compress(syntax, generate_instance_uid=False)
    packed = read_volume(write_all(datasets, tmp_path / "packed"))
    np.testing.assert_array_equal(packed.array, plain.array)
    np.testing.assert_array_equal(plain.array, noise.astype(np.float32) - 1024)


def test_jpeg_2000_decodes_to_the_same_values() -> None:
    packed, plain = (dcmread(MR_SMALL[syntax]) for syntax in (JPEG2000Lossless, "plain"))
    [frame] = decode_frames(packed, "packed")
    np.testing.assert_array_equal(frame, plain.pixel_array)


def test_signed_values_stay_signed(tmp_path: Path) -> None:
    pixels = np.arange(-600, -600 + 3 * 64, dtype=np.int16).reshape(3, 8, 8)
    volume = read_volume(write_all(ct_slices(pixels=pixels, RescaleIntercept=0), tmp_path))
    assert volume.array.min() == -600


def test_oddly_written_headers_are_read_without_a_warning() -> None:
    volume = read_volume(sorted(LEG.iterdir()))
    assert volume.array.shape == (25, 55, 75)
    assert volume.spacing[0] == pytest.approx(3.27, abs=0.01)


def broken(tmp_path: Path, change: object) -> list[Path]:
    datasets = mr_slices(slices=3)
    change(datasets[1])  # type: ignore[operator]
    return write_all(datasets, tmp_path)


def test_a_file_that_is_no_dicom_is_a_bad_instance(tmp_path: Path) -> None:
    paths = write_all(mr_slices(slices=3), tmp_path)
    paths[1].write_text("this is text\n")
    with pytest.raises(BadInstance, match=r"0002\.dcm: cannot be read as DICOM"):
        read_volume(paths)


def test_a_file_that_is_gone_is_a_bad_instance(tmp_path: Path) -> None:
    paths = write_all(mr_slices(slices=3), tmp_path)
    paths[2].unlink()
    with pytest.raises(BadInstance, match=r"0003\.dcm"):
        read_volume(paths)


def test_pixel_data_shorter_than_the_header_says_is_a_bad_instance(tmp_path: Path) -> None:
    def shorten(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData[:-64]

    with pytest.raises(BadInstance, match=r"0002\.dcm: its pixel data cannot be decoded"):
        read_volume(broken(tmp_path, shorten))


def test_missing_pixel_data_is_a_bad_instance(tmp_path: Path) -> None:
    def remove(dataset: Dataset) -> None:
        del dataset.PixelData

    with pytest.raises(BadInstance, match=r"0002\.dcm: its pixel data cannot be decoded"):
        read_volume(broken(tmp_path, remove))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_a_codestream_larger_than_its_header_is_not_decoded(tmp_path: Path, syntax: str) -> None:
    def inflate(dataset: Dataset) -> None:
        large = dcmread(MR_SMALL[syntax])
        dataset.PixelData = large.PixelData
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax

    with pytest.raises(BadInstance, match=r"compressed pixel data is \(64, 64\), the header"):
        read_volume(broken(tmp_path, inflate))


def test_a_truncated_codestream_is_a_bad_instance(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 4000, (1, 64, 64), dtype=np.uint16)

    def shorten(dataset: Dataset) -> None:
        set_pixels(dataset, noise[0])
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        half = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]
        dataset.PixelData = half

    datasets = mr_slices(slices=3, rows=64, columns=64)
    shorten(datasets[1])
    paths = write_all([datasets[0], datasets[2]], tmp_path)
    cut = write(datasets[1], tmp_path / "cut.dcm")
    with pytest.raises(BadInstance, match=r"cut\.dcm"):
        read_volume([paths[0], cut, paths[1]])


def test_colour_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="colour image"):
        read_volume(write_all(mr_slices(slices=3, SamplesPerPixel=3), tmp_path))


def test_an_instance_without_sop_instance_uid_is_a_bad_instance(tmp_path: Path) -> None:
    datasets = mr_slices(slices=3)
    paths = write_all(datasets, tmp_path)
    del datasets[1].SOPInstanceUID
    datasets[1].file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    datasets[1].preamble = b"\0" * 128
    datasets[1].save_as(paths[1], enforce_file_format=False)
    with pytest.raises(BadInstance, match=r"0002\.dcm: has no SOPInstanceUID"):
        read_volume(paths)
