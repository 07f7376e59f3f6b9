"""A pile of slices is one regular stack, or is refused with numbers."""

from pathlib import Path

import numpy as np
import pytest

from appliance.core.errors import BadInstance, InputRefused
from pipelines.series import read_volume
from tests.builders import CORONAL, SAGITTAL, mr_slices, set_pixels, write_all


def read(tmp_path: Path, datasets: list, **options: object):
    return read_volume(write_all(datasets, tmp_path), **options)


def test_slices_are_sorted_along_their_normal_whatever_the_order_of_the_files(
    tmp_path: Path,
) -> None:
    datasets = mr_slices(slices=5, gap=2.0, origin=(1.0, 2.0, 3.0), spacing=(0.5, 0.75))
    volume = read(tmp_path, datasets[::-1])
    assert [frame.sop_instance_uid for frame in volume.frames] == [
        dataset.SOPInstanceUID for dataset in datasets
    ]
    assert [frame.path_index for frame in volume.frames] == [4, 3, 2, 1, 0]
    assert volume.spacing == (2.0, 0.5, 0.75)
    np.testing.assert_allclose(volume.affine @ [0, 0, 0, 1], [1, 2, 3, 1])
    np.testing.assert_allclose(volume.affine @ [1, 2, 4, 1], [1 + 3.0, 2 + 1.0, 3 + 2.0, 1])
    np.testing.assert_array_equal(volume.array[3], datasets[3].pixel_array)


@pytest.mark.parametrize("orientation", [SAGITTAL, CORONAL])
def test_the_affine_says_where_each_voxel_is(tmp_path: Path, orientation: tuple) -> None:
    volume = read(tmp_path, mr_slices(slices=4, orientation=orientation, gap=3.0))
    np.testing.assert_allclose(volume.affine[:3, 2], orientation[:3])
    np.testing.assert_allclose(volume.affine[:3, 1], orientation[3:])
    normal = np.cross(orientation[:3], orientation[3:])
    np.testing.assert_allclose(volume.affine[:3, 0], 3.0 * normal)


def test_stored_values_are_rescaled_slice_by_slice(tmp_path: Path) -> None:
    datasets = mr_slices(slices=3)
    for slope, dataset in enumerate(datasets, 1):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, -10
    volume = read(tmp_path, datasets)
    np.testing.assert_array_equal(volume.array[2], datasets[2].pixel_array * 3.0 - 10)


def test_a_missing_slice_is_named_with_its_place(tmp_path: Path) -> None:
    datasets = mr_slices(slices=10, gap=1.5)
    del datasets[6]
    with pytest.raises(InputRefused) as refused:
        read(tmp_path, datasets)
    assert str(refused.value) == (
        "1 slice is missing, between slice 6 at 7.5 mm and slice 7 at 10.5 mm: "
        "the gap there is 3.00 mm, elsewhere 1.50 mm"
    )


def test_several_missing_slices_are_counted(tmp_path: Path) -> None:
    datasets = mr_slices(slices=20)
    del datasets[12:14], datasets[5]
    with pytest.raises(InputRefused, match=r"3 slices are missing, first between slice 5 at 4"):
        read(tmp_path, datasets)


def test_uneven_gaps_are_refused_with_their_range(tmp_path: Path) -> None:
    datasets = mr_slices(slices=8)
    datasets[7].ImagePositionPatient = [0, 0, 7.4]
    with pytest.raises(InputRefused, match=r"unevenly spaced: 1 of 7 gaps.*1\.00 to 1\.40 mm"):
        read(tmp_path, datasets)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path: Path) -> None:
    datasets = mr_slices(slices=8)
    for z, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [0, z * np.tan(np.radians(10.0)), z]
    with pytest.raises(InputRefused, match=r"sheared by 10\.0 degrees"):
        read(tmp_path, datasets)


def test_a_slice_beside_the_others_is_refused(tmp_path: Path) -> None:
    datasets = mr_slices(slices=8)
    datasets[3].ImagePositionPatient = [4, 0, 3]
    with pytest.raises(InputRefused, match=r"slice 4 lies 4\.0 mm beside the line"):
        read(tmp_path, datasets)


def test_several_orientations_are_refused_as_a_localiser(tmp_path: Path) -> None:
    uids = {
        "study_instance_uid": "1.2.2",
        "series_instance_uid": "1.2.3",
        "frame_of_reference_uid": "1.2.4",
    }
    datasets = mr_slices(slices=3, **uids) + mr_slices(slices=3, orientation=SAGITTAL, **uids)
    with pytest.raises(InputRefused, match=r"more than one orientation \(3 of 6 .*localiser"):
        read(tmp_path, datasets)


def test_different_matrices_are_refused(tmp_path: Path) -> None:
    datasets = mr_slices(slices=4)
    set_pixels(datasets[2], np.zeros((8, 16), dtype=np.uint16))
    with pytest.raises(InputRefused, match=r"matrix sizes: 16 x 16 \(3 slices\), 8 x 16 \(1"):
        read(tmp_path, datasets)


def test_different_pixel_spacings_are_refused(tmp_path: Path) -> None:
    datasets = mr_slices(slices=4)
    datasets[2].PixelSpacing = [1, 2]
    with pytest.raises(InputRefused, match="different pixel spacings"):
        read(tmp_path, datasets)


def test_images_at_one_place_are_refused(tmp_path: Path) -> None:
    datasets = mr_slices(slices=4)
    datasets[2].ImagePositionPatient = datasets[1].ImagePositionPatient
    with pytest.raises(InputRefused, match=r"1 of 4 images lie at the place of another one"):
        read(tmp_path, datasets)


def test_a_single_slice_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="one slice only"):
        read(tmp_path, mr_slices(slices=1))


def test_no_images_are_no_volume() -> None:
    with pytest.raises(InputRefused, match="no images"):
        read_volume([])


def test_images_of_two_series_are_refused(tmp_path: Path) -> None:
    datasets = mr_slices(slices=3) + mr_slices(slices=3, origin=(0.0, 0.0, 3.0))
    with pytest.raises(InputRefused, match="belong to 2 series"):
        read(tmp_path, datasets)


@pytest.mark.parametrize(
    ("keyword", "other", "what"),
    [("PatientID", "SOMEBODY-ELSE", "patients"), ("StudyInstanceUID", "1.2.3", "studies")],
)
def test_images_of_two_patients_or_studies_are_refused(
    tmp_path: Path, keyword: str, other: str, what: str
) -> None:
    datasets = mr_slices(slices=6)
    setattr(datasets[4], keyword, other)
    with pytest.raises(InputRefused, match=f"belong to 2 {what}") as refused:
        read(tmp_path, datasets)
    assert other not in str(refused.value)


def test_an_image_without_a_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"0001\.dcm: has no usable ImagePositionPatient"):
        read(tmp_path, mr_slices(slices=3, ImagePositionPatient=None))


def test_an_orientation_that_is_none_is_a_bad_instance(tmp_path: Path) -> None:
    with pytest.raises(BadInstance, match="not two perpendicular unit vectors"):
        read(tmp_path, mr_slices(slices=3, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]))


def test_a_volume_larger_than_allowed_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    datasets = mr_slices(slices=4)
    for dataset in datasets:
        dataset.PixelData = b"\0\0"  # decoding it would fail in another way
    with pytest.raises(InputRefused, match=r"needs 0\.0 GB as an array"):
        read(tmp_path, datasets, max_bytes=4 * 16 * 16 * 4 - 1)
