"""The course's classifier as an ONNX file that ends at the class maps, for a runtime without Python.

The graph is written node by node, so that it needs no exporter and keeps what the network is: some fifty
convolutions. Weights are stored in 16 bits and widened when the file is loaded; all arithmetic is in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..kit.checks import choice
from ..models import MEAN, STD, Classifier
from ..models_lite0 import DepthwiseSeparable, EfficientNetLite0, InvertedResidual, NormAct, SameConv2d

if TYPE_CHECKING:
    import onnx

#: Of the file: old enough for every runtime of the last years.
_OPSET, _IR_VERSION = 17, 8


def class_map_network(model: Classifier, bits: int = 16) -> bytes:
    """An ONNX file: ``pixels`` uint8 ``(H, W, 3)`` -> ``maps`` float32 ``(1, 1000, H / 32, W / 32)``.

    The maps are those of `lecturekit.evidence.cam`: the linear layer applied at every position, without its
    bias, so that the mean of a map plus the bias is the logit. Batch norms are folded into the convolutions.

    Args:
        model: from `lecturekit.models.load_classifier`.
        bits: of a stored weight, 16 or 32. (8, as whole numbers with one scale a filter, were tried: maps of
            the top class then correlate with these by 0.985 at worst, and in 1 of 60 views it is another.)

    Returns:
        The file's bytes; H and W are free.

    Raises:
        ImportError: onnx is not installed (the extra ``export``).
        TypeError: a network of another kind.
        ValueError: other `bits`.
    """
    network = model.network
    if not isinstance(network, EfficientNetLite0):
        raise TypeError(f"model must hold an EfficientNetLite0, got {type(network).__name__}")
    graph = _Graph(choice("bits", bits, (16, 32)))
    x = graph.preprocessed("pixels")
    x = graph.convolution(x, network.conv_stem, network.bn1)
    for stage in network.blocks:
        assert isinstance(stage, nn.Sequential)
        for block in stage:
            x = graph.block(x, block)
    x = graph.convolution(x, network.conv_head, network.bn2)
    weight = network.classifier.weight.detach().cpu().double().numpy()
    graph.add("Conv", [x, graph.weight(weight[:, :, None, None])], output="maps")
    return graph.file()


class _Graph:
    """Nodes and numbers of an ONNX graph, in the order in which they are added."""

    def __init__(self, bits: int):
        try:
            import onnx
        except ImportError as error:
            raise ImportError("onnx is missing: python -m pip install 'lecturekit[export]'") from error
        self.onnx = onnx
        self.bits = bits
        self.nodes: list[onnx.NodeProto] = []
        self.numbers: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """A node with one output, whose name comes back."""
        output = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def number(self, values: Any) -> str:
        """A constant of the graph, by name."""
        name = f"number{len(self.numbers)}"
        self.numbers.append(self.onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def float32(self, name: str) -> str:
        return self.add("Cast", [name], to=self.onnx.TensorProto.FLOAT)

    def weight(self, weight: NDArray[np.float64]) -> str:
        """A filter bank, stored in so many bits; the runtime widens it once, when it loads the file."""
        if self.bits == 32:
            return self.number(weight.astype(np.float32))
        return self.float32(self.number(weight.astype(np.float16)))

    def preprocessed(self, pixels: str) -> str:
        """``(x - mean) / std``, channels first, a batch of one."""
        x = self.float32(pixels)
        x = self.add("Sub", [x, self.number(np.float32(MEAN))])
        x = self.add("Div", [x, self.number(np.float32(STD))])
        x = self.add("Transpose", [x], perm=[2, 0, 1])
        return self.add("Unsqueeze", [x, self.number(np.array([0], np.int64))])

    def convolution(self, x: str, layer: SameConv2d, norm: NormAct) -> str:
        """A convolution with its batch norm folded in, and ReLU6 where the norm has it."""
        scale, shift = _scale_and_shift(norm)
        weight = layer.weight.detach().cpu().double().numpy() * scale[:, None, None, None]
        inputs = [x, self.weight(weight), self.number(shift.astype(np.float32))]
        strides, groups = list(layer.stride), layer.groups
        # "SAME_UPPER" is TensorFlow's padding at every size, the odd pixel at the end.
        y = self.add("Conv", inputs, auto_pad="SAME_UPPER", strides=strides, group=groups)
        if isinstance(norm.act, nn.Identity):
            return y
        return self.add("Clip", [y, self.number(np.float32(0)), self.number(np.float32(6))])

    def block(self, x: str, block: nn.Module) -> str:
        """A block of the network, as its `forward` writes it."""
        if isinstance(block, DepthwiseSeparable):
            y = self.convolution(x, block.conv_dw, block.bn1)
            y = self.convolution(y, block.conv_pw, block.bn2)
        else:
            assert isinstance(block, InvertedResidual)
            y = self.convolution(x, block.conv_pw, block.bn1)
            y = self.convolution(y, block.conv_dw, block.bn2)
            y = self.convolution(y, block.conv_pwl, block.bn3)
        return self.add("Add", [y, x]) if block.residual else y

    def file(self) -> bytes:
        """The graph from ``pixels`` to ``maps`` as a file, checked."""
        pixels = self.onnx.helper.make_tensor_value_info(
            "pixels", self.onnx.TensorProto.UINT8, ["height", "width", 3]
        )
        maps = self.onnx.helper.make_tensor_value_info(
            "maps", self.onnx.TensorProto.FLOAT, [1, "classes", "rows", "columns"]
        )
        graph = self.onnx.helper.make_graph(self.nodes, "class maps", [pixels], [maps], self.numbers)
        opset = [self.onnx.helper.make_opsetid("", _OPSET)]
        whole = self.onnx.helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=opset)
        self.onnx.checker.check_model(whole)
        return whole.SerializeToString()


def _scale_and_shift(norm: NormAct) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A batch norm in eval mode is ``scale * x + shift``, a channel each."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    weight, bias, mean, variance = (
        t.detach().cpu().double().numpy() for t in (norm.weight, norm.bias, mean, variance)
    )
    scale = weight / np.sqrt(variance + norm.eps)
    return scale, bias - mean * scale
