"""A program's NIfTI label map → labels on the voxels of the input that it is about.

It lies where its affine says, whatever its axes: nothing is told by the order of voxels. What does
not say where it lies, says it twice, or lies elsewhere, is refused.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError

from appliance.core.errors import PermanentPipelineError
from pipelines.nifti import other_frame
from pipelines.outputs import Output
from pipelines.resample import Grid, nearest
from pipelines.volume import Float64, Labels, Volume

MAX_VOXELS = 1 << 28
_SUFFIXES = (".nii", ".nii.gz")
_TOLERANCE = 0.1  # of the smallest voxel edge: so far may sform and qform lie apart
_LEAST_ON_INPUT = 0.5  # of what is marked, by volume; small things lose some on larger voxels
_UNREADABLE = (
    EOFError,
    HeaderDataError,
    ImageDataError,
    ImageFileError,
    MemoryError,
    OSError,
    OverflowError,
    TypeError,
    ValueError,
    zlib.error,
)


def read_labels(path: Path, volume: Volume, outputs: tuple[Output, ...]) -> Labels:
    """Return the file's labels on the voxels of `volume`.

    Raises PermanentPipelineError where it is no label map of these outputs on that volume.
    """
    try:
        image = _open(path)
        labels = _whole_numbers(np.asanyarray(image.dataobj))
    except _UNREADABLE as error:
        raise PermanentPipelineError(f"its label map cannot be read: {error}") from None
    declared = {0, *(output.label for output in outputs)}
    strange = sorted(set(np.unique(labels).tolist()) - declared)
    if strange:
        raise PermanentPipelineError(
            f"its label map has the values {strange[:5]}, which are not among outputs"
        )
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    there = Grid(shape=shape, affine=other_frame(_affine(image)))
    rows, columns = volume.array.shape[1:]
    here = Grid(shape=(volume.array.shape[0], rows, columns), affine=volume.affine)
    found = nearest(labels, there, here)
    for problem in _lost(labels, there, found, here):
        raise PermanentPipelineError(problem)
    return found


def _open(path: Path) -> nibabel.Nifti1Image:
    """Return the image, its voxels not yet read. Raises ValueError beside nibabel's own."""
    if not path.name.endswith(_SUFFIXES):
        raise ValueError(f"its name ends in none of {', '.join(_SUFFIXES)}")
    image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Image):
        raise ValueError("it is no NIfTI file")
    shape = image.shape
    if len(shape) < 3 or any(size != 1 for size in shape[3:]) or min(shape) < 1:
        raise ValueError(f"it has the shape {shape}, not three axes")
    if int(np.prod(shape, dtype=np.float64)) > MAX_VOXELS:
        raise ValueError(f"it has {shape} voxels, more than {MAX_VOXELS}")
    return image


def _whole_numbers(values: npt.NDArray[np.generic]) -> Labels:
    if values.dtype.kind not in "biuf":
        raise ValueError(f"its voxels are {values.dtype}, not numbers")
    numbers = values.reshape(values.shape[:3])
    with np.errstate(invalid="ignore"):
        labels = numbers.astype(np.uint8)
    if not np.array_equal(labels, numbers):
        raise ValueError("its voxels are not whole numbers from 0 to 255")
    return labels


def _affine(image: nibabel.Nifti1Image) -> Float64:
    """Return the affine of voxel indices to RAS mm. Raises PermanentPipelineError."""
    ways = [form for form in (image.get_sform(coded=True), image.get_qform(coded=True)) if form[1]]
    if not ways:
        raise PermanentPipelineError(
            "its label map does not say where it lies: sform_code and qform_code are both 0"
        )
    affines = [np.asarray(affine, dtype=np.float64) for affine, _ in ways]
    affine = affines[0]
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise PermanentPipelineError("its label map does not say where it lies: its affine is void")
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)], dtype=np.float64)
    corners[:, :3] *= np.array(image.shape[:3])
    apart = max(float(np.abs((other - affine) @ corners.T).max()) for other in affines)
    if apart > _TOLERANCE * edges.min():
        raise PermanentPipelineError(
            f"its label map says two places where it lies: sform and qform are {apart:.1f} mm apart"
        )
    return affine


def _lost(labels: Labels, there: Grid, found: Labels, here: Grid) -> Iterator[str]:
    """Yield what of the label map does not lie on the input's voxels."""
    before, after = (np.bincount(array.ravel(), minlength=256)[1:] for array in (labels, found))
    for label in np.flatnonzero((before > 0) & (after == 0)) + 1:
        yield (
            f"its label map marks {before[label - 1]} voxels with {label}, and none of them lies "
            "on a voxel of the input"
        )
    volumes = [
        float(counts.sum()) * abs(float(np.linalg.det(grid.affine[:3, :3])))
        for counts, grid in ((before, there), (after, here))
    ]
    if volumes[1] < _LEAST_ON_INPUT * volumes[0]:
        yield (
            f"its label map marks {volumes[0] / 1000:.2f} mL, of which {volumes[1] / 1000:.2f} mL "
            "lie on the input: it lies elsewhere"
        )
