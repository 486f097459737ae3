"""Class activation maps, read off the weights of a head of global average pooling and one linear layer."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from ..kit.networks import undisturbed
from ._answers import Evidence, as_logits, as_written, check_call, check_logits, chosen_classes, wide
from ._forward import Call, is_dense, watch


def cam(model: nn.Module, images: Tensor, classes: int | ArrayLike | Tensor | str | None = None) -> Evidence:
    """Class activation maps of a network that ends in global average pooling and one linear layer.

    ``CAM_c(x, y) = sum_k w_ck f_k(x, y)``, with f the feature maps at the pool's input and w the weights of
    the linear layer (Zhou et al., "Learning deep features for discriminative localization", CVPR 2016,
    section 2). Its mean over all positions plus the bias is the logit, which is checked: a map that does not
    explain the answer is never returned.

    The model runs once, in eval mode and without a graph. It may be frozen, compiled, in half precision or
    under autocast, ``no_grad`` or ``inference_mode``.

    Args:
        model: any such module, (B, C, H, W) -> logits (B, K); pool and layer are found by themselves.
        images: preprocessed float images ``(B, C, H, W)`` on the model's device.
        classes: None for each image's top class; one class for all images; B classes, one an image;
            ``(B, n)`` classes, n an image; or ``"all"``.

    Returns:
        `Evidence` with float32 maps (float64 for a float64 model) of the pool's input size.

    Raises:
        TypeError: an argument of another kind.
        ValueError: images or classes that do not fit, or a head of another kind (max pooling, two layers, a
            norm in between); `grad_cam` has no such need.

    Example:
        >>> layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
        >>> network = nn.Sequential(*layers)
        >>> found = cam(network, torch.rand(2, 3, 16, 16), [0, 4])
        >>> found.maps.shape, found.classes
        (torch.Size([2, 14, 14]), tensor([0, 4]))
        >>> logits = found.maps.mean((1, 2)) + network[4].bias[[0, 4]]  # the map explains the answer
        >>> torch.allclose(logits, found.logits[[0, 1], [0, 4]], atol=1e-5)
        True
    """
    modules = check_call(model, images, classes, gradients=False)
    with torch.no_grad(), undisturbed(model, modules=modules) as network:
        output, calls = watch(network, images)
        logits = as_logits(output)
        chosen = chosen_classes(classes, logits)
        with as_written(images):
            features, weight, bias = _gap_head(calls, logits)
            table = chosen.reshape(len(chosen), -1)  # (B, n)
            rows = weight if isinstance(classes, str) else weight[table]  # (K, C) for all, or (B, n, C)
            maps = _weighted_sum(rows, features)
            offset = torch.zeros(()).to(maps) if bias is None else wide(bias)[table]
            _check_identity(maps, rows, offset, features, logits, table)
    return Evidence(maps if chosen.ndim == 2 else maps.squeeze(1), logits, chosen)


def _gap_head(calls: list[Call], logits: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Feature maps ``(B, C, h, w)`` at the pool's input, weight ``(K, C)`` and bias ``(K,)`` of the head."""
    check_logits(logits)
    linear = next((found for call in reversed(calls) if (found := _linear_layer(call, logits))), None)
    if linear is None:
        raise _no_gap_head("the answer is not what a linear layer after the last feature map put out")
    pooled, weight, bias = linear
    if is_dense(calls[0]):
        raise _no_gap_head("a fully connected layer, written as a convolution, follows the last feature map")
    features = _pooled_to(pooled, calls[0])
    if features is None:
        raise _no_gap_head("the linear layer's input is not the average of a feature map over all positions")
    return features, weight, bias


def _linear_layer(call: Call, logits: Tensor) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """Input ``(B, C)``, weight ``(K, C)`` and bias, if `call` is the linear layer that put out the logits.

    A 1 x 1 convolution at one position is one too. The numbers must be the same, since in bf16 the accuracy
    of a float could not tell a softmax behind the layer from rounding.
    """
    given = call.given
    if call.function is F.linear:
        x, weight = given["input"], given["weight"]
    elif call.function is F.conv2d and given.get("groups", 1) == 1:
        x, weight = given["input"], given["weight"].flatten(1)
    else:
        return None
    # one position: as many numbers an image as the layer has inputs
    one_position = x.ndim >= 2 and x[0].numel() == weight.shape[1]
    if not one_position or not torch.equal(wide(call.result.flatten(1)), wide(logits)):
        return None
    return wide(x.flatten(1)), wide(weight), given.get("bias")


def _pooled_to(pooled: Tensor, call: Call) -> Tensor | None:
    """The input of `call` as ``(B, C, h, w)`` if its average over all positions is `pooled`."""
    x = call.input
    if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point():
        return None
    layouts = (wide(y) for y in (x, x.permute(0, 3, 1, 2)))  # channels first, channels last
    return next((features for features in layouts if _averages_to(features, pooled, x.dtype)), None)


def _averages_to(features: Tensor, pooled: Tensor, dtype: torch.dtype) -> bool:
    if features.shape[:2] != pooled.shape:
        return False
    error = (features.mean((2, 3)) - pooled).abs()
    return bool((error <= _rounding(dtype, features) * features.abs().mean((2, 3))).all())


def _weighted_sum(rows: Tensor, features: Tensor) -> Tensor:
    """``sum_k w_ck f_k``: rows ``(n, C)`` or ``(B, n, C)``, features ``(B, C, h, w)`` -> ``(B, n, h, w)``."""
    # Not a 1 x 1 convolution: cuDNN would round its factors to 10 bits (TF32) by default.
    equation = "nk,bkhw->bnhw" if rows.ndim == 2 else "bnk,bkhw->bnhw"
    return torch.einsum(equation, rows, features).contiguous()


def _check_identity(
    maps: Tensor, rows: Tensor, bias: Tensor, features: Tensor, logits: Tensor, table: Tensor
) -> None:
    """Raise unless ``mean_xy CAM_c + b_c = logit_c`` up to the rounding of the network's own arithmetic."""
    error = (maps.mean((2, 3)) + bias - wide(logits).gather(1, table)).abs()  # (B, n)
    # The rounding error of a sum of products grows with the sum of their absolute values.
    size = _weighted_sum(rows.abs(), features.abs().mean((2, 3), keepdim=True)).flatten(1) + bias.abs()
    tf32 = logits.is_cuda and logits.dtype == torch.float32  # the network may have used it
    if not (error <= _rounding(torch.float16 if tf32 else logits.dtype, features) * size).all():
        raise _no_gap_head(f"mean of the map plus bias misses the logit by {error.max():.3g}")


def _rounding(dtype: torch.dtype, features: Tensor) -> float:
    """Relative error of an average over all positions: a few roundings to `dtype`, a wide one a summand."""
    return 4 * torch.finfo(dtype).eps + (16 + features[0, 0].numel()) * torch.finfo(features.dtype).eps


def _no_gap_head(what: str) -> ValueError:
    return ValueError(
        "cam needs a network that ends in global average pooling and one linear layer; in this one "
        f"{what}. Use Grad-CAM (grad_cam), which has no such need."
    )
