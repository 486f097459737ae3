"""Rounds of train, predict, refine: from boxes to a segmenter (Khoreva et al., "Simple Does It", CVPR 2017).

A *recipe* makes the first labels of the training pictures from their boxes. A student (`segmenter.train`)
learns from them and labels the training pictures itself; *tricks* mend these labels; the next student learns
from the result. What a trick may look at is a `View`: the picture, its boxes, the first labels and what the
student believes. The truth is in another place (`Data.truth`) and only measures.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..datasets import scenes
from ..datasets.voc import CLASSES as VOC_CLASSES
from ..datasets.voc import VOC, shrunk
from ..kit.storage import data_dir, write_atomic
from ..labels.boxes import checked_boxes, fill_boxes, inner_boxes, intersect_labels, paint_order, window
from ..labels.label_map import BACKGROUND
from ..metrics import LabelQuality, label_quality
from ..pixels import crf
from ..pixels.edges import boundary_map
from ..pixels.grabcut import grabcut_labels, grabcut_plus_inner
from .training import Features, Settings, Student, features, train

#: Part of every cache's name; a change of what is computed gets a new number.
VERSION = 1
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


# ------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, eq=False)
class Boxed:
    """Pictures with their boxes: all that a student and the tricks get to see.

    Attributes:
        images: uint8 RGB ``(H, W, 3)`` each, any sizes.
        boxes: ``(N, 4)`` a picture, half open, in pixels; N may be 0.
        classes: ``(N,)`` a picture, whole numbers 1..K-1.
    """

    images: Sequence[np.ndarray]
    boxes: Sequence[np.ndarray]
    classes: Sequence[np.ndarray]

    def __post_init__(self):
        if not len(self.images) == len(self.boxes) == len(self.classes) > 0:
            raise ValueError(
                "images, boxes and classes must be one a picture and not empty, got "
                f"{len(self.images)}, {len(self.boxes)} and {len(self.classes)}"
            )
        for image, boxes, classes in zip(self.images, self.boxes, self.classes, strict=True):
            checked_boxes(boxes, classes, image.shape[:2])

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Data:
    """What an experiment needs.

    Attributes:
        boxed: the training pictures and their boxes.
        truth: their masks, uint8 ``(H, W)``, 255 void: for measuring, and for the recipe ``full``.
        held_out: other pictures and their boxes, on which students are measured.
        held_out_truth: masks of those.
        names: of the classes, that of background first.
    """

    boxed: Boxed
    truth: Sequence[np.ndarray]
    held_out: Boxed
    held_out_truth: Sequence[np.ndarray]
    names: tuple[str, ...]

    def __post_init__(self):
        for pictures, masks, name in (
            (self.boxed, self.truth, "truth"),
            (self.held_out, self.held_out_truth, "held_out_truth"),
        ):
            if [m.shape for m in masks] != [i.shape[:2] for i in pictures.images]:
                raise ValueError(f"{name} must be one mask a picture, of its size")
        classes = [c for some in (self.boxed, self.held_out) for one in some.classes for c in one]
        if max(classes, default=0) >= len(self.names):
            names = f"{len(self.names)} names and class {max(classes)}"
            raise ValueError(f"names must name every class, got {names}")

    def tuning(self, share: float = 0.25) -> Data:
        """The training pictures alone, the last `share` of them in the place of the held-out ones.

        Settings are chosen on this, so that the held-out pictures stay unseen until the end.
        """
        cut = len(self.boxed) - max(1, round(share * len(self.boxed)))
        if not 0 < cut < len(self.boxed):
            raise ValueError(f"share must leave pictures on both sides, got {share!r}")
        parts = [
            Boxed(*(list(x)[half] for x in (self.boxed.images, self.boxed.boxes, self.boxed.classes)))
            for half in (slice(cut), slice(cut, None))
        ]
        return Data(parts[0], self.truth[:cut], parts[1], self.truth[cut:], self.names)


def scenes_data(count: int = 100, held_out: int = 50, seed: int = 0, **parameters) -> Data:
    """Generated scenes: `count` of split "train", `held_out` of "val"; parameters as in `scenes.scene`."""
    made = []
    for split, length in (("train", count), ("val", held_out)):
        images, masks, boxes, classes = scenes.Scenes(split, length, seed, **parameters).arrays()
        made += [Boxed(list(images), boxes, classes), list(masks)]
    return Data(*made, scenes.CLASSES)


def voc_data(root: str | Path, side: int = 160, splits: tuple[str, str] = ("train", "val")) -> Data:
    """Photographs of a folder in VOC's layout, the longer side shrunk to `side` pixels.

    Args:
        root: the folder, as `datasets.voc.VOC` takes it.
        splits: lists in ImageSets/Segmentation: training and held-out pictures.
    """
    made = []
    for split in splits:
        some = [shrunk(picture, side) for picture in VOC(root, split)]
        boxed = Boxed([p.image for p in some], [p.boxes for p in some], [p.classes for p in some])
        made += [boxed, [p.mask for p in some]]
    return Data(*made, VOC_CLASSES)


# ----------------------------------------------------------------------------------------------------- tricks


@dataclass(frozen=True, eq=False)
class View:
    """One training picture between two rounds, as the tricks see it.

    Attributes:
        image: uint8 RGB ``(H, W, 3)``.
        boxes: int64 ``(N, 4)``, clipped to the picture, half open.
        classes: int64 ``(N,)``.
        first: uint8 ``(H, W)``, the labels that the recipe made for the first round.
        belief: float32 ``(K, H, W)``, the student's probabilities.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    first: np.ndarray
    belief: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """Where there is a box: bool ``(H, W)``."""
        return self.owner > 0

    @property
    def owner(self) -> np.ndarray:
        """Number 1..N of the box in front at each pixel, 0 outside all: int ``(H, W)``."""
        owner = np.zeros(self.first.shape, np.int64)
        for k in paint_order(self.boxes, self.classes):
            owner[window(self.boxes[k])] = k + 1
        return owner


#: Labels of a picture in, labels of it out: uint8 ``(H, W)``.
Trick = Callable[[np.ndarray, View], np.ndarray]


def drop_wrong_class(labels: np.ndarray, view: View) -> np.ndarray:
    """In a box, only background and the classes of the boxes there.

    The lecture: "Because you have the bounding boxes, you can be sure that within that bounding box it's
    unlikely to have a very different class." A pixel of a class that has no box there gets, of those that
    have one and background, the class in which the student believes most.
    """
    allowed = np.zeros(view.belief.shape, bool)
    allowed[BACKGROUND] = True
    for k in paint_order(view.boxes, view.classes):
        allowed[(view.classes[k], *window(view.boxes[k]))] = True
    second = np.where(allowed, view.belief, -1).argmax(0).astype(np.uint8)
    known = labels < len(allowed)
    rows, columns = np.indices(labels.shape)
    wrong = known & ~allowed[np.where(known, labels, 0), rows, columns] & view.inside
    return np.where(wrong, second, labels)


def clear_outside(labels: np.ndarray, view: View) -> np.ndarray:
    """Outside every box is background.

    The lecture: "you can also essentially remove all the predictions that are outside the bounding box. They
    are probably not accurate." Khoreva et al., section 3.1, cue C1.
    """
    return np.where(view.inside, labels, BACKGROUND).astype(np.uint8)


def reset_small(labels: np.ndarray, view: View, least: float = 0.5) -> np.ndarray:
    """A box of which less than the share `least` has its class goes back to its first labels.

    The lecture: "you can also check if it's less than a certain percentage of the box area, it's probably
    also not an accurate label." Khoreva et al. take 50 %. Only the part of a box that no smaller box hides
    is looked at, and reset.
    """
    labels, owner = labels.copy(), view.owner
    for k, c in enumerate(view.classes):
        mine = owner == k + 1
        if mine.any() and (labels[mine] == c).mean() < least:
            labels[mine] = view.first[mine]
    return labels


def crf_boundaries(
    labels: np.ndarray, view: View, reach: float = 0.16, iterations: int = 5, confidence: float = 0.7
) -> np.ndarray:
    """Boundaries move to where the colours change: a fully connected CRF (`crf.refine`).

    The lecture: "We essentially run a kind of traditional segmentation approach to refine the boundary using
    edge information." `reach` is the width theta_alpha of the appearance kernel, as a share of the picture's
    longer side.
    """
    if (labels == labels.flat[0]).all():
        return labels
    width = reach * max(labels.shape)
    return crf.refine(labels, view.image, confidence=confidence, iterations=iterations, theta_alpha=width)


#: The tricks of the lecture, in its order.
TRICKS: tuple[Trick, ...] = (drop_wrong_class, clear_outside, reset_small, crf_boundaries)


# ---------------------------------------------------------------------------------------------------- recipes

#: Image, boxes and classes of one picture -> its first labels, uint8 ``(H, W)``.
Maker = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _naive(image: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return fill_boxes(boxes, classes, image.shape[:2])


def _inner(image: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return inner_boxes(boxes, classes, image.shape[:2])


def _grabcut_plus(image: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return grabcut_labels(image, boxes, classes, boundary_map(image))


def _grabcut_plus_inner(image: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return grabcut_plus_inner(image, boxes, classes, boundary_map(image), runs=10)


def _mcg(image: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    from ..pixels.proposals import (  # needs higra, which has no wheels for Linux on ARM
        proposal_labels,
        proposals,
    )

    return proposal_labels(proposals(image), boxes, classes)


@dataclass(frozen=True)
class Recipe:
    """How the first labels are made, and what is done between rounds.

    Attributes:
        make: the first labels of one picture; None where they are made otherwise: ``full`` takes the truth,
            ``mcg_and_grabcut_plus`` what two other recipes agree on.
        rounds: how many, unless told otherwise.
        tricks: applied to the student's labels between rounds.
        title: its name in tables, as the paper has it.
    """

    make: Maker | None
    rounds: int
    tricks: tuple[Trick, ...]
    title: str


RECIPES: dict[str, Recipe] = {
    "naive": Recipe(_naive, 4, (), "Naive"),
    "box": Recipe(_naive, 4, TRICKS, "Box"),
    "box_inner": Recipe(_inner, 4, TRICKS, "Box^i"),
    "grabcut": Recipe(grabcut_labels, 1, TRICKS, "GrabCut"),
    "grabcut_plus": Recipe(_grabcut_plus, 1, TRICKS, "GrabCut+"),
    "grabcut_plus_inner": Recipe(_grabcut_plus_inner, 1, TRICKS, "GrabCut+^i"),
    "mcg": Recipe(_mcg, 1, TRICKS, "MCG"),
    "mcg_and_grabcut_plus": Recipe(None, 1, TRICKS, "M∩G+"),
    "full": Recipe(None, 1, (), "full supervision"),
}


def first_labels(recipe: str, boxed: Boxed, cache: bool = True, progress: bool = False) -> list[np.ndarray]:
    """The labels that a recipe makes of boxes, uint8 ``(H, W)`` a picture.

    Args:
        recipe: a key of `RECIPES`, except ``"full"``, whose labels no box gives.
        cache: keep them below ``data/bootstrap`` and find them there next time.
        progress: show a bar.
    """
    _checked_recipe(recipe)
    if recipe == "full":
        raise ValueError("recipe must make labels from boxes, got 'full', which is the truth itself")
    if recipe == "mcg_and_grabcut_plus":
        both = (first_labels(one, boxed, cache, progress) for one in ("mcg", "grabcut_plus"))
        return [intersect_labels(a, b, boxes) for a, b, boxes in zip(*both, boxed.boxes, strict=True)]
    file = data_dir() / "bootstrap" / f"labels-{recipe}-{_name(boxed)}.npz"
    shapes = [image.shape[:2] for image in boxed.images]
    found = _read(file) if cache else None
    if found is not None:
        return _unpacked(found["labels"], shapes)
    labels = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GrabCut says where it fell back to the box
        pictures = zip(boxed.images, boxed.boxes, boxed.classes, strict=True)
        for picture in tqdm(pictures, total=len(boxed), desc=recipe, leave=False, disable=not progress):
            labels.append(RECIPES[recipe].make(*picture))
    if cache:
        _write(file, labels=_packed(labels))
    return labels


# --------------------------------------------------------------------------------------------------- the loop


@dataclass(frozen=True, eq=False)
class Round:
    """One round: what the student was taught, and how good it became.

    Attributes:
        labels: quality of the labels it was taught, against the truth of the training pictures.
        student: IoU of each class on the held-out pictures, ``(K,)``; NaN for a class that is not there.
        found: share of the held-out objects found at each IoU of `FOUND`.
        fingerprint: of the student's weights.
        taught: the labels of the first few training pictures.
        predicted: the student's answer for the first few held-out pictures.
    """

    labels: LabelQuality
    student: np.ndarray
    found: tuple[float, ...]
    fingerprint: str
    taught: list[np.ndarray]
    predicted: list[np.ndarray]

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
    def student_iou(self) -> np.ndarray:
        """Mean IoU of the student on the held-out pictures, ``(rounds,)``."""
        return np.array([r.student_iou for r in self.rounds])

    @property
    def label_iou(self) -> np.ndarray:
        """Mean IoU of the labels it was taught, ``(rounds,)``."""
        return np.array([r.labels.mean_iou for r in self.rounds])


def bootstrap(
    data: Data,
    recipe: str,
    rounds: int | None = None,
    seed: int = 0,
    tricks: Sequence[Trick] | None = None,
    *,
    first: Sequence[np.ndarray] | None = None,
    side: int = 384,
    keep: int = 6,
    cache: bool = True,
    device: str | None = None,
    progress: bool = False,
    **settings,
) -> History:
    """Train a student on a recipe's labels, let it label the training pictures, mend, and train anew.

    Every round begins with the same new head, so that what differs between rounds is the labels alone.

    Args:
        data: pictures, boxes, and the truth to measure by.
        recipe: a key of `RECIPES`.
        rounds: how many, at least 1; None: as many as are usual for the recipe.
        seed: of the student.
        tricks: in place of the recipe's own, in this order; ``()`` for none.
        first: labels of the first round in place of the recipe's, uint8 ``(H, W)`` a training picture.
        side: longer side of a picture as the network sees it, in pixels.
        keep: how many pictures' labels and predictions are kept a round.
        cache: keep every finished round below ``data/bootstrap``. A second call returns at once, one for
            more rounds goes on, and so does one after a kill in the middle of a round: from its start, to the
            same result. ``False`` computes and writes nothing.
        device: where to compute; None lets `pick_device` choose.
        progress: show bars.
        **settings: of the student, see `segmenter.Settings`.

    Raises:
        TypeError, ValueError: arguments of another kind.
    """
    plan = _checked_recipe(recipe)
    rounds = plan.rounds if rounds is None else rounds
    for name, value, least in (("rounds", rounds, 1), ("seed", seed, 0), ("keep", keep, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    tricks = plan.tricks if tricks is None else tuple(tricks)
    if not all(map(callable, tricks)):
        raise TypeError(f"tricks must be functions of labels and a view, got {tricks!r}")
    options = Settings(**settings)
    run = _Run(data, recipe, tricks, seed, first, side, keep, options, device, progress)
    file = data_dir() / "bootstrap" / f"{run.name()}.npz"
    history, labels, student = *(_restored(file, run) if cache else (run.empty(), None)), None
    while len(history) < rounds:
        if labels is None:
            labels = run.start()
        else:  # after a restart the last student is trained once more, to the same weights
            labels = run.relabel(run.student(labels) if student is None else student)
        student = run.student(labels)
        history.rounds.append(run.measured(student, labels))
        if cache:
            _write(file, **_as_arrays(history), labels=_packed(labels))
    return History(history.recipe, history.tricks, history.seed, history.rounds[:rounds])


@dataclass(eq=False)
class _Run:
    """One call of `bootstrap`: its arguments, and what is computed from them when first needed."""

    data: Data
    recipe: str
    tricks: tuple[Trick, ...]
    seed: int
    given: Sequence[np.ndarray] | None
    side: int
    keep: int
    options: Settings
    device: str | None
    progress: bool
    _features: tuple[Features, Features] | None = None
    _first: list[np.ndarray] | None = None

    def empty(self) -> History:
        return History(self.recipe, tuple(map(_trick_name, self.tricks)), self.seed)

    def name(self) -> str:
        """A name for everything that matters for the result."""
        data, given = self.data, [] if self.given is None else list(self.given)
        settings = (self.recipe, list(map(_trick_name, self.tricks)), self.seed, self.side, self.keep)
        masks = [*data.truth, *data.held_out_truth, *given]
        return _name(data.boxed, data.held_out, masks, [*settings, self.options, data.names])

    @property
    def features(self) -> tuple[Features, Features]:
        if self._features is None:
            options = {"device": self.device, "progress": self.progress}
            train_ones = features(self.data.boxed.images, side=self.side, **options)
            self._features = train_ones, features(self.data.held_out.images, like=train_ones, **options)
        return self._features

    def start(self) -> list[np.ndarray]:
        """The labels of the first round."""
        if self._first is None:
            if self.given is not None:
                self._first = list(self.given)
            elif self.recipe == "full":
                self._first = list(self.data.truth)
            else:
                self._first = first_labels(self.recipe, self.data.boxed, progress=self.progress)
        return self._first

    def student(self, labels: list[np.ndarray]) -> Student:
        """Train on these labels."""
        options = self.options.__dict__ | {"device": self.device, "progress": self.progress}
        return train(self.features[0], labels, len(self.data.names), seed=self.seed, **options)

    def measured(self, student: Student, labels: list[np.ndarray]) -> Round:
        """What the student was taught, and how good it became: here alone the truth is looked at."""
        answers, k = student.labels(self.features[1]), len(self.data.names)
        held_out, truth = self.data.held_out, list(self.data.held_out_truth)
        found = (objects_found(answers, truth, held_out.boxes, held_out.classes, iou) for iou in FOUND)
        return Round(
            label_quality(labels, list(self.data.truth), k),
            label_quality(answers, truth, k).iou,
            tuple(found),
            student.fingerprint(),
            [x.copy() for x in labels[: self.keep]],
            answers[: self.keep],
        )

    def relabel(self, student: Student) -> list[np.ndarray]:
        """The labels of the next round: what the student says of the training pictures, mended."""
        return [self._mended(*each) for each in zip(self._views(student), strict=True)]

    def _mended(self, view: View) -> np.ndarray:
        labels = view.belief.argmax(0).astype(np.uint8)
        for trick in self.tricks:
            labels = trick(labels, view)
        return labels

    def _views(self, student: Student) -> Iterator[View]:
        """A view of each training picture; one at a time is in memory."""
        boxed, first = self.data.boxed, self.start()
        beliefs = student.probabilities(self.features[0])
        each = zip(boxed.images, boxed.boxes, boxed.classes, first, beliefs, strict=True)
        for image, boxes, classes, labels, belief in tqdm(
            each, total=len(boxed), desc="tricks", leave=False, disable=not self.progress
        ):
            yield View(image, *checked_boxes(boxes, classes, labels.shape), labels, belief)


def objects_found(
    labels: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    iou: float = 0.5,
) -> float:
    """Share of the objects whose pixels are found: inside its box, IoU of label and truth of its class.

    A stricter measure than the mean IoU of classes, in which large objects make up for small ones. Void
    pixels (truth 255) do not count, nor do objects of which no pixel is to be seen; NaN if there is none.
    """
    hits = []
    for label, true, some, which in zip(labels, truth, boxes, classes, strict=True):
        for box, c in zip(*checked_boxes(some, which, true.shape), strict=True):
            part, known = label[window(box)], true[window(box)]
            a, b = (part == c) & (known != 255), known == c
            if b.any():
                hits.append((a & b).sum() / (a | b).sum() >= iou)
    return float(np.mean(hits)) if hits else float("nan")


# ------------------------------------------------------------------------------------------------------ files


def _checked_recipe(recipe: str) -> Recipe:
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, got {recipe!r}")
    return RECIPES[recipe]


def _trick_name(trick: Trick) -> str:
    """A name for a trick and its settings, for a partial as well."""
    if isinstance(trick, partial):
        settings = ", ".join(f"{k}={v!r}" for k, v in sorted(trick.keywords.items()))
        return f"{_trick_name(trick.func)}({', '.join([*map(repr, trick.args), settings])})"
    return f"{getattr(trick, '__module__', '')}.{getattr(trick, '__qualname__', repr(trick))}".removeprefix(
        f"{__name__}."
    )


def _name(*things: object) -> str:
    """32 hexadecimal digits that are the same for the same contents."""
    digest = hashlib.sha256(str(VERSION).encode())

    def add(thing: object) -> None:
        if isinstance(thing, np.ndarray):
            digest.update(f"{thing.dtype} {thing.shape}".encode())
            digest.update(np.ascontiguousarray(thing).data)
        elif isinstance(thing, Boxed):
            add([list(thing.images), list(thing.boxes), list(thing.classes)])
        elif isinstance(thing, list | tuple):
            digest.update(f"[{len(thing)}".encode())
            for one in thing:
                add(one)
        else:
            digest.update(repr(thing).encode())

    add(things)
    return digest.hexdigest()[:32]


def _packed(labels: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([x.ravel() for x in labels])


def _unpacked(flat: np.ndarray, shapes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


def _write(file: Path, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(file, buffer.getvalue())


def _read(file: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None where there is none, or a damaged one, which is written anew."""
    try:
        with np.load(file, allow_pickle=False) as content:
            return dict(content)
    except FileNotFoundError:
        return None
    except Exception:  # zip archives meet damage with errors of many kinds
        warnings.warn(f"{file.name} is damaged and is computed anew", stacklevel=3)
        return None


def _as_arrays(history: History) -> dict[str, np.ndarray]:
    rounds = history.rounds
    arrays = {
        "quality": np.array([list(r.labels) for r in rounds]),  # (rounds, 4, K)
        "student": np.array([r.student for r in rounds]),
        "found": np.array([r.found for r in rounds]),
        "fingerprints": np.array([r.fingerprint for r in rounds]),
    }
    for kind in ("taught", "predicted"):
        shown = [getattr(r, kind) for r in rounds]
        arrays[kind] = _packed([np.zeros(0, np.uint8), *(x for maps in shown for x in maps)])
        arrays[f"{kind}_shapes"] = np.array([x.shape for x in shown[0]], int).reshape(-1, 2)
    return arrays


def _restored(file: Path, run: _Run) -> tuple[History, list[np.ndarray] | None]:
    """The rounds that are finished, and the labels that the last of them was taught."""
    history, found = run.empty(), _read(file)
    if found is None:
        return history, None
    count, shown = len(found["student"]), {}
    for kind in ("taught", "predicted"):
        shapes = list(map(tuple, found[f"{kind}_shapes"].tolist()))
        flat = _unpacked(found[kind], shapes * count) if shapes else []
        shown[kind] = [flat[k * len(shapes) : (k + 1) * len(shapes)] for k in range(count)]
    for k in range(count):
        history.rounds.append(
            Round(
                LabelQuality(*found["quality"][k]),
                found["student"][k],
                tuple(found["found"][k].tolist()),
                str(found["fingerprints"][k]),
                shown["taught"][k],
                shown["predicted"][k],
            )
        )
    return history, _unpacked(found["labels"], [i.shape[:2] for i in run.data.boxed.images])
