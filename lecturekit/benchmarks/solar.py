"""Self-transfer on solar cells: image labels alone, twelve cells on which somebody marked the defects.

A part of ``bench hints``. The cells are those of notebook 05b: 450 to learn from, 250 to judge, of which
twelve have marks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..datasets.solar_cells import SIDE, solar_cells
from ..learning.features import Features, features
from ..learning.seed_expand import global_weighted_rank_pool
from ..learning.self_transfer import class_maps, moving_alpha, train_localiser

#: Cells drawn, of which so many are for learning, as in notebook 05b.
CELLS, LEARN = 700, 450
#: Side in pixels at which the network sees a cell, and how far from a mark a peak still hits (05b's 21).
SEEN, NEAR = 304, 21
#: For the file of results.
SETTINGS = {"cells": CELLS, "learn": LEARN, "seen": SEEN, "near": NEAR}
#: Localisers by name: decay of the pool, width of the trunk, and who leads.
LOCALISERS: dict[str, dict[str, Any]] = {
    "max": {"decay": 0.0},
    "GAP": {"decay": 1.0},
    "max, a trunk that learns": {"decay": 0.0, "trunk": 128},
    "max, self-transfer": {"decay": 0.0, "trunk": 128, "alpha": moving_alpha},
    "GAP, a trunk that learns": {"decay": 1.0, "trunk": 128},
    "GAP, self-transfer": {"decay": 1.0, "trunk": 128, "alpha": moving_alpha},
}


class Cells(NamedTuple):
    """Features of solar cells and what is known of them."""

    learn: Features
    judge: Features
    labels: Tensor  #: of the cells to learn from, bool ``(N, 2)``: background, defective
    defective: NDArray[np.bool_]  #: which of the cells to judge are
    near: dict[int, NDArray[np.bool_]]  #: number of a judged cell -> where a peak hits, ``(300, 300)``


def cells() -> Cells:
    """The cells of notebook 05b.

    Raises:
        FileNotFoundError: the package that carries them is not installed (`available`).
    """
    drawn = solar_cells(CELLS, seed=1)
    images = np.repeat(drawn.images[..., None], 3, 3)
    defective = drawn.defect > 0.5
    learn = features(images[:LEARN], side=SEEN, device="cpu")
    judge = features(images[LEARN:], like=learn, device="cpu")
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR + 1, 2 * NEAR + 1))
    marks = {k: mark for k, mark in enumerate(drawn.marks[LEARN:]) if mark is not None}
    near = {k: cv2.dilate(mark.astype(np.uint8), disk) > 0 for k, mark in marks.items()}
    labels = torch.from_numpy(np.stack([np.ones(LEARN, bool), defective[:LEARN]], 1))
    return Cells(learn, judge, labels, defective[LEARN:], near)


def rows(some: Cells, seed: int) -> Iterator[dict[str, Any]]:
    """How often each localiser's peak hits a mark, and how well it tells defective cells from fine ones.

    Args:
        some: the cells.
        seed: of weights and order.
    """
    chance = float(np.mean([where.mean() for where in some.near.values()]))
    for name, options in LOCALISERS.items():
        start = time.process_time()
        made = train_localiser(some.learn, some.labels, seed=seed, device="cpu", **options)
        spent = time.process_time() - start
        maps = [maps[1] for maps in class_maps(made, some.judge)]
        hits = [_hit(maps[k], where) for k, where in some.near.items()]
        scores = np.array([_score(one, options["decay"]) for one in maps])
        row = {"table": "solar", "name": name, "hits": np.mean(hits), "marked": len(hits), "chance": chance}
        yield row | {"auc": auc(scores, some.defective), "cpu": spent}


def _hit(one: Tensor, where: NDArray[np.bool_]) -> bool:
    wide = F.interpolate(one[None, None], (SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0]
    return bool(where.flat[int(wide.argmax())])


def _score(one: Tensor, decay: float) -> float:
    return global_weighted_rank_pool(one[None, None], decay).item()


def auc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Area under the curve of receiver operating characteristics: how often the higher score is a true one.

    Args:
        scores: ``(N,)``.
        truth: bool ``(N,)``.

    Returns:
        0..1; equal scores count half; NaN where one of the two kinds is missing.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
        0.875
    """
    apart = scores[truth][:, None] - scores[~truth]
    return float(((apart > 0) + (apart == 0) / 2).mean()) if apart.size else float("nan")
