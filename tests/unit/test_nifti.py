"""A volume in a NIfTI file lies where it lay in the series, told by the file's own header."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipelines import nifti
from tests.phantoms import STORAGES, labels_at, slices, stored


@pytest.mark.parametrize("storage", list(STORAGES))
def test_values_lie_where_they_lay(storage: str, tmp_path: Path) -> None:
    volume = stored(tmp_path / "series", slices(STORAGES[storage])).volume
    nifti.write(volume, tmp_path / "image.nii")
    image = nibabel.load(tmp_path / "image.nii")
    values = np.asarray(image.dataobj)
    assert values.shape == volume.array.shape[::-1]  # columns, rows, slices, as ITK has them
    assert image.header.get_xyzt_units()[0] == "mm"
    indices = np.moveaxis(np.indices(values.shape), 0, -1)
    right_anterior_superior = nibabel.affines.apply_affine(image.affine, indices)
    left_posterior_superior = right_anterior_superior * (-1, -1, 1)
    np.testing.assert_array_equal(values > 500, labels_at(left_posterior_superior) > 0)


def test_nothing_but_voxels_is_in_the_file(tmp_path: Path) -> None:
    nifti.write(stored(tmp_path / "series").volume, tmp_path / "image.nii")
    header = nibabel.load(tmp_path / "image.nii").header
    assert not header.extensions
    assert {
        bytes(header[key].item()) for key in ("descrip", "intent_name", "db_name", "aux_file")
    } == {b""}
