"""One radiograph as an array of one slice."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from appliance.core.errors import BadInstance, InputRefused
from pipelines.radiograph import read_image
from tests.builders import ct_slices, write

PIXELS = np.arange(12 * 10, dtype=np.uint16).reshape(1, 12, 10)


def radiograph(**attributes: object) -> Dataset:
    [dataset] = ct_slices(pixels=PIXELS)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(dataset, keyword)
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.Modality = "DX"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_it_has_its_spacing_and_no_place(tmp_path: Path) -> None:
    path = write(radiograph(ImagerPixelSpacing=[0.2, 0.1]), tmp_path / "1.dcm")
    image = read_image([path])
    np.testing.assert_array_equal(image.array, PIXELS)
    assert image.spacing == (1.0, 0.2, 0.1)
    assert image.frame_of_reference_uid is None
    np.testing.assert_allclose(image.affine @ [0, 3, 4, 1], [0.4, 0.6, 0, 1])
    assert image.frames[0].sop_instance_uid == dcmread(path).SOPInstanceUID


def test_values_grow_with_brightness(tmp_path: Path) -> None:
    inverted = radiograph(PhotometricInterpretation="MONOCHROME1", RescaleSlope=2)
    image = read_image([write(inverted, tmp_path / "1.dcm")])
    np.testing.assert_array_equal(image.array, 2.0 * (PIXELS.max() - PIXELS))


def test_several_images_are_refused(tmp_path: Path) -> None:
    path = write(radiograph(), tmp_path / "1.dcm")
    with pytest.raises(InputRefused, match="the series has 2 images; one radiograph is needed"):
        read_image([path, path])


def test_a_multi_frame_image_is_refused(tmp_path: Path) -> None:
    path = write(radiograph(NumberOfFrames=3), tmp_path / "1.dcm")
    with pytest.raises(InputRefused, match="has several frames"):
        read_image([path])


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    path = tmp_path / "1.dcm"
    path.write_bytes(b"no DICOM")
    with pytest.raises(BadInstance, match=r"1\.dcm: cannot be read as DICOM"):
        read_image([path])
