"""Which picture to label next, and where the student's answer was corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...kit.checks import choice, whole
from ...learning.features import Features
from ...learning.student import Student
from ._file import Picture, Project
from ._predict import label_map
from ._seen import seen
from ._targets import keep_start
from ._train import train
from ._trained import Trained, trained

#: Of more pictures without labels, so many are looked at.
LOOKED_AT = 300
#: What pictures can be suggested by.
WAYS = ("coverage", "doubt")
#: The longer side where there is no student who has one.
SIDE = 384


@dataclass(frozen=True)
class Suggestion:
    """A picture to label.

    Attributes:
        picture: which.
        kind: the kind of label, of `labels.shapes.KINDS`.
        why: in words.
        doubt: share of the picture on which the two students disagree, 0..1; None where there are none.
        alike: pictures without labels that look more like this one than like all that is labelled or
            suggested; 0 where doubt was asked for.
    """

    picture: Picture
    kind: str
    why: str
    doubt: float | None
    alike: int


def suggest(
    project: Project, n: int = 10, *, by: str = "coverage", progress: bool = False
) -> list[Suggestion]:
    """Pictures without labels that would teach most, the best first.

    - ``"coverage"``: what is common and was not shown yet. Each picture is the one that brings all others
      nearest to a picture that is labelled or suggested (facility location on the means of their features;
      Wei, Iyer, Bilmes, ICML 2015). It needs no student, so it also says where to begin.
    - ``"doubt"``: where two students, who learned from different halves of the labelled pictures, disagree on
      the largest share, times how far the picture is from all that is labelled or suggested: there is most to
      correct. As pictures to label, these were no better than chance.

    On photographs, coverage was better than chance at equal clicks and at equal seconds (``bench project``).
    What to draw is told by the two students, where there are any: a click where they differ in the class, a
    box where they differ in the outline.

    Args:
        project: with pictures to learn from.
        n: how many, at most.
        by: ``"coverage"`` or ``"doubt"``.
        progress: show a bar.

    Raises:
        FileNotFoundError: doubt without a student.
        ValueError: `n` below 1, another way, doubt with a student of too few pictures, a damaged student.
    """
    whole("n", n, 1)
    choice("by", by, WAYS)
    try:
        found = trained(project)
    except FileNotFoundError:
        if by == "doubt":
            raise
        found = None
    halves = () if found is None else found.halves
    if by == "doubt" and len(halves) < 2:
        raise ValueError("two students are needed to disagree; label more pictures and train again")
    labelled, bare = [], []
    for one in project.train:
        (labelled if project.labels(one) else bare).append(one)
    bare = sorted(bare, key=lambda one: one.content)[:LOOKED_AT]
    if not bare:
        return []
    side = SIDE if found is None else found.side
    features = seen(project, bare, side=side, progress=progress)
    known = seen(project, labelled[:LOOKED_AT], side=side, progress=progress) if labelled else None
    here, there = looks(features), None if known is None else looks(known)
    doubts = [doubt(halves, features, k) if len(halves) == 2 else None for k in range(len(bare))]
    if by == "doubt":
        order = doubted(np.array([one[0] for one in doubts if one]), here, there, n)
        return [_suggestion(bare[k], doubts[k], 0) for k in order]
    order = covering(here, there, n)
    alike = _alike(here, there, order)
    return [_suggestion(bare[k], doubts[k], count) for k, count in zip(order, alike, strict=True)]


def _suggestion(picture: Picture, doubts: tuple[float, float] | None, alike: int) -> Suggestion:
    said = []
    if alike:
        said.append(f"{alike} more {'picture looks' if alike == 1 else 'pictures look'} like it")
    if doubts is None:
        return Suggestion(picture, "box", "; ".join(said) or "like none that is labelled", None, alike)
    share, mixed = doubts
    kind, what, tells = ("point", "which class it is", "click") if mixed > 0.5 else ("box", "outlines", "box")
    said.append(f"two students disagree on {share:.0%} of it, mostly on {what}: a {tells} tells")
    return Suggestion(picture, kind, "; ".join(said), share, alike)


@torch.no_grad()
def doubt(halves: Sequence[Student], features: Features, k: int) -> tuple[float, float]:
    """Share of a picture on which two students disagree, and what share of that is between two objects.

    Args:
        halves: the two.
        features: of the pictures.
        k: which.
    """
    a, b = ((one.module(features.batch([k]))[0] - one.offset[:, None, None]).softmax(0) for one in halves)
    apart = 1 - torch.minimum(a, b).sum(0)  # (h, w), 0..1
    objects = torch.minimum(1 - a[0], 1 - b[0])  # both see an object there
    return float(apart.mean()), float((apart * objects).sum() / apart.sum().clamp(min=1e-6))


def looks(features: Features) -> NDArray[np.float32]:
    """The mean of each picture's features, of length 1, float32 ``(N, C)``.

    Args:
        features: of N pictures.
    """
    means = [features.batch([k])[0].mean((1, 2)).numpy() for k in range(len(features))]
    rows = np.stack(means)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def covering(here: NDArray[np.float32], known: NDArray[np.float32] | None, n: int) -> list[int]:
    """Pictures that stand for most others: greedy facility location by cosine.

    Args:
        here: `looks` of the pictures without labels, ``(N, C)``.
        known: of those with labels; None where there are none.
        n: how many, at most.

    Returns:
        Numbers of pictures, the best first.

    Example:
        >>> pairs = np.array([[1, 0], [0.6, 0.8], [0, 1], [0.1, 0.99]], "f4")
        >>> covering(pairs, None, 2), covering(pairs, np.array([[1, 0]], "f4"), 1)
        ([1, 0], [3])
    """
    alike = here @ here.T
    nearest = np.full(len(here), -1.0) if known is None else (here @ known.T).max(1)
    chosen: list[int] = []
    for _ in range(min(n, len(here))):
        gain = np.maximum(alike - nearest[:, None], 0).sum(0)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        nearest = np.maximum(nearest, alike[:, chosen[-1]])
    return chosen


def doubted(
    doubts: NDArray[np.float64], here: NDArray[np.float32], known: NDArray[np.float32] | None, n: int
) -> list[int]:
    """Greedy: the most doubt times the distance to what is known or chosen.

    Args:
        doubts: of each picture without labels, ``(N,)``.
        here: as in `covering`.
        known: as in `covering`.
        n: how many, at most.
    """
    distance = np.full(len(doubts), 2.0) if known is None else 1 - (here @ known.T).max(1)
    chosen: list[int] = []
    for _ in range(min(n, len(doubts))):
        worth = doubts * np.maximum(distance, 1e-6)
        worth[chosen] = -1
        best = int(worth.argmax())
        chosen.append(best)
        distance = np.minimum(distance, 1 - here @ here[best])
    return chosen


def _alike(here: NDArray[np.float32], known: NDArray[np.float32] | None, chosen: list[int]) -> list[int]:
    """For each chosen picture how many others look more like it than like all others that are shown."""
    left = np.setdiff1d(np.arange(len(here)), chosen)
    shown = here[chosen] if known is None else np.concatenate([here[chosen], known])
    nearest = (here[left] @ shown.T).argmax(1)
    return np.bincount(nearest, minlength=len(shown))[: len(chosen)].tolist()


# ------------------------------------------------------------------------------------------- corrections


def correct(
    project: Project,
    strokes: Mapping[Picture | str, Sequence[dict]],
    *,
    retrain: bool = True,
    found: Trained | None = None,
    **options: Any,
) -> Trained:
    """Scribbles where the student's answer is wrong; then train again.

    The answer that was corrected becomes what is taught of a picture on which nothing but clicks and
    scribbles is drawn: a piece of an object that a stroke says otherwise of is forgotten, and so is what is
    round a stroke on background; the strokes are believed, and what no stroke touches counts as looked at and
    right. On pictures with boxes or masks the strokes count more than these.

    Args:
        project: with a student.
        strokes: labels of kind ``scribble`` or ``point`` by picture, as in ``Project.save_labels``.
        retrain: train at once, with the seeds of the student that was corrected.
        found: the student that was corrected. None: the one that is kept.
        **options: of `train`.

    Returns:
        The new student, or the old one.

    Raises:
        FileNotFoundError: no student yet, or a picture that is gone.
        ValueError: other kinds of label, or labels that are not in order.
        OSError: a file cannot be written.
    """
    found = trained(project) if found is None else found
    for labels in strokes.values():
        for label in labels:
            choice("kind", label.get("kind"), ("scribble", "point"))
    for one, labels in strokes.items():
        start_correction(project, one, found)
        project.save_labels(one, labels)
    if not retrain:
        return found
    options = {"seeds": tuple(found.facts["seeds"]), "side": found.side, "progress": False} | options
    return train(project, **options)


def start_correction(
    project: Project, picture: Picture | str, found: Trained | None = None
) -> NDArray[np.uint8]:
    """The student's answer for a picture, kept as what strokes that are drawn from now on correct.

    Args:
        project: with a student.
        picture: one of its pictures, or its file name.
        found: the student, where it is at hand.

    Returns:
        uint8 ``(H, W)``.

    Raises:
        FileNotFoundError: no student yet, or a picture that is gone.
        OSError: it cannot be kept.
    """
    answer = label_map(project, picture, found)
    keep_start(project, project.picture(picture), answer)
    return answer


def labeller_options(project: Project) -> dict[str, Any]:
    """What a student adds to the widget that labels a project: nothing where there is none.

    Args:
        project: whose.

    Returns:
        ``doubtful``, which gives names of pictures, and ``answers``, which gives the label map of one.
    """
    try:
        found = trained(project)
    except (OSError, ValueError):
        return {}
    options: dict[str, Any] = {"answers": lambda name: start_correction(project, name, found)}
    if found.halves:
        options["doubtful"] = lambda: [one.picture.file for one in suggest(project, 100, by="doubt")]
    return options
