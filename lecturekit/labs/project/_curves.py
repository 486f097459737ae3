"""How good a student becomes with how many labels of a kind: curves through what ``bench project`` measured.

Their measure of "how many" is labelled objects a class, so that a folder of two classes is not taken for one
of twenty. Between the measured sizes, and beyond them, quality is ``top - drop * objects ** -power``.
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
    """Quality of a kind of label: mean IoU as a function of labelled objects a class.

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
        """Mean IoU, 0..1.

        Args:
            objects: labelled objects a class, above 0.
        """
        return np.clip(self.top - self.drop * np.asarray(objects, float) ** -self.power, 0.0, 1.0)


def fit(objects: ArrayLike, quality: ArrayLike) -> Curve:
    """The curve nearest to what was measured, by least squares.

    Args:
        objects: labelled objects a class, ``(n,)``, at least two different ones.
        quality: mean IoU of a student each, ``(n,)``.

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
        mixed: spread of a mixture's student.
        judged: standard deviation of the measured qualities that comes from judging on few pictures: those of
            another hundred would have been all better or all worse.
        judged_pictures: how many.
        tasks: standard deviation of the logit of quality between tasks at equal labels.
        shortest: labelled objects a class of the smallest student measured.
        longest: and of the largest.
    """

    single: Mapping[str, Curve]
    exponents: Mapping[str, float]
    mixed: float
    judged: float
    judged_pictures: int
    tasks: float
    shortest: float
    longest: float

    def quality(self, shares: Mapping[str, float], objects: ArrayLike) -> NDArray[np.float64]:
        """Mean IoU of a student of one kind, or of one kind and masks.

        Args:
            shares: of the pictures, by kind; one kind, or one and ``masks``.
            objects: labelled objects a class, of all kinds together.
        """
        weak, masked = weak_of(shares), shares.get("masks", 0.0)
        if weak is None:
            return self.single["masks"](objects)
        below = self.single[weak](objects)
        exponent = self.exponents.get(weak, float(np.mean([*self.exponents.values()])))
        above = np.maximum(self.single["masks"](objects), below)
        return below + (above - below) * (masked**exponent if masked else 0.0)

    def spread(self, shares: Mapping[str, float]) -> float:
        """Standard deviation of one student round `quality`.

        Args:
            shares: as in `quality`.
        """
        return self.mixed if len(shares) > 1 else self.single[next(iter(shares))].spread


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
    rows = [row for row in rows if row["role"] in ("curve", "task")]
    objects = settings["objects"] / settings["classes"]
    own = [row for row in rows if row["role"] == "curve"]
    x = np.array([sum(row["counts"].values()) for row in own]) * objects
    y = np.array([row["iou"] for row in own])
    kinds = [tuple(row["counts"]) for row in own]
    single = {}
    for kind in KINDS:
        chosen = [k == (kind,) for k in kinds]
        single[kind] = fit(x[chosen], y[chosen])
    return _with_mixtures(single, own, x, y, settings)


def _with_mixtures(
    single: dict[str, Curve],
    rows: Sequence[Mapping[str, Any]],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    settings: Mapping[str, Any],
) -> Curves:
    """The exponents of the mixtures, and all that is left."""
    exponents: dict[str, float] = {}
    misses: list[float] = []
    for weak in KINDS:
        mixed = [k for k, row in enumerate(rows) if set(row["counts"]) == {weak, "masks"}]
        if not mixed:
            continue
        share = np.array([rows[k]["counts"]["masks"] / sum(rows[k]["counts"].values()) for k in mixed])
        below, above = single[weak](x[mixed]), single["masks"](x[mixed])
        grid = np.linspace(0.1, 2.0, 39)
        guess = below + np.maximum(above - below, 0) * share ** grid[:, None]
        errors = ((guess - y[mixed]) ** 2).mean(1)
        exponents[weak] = float(grid[errors.argmin()])
        misses += (guess[errors.argmin()] - y[mixed]).tolist()
    judged = float(np.mean([(row["high"] - row["low"]) / 3.92 for row in rows]))
    mixed_spread = float(np.std(misses)) if misses else max(curve.spread for curve in single.values())
    return Curves(
        single,
        exponents or {"boxes": 1.0},
        mixed_spread,
        judged,
        settings["judged"],
        settings.get("tasks", 0.5),
        float(x.min()),
        float(x.max()),
    )
