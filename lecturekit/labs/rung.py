"""One rung for every kind of label: the same student, the same scenes, seconds a picture.

The chapters measure different things on different pictures, so their numbers cannot stand on one ladder. Here
they can: 72 scenes are labelled in each way, the same small student learns from the labels, and it is judged
on the same 48 held-out scenes by mean IoU. What a label takes is counted in seconds a *picture*, from the
sources of `labels.costs`, or from the reader's own stopwatch.

Clicks and strokes are simulated and never slip, and what a stroke takes is assumed: those rungs flatter.

The whole ladder was measured once (``python -m lecturekit bench rung``, by `rung_students`) and comes with
the package, so that every chapter can show it with its own rung lit, and loads no student for it:

>>> [r.title for r in rungs() if "05" in r.chapters]
['image label, by CAM']
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..kit.storage import data_dir, write_atomic
from ..labels.costs import COSTS, seconds_an_image
from ..plots import INK, PALETTE, STYLE

#: Seven and the background.
CLASSES = 8
#: Where the measured ladder lies.
FILE = Path(__file__).with_name("rung.json")


@dataclass(frozen=True)
class Kind:
    """A way to label the scenes; `rung_students.TAUGHT` has what teaches a student so.

    Attributes:
        title: for the figure.
        cost: a key of `costs.COSTS`: what one label takes.
        chapters: numbers of the chapters whose rung it is, such as ``"05b"``.
    """

    title: str
    cost: str
    chapters: tuple[str, ...]


#: Every kind of label on the ladder; `bench rung` measures them.
KINDS: dict[str, Kind] = {
    "image_loss": Kind("image label, in the loss", "image_class", ("09",)),
    "saliency": Kind("image label, by gradients", "image_class", ("04",)),
    "cam": Kind("image label, by CAM", "image_class", ("00", "02", "03", "05", "05b", "06")),
    "click": Kind("clicks, spread by a CRF", "click_centre", ("02",)),
    "click_loss": Kind("clicks, in the loss", "click_centre", ("09",)),
    "scribble": Kind("scribbles, spread by a CRF", "scribble", ("02",)),
    "scribble_loss": Kind("scribbles, in the loss", "scribble", ("09",)),
    "filled": Kind("boxes, filled", "box_extreme", ("01", "02", "08")),
    "naive": Kind("boxes, Naive, four rounds", "box_extreme", ("08",)),
    "box": Kind("boxes, Box, four rounds", "box_extreme", ("08",)),
    "box_inner": Kind("boxes, Boxⁱ, four rounds", "box_extreme", ("07", "08")),
    "grabcut": Kind("boxes, GrabCut", "box_extreme", ("02", "07")),
    "grabcut_plus": Kind("boxes, GrabCut+", "box_extreme", ("07", "08")),
    "grabcut_plus_inner": Kind("boxes, votes of GrabCut+ⁱ", "box_extreme", ("07", "08")),
    "looks": Kind("boxes, filled by features", "box_extreme", ("08",)),
    "mcg_and_grabcut_plus": Kind("boxes, M∩G+", "box_extreme", ("07", "08")),
    "full": Kind("outlines", "outline", ("01", "02", "08")),
}


@dataclass(frozen=True)
class Rung:
    """What was measured for a kind of label.

    Attributes:
        kind: a key of `KINDS`.
        seconds: a picture, by the literature.
        students: mean IoU of each seed's student on the held-out scenes.
        own: seconds a picture by the reader's own stopwatch, or None.
    """

    kind: str
    seconds: float
    students: tuple[float, ...]
    own: float | None = None

    @property
    def title(self) -> str:
        """In words."""
        return KINDS[self.kind].title

    @property
    def chapters(self) -> tuple[str, ...]:
        """Numbers of the chapters whose rung it is."""
        return KINDS[self.kind].chapters

    @property
    def quality(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.students))


def save(students: Mapping[str, Sequence[float]], objects: float) -> Path:
    """Write the measured ladder to `FILE`.

    Args:
        students: for each kind the mean IoU of each seed.
        objects: a scene, on average: the prices follow from it.
    """
    content = {"objects": objects, "students": {k: [round(v, 4) for v in vs] for k, vs in students.items()}}
    return write_atomic(FILE, json.dumps(content, indent=1) + "\n")


def rungs() -> tuple[Rung, ...]:
    """The measured ladder, the cheapest label first and of equal prices the worst; with your own prices."""
    content = json.loads(FILE.read_text("utf-8"))
    own = own_seconds()
    made = []
    for kind, students in content["students"].items():
        cost = COSTS[KINDS[kind].cost]
        price = seconds_an_image(cost, content["objects"], CLASSES - 1)[0]
        mine = None
        if KINDS[kind].cost in own:
            timed = replace(cost, seconds=own[KINDS[kind].cost], low=None, high=None, classes=None)
            mine = seconds_an_image(timed, content["objects"], CLASSES - 1)[0]
        made.append(Rung(kind, price, tuple(students), mine))
    return tuple(sorted(made, key=lambda r: (r.seconds, r.quality)))


#: Kinds of the stopwatch lab, by the cost that they stand for.
_TIMED = {
    "image_class": "image_class",
    "click_centre": "point",
    "scribble": "scribble",
    "box_extreme": "extreme",
    "outline": "polygon",
}


def own_seconds() -> dict[str, float]:
    """Your median seconds a label, by key of `costs.COSTS`, from what the stopwatch lab kept in ``data/``.

    Labels that nobody drew do not count; without any of your own it is empty.
    """
    paths = sorted((data_dir() / "stopwatch").glob("stopwatch-*.json"))
    if not paths:
        return {}
    from . import stopwatch  # and with it the scenes, which not every notebook needs

    found: list[stopwatch.Measure] = []
    for path in paths:
        try:
            record = stopwatch.read_record(path)
        except (OSError, ValueError):
            continue
        found += [] if record.simulated else record.measures
    summary = stopwatch.summary(found)
    return {cost: summary[kind].seconds for cost, kind in _TIMED.items() if kind in summary}


def figure(chapter: str = "", ladder: Sequence[Rung] | None = None) -> Figure:
    """The whole ladder: for each kind of label its price and what a student learns from it.

    Args:
        chapter: number of the chapter whose rungs are lit, such as ``"05b"``.
        ladder: in place of `rungs()`.
    """
    ladder = rungs() if ladder is None else ladder
    with matplotlib.rc_context(cast(Any, STYLE)):
        drawn, axes = plt.subplots(
            1, 2, sharey=True, figsize=(6.8, 0.8 + 0.21 * len(ladder)), width_ratios=(1, 1.25)
        )
        for row, rung in enumerate(ladder):
            _draw_rung(axes, row, rung, chapter in rung.chapters)
        axes[0].set(xscale="log", xlabel="seconds a picture")
        axes[0].set_xticks([10, 30, 100, 300], ["10", "30", "100", "300"])
        axes[0].minorticks_off()
        axes[1].set(xlabel="mean IoU of three students", xlim=(0, None))
        axes[0].set_yticks(range(len(ladder)), [rung.title for rung in ladder])
        for rung, text in zip(ladder, axes[0].get_yticklabels(), strict=True):
            text.set_fontweight("bold" if chapter in rung.chapters else "normal")
        if any(rung.own is not None for rung in ladder):
            axes[0].plot([], [], "D", color=PALETTE[5], fillstyle="none", label="your own stopwatch")
            axes[0].legend(loc="lower right", fontsize=8)
        for axis in axes:
            axis.grid(axis="x", alpha=0.3)
    return drawn


def _draw_rung(axes: Sequence[Axes], row: int, rung: Rung, lit: bool) -> None:
    colour = PALETTE[6] if lit else INK
    axes[0].plot(rung.seconds, row, "s", color=colour, markersize=8 if lit else 5)
    if rung.own is not None:
        axes[0].plot(rung.own, row, "D", color=PALETTE[5], fillstyle="none", markersize=8)
    axes[1].plot([0, rung.quality], [row, row], color=colour, linewidth=2.5 if lit else 1)
    axes[1].plot(rung.students, [row] * len(rung.students), "o", color=colour, markersize=4)
    axes[1].text(
        max(rung.students) + 0.012,
        row,
        f"{rung.quality:.2f}",
        va="center",
        fontsize=8,
        color=colour,
        fontweight="bold" if lit else "normal",
    )


def alt_text(chapter: str = "", ladder: Sequence[Rung] | None = None) -> str:
    """What `figure` shows, in words.

    Args:
        chapter: as in `figure`.
        ladder: as in `figure`.
    """
    ladder = rungs() if ladder is None else ladder
    lines = []
    for rung in ladder:
        mine = "" if rung.own is None else f", by your stopwatch {rung.own:.0f} s"
        lit = " (this chapter)" if chapter in rung.chapters else ""
        lines.append(f"{rung.title}{lit}, {rung.seconds:.0f} s{mine}: {rung.quality:.2f}")
    return "The ladder, seconds a picture and mean IoU of the same student: " + "; ".join(lines) + "."
