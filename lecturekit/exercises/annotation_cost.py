"""Exercises and quizzes of notebook 01, Annotation cost."""

from __future__ import annotations

import numpy as np

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


def _masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two bool masks (6, 9) that overlap in part."""
    dice = np.random.default_rng(seed)
    return dice.random((6, 9)) < 0.4, dice.random((6, 9)) < 0.6


def _overlap(marked, truth):
    both = (marked & truth).sum()
    either = (marked | truth).sum()
    return both / either


overlap = chapter.exercise(
    "overlap",
    _overlap,
    cases=lambda: [_masks(0), _masks(1)],
    mistakes={
        "accuracy": lambda marked, truth: (marked == truth).mean(),
        "recall": lambda marked, truth: (marked & truth).sum() / truth.sum(),
        "precision": lambda marked, truth: (marked & truth).sum() / marked.sum(),
        "dice": lambda marked, truth: 2 * (marked & truth).sum() / (marked.sum() + truth.sum()),
        "not_divided": lambda marked, truth: (marked & truth).sum(),
    },
)


def _typical_seconds(milliseconds, longest):
    seconds = np.asarray(milliseconds) / 1000
    return float(np.median(seconds[seconds <= longest]))


typical_seconds = chapter.exercise(
    "typical_seconds",
    _typical_seconds,
    cases=lambda: [
        ([4000, 6500, 5000, 900_000, 4300], 120),
        ([2000, 8000, 3000, 61_000, 60_000], 60),
        ([90_000, 2000, 95_000, 3000, 99_000], 60),
    ],
    mistakes={
        "mean": lambda milliseconds, longest: float(
            np.mean([m / 1000 for m in milliseconds if m / 1000 <= longest])
        ),
        "nothing_left_out": lambda milliseconds, longest: float(np.median(np.asarray(milliseconds) / 1000)),
        "milliseconds": lambda milliseconds, longest: 1000 * _typical_seconds(milliseconds, longest),
        "cut_to_longest": lambda milliseconds, longest: float(
            np.median(np.minimum(np.asarray(milliseconds) / 1000, longest))
        ),
        "strict": lambda milliseconds, longest: float(
            np.median([m / 1000 for m in milliseconds if m / 1000 < longest])
        ),
    },
)


def _project_hours(images, objects, seconds, votes, review):
    drawing = images * objects * seconds * votes
    return drawing * (1 + review) / 3600


project_hours = chapter.exercise(
    "project_hours",
    _project_hours,
    cases=lambda: [(1000, 2.5, 80.0, 1, 0.0), (300, 4.0, 7.0, 3, 0.5), (50, 1.0, 30.0, 2, 0.66)],
    mistakes={
        "votes_forgotten": lambda images, objects, seconds, votes, review: (
            images * objects * seconds * (1 + review) / 3600
        ),
        "review_alone": lambda images, objects, seconds, votes, review: (
            images * objects * seconds * votes * review / 3600
        ),
        "no_review": lambda images, objects, seconds, votes, review: (
            images * objects * seconds * votes / 3600
        ),
        "images_only": lambda images, objects, seconds, votes, review: (
            images * seconds * votes * (1 + review) / 3600
        ),
        "review_of_one": lambda images, objects, seconds, votes, review: (
            images * objects * seconds * (votes + review) / 3600
        ),
    },
)


def _label_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two label maps (8, 10) that agree mostly, with some void in each."""
    dice = np.random.default_rng(seed)
    one = dice.integers(0, 4, (8, 10)).astype(np.uint8)
    two = np.where(dice.random((8, 10)) < 0.2, dice.integers(0, 4, (8, 10)), one).astype(np.uint8)
    for labels in (one, two):
        labels[dice.random((8, 10)) < 0.15] = 255
    return one, two


def _agreement(one, two):
    known = (one != 255) & (two != 255)
    return float((one == two)[known].mean())


agreement = chapter.exercise(
    "agreement",
    _agreement,
    cases=lambda: [_label_maps(0), _label_maps(1)],
    mistakes={
        "void_kept": lambda one, two: float((one == two).mean()),
        "void_of_one": lambda one, two: float((one == two)[one != 255].mean()),
        "either_known": lambda one, two: float((one == two)[(one != 255) | (two != 255)].mean()),
        "not_left_out": lambda one, two: float(((one == two) & (one != 255) & (two != 255)).mean()),
        "disagreement": lambda one, two: 1 - _agreement(one, two),
    },
)


def _ratio_range(dear, cheap):
    return min(dear) / max(cheap), max(dear) / min(cheap)


ratio_range = chapter.exercise(
    "ratio_range",
    _ratio_range,
    cases=lambda: [([79.2, 80.0, 54.0], [7.0, 7.4, 25.5, 42.4]), ([9.0, 6.0], [2.0, 3.0])],
    mistakes={
        "extremes_paired": lambda dear, cheap: (min(dear) / min(cheap), max(dear) / max(cheap)),
        "swapped": lambda dear, cheap: _ratio_range(dear, cheap)[::-1],
        "means": lambda dear, cheap: (np.mean(dear) / np.mean(cheap),) * 2,
        "upside_down": lambda dear, cheap: (min(cheap) / max(dear), max(cheap) / min(dear)),
        "first_source": lambda dear, cheap: (dear[0] / cheap[0], dear[0] / cheap[0]),
    },
)


def _ratio_interval(dear, cheap, draws, seed):
    random = np.random.default_rng(seed)
    ratios = []
    for _ in range(draws):
        top = random.choice(dear, len(dear))  # as many labels as there are, drawn with replacement
        bottom = random.choice(cheap, len(cheap))
        ratios.append(np.median(top) / np.median(bottom))
    low, high = np.quantile(ratios, [0.05, 0.95])
    return float(low), float(high)


def _times(seed, median, count):
    """Made-up seconds of one person, with a long tail."""
    return (median * np.exp(np.random.default_rng(seed).normal(0, 0.3, count))).tolist()


def _width(interval):
    return np.log(interval[1] / interval[0])


def _covers(f):
    made = [f(_times(k, 60, 15), _times(100 + k, 12, 15), 60, 0) for k in range(20)]
    return sum(low <= 5 <= high for low, high in made) >= 13 and all(_width(i) < 1 for i in made)


def _keeps_lists(f):
    dear, cheap = _times(0, 60, 10), _times(1, 12, 10)
    before = dear.copy(), cheap.copy()
    f(dear, cheap, 20, 0)
    return (dear, cheap) == before


ratio_interval = chapter.open_task(
    "ratio_interval",
    _ratio_interval,
    {
        "form": lambda f: (
            0
            < f(_times(0, 60, 9), _times(1, 12, 7), 50, 0)[0]
            < f(_times(0, 60, 9), _times(1, 12, 7), 50, 0)[1]
            < np.inf
        ),
        "no_spread": lambda f: np.allclose(f([12.0] * 5, [3.0] * 4, 20, 0), (4, 4)),
        "unit": lambda f: np.allclose(
            f([3 * t for t in _times(0, 60, 12)], _times(1, 12, 12), 50, 3),
            [3 * v for v in f(_times(0, 60, 12), _times(1, 12, 12), 50, 3)],
        ),
        "same_seed": lambda f: (
            f(_times(0, 60, 9), _times(1, 12, 9), 50, 7) == f(_times(0, 60, 9), _times(1, 12, 9), 50, 7)
        ),
        "more_labels": lambda f: (
            _width(f(_times(0, 60, 200), _times(1, 12, 200), 60, 0))
            < 0.5 * _width(f(_times(0, 60, 8), _times(1, 12, 8), 60, 0))
        ),
        "covers": _covers,
        "telephone": lambda f: f([*_times(0, 60, 20), 3000.0], _times(1, 12, 21), 60, 0)[1] < 9,
        "input_kept": _keeps_lists,
    },
)


after_annotation = chapter.quiz("after_annotation")
