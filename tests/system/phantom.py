"""A study whose one bright block is known to the voxel."""

from pathlib import Path

import numpy as np
from pydicom import dcmread

from tests.builders import mr_series

BLOCK = (slice(3, 6), slice(4, 8), slice(20, 25))  # slices, rows, columns; 1 mm voxels
BLOCK_ML = 0.060


def phantom_series(folder: Path, **attributes: object) -> list[Path]:
    """Write an MR series of 10 slices of 24 × 32 with a bright block off the centre."""
    pixels = np.full((10, 24, 32), 20, np.uint16)
    pixels[BLOCK] = 900
    return mr_series(folder, pixels=pixels, **attributes)


def study_of(paths: list[Path]) -> str:
    """Return the Study Instance UID of the first file."""
    return str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
