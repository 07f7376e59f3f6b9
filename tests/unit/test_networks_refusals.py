"""A network that is not what its manifest says is told in plain words, when it is loaded or run."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from appliance.core.errors import (
    ConfigError,
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from pipelines.kinds.inferring import checked
from pipelines.manifest import load_manifest
from pipelines.registry import build
from pipelines.volume import Volume
from tests.networks import (
    LEVELS,
    SCORES,
    Format,
    Tiny,
    content,
    nearest,
    onnx_model,
    pipeline_folder,
)
from tests.runs import loaded
from tests.volumes import given, volume

SHAPE = (6, 7, 8)


def phantom() -> Volume:
    array = np.zeros(SHAPE, dtype=np.float32)
    array[1:3, 2:4, 2:5] = LEVELS[1]
    array[4, 5, 6] = LEVELS[2]
    return replace(volume(shape=SHAPE), array=array)


def refusal(load: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as refused:
        load()
    return str(refused.value)


@pytest.mark.parametrize("kind", list(Format))
def test_a_network_with_other_channels_than_promised(kind: Format, tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path, nearest((0.0, 0.5, 1.0, 2.0)), kind)
    words = r"gives 4 channels, and the manifest promises 3 \(the labels of outputs\)"
    if kind is Format.TORCHSCRIPT:  # which does not say it before it is run
        with pytest.raises(PermanentPipelineError, match=words):
            loaded(folder).infer(given({"t1": phantom()}))
    else:
        with pytest.raises(ConfigError, match=words):
            loaded(folder)


def test_channels_that_no_output_names_are_allowed_where_the_manifest_counts_them(
    tmp_path: Path,
) -> None:
    network = nearest((0.0, 0.5, 1.0, 2.0))
    folder = pipeline_folder(tmp_path, network, Format.ONNX, keys="channels: 4")
    result = loaded(folder).infer(given({"t1": phantom()})).result
    assert [finding.name for finding in result.findings] == ["Box", "Ball"]


@pytest.mark.parametrize("kind", [Format.ONNX, Format.EXPORTED])
def test_an_axis_that_is_not_dynamic_is_named(kind: Format, tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path, nearest(_2=6, _4=9), kind)
    said = refusal(lambda: loaded(folder))
    assert "axis 2 of its input is fixed at 6, and volumes differ in size there" in said
    assert "axis 4 of its input is fixed at 9" in said
    assert "export it with a dynamic axis" in said
    assert "axis 3" not in said


@pytest.mark.parametrize("kind", [Format.ONNX, Format.EXPORTED])
@pytest.mark.parametrize(
    "keys",
    [
        "inference: {sliding_window: {roi_size: [4, 4, 16], overlap: 0.5}}",
        "preprocess: [{ResizeWithPadOrCrop: {spatial_size: [4, 4, 16]}}]",
    ],
)
def test_a_fixed_size_is_met_by_windows_or_by_preprocessing(
    kind: Format, keys: str, tmp_path: Path
) -> None:
    network = nearest(_0=1, _2=4, _3=4, _4=16)
    output = loaded(pipeline_folder(tmp_path, network, kind, keys=keys)).infer(
        given({"t1": phantom()})
    )
    assert output.label_map is not None
    wanted = (phantom().array * 2).astype(np.uint8)
    if "preprocess" in keys:  # only the middle was seen
        wanted[[0, -1]] = 0
        wanted[:, :1] = wanted[:, 5:] = 0
    assert np.array_equal(output.label_map.array, wanted)


def test_a_window_of_another_size_than_the_fixed_one(tmp_path: Path) -> None:
    keys = "inference: {sliding_window: {roi_size: 8, batch: 2}}"
    folder = pipeline_folder(tmp_path, nearest(_0=1, _2=4), Format.ONNX, keys=keys)
    said = refusal(lambda: loaded(folder))
    assert (
        "axis 2 of its input is fixed at 4, and inference.sliding_window.roi_size gives 8" in said
    )
    assert "axis 0 of its input, the batch, is fixed at 1, and the manifest gives 2" in said


def test_a_network_of_other_inputs_or_dimensions(tmp_path: Path) -> None:
    two = Tiny(kernel=np.ones((3, 2, 1, 1, 1), dtype=np.float32), bias=np.zeros(3, np.float32))
    said = refusal(lambda: loaded(pipeline_folder(tmp_path / "a", two, Format.ONNX)))
    assert "the channels, is fixed at 2, and the manifest has 1 inputs" in said
    flat = Tiny(kernel=np.ones((3, 1, 1, 1), dtype=np.float32), bias=np.zeros(3, np.float32))
    said = refusal(lambda: loaded(pipeline_folder(tmp_path / "b", flat, Format.ONNX)))
    assert "its input has 4 axes (?, 1, ?, ?)" in said
    assert "inference.slices" in said


def test_names_that_an_onnx_file_has_not(tmp_path: Path) -> None:
    for keys, words in (
        ("input: volume", "no input 'volume'; it has image"),
        ("output: labels", "no output 'labels'; it has scores"),
        ("output: 1", "has 1 outputs, counted from 0; output is 1"),
    ):
        folder = pipeline_folder(tmp_path, nearest(), Format.ONNX, keys=keys)
        assert words in refusal(lambda folder=folder: loaded(folder))


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_that_gives_no_numbers(kind: Format, value: float, tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path, nearest((0.0, value, 1.0)), kind)
    with pytest.raises(PermanentPipelineError, match=r"no numbers \(NaN or infinite\)"):
        loaded(folder).infer(given({"t1": phantom()}))


def test_a_network_that_gives_fewer_voxels_than_it_takes(tmp_path: Path) -> None:
    data = onnx_model(
        "g (float[N,1,D,H,W] x) => (float[N,3,d,h,w] y) { y = Conv <strides = [2,2,2]> (x, k) }",
        k=np.ones((3, 1, 1, 1, 1), dtype=np.float32),
    )
    pipeline = loaded(pipeline_folder(tmp_path, data, Format.ONNX))
    with pytest.raises(PermanentPipelineError, match="gives 3 x 4 x 4 voxels for 6 x 7 x 8"):
        pipeline.infer(given({"t1": phantom()}))


def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    for kind, words in (
        (Format.ONNX, "onnxruntime cannot load it"),
        (Format.EXPORTED, "is no PyTorch file that can be read"),
    ):
        folder = pipeline_folder(tmp_path, b"no network", kind)
        assert words in refusal(lambda folder=folder: loaded(folder))


def test_a_file_that_changed_after_it_was_checked(tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path, nearest(), Format.ONNX)
    pipeline = build(load_manifest(folder), folder)
    (folder / Format.ONNX.value).write_bytes(content(nearest((1.0, 0.5, 0.0)), Format.ONNX))
    assert "it is not loaded" in refusal(lambda: pipeline.load("cpu"))


def test_onnx_weights_in_a_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load_from_string(content(nearest(), Format.ONNX))
    folder = tmp_path / "p"
    folder.mkdir()
    onnx.save(
        model,
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    pipeline_folder(folder, (folder / "model.onnx").read_bytes(), Format.ONNX)
    for here in (folder, tmp_path):
        monkeypatch.chdir(here)
        assert "keeps its weights in a file beside it" in refusal(lambda: loaded(folder))


def test_a_gpu_that_onnxruntime_silently_does_not_take(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    folder = pipeline_folder(tmp_path, nearest(), Format.ONNX)
    said = refusal(lambda: loaded(folder, "cuda:0"))
    assert "cuda:0 was asked for, and onnxruntime took CPUExecutionProvider" in said


def test_memory_that_runs_out_is_worth_another_attempt() -> None:
    def without_memory(_: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 50)

    def without_gpu_memory(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def wrong(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("sizes do not match\nat length")

    for net in (without_memory, without_gpu_memory):
        with pytest.raises(
            TransientPipelineError, match=r"memory on an image of \(1, 1, 2, 2, 2\)"
        ):
            checked(net, torch.zeros(1, 1, 2, 2, 2))
    with pytest.raises(PermanentPipelineError, match=r"fails on an image of \(1, .*match$"):
        checked(wrong, torch.zeros(1, 1, 2, 2, 2))


def test_an_onnx_session_that_fails_is_an_error_of_ours(tmp_path: Path) -> None:
    data = onnx_model(
        "g (float[N,1,D,H,W] x) => (float[N,3,D,H,W] y) { z = Conv (x, k)\n y = Reshape (z, s) }",
        k=np.ones((3, 1, 1, 1, 1), dtype=np.float32),
        s=np.array([1, 3, 2, 2, 2]),
    )
    pipeline = loaded(pipeline_folder(tmp_path, data, Format.ONNX))
    with pytest.raises(PermanentPipelineError, match="the network fails on an image of"):
        pipeline.infer(given({"t1": phantom()}))


def test_scores_of_more_images_than_one(tmp_path: Path) -> None:
    data = onnx_model(
        "g (float[N,1,H,W] x) => (float[N,1] y) { m = GlobalAveragePool (x)\n y = Flatten (m) }"
    )
    says = SCORES.replace("channel: 1", "channel: 0")
    folder = pipeline_folder(
        tmp_path, data, Format.ONNX, keys="inference: {slices: {}}\nactivation: none", says=says
    )
    with pytest.raises(InputRefused, match="there are 6 images, and the scores are of one"):
        loaded(folder).infer(given({"t1": phantom()}))


# -- what a PyTorch file may not hold ---------------------------------------------------------


class Mischief:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("mischief"),))


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def program() -> bytes:
    return content(nearest(), Format.EXPORTED)


def changed(data: bytes, change: dict[str, Callable[[bytes], bytes]], **more: bytes) -> bytes:
    """The archive with members changed by the end of their name, and with `more` members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            member = old.read(name)
            for end, by in change.items():
                if name.endswith(end):
                    member = by(member)
            new.writestr(name, member)
        for name, member in more.items():
            new.writestr(f"{root}/{name}", member)
    return out.getvalue()


def edited(old: str, by: str) -> Callable[[bytes], bytes]:
    def edit(member: bytes) -> bytes:
        assert old in member.decode()
        return member.decode().replace(old, by, 1).encode()

    return edit


def with_guard(member: bytes) -> bytes:
    document = json.loads(member)
    document["guards_code"].append("__import__('pathlib').Path('mischief').touch()")
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        ({"sample_inputs/model.pt": lambda _: saved(Mischief())}, {}, "as a Python pickle"),
        (
            {"weights_config.json": edited('"use_pickle": false', '"use_pickle": true')},
            {},
            "weight as a Python pickle",
        ),
        (
            {},
            {"data/constants/opaque_obj_0": pickle.dumps(Mischief())},
            "opaque_obj_0, which is no",
        ),
        ({}, {"data/aotinductor/model/run.so": b"\x7fELF"}, "holds compiled code"),
        (
            {"models/model.json": edited("torch.ops.aten.conv3d.default", "torch.os.system")},
            {},
            "calls 'torch.os.system'",
        ),
        (
            {
                "models/model.json": edited(
                    "torch.ops.aten.conv3d.default", "torch.ops.aten.from_file"
                )
            },
            {},
            "calls 'torch.ops.aten.from_file'",
        ),
        (
            {"models/model.json": edited("Symbol('s", "exec('s")},
            {},
            "a size that is no arithmetic",
        ),
        ({"models/model.json": with_guard}, {}, "a condition that is no arithmetic"),
    ],
)
def test_an_exported_program_that_would_run_python_is_not_loaded(
    change: dict[str, Callable[[bytes], bytes]],
    more: dict[str, bytes],
    words: str,
    program: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = pipeline_folder(tmp_path / "p", changed(program, change, **more), Format.EXPORTED)
    assert words in refusal(lambda: loaded(folder))
    assert not (tmp_path / "mischief").exists()


def test_a_pickled_module_is_not_loaded(tmp_path: Path) -> None:
    folder = pipeline_folder(tmp_path, saved(nearest().module), Format.TORCHSCRIPT)
    assert "a Python object or weights alone (torch.save)" in refusal(lambda: loaded(folder))
