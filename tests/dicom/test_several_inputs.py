"""A pipeline with several inputs marks one of them: PET, CT and MR of one leg."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage

from appliance.core.errors import InputRefused
from pipelines.base import Pipeline, PipelineOutput
from pipelines.encode import encode
from pipelines.folders import SHIPPED
from pipelines.segmentation import read_segmentation
from pipelines.series import read_volume
from pipelines.volume import Volume
from tests import phantoms
from tests.counterparts import dciodvfy_errors
from tests.reformat import LEG
from tests.runs import loaded
from tests.volumes import given

FOLDER = SHIPPED["pet-ct-uptake"]
FILES = {
    "ct": sorted((LEG.parent / "ct-leg-sts025").iterdir()),
    "pt": sorted((LEG.parent / "pt-leg-sts025").iterdir()),
    "mr": sorted(LEG.iterdir()),
}


@pytest.fixture(scope="module")
def volumes() -> dict[str, Volume]:
    return {name: read_volume(paths) for name, paths in FILES.items()}


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return loaded(FOLDER)


@pytest.fixture(scope="module")
def output(pipeline: Pipeline, volumes: dict[str, Volume]) -> PipelineOutput:
    return pipeline.infer(given(volumes))


def numbers(output: PipelineOutput) -> dict[str, float]:
    return {one.name: one.number for one in output.result.features if one.number is not None}


def test_the_lesion_is_the_one_that_the_pet_alone_shows(
    output: PipelineOutput, volumes: dict[str, Volume]
) -> None:
    """The same threshold on the PET's own voxels, without any resampling."""
    pet = volumes["pt"]
    hot = pet.array >= 0.41 * pet.array.max()
    labels, _ = ndimage.label(hot)
    own = labels == labels[np.unravel_index(pet.array.argmax(), pet.array.shape)]
    found = numbers(output)
    assert found["metabolic_volume_ml"] == pytest.approx(own.sum() * pet.voxel_ml, rel=0.05)
    assert found["suv_mean"] == pytest.approx(float(pet.array[own].mean()), rel=0.05)
    assert found["suv_max"] == pytest.approx(float(pet.array.max()), rel=0.02)
    assert 0.0 < found["ct_mean_hu"] < 80.0  # soft tissue


def test_the_segmentation_lies_on_the_ct_at_the_pet_s_place_in_the_patient(
    output: PipelineOutput, volumes: dict[str, Volume], tmp_path: Path
) -> None:
    ct, pet = volumes["ct"], volumes["pt"]
    objects = encode(phantoms.context(), FILES["ct"], ct, output)
    seg = tmp_path / "seg.dcm"
    seg.write_bytes(next(one.data for one in objects if one.kind == "seg"))
    # The publisher's StudyID is too long; it is copied as it is.
    assert [error for error in dciodvfy_errors(seg) if "StudyID" not in error] == []
    read = read_segmentation(seg)
    marked = np.stack([read.labels_for(f.sop_instance_uid, f.frame_number) for f in ct.frames])
    assert output.label_map is not None
    np.testing.assert_array_equal(marked, output.label_map.array)
    centre = ct.affine @ [*np.argwhere(marked).mean(axis=0), 1]
    hottest = pet.affine @ [*np.unravel_index(pet.array.argmax(), pet.array.shape), 1]
    assert np.linalg.norm((centre - hottest)[:3]) < 25.0
    assert dcmread(seg).FrameOfReferenceUID == ct.frame_of_reference_uid


def test_the_optional_series_may_be_missing(
    pipeline: Pipeline, volumes: dict[str, Volume], output: PipelineOutput
) -> None:
    without = pipeline.infer(given({name: volumes[name] for name in ("ct", "pt")}))
    assert "mr_mean" in numbers(output)
    assert "mr_mean" not in numbers(without)
    assert without.result.findings == output.result.findings


def test_series_that_are_not_registered_are_refused(
    pipeline: Pipeline, volumes: dict[str, Volume]
) -> None:
    moved = volumes | {"pt": replace(volumes["pt"], frame_of_reference_uid="2.25.5")}
    with pytest.raises(InputRefused, match=r"frame of reference \(ct and mr; pt\)"):
        pipeline.infer(given(moved))


def test_a_pet_that_is_not_in_suv_is_refused(
    pipeline: Pipeline, volumes: dict[str, Volume]
) -> None:
    counts = replace(volumes["pt"], attributes={"Units": ("BQML",)})
    with pytest.raises(InputRefused, match="not in SUV by body weight"):
        pipeline.infer(given(volumes | {"pt": counts}))
