"""What holds for every pipeline: its declared coverage before, a consistent output after."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.core.errors import InputRefused, PermanentPipelineError
from appliance.core.model import PipelineResult
from pipelines.base import PipelineInput, PipelineOutput
from pipelines.coverage import outermost_section_cm2, shortcomings
from pipelines.folders import SHIPPED
from pipelines.guard import Guarded
from pipelines.inputs import Coverage, PatientDirection
from pipelines.manifest import Manifest, load_manifest
from pipelines.registry import build
from pipelines.series import read_volume
from pipelines.specs import Parameter, ParameterValue
from pipelines.volume import LabelMap, Volume
from tests.builders import mr_series
from tests.reformat import HIPPOCAMPUS_CROP, LEG, Storage, cropped, head_paths, restored
from tests.unit.test_pipelines_manifest import BRIGHT
from tests.volumes import given

BRAIN = load_manifest(SHIPPED["brain-mr"])
HEAD_COVERAGE = BRAIN.input("head").coverage


def study(**volumes: Volume) -> PipelineInput:
    return given(volumes)


@pytest.fixture(scope="module")
def head() -> Volume:
    return read_volume(head_paths())


def test_the_whole_head_is_covered(head: Volume) -> None:
    assert shortcomings(head, HEAD_COVERAGE) == ()


@pytest.mark.parametrize("folder", [LEG, HIPPOCAMPUS_CROP], ids=["leg", "crop"])
def test_another_part_of_the_body_is_refused_by_its_extent(folder: Path) -> None:
    found = shortcomings(read_volume(sorted(folder.iterdir())), HEAD_COVERAGE)
    assert any(
        re.search("the field of view is .* at least 120 mm are needed", one) for one in found
    )


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The head without its top 30 rows."""
    box = (slice(None), slice(30, None), slice(None))
    return cropped(head_paths(), tmp_path_factory.mktemp("cut"), box)


@pytest.mark.parametrize("storage", [None, Storage.AXIAL])
def test_a_head_cut_off_at_the_vertex_is_refused_however_it_is_stored(
    cut: list[Path], tmp_path: Path, storage: Storage | None
) -> None:
    paths = cut if storage is None else restored(cut, tmp_path, storage)
    [reason] = shortcomings(read_volume(paths), HEAD_COVERAGE)
    assert reason.startswith("the body is cut off on the head side: the section")


def test_padding_does_not_hide_a_cut(head: Volume) -> None:
    array = head.array.copy()
    array[:, :30] = 0
    cut = replace(head, array=array)
    assert outermost_section_cm2(cut, PatientDirection.HEAD) > 15
    assert outermost_section_cm2(head, PatientDirection.HEAD) < 1


def test_each_direction_looks_at_its_own_side() -> None:
    array = np.zeros((40, 40, 40), dtype=np.float32)
    array[10:30, 10:30, 10:] = 100
    array[:10] += np.random.default_rng(1).random((10, 40, 40), dtype=np.float32)
    array += np.random.default_rng(2).random((40, 40, 40), dtype=np.float32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]]  # columns grow to the left
    volume = Volume(
        array=array,
        affine=affine,
        spacing=(2.0, 2.0, 2.0),
        frames=(),
        series_instance_uid="1.2",
        frame_of_reference_uid=None,
        modality="MR",
        attributes={},
    )
    found = {side: outermost_section_cm2(volume, side) for side in PatientDirection}
    assert found.pop(PatientDirection.LEFT) == pytest.approx(16.0, rel=0.02)
    assert set(found.values()) == {0.0}


def test_thick_slices_are_refused(head: Volume) -> None:
    thick = replace(head, spacing=(5.0, 1.0, 1.0))
    [reason] = shortcomings(thick, HEAD_COVERAGE)
    assert "5.00 x 1.00 x 1.00 mm; at most 2 mm" in reason


def test_every_reason_is_told(tmp_path: Path) -> None:
    small = read_volume(mr_series(tmp_path))
    found = shortcomings(small, Coverage(left_right=50, anterior_posterior=60, head_feet=70))
    assert ["field of view" in reason for reason in found] == [True] * 3


class Says:
    """A pipeline that says what it was given."""

    def __init__(self, output: PipelineOutput) -> None:
        self._output = output

    def load(self, device: str) -> None:
        raise NotImplementedError(device)

    def infer(self, study: PipelineInput) -> PipelineOutput:
        assert study.run_uid
        return self._output


@pytest.fixture
def bright() -> Manifest:
    return load_manifest(BRIGHT)


@pytest.fixture
def said(bright: Manifest, tmp_path: Path) -> tuple[PipelineInput, PipelineOutput]:
    given = study(image=read_volume(mr_series(tmp_path)))
    return given, build(bright, BRIGHT).infer(given)


def test_a_missing_input_is_refused_with_its_title(bright: Manifest) -> None:
    with pytest.raises(InputRefused, match=r"the input image \(Any CT or MR volume\) is missing"):
        build(bright, BRIGHT).infer(study())


def test_a_label_map_of_another_shape_is_no_result(
    bright: Manifest, said: tuple[PipelineInput, PipelineOutput]
) -> None:
    given, output = said
    wrong = LabelMap(array=np.ones((2, 2, 2), dtype=np.uint8), input_name="image")
    with pytest.raises(PermanentPipelineError, match=r"the label map is \(2, 2, 2\)"):
        Guarded(bright, Says(replace(output, label_map=wrong))).infer(given)


def test_a_label_without_a_segment_is_no_result(
    bright: Manifest, said: tuple[PipelineInput, PipelineOutput]
) -> None:
    given, output = said
    assert output.label_map is not None
    array = output.label_map.array.copy()
    array[0, 0, 0] = 9
    wrong = replace(output.label_map, array=array)
    with pytest.raises(PermanentPipelineError, match="values are not the segments' numbers"):
        Guarded(bright, Says(replace(output, label_map=wrong))).infer(given)


def test_segments_without_a_label_map_are_no_result(
    bright: Manifest, said: tuple[PipelineInput, PipelineOutput]
) -> None:
    given, output = said
    with pytest.raises(PermanentPipelineError, match="no label map"):
        Guarded(bright, Says(replace(output, label_map=None))).infer(given)
    empty = PipelineResult(findings=(), segments=(), features=())
    nothing = PipelineOutput(result=empty, label_map=None)
    assert Guarded(bright, Says(nothing)).infer(given).result == empty


def test_what_the_site_set_reaches_the_pipeline_and_is_told_in_the_result(
    bright: Manifest, said: tuple[PipelineInput, PipelineOutput]
) -> None:
    given, output = said
    declared = (
        Parameter(name="threshold", default=0.5, meaning="share of the maximum."),
        Parameter(name="rounds", default=3, meaning="of smoothing."),
    )
    seen: list[Mapping[str, ParameterValue]] = []

    class Looks(Says):
        def infer(self, study: PipelineInput) -> PipelineOutput:
            seen.append(study.parameters)
            return super().infer(study)

    pipeline = Guarded(bright.model_copy(update={"parameters": declared}), Looks(output))
    told = pipeline.infer(replace(given, parameters={"threshold": 1})).result.notes
    assert seen == [{"threshold": 1.0, "rounds": 3}]
    assert told[len(output.result.notes) :] == (
        "Here threshold is set to 1.0, not 0.5: share of the maximum.",
    )
