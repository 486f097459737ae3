"""The course's classifier as an ONNX file that ends at the class maps, for a runtime without Python.

Weights are stored in 16 bits and widened when the file is loaded; all arithmetic is in float32.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from ..learning.onnx_graph import Graph
from ..models import Classifier
from ..models_lite0 import EfficientNetLite0


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
    graph = Graph(bits)
    x = graph.normalised(graph.batch_of_one("pixels"))
    x = graph.convolution(x, network.conv_stem, network.bn1)
    for stage in network.blocks:
        assert isinstance(stage, nn.Sequential)
        for block in stage:
            x = graph.block(x, block)
    x = graph.convolution(x, network.conv_head, network.bn2)
    weight = network.classifier.weight.detach().cpu().double().numpy()
    graph.add("Conv", x, graph.weight(weight[:, :, None, None]), output="maps")
    return graph.file(
        "class maps",
        {"pixels": (np.uint8, ["height", "width", 3])},
        {"maps": (np.float32, [1, "classes", "rows", "columns"])},
    )
