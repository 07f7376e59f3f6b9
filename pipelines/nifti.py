"""NIfTI: how programs that are not ours are given a volume, and what they say of its frame.

A file has the axes (column, row, slice), as ITK writes a DICOM series, and an affine to RAS mm:
x to the patient's right, y to the front, z to the head. Values are 32-bit floats in rescaled
units. There is no attribute of the patient or of the series in it.
"""

from pathlib import Path

import nibabel
import numpy as np

from pipelines.volume import Float64, Volume

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def write(volume: Volume, path: Path) -> None:
    """Write the volume to `path`, uncompressed if that ends with .nii."""
    image = nibabel.Nifti1Image(volume.array.T, other_frame(volume.affine[:, [2, 1, 0, 3]]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def other_frame(affine: Float64) -> Float64:
    """Return an affine to LPS as one to RAS, and one to RAS as one to LPS."""
    return _FLIP @ affine
