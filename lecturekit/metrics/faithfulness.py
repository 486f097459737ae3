"""Does a map say what the network looks at? Tests that change pixels or weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..evidence.maps import check_maps
from ..kit.checks import number, whole
from ..kit.networks import undisturbed
from .overlap import Array, as_tensor


def deletion(model: nn.Module, images: Tensor, maps: Tensor, classes: Array, steps: int = 32) -> Tensor:
    """How fast the class's probability falls when the best pixels go first (Petsiuk et al., RISE, BMVC 2018).

    Pixels are replaced by 0, the mean of preprocessed images, highest value of the map first.

    Args:
        model: float ``(B, C, H, W)`` -> logits ``(B, K)``; it is run in eval mode, without a graph.
        images: preprocessed ``(B, C, H, W)``.
        maps: float ``(B, H, W)`` of the images' size.
        classes: one class an image, ``(B,)``.
        steps: equal parts in which the pixels go.

    Returns:
        Probabilities ``(B, steps + 1)``, from the whole picture to none. Their mean over the second axis is
        the area under the curve: lower is better, and it rewards whatever breaks the network fastest.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: shapes, classes or steps that do not fit, or a network that puts out NaN.

    Example:
        >>> network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
        >>> deletion(network, torch.rand(2, 3, 8, 8), torch.rand(2, 8, 8), [0, 4], steps=4).shape
        torch.Size([2, 5])
    """
    return _revealing(model, images, maps, classes, steps, delete=True)


def insertion(model: nn.Module, images: Tensor, maps: Tensor, classes: Array, steps: int = 32) -> Tensor:
    """How fast the probability rises when the best pixels come first; as `deletion`, but higher is better.

    Args:
        model: as in `deletion`.
        images: as in `deletion`.
        maps: as in `deletion`.
        classes: as in `deletion`.
        steps: equal parts in which the pixels come.

    Returns:
        Probabilities ``(B, steps + 1)``, from no picture to the whole one.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: shapes, classes or steps that do not fit, or a network that puts out NaN.
    """
    return _revealing(model, images, maps, classes, steps, delete=False)


def road(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    classes: Array,
    steps: int = 9,
    best_first: bool = True,
    noise: float = 0.01,
    seed: int = 0,
) -> Tensor:
    """Deletion whose holes are filled from around them, so that the holes' shape gives nothing away.

    ROAD of Rong et al., "A consistent and efficient evaluation strategy for attribution methods", ICML 2022,
    section 5. In `deletion` the network also sees where pixels are missing, and pictures unlike any it has
    learned. Here each missing pixel is the mean of its eight neighbours, direct ones with twice the weight of
    diagonal ones, missing neighbours included (one sparse linear system an image), plus a little noise.

    A good map makes the curve fall early with the best pixels first and late with the worst first; the mean
    of the second curve less that of the first is one number for both.

    Args:
        model: float ``(B, C, H, W)`` -> logits ``(B, K)``; it is run in eval mode, without a graph.
        images: preprocessed ``(B, C, H, W)``.
        maps: float ``(B, H, W)`` of the images' size.
        classes: one class an image, ``(B,)``.
        steps: removals, of ``1 / (steps + 1)``, ``2 / (steps + 1)``, ... of the pixels: 10 to 90 % for 9.
        best_first: remove the pixels with the highest values first; else the lowest.
        noise: standard deviation of the noise on filled-in values.
        seed: of the noise.

    Returns:
        Probabilities ``(B, steps + 1)``, that of the whole picture first.

    Raises:
        TypeError: maps that are no float tensor.
        ValueError: shapes, classes or steps that do not fit, or a network that puts out NaN.

    Example:
        >>> network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
        >>> road(network, torch.rand(2, 3, 8, 8), torch.rand(2, 8, 8), [0, 4], steps=3).shape
        torch.Size([2, 4])
    """
    steps = whole("steps", steps, 1)
    noise = number("noise", noise, 0)
    generator = torch.Generator().manual_seed(whole("seed", seed))
    rank = _rank(images, maps if best_first else -maps)
    shown = [images]
    for step in range(1, steps + 1):
        missing = rank < round(step / (steps + 1) * maps[0].numel())
        filled = [_filled(image, hole) for image, hole in zip(images, missing, strict=True)]
        added = noise * torch.randn(images.shape, generator=generator).to(images)
        shown.append(torch.where(missing[:, None], torch.stack(filled) + added, images))
    return _probabilities(model, shown, classes)


def _filled(image: Tensor, missing: Tensor) -> Tensor:
    """`image` ``(C, H, W)`` with each missing pixel the weighted mean of its neighbours, known or not."""
    import scipy.sparse  # here, since it takes half a second that the other measures do not need
    from scipy.sparse.linalg import splu

    holes = missing.cpu().numpy()
    height, width = holes.shape
    number_of = np.full((height + 2, width + 2), -2)  # -2 outside, -1 known, else the unknown's number
    number_of[1:-1, 1:-1] = -1
    number_of[1:-1, 1:-1][holes] = np.arange(holes.sum())
    pixels = np.pad(image.detach().double().cpu().numpy(), ((0, 0), (1, 1), (1, 1)))
    y, x = np.nonzero(holes)
    unknown = np.arange(len(y))
    diagonal, known = np.zeros(len(y)), np.zeros((len(y), len(pixels)))
    entries = []  # weight, row, column of the neighbours that are missing, too
    for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
        weight = 1 / 6 if dy * dx == 0 else 1 / 12
        neighbour = number_of[y + 1 + dy, x + 1 + dx]
        diagonal += weight * (neighbour > -2)
        known += weight * np.where(neighbour == -1, pixels[:, y + 1 + dy, x + 1 + dx], 0).T
        pairs = neighbour >= 0
        entries.append((np.full(pairs.sum(), -weight), unknown[pairs], neighbour[pairs]))
    values, rows, columns = (np.concatenate(part) for part in zip(*entries, strict=True))
    system = scipy.sparse.csc_array((values, (rows, columns)), shape=(len(y), len(y)))
    solved = splu((system + scipy.sparse.diags_array(diagonal)).tocsc()).solve(known)  # (n, C)
    result = image.detach().clone()
    result[:, missing] = torch.from_numpy(solved.T).to(image)
    return result


def _revealing(
    model: nn.Module, images: Tensor, maps: Tensor, classes: Array, steps: int, delete: bool
) -> Tensor:
    steps = whole("steps", steps, 1)
    rank = _rank(images, maps)[:, None]
    touched = (rank < round(step / steps * maps[0].numel()) for step in range(steps + 1))
    return _probabilities(model, (torch.where(t == delete, 0, images) for t in touched), classes)


def _rank(images: Tensor, maps: Tensor) -> Tensor:
    """The place of each pixel ``(B, H, W)`` by its value in the map, 0 for the highest."""
    check_maps(maps)
    if maps.shape != (len(images), *images.shape[-2:]):
        raise ValueError(
            f"maps must be {(len(images), *images.shape[-2:])}, got {tuple(maps.shape)}; upsample"
        )
    order = torch.sort(maps.flatten(1), dim=1, descending=True, stable=True).indices
    return order.argsort(1).reshape(maps.shape)


def _probabilities(model: nn.Module, shown: Iterable[Tensor], classes: Array) -> Tensor:
    """The probability of each image's class in every batch that is shown, ``(B, batches)``."""
    curve = []
    with torch.no_grad(), undisturbed(model) as network:
        for images in shown:
            columns = as_tensor(classes, images.device).long().reshape(len(images), 1)
            curve.append(network(images).softmax(1).gather(1, columns))
    probabilities = torch.cat(curve, 1)
    if not probabilities.isfinite().all():
        raise ValueError("model put out logits that are NaN or infinite")
    return probabilities


def randomisation_check(
    model: nn.Module, explain: Callable[[nn.Module], Tensor], seeds: Sequence[int] = (0, 1, 2)
) -> Tensor:
    """Does a map depend on what the network has learned? (Adebayo et al., "Sanity checks", NeurIPS 2018.)

    The weights of a copy of the model are shuffled within each tensor, which keeps their distribution and
    destroys what they know; then the maps before and after are compared. A map that stays alike shows the
    picture and not the network. Small maps are noisy: average over many images and seeds.

    Args:
        model: any module; it is not changed.
        explain: makes maps ``(B, h, w)`` with the model it is given, for classes that it holds fixed.
        seeds: one shuffle each.

    Returns:
        Spearman's rank correlation of the absolute maps, ``(seeds, B)``; 0 for a flat map.

    Example:
        >>> network, images = nn.Conv2d(3, 1, 3), torch.rand(2, 3, 8, 8)
        >>> randomisation_check(network, lambda copy: copy(images)[:, 0].detach(), seeds=(0, 1)).shape
        torch.Size([2, 2])
    """
    before = explain(model).abs().flatten(1)
    return torch.stack(
        [_spearman(before, explain(_shuffled(model, seed)).abs().flatten(1)) for seed in seeds]
    )


def _shuffled(model: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for weight in copied.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return copied


def _spearman(a: Tensor, b: Tensor) -> Tensor:
    """Rank correlation of the rows of two ``(B, n)`` tensors; equal values share their mean rank."""
    import scipy.stats  # here, since it takes more than a second that the other measures do not need

    ranks = [torch.from_numpy(scipy.stats.rankdata(x.double().cpu().numpy(), axis=1)) for x in (a, b)]
    a, b = (r - r.mean(1, keepdim=True) for r in ranks)
    size = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(size > 0, (a * b).sum(1) / torch.where(size > 0, size, 1), 0)
