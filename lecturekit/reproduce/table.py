"""One table beside the paper's, and what must not be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..benchmarks.boxes import interval
from ..kit import markdown
from ..learning.bootstrap import PAPER_IOU, class_ious
from ..learning.recipes import RECIPES
from .grid import PAPER_TRAIN, PAPER_VAL

if TYPE_CHECKING:
    from .run import Run


def reasons(run: Run) -> list[str]:
    """Why the figures must not be put beside the paper's; none if they may."""
    found = []
    for name, voc, wanted in (("training", run.train, PAPER_TRAIN), ("validation", run.val, PAPER_VAL)):
        if len(voc) != wanted:
            found.append(f"{len(voc):,} {name} pictures, where the paper has {wanted:,}")
    options = run.options
    if options.network != "vgg16_largefov":
        found.append(f"another network ({options.network}; the paper's is DeepLab-LargeFOV on VGG-16)")
    elif options.weights is None:
        found.append("a backbone with random weights, where the paper's begins with ImageNet's")
    if not run.plan.crf_at_test:
        found.append("no CRF on the answers, where the paper has one")
    return found


def table(run: Run) -> str:
    """What was measured, beside the paper's figures, as Markdown."""
    full = run.counts("full", 1)
    bar = class_mean(full)
    why_not = reasons(run)
    lines = [
        f"{run.plan.title}: {len(run.train):,} training pictures ({run.plan.splits[0]}), "
        f"{len(run.val):,} validation pictures, {run.options.network}, {run.plan.seeds} seed(s).",
        "Mean IoU in % by round, mean over seeds; of the last round the standard deviation, the 95 % "
        "interval over draws of pictures, and the share of full supervision with its interval.",
        "",
    ]
    star = "*" * bool(why_not)
    head = ["recipe", "mean IoU by round", "±", "interval", "of full", "interval", f"paper{star}"]
    head += [f"of full{star}"] + ([] if why_not else ["difference"])
    cells = [line(run, recipe, full, bar, not why_not) for recipe in run.plan.recipes]
    lines.append(markdown.table(head, cells))
    if why_not:
        lines += ["", f"\\* Not comparable with the paper's figures: {'; '.join(why_not)}."]
    return "\n".join(lines)


def line(run: Run, recipe: str, full: NDArray[np.int64], bar: float, comparable: bool) -> list[str]:
    """The cells of a row of the table.

    Args:
        run: the experiment.
        recipe: the row's.
        full: counts of full supervision.
        bar: its mean IoU.
        comparable: whether a difference to the paper's figure may be shown.
    """
    rounds = [run.counts(recipe, n) for n in range(1, run.rounds(recipe) + 1)]
    last = rounds[-1]
    seeds = np.nanmean(class_ious(last.sum(1)), -1)
    paper = PAPER_IOU.get(recipe)
    cells = [
        RECIPES[recipe].title,
        ", ".join(f"{100 * class_mean(one):.1f}" for one in rounds),
        f"{100 * seeds.std(ddof=1):.1f}" if len(seeds) > 1 else "",
        " to ".join(f"{100 * v:.1f}" for v in interval(last)),
        f"{100 * class_mean(last) / max(bar, 1e-9):.1f} %",
        " to ".join(f"{100 * v:.1f}" for v in interval(last, full)),
        "" if paper is None else f"{paper}",
        "" if paper is None else f"{100 * paper / PAPER_IOU['full']:.1f} %",
    ]
    if comparable:
        cells.append("" if paper is None else f"{100 * class_mean(last) - paper:+.1f}")
    return cells


def class_mean(counts: NDArray[np.int64]) -> float:
    """Mean IoU over classes and seeds."""
    return float(np.nanmean(class_ious(counts.sum(1)), -1).mean())
