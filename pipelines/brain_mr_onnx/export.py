"""How `model.onnx` was made of the weights beside `pipelines/brain_mr`: `make export-onnx`.

Written node by node, so that the file holds the nine convolutions and nothing else. Needs the
package `onnx`, which only development has.
"""

import sys
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
    nodes, constants, last = [], [], "head"
    for number, stage in enumerate(network):
        convolution, *activation = stage
        if not isinstance(convolution, nn.Conv3d):
            raise TypeError(f"layer {number} is no convolution")
        given = "scores" if number == len(network) - 1 else f"layer_{number}"
        names = [last, f"kernel_{number}", f"bias_{number}"]
        for name, values in zip(names[1:], (convolution.weight, convolution.bias), strict=True):
            constants.append(numpy_helper.from_array(values.contiguous().numpy(), name))
        linear = f"linear_{number}" if activation else given
        nodes.append(
            helper.make_node(
                "Conv",
                names,
                [linear],
                dilations=list(convolution.dilation),
                pads=[*convolution.padding] * 2,
            )
        )
        if activation:
            nodes.append(helper.make_node(_operator(activation[0]), [linear], [given]))
        last = given
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


def _operator(activation: nn.Module) -> str:
    if isinstance(activation, nn.ELU) and activation.alpha == 1.0:
        return "Elu"
    if isinstance(activation, nn.ReLU):
        return "Relu"
    raise TypeError(f"{activation} is not known here")


def main() -> int:
    """Write the file; return the exit code."""
    target = Path(__file__).with_name("model.onnx")
    made: onnx.ModelProto = model(net.load(SHIPPED["brain-mr"], "cpu"))
    target.write_bytes(made.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main())
