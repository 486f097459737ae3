"""One rung for every kind of label: the same student, the same scenes, seconds a picture.

The chapters measure different things on different pictures, so their numbers cannot stand on one ladder. Here
they can: 72 scenes are labelled in each way, the same small student learns from the labels, and it is judged
on the same 48 held-out scenes by mean IoU. What a label takes is counted in seconds a *picture*, from the
sources of `labels.costs`, or from the reader's own stopwatch.

Clicks and strokes are simulated and never slip, and what a stroke takes is assumed: those rungs flatter.

The whole ladder was measured once (``python -m lecturekit bench rung``) and comes with the package, so that
every chapter can show it with its own rung lit:

>>> [r.title for r in rungs() if "05" in r.chapters]
['image label, by CAM']
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..datasets.scenes import Scene, Scenes
from ..kit.checks import choice, whole
from ..kit.storage import data_dir, write_atomic
from ..labels.costs import COSTS, seconds_an_image
from ..labels.label_map import IGNORE
from ..learning import train
from ..learning.bootstrap import bootstrap
from ..learning.data import Data, scenes_data
from ..learning.features import Features, features
from ..learning.points import clicks_as_labels, point_supervision, simulate_clicks
from ..learning.scribbles import scribble_supervision
from ..learning.training import Loss
from ..metrics import label_quality
from ..models import load_classifier
from ..pixels import crf
from ..plots import INK, PALETTE, STYLE
from . import levels, stopwatch

#: The scenes: small and of half the usual contrast, as in chapter 08, so that a student trains in a second.
TRAIN, VAL = 72, 48
SCENES: dict[str, Any] = {"size": 64, "contrast": 0.5}
#: The student: one linear layer on frozen features; as in chapter 08, whose numbers are therefore these.
SIDE = 192
STUDENT: dict[str, Any] = {"head": "linear", "epochs": 12, "lr": 5e-3, "batch": 4}
#: Seven and the background.
CLASSES = 8
#: Where the measured ladder lies.
FILE = Path(__file__).with_name("rung.json")


class Lessons:
    """The scenes, the student's view of them, and whatever else several kinds of label need."""

    def __init__(self) -> None:
        self.data: Data = scenes_data(TRAIN, VAL, **SCENES)
        some = Scenes("train", TRAIN, **SCENES)
        self.scenes: list[Scene] = [some.scene(k) for k in range(TRAIN)]

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """Those to learn from, uint8 ``(64, 64, 3)``."""
        return list(self.data.train.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every scene."""
        return self.images[0].shape[:2]

    @property
    def objects(self) -> float:
        """How many a scene has on average."""
        return float(np.mean([len(boxes) for boxes in self.data.train.boxes]))

    @cached_property
    def seen(self) -> Features:
        """The student's features of the scenes to learn from."""
        return features(self.images, side=SIDE, cache=False, device="cpu")

    @cached_property
    def asked(self) -> Features:
        """The same of the held-out scenes."""
        return features(self.data.val.images, like=self.seen, cache=False, device="cpu")

    @cached_property
    def present(self) -> Tensor:
        """The image labels, bool ``(N, K)``, background in all of them."""
        present = torch.zeros(TRAIN, CLASSES, dtype=torch.bool)
        for row, scene in zip(present, self.scenes, strict=True):
            row[[0, *scene.labels]] = True
        return present

    @cached_property
    def classifier(self) -> tuple[Any, torch.nn.Linear, Tensor]:
        """The ImageNet network, a new last layer trained on image labels alone, and the last features."""
        network = load_classifier(device="cpu").network
        last = levels.last_features(network, self.images)
        return network, levels.train_gap_head(last, [s.labels for s in self.scenes]), last

    def judged(self, labels: Sequence[NDArray[np.uint8]], seed: int = 0, loss: Loss | None = None) -> float:
        """Mean IoU on the held-out scenes of the student taught these labels, as in `judged`."""
        student = train(self.seen, labels, CLASSES, seed=seed, loss=loss, device="cpu", **STUDENT)
        return float(label_quality(list(student.labels(self.asked)), self.data.val_masks, CLASSES).mean_iou)


@lru_cache(maxsize=1)
def lessons() -> Lessons:
    """The scenes and the student's features, made when they are first asked for."""
    return Lessons()


def judged(labels: Sequence[NDArray[np.uint8]], seed: int = 0, loss: Loss | None = None) -> float:
    """Teach the ladder's student labels of your own for its 72 scenes, and judge it like all others.

    Args:
        labels: for each of ``lessons().images`` a label map uint8 ``(64, 64)``, 255 where nothing is known.
        seed: of the student.
        loss: in place of the cross-entropy, as in `learning.train`.

    Returns:
        Mean IoU on the held-out scenes, 0..1.

    Raises:
        ValueError: labels that are not one a scene, or no label maps.
    """
    return lessons().judged(labels, seed, loss)


# ------------------------------------------------------------------------------------------- kinds of label

#: Lessons and a seed -> mean IoU.
Taught = Callable[[Lessons, int], float]


@dataclass(frozen=True)
class Kind:
    """A way to label the scenes and to teach the student.

    Attributes:
        title: for the figure.
        cost: a key of `costs.COSTS`: what one label takes.
        chapters: numbers of the chapters whose rung it is, such as ``"05b"``.
        taught: teaches a student and judges it.
    """

    title: str
    cost: str
    chapters: tuple[str, ...]
    taught: Taught


def _as_labels(make: Callable[[Lessons], list[NDArray[np.uint8]]]) -> Taught:
    """Make labels for all pixels first, then teach those."""
    made = lru_cache(maxsize=1)(make)  # the same for all seeds
    return lambda given, seed: given.judged(made(given), seed)


def _by_recipe(recipe: str, rounds: int) -> Taught:
    def taught(given: Lessons, seed: int) -> float:
        history = bootstrap(given.data, recipe, rounds, seed, side=SIDE, device="cpu", **STUDENT)
        return float(history.student_iou[-1])

    return taught


def _by_maps(given: Lessons, maps: Tensor, share: float) -> list[NDArray[np.uint8]]:
    """A box round each class's map, and GrabCut in it."""
    each = zip(maps, given.scenes, strict=True)
    boxes = [levels.boxes_by_cam(m, sorted(s.labels), given.size, share) for m, s in each]
    cut = levels.pixels_by_grabcut(given.images, boxes)
    return [cast("NDArray[np.uint8]", label.mask) for label in cut]


def _by_cam(given: Lessons) -> list[NDArray[np.uint8]]:
    _, head, last = given.classifier
    return _by_maps(given, levels.class_maps(head, last), 0.3)


def _by_gradient(given: Lessons) -> list[NDArray[np.uint8]]:
    """As by CAM, with the gradient's largest value in each cell of a grid of 14 x 14 in place of the map."""
    network, head, _ = given.classifier
    maps = torch.zeros(TRAIN, CLASSES - 1, 14, 14)
    for k, scene in enumerate(given.scenes):
        leaf = levels.as_input([scene.image]).requires_grad_()
        logits = head(network.forward_features(leaf).mean((2, 3)))[0]
        for c in scene.labels:
            (gradient,) = torch.autograd.grad(logits[c - 1], leaf, retain_graph=True)
            maps[k, c - 1] = F.adaptive_avg_pool2d(gradient.abs().amax(1), 14)[0]
    return _by_maps(given, maps, 0.5)


def _spread(given: Lessons, hints: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Labels of a few pixels, spread over all by the fully connected CRF."""
    each = zip(hints, given.scenes, strict=True)
    return [np.asarray(crf.refine(drawn, s.image, confidence=0.99), np.uint8) for drawn, s in each]


def _clicks(given: Lessons) -> list[NDArray[np.uint8]]:
    """A disc of two pixels' radius at each click; the border of the picture is background."""
    rows, columns = np.indices(given.size)
    made = []
    for scene in given.scenes:
        labels = np.full(given.size, IGNORE, np.uint8)
        labels[[0, -1]] = labels[:, [0, -1]] = 0
        for (x, y), c in zip(scene.clicks, scene.classes, strict=True):
            labels[(rows - y) ** 2 + (columns - x) ** 2 <= 4] = c
        made.append(labels)
    return made


def _clicks_in_the_loss(given: Lessons, seed: int) -> float:
    each = [(s.mask, s.boxes, s.classes) for s in given.scenes]
    clicks = [clicks_as_labels(simulate_clicks(*one, rng=k), given.size) for k, one in enumerate(each)]
    return given.judged(clicks, seed, point_supervision(given.present))


def _image_labels_in_the_loss(given: Lessons, seed: int) -> float:
    nothing = [np.full(given.size, IGNORE, np.uint8)] * TRAIN
    return given.judged(nothing, seed, point_supervision(given.present))


def _scribbles_in_the_loss(given: Lessons, seed: int) -> float:
    return given.judged([s.scribbles for s in given.scenes], seed, scribble_supervision())


#: Every kind of label on the ladder; `bench rung` measures them.
KINDS: dict[str, Kind] = {
    "image_loss": Kind("image label, in the loss", "image_class", ("09",), _image_labels_in_the_loss),
    "saliency": Kind("image label, by gradients", "image_class", ("04",), _as_labels(_by_gradient)),
    "cam": Kind(
        "image label, by CAM", "image_class", ("00", "02", "03", "05", "05b", "06"), _as_labels(_by_cam)
    ),
    "click": Kind(
        "clicks, spread by a CRF", "click_centre", ("02",), _as_labels(lambda g: _spread(g, _clicks(g)))
    ),
    "click_loss": Kind("clicks, in the loss", "click_centre", ("09",), _clicks_in_the_loss),
    "scribble": Kind(
        "scribbles, spread by a CRF",
        "scribble",
        ("02",),
        _as_labels(lambda g: _spread(g, [s.scribbles for s in g.scenes])),
    ),
    "scribble_loss": Kind("scribbles, in the loss", "scribble", ("09",), _scribbles_in_the_loss),
    "filled": Kind("boxes, filled", "box_extreme", ("01", "02", "08"), _by_recipe("naive", 1)),
    "naive": Kind("boxes, Naive, four rounds", "box_extreme", ("08",), _by_recipe("naive", 4)),
    "box": Kind("boxes, Box, four rounds", "box_extreme", ("08",), _by_recipe("box", 4)),
    "box_inner": Kind("boxes, Boxⁱ, four rounds", "box_extreme", ("07", "08"), _by_recipe("box_inner", 4)),
    "grabcut": Kind("boxes, GrabCut", "box_extreme", ("02", "07"), _by_recipe("grabcut", 1)),
    "grabcut_plus": Kind("boxes, GrabCut+", "box_extreme", ("07", "08"), _by_recipe("grabcut_plus", 1)),
    "grabcut_plus_inner": Kind(
        "boxes, votes of GrabCut+ⁱ", "box_extreme", ("07", "08"), _by_recipe("grabcut_plus_inner", 1)
    ),
    "looks": Kind("boxes, filled by features, three rounds", "box_extreme", ("08",), _by_recipe("filled", 3)),
    "mcg_and_grabcut_plus": Kind(
        "boxes, M∩G+", "box_extreme", ("07", "08"), _by_recipe("mcg_and_grabcut_plus", 1)
    ),
    "full": Kind("outlines", "outline", ("01", "02", "08"), _by_recipe("full", 1)),
}


def measure(kind: str, seeds: int = 3) -> list[float]:
    """Label the scenes in one way, teach the student, judge it: mean IoU of each seed.

    Args:
        kind: a key of `KINDS`.
        seeds: how many students.

    Raises:
        ValueError: another kind, or no seed.
    """
    taught = KINDS[choice("kind", kind, KINDS)].taught
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "GrabCut fell back")
        return [taught(lessons(), seed) for seed in range(whole("seeds", seeds, 1))]


# ------------------------------------------------------------------------------------------------ the ladder


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
    found: list[stopwatch.Measure] = []
    for path in sorted((data_dir() / "stopwatch").glob("stopwatch-*.json")):
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
