"""From a name to an object that infers: folders, code, weights, devices."""

from pathlib import Path

import numpy as np
import pytest

from appliance.core.errors import ConfigError, PermanentPipelineError
from pipelines import device
from pipelines.folders import SHIPPED, find_folder
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.series import read_volume
from tests.builders import mr_series
from tests.unit.test_pipelines_manifest import BRIGHT, copy
from tests.volumes import given

BRAIN = load_manifest(SHIPPED["brain-mr"])


def test_a_site_pipeline_is_loaded_from_its_folder_and_measures(tmp_path: Path) -> None:
    pixels = np.full((8, 20, 20), 10, dtype=np.uint16)
    pixels[2:6, 5:15, 5:15] = 1000
    pixels[7, 19, 19] = 1000
    volume = read_volume(mr_series(tmp_path, pixels=pixels, gap=2.0, spacing=(0.5, 0.5)))
    manifest = load_manifest(BRIGHT)
    pipeline = build(manifest, find_folder("bright-volume", BRIGHT))
    pipeline.load(device.choose("auto", manifest))
    told: list[float] = []
    output = pipeline.infer(given({"image": volume}, progress=lambda done, _: told.append(done)))
    [finding] = output.result.findings
    assert finding.measurements[0].value == pytest.approx(400 * 0.5 / 1000)
    assert output.label_map is not None
    np.testing.assert_array_equal(output.label_map.array[2:6, 5:15, 5:15], 1)
    assert output.label_map.array.sum() == 400
    assert tuple(feature.name for feature in output.result.features) == manifest.features
    assert told[-1] == 1.0


def test_an_unknown_pipeline_is_told_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match="no pipeline is called 'brain-mri'; did you mean 'brain-"
    ):
        find_folder("brain-mri", None)


def test_a_folder_of_another_pipeline_is_refused() -> None:
    with pytest.raises(ConfigError, match="name: is 'bright-volume', not 'lung-ct'"):
        find_folder("lung-ct", BRIGHT)


def test_a_folder_without_manifest_is_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it has no pipeline\.yaml"):
        find_folder("bright-volume", tmp_path)


def test_code_without_the_class_is_told(tmp_path: Path) -> None:
    folder = copy(tmp_path, ":BrightVolume", ":DarkVolume")
    with pytest.raises(ConfigError, match="has no class DarkVolume"):
        build(load_manifest(folder), folder)


def test_code_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    (folder / "pipeline.py").write_text("import there_is_no_such_module\n")
    with pytest.raises(PermanentPipelineError, match="there_is_no_such_module"):
        build(load_manifest(folder), folder)


def test_weights_with_another_hash_are_not_loaded(tmp_path: Path) -> None:
    for path in SHIPPED["brain-mr"].iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ConfigError) as refused:
        build(load_manifest(tmp_path), tmp_path)
    [problem] = refused.value.problems
    assert problem.startswith(f"{weights}: is not the file that brain-mr")
    assert BRAIN.weights[0].sha256 in problem
    assert "it is not loaded" in problem


def test_a_pipeline_without_gpu_runs_on_the_cpu_by_default() -> None:
    assert device.choose("auto", load_manifest(BRIGHT)) == "cpu"


def test_asking_for_a_gpu_that_the_pipeline_cannot_use_is_an_error() -> None:
    with pytest.raises(ConfigError, match="bright-volume runs on the CPU only"):
        device.choose("cuda", load_manifest(BRIGHT))


def test_a_device_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'gpu' is not one of auto, cpu, cuda"):
        device.choose("gpu", BRAIN)


@pytest.mark.parametrize(
    ("wanted", "free", "expected"),
    [
        ("auto", {}, "cpu"),
        ("auto", {0: 1 * 10**9}, "cpu"),
        ("auto", {0: 7 * 10**9, 1: 9 * 10**9}, "cuda:1"),
        ("cuda", {0: 7 * 10**9, 1: 9 * 10**9}, "cuda:1"),
        ("cuda:0", {0: 7 * 10**9, 1: 9 * 10**9}, "cuda:0"),
        ("cpu", {0: 9 * 10**9}, "cpu"),
    ],
)
def test_the_device_with_the_most_free_memory_is_taken(
    monkeypatch: pytest.MonkeyPatch, wanted: str, free: dict[int, int], expected: str
) -> None:
    monkeypatch.setattr(device, "_free_memory", lambda: free)
    assert device.choose(wanted, BRAIN) == expected


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setattr(device, "_free_memory", lambda: {0: 2 * 10**9})
    with pytest.raises(ConfigError, match="needs a GPU with 6 GB free; there is"):
        device.choose(wanted, BRAIN)
