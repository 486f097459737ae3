"""Fully connected layers as convolutions, and pooling before or after the classifier.

A fully connected layer on feature maps of M x N positions is a convolution with an M x N kernel. Slid over
larger feature maps it answers at every place (Long, Shelhamer & Darrell, "Fully convolutional networks for
semantic segmentation", CVPR 2015, section 3.1). Average pooling and a linear layer commute, which turns a
classifier with global average pooling into one that answers at every place, too (Zhou et al., "Learning deep
features for discriminative localization", CVPR 2016, section 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..kit.checks import choice, whole
from ..kit.networks import undisturbed
from ._answers import checked_model
from ._dense import (
    UntilHead,
    check_same_answer,
    checked_shape,
    convolution,
    dense_head,
    head_calls,
    probed,
    random_images,
    steps_to_weights,
    traced_back,
    with_shared_weights,
)

#: Global pools by name: ``(B, C, h, w) -> (B, C)``.
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean((2, 3)),
    "max": lambda maps: maps.amax((2, 3)),
}


def linear_as_conv(linear: nn.Linear, feature_shape: Sequence[int]) -> nn.Conv2d:
    """The convolution that a fully connected layer on flattened feature maps is.

    Args:
        linear: layer whose input is ``features.flatten(1)``.
        feature_shape: C, M, N, the shape of the feature maps it was made for; ``(C, 1, 1)`` after a global
            pool.

    Returns:
        ``Conv2d(C, K, (M, N))``, which takes ``(B, C, h, w)`` to ``(B, K, h - M + 1, w - N + 1)``. It shares
        the memory of the layer's weights: a change of one is a change of the other.

    Raises:
        TypeError: `linear` is no ``nn.Linear``.
        ValueError: `feature_shape` is not three positive whole numbers whose product is its input size.

    Example:
        >>> convolution = linear_as_conv(nn.Linear(8 * 7 * 7, 10), (8, 7, 7))
        >>> convolution(torch.zeros(1, 8, 9, 7)).shape
        torch.Size([1, 10, 3, 1])
    """
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"linear must be an nn.Linear, got {type(linear).__name__}")
    shape = checked_shape(feature_shape)
    if math.prod(shape) != linear.in_features:
        raise ValueError(
            f"feature_shape {shape} has {math.prod(shape)} numbers, linear takes {linear.in_features}"
        )
    return convolution(linear.weight, linear.bias, shape)


def pool_then_classify(
    features: Tensor, classifier: Callable[[Tensor], Tensor], pool: str = "mean"
) -> Tensor:
    """The usual order: one number a feature map, then the classifier.

    Args:
        features: feature maps ``(B, C, h, w)``.
        classifier: an ``nn.Linear`` or whatever takes ``(..., C)`` to ``(..., K)``.
        pool: ``"mean"`` or ``"max"`` over all positions.

    Returns:
        Logits ``(B, K)``.

    Raises:
        ValueError: features of another shape, or another pool.

    Example:
        >>> features, linear = torch.rand(2, 8, 7, 7), nn.Linear(8, 10)
        >>> logits = pool_then_classify(features, linear)
        >>> torch.allclose(logits, classify_then_pool(features, linear), atol=1e-5)
        True
    """
    return classifier(_pool(features, pool)(features))


def classify_then_pool(
    features: Tensor, classifier: Callable[[Tensor], Tensor], pool: str = "mean"
) -> Tensor:
    """The other order: the classifier at every position, then one number a class.

    With ``pool="mean"`` and a linear classifier both orders give the same, since both steps are linear. With
    ``pool="max"`` this is the head of Oquab et al., CVPR 2015.

    Args:
        features: as in `pool_then_classify`.
        classifier: as in `pool_then_classify`.
        pool: as in `pool_then_classify`.

    Returns:
        Logits ``(B, K)``.

    Raises:
        ValueError: features of another shape, or another pool.
    """
    reduce = _pool(features, pool)
    maps = classifier(features.movedim(1, -1)).movedim(-1, 1)  # (B, h, w, C) -> (B, K, h, w)
    return reduce(maps)


class Cost(NamedTuple):
    """What a head costs for one image.

    Attributes:
        multiply_adds: multiplications, each with its addition. Pooling only adds and counts nothing.
        parameters: weights and biases.
        activations: numbers that the head puts out on its way, logits included; 4 bytes each in float32.
    """

    multiply_adds: int
    parameters: int
    activations: int


def head_cost(feature_shape: Sequence[int], classes: int, order: str) -> Cost:
    """Cost of a head on feature maps of `feature_shape` (C, h, w), by closed form.

    Args:
        feature_shape: channels, height and width of the feature maps.
        classes: outputs of the linear layer.
        order: ``"pool_then_classify"``, ``"classify_then_pool"``, or ``"flatten"``: a fully connected layer
            with a weight for every position.

    Raises:
        ValueError: a shape, number or order of another kind.

    Example:
        >>> head_cost((512, 7, 7), 1000, "pool_then_classify").multiply_adds
        512000
        >>> head_cost((512, 7, 7), 1000, "classify_then_pool").multiply_adds
        25088000
    """
    channels, height, width = checked_shape(feature_shape)
    classes = whole("classes", classes, 1)
    positions, once = height * width, channels * classes
    costs = {
        "pool_then_classify": Cost(once, once + classes, channels + classes),
        "classify_then_pool": Cost(once * positions, once + classes, classes * positions + classes),
        "flatten": Cost(once * positions, once * positions + classes, classes),
    }
    return costs[choice("order", order, costs)]


def fully_convolutional(model: nn.Module, size: int | tuple[int, int] | None = None) -> FullyConvolutional:
    """The same classifier with an answer at every place instead of one a picture.

    - Global average pooling and one linear layer: the pool is left out and the layer is applied at every
      position. The mean of the class maps is the model's answer, at every size of the input.
    - Global average pooling and several layers with something non-linear between them, which do not commute:
      the pool becomes one that slides, with a window of the feature maps' size at the training size.
    - Flattening and fully connected layers (VGG, AlexNet): the first becomes an M x N convolution, the others
      become 1 x 1 convolutions; an adaptive pool that does nothing at the training size is left out.

    In the last two cases there is one position at the training size, and its numbers are the model's answer.
    Both are run on random pixels of that size, and compared, before anything is returned.

    Args:
        model: a network ``(B, C, H, W) -> (B, K)``, on the device on which it is to run. It is not changed.
        size: height and width it was trained on, in pixels, or one number for both; only the last two cases
            depend on it. None stands for what a timm network says of itself, and for 224 otherwise. If
            fully connected layers do not fit that size, square feature maps are taken for granted.

    Returns:
        A module in eval mode that shares the model's weights: train one and you train both.

    Raises:
        TypeError: `model` is no module.
        ValueError: the head is none of these (max pooling, a transformer); the size does not fit.

    Example:
        >>> layers = nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
        >>> dense = fully_convolutional(nn.Sequential(*layers), size=32)
        >>> dense(torch.zeros(1, 3, 32, 64)).shape
        torch.Size([1, 5, 15, 31])
    """
    with torch.no_grad(), undisturbed(checked_model(model)) as network:
        twin = with_shared_weights(network)
        images = random_images(twin, size)
        probe, logits = probed(twin, images)
        chain = head_calls(probe, logits)
        dense = FullyConvolutional(twin, dense_head(chain, twin), steps_to_weights(chain), probe.idle_pools)
        if not probe.guessed:
            check_same_answer(dense(images), logits)
    return dense


class FullyConvolutional(nn.Module):
    """A classifier that answers at every place: images ``(B, C, H, W)`` -> class maps ``(B, K, h, w)``.

    Attributes:
        network: the classifier, which is run up to its last feature maps.
        head: what follows them, as convolutions.
    """

    def __init__(self, network: nn.Module, head: nn.Sequential, steps: int, idle_pools: set[tuple]):
        super().__init__()
        self.network, self.head = network, head
        self._steps, self._idle_pools = steps, idle_pools
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """The last feature maps ``(B, C, h, w)``, before any pooling or flattening."""
        tail = UntilHead(next(self.head.parameters(), None), self._idle_pools)
        reached = tail.run(self.network, images)
        return traced_back(tail.calls, reached, self._steps)

    def forward(self, images: Tensor) -> Tensor:
        """Class maps ``(B, K, h, w)``; ``ValueError`` for images that are too small for one answer."""
        features = self.features(images)
        h, w = features.shape[2:]
        m, n = getattr(next(iter(self.head), None), "kernel_size", (1, 1))
        if h < m or w < n:
            met = f"images of {images.shape[2]} x {images.shape[3]} pixels have {h} x {w}"
            raise ValueError(f"images must be large enough for {m} x {n} positions, {met}")
        return self.head(features)


def _pool(features: Tensor, pool: str) -> Callable[[Tensor], Tensor]:
    if not isinstance(features, Tensor) or features.ndim != 4:
        met = f"shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"features must be a tensor (B, C, h, w), got {met}")
    return POOLS[choice("pool", pool, POOLS)]
