"""Labels between two rounds from three witnesses: the first labels, a student, and how full a box is."""

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
from .tricks import View, boxes_in_front

#: Log-odds are kept within this: beyond it a probability is 0 or 1.
LIMIT = 30.0
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


def keep_boxes_filled(
    labels: NDArray[np.uint8],
    view: View,
    *,
    certain: float = 0.9,
    trust: float = 1.0,
    least: float = 0.7,
) -> NDArray[np.uint8]:
    """Each box keeps the share that its first labels fill; which pixels these are, the student helps to say.

    The prior comes from the first labels: `certain` where they name the box's class, one half where they
    ignore, ``1 - certain`` elsewhere. The evidence is what the student says of "any object" against
    background: the box already knows the class. `filled_posterior` joins the two, box by box, over the part
    that no smaller box hides; then the boxes are painted, smaller ones in front. The student should not have
    learned from this picture (`Recipe.folds`), else it repeats its labels.

    Args:
        labels: the student's own, which are not looked at.
        view: of the picture.
        certain: probability that a first label is right, between one half and 1.
        trust: what the student's log-odds are multiplied by, at least 0.
        least: probability from which on a pixel is labelled; the others are ignored.

    Returns:
        uint8 ``(H, W)``.

    Raises:
        ValueError: numbers out of range.
    """
    number("certain", certain, 0.5, 1, open_=True)
    number("trust", trust, 0)
    floor = np.finfo(np.float32).tiny
    background = view.probabilities[BACKGROUND].astype(np.float64)
    objects = np.delete(view.probabilities, BACKGROUND, 0).sum(0, dtype=np.float64)
    odds = trust * (np.log(objects + floor) - np.log(background + floor))
    owner = view.owner
    joined = []
    for k, (box, c) in enumerate(zip(view.boxes, view.classes, strict=True)):
        where = window(box)
        mine = view.first[where]
        prior = np.where(mine == c, certain, np.where(mine == IGNORE, 0.5, 1 - certain))
        joined.append(_joined(prior, odds[where], owner[where] == k + 1))
    return paint_shares(joined, view.boxes, view.classes, labels.shape, least)


def _joined(
    prior: NDArray, log_odds: NDArray, visible: NDArray[np.bool_], share: float = 0.0
) -> NDArray[np.float64]:
    """`filled_posterior` over what no smaller box hides; over all of a box that is hidden, or empty.

    The box is as full as the prior says, or by `share` of the way to what the evidence alone says.
    """
    if prior.size == 0:
        return np.zeros(prior.shape)
    counts = visible if visible.any() else np.ones(prior.shape, bool)
    ends = [np.clip(shares[counts].mean(), 0.02, 0.98) for shares in (prior, expit(log_odds))]
    full = expit(np.average(logit(ends), weights=(1 - share, share))) if share else None
    return filled_posterior(prior, log_odds, counts, full)


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
            _joined(p, a, owner[window(box)] == k + 1, share=0.5)
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
