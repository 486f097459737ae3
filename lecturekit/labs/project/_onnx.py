"""The student as an ONNX graph: the same steps as `_export.Exported`, for runtimes without PyTorch.

Reducing a picture is written as two products of matrices, because that is what OpenCV's mean over areas is,
and because ONNX has smoothed resizing only since opset 18, which not every runtime knows.
"""

from __future__ import annotations

import json

import numpy as np
from torch import nn

from ...learning.features import BLOCKS, HALF_BLOCKS, STRIDE, Backbone
from ...learning.onnx_graph import Graph
from ._trained import Segmenter, Shifted, Trained


def onnx_file(found: Trained) -> bytes:
    """``image`` uint8 ``(H, W, 3)`` -> ``probabilities`` float32 ``(K, H, W)``; H and W are free.

    Args:
        found: the students.

    Returns:
        The file's bytes; the names of the classes are in its metadata, ``classes``.

    Raises:
        ImportError: onnx is not installed (the extra ``export``).
    """
    graph = _Student()
    height, width = (graph.side("image", axis) for axis in (0, 1))
    x = graph.normalised(graph.seen(graph.batch_of_one("image"), height, width, found.side))
    logits = graph.logits(x, found.network("cpu"))
    wide = graph.add("Squeeze", graph.resized(logits, [height, width]), graph.number(np.array([0])))
    graph.add("Softmax", wide, axis=0, output="probabilities")
    return graph.file(
        "student",
        {"image": (np.uint8, ["height", "width", 3])},
        {"probabilities": (np.float32, [len(found.classes), "height", "width"])},
        classes=json.dumps(list(found.classes)),
    )


class _Student(Graph):
    """The steps from a picture to logits. Lengths are int64 ``(1,)``, measures float64."""

    def seen(self, x: str, height: str, width: str, side: int) -> str:
        """The picture as the network sees it: longer side as wanted, both sides whole cells."""
        longer = self.cast(self.add("Max", height, width), np.float64)
        scale = self.add("Div", self.number(np.array([side], float)), longer)
        rows, columns = (self.whole_cells(length, scale) for length in (height, width))
        left, right = self.shares(height, rows), self.shares(width, columns)
        reduced = self.add("MatMul", self.add("MatMul", left, x), self.add("Transpose", right, perm=[1, 0]))
        enlarged = self.resized(x, [rows, columns], "cubic")
        x = self.add("Where", self.add("Less", columns, width), reduced, enlarged)
        return self.add("Clip", self.add("Round", x), *(self.number(np.float32(v)) for v in (0, 255)))

    def whole_cells(self, length: str, scale: str) -> str:
        """A side of the picture as the network sees it; halves are rounded to even, as NumPy does."""
        wanted = self.add("Mul", self.cast(length, np.float64), scale)
        cells = self.add("Round", self.add("Div", wanted, self.number(float(STRIDE))))
        pixels = self.add("Mul", self.add("Max", cells, self.number(1.0)), self.number(float(STRIDE)))
        return self.cast(pixels, np.int64)

    def counted(self, length: str, axis: int, more: float = 0) -> str:
        """0, 1, ... below a length (and so many more), along an axis of two."""
        end = self.add("Squeeze", self.cast(length, np.float64), self.number(np.array([0])))
        end = self.add("Add", end, self.number(float(more)))
        numbers = self.add("Range", self.number(0.0), end, self.number(1.0))
        return self.add("Unsqueeze", numbers, self.number(np.array([1 - axis])))

    def shares(self, before: str, after: str) -> str:
        """As `Exported.shares`: how much of each old pixel is in each new one, ``(after, before)``."""
        old, new = self.counted(before, 1), self.counted(after, 0)
        count = self.cast(before, np.float64)
        ratio = self.add("Div", count, self.cast(after, np.float64))
        one, half, nothing = (self.number(v) for v in (1.0, 0.5, 0.0))
        # where pixels are taken together: the common length of an old and a new one
        start, end = (self.add("Mul", edge, ratio) for edge in (new, self.add("Add", new, one)))
        last = self.add("Min", end, self.add("Add", old, one))
        common = self.add("Max", self.add("Sub", last, self.add("Max", start, old)), nothing)
        areas = self.add("Div", common, ratio)
        # where rounding to whole cells enlarges a side a little: linear between neighbours
        place = self.add("Sub", self.add("Mul", self.add("Add", new, half), ratio), half)
        place = self.add("Min", self.add("Max", place, nothing), self.add("Sub", count, one))
        near = self.add("Sub", one, self.add("Abs", self.add("Sub", place, old)))
        linear = self.add("Max", near, nothing)
        return self.cast(self.add("Where", self.add("Less", after, before), areas, linear), np.float32)

    def halved(self, x: str, length: str, axis: int) -> str:
        """Maps at half the size along an axis, smoothed by a triangle of four pixels' width."""
        new = self.add("Div", length, self.number(np.array([2])))
        one, two = self.number(1.0), self.number(2.0)
        middle = self.add("Add", self.add("Mul", self.counted(new, 0), two), one)
        pixels = self.add("Add", self.counted(length, 1), self.number(0.5))
        apart = self.add("Abs", self.add("Sub", pixels, middle))
        weights = self.add("Max", self.add("Sub", one, self.add("Div", apart, two)), self.number(0.0))
        total = self.add("ReduceSum", weights, self.number(np.array([1])))
        weights = self.cast(self.add("Div", weights, total), np.float32)  # (length / 2, length)
        if axis == 2:
            return self.add("MatMul", weights, x)
        return self.add("MatMul", x, self.add("Transpose", weights, perm=[1, 0]))

    def logits(self, x: str, network: Segmenter) -> str:
        """As `Segmenter.forward`."""
        features = [self.features(x, one) for one in network.backbones]
        found = [self.head(features[k % len(features)], one) for k, one in enumerate(network.heads)]
        return self.add("Div", self.add("Sum", *found), self.number(np.float32(len(found))))

    def features(self, x: str, backbone: nn.Module) -> str:
        """As `Backbone.forward`."""
        assert isinstance(backbone, Backbone)
        height, width = (self.side(x, axis) for axis in (2, 3))
        size = [self.add("Div", length, self.number(np.array([STRIDE]))) for length in (height, width)]
        half = self.halved(self.halved(x, height, 2), width, 3)
        maps = [*self.outputs(x, backbone, BLOCKS), *self.outputs(half, backbone, HALF_BLOCKS)]
        joined = self.add("Concat", *(self.resized(one, size) for one in maps), axis=1)
        assert isinstance(backbone.reduce, nn.Conv2d)
        return self.convolution(joined, backbone.reduce)

    def outputs(self, x: str, backbone: Backbone, wanted: tuple[int, ...]) -> list[str]:
        """What the wanted stages give."""
        convolution, after = backbone.stem
        assert isinstance(convolution, nn.Conv2d)
        x, found = self.convolution(x, convolution, after), []
        for k, stage in enumerate(backbone.blocks[: max(wanted) + 1]):
            for block in stage.children():
                x = self.block(x, block)
            found += [x] if k in wanted else []
        return found

    def head(self, x: str, shifted: nn.Module) -> str:
        """The logits of one student; dropout does nothing once it is trained."""
        assert isinstance(shifted, Shifted)
        head = shifted.head
        for layer in head.children() if isinstance(head, nn.Sequential) else [head]:
            if isinstance(layer, nn.Conv2d):
                x = self.convolution(x, layer)
            elif isinstance(layer, nn.ReLU):
                x = self.activation(x, layer)
            elif not isinstance(layer, nn.Dropout2d):
                raise TypeError(f"head must be of convolutions and ReLU, got {type(layer).__name__}")
        return self.add("Sub", x, self.number(shifted.get_buffer("offset").cpu().numpy()))
