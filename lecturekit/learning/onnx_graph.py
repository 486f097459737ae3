"""ONNX graphs written node by node: no exporter is needed, and each line is one step of the network.

For what the course's own network is made of: convolutions with their batch norms, resizing, and heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..kit.checks import choice
from ..models import MEAN, STD
from ..models_lite0 import DepthwiseSeparable, InvertedResidual, SameConv2d

if TYPE_CHECKING:
    import onnx

#: Of the file: old enough for every runtime of the last years.
OPSET, IR_VERSION = 17, 8


class Graph:
    """Nodes and numbers of an ONNX graph, in the order in which they are added.

    Args:
        bits: of a stored weight, 16 or 32; all arithmetic is in float32.

    Raises:
        ImportError: onnx is not installed (the extra ``export``).
        ValueError: other `bits`.
    """

    def __init__(self, bits: int = 32):
        choice("bits", bits, (16, 32))
        try:
            import onnx
        except ImportError as error:
            raise ImportError("onnx is missing: python -m pip install 'lecturekit[export]'") from error
        self.onnx = onnx
        self.bits = bits
        self.nodes: list[onnx.NodeProto] = []
        self.numbers: dict[tuple, onnx.TensorProto] = {}

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """A node with one output.

        Args:
            kind: of the node, such as ``"Add"``.
            *inputs: names; "" for one that is left out.
            output: its name; None: one is made up.
            **attributes: of the node.

        Returns:
            The name of its output.
        """
        output = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def number(self, values: Any) -> str:
        """A constant, by name; the same one twice is kept once.

        Args:
            values: a number or an array, of the type it is to have.
        """
        values = np.asarray(values)
        key = values.dtype.str, values.shape, values.tobytes()
        if key not in self.numbers:
            name = f"number{len(self.numbers)}"
            self.numbers[key] = self.onnx.numpy_helper.from_array(values, name)
        return self.numbers[key].name

    def cast(self, name: str, kind: type) -> str:
        """The same values in another type.

        Args:
            name: of the values.
            kind: of NumPy.
        """
        return self.add("Cast", name, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def weight(self, weight: NDArray[np.float64]) -> str:
        """A filter bank, stored in so many bits; the runtime widens it once, when it loads the file.

        Args:
            weight: any shape.
        """
        if self.bits == 32:
            return self.number(weight.astype(np.float32))
        return self.cast(self.number(weight.astype(np.float16)), np.float32)

    def normalised(self, x: str) -> str:
        """``(x - mean) / std``, as the classifier was trained.

        Args:
            x: float32, grey values 0..255.
        """
        return self.add(
            "Div", self.add("Sub", x, self.number(np.float32(MEAN))), self.number(np.float32(STD))
        )

    def batch_of_one(self, image: str) -> str:
        """``(H, W, 3)`` -> float32 ``(1, 3, H, W)``.

        Args:
            image: of any type.
        """
        x = self.add("Transpose", self.cast(image, np.float32), perm=[2, 0, 1])
        return self.add("Unsqueeze", x, self.number(np.array([0], np.int64)))

    def convolution(self, x: str, layer: nn.Conv2d, after: nn.Module | None = None) -> str:
        """A convolution and what stands behind it: a batch norm, which is folded in, and an activation.

        Args:
            x: feature maps.
            layer: padded as `SameConv2d`, or of one pixel.
            after: batch norm (its ``act`` is the activation), ReLU6, ReLU, or nothing.
        """
        if not isinstance(layer, SameConv2d) and layer.kernel_size != (1, 1):
            raise TypeError(f"layer must be a SameConv2d, or see one pixel, got {layer}")
        scale, shift = _scale_and_shift(layer, after)
        weight = _numbers(layer.weight) * scale[:, None, None, None]
        inputs = [x, self.weight(weight), self.number(shift.astype(np.float32))]
        # "SAME_UPPER" is TensorFlow's padding at every size, the odd pixel at the end.
        strides, groups = list(layer.stride), layer.groups
        y = self.add("Conv", *inputs, auto_pad="SAME_UPPER", strides=strides, group=groups)
        return self.activation(y, getattr(after, "act", after))

    def activation(self, x: str, act: nn.Module | None) -> str:
        """ReLU6, ReLU or nothing.

        Args:
            x: feature maps.
            act: which; a batch norm without one counts as nothing.
        """
        if isinstance(act, nn.ReLU6):
            return self.add("Clip", x, self.number(np.float32(0)), self.number(np.float32(6)))
        return self.add("Relu", x) if isinstance(act, nn.ReLU) else x

    def block(self, x: str, block: nn.Module) -> str:
        """A block of EfficientNet-Lite0, as its ``forward`` writes it.

        Args:
            x: feature maps.
            block: with its batch norms, or with these fused into the convolutions.
        """
        if isinstance(block, DepthwiseSeparable):
            y = self.convolution(x, block.conv_dw, block.bn1)
            y = self.convolution(y, block.conv_pw, block.bn2)
        else:
            assert isinstance(block, InvertedResidual)
            y = self.convolution(x, block.conv_pw, block.bn1)
            y = self.convolution(y, block.conv_dw, block.bn2)
            y = self.convolution(y, block.conv_pwl, block.bn3)
        return self.add("Add", y, x) if block.residual else y

    def side(self, x: str, axis: int) -> str:
        """Length of an array along an axis, int64 ``(1,)``.

        Args:
            x: the array.
            axis: which.
        """
        return self.add("Shape", x, start=axis, end=axis + 1)

    def resized(self, x: str, size: Sequence[str], mode: str = "linear") -> str:
        """Feature maps ``(1, C, h, w)`` at another size, as ``interpolate(align_corners=False)`` has it.

        Args:
            x: the maps.
            size: height and width, int64 ``(1,)`` each.
            mode: ``"linear"``, or ``"cubic"``.
        """
        sizes = self.add("Concat", self.add("Shape", x, start=0, end=2), *size, axis=0)
        way: dict[str, Any] = {"coordinate_transformation_mode": "half_pixel", "cubic_coeff_a": -0.75}
        return self.add("Resize", x, "", "", sizes, mode=mode, **way)

    def file(
        self,
        name: str,
        inputs: Mapping[str, tuple[type, Sequence[str | int]]],
        outputs: Mapping[str, tuple[type, Sequence[str | int]]],
        **about: str,
    ) -> bytes:
        """The graph as a file, checked.

        Args:
            name: of the graph.
            inputs: type and shape of each, by name; a text in a shape names a free length.
            outputs: the same.
            **about: texts that go with the file.
        """
        helper = self.onnx.helper

        def described(some: Mapping[str, tuple[type, Sequence[str | int]]]) -> list:
            types = {k: helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for k, (kind, _) in some.items()}
            return [helper.make_tensor_value_info(k, types[k], list(shape)) for k, (_, shape) in some.items()]

        numbers = list(self.numbers.values())
        graph = helper.make_graph(self.nodes, name, described(inputs), described(outputs), numbers)
        opset = [helper.make_opsetid("", OPSET)]
        whole = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opset)
        if about:
            helper.set_model_props(whole, about)
        self.onnx.checker.check_model(whole)
        return whole.SerializeToString()


def _numbers(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().cpu().double().numpy()


def _scale_and_shift(
    layer: nn.Conv2d, after: nn.Module | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A batch norm in eval mode is ``scale * x + shift``, a channel each; so is the lack of one."""
    bias = np.zeros(layer.out_channels) if layer.bias is None else _numbers(layer.bias)
    if not isinstance(after, nn.BatchNorm2d):
        return np.ones(layer.out_channels), bias
    assert after.running_mean is not None
    assert after.running_var is not None
    scale = _numbers(after.weight) / np.sqrt(_numbers(after.running_var) + after.eps)
    return scale, _numbers(after.bias) + (bias - _numbers(after.running_mean)) * scale
