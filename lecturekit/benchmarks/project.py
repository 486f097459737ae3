"""What hours of labelling buy on photographs: quality by kind of label, and whether `plan` foretells it.

People are simulated: they label as the truth says, at the literature's prices times a speed of their own.
What `plan` knows (its curves) is measured on the training list of a folder in VOC's layout alone: students of
pictures drawn from three quarters of it, judged on the fourth, each quarter in its turn. What it foretells is
then tried on the validation list, with other draws, other seeds and people whose speed it does not know.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from ..datasets.voc import CLASSES
from ..kit import markdown
from ..kit.cache import content_key
from ..kit.storage import data_dir, write_atomic
from ..labels.label_map import BACKGROUND, IGNORE
from ..labs.project._curves import Curves, curves_of, logit
from ..labs.project._plan import plan
from ..learning.bootstrap import class_ious, picture_counts
from ..learning.data import BoxAnnotations
from ..learning.features import Features
from ..learning.points import clicks_as_labels, point_supervision, simulate_clicks
from ..learning.recipes import first_labels
from ..learning.scribbles import crf_loss, scribble_supervision, simulate_scribbles
from ..learning.seed_expand import find_seeds, grid_colours, sec_supervision
from ..learning.self_transfer import class_maps, train_localiser
from ..learning.student import Student
from ..learning.training import Loss, train
from ..pixels.objectness import as_probability, border_contrast, rank
from . import _results
from ._hours import (
    DENSE,
    DRAWS,
    JUDGING,
    PARTS,
    SPARSE,
    SPEEDS,
    STEPS,
    TASKS,
    VERSION,
    Piece,
    curve_pieces,
    dependent,
    outcome_pieces,
    task_pieces,
)
from ._suggested import LOTS, SEEDS, START, TRIED, suggestion_table, suggestions
from .boxes import interval
from .hints import OBJECTNESS, REGULARISER
from .photographs import Pictures, on_grid, pictures

#: Seeds for image labels, as the kept outcomes have them.
FOUND = {"share": 0.4, "background_share": 0.35}
#: What is measured of a student.
MEASURED = ("iou", "background", "low", "high", "cpu", "objects")
#: What the rows of suggestions depend on.
SUGGEST: dict[str, Any] = {"start": START, "lots": LOTS, "edition": 1}
#: Numbers of the pictures that have each kind of label.
Numbers = Mapping[str, NDArray[np.int64]]


@dataclasses.dataclass(eq=False)
class Teacher:
    """All that simulated people can say about the pictures of one list, and students that learn from it."""

    pool: Pictures

    @cached_property
    def present(self) -> Tensor:
        """The image labels, bool ``(N, K)``."""
        return self.pool.present

    @cached_property
    def cues(self) -> list[NDArray[np.float32]]:
        """What may be an object, without a label, on each picture's own cells."""
        return [border_contrast(grid) for grid in self.pool.grids()]

    @cached_property
    def maps(self) -> dict[str, list[NDArray[np.uint8]]]:
        """For each kind the label maps of all pictures, 255 where it says nothing."""
        each = list(zip(self.pool.masks, self.pool.boxes, self.pool.classes, strict=True))
        clicks = [simulate_clicks(m, b, c, error=0.03, rng=k) for k, (m, b, c) in enumerate(each)]
        boxes = BoxAnnotations(self.pool.images, self.pool.boxes, self.pool.classes)
        return {
            "tags": [np.full(m.shape, IGNORE, np.uint8) for m in self.pool.masks],
            "clicks": [clicks_as_labels(c, m.shape) for c, m in zip(clicks, self.pool.masks, strict=True)],
            "scribbles": [simulate_scribbles(*one) for one in each],
            "boxes": first_labels("grabcut_plus_inner", boxes, progress=True),
            "masks": self.pool.masks,
        }

    def of(self, numbers: NDArray[np.int64]) -> Teacher:
        """The same for some pictures.

        Args:
            numbers: of the pictures.
        """
        made = Teacher(chosen(self.pool, numbers))
        made.cues = [self.cues[k] for k in numbers]
        made.maps = {kind: [maps[k] for k in numbers] for kind, maps in self.maps.items()}
        return made

    def only(self, classes: list[int]) -> Teacher:
        """The same for some classes.

        Args:
            classes: that are left; all others become background.
        """
        made = Teacher(only(self.pool, classes))
        made.cues = self.cues
        made.maps = {kind: [without(one, classes) for one in maps] for kind, maps in self.maps.items()}
        return made

    def taught(self, some: Numbers, seed: int) -> Student:
        """A student of some pictures, each with one kind of label.

        Args:
            some: numbers of the pictures that have each kind.
            seed: of the student.
        """
        numbers = np.concatenate(list(some.values()))
        labels = [self.maps[kind][k] for kind, each in some.items() for k in each]
        seen = part(self.pool.features, numbers)
        dense = set(some) <= {"boxes", "masks"}
        settings = dict(DENSE if dense else SPARSE)
        settings["epochs"] = max(settings["epochs"], math.ceil(STEPS / math.ceil(len(numbers) / 8)))
        loss = None if dense else self.loss(set(some), seen, numbers, seed)
        return train(seen, labels, len(CLASSES), seed=seed, loss=loss, device="cpu", **settings)

    def loss(self, kinds: set[str], seen: Features, numbers: NDArray[np.int64], seed: int) -> Loss:
        """The loss for labels that leave most of a picture open."""
        if "scribbles" in kinds:
            return scribble_supervision(crf_loss, REGULARISER)
        present = self.present[torch.from_numpy(numbers)]
        cues = [self.cues[k] for k in numbers]
        if "clicks" in kinds:
            return point_supervision(
                present, on_grid([as_probability(cue) for cue in cues], seen), OBJECTNESS
            )
        localiser = train_localiser(seen, present, seed=seed, device="cpu", decay=0.0)
        each = zip(class_maps(localiser, seen), present.numpy(), cues, strict=True)
        seeds = [find_seeds(maps.numpy(), there, rank(cue), **FOUND) for maps, there, cue in each]
        colours = grid_colours([self.pool.images[k] for k in numbers], seen.cells)
        return sec_supervision(on_grid(seeds, seen, IGNORE), present, colours, ("seed", "expand"))


def chosen(pool: Pictures, numbers: NDArray[np.int64]) -> Pictures:
    """Some pictures.

    Args:
        pool: of all.
        numbers: of those.
    """
    lists = ([some[k] for k in numbers] for some in (pool.images, pool.masks, pool.boxes, pool.classes))
    return Pictures(part(pool.features, numbers), *lists)


def only(pool: Pictures, classes: list[int]) -> Pictures:
    """Pictures in which some classes are left, and all others are background.

    Args:
        pool: the pictures.
        classes: that are left.
    """
    kept = [np.isin(some, classes) for some in pool.classes]
    return dataclasses.replace(
        pool,
        masks=[without(mask, classes) for mask in pool.masks],
        boxes=[boxes[k] for boxes, k in zip(pool.boxes, kept, strict=True)],
        classes=[some[k] for some, k in zip(pool.classes, kept, strict=True)],
    )


def without(labels: NDArray[np.uint8], classes: list[int]) -> NDArray[np.uint8]:
    """A label map in which all classes but some are background.

    Args:
        labels: uint8 ``(H, W)``.
        classes: that are left.
    """
    return np.where(np.isin(labels, [BACKGROUND, *classes, IGNORE]), labels, BACKGROUND).astype(np.uint8)


def part(grid: Features, numbers: NDArray[np.int64]) -> Features:
    """Features of some pictures, whose label maps have another size than the network saw.

    Args:
        grid: of all pictures.
        numbers: of those.
    """
    some = copy.copy(grid.pictures)
    some.images = [grid.pictures.images[k] for k in numbers]
    some.sizes, some.cells = grid.pictures.sizes[numbers], grid.pictures.cells[numbers]
    return dataclasses.replace(grid, values=grid.values[numbers], pictures=some, key=f"{grid.key}, part")


@dataclasses.dataclass(eq=False)
class Bench:
    """The folder, and the pieces that are done."""

    learn: Pictures
    judge: Pictures

    @cached_property
    def tables(self) -> dict[tuple[str, str, int], tuple[Teacher, Pictures]]:
        """Role, task and part -> who teaches, and what judges."""
        whole, tables = Teacher(self.learn), {}
        numbers = np.arange(len(self.learn.masks))
        for k in range(JUDGING):  # every fourth picture, for the list is in the order of years
            teacher = whole.of(numbers[numbers % PARTS != k])
            tables["curve", "", k] = teacher, chosen(self.learn, numbers[numbers % PARTS == k])
        tables["outcome", "", 0] = whole, self.judge
        for task, names in TASKS.items():
            wanted = [CLASSES.index(name) for name in names]
            have = np.flatnonzero([np.isin(c, wanted).any() for c in self.learn.classes])
            teacher = whole.of(have[::2]).only(wanted)
            tables["task", task, 0] = teacher, only(chosen(self.learn, have[1::2]), wanted)
        return tables

    @property
    def objects(self) -> float:
        """Objects a picture."""
        return float(np.mean([len(boxes) for boxes in self.learn.boxes]))

    @cached_property
    def known(self) -> dict[str, dict[str, Any]]:
        """What the results of an earlier edition say of each piece, if it was made by the same settings."""
        kept = _results.kept("project")
        if any(kept["settings"].get(name) != value for name, value in self.about.items()):
            return {}
        own = [row for row in kept["rows"] if row["role"] != "suggest"]
        return {json.dumps(dependent(row)): {name: row[name] for name in MEASURED} for row in own}

    @property
    def about(self) -> dict[str, Any]:
        """The settings on which all pieces depend, as they are kept with the results."""
        whole: dict[str, Any] = {"pictures": len(self.learn.masks), "held_out": len(self.judge.masks)}
        whole |= {"version": VERSION, "objects": self.objects, "classes": len(CLASSES) - 1}
        return whole | {"dense": DENSE, "sparse": SPARSE, "steps": STEPS}

    def result(self, piece: Piece) -> dict[str, Any]:
        """What became of a piece: found in the results or on disk, or made now."""
        fields: dict[str, Any] = dataclasses.asdict(piece)
        if not piece.file.is_file():
            known = self.known.get(json.dumps(piece.about))
            write_atomic(piece.file, json.dumps(known or self.made(piece)))
        return fields | json.loads(piece.file.read_text(encoding="utf-8"))

    def suggested(self) -> list[dict[str, Any]]:
        """The rows of suggestions: found in the results or on disk, or made now."""
        kept, rows = _results.kept("project"), []
        if kept["settings"].get("suggest") == SUGGEST and self.known:
            rows = [row for row in kept["rows"] if row["role"] == "suggest"]
        key, found = content_key(SUGGEST, self.about)[:16], []
        for kind in tqdm(TRIED, unit="kind of suggestions"):
            for seed in SEEDS:
                own = [row for row in rows if (row["name"], row["seed"]) == (kind, seed)]
                file = data_dir() / "benchmarks" / "project" / f"suggest-{kind}-{seed}-{key}.json"
                if not own and not file.is_file():
                    made = suggestions(*self.tables["outcome", "", 0], kind, seed)
                    write_atomic(file, json.dumps(made))
                found += own or json.loads(file.read_text(encoding="utf-8"))
        return found

    def made(self, piece: Piece) -> dict[str, Any]:
        """Teach and judge one student."""
        teacher, judge = self.tables[piece.role, piece.task, piece.part]
        count = len(teacher.pool.masks)
        order = np.random.default_rng([piece.seed, count]).permutation(count)
        ends = np.cumsum([*piece.counts.values()])
        if ends[-1] > count:
            raise ValueError(f"counts must be pictures that are there ({count}), got {piece.counts}")
        some = dict(zip(piece.counts, np.split(order[: ends[-1]], ends[:-1]), strict=True))
        start = time.process_time()
        student = teacher.taught(
            {kind: numbers for kind, numbers in some.items() if len(numbers)}, piece.seed
        )
        spent = time.process_time() - start
        pairs = zip(student.labels(judge.features), judge.masks, strict=True)
        counts = np.stack([picture_counts(*pair, len(CLASSES)) for pair in pairs])
        ious = class_ious(counts.sum(0))
        low, high = interval(counts[None])
        found = {
            "iou": np.nanmean(ious),
            "background": ious[BACKGROUND],
            "low": low,
            "high": high,
            "cpu": spent,
        }
        return found | {"objects": float(np.mean([len(boxes) for boxes in teacher.pool.boxes]))}


def run(data: str | Path) -> str:
    """Curves and outcomes on a folder in VOC's layout, as Markdown; the rows go to docs/results.

    Every student is kept, so a run that was stopped goes on; those of ``docs/results/project.json`` that were
    made by the same settings are not made again.

    Args:
        data: the folder, with the lists train and val.
    """
    bench = Bench(*pictures(data))
    count = len(bench.learn.masks)
    pieces = [*curve_pieces(), *task_pieces(), *outcome_pieces(bench.objects, count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GrabCut says where it fell back to the box
        rows = [bench.result(piece) for piece in tqdm(pieces, unit="student")]
        more = bench.suggested()
    settings = bench.about | {"judged": count // PARTS, "parts": JUDGING, "speeds": SPEEDS, "seeds": DRAWS}
    settings["tasks"] = task_spread(rows, curves_of(rows, settings | {"tasks": 0.0}))
    settings["suggest"] = SUGGEST
    rows = [*foretold(rows, settings), *more]
    _results.save("project", rows, settings)
    return f"{table(rows, settings)}\n\n{suggestion_table(rows)}"


def task_spread(rows: Sequence[Mapping[str, Any]], curves: Curves) -> float:
    """How far other tasks lie from the curves at equal labels: root mean square of the logits' difference.

    Args:
        rows: of all students.
        curves: through those of all classes.
    """
    apart: dict[str, list[float]] = {}
    for row in rows:
        if row["role"] == "task":
            classes = len(TASKS[row["task"]])
            many = sum(row["counts"].values()) * row["objects"] / classes
            guess = float(curves.quality({row["name"]: 1.0}, many, classes))
            apart.setdefault(row["task"], []).append(logit(row["iou"]) - logit(guess))
    return float(np.sqrt(np.mean([np.mean(some) ** 2 for some in apart.values()])))


def foretold(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows, those of outcomes with what the plan had said: mean IoU, and the ends of its interval.

    Args:
        rows: of all students.
        settings: as they go to the file.
    """
    curves = curves_of(rows, settings)
    known: dict[str, Any] = {"objects": settings["objects"], "classes": settings["classes"], "familiar": True}
    found = []
    for row in map(dict, rows):
        if row["role"] == "outcome":
            kinds, share = list(row["counts"]), row["counts"].get("masks", 0) / sum(row["counts"].values())
            masked = [round(share, 2)] if len(kinds) > 1 else []
            said = plan(
                row["hours"],
                settings["pictures"],
                kinds=kinds,
                masked=masked,
                curves=curves,
                test=settings["held_out"],
                **known,
            )
            option = next(o for o in said.options if list(o.pictures) == kinds)
            row["plan"] = [option.quality, option.low, option.high]
        found.append(row)
    return found


def table(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """What people got for their hours beside what the plan had said, as Markdown.

    ``± people`` is the standard deviation of the people's means, ``± seeds`` that of students of equally
    many pictures: others drawn, another seed.

    Args:
        rows: as `foretold` makes them.
        settings: of the file.
    """
    lines = [
        f"{settings['pictures']} pictures to label, {settings['held_out']} held out, people of speeds "
        f"{', '.join(map(str, settings['speeds']))}, {settings['seeds']} seeds; mean IoU in %.",
        "",
    ]
    head = [
        "labels",
        "hours",
        "pictures",
        "obtained",
        "± people",
        "± seeds",
        "foretold",
        "interval",
        "inside",
    ]
    cells = []
    groups: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["role"] == "outcome":
            groups.setdefault((row["name"], row["hours"]), []).append(row)
    for (name, hours), some in groups.items():
        ious = 100 * np.array([row["iou"] for row in some])
        guess, low, high = 100 * np.array(some[0]["plan"])
        sizes = [sum(row["counts"].values()) for row in some]
        label = str(sizes[0]) if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
        inside = ((low <= ious) & (ious <= high)).sum()
        people = [ious[[row["speed"] == speed for row in some]].mean() for speed in settings["speeds"]]
        equal = [ious[np.equal(sizes, size)] for size in np.unique(sizes)]
        within = np.mean([part.var(ddof=1) for part in equal if len(part) > 1]) ** 0.5
        mean, between = np.mean(people), np.std(people, ddof=1)
        numbers = [f"{value:.1f}" for value in (mean, between, within, guess)]
        spread = f"{low:.1f} to {high:.1f}"
        cells.append([name, hours, label, *numbers, spread, f"{inside} of {ious.size}"])
    told = [row for some in groups.values() for row in some]
    held = sum(row["plan"][1] <= row["iou"] <= row["plan"][2] for row in told)
    width = np.mean([row["plan"][2] - row["plan"][1] for row in told])
    lines += [
        markdown.table(head, cells),
        "",
        f"The interval holds {held} of {len(told)} outcomes; it is {100 * width:.1f} points wide on average.",
    ]
    return "\n".join([*lines, f"Between tasks: {settings['tasks']:.2f} (logits)."])
