"""What is prepared beside another run gives what the run alone gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.core.errors import PermanentPipelineError
from pipelines.base import Prepares
from tests.networks import SCORES, Format, nearest, onnx_model, pipeline_folder
from tests.phantoms import slices, stored
from tests.runs import loaded
from tests.volumes import given, volume

STEPS = """
preprocess:
  - Orientation: {axcodes: RAS}
  - Spacing: {pixdim: 0.8}
  - ScaleIntensityRange: {a_min: 100, a_max: 1000}
"""


@pytest.mark.parametrize("kind", list(Format))
def test_a_prepared_run_marks_the_same_voxels(kind: Format, tmp_path: Path) -> None:
    pipeline = loaded(pipeline_folder(tmp_path / "p", nearest(), kind, keys=STEPS))
    study = given({"t1": stored(tmp_path / "series", slices()).volume})
    assert isinstance(pipeline, Prepares)
    prepared = replace(study, prepared=pipeline.prepare(study.volumes))
    alone, ahead = pipeline.infer(study), pipeline.infer(prepared)
    assert alone.label_map is not None
    assert ahead.label_map is not None
    assert alone.label_map.array.any()
    np.testing.assert_array_equal(alone.label_map.array, ahead.label_map.array)


def test_the_run_uses_what_was_prepared(tmp_path: Path) -> None:
    says = SCORES.replace("channel: 1", "channel: 0")
    text = "g (float[N,1,H,W] x) => (float[N,1] y) { m = GlobalAveragePool (x)\n y = Flatten (m) }"
    keys = "inference: {slices: {}}\nactivation: none"
    folder = pipeline_folder(tmp_path, onnx_model(text), Format.ONNX, keys=keys, says=says)
    pipeline = loaded(folder)
    assert isinstance(pipeline, Prepares)
    one, other = (volume(shape=(1, 6, 7), fill=value) for value in (1.0, 2.0))
    study = given({"t1": one})
    mixed = pipeline.infer(replace(study, prepared=pipeline.prepare({"t1": other})))
    assert mixed.result.findings[0].measurements[0].value == pytest.approx(2.0)


def test_what_cannot_be_prepared_fails_in_its_own_run_in_the_same_words(tmp_path: Path) -> None:
    steps = "preprocess:\n  - CropForeground: {threshold: 5, allow_smaller: true}"
    pipeline = loaded(pipeline_folder(tmp_path, nearest(), Format.ONNX, keys=steps))
    study = given({"t1": volume()})
    assert isinstance(pipeline, Prepares)
    with pytest.raises(PermanentPipelineError) as ahead:
        pipeline.prepare(study.volumes)
    with pytest.raises(PermanentPipelineError) as alone:
        pipeline.infer(study)
    assert str(alone.value) == str(ahead.value)
