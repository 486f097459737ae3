"""Which pixels speak for a class? Image and class -> a raw, signed map of evidence.

Every function leaves the model as it found it: no hooks, flags, gradients or statistics are changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._forward import (
    Call,
    GuidedReLU,
    as_logits,
    check_call,
    cut_at,
    find_layer,
    is_dense,
    is_feature_map,
    is_pool,
    last_feature_map,
    replay,
    tensors_in,
    undisturbed,
    watch,
)
from .maps import rectify, upsample


class Evidence(NamedTuple):
    """Maps of evidence and what they belong to.

    Attributes:
        maps: raw signed float ``(B, h, w)``, or ``(B, n, h, w)`` if several classes were asked for.
        logits: what the network said, ``(B, K)``.
        classes: whose evidence each map is, int64 ``(B,)`` or ``(B, n)``.
    """

    maps: Tensor
    logits: Tensor
    classes: Tensor


def cam(model: nn.Module, images: Tensor, classes: int | Sequence | Tensor | str | None = None) -> Evidence:
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
        TypeError, ValueError: bad arguments.
        ValueError: the network's head is another one (max pooling, two layers, a norm in between);
            `grad_cam` has no such need.
    """
    check_call(model, images)
    _check_classes(classes, len(images))
    with torch.no_grad(), undisturbed(model) as network:
        output, calls = watch(network, images)
        logits = as_logits(output)
        chosen = _chosen(classes, logits)
        with torch.autocast(images.device.type, enabled=False):
            features, weight, bias = _gap_head(calls, logits)
            table = chosen.reshape(len(chosen), -1)  # (B, n)
            rows = weight if isinstance(classes, str) else weight[table]  # (K, C) for all, or (B, n, C)
            maps = _weighted_sum(rows, features)
            _check_identity(maps, rows, 0 if bias is None else _wide(bias)[table], features, logits, table)
    return Evidence(maps if chosen.ndim == 2 else maps.squeeze(1), logits, chosen)


def grad_cam(
    model: nn.Module,
    images: Tensor,
    classes: int | Sequence | Tensor | Callable[[Any], Tensor] | None = None,
    layer: nn.Module | str | None = None,
) -> Evidence:
    """Gradient-weighted class activation maps, before the ReLU, of any convolutional network.

    ``sum_k a_k f_k(x, y)`` with ``a_k`` the mean over all positions of the gradient of the class's logit with
    respect to feature map k (Selvaraju et al., "Grad-CAM", ICCV 2017, section 3). `maps.rectify` applies the
    paper's ReLU. On a network with global average pooling and one linear layer, at the pool's input, this is
    ``CAM / (h * w)``.

    The network runs once. Up to the layer it runs without a graph, then from a copy of that layer's output
    with one, so nothing is kept for the trunk and in-place activations do no harm.

    Args:
        model, images: as in `cam`, with any head.
        classes: as in `cam` without ``"all"`` (each class costs a backward pass), or a function from the
            model's output to the score to explain: one number an image ``(B,)``, or their sum.
        layer: module of the model, or its name; its output must be ``(B, C, h, w)``. None stands for the last
            feature map before the head: the input of the global pool.

    Returns:
        `Evidence` with raw signed maps, float32 or wider, of the layer's size. With a function for classes,
        ``classes`` is None and ``logits`` is the model's output.

    Raises:
        TypeError, ValueError: bad arguments, or a layer whose output is no feature map or has no influence.
    """
    check_call(model, images)
    if isinstance(classes, str):
        raise ValueError("classes='all' would take a backward pass a class; name the classes, or use cam")
    if not callable(classes):
        _check_classes(classes, len(images))
    with undisturbed(model) as network, torch.inference_mode(False), torch.no_grad():
        leaf, output, features = _from_layer(network, images, layer)
        with torch.enable_grad():
            scores, logits, chosen = _scores(classes, output, len(images))
        gradients = [_gradient(score, leaf, layer) for score in scores]
        with torch.autocast(images.device.type, enabled=False):
            weights = torch.stack([_wide(features(g)).mean((2, 3)) for g in gradients], 1)  # (B, n, C)
            maps = torch.einsum("bnk,bkhw->bnhw", weights, _wide(features(leaf)))
    single = chosen is None or chosen.ndim == 1
    return Evidence(maps.squeeze(1) if single else maps, logits, chosen)


def saliency(model: nn.Module, images: Tensor, classes: Any = None, guided: bool = False) -> Evidence:
    """How much each pixel would move the class's logit: largest absolute gradient over the colour channels.

    Simonyan et al., "Deep inside convolutional networks", ICLR workshop 2014, section 3: the gradient of the
    *unnormalised* score, so that no other class can make the map.

    Args:
        model, images, classes: as in `grad_cam`.
        guided: let every ReLU pass back positive gradients only (Springenberg et al., "Striving for
            simplicity", ICLR workshop 2015). Prettier, and nearly the same for every class and for untrained
            networks (Adebayo et al., NeurIPS 2018): it restores the picture more than it explains the answer.

    Returns:
        `Evidence` with maps ``(B, H, W)`` of the images' size, never negative.

    Raises:
        TypeError, ValueError: bad arguments, or `guided` for a network without a ReLU.
    """
    gradients, logits, chosen = _input_gradients(model, images, classes, guided)
    maps = gradients.abs().amax(2)  # (B, n, C, H, W) -> (B, n, H, W)
    return Evidence(maps.squeeze(1) if chosen is None or chosen.ndim == 1 else maps, logits, chosen)


def smooth_grad(
    model: nn.Module,
    images: Tensor,
    classes: Any = None,
    samples: int = 16,
    noise: float = 0.15,
    seed: int = 0,
) -> Evidence:
    """Saliency of the gradient averaged over noisy copies (Smilkov et al., "SmoothGrad", 2017).

    Args:
        model, images, classes: as in `saliency`; None stands for the top class of the images without noise.
        samples: noisy copies of each image.
        noise: standard deviation of the normal noise, as a share of each image's range of values.
        seed: the same seed gives the same noise, on any device.
    """
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be a whole number of at least 1, got {samples!r}")
    if not noise >= 0:
        raise ValueError(f"noise must be at least 0, got {noise!r}")
    total, logits, chosen = _input_gradients(model, images, classes, guided=False)
    generator = torch.Generator().manual_seed(seed)
    spread = noise * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(total)
    for _ in range(samples):
        normal = torch.randn(images.shape, generator=generator).to(images)
        total += _input_gradients(model, images + spread * normal, classes if chosen is None else chosen)[0]
    maps = (total / samples).abs().amax(2)
    return Evidence(maps.squeeze(1) if chosen is None or chosen.ndim == 1 else maps, logits, chosen)


def guided_grad_cam(
    model: nn.Module, images: Tensor, classes: Any = None, layer: nn.Module | str | None = None
) -> Evidence:
    """Guided back-propagation, kept where Grad-CAM is positive (Selvaraju et al., ICCV 2017, section 3.1).

    Fine lines from the one, the choice of class from the other; maps ``(B, H, W)``, never negative.
    """
    coarse = grad_cam(model, images, classes, layer)
    fine = saliency(model, images, classes, guided=True)
    return fine._replace(maps=fine.maps * upsample(rectify(coarse.maps), tuple(images.shape[-2:])))


def counterfactual(evidence: Evidence) -> Evidence:
    """Evidence *against* the class: what would have to go for the logit to rise.

    Selvaraju et al., ICCV 2017, section 3.2, negate the gradient, which negates a raw signed map.
    """
    return evidence._replace(maps=-evidence.maps)


def _input_gradients(
    model: nn.Module, images: Tensor, classes: Any, guided: bool = False
) -> tuple[Tensor, Any, Tensor | None]:
    """Gradients of the scores at the images ``(B, n, C, H, W)``, the logits, and the classes."""
    check_call(model, images)
    if isinstance(classes, str):
        raise ValueError("classes='all' would take a backward pass a class; name the classes")
    if not callable(classes):
        _check_classes(classes, len(images))
    with undisturbed(model) as network, torch.inference_mode(False), torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        with GuidedReLU() if guided else nullcontext() as relus:
            output = network(leaf.clone())  # a clone, because the first layer may work in place
        if guided and not relus.met:
            raise ValueError("guided back-propagation changes ReLUs, and this model has none")
        scores, logits, chosen = _scores(classes, output, len(images))
        gradients = torch.stack([_wide(_gradient(score, leaf, "the images")) for score in scores], 1)
    return gradients, logits, chosen


def _from_layer(
    network: nn.Module, images: Tensor, layer: nn.Module | str | None
) -> tuple[Tensor, Any, Callable[[Tensor], Tensor]]:
    """The leaf at the layer, the output that depends on it, and what brings the leaf to ``(B, C, h, w)``."""
    if layer is None:
        output, calls = watch(network, images)
        leaf = last_feature_map(calls).detach().clone().requires_grad_()
        return leaf, replay(calls, leaf, network, output), _channels_first(leaf, calls[0])
    module = find_layer(network, layer)
    with cut_at(module) as kept:
        output = network(images)
    if not kept:
        raise ValueError(f"layer {layer if isinstance(layer, str) else type(layer).__name__} did not run")
    if kept[0].ndim != 4:
        raise ValueError(f"layer must put out feature maps (B, C, h, w), got shape {tuple(kept[0].shape)}")
    return kept[0], output, lambda x: x


def _channels_first(leaf: Tensor, pool: Call) -> Callable[[Tensor], Tensor]:
    """Brings maps like `leaf` to ``(B, C, h, w)``; channels last if only that fits what `pool` made."""
    made = [x.flatten(1).shape[1] for x in tensors_in(pool.result)]
    if made == [leaf.shape[3]] and leaf.shape[3] != leaf.shape[1]:
        return lambda x: x.permute(0, 3, 1, 2)
    return lambda x: x


def _scores(classes: Any, output: Any, batch: int) -> tuple[list[Tensor], Any, Tensor | None]:
    """The scores to differentiate, each summed over the batch; the output without its graph; the classes."""
    if not callable(classes):
        logits = as_logits(output)
        chosen = _chosen(classes, logits)
        columns = chosen.reshape(batch, -1).T.unsqueeze(-1)  # (n, B, 1)
        return [logits.gather(1, column).sum() for column in columns], logits.detach(), chosen
    score = classes(output)
    if not isinstance(score, Tensor) or tuple(score.shape) not in ((), (batch,)):
        met = f"shape {tuple(score.shape)}" if isinstance(score, Tensor) else type(score).__name__
        raise ValueError(
            f"classes, as a function, must return one score an image ({batch},) or a sum, got {met}"
        )
    return [score.sum()], output.detach() if isinstance(output, Tensor) else output, None


def _gradient(score: Tensor, leaf: Tensor, layer: object) -> Tensor:
    """Gradient of `score` at `leaf`; ``ValueError`` if the one does not depend on the other."""
    if score.requires_grad:
        (gradient,) = torch.autograd.grad(score, leaf, retain_graph=True, allow_unused=True)
        if gradient is not None:
            return gradient
    name = layer if isinstance(layer, str) else "the layer"
    raise ValueError(f"layer or classes: the score does not depend on {name}")


def _check_classes(classes: object, batch: int) -> None:
    """Refuse what can be refused before the network has run (and told how many classes it has)."""
    if classes is None or (isinstance(classes, str) and classes == "all"):
        return
    wanted = f"None, 'all', one class, {batch} classes (one an image) or a ({batch}, n) table of classes"
    if isinstance(classes, str):
        raise ValueError(f"classes must be {wanted}, got {classes!r}")
    try:
        table = torch.as_tensor(classes)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"classes must be {wanted}, got {classes!r}") from error
    if table.ndim > 2 or table.numel() == 0 or (table.ndim > 0 and len(table) != batch):
        hint = " (several classes of one image: [[1, 2]])" if batch == 1 and table.ndim == 1 else ""
        raise ValueError(f"classes must be {wanted}, got shape {tuple(table.shape)}{hint}")
    if table.is_floating_point() or table.is_complex() or table.dtype == torch.bool:
        raise TypeError(f"classes must be whole numbers, got {table.dtype}; wanted {wanted}")


def _chosen(classes: int | Sequence | Tensor | str | None, logits: Tensor) -> Tensor:
    """The classes as int64 ``(B,)`` or ``(B, n)`` on the logits' device, checked against their number."""
    batch, count = logits.shape
    if classes is None:
        return logits.argmax(1)
    if isinstance(classes, str):
        return torch.arange(count, device=logits.device).expand(batch, count)
    table = torch.as_tensor(classes, device=logits.device).long()
    if ((table < 0) | (table >= count)).any():
        raise ValueError(f"classes must lie in 0..{count - 1}, got {table.tolist()}")
    return table.expand(batch) if table.ndim == 0 else table


def _gap_head(calls: list[Call], logits: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Feature maps ``(B, C, h, w)`` at the pool's input, weight ``(K, C)`` and bias ``(K,)`` of the head."""
    if not logits.isfinite().all():
        raise ValueError("model put out logits that are NaN or infinite")
    linear = next((found for call in reversed(calls) if (found := _linear_layer(call, logits))), None)
    if linear is None:
        raise _no_gap_head("the answer is not what a linear layer after the last feature map put out")
    pooled, weight, bias = linear
    if is_dense(calls[0]):
        raise _no_gap_head("a fully connected layer, written as a convolution, follows the last feature map")
    for call in calls:
        for features in _pooled_to(pooled, call):
            return features, weight, bias
    raise _no_gap_head("the linear layer's input is not the average of a feature map over all positions")


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
    if not one_position or not torch.equal(_wide(call.result.flatten(1)), _wide(logits)):
        return None
    return _wide(x.flatten(1)), _wide(weight), given.get("bias")


def _pooled_to(pooled: Tensor, call: Call) -> list[Tensor]:
    """The input of `call` as ``(B, C, h, w)`` if its average over all positions is `pooled`, else nothing."""
    x = call.input
    if not (is_feature_map(x) or is_pool(call)) or not x.is_floating_point():
        return []
    layouts = (_wide(y) for y in (x, x.permute(0, 3, 1, 2)))  # channels first, channels last
    return [features for features in layouts if _averages_to(features, pooled, x.dtype)][:1]


def _averages_to(features: Tensor, pooled: Tensor, dtype: torch.dtype) -> bool:
    if features.shape[:2] != pooled.shape:
        return False
    error = (features.mean((2, 3)) - pooled).abs()
    return bool((error <= _rounding(dtype, features) * features.abs().mean((2, 3))).all())


def _weighted_sum(rows: Tensor, features: Tensor) -> Tensor:
    """``sum_k w_ck f_k``: rows ``(n, C)`` or ``(B, n, C)``, features ``(B, C, h, w)`` -> ``(B, n, h, w)``."""
    # Not a 1 x 1 convolution: cuDNN would round its factors to 10 bits (TF32) unasked.
    equation = "nk,bkhw->bnhw" if rows.ndim == 2 else "bnk,bkhw->bnhw"
    return torch.einsum(equation, rows, features).contiguous()


def _check_identity(
    maps: Tensor, rows: Tensor, bias: Tensor | int, features: Tensor, logits: Tensor, table: Tensor
) -> None:
    """Raise unless ``mean_xy CAM_c + b_c = logit_c`` up to the rounding of the network's own arithmetic."""
    error = (maps.mean((2, 3)) + bias - _wide(logits).gather(1, table)).abs()  # (B, n)
    # The rounding error of a sum of products grows with the sum of their absolute values.
    size = _weighted_sum(rows.abs(), features.abs().mean((2, 3), keepdim=True)).flatten(1) + abs(bias)
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


def _wide(x: Tensor) -> Tensor:
    """At least float32, so that the sums of a half-precision network lose nothing more."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
