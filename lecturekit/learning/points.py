"""Learn to segment from clicks and from image labels: Bearman et al., "What's the Point", ECCV 2016.

An image label says which classes are there, a click says where one of them is, and objectness, which nobody
has to label, says what looks like an object at all. Each is one term of a sum of losses.

Logits are float ``(B, K, h, w)``, class 0 the background. ``inside`` is bool ``(B, h, w)`` where a batch
holds images of several sizes: True on an image's own cells; None means everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.scenes.strokes import deepest
from ..kit.checks import choice, number
from ..labels.boxes import checked_boxes, paint_order, window
from ..labels.label_map import BACKGROUND, IGNORE, checked_label_map
from .features import Features
from .training import Batch, Loss, cross_entropy

#: The least probability that a logarithm is taken of.
FLOOR = 1e-6
#: Labelled cells that a step looks at; of more (scribbles), as many at random.
MOST_CELLS = 512


def image_level_loss(logits: Tensor, present: Tensor, inside: Tensor | None = None) -> Tensor:
    """Every class of the image label is somewhere, every other class is nowhere.

    With ``p_c`` the highest probability of class c in an image, the loss is the mean of ``-log p_c`` over the
    classes that are present plus the mean of ``-log(1 - p_c)`` over those that are not (equation 2).

    Args:
        logits: ``(B, K, h, w)``.
        present: bool ``(B, K)``. Background counts as a class: mostly it is present in every image.
        inside: bool ``(B, h, w)`` or None.

    Returns:
        A scalar, the mean over the images.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> logits = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]], [[-9.0, -9.0]]]])  # one image, two cells
        >>> image_level_loss(logits, torch.tensor([[True, True, False]])).item() < 1e-3
        True
    """
    check_present(logits, present)
    highest = peak(logits.softmax(1), inside).clamp(FLOOR, 1 - FLOOR)  # (B, K)
    return (_mean_where(-highest.log(), present) + _mean_where(-(1 - highest).log(), ~present)).mean()


def peak(maps: Tensor, inside: Tensor | None = None) -> Tensor:
    """The highest value of each map on an image's own cells: ``(B, K, h, w)`` -> ``(B, K)``.

    Args:
        maps: ``(B, K, h, w)``.
        inside: bool ``(B, h, w)`` or None.
    """
    if inside is not None:
        maps = maps.masked_fill(~inside[:, None], -torch.inf)
    return maps.amax((2, 3))


def point_loss(logits: Tensor, cells: Tensor, classes: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy at the cells that were clicked (equation 3).

    Clicks are few: hand over all of an image's, also where a step of training looks at some cells only.

    Args:
        logits: ``(B, K, h, w)``.
        cells: whole numbers ``(N, 3)``: image of the batch, row and column of each click.
        classes: whole numbers ``(N,)``.
        weights: float ``(N,)``: how much a click counts, such as the share of people who would click there;
            None: all 1.

    Returns:
        A scalar, the weighted mean over the clicks; 0 for none.

    Example:
        >>> point_loss(torch.zeros(1, 4, 2, 2), torch.tensor([[0, 1, 1]]), torch.tensor([3])).exp().item()
        4.0
    """
    image, row, column = cells.long().unbind(1)
    losses = F.cross_entropy(logits[image, :, row, column], classes.long(), reduction="none")
    weights = torch.ones_like(losses) if weights is None else weights
    return (weights * losses).sum() / weights.sum().clamp(min=FLOOR)


def objectness_loss(logits: Tensor, objectness: Tensor, inside: Tensor | None = None) -> Tensor:
    """What looks like an object is of some class, what does not is background (equation 4).

    ``-mean[P log(sum of the classes) + (1 - P) log(background)]`` with P the objectness of a cell.

    Args:
        logits: ``(B, K, h, w)``.
        objectness: ``(B, h, w)``, 0..1, such as `pixels.objectness.as_probability` of a cue.
        inside: bool ``(B, h, w)`` or None.

    Returns:
        A scalar, the mean over the cells.

    Example:
        >>> sure = torch.tensor([20.0, -20.0])[None, :, None, None]
        >>> round(objectness_loss(sure, torch.zeros(1, 1, 1)).item(), 4)
        0.0
    """
    if objectness.shape != (len(logits), *logits.shape[2:]):
        raise ValueError(f"objectness must be {(len(logits), *logits.shape[2:])}, got {objectness.shape}")
    total = logits.logsumexp(1)
    background = logits[:, BACKGROUND] - total
    objects = logits[:, BACKGROUND + 1 :].logsumexp(1) - total
    loss = -(objectness * objects + (1 - objectness) * background)
    return loss.mean() if inside is None else loss[inside].mean()


def candidates_loss(logits: Tensor, present: Tensor, inside: Tensor | None = None) -> Tensor:
    """Every cell is of some class of the image label: ``-mean log(sum of the classes present)``.

    What an image label says about each single cell, and it is never wrong: learning from sets of candidates
    (Jin and Ghahramani, "Learning with multiple labels", NIPS 2002).

    Args:
        logits: ``(B, K, h, w)``.
        present: bool ``(B, K)``, background included.
        inside: bool ``(B, h, w)`` or None.

    Returns:
        A scalar, the mean over the cells.

    Example:
        >>> present = torch.tensor([[True, True, False, False]])  # two classes of four
        >>> round(candidates_loss(torch.zeros(1, 4, 1, 1), present).exp().item(), 4)
        2.0
    """
    check_present(logits, present)
    allowed = logits.masked_fill(~present[:, :, None, None], -torch.inf)
    loss = logits.logsumexp(1) - allowed.logsumexp(1)
    return loss.mean() if inside is None else loss[inside].mean()


# ---------------------------------------------------------------------------- what `training.train` minimises


def labelled_cells_loss(module: nn.Module, batch: Batch, targets: Tensor) -> Tensor:
    """Cross-entropy at the labelled cells of a step's images, also where it looks at every third cell alone.

    The point loss of `train`, whose labels hold a pixel a click (`clicks_as_labels`), and that of scribbles.

    Args:
        module: a head of one cell on frozen features, such as ``two_layer``.
        batch: the images of the step.
        targets: ``(B, K, h, w)``, shares of the classes, 0 where there is no label.
    """
    if not isinstance(batch.source, Features):
        raise ValueError("labelled cells alone can be looked at on frozen features, not with finetune=True")
    image, row, column = (targets.sum(1) > 0).nonzero(as_tuple=True)
    if len(image) == 0:
        return targets.new_zeros((), dtype=torch.float32)
    if len(image) > MOST_CELLS:
        some = torch.randperm(len(image))[:MOST_CELLS].to(image.device)
        image, row, column = image[some], row[some], column[some]
    wanted = targets[image, :, row, column][..., None, None]
    # read where the labels are; the whole grids of a step are a hundred times as many numbers
    image, row, column = (one.cpu().numpy() for one in (image, row, column))
    values = batch.source.values[batch.pictures.numpy()[image], :, row, column]  # (n, C)
    x = torch.from_numpy(values.astype("f4")).to(batch.device)[..., None, None]
    return cross_entropy(module(x), wanted)


def point_supervision(present: Tensor, objectness: Tensor | None = None, weight: float = 0.1) -> Loss:
    """Bearman et al.'s sum of losses, for ``train(features, labels, classes, loss=...)``.

    Without clicks in the labels it is the image-level loss alone.

    Args:
        present: bool ``(N, K)``, the image label of each training image, background included.
        objectness: ``(N, h, w)``, 0..1, on the grid of the features; None leaves that loss out.
        weight: of the objectness loss.
    """

    def loss(module: nn.Module, batch: Batch, targets: Tensor) -> Tensor:
        chosen = batch.pictures
        cue = torch.zeros(len(chosen), *batch.inside.shape[1:]) if objectness is None else objectness[chosen]
        x, inside, cue = batch.thinned(batch.inside, cue.to(batch.device))
        logits = module(x)
        value = image_level_loss(logits, present[chosen].to(batch.device), inside)
        if objectness is not None:
            value = value + weight * objectness_loss(logits, cue, inside)
        return value + labelled_cells_loss(module, batch, targets)

    return loss


def self_training(beliefs: Tensor) -> Loss:
    """The loss of a second round: agree with what the first student believes, and with every label there is.

    Args:
        beliefs: ``(N, K, h, w)``, from `belief_within` or `sure_alone`.
    """

    def loss(module: nn.Module, batch: Batch, targets: Tensor) -> Tensor:
        x, wanted = batch.thinned(beliefs[batch.pictures].to(batch.device))
        return cross_entropy(module(x), wanted) + labelled_cells_loss(module, batch, targets)

    return loss


@torch.no_grad()
def belief_within(module: nn.Module | Sequence[nn.Module], features: Features, present: Tensor) -> Tensor:
    """A student's probabilities on the grid, none of them for classes that the image label rules out.

    Args:
        module: of the student, or of several: the mean of what they believe.
        features: of the images.
        present: bool ``(N, K)``.

    Returns:
        Float16 ``(N, K, h, w)``; 0 beyond an image's own cells.
    """
    beliefs = torch.zeros(*present.shape, *features.cells.max(0).tolist(), dtype=torch.float16)
    modules = [module] if isinstance(module, nn.Module) else list(module)
    for k, (place, (height, width)) in enumerate(zip(beliefs, features.cells.tolist(), strict=True)):
        x, absent = features.batch([k]), ~present[k, :, None, None]
        each = [one(x)[0].masked_fill(absent, -torch.inf).softmax(0) for one in modules]
        place[:, :height, :width] = torch.stack(each).mean(0)
    return beliefs


def sure_alone(beliefs: Tensor, least: float, background: float | None = None) -> Tensor:
    """Beliefs made labels: the likeliest class where it has more than `least`, elsewhere nothing.

    Args:
        beliefs: ``(N, K, h, w)``, from `belief_within`.
        least: 0..1.
        background: what background must have in place of `least`, 0..1. It is most of a picture, so that a
            student can afford to be taught the surest of it alone. None: the same.

    Returns:
        Of the same type: 1 for that class, 0 for the others; all 0 where nobody is sure, and there
        `self_training` asks for nothing.

    Example:
        >>> beliefs = torch.tensor([[[[0.9, 0.6]], [[0.1, 0.4]]]])  # two cells, two classes
        >>> sure_alone(beliefs, 0.8)[0, :, 0].tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    number("least", least, 0, 1)
    other = least if background is None else number("background", background, 0, 1)
    highest, classes = beliefs.max(1, keepdim=True)
    sure = torch.where(classes == BACKGROUND, highest > other, highest > least)
    return torch.zeros_like(beliefs).scatter_(1, classes, sure.to(beliefs.dtype))


# ------------------------------------------------------------------------------------------- simulated clicks


class Clicks(NamedTuple):
    """Clicks on one image."""

    spots: NDArray[np.int64]  #: ``(n, 2)``, x and y of pixels
    classes: NDArray[np.int64]  #: ``(n,)``


def simulate_clicks(
    mask: ArrayLike,
    boxes: ArrayLike,
    classes: ArrayLike,
    *,
    per: str = "object",
    error: float = 0.0,
    rng: np.random.Generator | int = 0,
) -> Clicks:
    """Where an annotator would click: deep inside each object, more or less.

    Args:
        mask: true class of every pixel, uint8 ``(H, W)``.
        boxes: ``(N, 4)`` of the objects, half open. An object is the pixels of its class in its box that no
            smaller box of the class covers; one of which nothing is seen gets no click.
        classes: ``(N,)``, 1..254.
        per: ``"object"``: one click on each, or ``"class"``: one on the largest object of each class, as in
            the paper, whose annotators clicked on the first one they saw.
        error: standard deviation of the click, as a share of the box's width and height. A click that misses
            keeps its class: it is then a wrong label.
        rng: generator or seed of the error.

    Example:
        >>> mask = np.zeros((9, 9), np.uint8)
        >>> mask[2:7, 2:7] = 5
        >>> simulate_clicks(mask, [[2, 2, 7, 7]], [5])
        Clicks(spots=array([[4, 4]]), classes=array([5]))
    """
    mask = checked_label_map(mask, "mask")
    choice("per", per, ("object", "class"))
    number("error", error, 0)
    boxes, classes = checked_boxes(boxes, classes, mask.shape)
    rng = np.random.default_rng(rng)
    errors = error * rng.standard_normal((len(boxes), 2)) * (boxes[:, 2:] - boxes[:, :2])
    regions = object_regions(mask, boxes, classes)
    areas = np.array([region.sum() for region in regions])
    chosen = [k for k in range(len(boxes)) if areas[k] and (per == "object" or _largest(k, areas, classes))]
    limit = np.array(mask.shape[::-1]) - 1
    spots = [np.clip(np.rint(deepest(regions[k]) + errors[k]), 0, limit) for k in chosen]
    return Clicks(np.array(spots, np.int64).reshape(-1, 2), classes[chosen])


def object_regions(mask: NDArray[np.uint8], boxes: NDArray, classes: NDArray) -> list[NDArray[np.bool_]]:
    """The pixels of each object, bool ``(H, W)``: of its class, in its box, in no smaller box of the class.

    Args:
        mask: true classes, uint8 ``(H, W)``.
        boxes: whole numbers ``(N, 4)`` inside the image, half open.
        classes: ``(N,)``.
    """
    owner = np.full((len(boxes), *mask.shape), False)
    for k in paint_order(boxes, classes):
        same = [i for i in range(len(boxes)) if classes[i] == classes[k]]
        owner[(same, *window(boxes[k]))] = False
        owner[k][window(boxes[k])] = mask[window(boxes[k])] == classes[k]
    return list(owner)


def _largest(k: int, areas: NDArray, classes: NDArray) -> bool:
    same = np.flatnonzero(classes == classes[k])
    return bool(same[areas[same].argmax()] == k)


def clicks_as_labels(clicks: Clicks, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Clicks as a label map: a pixel each, 255 elsewhere. Of two on one pixel the later one counts.

    Args:
        clicks: of one image.
        size: its height and width.

    Example:
        >>> clicks_as_labels(Clicks(np.array([[2, 0]]), np.array([7])), (1, 3)).tolist()
        [[255, 255, 7]]
    """
    labels = np.full(size, IGNORE, np.uint8)
    labels[clicks.spots[:, 1], clicks.spots[:, 0]] = clicks.classes
    return labels


def on_grid(spots: NDArray[np.int64], size: tuple[int, int], cells: tuple[int, int]) -> NDArray[np.int64]:
    """Pixels -> cells of the grid of features: x and y ``(n, 2)`` -> row and column ``(n, 2)``.

    Args:
        spots: x and y of pixels, ``(n, 2)``.
        size: height and width of the image in pixels.
        cells: height and width in cells.

    Example:
        >>> on_grid(np.array([[99, 0]]), (50, 100), (5, 10)).tolist()
        [[0, 9]]
    """
    scaled = (spots[:, ::-1] + 0.5) * np.divide(cells, size)
    return np.clip(scaled.astype(np.int64), 0, np.array(cells) - 1)


# ---------------------------------------------------------------------------------------------------- helpers


def check_present(logits: Tensor, present: Tensor) -> None:
    """Raise ``ValueError`` unless `present` is bool ``(B, K)`` for logits ``(B, K, h, w)``."""
    if logits.ndim != 4 or present.shape != logits.shape[:2] or present.dtype != torch.bool:
        raise ValueError(
            f"present must be bool (B, K) for logits (B, K, h, w), got {present.dtype} "
            f"{tuple(present.shape)} for {tuple(logits.shape)}"
        )


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of each row over its chosen entries, 0 where there are none: ``(B, K)`` -> ``(B,)``."""
    return (values * chosen).sum(1) / chosen.sum(1).clamp(min=1)
