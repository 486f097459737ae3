"""Grad-CAM and its relatives: maps from a layer's features and the gradient of the score at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..kit.checks import choice
from ..kit.networks import undisturbed
from ._answers import (
    Classes,
    Evidence,
    as_written,
    check_call,
    check_logits,
    chosen_classes,
    finite,
    gradient_of,
    scores_of,
    wide,
)
from ._forward import Call, cut_at, ends_in_linear, find_layer, last_feature_map, replay, tensors_in, watch
from ._layout import AxisFinder, channel_axis

Reshape = Callable[[Tensor], Tensor]
#: What `scores_of` gives: scores to differentiate, output, classes.
Answer = tuple[list[Tensor], Any, Tensor | None]

WEIGHTS = ("mean", "elementwise", "positive", "plusplus", "xgrad")


def grad_cam(
    model: nn.Module,
    images: Tensor,
    classes: Classes = None,
    layer: nn.Module | str | None = None,
    weights: str = "mean",
    reshape: Reshape | None = None,
) -> Evidence:
    """Gradient-weighted class activation maps, before the ReLU, of any convolutional network.

    ``sum_k a_k f_k(x, y)`` with ``a_k`` the mean over all positions of the gradient of the class's logit with
    respect to feature map k (Selvaraju et al., "Grad-CAM", ICCV 2017, section 3). `maps.rectify` applies the
    paper's ReLU. On a network with global average pooling and one linear layer, at the pool's input, this is
    ``CAM / (h * w)``.

    The network runs once. Up to the layer it runs without a graph, then from a copy of that layer's output
    with one, so nothing is kept for the layers before and in-place activations do no harm.

    With f a feature map, g the gradient at it, and sums and means over positions, `weights` are:

    - ``"mean"``: Grad-CAM, ``a = mean(g)``. Needs the least of the layer, and at an inner layer can light up
      where features are strong and the gradient is not.
    - ``"elementwise"``: HiResCAM, ``sum_k g_k f_k`` at each position (Draelos & Carin, "Use HiResCAM instead
      of Grad-CAM for faithful explanations", 2020). Shows where the score, made linear at this layer, comes
      from; noisy at early layers. With a head of global average pooling the same as Grad-CAM.
    - ``"positive"``: LayerCAM, ``sum_k max(g_k, 0) f_k`` (Jiang et al., IEEE Transactions on Image Processing
      2021). The usual one for fine maps of inner layers; it hides all evidence against the class.
    - ``"plusplus"``: Grad-CAM++, ``a = sum(alpha max(g, 0))`` with ``alpha = g^2 / (2 g^2 + g^3 sum(f))``, 0
      where g is 0 (Chattopadhay et al., WACV 2018, equations 9 and 19). Made for several objects of a class;
      the derivation takes features that are nowhere negative and the exponential of the logit for the score.
    - ``"xgrad"``: XGrad-CAM, ``a = sum(g f) / sum(f)``, 0 where the sum of f is (Fu et al., BMVC 2020,
      equation 8). The mean of the map is then that of HiResCAM; unstable where positive and negative features
      cancel.

    Args:
        model: any module, (B, C, H, W) -> logits (B, K), with any head.
        images: preprocessed float images ``(B, C, H, W)`` on the model's device.
        classes: as in `cam` without ``"all"`` (each class costs a backward pass), or a function from the
            model's output to the score to explain: one number an image ``(B,)``, or their sum.
        layer: module of the model, or its name; its output must be ``(B, C, h, w)``, or ``(B, h, w, C)`` if
            what the network does with it tells so. None stands for the last feature map before the head: the
            input of the global pool.
        weights: how features are weighted, one of the five above.
        reshape: brings the output of `layer` to ``(B, C, h, w)``, picking and moving numbers only. For a
            vision transformer's tokens: ``lambda x: x[:, 1:].unflatten(1, (h, w)).permute(0, 3, 1, 2)``.

    Returns:
        `Evidence` with raw signed maps, float32 or wider, of the layer's size. With a function for classes,
        ``classes`` is None and ``logits`` is the model's output.

    Raises:
        TypeError: an argument of another kind.
        ValueError: arguments that do not fit; a layer whose output is no feature map, or has no influence.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 5))
        >>> grad_cam(network, torch.rand(2, 3, 16, 16), 4).maps.shape
        torch.Size([2, 7, 7])
        >>> difference = grad_cam(network, torch.rand(2, 3, 16, 16), lambda y: y[:, 4] - y[:, 0], layer="0")
        >>> difference.maps.shape
        torch.Size([2, 7, 7])
    """
    modules = check_call(model, images, classes)
    choice("weights", weights, WEIGHTS)
    if reshape is not None and layer is None:
        raise ValueError("reshape needs a layer: name the one whose output it brings to (B, C, h, w)")
    # At the default layer no graph is made in the network's own pass: `replay` copies what its graph needs.
    graph = layer is not None
    with undisturbed(model, graph, modules) as network, torch.inference_mode(False), torch.no_grad():
        if layer is None:
            leaf, answer, features, strangers = _from_last_map(network, modules, images, classes)
        else:
            leaf, output, features = _from_layer(model, network, images, layer, reshape)
            strangers = []
            with torch.enable_grad():
                answer = scores_of(classes, output, len(images))
        scores, logits, chosen = answer
        name = "the last feature map" if layer is None else layer if isinstance(layer, str) else "the layer"
        with as_written(images):
            f = wide(features(leaf.detach()))
            found = (gradient_of(s, leaf, name, s is not scores[-1], strangers) for s in scores)
            gradients = (wide(features(g)) for g in found)
            maps = finite(_weighted(weights, f, gradients))
    single = chosen is None or chosen.ndim == 1
    return Evidence(maps.squeeze(1) if single else maps, logits, chosen)


def _weighted(weights: str, f: Tensor, gradients: Any) -> Tensor:
    """Maps ``(B, n, h, w)`` of features ``(B, C, h, w)`` and as many gradients like them, one at a time."""
    if weights == "elementwise":
        return torch.stack([(g * f).sum(1) for g in gradients], 1)
    if weights == "positive":
        return torch.stack([(g.clamp(min=0) * f).sum(1) for g in gradients], 1)
    makers = {"mean": _mean_gradient, "plusplus": _plusplus, "xgrad": _share_of_map}
    a = torch.stack([makers[weights](f, g) for g in gradients], 1)  # (B, n, C)
    return (a @ f.flatten(2)).unflatten(2, f.shape[2:])


def _mean_gradient(f: Tensor, g: Tensor) -> Tensor:
    return g.mean((2, 3))


def _plusplus(f: Tensor, g: Tensor) -> Tensor:
    # alpha with its square cancelled, since squares of small gradients would underflow
    denominator = 2 + g * f.sum((2, 3), keepdim=True)
    return torch.where(denominator != 0, g.clamp(min=0) / denominator, 0).sum((2, 3))


def _share_of_map(f: Tensor, g: Tensor) -> Tensor:
    total = f.sum((2, 3))
    return torch.where(total != 0, (g * f).sum((2, 3)) / total, 0)


def _from_last_map(
    network: nn.Module, modules: list[nn.Module], images: Tensor, classes: Classes
) -> tuple[Tensor, Answer, Reshape, list[Tensor]]:
    """The leaf before the head, the scores that depend on it, its way to ``(B, C, h, w)``, and strangers."""
    output, calls = watch(network, images)
    leaf = last_feature_map(calls).detach().clone().requires_grad_()
    if not callable(classes) and ends_in_linear(calls, output):
        # Of the last layer, which holds most of the head's weights, only the rows that were asked for.
        x, strangers = replay(calls[:-1], leaf, modules, calls[-1].input)
        chosen = chosen_classes(classes, check_logits(output))
        rows = calls[-1].given["weight"].detach()[chosen.reshape(len(images), -1)]  # (B, n, C)
        with torch.enable_grad():
            answer = [(row * x).sum() for row in rows.unbind(1)], output, chosen
    else:
        rebuilt, strangers = replay(calls, leaf, modules, output)
        with torch.enable_grad():
            answer = scores_of(classes, rebuilt, len(images))
    return leaf, answer, _channels_first(leaf, calls[0]), strangers


def _channels_first(leaf: Tensor, pool: Call) -> Reshape:
    """Brings maps like `leaf` to ``(B, C, h, w)``; channels last if only that fits what `pool` made."""
    made = [x.flatten(1).shape[1] for x in tensors_in(pool.result)]
    if made == [leaf.shape[3]] and leaf.shape[3] != leaf.shape[1]:
        return lambda x: x.permute(0, 3, 1, 2)
    return lambda x: x


def _from_layer(
    model: nn.Module, network: nn.Module, images: Tensor, layer: nn.Module | str, reshape: Reshape | None
) -> tuple[Tensor, Any, Reshape]:
    """The leaf at the layer, the output that depends on it, and what brings the leaf to ``(B, C, h, w)``."""
    module = find_layer(model, network, layer)
    with cut_at(module) as kept, AxisFinder(kept).after(module) as finder:
        output = network(images)
    if not kept:
        raise ValueError(f"layer {layer if isinstance(layer, str) else type(layer).__name__} did not run")
    shape = tuple(kept[0].shape)
    if reshape is not None:
        _check_reshaped(reshape(kept[0].detach()), kept[0], len(images))
        return kept[0], output, reshape
    if len(shape) != 4 or shape[0] != len(images):
        raise ValueError(
            f"layer must put out feature maps (B, C, h, w), got shape {shape}; of tokens, say with reshape= "
            "which is where"
        )
    axis = channel_axis(network, module, finder)
    if axis is None:
        raise ValueError(
            f"layer puts out shape {shape}, and nothing tells whether that is (B, C, h, w) or (B, h, w, C), "
            "or neither (attention); say it with reshape="
        )
    return kept[0], output, lambda x: x.movedim(axis, 1)


def _check_reshaped(maps: object, output: Tensor, batch: int) -> None:
    met = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
    if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != batch:
        raise ValueError(
            f"reshape must return feature maps (B, C, h, w), got {met} for {tuple(output.shape)}"
        )
