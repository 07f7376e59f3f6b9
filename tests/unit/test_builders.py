"""The synthetic series are what they say."""

from pathlib import Path

import numpy as np
from pydicom import dcmread

from tests.builders import SAGITTAL, ct_slices, mr_series, mr_slices


def test_a_series_is_written_with_one_geometry_and_advancing_positions(tmp_path: Path) -> None:
    paths = mr_series(
        tmp_path, slices=3, rows=4, columns=5, gap=1.5, orientation=SAGITTAL, PatientID="7"
    )

    read = [dcmread(path) for path in paths]
    assert [d.ImagePositionPatient[0] for d in read] == [0, -1.5, -3.0]
    assert len({d.SOPInstanceUID for d in read}) == 3
    assert len({d.SeriesInstanceUID for d in read}) == 1
    assert {(d.Rows, d.Columns, d.PatientID) for d in read} == {(4, 5, "7")}


def test_given_pixels_come_back_as_they_were() -> None:
    voxels = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4)

    slices = ct_slices(pixels=voxels)

    assert np.array_equal([d.pixel_array for d in slices], voxels)


def test_none_removes_an_element() -> None:
    assert "BodyPartExamined" not in mr_slices(slices=1, BodyPartExamined=None)[0]
