"""Gradients at the pixels: saliency, its smoothed and guided forms, and integrated gradients."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..kit.checks import number, whole
from ..kit.networks import undisturbed
from ._answers import Classes, Evidence, check_call, finite, gradient_of, scores_of, wide
from ._guided import GuidedReLU
from .layers import grad_cam
from .maps import rectify, upsample


def saliency(model: nn.Module, images: Tensor, classes: Classes = None, guided: bool = False) -> Evidence:
    """How much each pixel would move the class's logit: largest absolute gradient over the colour channels.

    Simonyan et al., "Deep inside convolutional networks", ICLR workshop 2014, section 3: the gradient of the
    *unnormalised* score, so that no other class can make the map.

    Args:
        model: any module, (B, C, H, W) -> logits (B, K).
        images: preprocessed float images ``(B, C, H, W)`` on the model's device.
        classes: as in `grad_cam`.
        guided: let every ReLU pass back positive gradients only (Springenberg et al., "Striving for
            simplicity", ICLR workshop 2015). Prettier, and nearly the same for every class and for untrained
            networks (Adebayo et al., NeurIPS 2018): it restores the picture more than it explains the answer.

    Returns:
        `Evidence` with maps ``(B, H, W)`` of the images' size, never negative.

    Raises:
        TypeError: an argument of another kind.
        ValueError: arguments that do not fit, or `guided` for a network without a ReLU.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5))
        >>> found = saliency(network, torch.rand(1, 3, 8, 8), 2)
        >>> torch.equal(found.maps[0], network[1].weight[2].reshape(3, 8, 8).abs().amax(0))
        True
    """
    gradients, logits, chosen = _input_gradients(model, images, classes, guided)
    return _evidence(gradients.abs().amax(2), logits, chosen)  # (B, n, C, H, W) -> (B, n, H, W)


def smooth_grad(
    model: nn.Module,
    images: Tensor,
    classes: Classes = None,
    samples: int = 16,
    noise: float = 0.15,
    seed: int = 0,
) -> Evidence:
    """Saliency of the gradient averaged over noisy copies (Smilkov et al., "SmoothGrad", 2017).

    Args:
        model: any module, (B, C, H, W) -> logits (B, K).
        images: preprocessed float images ``(B, C, H, W)`` on the model's device.
        classes: as in `grad_cam`; None stands for the top class of the images without noise.
        samples: noisy copies of each image.
        noise: standard deviation of the normal noise, as a share of each image's range of values.
        seed: the same seed gives the same noise, on any device.

    Returns:
        `Evidence` with maps ``(B, H, W)`` of the images' size, never negative.

    Raises:
        TypeError: an argument of another kind.
        ValueError: arguments that do not fit.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
        >>> smooth_grad(network, torch.rand(2, 3, 8, 8), 2, samples=4).maps.shape
        torch.Size([2, 8, 8])
    """
    samples = whole("samples", samples, 1)
    noise = number("noise", noise, 0)
    first, logits, chosen = _input_gradients(model, images, classes)
    generator = torch.Generator().manual_seed(whole("seed", seed))
    std = noise * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(first)
    for _ in range(samples):
        normal = torch.randn(images.shape, generator=generator).to(images)
        total += _input_gradients(model, images + std * normal, classes if chosen is None else chosen)[0]
    return _evidence((total / samples).abs().amax(2), logits, chosen)


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    classes: Classes = None,
    baseline: float | Tensor = 0.0,
    steps: int = 32,
) -> Evidence:
    """The change of the score from a baseline to the image, shared out among the pixels.

    ``(x - x0) * integral of the gradient along the straight way from x0 to x``, summed over the colour
    channels (Sundararajan et al., "Axiomatic attribution for deep networks", ICML 2017, section 3). Complete:
    the sum of a map is the score of the image less that of the baseline, up to the error of the integral,
    which falls with `steps`. What a map says depends on the baseline: pixels that equal it get nothing.

    Args:
        model: any module, (B, C, H, W) -> logits (B, K).
        images: preprocessed float images ``(B, C, H, W)`` on the model's device.
        classes: as in `grad_cam`; None stands for the top class of the images.
        baseline: image without evidence, a number or a tensor that broadcasts to the images; 0 is the mean
            colour of preprocessed images.
        steps: points on the way (Gauss-Legendre); each costs a forward and a backward pass.

    Returns:
        `Evidence` with signed maps ``(B, H, W)`` of the images' size.

    Raises:
        TypeError: an argument of another kind.
        ValueError: arguments that do not fit.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
        >>> images = torch.rand(2, 3, 8, 8)
        >>> found = integrated_gradients(network, images, 2)
        >>> rise = network(images)[:, 2] - network(torch.zeros(1, 3, 8, 8))[:, 2]
        >>> torch.allclose(found.maps.sum((1, 2)), rise, atol=1e-4)
        True
    """
    steps = whole("steps", steps, 1)
    check_call(model, images, classes)
    start = _baseline(baseline, images)
    way = images.detach() - start  # (B, C, H, W)
    nodes, shares = np.polynomial.legendre.leggauss(steps)  # on -1..1, with shares that sum to 2
    gradients, logits, chosen = _input_gradients(model, images, classes)
    total = torch.zeros_like(gradients)
    for node, share in zip(nodes.tolist(), shares.tolist(), strict=True):
        there = start + (node + 1) / 2 * way
        total += share / 2 * _input_gradients(model, there, classes if chosen is None else chosen)[0]
    return _evidence((total * wide(way)[:, None]).sum(2), logits, chosen)


def guided_grad_cam(
    model: nn.Module, images: Tensor, classes: Classes = None, layer: nn.Module | str | None = None
) -> Evidence:
    """Guided back-propagation, kept where Grad-CAM is positive (Selvaraju et al., ICCV 2017, section 3.1).

    Fine lines from the one, the choice of class from the other.

    Args:
        model: any module with a ReLU, (B, C, H, W) -> logits (B, K).
        images: preprocessed float images ``(B, C, H, W)`` on the model's device.
        classes: as in `grad_cam`.
        layer: as in `grad_cam`.

    Returns:
        `Evidence` with maps ``(B, H, W)`` of the images' size, never negative.

    Raises:
        TypeError: an argument of another kind.
        ValueError: arguments that do not fit, or a network without a ReLU.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
        >>> guided_grad_cam(network, torch.rand(2, 3, 8, 8), 2).maps.shape
        torch.Size([2, 8, 8])
    """
    coarse = grad_cam(model, images, classes, layer)
    fine = saliency(model, images, classes, guided=True)
    return fine._replace(
        maps=fine.maps * upsample(rectify(coarse.maps), (images.shape[-2], images.shape[-1]))
    )


def counterfactual(evidence: Evidence) -> Evidence:
    """Evidence *against* the class: what would have to go for the logit to rise.

    Selvaraju et al., ICCV 2017, section 3.2, negate the gradient, which negates a raw signed map.

    Args:
        evidence: with raw signed maps.

    Example:
        >>> evidence = Evidence(torch.tensor([[[1.0, -2.0]]]), torch.zeros(1, 5), torch.tensor([3]))
        >>> counterfactual(evidence).maps
        tensor([[[-1.,  2.]]])
    """
    return evidence._replace(maps=-evidence.maps)


def _evidence(maps: Tensor, logits: Any, chosen: Tensor | None) -> Evidence:
    finite(maps)
    return Evidence(maps.squeeze(1) if chosen is None or chosen.ndim == 1 else maps, logits, chosen)


def _input_gradients(
    model: nn.Module, images: Tensor, classes: Classes, guided: bool = False
) -> tuple[Tensor, Any, Tensor | None]:
    """Gradients of the scores at the images ``(B, n, C, H, W)``, the logits, and the classes."""
    modules = check_call(model, images, classes)
    with undisturbed(model, True, modules) as network, torch.inference_mode(False), torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        with GuidedReLU() if guided else nullcontext() as relus:
            output = network(leaf.clone())  # a clone, because the first layer may work in place
        if relus is not None and not relus.met:
            raise ValueError("guided back-propagation changes ReLUs, and this model has none")
        scores, logits, chosen = scores_of(classes, output, len(images))
        gradients = torch.stack(
            [wide(gradient_of(s, leaf, "the images", s is not scores[-1])) for s in scores], 1
        )
    return gradients, logits, chosen


def _baseline(baseline: float | Tensor, images: Tensor) -> Tensor:
    """The baseline as images."""
    if not isinstance(baseline, Tensor):
        baseline = torch.tensor(number("baseline", baseline))
    try:
        start = baseline.detach().to(images).expand(images.shape)
    except RuntimeError as error:
        raise ValueError(
            f"baseline must broadcast to images of {tuple(images.shape)}, got {tuple(baseline.shape)}"
        ) from error
    if not start.isfinite().all():
        raise ValueError("baseline must be finite, got NaN or infinite values")
    return start
