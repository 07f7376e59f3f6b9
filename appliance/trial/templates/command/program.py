"""Marks what is bright in an image. Put your program in its place.

    program.py INPUT OUTPUT SHARE

INPUT has image.nii.gz, OUTPUT gets labels.nii.gz on the same voxels. Where the exit code is not 0,
readers are told what was printed last.
"""

import sys
from pathlib import Path

import nibabel
import numpy as np

NOT_MADE_FOR_IT = 3  # `exits` says so


def main(given: Path, wanted: Path, share: float) -> int:
    """Write the label map and return the exit code."""
    image = nibabel.load(given / "image.nii.gz")
    values = np.asarray(image.dataobj)
    if values.min() == values.max():
        print("all voxels have the same value")
        return NOT_MADE_FOR_IT
    dark, bright = np.percentile(values, (1, 99))
    labels = (values > dark + share * (bright - dark)).astype(np.uint8)  # the numbers of `outputs`
    # The affine says where the voxels lie; without it nobody knows.
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), wanted / "labels.nii.gz")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
