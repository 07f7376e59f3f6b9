"""Kind `torch`: an exported program (torch.export, .pt2) or TorchScript, whatever it is called.

What a file may hold is looked at before PyTorch reads it (`torch_archive`).
"""

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from appliance.core.errors import ConfigError, PermanentPipelineError
from pipelines.base import Pipeline
from pipelines.kinds.axes import Axes, Signature
from pipelines.kinds.inferring import Net, first_line
from pipelines.kinds.network import NetworkPipeline, Opened
from pipelines.kinds.torch_archive import Format, examine
from pipelines.manifest import Manifest
from pipelines.network import Network, Precision

_TYPES: Mapping[Precision, torch.dtype] = {
    Precision.FLOAT32: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}


def build(manifest: Manifest, folder: Path) -> Pipeline:
    """Return the pipeline around the PyTorch file that the manifest names."""
    assert manifest.network is not None  # noqa: S101 -- the manifest's own validator says so
    return NetworkPipeline(
        manifest=manifest, network=manifest.network, folder=folder, opener=open_network
    )


def open_network(content: bytes, path: Path, network: Network, device: str) -> Opened:
    """Return the network of a PyTorch file on `device`. Raises ConfigError."""
    if network.input is not None:
        raise ConfigError(f"{path}: inputs of PyTorch files have no names; leave out network.input")
    if network.deterministic:
        # cuBLAS reads it once, when the first context is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    opener = {Format.EXPORTED: _exported, Format.TORCHSCRIPT: _torchscript}
    try:
        call, signature = opener[examine(content, str(path))](content, path, network, device)
    except (RuntimeError, ValueError, KeyError, AssertionError, AttributeError) as error:
        raise ConfigError(f"{path}: PyTorch cannot load it: {first_line(error)}") from error
    return Opened(net=_net(call, network, device), signature=signature)


Call = Callable[[torch.Tensor], object]


def _exported(content: bytes, path: Path, network: Network, device: str) -> tuple[Call, Signature]:
    program = torch.export.load(io.BytesIO(content))
    inputs, outputs = program.graph_signature.user_inputs, program.graph_signature.user_outputs
    if len(inputs) != 1:
        raise ConfigError(f"{path}: takes {len(inputs)} inputs; a network with one can be used")
    place = _place(network, len(outputs), path)
    signature = Signature(
        file=str(path), takes=_axes(program, inputs[0]), gives=_axes(program, outputs[place])
    )
    if device != "cpu":
        program = move_to_device_pass(program, device)
    return program.module(), signature


def _place(network: Network, count: int, path: Path) -> int:
    """Return which of `count` outputs is meant."""
    if isinstance(network.output, str):
        raise ConfigError(
            f"{path}: outputs of an exported program have no names; write the place, from 0, as "
            "network.output"
        )
    if network.output is None and count > 1:
        raise ConfigError(
            f"{path}: gives {count} outputs; say which, counted from 0, as network.output"
        )
    place = network.output or 0
    if place >= count:
        raise ConfigError(f"{path}: gives {count} outputs, counted from 0; output is {place}")
    return place


def _axes(program: ExportedProgram, name: object) -> Axes | None:
    """Return the axes of an input or output by its name in the graph; dynamic ones are None."""
    for node in program.graph.nodes:
        if node.name == name:
            shape = getattr(node.meta.get("val"), "shape", None)
            if shape is None:
                return None
            return tuple(size if isinstance(size, int) else None for size in shape)
    return None


def _torchscript(
    content: bytes, path: Path, network: Network, device: str
) -> tuple[Call, Signature]:
    with warnings.catch_warnings():
        # PyTorch says with every load that TorchScript will end; our guide says it once.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        module = torch.jit.load(io.BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
    del network  # which output is meant shows when there is one
    module.eval()
    # TorchScript keeps no shapes: what does not fit shows with the first image.
    return module, Signature(file=str(path), takes=None, gives=None)


def _net(call: Call, network: Network, device: str) -> Net:
    kind = device.partition(":")[0]

    def net(images: torch.Tensor) -> torch.Tensor:
        mixed = network.precision is not Precision.FLOAT32
        with (
            _deterministic(network.deterministic),
            torch.autocast(kind, dtype=_TYPES[network.precision], enabled=mixed),
        ):
            return _one(call(images), network).float()

    return net


def _one(given: object, network: Network) -> torch.Tensor:
    """Return the tensor that is meant among what a network returned."""
    found = given
    if isinstance(given, Mapping):
        if network.output not in given:
            names = ", ".join(str(name) for name in given)
            raise PermanentPipelineError(
                f"the network gives {names}; say which of them as network.output"
            )
        found = given[network.output]
    elif isinstance(given, Sequence):
        if not isinstance(network.output, int) and len(given) > 1:
            raise PermanentPipelineError(
                f"the network gives {len(given)} outputs; say which, from 0, as network.output"
            )
        place = network.output if isinstance(network.output, int) else 0
        if place >= len(given):
            raise PermanentPipelineError(
                f"the network gives {len(given)} outputs, counted from 0; network.output is {place}"
            )
        found = given[place]
    if not isinstance(found, torch.Tensor):
        raise PermanentPipelineError(f"the network gives a {type(found).__name__}, not a tensor")
    return found


@contextlib.contextmanager
def _deterministic(asked: bool) -> Iterator[None]:  # noqa: FBT001
    """Let PyTorch choose algorithms that give the same bits each time, or raise."""
    if not asked:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    tf32 = torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.allow_tf32 = tf32
