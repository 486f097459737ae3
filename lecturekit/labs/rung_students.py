"""The students of the common ladder (`rung`): its scenes, the ways to label them, how each is measured."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..datasets.scenes import Scene, Scenes
from ..kit.checks import choice, whole
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
from . import levels
from .rung import CLASSES, KINDS

#: The scenes: small and of half the usual contrast, as in chapter 08, so that a student trains in a second.
TRAIN, VAL = 72, 48
SCENES: dict[str, Any] = {"size": 64, "contrast": 0.5}
#: The student: one linear layer on frozen features; as in chapter 08, whose numbers are therefore these.
SIDE = 192
STUDENT: dict[str, Any] = {"head": "linear", "epochs": 12, "lr": 5e-3, "batch": 4}


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


#: Lessons and a seed -> mean IoU.
Taught = Callable[[Lessons, int], float]


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


#: What teaches a student by each kind of label of `rung.KINDS`, and judges it.
TAUGHT: dict[str, Taught] = {
    "image_loss": _image_labels_in_the_loss,
    "saliency": _as_labels(_by_gradient),
    "cam": _as_labels(_by_cam),
    "click": _as_labels(lambda g: _spread(g, _clicks(g))),
    "click_loss": _clicks_in_the_loss,
    "scribble": _as_labels(lambda g: _spread(g, [s.scribbles for s in g.scenes])),
    "scribble_loss": _scribbles_in_the_loss,
    "filled": _by_recipe("naive", 1),
    "naive": _by_recipe("naive", 4),
    "box": _by_recipe("box", 4),
    "box_inner": _by_recipe("box_inner", 4),
    "grabcut": _by_recipe("grabcut", 1),
    "grabcut_plus": _by_recipe("grabcut_plus", 1),
    "grabcut_plus_inner": _by_recipe("grabcut_plus_inner", 1),
    "looks": _by_recipe("filled", 1),
    "mcg_and_grabcut_plus": _by_recipe("mcg_and_grabcut_plus", 1),
    "full": _by_recipe("full", 1),
}


def measure(kind: str, seeds: int = 3) -> list[float]:
    """Label the scenes in one way, teach the student, judge it: mean IoU of each seed.

    Args:
        kind: a key of `rung.KINDS`.
        seeds: how many students.

    Raises:
        ValueError: another kind, or no seed.
    """
    taught = TAUGHT[choice("kind", kind, KINDS)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "GrabCut fell back")
        return [taught(lessons(), seed) for seed in range(whole("seeds", seeds, 1))]
