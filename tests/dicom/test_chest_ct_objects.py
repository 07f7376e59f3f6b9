"""What chest-ct-densitometry says in SR and SEG, computed again from the objects and the images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from pydicom import dcmread

from pipelines.base import Pipeline
from pipelines.codes import BOTH_LUNGS, LAA_950, OWN, PERC_15
from pipelines.encode import encode
from pipelines.folders import SHIPPED
from pipelines.series import read_volume
from tests import chest, phantoms, readback
from tests.chest import phantom
from tests.counterparts import dciodvfy_errors
from tests.runs import loaded
from tests.volumes import given

FOLDER = SHIPPED["chest-ct-densitometry"]
VOLUME, MEAN = "118565006", "112181"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The images and what became of them."""

    images: list[Path]
    seg: Path
    sr: Path


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return loaded(FOLDER)


@pytest.fixture(scope="module")
def encoded(pipeline: Pipeline) -> Iterator[Encoded]:
    """A noisy phantom lying prone, feet first, on which densities are measured."""
    with TemporaryDirectory() as folder:
        known = phantom(spacing=(1.5, 2.5, 2.5), noise_hu=20.0)
        yield written(pipeline, chest.stored(known, Path(folder, "in"), chest.FEET_FIRST_PRONE))


def written(pipeline: Pipeline, images: list[Path]) -> Encoded:
    volume = read_volume(images)
    output = pipeline.infer(given({"chest": volume}))
    context = phantoms.context(pipeline="chest-ct-densitometry", title="Lung volumes")
    paths = {}
    for item in encode(context, images, volume, output):
        paths[item.kind] = images[0].parent.parent / f"{item.kind}.dcm"
        paths[item.kind].write_bytes(item.data)
    return Encoded(images=images, seg=paths["seg"], sr=paths["sr"])


def computed(values: np.ndarray, voxel_ml: float) -> dict[str, tuple[float, str]]:
    """Return what a report has to say of a lung, from its voxels, without the product's code."""
    ordered = np.sort(values)
    place = 0.15 * (ordered.size - 1)
    low, share = int(place), place - int(place)
    return {
        VOLUME: (ordered.size * voxel_ml, "mL"),
        MEAN: (ordered.sum() / ordered.size, "[hnsf'U]"),
        LAA_950.value: (100.0 * np.searchsorted(ordered, -950.0) / ordered.size, "%"),
        PERC_15.value: (
            ordered[low] * (1 - share) + ordered[low + 1] * share,
            "[hnsf'U]",
        ),
    }


def test_every_number_is_that_of_the_marked_voxels(encoded: Encoded) -> None:
    marked, sides = readback.masks(encoded.seg), readback.sides(encoded.seg)
    voxel_ml = readback.voxel_ml(encoded.images)
    lungs = {side: readback.values(marked[sides[side]], encoded.images) for side in sides}
    expected = {
        "Lung, left": computed(lungs["Left"], voxel_ml),
        "Lung, right": computed(lungs["Right"], voxel_ml),
        "Lungs": computed(np.concatenate(list(lungs.values())), voxel_ml),
    }
    found = readback.reported(encoded.sr)
    assert set(found) == set(expected)
    for name, numbers in expected.items():
        assert set(found[name]) == set(numbers)
        for code, (value, unit) in numbers.items():
            assert found[name][code] == (pytest.approx(value, rel=1e-6), unit), (name, code)


def test_the_marked_voxels_are_the_phantoms_lungs_on_their_sides(encoded: Encoded) -> None:
    marked, sides = readback.masks(encoded.seg), readback.sides(encoded.seg)
    for side, way in (("Left", 1.0), ("Right", -1.0)):
        for path in encoded.images[::20]:
            header = dcmread(path)
            mask = marked[sides[side]].get(str(header.SOPInstanceUID))
            if mask is not None:
                step = float(header.ImageOrientationPatient[0]) * float(header.PixelSpacing[1])
                across = float(header.ImagePositionPatient[0]) + step * np.nonzero(mask)[1]
                assert (across * way > 0).all()


def test_the_objects_are_valid_and_declare_our_coding_scheme(encoded: Encoded) -> None:
    assert dciodvfy_errors(encoded.seg) == []
    assert dciodvfy_errors(encoded.sr) == []
    (scheme,) = dcmread(encoded.sr).CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99CDA"
    assert {LAA_950.scheme, PERC_15.scheme} == {"99CDA"}
    assert BOTH_LUNGS.scheme == "SCT"


def test_codes_of_our_own_fit_their_elements() -> None:
    assert {LAA_950, PERC_15} <= set(OWN)
    assert all(len(code.value) <= 16 and len(code.meaning) <= 64 for code in OWN)


def test_what_was_not_measured_is_said_with_its_reason_and_has_no_number(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    known = phantom(spacing=(3.0, 2.5, 2.5))
    images = chest.stored(known, tmp_path / "in", SliceThickness=3.0, ConvolutionKernel="B70f")
    made = written(pipeline, images)
    assert {name: set(found) for name, found in readback.reported(made.sr).items()} == {
        "Lungs": {VOLUME},
        "Lung, left": {VOLUME},
        "Lung, right": {VOLUME},
    }
    why = "the slices are 3 mm thick; at most 1.5 mm are allowed; the reconstruction kernel is B70f"
    said = [text for text in readback.comments(made.sr) if why in text]
    assert len(said) == 9  # three densities of each lung and of both
    assert sum("Low attenuation area below -950 HU was not measured" in text for text in said) == 3
    assert dciodvfy_errors(made.sr) == []


def test_a_side_is_not_written_for_a_single_lung(pipeline: Pipeline, tmp_path: Path) -> None:
    known = phantom(spacing=(3.0, 2.5, 2.5), sides="left")
    made = written(pipeline, chest.stored(known, tmp_path / "in", SliceThickness=3.0))
    assert set(readback.sides(made.seg)) == {""}
    assert set(readback.reported(made.sr)) == {"Lung"}
    assert any("Only one lung was found" in text for text in readback.comments(made.sr))
