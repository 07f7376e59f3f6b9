"""Tiny networks in every format that a site may bring, each in a pipeline folder of its own.

    folder = pipeline_folder(tmp_path, NEAREST, Format.ONNX)
    pipeline = loaded(folder)  # of tests.runs

`NEAREST` gives three channels, the classes whose intensity (LEVELS) is nearest. `network.yaml`
keys are given as text, as a site would write them.
"""

import hashlib
import io
import textwrap
import warnings
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper, parser
from torch import nn

LEVELS = (0.0, 0.5, 1.0)  # of background, the box and the ball


class Format(StrEnum):
    """What a network can come as."""

    ONNX = "model.onnx"
    EXPORTED = "model.pt2"
    TORCHSCRIPT = "model.ts"

    @property
    def kind(self) -> str:
        """The manifest's word for it."""
        return "onnx" if self is Format.ONNX else "torch"


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """One convolution: kernel (out, in, *size) and bias; axes fixed by position, as a file has."""

    kernel: np.ndarray
    bias: np.ndarray
    fixed: dict[int, int] = field(default_factory=dict)

    @property
    def module(self) -> nn.Module:
        """The same in PyTorch."""
        dimensions = self.kernel.ndim - 2
        kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
        layer = kind(
            self.kernel.shape[1],
            self.kernel.shape[0],
            tuple(self.kernel.shape[2:]),
            padding=tuple(size // 2 for size in self.kernel.shape[2:]),
        )
        layer.weight = nn.Parameter(torch.from_numpy(self.kernel))
        layer.bias = nn.Parameter(torch.from_numpy(self.bias))
        return layer.eval()


def nearest(levels: tuple[float, ...] = LEVELS, **fixed: int) -> Tiny:
    """A network whose channel k is greatest where the intensity is nearest to `levels[k]`."""
    centres = np.array(levels, dtype=np.float32)
    return Tiny(
        kernel=(2 * centres).reshape(-1, 1, 1, 1, 1),
        bias=-(centres**2),
        fixed={int(axis[1:]): size for axis, size in fixed.items()},
    )


def looking(axis: int, step: int) -> Tiny:
    """`nearest`, but of the voxel `step` (1 or -1) further along `axis`."""
    centres = np.array(LEVELS, dtype=np.float32)
    kernel = np.zeros((3, 1, 3, 3, 3), dtype=np.float32)
    where = [1, 1, 1]
    where[axis] += step
    kernel[:, 0, where[0], where[1], where[2]] = 2 * centres
    return Tiny(kernel=kernel, bias=-(centres**2))


def content(network: Tiny, kind: Format) -> bytes:
    """The network as a file of `kind`."""
    makers = {
        Format.ONNX: _onnx,
        Format.EXPORTED: lambda tiny: exported(tiny.module, tiny),
        Format.TORCHSCRIPT: lambda tiny: scripted(tiny.module, tiny),
    }
    return makers[kind](network)


def onnx_model(text: str, **weights: np.ndarray) -> bytes:
    """An ONNX file from its textual form; the arrays `weights` are its constants."""
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {textwrap.dedent(text)}')
    for name, array in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _onnx(network: Tiny) -> bytes:
    spatial = network.kernel.ndim - 2
    axes = ["N", str(network.kernel.shape[1]), *"DHW"[-spatial:]]
    for axis, size in network.fixed.items():
        axes[axis] = str(size)
    given = [axes[0], str(network.kernel.shape[0]), *axes[2:]]
    return onnx_model(
        f"""
        tiny (float[{",".join(axes)}] image) => (float[{",".join(given)}] scores) {{
          scores = Conv <auto_pad = "SAME_UPPER"> (image, kernel, bias)
        }}""",
        kernel=network.kernel,
        bias=network.bias,
    )


def _example(network: Tiny) -> torch.Tensor:
    shape = [2, network.kernel.shape[1], *(8,) * (network.kernel.ndim - 2)]
    for axis, size in network.fixed.items():
        shape[axis] = size
    return torch.zeros(shape)


def exported(module: nn.Module, network: Tiny) -> bytes:
    """A module as torch.export saves it, every axis dynamic but channels and fixed ones."""
    example = _example(network)
    dynamic = {
        axis: torch.export.Dim.DYNAMIC
        for axis in range(example.dim())
        if axis != 1 and axis not in network.fixed
    }
    program = torch.export.export(module, (example,), dynamic_shapes=(dynamic,))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def scripted(module: nn.Module, network: Tiny) -> bytes:
    """A module as TorchScript saves it."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(module, _example(network)), file)
    return file.getvalue()


OUTPUTS = """
outputs:
  - label: 1
    name: Box
    structure: {value: "5366008", meaning: Hippocampus}
    category: {value: "91723000", meaning: Anatomical Structure}
    sides: not-told
    color: [255, 0, 0]
  - label: 2
    name: Ball
    structure: {value: "15926001", meaning: Brain stem}
    category: {value: "91723000", meaning: Anatomical Structure}
    sides: midline
    color: [0, 255, 0]
"""
SCORES = """
scores:
  - channel: 1
    name: Pneumothorax
    structure: {value: "39607008", meaning: Lung}
    concept: {value: "111012", scheme: DCM, meaning: Certainty of Finding}
    unit: {value: "1", scheme: UCUM, meaning: no units}
"""
INPUT = """
  - name: t1
    title: A phantom
    select: {Modality: MR}
"""


def pipeline_folder(
    folder: Path,
    network: Tiny | bytes,
    kind: Format,
    *,
    keys: str = "",
    says: str = OUTPUTS,
    inputs: str = INPUT,
) -> Path:
    """Write a folder with the network and a manifest whose section `network` has `keys`."""
    data = network if isinstance(network, bytes) else content(network, kind)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / kind.value).write_bytes(data)
    (folder / "card.md").write_text("A network for tests.\n")
    manifest = f"""
name: tiny
version: 1.0.0
kind: {kind.kind}
title: A network for tests
manufacturer: Nobody
intended_use: Tests.
regulatory: {{status: research}}
clinical_role: second-reader
inputs: {inputs}
{says}
network:
  file: {kind.value}
{textwrap.indent(textwrap.dedent(keys).strip(), "  ")}
weights:
  - file: {kind.value}
    sha256: {hashlib.sha256(data).hexdigest()}
    licence: none
    source: made in the test
licence: Apache-2.0
limits: [Tests only.]
"""
    (folder / "pipeline.yaml").write_text(manifest)
    return folder
