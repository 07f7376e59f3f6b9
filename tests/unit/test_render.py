import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
    generate_uid,
)

from appliance.core.errors import BadInstance
from pipelines.render import (
    Window,
    edge_letters,
    frame_geometry,
    overlay_png,
    render_frame,
)


def write(path: Path, frames: np.ndarray, **attributes: object) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    if frames.ndim == 3:
        dataset.NumberOfFrames = len(frames)
    dataset.Rows, dataset.Columns = frames.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(frames.dtype == np.int16)
    dataset.PixelData = frames.tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16)


def test_the_objects_own_window_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP, WindowCenter="128", WindowWidth="256")
    assert np.array_equal(decoded(render_frame(path)), RAMP)


def test_a_given_window_wins_over_the_objects_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP, WindowCenter="128", WindowWidth="256")
    image = decoded(render_frame(path, 1, Window(center=50.5, width=101)))
    assert image[0, 0] == 0
    assert image.flat[50] == 128
    assert image.flat[100] == 255
    assert image.flat[255] == 255


def test_without_a_window_the_outermost_half_per_cent_is_clipped(tmp_path: Path) -> None:
    values = np.concatenate([np.arange(1998), [30000, 30000]]).astype(np.uint16).reshape(40, 50)
    image = decoded(render_frame(write(tmp_path / "a.dcm", values)))
    assert int(image.flat[1000]) == pytest.approx(128, abs=3)
    assert image.flat[1999] == 255


def test_padding_does_not_darken_the_image(tmp_path: Path) -> None:
    values = np.full((20, 20), -2000, np.int16)
    values[5:15, 5:15] = np.arange(100).reshape(10, 10)
    image = decoded(render_frame(write(tmp_path / "a.dcm", values, PixelPaddingValue=-2000)))
    assert int(image[10, 5]) == pytest.approx(128, abs=3)
    assert image[0, 0] == 0


def test_monochrome1_is_shown_as_it_is_meant(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm",
        RAMP,
        WindowCenter="128",
        WindowWidth="256",
        PhotometricInterpretation="MONOCHROME1",
    )
    assert np.array_equal(decoded(render_frame(path)), 255 - RAMP)


def test_rescaled_units_are_windowed_not_stored_ones(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm",
        RAMP,
        RescaleSlope="2",
        RescaleIntercept="-100",
        WindowCenter="100",
        WindowWidth="101",
    )
    # LINEAR is centred half a unit below its centre.
    assert decoded(render_frame(path)).flat[100] == 129


def test_values_behind_a_modality_lut_are_windowed_behind_it(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [256, 0, 16], "US"
    table.LUTData = (1000 + 2 * np.arange(256, dtype="<u2")[::-1]).tobytes()
    lut = {"ModalityLUTSequence": Sequence([table]), "WindowCenter": "1256", "WindowWidth": "512"}
    image = decoded(render_frame(write(tmp_path / "a.dcm", RAMP, **lut)))
    assert (image[0, 0], image[-1, -1]) == (255, 0)


def test_a_sigmoid_is_half_way_at_its_centre(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm",
        RAMP,
        WindowCenter="100",
        WindowWidth="50",
        VOILUTFunction="SIGMOID",
    )
    image = decoded(render_frame(path))
    assert image.flat[100] == 128
    assert 0 < image.flat[50] < 10


def functional_groups(**groups: dict[str, object]) -> Dataset:
    item = Dataset()
    for name, values in groups.items():
        inner = Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        setattr(item, name, Sequence([inner]))
    return item


def test_a_frame_of_an_enhanced_object_has_its_own_window_and_spacing(tmp_path: Path) -> None:
    shared = functional_groups(
        PixelMeasuresSequence={"PixelSpacing": [2, 1]},
        PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    )
    windows = [
        functional_groups(FrameVOILUTSequence={"WindowCenter": "128", "WindowWidth": "256"}),
        functional_groups(FrameVOILUTSequence={"WindowCenter": "356", "WindowWidth": "256"}),
    ]
    path = write(
        tmp_path / "a.dcm",
        np.stack([RAMP, RAMP + 228]).astype(np.uint16),
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(windows),
    )
    assert np.array_equal(decoded(render_frame(path, 1)), RAMP)
    assert np.array_equal(decoded(render_frame(path, 2)), RAMP)
    geometry = frame_geometry(path, 2)
    assert (geometry.width, geometry.height) == (16, 32)
    assert geometry.letters == ("R", "L", "A", "P")
    assert geometry.window == Window(center=356, width=256)


def test_non_square_pixels_are_told_by_width_and_height(tmp_path: Path) -> None:
    frame = np.zeros((10, 30), np.uint16)
    geometry = frame_geometry(write(tmp_path / "a.dcm", frame, PixelSpacing=[1.5, 0.5]))
    assert (geometry.rows, geometry.columns) == (10, 30)
    assert (geometry.width, geometry.height) == (30, 30)


def test_a_projection_takes_its_letters_from_patient_orientation(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP, PatientOrientation=["L", "F"])
    assert frame_geometry(path).letters == ("R", "L", "H", "F")


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        ((1, 0, 0, 0, 1, 0), ("R", "L", "A", "P")),
        ((0, 1, 0, 0, 0, -1), ("A", "P", "H", "F")),
        ((1, 0, 0, 0, 0, -1), ("R", "L", "H", "F")),
        ((-1, 0, 0, 0, 1, 0), ("L", "R", "A", "P")),
        ((1, 0, 0, 0, -1, 0), ("R", "L", "P", "A")),
        ((0.8, 0.6, 0, 0, 0, -1), ("RA", "LP", "H", "F")),
        ((0.995, 0.0998, 0, 0, 0, -1), ("R", "L", "H", "F")),
        ((0.5, 0.7071, 0.5, 0, 0, -1), ("ARF", "PLH", "H", "F")),
        ((), ("", "", "", "")),
    ],
)
def test_edge_letters_name_where_each_edge_lies(
    orientation: tuple[float, ...], letters: tuple[str, str, str, str]
) -> None:
    assert edge_letters(orientation) == letters


def test_an_overlay_colours_each_label_and_leaves_the_rest_clear() -> None:
    labels = np.zeros((4, 5), np.uint8)
    labels[1, 2] = 1
    labels[3, 4] = 7
    labels[0, 0] = 9
    image = decoded(overlay_png(labels, {1: (255, 0, 0), 7: (0, 128, 255)}, 0.5))
    assert image.shape == (4, 5, 4)
    assert tuple(image[1, 2]) == (255, 0, 0, 128)
    assert tuple(image[3, 4]) == (0, 128, 255, 128)
    assert image[0, 0, 3] == 0
    assert np.count_nonzero(image[..., 3]) == 2


def test_an_outline_keeps_the_edge_of_each_segment_only() -> None:
    labels = np.zeros((7, 7), np.uint8)
    labels[1:6, 1:4] = 1
    labels[1:6, 4:6] = 2
    alpha = decoded(overlay_png(labels, {1: (1, 2, 3), 2: (4, 5, 6)}, 0.3, outline=True))[..., 3]
    assert alpha[3, 2] == 0  # inside of 1
    assert alpha[3, 3] == alpha[3, 4] == 255  # where 1 meets 2
    assert alpha[3, 1] == alpha[1, 2] == 255
    assert not alpha[labels == 0].any()


def test_an_image_edge_closes_the_outline() -> None:
    labels = np.ones((5, 5), np.uint8)
    alpha = decoded(overlay_png(labels, {1: (1, 2, 3)}, 1.0, outline=True))[..., 3]
    assert np.count_nonzero(alpha) == 16


def test_what_is_no_dicom_file_is_a_bad_instance(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_text("hello")
    with pytest.raises(BadInstance, match=r"a\.dcm cannot be read"):
        render_frame(path)


def compressed(path: Path, frames: np.ndarray) -> Path:
    dataset = dcmread(write(path, frames, WindowCenter="128", WindowWidth="256"))
    dataset.compress(JPEGLSLossless)
    dataset.save_as(path)
    return path


def test_each_frame_of_a_compressed_object_is_found(tmp_path: Path) -> None:
    frames = np.stack([RAMP, RAMP[::-1], RAMP.T]).astype(np.uint16)
    path = compressed(tmp_path / "a.dcm", frames)
    for number, frame in enumerate(frames, 1):
        assert np.array_equal(decoded(render_frame(path, number)), frame)


def test_a_codestream_larger_than_its_header_is_not_decoded(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.dcm", RAMP)
    dataset = dcmread(path)
    dataset.Rows = dataset.Columns = 8
    dataset.save_as(path)
    with pytest.raises(BadInstance, match="compressed pixel data is"):
        render_frame(path)


@pytest.mark.parametrize(("bits", "scale"), [(8, 1), (12, 16), (16, 256)])
def test_color_is_shown_as_it_is(bits: int, scale: int, tmp_path: Path) -> None:
    colors = np.zeros((4, 4, 3), np.uint8 if bits == 8 else np.uint16)
    colors[1, 2] = np.array([10, 20, 200]) * scale
    path = write(
        tmp_path / "a.dcm",
        colors[..., 0],
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
        BitsAllocated=8 if bits == 8 else 16,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelData=colors.tobytes(),
    )
    image = decoded(render_frame(path))
    assert image.shape == (4, 4, 3)
    assert image[1, 2].tolist() == [10, 20, 200]


def test_a_frame_that_the_object_does_not_have_is_a_bad_instance(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP)
    with pytest.raises(BadInstance, match="no frame 5"):
        render_frame(path, 5)


def test_pixel_data_shorter_than_its_header_is_a_bad_instance(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP)
    dataset = dcmread(path)
    dataset.Rows = 60000
    dataset.Columns = 60000
    dataset.save_as(path)
    with pytest.raises(BadInstance, match="frame 1"):
        render_frame(path)
