"""How good are labels? Class by class, where some pixels are ignored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..labels.label_map import IGNORE, checked_label_map


class LabelQuality(NamedTuple):
    """How good labels are, one number a class; `label_quality` says what each means."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    coverage: NDArray[np.float64]
    iou: NDArray[np.float64]

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur in the labels or in the truth, background included."""
        return float(np.nanmean(self.iou))


def label_quality(labels: ArrayLike, truth: ArrayLike, classes: int | None = None) -> LabelQuality:
    """Precision, recall, coverage and IoU of labels, class by class, over all pixels of all pictures.

    With L the pixels labelled c and T the pixels that are c, both without those whose truth is 255 (void):

    - precision = ``|L ∩ T| / |L|``: how much of what the labels say is right. A student learns from it.
    - recall = ``|L ∩ T| / |T|``: how much of the class is labelled as the class; an ignored pixel is not.
    - coverage = ``|T without ignored| / |T|``: how much of the class has any label, right or wrong.
    - iou = ``|L ∩ T| / |L ∪ T|``, an ignored pixel being missed, so 1 / iou = 1 / precision + 1 / recall - 1.

    IoU alone misleads for labels with ignored pixels: careful labels that leave a lot out score badly in it
    and teach well, and if ignored pixels were left out of it, labels of one right pixel would score 1.
    For that other reading hand over ``np.where(labels == 255, 255, truth)`` as the truth.

    Args:
        labels: a label map ``uint8 (H, W)``, or several: a list (sizes may differ) or an array ``(N, H, W)``.
        truth: as many label maps of the same sizes.
        classes: number of classes with background, at most 255. None: the largest label that occurs, plus 1.

    Returns:
        Four float arrays ``(classes,)``, index 0 for background; NaN where nothing is to be divided by.

    Raises:
        TypeError: maps that are no arrays.
        ValueError: maps of other kinds or sizes, or labels above `classes`.

    Example:
        >>> truth = np.array([[0, 0, 1, 1]], np.uint8)
        >>> found = label_quality(np.array([[0, 1, 1, 255]], np.uint8), truth)
        >>> found.precision, found.recall, found.coverage
        (array([1. , 0.5]), array([0.5, 0.5]), array([1. , 0.5]))
    """
    counts = _counts(_stack(labels, "labels"), _stack(truth, "truth"))
    known = counts[:, :IGNORE]  # (label, truth) without void
    if classes is None:
        found = np.flatnonzero(counts.sum(0)[:IGNORE] + counts.sum(1)[:IGNORE])
        classes = int(found.max(initial=0)) + 1
    elif known.sum() != known[[*range(classes), IGNORE], :classes].sum():
        raise ValueError(f"labels and truth must be 0..{classes - 1} or 255, got larger ones")
    right = np.diag(known)[:classes].astype(float)
    labelled, true = known.sum(1)[:classes], known.sum(0)[:classes]
    with np.errstate(invalid="ignore"):
        return LabelQuality(
            right / labelled,
            right / true,
            (true - known[IGNORE, :classes]) / true,
            right / (labelled + true - right),
        )


def _stack(maps: ArrayLike, name: str) -> list[NDArray[np.uint8]]:
    """One label map, or several, as a list."""
    if isinstance(maps, list | tuple):
        return [checked_label_map(m, name) for m in maps]
    array = np.asarray(maps)
    return [checked_label_map(m, name) for m in (array if array.ndim == 3 else [array])]


def _counts(labels: list[NDArray[np.uint8]], truth: list[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """How often each label meets each truth: ``int64 (256, 256)``."""
    if [m.shape for m in labels] != [m.shape for m in truth]:
        raise ValueError(
            f"labels and truth must have the same sizes, got {[m.shape for m in labels]} "
            f"and {[m.shape for m in truth]}"
        )
    pairs = (given.astype(np.int64) * 256 + true for given, true in zip(labels, truth, strict=True))
    return sum((np.bincount(p.ravel(), minlength=65536) for p in pairs), np.zeros(65536, np.int64)).reshape(
        256, 256
    )
