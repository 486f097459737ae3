"""Labels between two rounds from three witnesses: the first labels, a student, and how full a box is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from ..kit.checks import number
from ..labels.boxes import paint_order, window
from ..labels.label_map import BACKGROUND, IGNORE
from .tricks import View

#: Log-odds are kept within this: beyond it a probability is 0 or 1.
LIMIT = 30.0
#: Halvings of the interval in which the shift lies: enough for float32.
HALVINGS = 40


def filled_posterior(
    prior: ArrayLike, log_odds: ArrayLike, counts: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Probability of being object for the pixels of a box that together are as full as the prior says.

    ``q = sigmoid(logit(prior) + log_odds + shift)``, and the one `shift` is such that the mean of q is the
    mean of the prior. So the evidence moves the object about in its box, and makes it neither larger nor
    smaller: a student that says "background" too often, everywhere by the same factor, changes nothing. It
    is the distribution nearest to ``sigmoid(logit(prior) + log_odds)``, by the Kullback-Leibler divergence,
    among those that expect this share (the constraint of Pathak, Krähenbühl and Darrell, ICCV 2015).

    Args:
        prior: probability before, strictly between 0 and 1, any shape.
        log_odds: of the evidence, object against background, of the same shape.
        counts: pixels over which the means are taken, at least one; None: all.

    Returns:
        q, of the same shape.

    Raises:
        ValueError: shapes that differ, a prior that is 0 or 1 somewhere, or no pixel that counts.

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
    share = prior[counts].mean()
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
    number("least", least, 0, 1)
    floor = np.finfo(np.float32).tiny
    background = view.probabilities[BACKGROUND].astype(np.float64)
    objects = np.delete(view.probabilities, BACKGROUND, 0).sum(0, dtype=np.float64)
    odds = trust * (np.log(objects + floor) - np.log(background + floor))
    present = np.unique(view.classes)
    shares = {BACKGROUND: np.ones(labels.shape)} | {int(c): np.zeros(labels.shape) for c in present}
    owner = view.owner
    for k in paint_order(view.boxes, view.classes):
        where = window(view.boxes[k])
        mine = view.first[where]
        prior = np.where(mine == view.classes[k], certain, np.where(mine == IGNORE, 0.5, 1 - certain))
        seen = owner[where] == k + 1
        q = filled_posterior(prior, odds[where], seen if seen.any() else None)
        for share in shares.values():
            share[where] *= 1 - q
        shares[int(view.classes[k])][where] += q
    names = np.array(list(shares))
    stacked = np.stack(list(shares.values()))
    return np.where(stacked.max(0) >= least, names[stacked.argmax(0)], IGNORE).astype(np.uint8)
