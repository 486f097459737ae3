"""Are pictures that `project suggest` names worth more than others? A part of `bench project`.

Some pictures are labelled by lot, two halves of them teach a student each, and more pictures are labelled:
those suggested, or others by lot, until as many clicks are made or as many seconds are over. A click stands
for whatever marks one object: a click, a box, an outline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.voc import CLASSES
from ..kit import markdown
from ..labels.costs import price, seconds_an_image
from ..labs.project._curves import KINDS
from ..labs.project._suggest import covering, doubt, doubted, looks
from ..learning.bootstrap import class_ious, picture_counts

if TYPE_CHECKING:
    from .photographs import Pictures
    from .project import Teacher

#: Kinds of label, pictures labelled at first, and seeds: of the lots and of the students.
TRIED, START, SEEDS = ("clicks", "boxes", "masks"), 25, (200, 201, 202, 203, 204)
#: What is equal, and how many other pictures are drawn by lot for each of them.
EQUAL, LOTS = ("clicks", "seconds"), 2


def suggestions(teacher: Teacher, judge: Pictures, kind: str, seed: int) -> list[dict[str, Any]]:
    """The rows of one kind of label and one seed.

    Args:
        teacher: of the pictures that can be labelled.
        judge: the pictures to judge on.
        kind: of `TRIED`.
        seed: of the lots and of the students.
    """
    pool = teacher.pool
    rng = np.random.default_rng([seed, START])
    order = rng.permutation(len(pool.masks))
    first, left = np.sort(order[:START]), order[START:]
    halves = [teacher.taught({kind: np.sort(order[:START][k::2])}, seed) for k in (0, 1)]
    here, known = looks(pool.features)[left], looks(pool.features)[first]
    doubts = np.array([doubt(halves, pool.features, int(k))[0] for k in left])
    turns = [("coverage", covering(here, known, len(left)))]
    turns += [("doubt", doubted(doubts, here, known, len(left)))]
    turns += [("chance", rng.permutation(len(left)).tolist()) for _ in range(LOTS)]
    each = costs(pool.boxes, kind)
    rows = [
        row_of(teacher, judge, kind, seed, first) | {"equal": "", "by": "start"} | _spent(each, first[:0])
    ]
    for equal in EQUAL:
        budget = START * float(each[equal].mean())
        for by, turn in turns:
            more = paid(left[turn], each[equal], budget)
            row = row_of(teacher, judge, kind, seed, np.concatenate([first, more]))
            rows.append(row | {"equal": equal, "budget": budget, "by": by} | _spent(each, more))
    return rows


def row_of(
    teacher: Teacher, judge: Pictures, kind: str, seed: int, numbers: NDArray[np.int64]
) -> dict[str, Any]:
    """Teach a student of some pictures, and judge it.

    Args:
        teacher: of all pictures.
        judge: the pictures to judge on.
        kind: of label.
        seed: of the student.
        numbers: of the pictures that have labels.
    """
    student = teacher.taught({kind: numbers}, seed)
    pairs = zip(student.labels(judge.features), judge.masks, strict=True)
    ious = class_ious(np.sum([picture_counts(*pair, len(CLASSES)) for pair in pairs], axis=0))
    return {"role": "suggest", "name": kind, "seed": seed, "iou": float(np.nanmean(ious))}


def costs(boxes: Sequence[NDArray], kind: str) -> dict[str, NDArray[np.float64]]:
    """Clicks and seconds of each picture, at the literature's prices.

    Args:
        boxes: of each picture's objects.
        kind: of label.
    """
    objects = np.array([len(some) for some in boxes], float)
    classes, cost = len(CLASSES) - 1, price(KINDS[kind])
    seconds = [seconds_an_image(cost, many, classes)[0] for many in objects.tolist()]
    return {"clicks": objects, "seconds": np.array(seconds)}


def paid(turn: NDArray[np.int64], each: NDArray[np.float64], budget: float) -> NDArray[np.int64]:
    """The pictures that are labelled in their turn, until the next cannot be paid.

    Args:
        turn: numbers of pictures.
        each: cost of every picture.
        budget: for all of them together.

    Example:
        >>> paid(np.array([2, 0, 1]), np.array([1.0, 9.0, 3.0]), 5.0).tolist()
        [2, 0]
    """
    return turn[np.cumsum(each[turn]) <= budget]


def _spent(each: Mapping[str, NDArray[np.float64]], numbers: NDArray[np.int64]) -> dict[str, Any]:
    return {"pictures": len(numbers)} | {name: float(some[numbers].sum()) for name, some in each.items()}


def suggestion_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Suggestions beside chance, as Markdown; the gain is paired by seeds.

    Args:
        rows: of all of `bench project`.
    """
    head = ["labels", "at equal", "suggested by", f"with {START}", "pictures more", "by chance", "mean IoU"]
    own = [row for row in rows if row["role"] == "suggest"]
    cells = []
    for kind in dict.fromkeys(row["name"] for row in own):
        for equal in EQUAL:
            for by in ("coverage", "doubt"):
                cells.append(_cells([row for row in own if row["name"] == kind], equal, by))
    return markdown.table([*head, "by chance", "gain", "better in"], cells)


def gains(rows: Sequence[Mapping[str, Any]], equal: str, by: str) -> NDArray[np.float64]:
    """How much better suggested pictures are than those by chance, of each seed.

    Args:
        rows: of one kind of label.
        equal: of `EQUAL`.
        by: of ``coverage`` and ``doubt``.
    """
    seeds = sorted({row["seed"] for row in rows})
    some = {seed: [r for r in rows if r["seed"] == seed and r["equal"] == equal] for seed in seeds}
    lots = [np.mean([r["iou"] for r in some[seed] if r["by"] == "chance"]) for seed in seeds]
    named = [np.mean([r["iou"] for r in some[seed] if r["by"] == by]) for seed in seeds]
    return np.subtract(named, lots)


def _cells(rows: Sequence[Mapping[str, Any]], equal: str, by: str) -> list[str]:
    def mean(key: str, way: str, about: str = equal) -> float:
        return float(np.mean([row[key] for row in rows if (row["by"], row["equal"]) == (way, about)]))

    apart = 100 * gains(rows, equal, by)
    error = apart.std(ddof=1) / len(apart) ** 0.5
    cells = [rows[0]["name"], equal, by, f"{100 * mean('iou', 'start', ''):.1f}"]
    cells += [f"{mean('pictures', way):.1f}" for way in (by, "chance")]
    cells += [f"{100 * mean('iou', way):.1f}" for way in (by, "chance")]
    return [*cells, f"{apart.mean():+.1f} ± {error:.1f}", f"{(apart > 0).sum()} of {len(apart)}"]
