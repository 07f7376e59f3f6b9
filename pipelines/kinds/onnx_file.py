"""Kind `onnx`: one ONNX file, run by onnxruntime.

onnxruntime falls back to the CPU without an error where CUDA cannot be had; what a session really
runs on is compared with what was asked for. On a GPU, images and what the network gives stay there.
"""

from pathlib import Path

import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as state
from torch.utils.dlpack import from_dlpack

from appliance.core.errors import ConfigError
from pipelines.base import Pipeline
from pipelines.kinds.axes import Axes, Signature
from pipelines.kinds.inferring import first_line
from pipelines.kinds.network import NetworkPipeline, Opened
from pipelines.manifest import Manifest
from pipelines.network import Network

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_ERRORS_AND_WORSE = 3  # onnxruntime's log severities

_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(bfloat16)": torch.bfloat16,
    "tensor(double)": torch.float64,
}

# None of them is a RuntimeError; they have no class in common below Exception.
_FAILURES = (
    state.EPFail,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)


def build(manifest: Manifest, folder: Path) -> Pipeline:
    """Return the pipeline around the ONNX file that the manifest names."""
    assert manifest.network is not None  # noqa: S101 -- the manifest's own validator says so
    return NetworkPipeline(
        manifest=manifest, network=manifest.network, folder=folder, opener=open_network
    )


def open_network(content: bytes, path: Path, network: Network, device: str) -> Opened:
    """Return the network of an ONNX file on `device`. Raises ConfigError."""
    session = _session(content, path, network, device)
    taken = _input(session, path, network)
    given = _output(session, path, network)
    for name, node in (("input", taken), ("output", given)):
        if node.type not in _TYPES:
            raise ConfigError(
                f"{path}: its {name} {node.name!r} holds {node.type}; float, float16, bfloat16 or "
                "double can be used"
            )
    dtype = _TYPES[taken.type]

    def net(images: torch.Tensor) -> torch.Tensor:
        try:
            return _run(session, taken.name, given.name, images.to(dtype)).float()
        except _FAILURES as error:
            raise RuntimeError(first_line(error)) from error

    signature = Signature(file=str(path), takes=_axes(taken.shape), gives=_axes(given.shape))
    return Opened(net=net, signature=signature)


def _session(
    content: bytes, path: Path, network: Network, device: str
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_AND_WORSE
    options.use_deterministic_compute = network.deterministic
    name, _, number = device.partition(":")
    wanted = CPU if name == "cpu" else CUDA
    told: dict[str, str] = {}
    if wanted == CUDA:
        told = {"device_id": number or "0", "use_tf32": str(int(not network.deterministic))}
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[(wanted, told)])
    except _FAILURES as error:
        raise ConfigError(f"{path}: {_why_not(error)}") from error
    session.disable_fallback()
    found = session.get_providers()
    if found[:1] != [wanted]:
        raise ConfigError(
            f"{path}: {device} was asked for, and onnxruntime took {', '.join(found)}: CUDA or "
            "cuDNN is missing or of another version than it was built with; install them, or "
            "write device: cpu in the settings"
        )
    return session


def _why_not(error: Exception) -> str:
    if "model_path must not be empty" in str(error) or "External data" in str(error):
        return (
            "keeps its weights in a file beside it, which nobody checks; save it as one file "
            "(onnx.save with save_as_external_data=False)"
        )
    return f"onnxruntime cannot load it: {first_line(error)}"


def _input(
    session: onnxruntime.InferenceSession, path: Path, network: Network
) -> onnxruntime.NodeArg:
    nodes = {node.name: node for node in session.get_inputs()}
    if len(nodes) > 1:
        raise ConfigError(
            f"{path}: has the inputs {', '.join(nodes)}; a network with one input can be used, "
            "whose channels are the manifest's inputs"
        )
    if network.input is not None and network.input not in nodes:
        raise ConfigError(f"{path}: has no input {network.input!r}; it has {', '.join(nodes)}")
    [node] = nodes.values()
    return node


def _output(
    session: onnxruntime.InferenceSession, path: Path, network: Network
) -> onnxruntime.NodeArg:
    nodes = {node.name: node for node in session.get_outputs()}
    names = list(nodes)
    if isinstance(network.output, str):
        if network.output not in nodes:
            raise ConfigError(
                f"{path}: has no output {network.output!r}; it has {', '.join(names)}"
            )
        return nodes[network.output]
    if network.output is None and len(names) > 1:
        raise ConfigError(f"{path}: has the outputs {', '.join(names)}; say which with output")
    place = network.output or 0
    if place >= len(names):
        raise ConfigError(f"{path}: has {len(names)} outputs, counted from 0; output is {place}")
    return nodes[names[place]]


def _axes(shape: list[int | str | None]) -> Axes:
    return tuple(size if isinstance(size, int) else None for size in shape)


def _run(
    session: onnxruntime.InferenceSession, taken: str, given: str, images: torch.Tensor
) -> torch.Tensor:
    """Run with input and output bound where they are, so that nothing crosses to the CPU."""
    images = images.contiguous()
    binding = session.io_binding()
    binding.bind_ortvalue_input(taken, onnxruntime.OrtValue.from_dlpack(images))
    binding.bind_output(given, images.device.type, images.device.index or 0)
    # The image was made on PyTorch's stream, and the session runs on its own.
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()
    result: torch.Tensor = from_dlpack(binding.get_outputs()[0])
    return result
