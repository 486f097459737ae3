"""From image labels to pixels by three losses: seed, expand, constrain (SEC).

Kolesnikov and Lampert, "Seed, expand and constrain", ECCV 2016. *Seed*: where a classifier's evidence is
strong the segmenter must agree with it. *Expand*: a class of the image label covers a good part of the
image, another none. *Constrain*: the segmenter agrees with what a fully connected CRF makes of its own
answer, whose boundaries run where colours change.

Logits are ``(B, K, h, w)`` with class 0 the background; ``inside`` is bool ``(B, h, w)``, an image's own
cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..kit.checks import choice, number, whole
from ..labels.label_map import BACKGROUND, IGNORE
from ..pixels.crf import mean_field_step
from .points import FLOOR, check_present, peak
from .scribbles import affinity
from .training import Batch, Loss

#: The paper's decays, for maps of 41 x 41: a class that is there, and the background.
DECAY, BACKGROUND_DECAY = 0.996, 0.999
PAPER_CELLS = 41 * 41
#: The three, by name.
LOSSES = ("seed", "expand", "constrain")


def global_weighted_rank_pool(maps: Tensor, decay: float | Tensor, inside: Tensor | None = None) -> Tensor:
    """Mean of a map's values with weights that fall from the highest value to the lowest: ``decay ** rank``.

    Decay 1 is the mean, which makes a class as large as the image, decay 0 the maximum, which makes it a
    single cell; between the two lies a guess of how much of the image a class covers (SEC, section 3.3).

    Args:
        maps: ``(B, K, h, w)``.
        decay: 0..1, one number, or one a class ``(K,)``.
        inside: bool ``(B, h, w)``: values elsewhere are left out. None: all count.

    Returns:
        ``(B, K)``.

    Example:
        >>> maps = torch.tensor([[[[4.0, 1.0], [2.0, 3.0]]]])
        >>> [global_weighted_rank_pool(maps, d).item() for d in (0, 0.5, 1)]
        [4.0, 3.2666666507720947, 2.5]
    """
    decays = torch.as_tensor(decay, dtype=maps.dtype, device=maps.device).expand(maps.shape[1])
    if not ((decays >= 0) & (decays <= 1)).all():
        raise ValueError(f"decay must lie in 0..1, got {decay}")
    if not isinstance(decay, Tensor) and decay in (0, 1):  # the same without sorting
        return _mean(maps, inside) if decay else peak(maps, inside)
    values = maps.flatten(2)
    count = torch.full_like(values[:, :1, :1], values.shape[2])
    if inside is not None:
        values = values.masked_fill(~inside.flatten(1)[:, None], -torch.inf)
        count = inside.flatten(1).sum(1)[:, None, None]
    values = values.sort(2, descending=True).values  # (B, K, N)
    ranks = torch.arange(values.shape[2], device=maps.device, dtype=maps.dtype)
    weights = (decays[:, None] ** ranks) * (ranks < count)  # (B, K, N); 0 ** 0 is 1
    values = values.masked_fill(ranks >= count, 0)
    return (weights * values).sum(2) / weights.sum(2)


def _mean(maps: Tensor, inside: Tensor | None) -> Tensor:
    if inside is None:
        return maps.mean((2, 3))
    return (maps * inside[:, None]).sum((2, 3)) / inside.sum((1, 2))[:, None]


def rescaled_decay(decay: float, cells: int) -> float:
    """The decay that gives a map of `cells` cells the pooled share that the paper's has with its 41 x 41.

    Args:
        decay: the paper's.
        cells: how many the map has.

    Example:
        >>> round(rescaled_decay(0.996, 192), 3)
        0.966
    """
    return number("decay", decay, 0, 1) ** (PAPER_CELLS / whole("cells", cells, 1))


# ----------------------------------------------------------------------------------------------- three losses


def find_seeds(
    maps: ArrayLike,
    present: ArrayLike,
    background: ArrayLike | None = None,
    *,
    share: float = 0.5,
    background_share: float = 0.35,
) -> NDArray[np.uint8]:
    """The cells of one image whose class is taken for known: strong evidence, and the emptiest background.

    Args:
        maps: evidence ``(K, h, w)``, such as CAMs; entry 0 is not looked at.
        present: bool ``(K,)``, the image label.
        background: rank ``(h, w)``, 0..1, of a cue for objects (`pixels.objectness.rank`), low where
            nothing is. None: no background seeds.
        share: a class's seeds are where its map is above this share of its maximum.
        background_share: background's seeds are where the cue's rank is below this and no class has a seed.

    Returns:
        uint8 ``(h, w)``: a class, or 255. Where several classes claim a cell, the one with fewer
        seeds has it.

    Example:
        >>> maps = np.zeros((3, 1, 4))
        >>> maps[2] = [0.0, 0.1, 0.9, 1.0]
        >>> find_seeds(maps, [True, False, True], [[0.0, 0.3, 0.6, 1.0]]).tolist()
        [[0, 0, 2, 2]]
    """
    maps, present = np.asarray(maps, np.float64), np.asarray(present)
    if maps.ndim != 3 or present.shape != maps.shape[:1] or present.dtype != bool:
        raise ValueError(f"present must be bool (K,) for maps (K, h, w), got {present.shape}, {maps.shape}")
    number("share", share, 0, 1)
    number("background_share", background_share, 0, 1)
    seeds = np.full(maps.shape[1:], IGNORE, np.uint8)
    if background is not None:
        seeds[np.asarray(background) < background_share] = BACKGROUND
    classes = [c for c in np.flatnonzero(present) if c != BACKGROUND and maps[c].max() > 0]
    regions = {int(c): maps[c] > share * maps[c].max() for c in classes}
    for c in sorted(regions, key=lambda c: (-regions[c].sum(), c)):
        seeds[regions[c]] = c
    return seeds


def seed_loss(logits: Tensor, seeds: Tensor, balanced: bool = False) -> Tensor:
    """Cross-entropy at the seeds (SEC, equation 2).

    Args:
        logits: ``(B, K, h, w)``.
        seeds: whole numbers ``(B, h, w)``, 255 where nothing is known.
        balanced: mean over the seeds of objects plus mean over those of background, which are many (as in
            Huang et al., CVPR 2018), instead of the mean over all.

    Returns:
        A scalar; 0 without seeds.

    Example:
        >>> seeds = torch.tensor([[[1, 255]]])
        >>> round(seed_loss(torch.zeros(1, 2, 1, 2), seeds).item(), 4)
        0.6931
    """
    losses = F.cross_entropy(logits, seeds.long(), ignore_index=IGNORE, reduction="none")
    groups = [seeds == BACKGROUND, (seeds != BACKGROUND) & (seeds != IGNORE)]
    if not balanced:
        groups = [groups[0] | groups[1]]
    return sum(((losses * g).sum() / g.sum().clamp(min=1) for g in groups), losses.new_zeros(()))


def expand_loss(
    logits: Tensor,
    present: Tensor,
    inside: Tensor | None = None,
    *,
    decay: float = DECAY,
    background_decay: float = BACKGROUND_DECAY,
) -> Tensor:
    """Each class of the image label fills a good part of the image, every other class none (equation 3).

    ``-mean log G(f_c; decay)`` over the classes present, ``-mean log(1 - max f_c)`` over those absent, and
    ``-log G(f_0; background_decay)``, G being `global_weighted_rank_pool` of the probabilities.

    Args:
        logits: ``(B, K, h, w)``.
        present: bool ``(B, K)``; entry 0 is not looked at, background is always there.
        inside: bool ``(B, h, w)`` or None.
        decay: for the classes present, at 41 x 41 cells; rescaled to as many as the maps have.
        background_decay: for background, the same.

    Returns:
        A scalar, the mean over the images.
    """
    check_present(logits, present)
    cells = logits[0, 0].numel()
    decays = torch.full((logits.shape[1],), rescaled_decay(decay, cells), device=logits.device)
    decays[BACKGROUND] = rescaled_decay(background_decay, cells)
    f = logits.softmax(1)
    pooled = global_weighted_rank_pool(f, decays, inside).clamp(min=FLOOR)
    highest = global_weighted_rank_pool(f, 0, inside).clamp(max=1 - FLOOR)
    there, absent = present.clone(), ~present
    there[:, BACKGROUND] = absent[:, BACKGROUND] = False
    loss = -(pooled.log() * there).sum(1) / there.sum(1).clamp(min=1)
    loss = loss - ((1 - highest).log() * absent).sum(1) / absent.sum(1).clamp(min=1)
    return (loss - pooled[:, BACKGROUND].log()).mean()


def constrain_loss(logits: Tensor, belief: Tensor, inside: Tensor | None = None) -> Tensor:
    """``KL(Q || f)``: how far the segmenter is from what the CRF makes of its answer (equation 4).

    Args:
        logits: ``(B, K, h, w)``.
        belief: Q, ``(B, K, h, w)``, from `crf_belief`; no gradient flows into it.
        inside: bool ``(B, h, w)`` or None.

    Returns:
        A scalar, the mean over the cells, at least 0.

    Example:
        >>> constrain_loss(torch.zeros(1, 2, 1, 1), torch.full((1, 2, 1, 1), 0.5)).item()
        0.0
    """
    q = belief.detach()
    apart = (q * (q.clamp(min=FLOOR).log() - logits.log_softmax(1))).sum(1)  # (B, h, w)
    return apart.mean() if inside is None else apart[inside].mean()


def sec_supervision(
    seeds: Tensor,
    present: Tensor,
    colours: Tensor,
    losses: Sequence[str] = LOSSES,
    *,
    balanced: bool = False,
    decay: float = DECAY,
    background_decay: float = BACKGROUND_DECAY,
    constrain_weight: float = 1.0,
    crf: Mapping[str, float] | None = None,
) -> Loss:
    """The sum of SEC's losses, for ``train(features, labels, classes, loss=...)``; labels are not looked at.

    Args:
        seeds: uint8 ``(N, h, w)`` of the training images, on the grid of the features.
        present: bool ``(N, K)``, their image labels.
        colours: RGB in 0..255 of each cell, ``(N, 3, h, w)`` (`grid_colours`).
        losses: which of ``"seed"``, ``"expand"`` and ``"constrain"``, at least one.
        balanced: as in `seed_loss`.
        decay: as in `expand_loss`.
        background_decay: as in `expand_loss`.
        constrain_weight: how much the third loss counts, at least 0; 1 in the paper, as the others.
        crf: weights and widths of its CRF that differ from `crf_kernel`'s.
    """
    number("constrain_weight", constrain_weight, 0)
    if not losses:
        raise ValueError("losses must name at least one, got none")
    for name in losses:
        choice("losses", name, LOSSES)

    def loss(module: nn.Module, batch: Batch, targets: Tensor) -> Tensor:
        known, labels = seeds[batch.pictures].to(batch.device), present[batch.pictures].to(batch.device)
        x, inside, known, rgb = batch.thinned(batch.inside, known, colours[batch.pictures].to(batch.device))
        logits = module(x)
        value = logits.new_zeros(())
        if "seed" in losses:
            value = value + seed_loss(logits, known, balanced)
        if "expand" in losses:
            options = {"decay": decay, "background_decay": background_decay}
            value = value + expand_loss(logits, labels, inside, **options)
        if "constrain" in losses:
            belief = crf_belief(logits, crf_kernel(rgb.float(), inside, **(crf or {})), labels)
            value = value + constrain_weight * constrain_loss(logits, belief, inside)
        return value

    return loss


def grid_colours(images: Sequence[NDArray[np.uint8]], cells: NDArray[np.int64]) -> Tensor:
    """The mean colour of each cell of the grid: uint8 ``(N, 3, h, w)``, 0 beyond an image.

    Args:
        images: uint8 RGB ``(H, W, 3)`` each.
        cells: height and width of each in cells, ``(N, 2)``.
    """
    colours = torch.zeros(len(cells), 3, *cells.max(0).tolist(), dtype=torch.uint8)
    for place, image, (height, width) in zip(colours, images, cells.tolist(), strict=True):
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        place[:, :height, :width] = torch.from_numpy(small).permute(2, 0, 1)
    return colours


# ---------------------------------------------------------------------------------------- the CRF in the loop


def crf_kernel(
    colours: Tensor,
    inside: Tensor | None = None,
    *,
    w1: float = 4.0,
    theta_alpha: float = 0.16,
    theta_beta: float = 10.0,
    w2: float = 3.0,
    theta_gamma: float = 0.7,
) -> Tensor:
    """The kernel of `pixels.crf` between the cells of a grid, exact: ``(B, N, N)`` with N = h w.

    Normalised symmetrically, a cell's message to itself included, as `pixels.crf.Pairwise` does by default.

    Args:
        colours: RGB in 0..255 of each cell, float ``(B, 3, h, w)``.
        inside: bool ``(B, h, w)`` or None: cells beyond an image talk to nobody.
        w1: weight of the appearance kernel.
        theta_alpha: its width, as a share of the grid's longer side.
        theta_beta: its width in grey values.
        w2: weight of the smoothness kernel.
        theta_gamma: its width in cells.
    """
    height, width = colours.shape[-2:]
    grid = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack(grid).to(colours).expand(len(colours), -1, -1, -1)  # (B, 2, h, w)
    reach = theta_alpha * max(height, width)
    parts = [torch.cat([places / reach, colours / theta_beta], 1), places / theta_gamma]
    kernels = [affinity(part, 1.0, inside, own=True) for part in parts]
    scales = [kernel.sum(2).clamp(min=FLOOR).rsqrt() for kernel in kernels]
    normalised = [s[:, :, None] * kernel * s[:, None, :] for s, kernel in zip(scales, kernels, strict=True)]
    return w1 * normalised[0] + w2 * normalised[1]


@torch.no_grad()
def crf_belief(logits: Tensor, kernel: Tensor, present: Tensor | None = None, steps: int = 5) -> Tensor:
    """What the CRF makes of the segmenter's answer: its mean field after some steps.

    Args:
        logits: ``(B, K, h, w)``.
        kernel: ``(B, N, N)`` from `crf_kernel`.
        present: bool ``(B, K)``: classes that are not in the image label get no belief. None: all may.
        steps: of mean field, at least 0.

    Returns:
        ``(B, K, h, w)``; sums to 1 over the classes.
    """
    if present is not None:
        check_present(logits, present)
        allowed = present.clone()
        allowed[:, BACKGROUND] = True
        logits = logits.masked_fill(~allowed[:, :, None, None], -1e4)
    unary = -logits.log_softmax(1).flatten(2).mT  # (B, N, K)
    q = (-unary).softmax(-1)
    for _ in range(whole("steps", steps, 0)):
        q = mean_field_step(q, unary, kernel)
    return q.mT.reshape(logits.shape)
