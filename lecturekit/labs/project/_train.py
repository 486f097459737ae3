"""Training a project's students: labels of any mixture of kinds, one sum of losses."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from ...kit import cache as disk
from ...kit.checks import whole
from ...kit.devices import pick_device
from ...labels.label_map import IGNORE
from ...learning.features import Features
from ...learning.points import (
    belief_within,
    image_level_loss,
    labelled_cells_loss,
    objectness_loss,
)
from ...learning.recipes import resized
from ...learning.seed_expand import find_seeds
from ...learning.self_transfer import class_maps, train_localiser
from ...learning.student import Student
from ...learning.training import Batch, Loss, Settings, cross_entropy, label_shares
from ...learning.training import train as train_student
from ...pixels.objectness import as_probability, border_contrast, rank
from ._file import Picture, Project
from ._seen import seen
from ._targets import Target, target
from ._trained import Trained, save

#: Kinds of label as people call them, one and several.
WORDS = {
    "image_class": ("tick", "ticks"),
    "point": ("click", "clicks"),
    "scribble": ("scribble", "scribbles"),
    "box": ("box", "boxes"),
    "extreme": ("box by extreme points", "boxes by extreme points"),
    "polygon": ("outline", "outlines"),
    "mask": ("mask", "masks"),
}
#: Steps of a training, however few the pictures; epochs are within limits.
STEPS, EPOCHS = 400, (8, 120)
#: A step looks at every such cell each way.
STRIDE = 4
#: How a student is trained (`learning.training.Settings`).
STUDENT: dict[str, Any] = {"head": "two_layer", "hidden": 128, "lr": 5e-3, "weight_decay": 1.0, "batch": 8}
#: What is other where the whole network is trained.
FINETUNE: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.01, "epochs": 8}
#: Weight of the objectness loss, and tau of the calibration by shares of classes (`training.Settings`).
OBJECTNESS, TAU = 0.1, 0.3
#: Seeds from tags: share of a class's maximum, and of the background cue's ranks.
SEEDS = {"share": 0.4, "background_share": 0.35}
#: Fewer pictures than this are not halved.
LEAST = 6
#: Temperatures that are tried.
TEMPERATURES = np.geomspace(0.25, 4, 33)


def train(
    project: Project,
    *,
    seeds: Sequence[int] = (0,),
    finetune: bool = False,
    side: int = 384,
    device: str | torch.device | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Trained:
    """Teach students all that is drawn on the pictures to learn from; those set aside are not looked at.

    Labels become targets as `target` says, box by box and stroke by stroke. A picture whose objects are all
    marked teaches by cross-entropy. One with tags, clicks or scribbles teaches by its labelled cells, by
    what is there and what is not, and by what looks like an object (`learning.points`); tags alone first
    find seeds (`learning.seed_expand`). Where there are such pictures, a second round learns from what the
    first believes of them. Two more students see half of the pictures each: from what each says of the
    other's half comes the temperature that makes confidence mean what it says. Where the whole network is
    trained, these two are still heads on frozen features: they say which picture to label next, and no more.

    Args:
        project: with labels on at least one picture to learn from.
        seeds: one student each; they answer together.
        finetune: train the whole network and not a head on frozen features: for a GPU.
        side: longer side of a picture as the network sees it: larger for small objects, and slower.
        device: where to train; None lets `pick_device` choose.
        resume: go on where an earlier call with the same labels was stopped.
        progress: show bars.

    Returns:
        The students, which are also kept beside the project.

    Raises:
        ValueError: no labels, no seeds, or numbers out of range.
        OSError: what should be kept cannot be written.
    """
    if not seeds:
        raise ValueError("seeds must be at least one, got none")
    for seed in seeds:
        whole("seeds", seed)
    start = time.process_time()
    lesson = make_lesson(project, side=whole("side", side, 32), device=device, progress=progress)
    run = _Run(project, lesson, finetune, pick_device(device), resume, progress)
    halves, warmth = dataclasses.replace(run, finetune=False).halves()
    temperature = 1.0 if finetune else warmth  # of heads; the whole network's would be another
    students = tuple(_cooled(run.student(seed), temperature) for seed in seeds)
    halves = tuple(_cooled(one, warmth) for one in halves)
    facts = lesson.facts | {
        "seeds": [int(seed) for seed in seeds],
        "temperature": float(temperature),
        "cpu_seconds": round(time.process_time() - start, 1),
    }
    classes = ("background", *project.classes)
    seen_ = lesson.features
    made = Trained(classes, side, run.settings, students, halves, seen_.mean, seen_.matrix, facts)
    save(project, made)
    for left in project.beside("student").glob("unfinished-*.pt"):  # of labels that have changed since
        left.unlink(missing_ok=True)
    return made


@dataclasses.dataclass(frozen=True, eq=False)
class Lesson:
    """What students are taught from.

    Attributes:
        pictures: those with labels.
        features: of them.
        targets: what is known of each.
        facts: labels by kind, pictures, hours of drawing, and a digest of each picture's labels.
    """

    pictures: list[Picture]
    features: Features
    targets: list[Target]
    facts: dict[str, Any]

    def part(self, chosen: NDArray[np.int64]) -> Lesson:
        """Some of the pictures."""
        pick = [int(k) for k in chosen]
        pictures, targets = [self.pictures[k] for k in pick], [self.targets[k] for k in pick]
        return Lesson(pictures, self.features.part(np.array(pick)), targets, self.facts)


def make_lesson(
    project: Project, *, side: int, device: str | torch.device | None = None, progress: bool = False
) -> Lesson:
    """Labels, features and targets of the pictures to learn from.

    Args:
        project: whose.
        side: longer side as the network sees it.
        device: where to compute.
        progress: show bars.

    Raises:
        ValueError: nothing is drawn on them.
    """
    drawn = {one: project.labels(one) for one in project.train}
    pictures = [one for one, labels in drawn.items() if labels]
    if not pictures:
        raise ValueError(
            f"project must have labels on pictures to learn from ({len(drawn)} of them), got none; "
            "draw some first"
        )
    found = seen(project, pictures, side=side, device=device, progress=progress)
    bar = tqdm(pictures, desc="labels", leave=False, disable=not progress)
    images = zip(bar, found.pictures.images, strict=True)
    targets = [target(project, one, image, drawn[one]) for one, image in images]
    facts = facts_of([drawn[one] for one in pictures])
    facts["drawn"] = {one.content: disk.content_key(drawn[one]) for one in pictures}
    return Lesson(pictures, found, targets, facts)


def facts_of(drawn: Sequence[Sequence[dict]]) -> dict[str, Any]:
    """Counts of labels by kind, and the time they took.

    Args:
        drawn: the labels of each picture.
    """
    flat = [label for labels in drawn for label in labels]
    return {
        "pictures": len(drawn),
        "labels": dict(Counter(label["kind"] for label in flat)),
        "hours": sum(label["milliseconds"] for label in flat) / 3.6e6,
    }


# ------------------------------------------------------------------------------------------------ students


@dataclasses.dataclass(eq=False)
class _Run:
    """One call of `train`."""

    project: Project
    lesson: Lesson
    finetune: bool
    device: torch.device
    resume: bool
    progress: bool

    @property
    def settings(self) -> Settings:
        """For the whole lesson."""
        return self._settings(self.lesson)

    def _settings(self, lesson: Lesson) -> Settings:
        steps = -(-len(lesson.pictures) // STUDENT["batch"])
        epochs = min(max(round(STEPS / steps), EPOCHS[0]), EPOCHS[1])
        if self.finetune:
            return Settings(**(STUDENT | FINETUNE), finetune=True)
        return Settings(**STUDENT, epochs=epochs, stride=STRIDE)

    def student(self, seed: int) -> Student:
        """A student of one seed: one round, or two where some pictures are not marked all over."""
        lesson = self.lesson
        course = _Course(lesson, self._localised(lesson, seed), self.device)
        student = self._taught(lesson, course, seed)
        if course.sparse.any() and not self.finetune:
            student = self._taught(lesson, course.second(student), seed)
        return student

    def _taught(self, lesson: Lesson, course: _Course, seed: int) -> Student:
        options = self._settings(lesson)
        grid = lesson.features if self.finetune else at_label_size(lesson)
        sizes = [(int(h), int(w)) for h, w in grid.pictures.sizes]
        labels = [resized(one, size) for one, size in zip(course.labels, sizes, strict=True)]
        key = disk.content_key(
            lesson.features.key, labels, course.dense.numpy(), seed, dataclasses.asdict(options)
        )
        checkpoint = self.project.beside("student") / f"unfinished-{key[:16]}.pt" if self.resume else None
        student = train_student(
            grid,
            labels,
            len(self.project.classes) + 1,
            seed=seed,
            loss=course.loss,
            checkpoint=checkpoint,
            device=self.device,
            progress=self.progress,
            **dataclasses.asdict(options),
        )
        student.module.cpu()
        student.offset = TAU * _log_shares(course.believed(student))
        return student

    def _localised(self, lesson: Lesson, seed: int) -> list[NDArray[np.uint8]]:
        """The dense labels; pictures with nothing but tags get seeds where a localiser looks."""
        labels = [one.dense for one in lesson.targets]
        bare = [k for k, one in enumerate(labels) if (one == IGNORE).all()]
        if not bare:
            return labels
        present = torch.from_numpy(np.stack([one.present for one in lesson.targets]))
        module = train_localiser(lesson.features, present, seed=seed, device=self.device)
        for k, maps in enumerate(class_maps(module, lesson.features)):
            if k in bare:
                cue = rank(_contrast(lesson.features, k))
                found = find_seeds(maps.numpy(), present[k].numpy(), cue, **SEEDS)
                labels[k] = resized(found, (labels[k].shape[0], labels[k].shape[1]))
        return labels

    def halves(self) -> tuple[tuple[Student, ...], float]:
        """Students of half of the pictures each, and the temperature by what they say of the other half."""
        count = len(self.lesson.pictures)
        if count < LEAST:
            return (), 1.0
        number = np.random.default_rng(0).permutation(count)
        parts = [np.sort(number[::2]), np.sort(number[1::2])]
        lessons = [self.lesson.part(part) for part in parts]
        courses = [_Course(one, self._localised(one, 0), self.device) for one in lessons]
        students = tuple(self._taught(*pair, 0) for pair in zip(lessons, courses, strict=True))
        losses = np.zeros(len(TEMPERATURES))
        for student, other in zip(students, reversed(parts), strict=True):
            losses += _losses(student, self.lesson.part(other))
        return students, float(TEMPERATURES[losses.argmin()])


def at_label_size(lesson: Lesson) -> Features:
    """The features of a lesson, with pictures of the size of its labels.

    Args:
        lesson: whose.
    """
    small = copy.copy(lesson.features.pictures)
    small.sizes = np.array([one.dense.shape for one in lesson.targets])
    return dataclasses.replace(lesson.features, pictures=small)


def _contrast(features: Features, k: int) -> NDArray[np.float32]:
    """What stands out from the border of a picture."""
    height, width = features.cells[k].tolist()
    return border_contrast(features.values[k, :, :height, :width].astype("f4"))


class _Course:
    """The loss of one round, and what it looks at.

    Args:
        lesson: the pictures.
        labels: dense label map of each.
        device: where to compute.
    """

    def __init__(self, lesson: Lesson, labels: Sequence[NDArray[np.uint8]], device: torch.device):
        self.lesson = lesson
        self.labels = list(labels)
        self.device = device
        self.present = torch.from_numpy(np.stack([one.present for one in lesson.targets]))
        self.sparse = torch.tensor([not one.complete for one in lesson.targets])
        grid, classes = at_label_size(lesson), self.present.shape[1]
        strokes = [one.strokes for one in lesson.targets]
        self.strokes = label_shares(strokes, grid, classes)
        self.dense = label_shares(self.labels, grid, classes)
        self.objectness = torch.zeros(self.dense[:, 0].shape)
        for k in torch.where(self.sparse)[0].tolist():
            cue = torch.from_numpy(as_probability(_contrast(lesson.features, k)))
            self.objectness[k, : cue.shape[0], : cue.shape[1]] = cue
        self.first = True

    def believed(self, student: Student) -> Tensor:
        """The dense labels, and what a student believes of pictures that are not all marked."""
        if student.whole or not self.sparse.any():
            return self.dense
        beliefs = belief_within(student.module, self.lesson.features, self.present)
        return torch.where(self.sparse[:, None, None, None], beliefs, self.dense)

    def second(self, student: Student) -> _Course:
        """The next round, which agrees with what the first believes."""
        course = copy.copy(self)
        course.dense = self.believed(student)
        course.first = False
        return course

    @property
    def loss(self) -> Loss:
        """For `learning.training.train`."""

        def loss(module: nn.Module, batch: Batch, targets: Tensor) -> Tensor:
            rows = batch.pictures
            dense, cue = self.dense[rows].to(batch.device), self.objectness[rows].to(batch.device)
            x, wanted, inside, cue = batch.thinned(dense, batch.inside, cue)
            logits = module(x)
            value = cross_entropy(logits, wanted) * (wanted.flatten(1).sum(1) > 0).float().mean()
            strokes = self.strokes[rows].to(batch.device)
            if strokes.any():
                strokes = strokes[..., : dense.shape[2], : dense.shape[3]]
                share = (strokes.flatten(1).sum(1) > 0).float().mean()
                value = value + share * _at_strokes(module, batch, strokes, logits)
            sparse = self.sparse[rows].to(batch.device)
            if self.first and sparse.any():
                share = sparse.float().mean()
                level = image_level_loss(
                    logits[sparse], self.present[rows].to(batch.device)[sparse], inside[sparse]
                )
                object_ = objectness_loss(logits[sparse], cue[sparse], inside[sparse])
                value = value + share * (level + OBJECTNESS * object_)
            return value

        return loss


def _log_shares(dense: Tensor) -> Tensor:
    """Logarithm of the share of each class, ``(K,)``; 0 for a class that does not occur."""
    counts = dense.float().sum((0, 2, 3))
    return torch.where(counts > 0, counts / counts.sum().clamp(min=1e-6), 1).log()


def _at_strokes(module: nn.Module, batch: Batch, strokes: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy at clicked and scribbled cells: all of them, also where the step looks at some cells."""
    if isinstance(batch.source, Features):
        height, width = batch.grids.max(0).tolist()
        return labelled_cells_loss(module, batch, strokes[..., :height, :width])
    return cross_entropy(logits, strokes[..., : logits.shape[2], : logits.shape[3]])


# ---------------------------------------------------------------------------------------------- temperature


@torch.no_grad()
def _losses(student: Student, lesson: Lesson) -> NDArray[np.float64]:
    """Negative log-likelihood of what is known of some pictures, at each of `TEMPERATURES`."""
    shares = label_shares([one.dense for one in lesson.targets], at_label_size(lesson), student.classes)
    found = np.zeros(len(TEMPERATURES))
    for k, (height, width) in enumerate(lesson.features.cells.tolist()):
        logits = student.module(lesson.features.batch([k]))[0] - student.offset[:, None, None]
        wanted = shares[k, :, :height, :width].float()
        for n, temperature in enumerate(TEMPERATURES):
            found[n] -= float((wanted * (logits / temperature).log_softmax(0)).sum())
    return found


def _cooled(student: Student, temperature: float) -> Student:
    """The same student with its logits divided by a temperature, in its last layer and its offset."""
    last = [part for part in student.module.modules() if isinstance(part, nn.Conv2d)][-1]
    with torch.no_grad():
        for weight in last.parameters():
            weight /= temperature
    student.offset = student.offset / temperature
    return student
