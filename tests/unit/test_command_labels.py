"""A program's NIfTI label map comes onto the voxels of its input, whatever its axes are."""

import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.core.errors import PermanentPipelineError
from pipelines import nifti
from pipelines.kinds.command.labels import read_labels
from pipelines.outputs import Output
from pipelines.volume import Volume
from tests import phantoms
from tests.commands import BRIGHT
from tests.phantoms import Stored

OUTPUTS = (
    Output.model_validate(BRIGHT),
    Output.model_validate(BRIGHT | {"label": 2, "name": "Ball"}),
)
Labels = NDArray[np.uint8]


def as_nifti(volume: Volume) -> nibabel.Nifti1Image:
    """Return the file that a program is given."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii"
        nifti.write(volume, path)
        return nibabel.Nifti1Image.from_bytes(path.read_bytes())


def world_of(image: nibabel.Nifti1Image) -> NDArray[np.float64]:
    """Return the LPS point of each voxel, by NIfTI's own definition of its axes."""
    indices = np.moveaxis(np.indices(image.shape), 0, -1)
    ras = indices @ image.affine[:3, :3].T + image.affine[:3, 3]
    return np.asarray(ras * [-1.0, -1.0, 1.0])


def labelled(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    """Return the phantom's labels on the voxels of `image`, from nothing but where they lie."""
    return nibabel.Nifti1Image(phantoms.labels_at(world_of(image)), image.affine)


def saved(image: nibabel.Nifti1Image, folder: Path, name: str = "labels.nii.gz") -> Path:
    path = folder / name
    nibabel.save(image, path)
    return path


@pytest.fixture(params=list(phantoms.STORAGES))
def series(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    datasets = phantoms.slices(phantoms.STORAGES[request.param])
    return phantoms.stored(tmp_path / "in", datasets[::-1])


def test_an_input_as_nifti_lies_where_the_series_lies(series: Stored) -> None:
    image = as_nifti(series.volume)
    assert image.get_sform(coded=True)[1] > 0
    bright = np.asarray(image.dataobj) > 500
    assert np.array_equal(bright, phantoms.labels_at(world_of(image)) > 0)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "PIL"])
def test_labels_in_any_order_of_axes_mark_the_same_voxels(
    codes: str, series: Stored, tmp_path: Path
) -> None:
    image = labelled(as_nifti(series.volume))
    turned = image.as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.io_orientation(image.affine),
            nibabel.orientations.axcodes2ornt(tuple(codes)),
        )
    )
    found = read_labels(saved(turned, tmp_path), series.volume, OUTPUTS)
    assert np.array_equal(found, phantoms.volume_labels(series.volume))


def test_labels_on_another_grid_come_onto_the_nearest_voxels(
    series: Stored, tmp_path: Path
) -> None:
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = -15.0  # RAS mm; a grid that knows nothing of the series
    fine = nibabel.Nifti1Image(np.zeros((60, 60, 60), np.uint8), affine)
    found = read_labels(saved(labelled(fine), tmp_path), series.volume, OUTPUTS)
    truth = phantoms.volume_labels(series.volume)
    for label in (1, 2):
        both = np.count_nonzero((found == label) & (truth == label))
        total = np.count_nonzero(found == label) + np.count_nonzero(truth == label)
        assert 2 * both / total > 0.85


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
def test_whole_numbers_of_any_type_are_labels(dtype: type, tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    image = labelled(as_nifti(series.volume))
    typed = nibabel.Nifti1Image(np.asarray(image.dataobj).astype(dtype)[..., None], image.affine)
    found = read_labels(saved(typed, tmp_path), series.volume, OUTPUTS)
    assert np.array_equal(found, phantoms.volume_labels(series.volume))


def shifted(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    affine = image.affine.copy()
    affine[:3, 3] += 40.0
    return nibabel.Nifti1Image(np.asarray(image.dataobj), affine)


def half_outside(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[1:39, 1:39, 1:39] = 1
    affine = nifti.other_frame(np.eye(4))
    return nibabel.Nifti1Image(labels, affine)


def without_codes(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    return image


def torn(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    other = image.affine.copy()
    other[0, :] *= -1  # left for right
    image.set_sform(image.affine, code=1)
    image.set_qform(other, code=1)
    return image


def void(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    affine = image.affine.copy()
    affine[:3, 2] = 0
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    return image


def with_value(value: float) -> Callable[[nibabel.Nifti1Image], nibabel.Nifti1Image]:
    def change(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
        labels = np.asarray(image.dataobj).astype(np.float32)
        labels[0, 0, 0] = value
        return nibabel.Nifti1Image(labels, image.affine)

    return change


def flat(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(np.asarray(image.dataobj)[:, :, 0], image.affine)


def of_four(image: nibabel.Nifti1Image) -> nibabel.Nifti1Image:
    labels = np.asarray(image.dataobj)
    return nibabel.Nifti1Image(np.stack([labels, labels], axis=-1), image.affine)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (shifted, "none of them lies on a voxel of the input"),
        (half_outside, "it lies elsewhere"),
        (without_codes, "does not say where it lies: sform_code and qform_code are both 0"),
        (torn, "says two places where it lies"),
        (void, "its affine is void"),
        (with_value(7), "has the values [7], which are not among outputs"),
        (with_value(0.5), "are not whole numbers from 0 to 255"),
        (with_value(-1), "are not whole numbers from 0 to 255"),
        (with_value(300), "are not whole numbers from 0 to 255"),
        (with_value(np.nan), "are not whole numbers from 0 to 255"),
        (flat, "not three axes"),
        (of_four, "not three axes"),
    ],
)
def test_what_is_no_label_map_of_this_input_is_refused(
    change: Callable[[nibabel.Nifti1Image], nibabel.Nifti1Image], told: str, tmp_path: Path
) -> None:
    series = phantoms.stored(tmp_path / "in")
    path = saved(change(labelled(as_nifti(series.volume))), tmp_path)
    with pytest.raises(PermanentPipelineError) as error:
        read_labels(path, series.volume, OUTPUTS)
    assert told in str(error.value)


def test_damaged_and_oversized_files_are_refused(tmp_path: Path) -> None:
    series = phantoms.stored(tmp_path / "in")
    whole = gzip.decompress(saved(labelled(as_nifti(series.volume)), tmp_path).read_bytes())
    huge = bytearray(whole)
    huge[42:48] = np.array([32767] * 3, "<i2").tobytes()  # dim[1..3]
    for name, data, told in (
        ("empty.nii", b"", "cannot be read"),
        ("cut.nii", whole[:-100], "cannot be read"),
        ("head.nii", whole[:200], "cannot be read"),
        ("not.nii.gz", b"no gzip at all", "cannot be read"),
        ("cut.nii.gz", gzip.compress(whole)[:-30], "cannot be read"),
        ("huge.nii", bytes(huge), "voxels, more than"),
        ("labels.mha", whole, "ends in none of"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(PermanentPipelineError) as error:
            read_labels(path, series.volume, OUTPUTS)
        assert told in str(error.value)
