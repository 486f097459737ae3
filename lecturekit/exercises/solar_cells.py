"""Exercises and quiz of notebook 05b, Solar cells."""

from __future__ import annotations

import numpy as np
import torch

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


def _bools(seed: int, n: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random(n) < share


def _commonest(truth):
    # truth.mean() is the share of True; the commonest answer is right wherever it is the truth
    return max(truth.mean(), 1 - truth.mean())


commonest = chapter.exercise(
    "commonest",
    _commonest,
    cases=lambda: [(_bools(0, 40, 0.3),), (_bools(1, 50, 0.8),)],
    mistakes={
        "always_fine": lambda truth: 1 - truth.mean(),
        "always_defective": lambda truth: truth.mean(),
        "coin": lambda truth: 0.5,
        "count": lambda truth: max(truth.sum(), (~truth).sum()),
    },
)


def _balanced(predicted, truth):
    caught = predicted[truth].mean()  # of the defective cells, the share called defective
    spared = (~predicted[~truth]).mean()  # of the fine cells, the share called fine
    return (caught + spared) / 2


balanced = chapter.exercise(
    "balanced",
    _balanced,
    cases=lambda: [
        (_bools(2, 40, 0.4), _bools(3, 40, 0.3)),
        (_bools(4, 60, 0.2), _bools(5, 60, 0.25)),
    ],
    mistakes={
        "plain": lambda predicted, truth: (predicted == truth).mean(),
        "caught_only": lambda predicted, truth: predicted[truth].mean(),
        "false_alarms": lambda predicted, truth: (predicted[truth].mean() + predicted[~truth].mean()) / 2,
        "precision": lambda predicted, truth: (truth[predicted].mean() + (~truth[~predicted]).mean()) / 2,
    },
)


def _fold(weight, bias, mean, spread):
    folded = weight / spread  # (C,)
    return folded, bias - (folded * mean).sum()


fold = chapter.exercise(
    "fold",
    _fold,
    cases=lambda: [_head(0, 5), _head(1, 3)],
    mistakes={
        "bias_kept": lambda weight, bias, mean, spread: (weight / spread, bias),
        "multiplied": lambda weight, bias, mean, spread: (
            weight * spread,
            bias - (weight * spread * mean).sum(),
        ),
        "plus": lambda weight, bias, mean, spread: (weight / spread, bias + (weight / spread * mean).sum()),
        "mean_not_scaled": lambda weight, bias, mean, spread: (weight / spread, bias - (weight * mean).sum()),
    },
)


def _head(seed: int, channels: int) -> tuple[torch.Tensor, ...]:
    numbers = torch.randn(4, channels, generator=torch.Generator().manual_seed(seed))
    return numbers[0], numbers[1, 0], numbers[2], numbers[3].abs() + 0.5


def _hit(cam_map, marked):
    y, x = np.unravel_index(cam_map.argmax(), cam_map.shape)
    return bool(marked[y, x])


hit = chapter.exercise(
    "hit",
    _hit,
    cases=lambda: [_peak(seed) for seed in range(12)],
    mistakes={
        "swapped": lambda cam_map, marked: bool(marked.T[np.unravel_index(cam_map.argmax(), cam_map.shape)]),
        "weakest": lambda cam_map, marked: bool(marked[np.unravel_index(cam_map.argmin(), cam_map.shape)]),
        "absolute": lambda cam_map, marked: bool(
            marked[np.unravel_index(np.abs(cam_map).argmax(), cam_map.shape)]
        ),
        "any_positive": lambda cam_map, marked: bool((marked & (cam_map > 0)).any()),
    },
)


def _peak(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 6)), rng.random((6, 6)) < 0.5


def _blind(marked):
    # the peak of a map that looks at nothing is anywhere with the same chance
    return marked.mean((1, 2)).mean()


blind = chapter.exercise(
    "blind",
    _blind,
    cases=lambda: [(np.random.default_rng(s).random((5, 8, 8)) < 0.1 * s,) for s in (1, 4)],
    mistakes={
        "some_mark": lambda marked: marked.any((1, 2)).mean(),
        "pixels": lambda marked: marked.sum((1, 2)).mean(),
        "unmarked": lambda marked: 1 - marked.mean(),
    },
)

after_solar = chapter.quiz("after_solar")
