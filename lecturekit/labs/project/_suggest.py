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
from ._file import Picture, Project
from ._predict import label_map
from ._seen import seen
from ._targets import keep_start
from ._train import train
from ._trained import Trained, trained

#: Of more pictures without labels, so many are looked at.
LOOKED_AT = 300


@dataclass(frozen=True)
class Suggestion:
    """A picture to label.

    Attributes:
        picture: which.
        kind: the kind of label, of `labels.shapes.KINDS`.
        why: in words.
        doubt: share of the picture on which the two students disagree, 0..1.
    """

    picture: Picture
    kind: str
    why: str
    doubt: float


def suggest(project: Project, n: int = 10, *, progress: bool = False) -> list[Suggestion]:
    """Pictures without labels that would teach most: two students disagree on them, and none is like another.

    The students learned from different halves of the labelled pictures. A picture's worth is the share of it
    on which they disagree, times how far its features are from all that is labelled or already suggested.

    Args:
        project: with a student.
        n: how many, at most.
        progress: show a bar.

    Raises:
        FileNotFoundError: no student yet.
        ValueError: `n` below 1, or a student of too few pictures.
    """
    whole("n", n, 1)
    found = trained(project)
    if len(found.halves) < 2:
        raise ValueError("two students are needed to disagree; label more pictures and train again")
    labelled, bare = [], []
    for one in project.train:
        (labelled if project.labels(one) else bare).append(one)
    bare = sorted(bare, key=lambda one: one.content)[:LOOKED_AT]
    if not bare:
        return []
    features = seen(project, bare, side=found.side, progress=progress)
    doubts, mixed = zip(*(_doubt(found, features, k) for k in range(len(bare))), strict=True)
    known = seen(project, labelled[:LOOKED_AT], side=found.side) if labelled else None
    order = _spread(np.array(doubts), _looks(features), None if known is None else _looks(known), n)
    return [_suggestion(bare[k], doubts[k], mixed[k]) for k in order]


def _suggestion(picture: Picture, doubt: float, mixed: float) -> Suggestion:
    if mixed > 0.5:
        why = f"they disagree on {doubt:.0%} of it, mostly on which class it is: a click tells"
        return Suggestion(picture, "point", why, doubt)
    why = f"they disagree on {doubt:.0%} of it, mostly on where an object ends: a box tells"
    return Suggestion(picture, "box", why, doubt)


@torch.no_grad()
def _doubt(found: Trained, features: Features, k: int) -> tuple[float, float]:
    """Share of a picture on which the halves disagree, and what share of that is between two objects."""
    a, b = (
        (one.module(features.batch([k]))[0] - one.offset[:, None, None]).softmax(0) for one in found.halves
    )
    apart = 1 - torch.minimum(a, b).sum(0)  # (h, w), 0..1
    objects = torch.minimum(1 - a[0], 1 - b[0])  # both see an object there
    return float(apart.mean()), float((apart * objects).sum() / apart.sum().clamp(min=1e-6))


def _looks(features: Features) -> NDArray[np.float32]:
    """The mean of each picture's features, of length 1, ``(N, C)``."""
    means = [features.batch([k])[0].mean((1, 2)).numpy() for k in range(len(features))]
    rows = np.stack(means)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _spread(
    doubts: NDArray[np.float64], looks: NDArray[np.float32], known: NDArray[np.float32] | None, n: int
) -> list[int]:
    """Greedy: the most doubt times the distance to what is known or chosen."""
    distance = np.full(len(doubts), 2.0) if known is None else 1 - (looks @ known.T).max(1)
    chosen: list[int] = []
    for _ in range(min(n, len(doubts))):
        worth = doubts * np.maximum(distance, 1e-6)
        worth[chosen] = -1
        best = int(worth.argmax())
        chosen.append(best)
        distance = np.minimum(distance, 1 - looks @ looks[best])
    return chosen


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
        options["doubtful"] = lambda: [one.picture.file for one in suggest(project, 100)]
    return options
