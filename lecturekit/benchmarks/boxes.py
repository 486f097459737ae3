"""Every recipe of `learning.recipes` on a VOC folder: how good are labels from boxes, and their students?

The settings below were chosen on the training list alone, for full supervision: it is the bar. Every recipe's
student has the same ones, calibration included. The validation list is looked at for the table only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..kit.storage import data_dir, write_atomic
from ..learning.bootstrap import FOUND, PAPER_IOU, History, bootstrap, class_ious
from ..learning.data import Data, voc_data
from ..learning.recipes import RECIPES
from ..pixels.edges import hed_weights_path
from . import _results

#: Longer side in pixels: of pictures as the network sees them, scaled from their own size, and of labels as
#: they are made.
SEEN, LABEL_SIDE = 512, 256
#: Recipes that are also measured with HED's boundaries, where its weights are installed.
HED = ("grabcut_plus", "filled")
#: How a student is trained. Cross-validated on the training list (two folds of four, full supervision): mean
#: IoU 49.1 % as it comes and 53.2 % with tau .3 (.2: 52.7, .4: 53.0) for 128 hidden units and 384 px; 53.8 %
#: with 256; 54.4 % and 54.7 % at 512 px; 24 epochs at a lower rate 53.5 %; a linear head 40.9 %. The context
#: head, after four epochs on every cell, was worse on the one fold tried (54.4 % and 57.2 %). One tau for all
#: recipes: it is a setting of the student like the others, and no mask decides about a single recipe.
STUDENT: dict[str, Any] = {
    "head": "two_layer",
    "hidden": 256,
    "epochs": 12,
    "lr": 5e-3,
    "batch": 8,
    "stride": 3,
    "tau": 0.3,
}
#: The same where the whole network learns. On the last quarter of the training list, for full supervision:
#: 8 epochs at a rate of 1e-3 51.5 % (tau .3), at 3e-3 52.2 % (tau .2), at 8e-3 38.9 %.
WHOLE: dict[str, Any] = {
    "head": "two_layer",
    "hidden": 256,
    "epochs": 8,
    "lr": 3e-3,
    "batch": 8,
    "tau": 0.2,
    "finetune": True,
}
#: How often pictures are drawn anew for an interval.
DRAWS = 1000

#: The paper's order, from worst to best (Khoreva et al., CVPR 2017), and the share of full supervision that
#: its best recipe reaches on VOC 2012 val.
ORDER = ("naive", "box", "grabcut_plus", "mcg_and_grabcut_plus", "full")
PAPER_SHARE = PAPER_IOU["mcg_and_grabcut_plus"] / PAPER_IOU["full"]

#: What is known of one recipe: a row of the table, and of the file.
Row = dict[str, Any]


def run(
    data: str | Path,
    seeds: int = 3,
    rounds: int = 3,
    quick: bool = False,
    crf_at_test: bool = False,
    finetune: bool = False,
    out: str | Path | None = None,
) -> str:
    """Table of label quality and students on a folder in VOC's layout, as Markdown.

    What is done once is kept (`bootstrap`): a run that was stopped goes on, and a second one only prints. A
    whole run on 100 pictures or more also goes to ``docs/results/boxes.json`` (``boxes_crf.json``,
    ``boxes_finetune.json``).

    Args:
        data: the folder, with the lists train and val.
        seeds: how many students a recipe and round.
        rounds: at most; no recipe has more than its own.
        quick: 60 training and 40 validation pictures, one seed, two rounds: a look, not a measurement.
        crf_at_test: refine every student's answers with a CRF, as the paper does.
        finetune: the students are whole networks, in place of a head on frozen features; wants a GPU.
        out: the table so far is written here after each recipe; ``benchmarks/boxes.md`` of the data folder
            if None.
    """
    pictures = voc_data(data)
    if quick:
        pictures, seeds, rounds = pictures.fewer(60, 40), 1, 2
    file = data_dir() / "benchmarks" / "boxes.md" if out is None else Path(out)
    student = WHOLE if finetune else STUDENT
    options = student | {"side": SEEN, "label_side": LABEL_SIDE, "crf_at_test": crf_at_test}
    runs: dict[str, list[History]] = {}
    text = ""
    names = [*RECIPES, *(f"{recipe}_hed" for recipe in HED if hed_weights())]
    # full supervision first: the others are its shares
    for name in tqdm(sorted(names, key="full".__ne__), desc="recipes"):
        recipe = name.removesuffix("_hed")
        count = min(rounds, RECIPES[recipe].rounds)
        own: dict[str, Any] = options | {"boundaries": "own" if name == recipe else "hed", "progress": True}
        runs[name] = [bootstrap(pictures, recipe, count, seed, **own) for seed in range(seeds)]
        rows = [row(name, runs[name], runs.get("full")) for name in names if name in runs]
        text = table(pictures, rows, finetune)
        write_atomic(file, text + "\n")
    if not quick and len(pictures.val) >= 100:
        counts = {"train": len(pictures.train), "val": len(pictures.val), "seeds": seeds, "draws": DRAWS}
        name = "boxes" + "_finetune" * finetune + "_crf" * crf_at_test
        _results.save(name, rows, options | counts)
    return text


def hed_weights() -> bool:
    """Whether HED's weights are installed."""
    try:
        hed_weights_path()
    except FileNotFoundError:
        return False
    return True


def title(name: str) -> str:
    """Of a row: the recipe's, and whether it looked at HED's boundaries in place of ours.

    Args:
        name: a key of `RECIPES`, with ``_hed`` at its end where the boundaries are HED's.

    Example:
        >>> title("grabcut_plus_hed")
        'GrabCut+ (HED)'
    """
    recipe = name.removesuffix("_hed")
    return RECIPES[recipe].title + ("" if recipe == name else " (HED)")


def row(recipe: str, runs: Sequence[History], full: Sequence[History] | None) -> Row:
    """What is known of a recipe after its last round; means over the seeds.

    Args:
        recipe: as in `title`.
        runs: of it, one a seed.
        full: of full supervision, for the shares; None where it has not run yet.
    """
    students = np.array([run.student_iou for run in runs])  # (seeds, rounds)
    labels = [run[-1].labels for run in runs]
    found = np.mean([run[-1].found for run in runs], 0)
    bar = None if full is None else np.mean([run[-1].student_iou for run in full])
    bar_found = None if full is None else np.mean([run[-1].found for run in full], 0)
    counts = last_counts(runs)
    content: Row = {
        "recipe": recipe,
        "title": title(recipe),
        "label_side": LABEL_SIDE,
        "label_iou": np.mean([run.label_iou for run in runs], 0),
        "students": students,
        "mean": students[:, -1].mean(),
        "best_round": students.mean(0).max(),
        "sd": students[:, -1].std(ddof=1) if len(runs) > 1 else None,
        "interval": interval(counts),
        "share_of_full": None if bar is None else students[:, -1].mean() / bar,
        "share_interval": None if full is None else interval(counts, last_counts(full)),
        "found": dict(zip(map(str, FOUND), found, strict=True)),
        "found_share_of_full": None if bar_found is None else found / bar_found,
    }
    for name in ("precision", "recall", "coverage"):
        content[f"label_{name}"] = np.mean([np.nanmean(getattr(quality, name)[1:]) for quality in labels])
    return content


def last_counts(runs: Sequence[History]) -> NDArray[np.int64]:
    """Counts of the last round's students, ``(seeds, pictures, 3, classes)``."""
    return np.stack([run[-1].counts for run in runs])


def interval(
    counts: NDArray[np.int64], reference: NDArray[np.int64] | None = None, seed: int = 0
) -> tuple[float, float]:
    """Where the mean IoU, or its share of a reference's, lies in 95 % of draws of other pictures.

    Both are measured on the same pictures in each draw (a paired bootstrap): what makes a picture hard makes
    it so for both. The seeds' mean is taken; how students differ is not in it.

    Args:
        counts: as `last_counts`.
        reference: the same of the student that counts as 1; None: the mean IoU itself.
        seed: of the draws.
    """
    pictures = counts.shape[1]
    rng = np.random.default_rng(seed)
    often = rng.multinomial(pictures, np.full(pictures, 1 / pictures), DRAWS)
    values = _drawn_iou(counts, often)
    if reference is not None:
        values = values / _drawn_iou(reference, often)
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _drawn_iou(counts: NDArray[np.int64], often: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean IoU over classes and seeds of each draw, ``(draws,)``."""
    drawn = np.einsum("dn,sntk->sdtk", often, counts, optimize=True)
    return np.nanmean(class_ious(drawn), -1).mean(0)


def table(data: Data, rows: Sequence[Row], finetune: bool = False) -> str:
    """The rows as Markdown.

    Args:
        data: on which they were measured.
        rows: from `row`, those of the recipes that are done.
        finetune: as in `run`.
    """
    student = "whole networks" if finetune else f"a head of kind {STUDENT['head']} on frozen features"
    seeds = len(rows[0]["students"])
    lines = [
        f"{len(data.train)} training and {len(data.val)} validation pictures, labels made at {LABEL_SIDE} px,"
        f" {seeds} seed{'s' * (seeds > 1)}, {student}.",
        "Labels: precision, recall, coverage over the classes without background, IoU with it, in %.",
        "Student: mean IoU in % by round (mean over seeds, and standard deviation of the last; 95 % interval "
        "over draws of pictures), its share of full supervision, and objects found at IoU "
        f"{FOUND[0]} and {FOUND[1]} with their shares.",
        "Small, and not the usual split: do not compare with published figures.",
        "",
        "| recipe | precision | recall | coverage | IoU, first to last | student by round | ± | interval "
        f"| of full | interval | found at {FOUND[0]} | of full | at {FOUND[1]} | of full |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *map(_line, rows),
    ]
    known = {content["recipe"]: content for content in rows}
    return "\n".join([*lines, *(["", *_targets(known)] if known.keys() >= {*RECIPES, *ORDER} else [])])


def _line(content: Row) -> str:
    ends = content["label_iou"][[0, -1]] if len(content["label_iou"]) > 1 else content["label_iou"]
    cells = [
        content["title"],
        *(_percent(content[f"label_{name}"]) for name in ("precision", "recall", "coverage")),
        " to ".join(map(_percent, ends)),
        ", ".join(map(_percent, content["students"].mean(0))),
        _percent(content["sd"]),
        " to ".join(map(_percent, content["interval"])),
        _percent(content["share_of_full"], " %"),
        " to ".join(map(_percent, content["share_interval"] or ())),
    ]
    shares = content["found_share_of_full"]
    for k, value in enumerate(content["found"].values()):
        cells += [_percent(value), _percent(None if shares is None else shares[k], " %")]
    return f"| {' | '.join(cells)} |"


def _percent(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{100 * value:.1f}{unit}"


def _targets(rows: Mapping[str, Row]) -> list[str]:
    """Whether the table shows what the paper shows, in words."""
    steps = [
        f"{rows[a]['title']} {'<' if rows[a]['mean'] < rows[b]['mean'] else 'not <'} {rows[b]['title']}"
        for a, b in pairwise(ORDER)
    ]
    box = rows["box"]["students"].mean(0)
    best = max(
        (content for name, content in rows.items() if name in RECIPES and name != "full"),
        key=lambda c: c["mean"],
    )
    share = best["mean"] / max(rows["full"]["mean"], 1e-9)
    return [
        f"- Order of the paper: {'; '.join(steps)}.",
        f"- Box over its rounds: {100 * (box[-1] - box[0]):+.1f} points from the first to the last.",
        f"- Best weak recipe: {best['title']}, {share:.1%} of full supervision "
        f"({'at least' if share >= PAPER_SHARE else 'under'} the paper's {PAPER_SHARE:.1%}).",
    ]
