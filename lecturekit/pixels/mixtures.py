"""Mixtures of Gaussians for colours, fitted by EM, a batch at a time."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..kit.checks import whole

#: Variance added to every colour component, in units of (100 Lab)²: one step of lightness.
MIN_VARIANCE = 1e-4


class Mixture(NamedTuple):
    """Mixtures of K Gaussians with full covariance, one mixture a picture."""

    weights: Tensor  #: (B, K), they sum to 1
    means: Tensor  #: (B, K, 3)
    covariances: Tensor  #: (B, K, 3, 3)


def fit_mixture(
    colours: Tensor, share: Tensor, components: int = 5, steps: int = 8, start: Mixture | None = None
) -> Mixture:
    """Maximum likelihood by EM (Dempster, Laird and Rubin 1977), for a batch at once.

    Nothing is random: the first components are slabs of equal weight along the principal axis of the colours,
    in the spirit of the colour quantiser of Orchard and Bouman (IEEE Trans. Signal Processing 1991) that
    GrabCut starts from. `MIN_VARIANCE` keeps a sample of one colour from collapsing.

    Args:
        colours: ``(B, N, 3)``, components of the order of 1.
        share: ``(B, N)``, at least 0: how much each pixel counts; 0 leaves it out.
        components: K.
        steps: of EM.
        start: go on from here instead.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, negative shares.

    Example:
        >>> colours = torch.tensor([[[0.0, 0, 0], [0.2, 0, 0], [0.8, 0, 0], [1.0, 0, 0]]])
        >>> mixture = fit_mixture(colours, torch.ones(1, 4), components=2)
        >>> mixture.means[0, :, 0].sort().values
        tensor([0.1000, 0.9000])
    """
    if colours.ndim != 3 or colours.shape[2] != 3 or share.shape != colours.shape[:2]:
        raise ValueError(
            f"colours must be (B, N, 3) and share (B, N), got {tuple(colours.shape)}, {tuple(share.shape)}"
        )
    if not (colours.isfinite().all() and share.isfinite().all() and (share >= 0).all()):
        raise ValueError("colours and share must be finite and share at least 0")
    whole("components", components, 1)
    products = _products(colours)
    mixture = start or _moments(products, _slabs(colours, share, components))
    for _ in range(steps):
        belongs = (_coefficients(mixture) @ products).softmax(1)  # (B, K, N)
        mixture = _moments(products, belongs * share[:, None])
    return mixture


def log_density(mixture: Mixture, colours: Tensor) -> Tensor:
    """Logarithm of the mixture's density at each colour: ``(B, N, 3)`` -> ``(B, N)``."""
    return (_coefficients(mixture) @ _products(colours)).logsumexp(1)


def _products(x: Tensor) -> Tensor:
    """1, x and the six products of x with x ``(B, 10, N)``: a Gaussian's log density is linear in them."""
    r, g, b = x.unbind(-1)
    return torch.stack([torch.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, r * b, g * b], 1)


def _moments(products: Tensor, belongs: Tensor) -> Mixture:
    """The M step: weights, means and covariances from the responsibilities ``(B, K, N)``."""
    sums = belongs @ products.transpose(1, 2)  # (B, K, 10)
    mass = sums[..., 0].clamp(min=1e-6)
    mean = sums[..., 1:4] / mass[..., None]
    square = sums[..., 4:] / mass[..., None]  # of the six products, in the order of `_products`
    second = square[..., [0, 3, 4, 3, 1, 5, 4, 5, 2]].unflatten(-1, (3, 3))  # (B, K, 3, 3)
    floor = MIN_VARIANCE * torch.eye(3, dtype=mean.dtype, device=mean.device)
    covariance = second - mean[..., :, None] * mean[..., None, :] + floor
    return Mixture(mass / mass.sum(-1, keepdim=True), mean, covariance)


def _coefficients(mixture: Mixture) -> Tensor:
    """``(B, K, 10)``: log(weight * density) of each component as a linear function of `_products`."""
    # The inverse of a symmetric 3 x 3 matrix by its cofactors, the cross products of its rows: a batched
    # solver takes many times as long for matrices as small as these.
    first, second, third = mixture.covariances.unbind(-2)
    crossed = (
        torch.linalg.cross(second, third),
        torch.linalg.cross(third, first),
        torch.linalg.cross(first, second),
    )
    determinant = (first * crossed[0]).sum(-1)
    precision = torch.stack(crossed, -1) / determinant[..., None, None]
    slope = (precision @ mixture.means[..., None])[..., 0]
    constant = (
        mixture.weights.log()
        - (determinant.log() + 3 * math.log(2 * math.pi) + (slope * mixture.means).sum(-1)) / 2
    )
    own = -precision.diagonal(dim1=-2, dim2=-1) / 2
    cross = -precision[..., [0, 0, 1], [1, 2, 2]]
    return torch.cat([constant[..., None], slope, own, cross], -1)


def _slabs(colours: Tensor, share: Tensor, components: int) -> Tensor:
    """Responsibilities ``(B, K, N)``: K parts of equal weight, cut across the sample's principal axis."""
    total = share.sum(1, keepdim=True).clamp(min=1e-6)
    centred = colours - (share[..., None] * colours).sum(1, keepdim=True) / total[..., None]
    scatter = (centred * share[..., None]).transpose(1, 2) @ centred
    axis = torch.linalg.eigh(scatter.cpu()).eigenvectors[..., -1:].to(colours)  # 3 x 3: not for every device
    along = (centred @ axis)[..., 0]
    order = torch.where(share > 0, along, torch.inf).argsort(dim=1, stable=True)
    before = share.gather(1, order).cumsum(1) - share.gather(1, order) / 2
    slab = (before / total * components).long().clamp(0, components - 1)
    slab = torch.zeros_like(slab).scatter(1, order, slab)
    return (slab[:, None] == torch.arange(components, device=slab.device)[:, None]) * share[:, None]
