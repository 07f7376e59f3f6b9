"""A bundle stays loaded, runs again alike, says how far it is, and takes several series."""

import contextlib
import gc
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from monai.data import MetaTensor

from appliance.core.errors import InputRefused, PermanentPipelineError
from pipelines.base import PipelineOutput
from pipelines.volume import Labels, Volume
from tests.bundles import (
    LOAD,
    SCALE,
    Config,
    config,
    intensity_bundle,
    intensity_network,
    metadata,
    quiet,
    transform,
)
from tests.runs import loaded
from tests.volumes import given, volume

pytestmark = quiet

SHAPE = (8, 12, 30)
CLASSES = np.random.default_rng(1).integers(0, 3, SHAPE).astype(np.uint8)


def image(classes: Labels = CLASSES, **changes: object) -> Volume:
    base = volume(shape=classes.shape)
    return replace(base, array=100.0 * classes.astype(np.float32), **changes)


def labels(output: PipelineOutput) -> Labels:
    assert output.label_map is not None
    return output.label_map.array


def scratch(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path


# How the zoo's bundles have their checkpoint loaded: by a handler, or before the run.
BY_HANDLER = config()
AT_FIRST = config(
    initialize=["$monai.utils.set_determinism(seed=1)", "$@checkpointloader(@evaluator)"],
    handlers=[],
)
AT_FIRST["evaluator"]["val_handlers"] = "@handlers"
OLDER = {**config(), "evaluating": config()["run"]}
del OLDER["run"]


@pytest.mark.parametrize("written", [BY_HANDLER, AT_FIRST, OLDER], ids=["handler", "init", "older"])
def test_it_is_loaded_once_and_runs_alike(written: Config, tmp_path: Path) -> None:
    folder = intensity_bundle(tmp_path / "b", written=written)
    pipeline = loaded(folder)
    (folder / "models" / "model.pt").unlink()  # nothing is there to load again
    first = pipeline.infer(given({"image": image()}, scratch=scratch(tmp_path, "1")))
    other = pipeline.infer(given({"image": image(CLASSES[::-1])}, scratch=scratch(tmp_path, "2")))
    again = pipeline.infer(given({"image": image()}, scratch=scratch(tmp_path, "3")))
    np.testing.assert_array_equal(labels(first), CLASSES)
    np.testing.assert_array_equal(labels(other), CLASSES[::-1])
    np.testing.assert_array_equal(labels(again), CLASSES)
    assert first.result == again.result


@pytest.mark.parametrize("value", [0.0, np.nan], ids=["done", "failed"])
def test_no_image_waits_for_the_collector(value: float, tmp_path: Path) -> None:
    """On a GPU it would be memory that the next run lacks."""
    pipeline = loaded(intensity_bundle(tmp_path / "b"))
    source = image()
    source.array[0, 0, 0] = value
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(PermanentPipelineError):
            pipeline.infer(given({"image": source}, scratch=scratch(tmp_path, "1")))
        held = [one for one in gc.get_objects() if type(one) is MetaTensor and one.numel() > 100]
    finally:
        gc.enable()
    assert not held


def test_it_runs_again_after_a_run_that_failed(tmp_path: Path) -> None:
    pipeline = loaded(intensity_bundle(tmp_path / "b"))
    bad = image()
    bad.array[0, 0, 0] = np.nan
    with pytest.raises(PermanentPipelineError, match="no numbers"):
        pipeline.infer(given({"image": bad}, scratch=scratch(tmp_path, "1")))
    good = pipeline.infer(given({"image": image()}, scratch=scratch(tmp_path, "2")))
    np.testing.assert_array_equal(labels(good), CLASSES)


@pytest.mark.parametrize("inferer", [
    {"_target_": "SlidingWindowInferer", "roi_size": [8, 8, 8], "overlap": 0.5},
    {"_target_": "SlidingWindowInferer", "roi_size": [16, -1, 5], "overlap": [0, 0.1, 0.3]},
    {"_target_": "SlidingWindowInferer", "roi_size": 7, "sw_batch_size": 4},
    {"_target_": "SimpleInferer"},
])  # fmt: skip
def test_it_says_which_window_of_how_many(inferer: Config, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    pipeline = loaded(intensity_bundle(tmp_path / "b", written=config(inferer=inferer)))
    pipeline.infer(
        given(
            {"image": image()},
            scratch=scratch(tmp_path, "1"),
            progress=lambda done, phase: told.append((done, phase)),
        )
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    phases = [phase for _, phase in told]
    windows = [phase for phase in phases if phase.startswith("window")]
    assert windows == [f"window {n + 1} of {len(windows)}" for n in range(len(windows))]
    assert [phase for phase in phases if phase not in windows] == [
        "read",
        "infer",
        "postprocess",
        "measure",
    ]


def test_nothing_is_written_but_the_input_in_the_scratch_folder(tmp_path: Path) -> None:
    written = config()
    written["postprocessing"]["transforms"].append(
        transform("SaveImaged", keys="pred", output_dir="$@bundle_root + '/eval'")
    )
    folder = intensity_bundle(tmp_path / "b", written=written)
    before = sorted(folder.rglob("*"))
    loaded(folder).infer(given({"image": image()}, scratch=scratch(tmp_path, "1")))
    assert sorted(folder.rglob("*")) == before
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["image.nii"]


def test_a_bundle_brings_code_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("scripts", "scripts.turned"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    written = config()
    written["preprocessing"]["transforms"].append({"_target_": "scripts.turned.Turned"})
    folder = intensity_bundle(tmp_path / "b", written=written)
    (folder / "scripts").mkdir()
    (folder / "scripts" / "__init__.py").touch()
    (folder / "scripts" / "turned.py").write_text(
        "class Turned:\n"
        "    def __call__(self, data):\n"
        "        return {**data, 'image': 2 - data['image']}\n"
    )
    output = loaded(folder).infer(given({"image": image()}, scratch=scratch(tmp_path, "1")))
    np.testing.assert_array_equal(labels(output), 2 - CLASSES)
    for name in ("scripts", "scripts.turned"):
        monkeypatch.delitem(sys.modules, name)


# -- several series ------------------------------------------------------------------------

TWO = [{"name": n, "title": n, "select": {"Modality": "MR"}} for n in ("first", "second")]


def two_channels() -> tuple[Config, Config]:
    """Return a bundle that adds up two channels of one image: 0 and 1 in each."""
    written, promised = config(), metadata()
    written["network_def"]["in_channels"] = 2
    written["preprocessing"]["transforms"] = [*LOAD, SCALE]
    told = promised["network_data_format"]["inputs"]["image"]
    told["num_channels"] = 2
    told["channel_def"] = {"0": "one", "1": "other"}
    return written, promised


def two_keys() -> tuple[Config, Config]:
    """Return one that joins two keys of its data to one image by itself."""
    written, promised = two_channels()
    written["preprocessing"]["transforms"] = [
        transform("LoadImaged", keys=["one", "other"]),
        transform("EnsureChannelFirstd", keys=["one", "other"]),
        transform("ConcatItemsd", keys=["one", "other"], name="image"),
        SCALE,
    ]
    return written, promised


IN_CHANNELS = {"inputs": {"image": ["first", "second"]}}
BY_KEY = {"inputs": {"one": "first", "other": "second"}}


def two_series(tmp_path: Path, bundle: Config) -> Path:
    written, promised = two_channels() if bundle is IN_CHANNELS else two_keys()
    return intensity_bundle(
        tmp_path / "b",
        written=written,
        promised=promised,
        network=intensity_network(2),
        inputs=TWO,
        bundle=bundle,
    )


@pytest.mark.parametrize("bundle", [IN_CHANNELS, BY_KEY], ids=["channels", "keys"])
def test_two_series_are_two_channels_on_the_voxels_of_the_first(
    bundle: Config, tmp_path: Path
) -> None:
    pipeline = loaded(two_series(tmp_path, bundle))
    left, top = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    left[:, :, :15], top[:, :6] = 1, 1
    # The second is stored mirrored, with a margin: only its affine tells where its voxels are.
    mirrored = np.pad(top[:, ::-1, :], ((0, 0), (3, 0), (0, 0)))
    affine = np.eye(4)
    affine[1, 1], affine[1, 3] = -1.0, SHAPE[1] - 1 + 3
    second = image(mirrored, affine=affine)
    study = given({"first": image(left), "second": second}, scratch=scratch(tmp_path, "1"))
    output = pipeline.infer(study)
    assert output.label_map is not None
    assert output.label_map.input_name == "first"
    np.testing.assert_array_equal(labels(output), left + top)


def test_two_series_without_a_common_frame_are_refused(tmp_path: Path) -> None:
    pipeline = loaded(two_series(tmp_path, IN_CHANNELS))
    moved = np.eye(4)
    moved[0, 3] = 5.0
    second = image(affine=moved, frame_of_reference_uid="2.25.9")
    with pytest.raises(InputRefused, match="second has not the frame of reference of the first"):
        pipeline.infer(given({"first": image(), "second": second}, scratch=scratch(tmp_path, "1")))
