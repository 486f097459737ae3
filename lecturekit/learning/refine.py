"""Labels from several witnesses: GrabCut, a head that sees boxes from near, how full a box is, a student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from torch import Tensor, nn

from ..kit.checks import number
from ..labels.boxes import checked_boxes, paint_order, window
from ..labels.label_map import BACKGROUND, IGNORE
from ..pixels.grabcut import grabcut_boxes, grabcut_votes
from .box_masks import ANSWER, train_box_masks
from .close_ups import CloseUpHead, close_ups
from .data import BoxAnnotations
from .tricks import View, allowed_classes, boxes_in_front

#: Log-odds are kept within this: beyond it a probability is 0 or 1.
LIMIT = 30.0
#: Probability below which `ignore_doubted` ignores a label: odds of 1 : e.
DOUBT = 0.27
#: Halvings of the interval in which the shift lies: enough for float32.
HALVINGS = 40


def filled_posterior(
    prior: ArrayLike,
    log_odds: ArrayLike,
    counts: ArrayLike | None = None,
    share: float | None = None,
) -> NDArray[np.float64]:
    """Probability of being object for the pixels of a box that together are as full as the prior says.

    ``q = sigmoid(logit(prior) + log_odds + shift)``, and the one `shift` is such that the mean of q is the
    mean of the prior, or `share`. So the evidence moves the object about in its box, and makes it neither
    larger nor smaller: a student that says "background" too often, everywhere by the same factor, changes
    nothing. It is the distribution nearest to ``sigmoid(logit(prior) + log_odds)``, by the Kullback-Leibler
    divergence, among those that expect this share (the constraint of Pathak, Krähenbühl and Darrell, ICCV
    2015).

    Args:
        prior: probability before, strictly between 0 and 1, any shape.
        log_odds: of the evidence, object against background, of the same shape.
        counts: pixels over which the means are taken, at least one; None: all.
        share: how full the box is, strictly between 0 and 1; None: as the prior says.

    Returns:
        q, of the same shape.

    Raises:
        ValueError: shapes that differ, a prior or share that is 0 or 1 somewhere, or no pixel that counts.

    Example:
        >>> filled_posterior([0.3, 0.5], [2.0, 2.0]).round(3).tolist()  # the same everywhere: no news
        [0.3, 0.5]
        >>> filled_posterior([0.4, 0.4], [-9.0, 9.0]).round(3).tolist()  # moved, and still 0.4 on average
        [0.0, 0.8]
    """
    prior = np.asarray(prior, np.float64)
    log_odds = np.asarray(log_odds, np.float64)
    counts = np.ones(prior.shape, bool) if counts is None else np.asarray(counts, bool)
    if not prior.shape == log_odds.shape == counts.shape:
        shapes = f"{prior.shape}, {log_odds.shape} and {counts.shape}"
        raise ValueError(f"prior, log_odds and counts must have one shape, got {shapes}")
    if not ((prior > 0) & (prior < 1)).all():
        raise ValueError("prior must lie strictly between 0 and 1")
    if not counts.any():
        raise ValueError("counts must name at least one pixel, got none")
    evidence = logit(prior) + np.clip(np.nan_to_num(log_odds), -LIMIT, LIMIT)
    share = prior[counts].mean() if share is None else number("share", share, 0, 1, open_=True)
    low = -evidence.max() - LIMIT
    high = -evidence.min() + LIMIT
    for _ in range(HALVINGS):
        shift = (low + high) / 2
        if expit(evidence[counts] + shift).mean() < share:
            low = shift
        else:
            high = shift
    return expit(evidence + (low + high) / 2)


def ignore_doubted(labels: NDArray[np.uint8], view: View, *, least: float = DOUBT) -> NDArray[np.uint8]:
    """First labels without those, in boxes, that the student finds improbable: they are ignored.

    The student need not be better than the first labels, only wrong elsewhere: what it learned of all
    pictures together tells legs from the grass between them where the colours of one picture do not. It may
    choose between background and the classes that have a box at a pixel. It should not have learned from this
    picture (`Recipe.folds`), else it repeats its labels. Nothing gets another label: students learn the
    background where it is sure, and the objects where both agree.

    Args:
        labels: the student's own, which are not looked at.
        view: of the picture.
        least: probability below which a first label is ignored, 0 to 1.

    Returns:
        uint8 ``(H, W)``.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> probabilities = np.float32([[[0.1, 0.1, 0.9]], [[0.2, 0.2, 0.05]], [[0.7, 0.7, 0.05]]])
        >>> first = np.uint8([[0, 1, 1]])  # two pixels of class 1 in a box, and class 2 has none
        >>> image, boxes = np.zeros((1, 3, 3), np.uint8), np.array([[1, 0, 3, 1]])
        >>> view = View(image, boxes, np.array([1]), first, probabilities)
        >>> ignore_doubted(first, view).tolist()
        [[0, 1, 255]]
    """
    number("least", least, 0, 1)
    shares = np.where(allowed_classes(view), view.probabilities, 0)
    shares /= np.maximum(shares.sum(0), np.finfo(np.float32).tiny)
    known = view.first != IGNORE
    (share,) = np.take_along_axis(shares, np.where(known, view.first, BACKGROUND)[None].astype(int), 0)
    return np.where(view.inside & known & (share < least), IGNORE, view.first).astype(np.uint8)


def _joined(prior: NDArray, log_odds: NDArray, visible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`filled_posterior` over what no smaller box hides; over all of a box that is hidden, or empty.

    The box is as full as half way, in log-odds, between what the prior and the evidence alone say.
    """
    if prior.size == 0:
        return np.zeros(prior.shape)
    counts = visible if visible.any() else np.ones(prior.shape, bool)
    ends = [np.clip(shares[counts].mean(), 0.02, 0.98) for shares in (prior, expit(log_odds))]
    return filled_posterior(prior, log_odds, counts, float(expit(np.mean(logit(ends)))))


def paint_shares(
    shares: Sequence[NDArray],
    boxes: NDArray[np.int64],
    classes: NDArray[np.int64],
    size: tuple[int, ...],
    least: float,
) -> NDArray[np.uint8]:
    """Labels where boxes, painted one over the other with smaller ones in front, are clear enough.

    Args:
        shares: probability of being object, one map a box, of its height and width.
        boxes: int ``(N, 4)``, inside the picture, half open.
        classes: ``(N,)``.
        size: height and width of the picture.
        least: probability from which on a pixel is labelled; the others are ignored.

    Returns:
        uint8 ``(H, W)``.

    Example:
        >>> shares = [np.full((1, 3), 0.9), np.array([[0.5]])]
        >>> boxes = np.array([[0, 0, 3, 1], [2, 0, 3, 1]])
        >>> paint_shares(shares, boxes, np.array([7, 4]), (1, 4), 0.6).tolist()
        [[7, 7, 255, 0]]
    """
    number("least", least, 0, 1)
    names = np.unique([BACKGROUND, *classes])
    stacked = np.zeros((len(names), *size))
    stacked[0] = 1
    for k in paint_order(boxes, classes):
        part = stacked[(slice(None), *window(boxes[k]))]
        part *= 1 - shares[k]
        part[np.searchsorted(names, classes[k])] += shares[k]
    return np.where(stacked.max(0) >= least, names[stacked.argmax(0)], IGNORE).astype(np.uint8)


# ----------------------------------------------------------------------------------------------- first labels


def filled_labels(
    annotations: BoxAnnotations,
    edges: Sequence[NDArray[np.float32]],
    images: Sequence[NDArray[np.uint8]] | None = None,
    *,
    folds: int = 4,
    least: float = 0.7,
    runs: int = 10,
) -> Iterator[NDArray[np.uint8]]:
    """First labels from votes of GrabCut+ that a head which sees boxes from near corrects.

    The prior of a pixel comes from GrabCut+ and from the votes of its changed runs. GrabCut knows one
    picture and its colours alone. What it says of all boxes together teaches a head that looks at the frozen
    features of a box, enlarged, and knows no class (`close_ups`). Its mistakes are others: GrabCut takes the
    wrong half of one box, and the head has seen hundreds. So its answer for pictures it did not learn from is
    the evidence of `filled_posterior`, and how full a box is, both say: half way between them.

    Args:
        annotations: pictures and boxes.
        edges: their boundary maps.
        images: the same pictures at their own size, to enlarge the boxes from; None: those of `annotations`.
        folds: heads, each of which learns from the other parts of the pictures.
        least: as in `paint_shares`.
        runs: as in `grabcut_votes`.

    Returns:
        Labels of each picture, one after the other, uint8 ``(H, W)``.
    """
    places = [
        checked_boxes(boxes, classes, size)
        for boxes, classes, size in zip(
            annotations.boxes, annotations.classes, annotations.sizes, strict=True
        )
    ]
    priors = [
        _votes(image, boxes, edge, runs)
        for image, (boxes, _), edge in zip(annotations.images, places, edges, strict=True)
    ]
    large = annotations.images if images is None else images
    answers = _mask_answers(priors, [boxes for boxes, _ in places], annotations.sizes, large, folds)
    for (boxes, classes), prior, answer, size in zip(places, priors, answers, annotations.sizes, strict=True):
        owner = boxes_in_front(boxes, classes, size)
        joined = [
            _joined(p, a, owner[window(box)] == k + 1)
            for k, (box, p, a) in enumerate(zip(boxes, prior, answer, strict=True))
        ]
        yield paint_shares(joined, boxes, classes, size, least)


def _votes(
    image: NDArray[np.uint8], boxes: NDArray[np.int64], edge: NDArray[np.float32], runs: int
) -> list[NDArray[np.float64]]:
    """Two parts GrabCut+ and one part votes of its runs in each box, within .1 and .9: never certain."""
    masks = grabcut_boxes(image, boxes, edge).masks
    votes = np.nan_to_num(grabcut_votes(image, boxes, edge, runs=runs), nan=0.5)
    return [
        0.1 + 0.8 / 3 * (2 * mask[window(box)] + vote[window(box)].clip(0, 1).astype(np.float64))
        for mask, vote, box in zip(masks, votes, boxes, strict=True)
    ]


def _mask_answers(
    priors: list[list[NDArray[np.float64]]],
    boxes: list[NDArray[np.int64]],
    sizes: list[tuple[int, int]],
    images: Sequence[NDArray[np.uint8]],
    folds: int,
) -> list[list[NDArray[np.float32]]]:
    """Log-odds of every box's pixels by a head that did not learn from its picture; 0 where there is none."""
    answers = [[np.zeros(p.shape, np.float32) for p in prior] for prior in priors]
    which = [(i, k) for i, prior in enumerate(priors) for k, p in enumerate(prior) if p.size]
    fold = np.array([i % folds for i, _ in which])
    if len(np.unique(fold)) < 2:  # no other picture to learn from
        return answers
    enlarged = [
        some * np.tile(np.divide(image.shape[1::-1], size[::-1]), 2)
        for some, image, size in zip(boxes, images, sizes, strict=True)
    ]
    looks = close_ups(images, enlarged)
    wanted = torch.from_numpy(np.stack([_shrunk(priors[i][k]) for i, k in which]))
    targets = torch.stack([wanted, torch.ones_like(wanted)], 1)
    for n in np.unique(fold):
        mine = np.flatnonzero(fold == n)
        others = np.flatnonzero(fold != n)
        head = train_box_masks(looks[others], targets[others], epochs=6, kind=CloseUpHead)
        for (i, k), answer in zip((which[j] for j in mine), _both_ways(head, looks[mine]), strict=True):
            answers[i][k] = cv2.resize(answer, answers[i][k].shape[::-1])
    return answers


@torch.no_grad()
def _both_ways(head: nn.Module, looks: Tensor) -> NDArray[np.float32]:
    """What a head says of boxes and of their mirror images, mean of the two."""
    parts = [part.float() for part in looks.split(64)]
    return torch.cat([(head(x) + head(x.flip(-1)).flip(-1)) / 2 for x in parts]).numpy()


def _shrunk(share: NDArray[np.float64]) -> NDArray[np.float32]:
    """A map at the head's 28 x 28."""
    way = cv2.INTER_AREA if min(share.shape) >= ANSWER else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(share.astype(np.float32), (ANSWER, ANSWER), interpolation=way), np.float32)
