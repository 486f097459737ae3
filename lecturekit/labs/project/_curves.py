"""How good a student becomes with how many labels of a kind: curves through what ``bench project`` measured.

Their measure of "how many" is labelled objects a class, and that of quality the IoU of the classes without
background, so that a folder of two classes is not taken for one of twenty. Between the measured sizes, and
beyond them, it is ``top - drop * objects ** -power``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...kit.results import load

#: Kinds of label as a reader names them, cheapest first, and the price that stands for each (`labels.costs`).
KINDS: dict[str, str] = {
    "tags": "image_class",
    "clicks": "click_centre",
    "scribbles": "scribble",
    "boxes": "box_extreme",
    "masks": "outline",
}
#: Powers that are tried for a curve, and how much quality no curve exceeds.
_POWERS, _TOP = np.linspace(0.1, 1.5, 29), 0.95


@dataclass(frozen=True)
class Curve:
    """Quality of a kind of label: IoU of the classes without background, by labelled objects a class.

    Attributes:
        top: where it ends with ever more labels.
        drop: what is missing at one object a class.
        power: how fast it rises.
        spread: standard deviation of one student round the curve: other pictures drawn, another seed, and
            what the curve misses.
    """

    top: float
    drop: float
    power: float
    spread: float

    def __call__(self, objects: ArrayLike) -> NDArray[np.float64]:
        """IoU, 0..1.

        Args:
            objects: labelled objects a class, above 0.
        """
        return np.clip(self.top - self.drop * np.asarray(objects, float) ** -self.power, 0.0, 1.0)


def fit(objects: ArrayLike, quality: ArrayLike) -> Curve:
    """The curve nearest to what was measured, by least squares.

    Args:
        objects: labelled objects a class, ``(n,)``, at least two different ones.
        quality: of a student each, ``(n,)``.

    Example:
        >>> curve = fit([1, 4, 16, 64], [0.2, 0.4, 0.5, 0.55])
        >>> round(float(curve(4)), 2), round(curve.top, 2), round(curve.power, 2)
        (0.4, 0.6, 0.5)
    """
    x, y = np.asarray(objects, float), np.asarray(quality, float)
    if x.shape != y.shape or len(np.unique(x)) < 2 or (x <= 0).any():
        raise ValueError("objects must be two different numbers above 0 or more, with one quality each")
    best = None
    for power in _POWERS:
        terms = np.stack([np.ones_like(x), -(x**-power)], 1)
        top, drop = np.linalg.lstsq(terms, y, rcond=None)[0]
        top = min(top, _TOP)
        drop = max(0.0, float(((top - y) * x**-power).sum() / (x ** (-2 * power)).sum()))
        error = float(((top - drop * x**-power - y) ** 2).sum())
        if best is None or error < best[0]:
            best = error, Curve(float(top), drop, float(power), (error / max(1, len(x) - 2)) ** 0.5)
    assert best is not None
    return best[1]


@dataclass(frozen=True)
class Curves:
    """What the plan knows.

    Attributes:
        single: a curve a kind of `KINDS`.
        exponents: for each kind that masks were mixed with, g: with a share s of the pictures masked, the
            student has got ``s ** g`` of the way from the kind's quality to that of masks.
        background: a, b: where the classes have an IoU of q, background has a + b q.
        mixed: spread of the student of a mixture, by the same kinds.
        judged: standard deviation of the measured qualities that comes from judging on few pictures: with
            other ones all students would have been better, or all worse.
        judged_pictures: how many pictures judged a student.
        parts: how many sets of so many pictures judged the students of a curve.
        tasks: standard deviation of the logit of quality between tasks at equal labels.
        shortest: labelled objects a class of the smallest student measured.
        longest: and of the largest.
    """

    single: Mapping[str, Curve]
    exponents: Mapping[str, float]
    background: tuple[float, float]
    mixed: Mapping[str, float]
    judged: float
    judged_pictures: int
    parts: int
    tasks: float
    shortest: float
    longest: float

    def quality(self, shares: Mapping[str, float], objects: ArrayLike, classes: int) -> NDArray[np.float64]:
        """Mean IoU, background included, of a student of one kind, or of one kind and masks.

        Args:
            shares: of the pictures, by kind; one kind, or one and ``masks``.
            objects: labelled objects a class, of all kinds together.
            classes: how many, without background.
        """
        found = self.single["masks"](objects)
        weak, masked = weak_of(shares), shares.get("masks", 0.0)
        if weak is not None:
            below = self.single[weak](objects)
            way = masked ** self.exponents.get(weak, 1.0) if masked else 0.0  # 1: nobody measured it
            found = below + np.maximum(found - below, 0) * way
        return with_background(found, classes, self.background)

    def spread(self, shares: Mapping[str, float]) -> float:
        """Standard deviation of one student round `quality`.

        Args:
            shares: as in `quality`.
        """
        weak = weak_of(shares)
        own = self.single[next(iter(shares))].spread
        return self.mixed.get(weak, max(own, *self.mixed.values(), 0)) if weak and len(shares) > 1 else own


def with_background(
    quality: NDArray[np.float64], classes: int, background: tuple[float, float]
) -> NDArray[np.float64]:
    """IoU of the classes alone -> mean IoU with background.

    Args:
        quality: of the classes.
        classes: how many.
        background: as in `Curves`.
    """
    behind = np.clip(background[0] + background[1] * quality, 0, 1)
    return (classes * quality + behind) / (classes + 1)


def weak_of(shares: Mapping[str, float]) -> str | None:
    """The kind beside masks; None for masks alone.

    Args:
        shares: by kind.
    """
    return next((kind for kind in shares if kind != "masks"), None)


@lru_cache(maxsize=1)
def measured() -> Curves:
    """The curves of ``docs/results/project.json``.

    Raises:
        FileNotFoundError: this edition brings no such file.
    """
    content = load("project")
    return curves_of(content["rows"], content["settings"])


def curves_of(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Curves:
    """Curves through the rows of ``bench project``.

    Args:
        rows: of its file; those of students that were planned are not looked at.
        settings: of its file.
    """
    own = [row for row in rows if row["role"] == "curve"]
    classes = settings["classes"]
    x = np.array([sum(row["counts"].values()) for row in own]) * settings["objects"] / classes
    behind = np.array([row["background"] for row in own])
    y = ((classes + 1) * np.array([row["iou"] for row in own]) - behind) / classes
    kinds = [tuple(row["counts"]) for row in own]
    parts = np.array([row["part"] for row in own])
    single = _single(kinds, x, y)
    apart = _part_effects(single, kinds, parts, x, y)  # what makes a part hard makes it so for all students
    single = _single(kinds, x, y - apart[parts])
    exponents, misses = _exponents(single, [row["counts"] for row in own], x, y - apart[parts])
    slope, start = np.polyfit(y, behind, 1)
    drawn = float(np.mean([(row["high"] - row["low"]) / 3.92 for row in own]))
    return Curves(
        single,
        exponents,
        (float(start), float(slope)),
        {kind: float(np.sqrt(np.mean(np.square(some)))) for kind, some in misses.items()},
        max(drawn, float(apart.std(ddof=1)) if len(apart) > 1 else 0.0),
        settings["judged"],
        len(apart),
        settings["tasks"],
        float(x.min()),
        float(x.max()),
    )


def _single(
    kinds: Sequence[tuple[str, ...]], x: NDArray[np.float64], y: NDArray[np.float64]
) -> dict[str, Curve]:
    """A curve a kind."""
    chosen = {kind: [k == (kind,) for k in kinds] for kind in KINDS}
    return {kind: fit(x[some], y[some]) for kind, some in chosen.items()}


def _part_effects(
    single: Mapping[str, Curve],
    kinds: Sequence[tuple[str, ...]],
    parts: NDArray[np.int64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How much better the students of each part are than the curves, ``(parts,)``; their mean is 0."""
    alone = np.array([len(kind) == 1 for kind in kinds])
    misses = np.array([y[k] - single[kinds[k][0]](x[k]) if alone[k] else 0.0 for k in range(len(y))])
    found = np.array([misses[alone & (parts == part)].mean() for part in range(parts.max() + 1)])
    return found - found.mean()


def _exponents(
    single: Mapping[str, Curve],
    counts: Sequence[Mapping[str, int]],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """How far masks in some of the pictures take each kind, and what that misses."""
    exponents: dict[str, float] = {}
    misses: dict[str, list[float]] = {}
    grid = np.linspace(0.1, 2.0, 39)
    for weak in (kind for kind in KINDS if kind != "masks"):
        mixed = [k for k, some in enumerate(counts) if set(some) == {weak, "masks"}]
        if not mixed:
            continue
        share = np.array([counts[k]["masks"] / sum(counts[k].values()) for k in mixed])
        below, above = single[weak](x[mixed]), single["masks"](x[mixed])
        guess = below + np.maximum(above - below, 0) * share ** grid[:, None]
        best = ((guess - y[mixed]) ** 2).mean(1).argmin()
        exponents[weak] = float(grid[best])
        misses[weak] = (guess[best] - y[mixed]).tolist()
    return exponents, misses


def logit(value: Any) -> Any:
    """``log(v / (1 - v))`` of a quality, which is kept off 0 and 1.

    Args:
        value: a number or an array, 0..1.
    """
    value = np.clip(value, 0.01, 0.99)
    return np.log(value / (1 - value))
