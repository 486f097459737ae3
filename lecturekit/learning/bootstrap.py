"""Rounds of train, predict, refine: from boxes to a segmenter (Khoreva et al., "Simple Does It", CVPR 2017).

A *recipe* makes the first labels of the training pictures from their boxes. A student (`training.train`)
learns from them and labels the training pictures itself; *tricks* mend these labels; the next student learns
from the result. What a trick may look at is a `View`: the picture, its boxes, the first labels and the
student's probabilities. The masks are in another place (`Data.train_masks`) and only measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from ..kit import cache as disk
from ..kit.checks import choice, whole
from ..kit.devices import pick_device
from ..kit.storage import data_dir
from ..labels.boxes import checked_boxes, window
from ..labels.label_map import IGNORE
from ..metrics import LabelQuality, label_quality
from ..pixels import crf
from .data import Data
from .features import Features, compute_key, features
from .recipes import BOUNDARIES, RECIPES, SOURCE, VERSION, checked_recipe, first_labels, resized
from .scale import Spread, split_settings
from .settings import Settings
from .student import Student
from .training import train
from .tricks import Trick, View, trick_name

#: The paper's mean IoU in % on VOC 2012 val, DeepLab-LargeFOV (Khoreva et al., CVPR 2017). Its values round
#: by round are in no text we have.
PAPER_IOU = {
    "box": 61.2,
    "box_inner": 62.7,
    "mcg": 62.6,
    "grabcut_plus": 63.4,
    "grabcut_plus_inner": 64.3,
    "mcg_and_grabcut_plus": 65.7,
    "full": 69.1,
}
#: The paper's instances, mean average precision in % at two IoU: weak and full supervision.
PAPER_INSTANCES = {0.5: (44.8, 47.5), 0.75: (16.3, 20.2)}
#: IoU at which an object counts as found: the usual one, and a strict one.
FOUND = (0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Round:
    """One round: what the student was taught, and how good it became.

    Attributes:
        labels: quality of the labels it was taught, against the masks of the training pictures.
        counts: of each validation picture and class, ``(N, 3, K)``: pixels that are right, that the student
            gave the class, and that have it; void left out.
        found: share of the validation pictures' objects found at each IoU of `FOUND`.
        fingerprint: of the student's weights.
        train_labels: of the first few training pictures.
        predicted: the student's answer for the first few validation pictures.
    """

    labels: LabelQuality
    counts: NDArray[np.int64]
    found: tuple[float, ...]
    fingerprint: str
    train_labels: list[NDArray[np.uint8]]
    predicted: list[NDArray[np.uint8]]

    @property
    def student(self) -> NDArray[np.float64]:
        """IoU of each class on the validation pictures, ``(K,)``; NaN for a class that is not there."""
        return class_ious(self.counts.sum(0))

    @property
    def student_iou(self) -> float:
        """Mean IoU over the classes, background included."""
        return float(np.nanmean(self.student))


@dataclass(frozen=True, eq=False)
class History:
    """The rounds of one run of `bootstrap`, in order."""

    recipe: str
    tricks: tuple[str, ...]
    seed: int
    rounds: list[Round] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rounds)

    def __getitem__(self, index: int) -> Round:
        return self.rounds[index]

    @property
    def student_iou(self) -> NDArray[np.float64]:
        """Mean IoU of the student on the validation pictures, ``(rounds,)``."""
        return np.array([r.student_iou for r in self.rounds])

    @property
    def label_iou(self) -> NDArray[np.float64]:
        """Mean IoU of the labels it was taught, ``(rounds,)``."""
        return np.array([r.labels.mean_iou for r in self.rounds])


def bootstrap(
    data: Data,
    recipe: str,
    rounds: int | None = None,
    seed: int = 0,
    tricks: Sequence[Trick] | None = None,
    *,
    first: Sequence[NDArray[np.uint8]] | None = None,
    side: int = 384,
    label_side: int | None = None,
    boundaries: str = "own",
    crf_at_test: bool = False,
    keep: int = 6,
    cache: bool = True,
    device: str | None = None,
    progress: bool = False,
    **settings: Any,
) -> History:
    """Train a student on a recipe's labels, let it label the training pictures, mend, and train anew.

    Every round begins with the same new head, so that what differs between rounds is the labels alone.

    Args:
        data: pictures, boxes, and the masks to measure by.
        recipe: a key of `RECIPES`.
        rounds: how many, at least 1; None: as many as are usual for the recipe.
        seed: of the student.
        tricks: in place of the recipe's own, in this order; ``()`` for none.
        first: labels of the first round in place of the recipe's, uint8 ``(H, W)`` a training picture.
        side: longer side of a picture as the network sees it, in pixels.
        label_side: longer side at which labels are made and mended; None: the pictures' own. Students are
            measured at the pictures' own size either way.
        boundaries: that the recipe looks at, as in `recipes.first_labels`.
        crf_at_test: a CRF refines the student's answers for the validation pictures, as in the paper; at
            `label_side`.
        keep: how many pictures' labels and predictions are kept a round.
        cache: keep every finished round below ``data/bootstrap``. A second call returns at once, one for
            more rounds goes on, and so does one after a kill in the middle of a round: from its start, to the
            same result. Device, number of threads and version of torch change a student's last bits, so
            rounds made with others are not gone on with. ``False`` reads and writes nothing at all.
        device: where to compute; None lets `pick_device` choose.
        progress: show bars.
        **settings: of the student, see `settings.Settings`, and with ``finetune=True`` `scale.Spread`.

    Raises:
        TypeError: tricks that are no functions.
        ValueError: other arguments of another kind.

    Example:
        >>> from lecturekit.learning.data import scenes_data
        >>> data = scenes_data(3, 2, size=32)
        >>> quick = {"side": 64, "head": "linear", "epochs": 1, "device": "cpu", "cache": False}
        >>> bootstrap(data, "box", rounds=2, **quick).student_iou.shape
        (2,)
    """
    plan = checked_recipe(recipe)
    rounds = plan.rounds if rounds is None else whole("rounds", rounds, 1)
    tricks = plan.tricks if tricks is None else tuple(tricks)
    if not all(map(callable, tricks)):
        raise TypeError(f"tricks must be functions of labels and a view, got {tricks!r}")
    run = _Run(
        data,
        recipe,
        tricks,
        whole("seed", seed),
        first,
        side,
        label_side,
        choice("boundaries", boundaries, BOUNDARIES),
        crf_at_test,
        whole("keep", keep),
        cache,
        *split_settings(settings),
        device,
        progress,
    )
    file = data_dir() / "bootstrap" / f"{run.key}.npz" if cache else None
    history, labels = run.restored(file)
    student = None
    while len(history) < rounds:
        # after a restart the last student is trained once more, to the same weights
        labels = run.first if labels is None else run.relabel(labels, student)
        student = run.student(labels)
        history.rounds.append(run.measured(student, labels))
        if file is not None:
            disk.write(file, run.key, **_as_arrays(history, labels))
    return History(history.recipe, history.tricks, history.seed, history.rounds[:rounds])


@dataclass(eq=False)
class _Run:
    """One call of `bootstrap`: its arguments, and what is computed from them when first needed."""

    data: Data
    recipe: str
    tricks: tuple[Trick, ...]
    seed: int
    given: Sequence[NDArray[np.uint8]] | None
    side: int
    label_side: int | None
    boundaries: str
    crf_at_test: bool
    keep: int
    cache: bool
    options: Settings
    spread: Spread
    device: str | None
    progress: bool

    @cached_property
    def key(self) -> str:
        """Of everything that matters for the result."""
        names = [trick_name(trick) for trick in self.tricks]
        sides = (self.side, self.label_side, self.boundaries, self.crf_at_test)
        settings = (self.recipe, names, self.seed, sides, self.keep, self.options)
        where = compute_key(pick_device(self.device))
        return disk.content_key(VERSION, SOURCE, settings, where, self.data, self.given)

    @cached_property
    def features(self) -> tuple[Features, Features]:
        """Of training and validation pictures."""
        options: dict[str, Any] = {"device": self.device, "progress": self.progress, "cache": self.cache}
        train_features = features(self.data.train.images, side=self.side, **options)
        return train_features, features(self.data.val.images, like=train_features, **options)

    @cached_property
    def first(self) -> list[NDArray[np.uint8]]:
        """The labels of the first round."""
        if self.given is not None:
            return list(self.given)
        if self.recipe == "full":
            return list(self.data.train_masks)
        options: dict[str, Any] = {"cache": self.cache, "progress": self.progress}
        options |= {"side": self.label_side, "boundaries": self.boundaries}
        return first_labels(self.recipe, self.data.train, **options)

    def student(self, labels: list[NDArray[np.uint8]], chosen: NDArray[np.int64] | None = None) -> Student:
        """Train on these labels of all training pictures, or of some."""
        seen = self.features[0]
        if chosen is not None:
            seen, labels = seen.part(chosen), [labels[k] for k in chosen]
        options: dict[str, Any] = (
            asdict(self.options) | asdict(self.spread) | {"device": self.device, "progress": self.progress}
        )
        return train(seen, labels, len(self.data.names), seed=self.seed, **options)

    def measured(self, student: Student, labels: list[NDArray[np.uint8]]) -> Round:
        """What the student was taught, and how good it became: here alone the masks are looked at."""
        k = len(self.data.names)
        answers = list(self.answers(student))
        val, truth = self.data.val, list(self.data.val_masks)
        return Round(
            label_quality(labels, list(self.data.train_masks), k),
            np.stack([picture_counts(*each, k) for each in zip(answers, truth, strict=True)]),
            tuple(objects_found(answers, truth, val.boxes, val.classes, iou) for iou in FOUND),
            student.fingerprint(),
            [x.copy() for x in labels[: self.keep]],
            answers[: self.keep],
        )

    def answers(self, student: Student) -> Iterator[NDArray[np.uint8]]:
        """Its labels of each validation picture, at the picture's own size."""
        if not self.crf_at_test:
            yield from student.labels(self.features[1])
            return
        val = self.data.val
        small = val.shrunk(self.label_side)
        probabilities = student.probabilities(self.features[1], sizes=small.sizes)
        for image, each, size in zip(small.images, probabilities, val.sizes, strict=True):
            yield resized(refined_answer(each, image), size)

    def relabel(self, labels: list[NDArray[np.uint8]], student: Student | None) -> list[NDArray[np.uint8]]:
        """The labels of the next round: what a student says of the training pictures, mended."""
        small = self.data.train.shrunk(self.label_side)
        mended = []
        probabilities = self.probabilities(labels, student, small.sizes)
        for k, each in enumerate(
            tqdm(probabilities, total=len(small), desc="tricks", leave=False, disable=not self.progress)
        ):  # one picture at a time is in memory
            size = small.sizes[k]
            boxes, classes = checked_boxes(small.boxes[k], small.classes[k], size)
            view = View(small.images[k], boxes, classes, resized(self.first[k], size), each)
            answer = each.argmax(0).astype(np.uint8)
            for trick in self.tricks:
                answer = trick(answer, view)
            mended.append(resized(answer, self.data.train.sizes[k]))
        return mended

    def probabilities(
        self, labels: list[NDArray[np.uint8]], student: Student | None, sizes: list[tuple[int, int]]
    ) -> Iterator[NDArray[np.float32]]:
        """Of each training picture, at these sizes, by students that learned from these labels."""
        folds = min(RECIPES[self.recipe].folds, len(sizes))
        if folds == 1:
            student = self.student(labels) if student is None else student
            yield from student.probabilities(self.features[0], sizes=sizes)
            return
        numbers = np.arange(len(sizes))
        others = []
        for fold in range(folds):
            learner = self.student(labels, numbers[numbers % folds != fold])
            mine = numbers[numbers % folds == fold]
            part = self.features[0].part(mine)
            others.append(learner.probabilities(part, sizes=[sizes[k] for k in mine]))
        for k in numbers:
            yield next(others[k % folds])

    def restored(self, file: Path | None) -> tuple[History, list[NDArray[np.uint8]] | None]:
        """The rounds that are finished, and the labels that the last of them was taught."""
        history = History(self.recipe, tuple(map(trick_name, self.tricks)), self.seed)
        found = None if file is None else disk.read(file, self.key)
        if found is None:
            return history, None
        for k in range(int(found["rounds"])):
            history.rounds.append(
                Round(
                    LabelQuality(*found[f"{k} quality"]),
                    found[f"{k} counts"],
                    tuple(found[f"{k} found"].tolist()),
                    str(found[f"{k} fingerprint"]),
                    _maps(found, f"{k} train_labels"),
                    _maps(found, f"{k} predicted"),
                )
            )
        return history, _maps(found, "labels")


def class_ious(counts: NDArray) -> NDArray[np.float64]:
    """IoU of each class from its pixels that are right, named and true: ``(..., 3, K)`` -> ``(..., K)``.

    Args:
        counts: as in `Round`, of one picture or summed over several.

    Example:
        >>> class_ious(np.array([[50], [100], [100]])).round(2).tolist()
        [0.33]
    """
    right, named, true = np.moveaxis(np.asarray(counts, float), -2, 0)
    with np.errstate(invalid="ignore"):
        return right / (named + true - right)


def picture_counts(labels: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Pixels of each class that are right, named and true, ``(3, classes)``; void is left out.

    Args:
        labels: uint8 ``(H, W)``.
        truth: of the same size.
        classes: how many, background included.
    """
    known = truth != IGNORE
    labels, truth = labels[known], truth[known]
    parts = (labels[labels == truth], labels, truth)
    return np.stack([np.bincount(part, minlength=classes)[:classes] for part in parts])


def refined_answer(probabilities: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The classes after a CRF; those that are nowhere likely are left out of it."""
    likely = np.flatnonzero(probabilities.max((1, 2)) >= min(0.2, probabilities.max()))
    kept = probabilities[likely]
    width = 0.16 * max(image.shape)
    best = crf.refine(kept / kept.sum(0), image, iterations=5, theta_alpha=width, theta_gamma=1.5)
    return likely[best].astype(np.uint8)


def objects_found(
    labels: Sequence[NDArray[np.uint8]],
    truth: Sequence[NDArray[np.uint8]],
    boxes: Sequence[NDArray],
    classes: Sequence[NDArray[np.int64]],
    iou: float = 0.5,
) -> float:
    """Share of the objects whose pixels are found: inside its box, IoU of label and truth of its class.

    A stricter measure than the mean IoU of classes, in which large objects make up for small ones. Void
    pixels (truth 255) do not count, nor do objects of which no pixel is to be seen; NaN if there is none.

    Args:
        labels: uint8 ``(H, W)`` a picture.
        truth: masks of the same sizes.
        boxes: ``(N, 4)`` a picture.
        classes: ``(N,)`` a picture.
        iou: from which on an object counts as found.
    """
    hits = []
    for label, true, some, which in zip(labels, truth, boxes, classes, strict=True):
        for box, c in zip(*checked_boxes(some, which, true.shape), strict=True):
            part, known = label[window(box)], true[window(box)]
            a, b = (part == c) & (known != IGNORE), known == c
            if b.any():
                hits.append((a & b).sum() / (a | b).sum() >= iou)
    return float(np.mean(hits)) if hits else float("nan")


def _as_arrays(history: History, labels: list[NDArray[np.uint8]]) -> dict[str, ArrayLike]:
    """All that `_Run.restored` needs, by name."""
    arrays: dict[str, ArrayLike] = {"rounds": len(history)} | _named("labels", labels)
    for k, one in enumerate(history.rounds):
        arrays |= {f"{k} quality": np.array(one.labels), f"{k} counts": one.counts}
        arrays |= {f"{k} found": one.found, f"{k} fingerprint": one.fingerprint}
        arrays |= _named(f"{k} train_labels", one.train_labels) | _named(f"{k} predicted", one.predicted)
    return arrays


def _named(name: str, maps: list[NDArray[np.uint8]]) -> dict[str, ArrayLike]:
    return {f"{name} {k}": one for k, one in enumerate(maps)}


def _maps(found: dict[str, NDArray], name: str) -> list[NDArray[np.uint8]]:
    return [found[f"{name} {k}"] for k in range(len(found)) if f"{name} {k}" in found]
