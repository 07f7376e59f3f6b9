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
        ("auto", {0: 7, 1: 9}, "cuda:1"),
        ("cuda", {0: 7, 1: 9}, "cuda:1"),
        ("cuda:0", {0: 7, 1: 9}, "cuda:0"),
        ("cpu", {0: 9}, "cpu"),
    ],
)
def test_the_device_with_the_most_free_memory_is_taken(
    monkeypatch: pytest.MonkeyPatch, wanted: str, free: dict[int, int], expected: str
) -> None:
    have(monkeypatch, {index: (gigabytes, 12) for index, gigabytes in free.items()})
    assert device.choose(wanted, BRAIN) == expected


def have(monkeypatch: pytest.MonkeyPatch, gpus: dict[int, tuple[int, int]]) -> None:
    """Let there be these GPUs, with gigabytes free and in all."""
    sizes = {index: (free * 10**9, total * 10**9) for index, (free, total) in gpus.items()}
    monkeypatch.setattr(device, "_memory", lambda: sizes)


def test_a_gpu_that_is_too_small_even_when_empty_is_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    have(monkeypatch, {0: (4, 4)})
    assert device.choose("auto", BRAIN) == "cpu"


@pytest.mark.parametrize("wanted", ["auto", "cuda", "cuda:0"])
def test_a_gpu_that_others_hold_is_full_and_says_by_how_much(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    have(monkeypatch, {0: (4, 12)})
    with pytest.raises(device.GpuFull, match="it needs 6 GB of a GPU; cuda:0 has 4 GB") as full:
        device.choose(wanted, BRAIN)
    assert full.value.lacking == 2 * 10**9


def test_what_earlier_runs_took_is_asked_for_but_never_more_than_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    have(monkeypatch, {0: (9, 10)})
    assert device.choose("auto", BRAIN, 9 * 10**9) == "cuda:0"
    assert device.choose("auto", BRAIN, 99 * 10**9) == "cuda:0"
    have(monkeypatch, {0: (7, 10)})
    with pytest.raises(device.GpuFull):
        device.choose("auto", BRAIN, 8 * 10**9)


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    have(monkeypatch, {0: (2, 2)})
    with pytest.raises(ConfigError, match="needs a GPU with 6 GB; there is"):
        device.choose(wanted, BRAIN)
