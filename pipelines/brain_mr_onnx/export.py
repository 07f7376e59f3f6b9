"""How `model.onnx` was made of the weights beside `pipelines/brain_mr`: `make export-onnx`.

Written node by node, so that the file holds the nine convolutions and nothing else. Needs the
package `onnx`, which only development has.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pipelines.brain_mr import net
from pipelines.folders import SHIPPED

OPSET, IR_VERSION = 21, 10
AXES = ("left", "inferior", "anterior")


def model(network: nn.Sequential) -> onnx.ModelProto:
    """Return the network as ONNX: one head of any size in, scores of the classes out."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    given = "head"
    for number, (convolution, activation) in enumerate(_layers(network)):
        taken = [given, f"kernel_{number}", f"bias_{number}"]
        given = f"layer_{number}" if activation else "scores"
        constants += [
            numpy_helper.from_array(values.detach().contiguous().numpy(), name)
            for name, values in zip(taken[1:], convolution.parameters(), strict=True)
        ]
        nodes.append(
            helper.make_node(
                "Conv",
                taken,
                [f"linear_{number}" if activation else given],
                dilations=list(convolution.dilation),
                pads=[int(size) for size in convolution.padding] * 2,
            )
        )
        if activation:
            nodes.append(helper.make_node(activation, [f"linear_{number}"], [given]))
    graph = helper.make_graph(
        nodes,
        "MeshNet-18",
        [helper.make_tensor_value_info("head", TensorProto.FLOAT, [1, 1, *AXES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 18, *AXES])],
        constants,
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def _layers(network: nn.Sequential) -> Iterator[tuple[nn.Conv3d, str]]:
    """Yield each convolution and the operator of its activation; "" after the last one."""
    operators = {nn.ELU: "Elu", nn.ReLU: "Relu"}
    for stage in network.children():
        convolution, *activations = stage.children()
        if not isinstance(convolution, nn.Conv3d):
            raise TypeError(f"{convolution} is no convolution")
        yield convolution, "".join(operators[type(activation)] for activation in activations)


def main() -> int:
    """Write the file; return the exit code."""
    target = Path(__file__).with_name("model.onnx")
    made: onnx.ModelProto = model(net.load(SHIPPED["brain-mr"], "cpu"))
    target.write_bytes(made.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main())
