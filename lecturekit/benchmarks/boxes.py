"""Every recipe of `learning.bootstrap` on a VOC folder: how good are labels from boxes, and their students?

The settings below were chosen on the training list alone (students of its first three quarters, measured on
the last: `Data.tuning`); the held-out list is looked at for the table only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..kit.storage import data_dir, write_atomic
from ..learning.bootstrap import FOUND, PAPER_IOU, History, bootstrap
from ..learning.data import Data, voc_data
from ..learning.recipes import RECIPES

#: Longer side of the pictures and labels, in pixels, and as the network sees them.
SIDE, SEEN = 160, 384
#: How a student is trained. On the tuning part, full masks gave a mean IoU of 32 % with a linear head, 34 %
#: with eight epochs of two layers on all cells, and 37 % with forty on every third cell each way; fewer, for
#: the sake of time, are taken here.
STUDENT = {"head": "two_layer", "epochs": 24, "lr": 2e-3, "batch": 8, "stride": 3}

#: The paper's order, from worst to best (Khoreva et al., CVPR 2017), and the share of full supervision that
#: its best recipe reaches on VOC 2012 val.
ORDER = ("naive", "box", "grabcut_plus", "mcg_and_grabcut_plus", "full")
PAPER_SHARE = PAPER_IOU["mcg_and_grabcut_plus"] / PAPER_IOU["full"]


@dataclass(frozen=True, eq=False)
class Result:
    """One recipe's runs, one a seed."""

    recipe: str
    runs: list[History]

    @property
    def students(self) -> np.ndarray:
        """Mean IoU by seed and round, ``(seeds, rounds)``."""
        return np.array([run.student_iou for run in self.runs])

    @property
    def last(self) -> float:
        """Mean IoU after the last round, over the seeds."""
        return float(self.students[:, -1].mean())

    @property
    def found(self) -> np.ndarray:
        """Share of objects found at each IoU of `FOUND` after the last round, over the seeds."""
        return np.mean([run[-1].found for run in self.runs], 0)


def run(
    data: str | Path,
    seeds: int = 3,
    rounds: int = 3,
    quick: bool = False,
    out: str | Path | None = None,
) -> str:
    """Table of label quality and students on a folder in VOC's layout, as Markdown.

    What is done once is kept (`bootstrap`): a run that was stopped goes on, and a second one only prints.

    Args:
        data: the folder, with the lists train and val.
        seeds: how many students a recipe and round.
        rounds: of the recipes Naive, Box and Box^i.
        quick: 60 training and 40 held-out pictures, one seed, two rounds: a look, not a measurement.
        out: the table so far is written here after each recipe; ``benchmarks/boxes.md`` of the data folder
            if None.
    """
    pictures = voc_data(data)
    if quick:
        pictures, seeds, rounds = pictures.fewer(60, 40), 1, 2
    file = data_dir() / "benchmarks" / "boxes.md" if out is None else Path(out)
    results: list[Result] = []
    for recipe in tqdm([*RECIPES][::-1], desc="recipes"):
        results.append(Result(recipe, _runs(pictures, recipe, seeds, rounds)))
        write_atomic(file, table(pictures, results) + "\n")
    return table(pictures, results)


def _runs(data: Data, recipe: str, seeds: int, rounds: int) -> list[History]:
    several = RECIPES[recipe].rounds > 1
    options = STUDENT | {"side": SEEN, "label_side": SIDE, "progress": True}
    return [bootstrap(data, recipe, rounds if several else 1, seed, **options) for seed in range(seeds)]


def table(data: Data, results: Sequence[Result]) -> str:
    """The results as Markdown, in the order of `RECIPES`; what is not there yet is left out."""
    found = {result.recipe: result for result in results}
    results = [found[recipe] for recipe in RECIPES if recipe in found]
    full = found.get("full")
    seeds = len(results[0].runs)
    lines = [
        f"{len(data.train)} training and {len(data.val)} held-out pictures, labels made at {SIDE} px, "
        f"{seeds} seed{'s' * (seeds > 1)}, a head of kind {STUDENT['head']} on frozen features.",
        "Labels: precision, recall, coverage over the classes without background, IoU with it, in %.",
        "Student: mean IoU in % by round (mean over seeds, and spread of the last), its share of full "
        f"supervision, and objects found at IoU {FOUND[0]} and {FOUND[1]} with their shares.",
        "Small, and not the usual split: do not compare with published figures.",
        "",
        "| recipe | precision | recall | coverage | IoU, first to last | student by round | ± | of full "
        f"| found at {FOUND[0]} | of full | at {FOUND[1]} | of full |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(result, full) for result in results),
    ]
    return "\n".join([*lines, *(["", *_targets(found)] if len(found) == len(RECIPES) else [])])


def _row(result: Result, full: Result | None) -> str:
    taught = [run[-1].labels for run in result.runs]
    means = [
        np.mean([np.nanmean(getattr(q, name)[1:]) for q in taught])
        for name in ("precision", "recall", "coverage")
    ]
    labels = np.mean([run.label_iou for run in result.runs], 0)
    ends = [labels[0]] if len(labels) == 1 else [labels[0], labels[-1]]
    students = result.students
    cells = [
        RECIPES[result.recipe].title,
        *(f"{100 * m:.1f}" for m in means),
        " to ".join(f"{100 * v:.1f}" for v in ends),
        ", ".join(f"{100 * v:.1f}" for v in students.mean(0)),
        f"{100 * students[:, -1].std(ddof=1):.1f}" if len(students) > 1 else "",
        _share(result.last, full and full.last),
    ]
    for k, value in enumerate(result.found):
        cells += [f"{100 * value:.1f}", _share(value, full and full.found[k])]
    return f"| {' | '.join(cells)} |"


def _share(value: float, full: float | None) -> str:
    return f"{100 * value / full:.1f} %" if full else ""


def _targets(found: dict[str, Result]) -> list[str]:
    """Whether the table shows what the paper shows, in words."""
    order = [found[recipe].last for recipe in ORDER]
    steps = [
        f"{RECIPES[a].title} {'<' if x < y else 'not <'} {RECIPES[b].title}"
        for a, b, x, y in zip(ORDER, ORDER[1:], order, order[1:], strict=False)
    ]
    box = found["box"].students.mean(0)
    best = max((r for r in found.values() if r.recipe != "full"), key=lambda r: r.last)
    share = best.last / max(found["full"].last, 1e-9)
    return [
        f"- Order of the paper: {'; '.join(steps)}.",
        f"- Box over its rounds: {100 * (box[-1] - box[0]):+.1f} points from the first to the last.",
        f"- Best weak recipe: {RECIPES[best.recipe].title}, {share:.1%} of full supervision "
        f"({'at least' if share >= PAPER_SHARE else 'under'} the paper's {PAPER_SHARE:.1%}).",
    ]
