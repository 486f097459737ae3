"""Which students `bench project` makes: how many pictures of which kinds, for whom, and where each lies."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..datasets.voc import CLASSES
from ..kit.storage import data_dir
from ..labels.costs import price, seconds_an_image
from ..labs.project._curves import KINDS
from ..labs.project._plan import split

#: Students of labels that cover regions, and of the other kinds. Both were chosen elsewhere, for other
#: questions (`boxes.STUDENT`, `hints.STUDENT`).
DENSE: dict[str, Any] = {"head": "two_layer", "epochs": 12, "lr": 5e-3, "batch": 8, "stride": 3, "tau": 0.3}
SPARSE: dict[str, Any] = {"head": "two_layer", "epochs": 20, "lr": 2e-3, "batch": 8, "stride": 4}
#: Steps that a student of few pictures takes all the same.
STEPS = 250
#: Sizes of the curves. The training list has so many parts; some of them judge, each a draw of its own.
SIZES, PARTS, JUDGING = (15, 40, 100, 300), 4, 3
#: Mixtures whose curves are measured, and those that are then foretold: share of the pictures of each kind.
LEARNT_MIXTURES = tuple({kind: 0.8, "masks": 0.2} for kind in ("boxes", "clicks", "scribbles"))
MIXTURES = ({"boxes": 0.9, "masks": 0.1}, {"boxes": 0.75, "masks": 0.25}, {"boxes": 0.5, "masks": 0.5})
OTHER_MIXTURES = ({"clicks": 0.75, "masks": 0.25}, {"scribbles": 0.75, "masks": 0.25})
#: Hours that are tried: of single kinds, of mixtures with boxes, and of the others.
HOURS, MIXTURE_HOURS, OTHER_HOURS = (2, 8, 40), (2, 4, 8, 40), (8,)
#: Three people: how much longer than the literature's each takes (thirds of a log-normal spread of .3).
SPEEDS = tuple(round(math.exp(0.3 * z), 3) for z in (-0.967, 0.0, 0.967))
#: Students of each: other pictures drawn, another seed. Where the folder is used up, each has one: all
#: three have the same pictures, and are three seeds.
DRAWS = 3
#: Other tasks on the training list: some classes, all others being background. Of the pictures with one of
#: them every second is learnt from, and the rest judge.
TASKS = {
    "cats and dogs": ("cat", "dog"),
    "people": ("person",),
    "vehicles": ("car", "bus", "train", "motorbike"),
}
TASK_KINDS, TASK_SIZES, TASK_DRAWS = ("boxes", "masks"), (12, 25), 1
#: Part of every piece's name; a change of what is computed gets a new number.
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Piece:
    """One student: what it was taught from, and where it is judged.

    Attributes:
        role: ``curve`` (learns from the training list without a part, judged on that), ``task`` (of `TASKS`),
            or ``outcome`` (learns from all of it, judged on the validation list).
        counts: pictures of each kind of label.
        seed: of the draw of the pictures and of the student.
        hours: that were planned; None for curves.
        name: of the kind or mixture, `named`.
        speed: how much longer than the literature's this person takes.
        task: a key of `TASKS`, or "" for all classes.
        part: that judges a curve.
    """

    role: str
    counts: Mapping[str, int]
    seed: int
    name: str
    hours: float | None = None
    speed: float = 1.0
    task: str = ""
    part: int = 0

    @property
    def file(self) -> Path:
        """Where its result is kept."""
        about = [VERSION, DENSE, SPARSE, STEPS, *self.about]
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        return data_dir() / "benchmarks" / "project" / f"{digest}.json"

    @property
    def about(self) -> list[Any]:
        """What its result depends on; hours and people only say why it is asked for."""
        return dependent(dataclasses.asdict(self))


def dependent(row: Mapping[str, Any]) -> list[Any]:
    """What a result depends on, of a piece or a row of the results.

    Args:
        row: with the fields of a piece.
    """
    counts = [list(pair) for pair in sorted(row["counts"].items())]
    return [row["role"], counts, row["seed"], row["task"], row["part"]]


def named(shares: Mapping[str, float]) -> str:
    """A name for a kind or a mixture: ``boxes + 10 % masks``.

    Args:
        shares: of the pictures, by kind.
    """
    if len(shares) == 1:
        return next(iter(shares))
    return f"{next(iter(shares))} + {100 * shares['masks']:.0f} % masks"


def curve_pieces() -> Iterator[Piece]:
    """The students that the curves are made of."""
    for k in range(JUDGING):
        for shares in ({kind: 1.0} for kind in KINDS):
            for size in SIZES:
                yield Piece("curve", split(size, shares), k, named(shares), part=k)
        for shares in LEARNT_MIXTURES:
            for size in SIZES[1:]:
                yield Piece("curve", split(size, shares), k, named(shares), part=k)


def task_pieces() -> Iterator[Piece]:
    """The students that tell how much tasks differ."""
    for task in TASKS:
        for kind in TASK_KINDS:
            for size in TASK_SIZES:
                for seed in range(TASK_DRAWS):
                    yield Piece("task", {kind: size}, seed, kind, task=task)


def outcome_pieces(objects: float, pictures: int) -> Iterator[Piece]:
    """What people get for their hours.

    Args:
        objects: a picture, on average.
        pictures: in the folder; more cannot be labelled.
    """
    tried = [({kind: 1.0}, hours) for kind in KINDS for hours in HOURS]
    tried += [(shares, hours) for shares in MIXTURES for hours in MIXTURE_HOURS]
    tried += [(shares, hours) for shares in OTHER_MIXTURES for hours in OTHER_HOURS]
    for person, speed in enumerate(SPEEDS):
        for shares, hours in tried:
            seconds = speed * seconds_of(shares, objects)
            count = min(pictures, int(hours * 3600 / seconds))
            counts = split(count, shares)
            for k in range(DRAWS if count < pictures else 1):
                seed = 100 + person + len(SPEEDS) * k
                yield Piece("outcome", counts, seed, named(shares), hours, speed)


def seconds_of(shares: Mapping[str, float], objects: float) -> float:
    """Seconds a picture at the literature's prices, the mean over a mixture.

    Args:
        shares: of the pictures, by kind.
        objects: a picture, on average.
    """
    classes = len(CLASSES) - 1
    each = {kind: seconds_an_image(price(KINDS[kind]), objects, classes)[0] for kind in shares}
    return sum(share * each[kind] for kind, share in shares.items())
