"""Clicks, scribbles, image labels and boxes: what students learn from each, and what each costs.

Photographs come from a folder in VOC's layout; settings were chosen on its training list alone (students of
the first three quarters, measured on the last), the validation list is looked at for the table only.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets.solar_cells import available
from ..datasets.voc import CLASSES
from ..evidence.gap import cam
from ..labels.boxes import clip_boxes
from ..labels.costs import COSTS
from ..learning.box_masks import (
    box_features,
    box_target,
    mask_ious,
    predict_masks,
    train_box_masks,
)
from ..learning.features import Pictures as Frames
from ..learning.points import (
    belief_within,
    clicks_as_labels,
    point_supervision,
    self_training,
    simulate_clicks,
    sure_alone,
)
from ..learning.scribbles import (
    crf_loss,
    scribble_seconds,
    scribble_supervision,
    simulate_scribbles,
    spread_labels,
)
from ..learning.seed_expand import LOSSES, find_seeds, grid_colours, sec_supervision
from ..learning.self_transfer import (
    SelfTransfer,
    WholeLocaliser,
    class_maps,
    moving_alpha,
    train_localiser,
)
from ..learning.student import Student
from ..learning.training import Loss, train
from ..metrics import label_quality, pointing_game
from ..models import load_classifier
from ..pixels.objectness import (
    as_probability,
    average_precision,
    border_contrast,
    centre_prior,
    class_evidence,
    proposal_votes,
    together,
)
from ..pixels.proposals import best_proposal, proposals
from . import _results, clips, solar
from .photographs import GRABCUT, SEEN, SIDE, Pictures, on_grid, pictures

#: How every student is trained.
STUDENT: dict[str, Any] = {"head": "two_layer", "epochs": 24, "lr": 2e-3, "batch": 8, "stride": 4}
#: The calibration of one row, which knows the share of each class from the masks; as in `bench boxes`.
CALIBRATION = 0.3
#: Weight of the objectness loss, and of the regulariser of scribbles.
OBJECTNESS, REGULARISER = 0.1, 0.3
#: Strokes of the scribbles that are more than one an object and one on the background.
MORE = {"strokes": 2, "background_strokes": 3}
#: Their second round: so many students of the first, and how sure they must be of a class, and of background.
TEACHERS, SURE = 3, (0.6, 0.95)
#: Whether the strokes' own loss stands beside that: few cells that weigh as much as all others.
STROKES_AGAIN = False
#: The localiser whose maps give the seeds of SEC: on the classifier's last features.
SEED_MAPS: dict[str, Any] = {"decay": 0.9, "epochs": 30, "weight_decay": 1.0, "stride": 1}
#: Seeds: share of a class's maximum, and of the background cue's ranks.
SEEDS = {"share": 0.4, "background_share": 0.1}
#: Its losses.
SEC: dict[str, Any] = {"constrain_weight": 4.0}
#: The head from boxes to masks.
BOX_MASKS: dict[str, Any] = {"epochs": 14}
#: Training pictures on which the cues for objects are compared.
CUES = 100
#: All of it, for the file of results. What stands under a part's name matters for this part alone.
SETTINGS: dict[str, Any] = {
    "student": STUDENT,
    "side": SIDE,
    "seen": SEEN,
    "cues": CUES,
    "points": {"objectness": OBJECTNESS, "calibration": CALIBRATION},
    "scribbles": {
        "regulariser": REGULARISER,
        "more": MORE,
        "teachers": TEACHERS,
        "sure": SURE,
        "strokes_again": STROKES_AGAIN,
    },
    "sec": {"maps": SEED_MAPS, "seeds": SEEDS, "losses": SEC},
    "boxes": {"head": BOX_MASKS, "grabcut": GRABCUT},
    "solar": solar.SETTINGS,
}


def run(data: str | Path, seeds: int = 3, quick: bool = False) -> str:
    """Every kind of hint on a folder in VOC's layout, as Markdown; rows go to docs/results.

    Every part of a seed is kept (`_results.part`): a run that was stopped goes on.

    Args:
        data: the folder, with the lists train and val.
        seeds: how many students a row.
        quick: 24 training and 12 other pictures, two epochs, one seed: a look, not a measurement.
    """
    settings: dict[str, Any] = SETTINGS | {"seeds": seeds}
    if quick:
        settings |= {"student": STUDENT | {"epochs": 2}, "seeds": 1, "cues": 5}
    learn, judge = pictures(data, (24, 12) if quick else (None, None))
    common = [settings[name] for name in ("student", "side", "seen")]
    about = [*common, learn.features.key, judge.features.key]
    rows = _results.part(
        "hints", [*about, "cues", settings["cues"]], lambda: cue_rows(learn, settings["cues"])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GrabCut says where it fell back to the box
        for seed in range(settings["seeds"]):
            for name, make in parts(Students(learn, judge, seed, settings["student"])).items():
                found = _results.part("hints", [*about, name, settings.get(name), seed], make)
                rows += [row | {"seed": seed} for row in found]
    if not quick:
        _results.save("hints", rows, settings)
    return table(rows)


# --------------------------------------------------------------------------------------------------- students


def parts(bench: Students) -> dict[str, Callable[[], Iterator[dict[str, Any]]]]:
    """What makes the rows of one seed, by name; each part for itself.

    Args:
        bench: the students of the seed.
    """
    return {
        "points": bench.point_rows,
        "scribbles": bench.scribble_rows,
        "pointing": lambda: _pointing_rows(bench.learn, bench.judge, bench.seed),
        "sec": bench.sec_rows,
        "boxes": lambda: _box_rows(bench.learn, bench.judge, bench.seed),
    } | ({"solar": lambda: solar.rows(solar.cells(), bench.seed)} if available() else {})


class Students:
    """Students of one seed, and what they are taught from."""

    def __init__(self, learn: Pictures, judge: Pictures, seed: int, student: dict[str, Any]):
        self.learn, self.judge, self.seed, self.student = learn, judge, seed, student
        self.present = learn.present
        self.empty = [np.full(m.shape, 255, np.uint8) for m in learn.masks]
        objects = float(np.mean([len(b) for b in learn.boxes]))
        #: Seconds an image.
        self.cost = {"image": COSTS["image_class"].seconds, "click": COSTS["click"].seconds}
        self.cost |= {"mask": COSTS["object_masks"].seconds, "scribble": scribble_seconds(objects)}
        self.cost |= {"more scribbles": scribble_seconds(objects, **MORE)}

    @cached_property
    def cues(self) -> list[NDArray[np.float32]]:
        """Where objects are likely: contrast to the border, a map a training picture."""
        return [border_contrast(grid) for grid in self.learn.grids()]

    def student_of(
        self, labels: list, loss: Loss | None = None, other: int = 0, tau: float = 0.0
    ) -> tuple[Student, float]:
        """A trained student and its CPU seconds; with `other` one of another seed that no row has."""
        start = time.process_time()
        options: dict[str, Any] = self.student | {"tau": tau, "seed": self.seed + 1000 * other}
        made = train(self.learn.features, labels, len(CLASSES), loss=loss, device="cpu", **options)
        return made, time.process_time() - start

    def row(self, name: str, kind: str, student: Student, spent: float) -> dict[str, Any]:
        """What a student says of the other list, as a row."""
        iou = label_quality(student.labels(self.judge.features), self.judge.masks, len(CLASSES)).mean_iou
        row = {"table": "students", "name": name, "label": kind, "seconds": self.cost[kind], "iou": iou}
        return row | {"cpu": spent}

    def taught(self, name: str, kind: str, labels: list, loss: Loss | None = None) -> tuple[dict, Any]:
        """A row, and the module of the student."""
        student, spent = self.student_of(labels, loss)
        return self.row(name, kind, student, spent), student.module

    def point_rows(self) -> Iterator[dict]:
        """Full supervision, image labels, clicks, objectness, and two more rounds."""
        objectness = on_grid([as_probability(cue) for cue in self.cues], self.learn.features)
        clicks = _clicks(self.learn)
        full, spent = self.student_of(self.learn.masks, tau=CALIBRATION)
        yield self.row("full supervision", "mask", Student(full.module, full.classes, False), spent)
        yield self.row("full supervision, calibrated", "mask", full, spent)
        yield self.taught("image label", "image", self.empty, point_supervision(self.present))[0]
        yield self.taught("points", "click", clicks, point_supervision(self.present))[0]
        loss = point_supervision(self.present, objectness, OBJECTNESS)
        row, module = self.taught("points + objectness", "click", clicks, loss)
        yield row
        for turn in (2, 3):
            beliefs = belief_within(module, self.learn.features, self.present)
            row, module = self.taught(
                f"points + objectness, round {turn}", "click", clicks, self_training(beliefs)
            )
            yield row

    def strokes(self, **options: int) -> list[NDArray[np.uint8]]:
        """Scribbles on the training pictures."""
        each = zip(self.learn.masks, self.learn.boxes, self.learn.classes, strict=True)
        return [simulate_scribbles(*one, **options) for one in each]

    def scribble_rows(self) -> Iterator[dict]:
        """Scribbles alone, with a regularised loss, and made into labels first (the first seed only)."""
        loss = scribble_supervision(crf_loss, REGULARISER)
        strokes = self.strokes()
        yield self.taught("scribbles", "scribble", strokes, scribble_supervision(None))[0]
        row, module = self.taught("scribbles + CRF loss", "scribble", strokes, loss)
        yield row
        teachers = [module, *(self.student_of(strokes, loss, k)[0].module for k in range(1, TEACHERS))]
        for turn in (2, 3):  # the third hears the second as well
            beliefs = belief_within(teachers, self.learn.features, self.present)
            again = self_training(sure_alone(beliefs, *SURE))
            beside = strokes if STROKES_AGAIN else self.empty
            row, module = self.taught(f"scribbles + CRF loss, round {turn}", "scribble", beside, again)
            teachers.append(module)
            yield row
        more = self.strokes(**MORE)
        yield self.taught("scribbles, more strokes, + CRF loss", "more scribbles", more, loss)[0]
        if self.seed == 0:
            pairs = zip(self.learn.images, strokes, strict=True)
            walked = [spread_labels(image, drawn) for image, drawn in pairs]
            yield self.taught("scribbles, random walker first", "scribble", walked)[0]

    def sec_rows(self) -> Iterator[dict]:
        """SEC from a localiser's maps, with all of its losses and with each one left out."""
        last = self.learn.last
        localiser = train_localiser(last, self.present, seed=self.seed, device="cpu", **SEED_MAPS)
        maps = class_maps(localiser, last, self.learn.features.cells.tolist())
        each = zip(maps, self.present, self.cues, strict=True)
        found = [sec_seeds(m, p, cue) for m, p, cue in each]
        seeds = on_grid(found, self.learn.features, 255)
        colours = grid_colours(self.learn.images, self.learn.features.cells)
        for left_out in (None, *LOSSES):
            losses = [name for name in LOSSES if name != left_out]
            loss = sec_supervision(seeds, self.present, colours, losses, **SEC)
            row, module = self.taught(" + ".join(losses), "image", self.empty, loss)
            yield row
            if left_out is None:
                beliefs = belief_within(module, self.learn.features, self.present)
                name = f"{' + '.join(losses)}, round 2"
                yield self.taught(name, "image", self.empty, self_training(beliefs))[0]


def sec_seeds(maps: Tensor, present: Tensor, border: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Seeds of one picture: background is where neither the border contrast nor any class's map is high.

    Args:
        maps: of the localiser, ``(K, h, w)``.
        present: bool ``(K,)``.
        border: contrast to the border, ``(h, w)``.
    """
    evidence = torch.cat([torch.zeros_like(maps[:1]), maps[1:][present[1:]]]).amax(0)
    return find_seeds(maps.numpy(), present.numpy(), together(border, evidence.numpy()), **SEEDS)


def _clicks(pictures: Pictures) -> list[NDArray[np.uint8]]:
    each = zip(pictures.masks, pictures.boxes, pictures.classes, strict=True)
    return [clicks_as_labels(simulate_clicks(m, b, c, rng=k), m.shape) for k, (m, b, c) in enumerate(each)]


def cue_rows(pictures: Pictures, count: int = CUES) -> list[dict[str, Any]]:
    """How well cues that need no labels put object before background: average precision, mean of pictures.

    Args:
        pictures: those of a list.
        count: how many of them.
    """
    network = load_classifier(device="cpu").network
    frames = Frames(pictures.images[:count], SEEN)
    found: dict[str, list[float]] = {}
    for k, grid in zip(range(len(frames.images)), pictures.grids(), strict=False):
        seen = cam(network, frames.batch([k]), "all")
        border = border_contrast(grid)
        centre = centre_prior((border.shape[0], border.shape[1]))
        cues = {
            "centre": centre,
            "border contrast": border,
            "border contrast and centre": together(border, centre),
            "CAM of the 20 best classes": class_evidence(seen.maps[0].numpy(), seen.logits[0].numpy()),
            "votes of proposals": _votes(pictures.images[k]),
        }
        mask = pictures.masks[k]
        for name, cue in cues.items():
            wide = cv2.resize(cue, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
            found.setdefault(name, []).append(average_precision(wide, mask))
    return [{"table": "cues", "name": name, "ap": np.nanmean(each)} for name, each in found.items()]


def _votes(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of the 50 proposals that fit the middle of the picture best, how many cover each pixel."""
    height, width = image.shape[:2]
    hierarchy = proposals(image)
    middle = (width // 10, height // 10, width - width // 10, height - height // 10)
    best = best_proposal(hierarchy, middle).ranked
    return proposal_votes(np.stack([hierarchy.mask(one.regions) for one in best]))


# ------------------------------------------------------------------------------------ pointing game and boxes

#: Localisers by name: decay of the pool, width of the trunk, and who leads.
LOCALISERS: dict[str, dict[str, Any]] = {
    "max": {"decay": 0.0},
    "GAP": {"decay": 1.0},
    "max, a trunk that learns": {"decay": 0.0, "trunk": 128},
    "self-transfer": {"decay": 0.0, "trunk": 128, "alpha": moving_alpha},
}


def _pointing_rows(learn: Pictures, judge: Pictures, seed: int) -> Iterator[dict]:
    """Rows of the pointing game."""
    hits: dict[str, NDArray[np.bool_]] = {}
    for name, options in LOCALISERS.items():
        start = time.process_time()
        made = train_localiser(learn.features, learn.present, seed=seed, device="cpu", **options)
        spent = time.process_time() - start
        hits[name] = pointed(made, judge)
        row = {"table": "pointing", "name": name, "hits": hits[name].mean(), "pairs": len(hits[name])}
        apart = hits["max"].astype(float) - hits[name]
        error = apart.std(ddof=1) / len(apart) ** 0.5
        yield row | {"cpu": spent, "max_better_by": apart.mean(), "standard_error": error}


def pointed(module: SelfTransfer | WholeLocaliser, judge: Pictures) -> NDArray[np.bool_]:
    """Whether the highest point of each picture's and class's map lies on the class.

    Args:
        module: makes the maps.
        judge: pictures and their masks.
    """
    hits: list[bool] = []
    each = zip(class_maps(module, judge.features), judge.present, judge.masks, strict=True)
    for maps, present, mask in each:
        some = [c for c in torch.where(present)[0].tolist() if c]
        if some:
            wide = torch.nn.functional.interpolate(maps[None, some], mask.shape, mode="bilinear")[0]
            truth = torch.from_numpy(np.stack([mask == c for c in some]))
            hits += pointing_game(wide, truth).tolist()
    return np.array(hits)


def _box_rows(learn: Pictures, judge: Pictures, seed: int) -> Iterator[dict]:
    """The head from boxes to masks, taught by masks and by GrabCut+."""
    seen = torch.cat([x for _, x, _, _ in _boxes_of(learn)]).half()
    cuts = learn.cuts
    sources = {
        "masks": lambda k, i, box: box_target(learn.masks[k], box, int(learn.classes[k][i])),
        "GrabCut+": lambda k, i, box: box_target(cuts[k][i].astype(np.uint8), box, 1),
    }
    for name, source in sources.items():
        targets = [
            source(k, i, box)
            for k, _, kept, boxes in _boxes_of(learn)
            for i, box in zip(kept, boxes, strict=True)
        ]
        start = time.process_time()
        head = train_box_masks(seen, torch.from_numpy(np.stack(targets)).half(), seed=seed, **BOX_MASKS)
        spent = time.process_time() - start
        yield box_row(judge, f"taught by {name}", head) | {"cpu": spent}
    yield box_row(judge, "the whole box", None)


def _filled(boxes: NDArray, size: tuple[int, int]) -> NDArray[np.bool_]:
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, clip_boxes(boxes, size), strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def _boxes_of(pictures: Pictures) -> Iterator[tuple[int, Tensor, list[int], NDArray[np.int64]]]:
    """Number, features of the boxes that are not empty, their numbers, and they themselves."""
    for k, grid in enumerate(pictures.grids()):
        size = pictures.masks[k].shape
        boxes = clip_boxes(pictures.boxes[k], size)
        kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1)).tolist()
        yield k, box_features(grid, boxes[kept], size), kept, boxes[kept]


def box_row(judge: Pictures, name: str, head: nn.Module | None) -> dict[str, Any]:
    """IoU of the masks in the true boxes, as a row.

    Args:
        judge: pictures, boxes and masks.
        name: of the row.
        head: that finds the masks; None takes the whole boxes.
    """
    found = []
    each = zip(judge.grids(), judge.masks, judge.boxes, judge.classes, strict=True)
    for grid, truth, boxes, classes in each:
        size = (truth.shape[0], truth.shape[1])
        masks = _filled(boxes, size) if head is None else predict_masks(head, grid, boxes, size)
        found.append(mask_ious(masks, truth, boxes, classes))
    ious = np.concatenate(found)
    ious = ious[~np.isnan(ious)]
    at = {f"at_{level}": (ious >= level).mean() for level in (0.5, 0.75)}
    return {"table": "boxes", "name": name, "boxes": len(ious), "iou": ious.mean(), **at}


# -------------------------------------------------------------------------------------------------- the table


#: Tables beside that of students: kind of row -> its values and their headings, all in %.
TABLES: dict[str, dict[str, str]] = {
    "pointing": {"hits": "at the class", "max_better_by": "max better by", "standard_error": "±"},
    "boxes": {"at_0.5": "IoU at .5", "at_0.75": "at .75", "iou": "mean IoU"},
    "cues": {"ap": "average precision"},
    "solar": {"hits": "peak at a mark", "chance": "a blind map's", "auc": "defective before fine"},
}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown: one table a kind, means over the seeds.

    Args:
        rows: as `run` makes them.
    """
    students: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["table"] == "students":
            students.setdefault(row["name"], []).append(row)
    full = 100 * float(np.mean([row["iou"] for row in students["full supervision"]]))
    lines = [
        "| student | label, s a picture | mean IoU % | ± | of full | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for name, some in students.items():
        ious = 100 * np.array([r["iou"] for r in some])
        spread = f"{ious.std(ddof=1):.1f}" if len(ious) > 1 else ""
        share = f"{ious.mean() / full:.1%}".replace("%", " %")
        cost, cpu = f"{some[0]['label']}, {some[0]['seconds']:.1f}", np.mean([r["cpu"] for r in some])
        lines.append(f"| {name} | {cost} | {ious.mean():.1f} | {spread} | {share} | {cpu:.0f} |")
    lines += [clips.small_table(rows, kind, columns) for kind, columns in TABLES.items()]
    return "\n".join(lines)
