"""Objectness: what looks like an object, whatever its class. Cues that need neither labels nor training.

A cue is a map ``(h, w)``, the higher the likelier. Cues of different images have no common scale, so `rank`
brings each to 0..1 within its own image; `as_probability` turns that into what
`learning.points.objectness_loss` takes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kit.checks import number, whole
from ..labels.label_map import BACKGROUND


def centre_prior(size: tuple[int, int], sigma: float = 0.25) -> NDArray[np.float32]:
    """Objects are mostly in the middle of a photograph: a Gaussian, 1 at the centre.

    Args:
        size: height and width of the map.
        sigma: standard deviation as a share of the height and of the width.

    Example:
        >>> centre_prior((3, 3)).argmax()
        np.int64(4)
    """
    number("sigma", sigma, 0, open_=True)
    rows, columns = (((np.arange(n) + 0.5) / whole("size", n, 1) - 0.5) / sigma for n in size)
    return np.exp(-(rows[:, None] ** 2 + columns**2) / 2).astype(np.float32)


def border_contrast(
    features: ArrayLike, rim: int = 3, shrinkage: float = 1.0, blur: float = 1.5
) -> NDArray[np.float32]:
    """How unlike the image's frame a cell is: photographers leave room round what they photograph.

    The Mahalanobis distance of a cell's features to those of the cells near the frame,
    ``sqrt((x - m)' (C + s I)^-1 (x - m))``. The idea of the border as background is that of Wei et al.,
    "Geodesic saliency using background priors", ECCV 2012.

    Args:
        features: float ``(C, h, w)`` of one image.
        rim: cells within this many of the frame are taken for background, at least 1.
        shrinkage: s, added to each variance; above 0.
        blur: standard deviation of the final Gaussian blur, in cells; 0 for none.

    Returns:
        ``(h, w)``, 0..1: stretched between its percentiles 2 and 98. A map without contrast is 0.

    Raises:
        ValueError: features of another shape, or numbers out of range.

    Example:
        >>> features = np.zeros((2, 9, 9), np.float32)
        >>> features[:, 3:6, 3:6] = 1
        >>> border_contrast(features, blur=0)[4].round().tolist()
        [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 3 or x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"features must be finite (C, h, w), got shape {x.shape}")
    whole("rim", rim, 1)
    number("shrinkage", shrinkage, 0, open_=True)
    number("blur", blur, 0)
    frame = np.ones(x.shape[1:], bool)
    frame[rim:-rim, rim:-rim] = False
    around = x[:, frame]  # (C, n)
    apart = x.reshape(len(x), -1) - around.mean(1, keepdims=True)
    covariance = np.cov(around, bias=True).reshape(len(x), len(x)) + shrinkage * np.eye(len(x))
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), apart)
    distance = np.sqrt((whitened**2).sum(0)).reshape(x.shape[1:])
    if blur:
        distance = cv2.GaussianBlur(distance, (0, 0), blur)
    low, high = np.percentile(distance, (2, 98))
    return np.clip((distance - low) / max(high - low, 1e-9), 0, 1).astype(np.float32)


def class_evidence(maps: ArrayLike, scores: ArrayLike, top: int = 20) -> NDArray[np.float32]:
    """Where a classifier of other classes sees any of its best ones: the mean of their maps.

    ImageNet's thousand classes are not those of the task, but what excites them is mostly an object.

    Args:
        maps: class activation maps ``(K, h, w)``; what is negative counts as 0.
        scores: logits ``(K,)``.
        top: how many classes, the best by score.

    Example:
        >>> class_evidence([[[1.0, 0.0]], [[0.0, 9.0]]], [5.0, 1.0], top=1).tolist()
        [[1.0, 0.0]]
    """
    maps, scores = np.asarray(maps, np.float32), np.asarray(scores)
    if maps.ndim != 3 or scores.shape != maps.shape[:1]:
        raise ValueError(f"maps must be (K, h, w) with K scores, got {maps.shape} and {scores.shape}")
    best = np.argsort(-scores, kind="stable")[: whole("top", top, 1)]
    return maps[best].clip(min=0).mean(0)


def proposal_votes(proposals: ArrayLike, scores: ArrayLike | None = None) -> NDArray[np.float32]:
    """How much of the proposals' weight covers each pixel: regions that many proposals share are objects.

    Args:
        proposals: bool ``(N, H, W)``, N at least 1; one alone is the best proposal itself.
        scores: weight ``(N,)`` of each, not negative; None: all equal.

    Example:
        >>> proposal_votes([[[True, True]], [[True, False]]]).tolist()
        [[1.0, 0.5]]
    """
    masks = np.asarray(proposals)
    if masks.ndim != 3 or len(masks) == 0 or masks.dtype != bool:
        raise ValueError(f"proposals must be bool (N, H, W), got {masks.dtype} {masks.shape}")
    weights = np.ones(len(masks)) if scores is None else np.asarray(scores, float)
    if weights.shape != masks.shape[:1] or (weights < 0).any() or weights.sum() <= 0:
        raise ValueError(f"scores must be {len(masks)} numbers of at least 0, got {scores!r}")
    return np.tensordot(weights / weights.sum(), masks, 1).astype(np.float32)


def rank(cue: ArrayLike) -> NDArray[np.float32]:
    """Each value's place among all of its map, 0 for the lowest and 1 for the highest; equals share theirs.

    Args:
        cue: ``(h, w)``.

    Example:
        >>> rank([[3.0, 1.0, 2.0]]).tolist()
        [[1.0, 0.0, 0.5]]
    """
    cue = np.asarray(cue, np.float64)
    _, value, counts = np.unique(cue, return_inverse=True, return_counts=True)
    places = counts.cumsum() - (counts + 1) / 2  # the mean place of equals, counted from 0
    return (places[value].reshape(cue.shape) / max(cue.size - 1, 1)).astype(np.float32)


def together(*cues: ArrayLike) -> NDArray[np.float32]:
    """Several cues as one: the rank of the sum of their ranks.

    Args:
        cues: ``(h, w)`` each.

    Example:
        >>> together([[3.0, 1.0, 2.0]], [[0.0, 0.0, 9.0]]).tolist()
        [[0.5, 0.0, 1.0]]
    """
    return rank(np.sum([rank(cue) for cue in cues], 0))


def as_probability(cue: ArrayLike, background: float = 0.7, sharpness: float = 8.0) -> NDArray[np.float32]:
    """A cue as the probability of an object: ``sigmoid(sharpness (rank - background))``.

    Args:
        cue: ``(h, w)``.
        background: the share of an image that is background, on average. A prior: it has to be known.
        sharpness: how fast probability rises where the ranks pass it.

    Example:
        >>> [f"{p:.2f}" for p in as_probability([[0.0, 1.0]], background=0.5)[0]]
        ['0.02', '0.98']
    """
    number("background", background, 0, 1)
    number("sharpness", sharpness, 0)
    return (1 / (1 + np.exp(-sharpness * (rank(cue) - background)))).astype(np.float32)


def average_precision(cue: ArrayLike, mask: ArrayLike) -> float:
    """How well a cue puts object before background: precision averaged over the pixels of the objects.

    Equal values are taken together. `metrics.pixel_average_precision` is the same over many maps.

    Args:
        cue: ``(h, w)``.
        mask: label map uint8 ``(h, w)``; 0 is background, 255 does not count, the rest is object.

    Returns:
        0..1; NaN without any object.

    Example:
        >>> average_precision([[3.0, 2.0, 1.0]], np.array([[1, 0, 1]], np.uint8))
        0.8333333333333333
    """
    cue, mask = np.asarray(cue, np.float64), np.asarray(mask)
    if cue.shape != mask.shape:
        raise ValueError(f"cue and mask must have one shape, got {cue.shape} and {mask.shape}")
    known = mask != 255
    values, truth = cue[known], mask[known] != BACKGROUND
    if not truth.any():
        return float("nan")
    levels, place = np.unique(-values, return_inverse=True)
    found = np.bincount(place, truth, len(levels))
    precision = found.cumsum() / np.bincount(place, minlength=len(levels)).cumsum()
    return float((precision * found).sum() / truth.sum())
