"""From what was drawn on a picture to what a student is taught of it, whatever the kinds of label."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...kit.files import read_json
from ...kit.storage import write_atomic
from ...labels import shapes
from ...labels.interchange.masks import png, read_map
from ...labels.label_map import BACKGROUND, IGNORE
from ...learning.data import BoxAnnotations
from ...learning.recipes import first_labels, resized
from ._file import Picture, Project
from ._seen import WORK_SIDE, small_size

#: Longer side of the label maps that are taught: a few pixels a cell of the grid of features.
LABEL_SIDE = 160
#: How labels are made from boxes (`learning.recipes`); a picture at a time, so that one more costs one more.
BOX_RECIPE = "grabcut_plus_inner"
#: A box this near (IoU) to that of a mask of its class is the mask's own, and says nothing new.
SAME = 0.7
#: A box beside masks on a picture set aside is drawn if so much of it is a mask of its class.
DRAWN = 0.1


@dataclass(frozen=True, eq=False)
class Target:
    """What is known of one picture.

    Attributes:
        dense: uint8 ``(h, w)``: classes, background, 255 where nothing is known.
        strokes: the same, of clicks and scribbles alone.
        present: bool ``(K,)``: the classes that are there, background first.
        complete: all objects are marked, so that what is outside them is background.
    """

    dense: NDArray[np.uint8]
    strokes: NDArray[np.uint8]
    present: NDArray[np.bool_]
    complete: bool


def indices(project: Project) -> list[int]:
    """The number in label maps of each class that can be drawn: 0 for background.

    Args:
        project: whose.
    """
    names = (*project.classes,)
    return [1 + names.index(name) if name in names else BACKGROUND for name in project.label_classes]


def target(project: Project, picture: Picture, image: NDArray[np.uint8], labels: Sequence[dict]) -> Target:
    """What labels of any mixture of kinds say of a picture.

    - Every class that is in the picture has some label; classes without one are not there.
    - A picture with a box, an outline or a mask has all its objects marked: the rest is background, unless a
      class is named that no region belongs to. One whose only label is the tag "background" shows nothing.
    - In boxes `BOX_RECIPE` looks for the object; outlines and masks count as they are.
    - Clicks and scribbles count more than all others.

    Args:
        project: whose.
        picture: one of its pictures.
        image: its pixels, in any size.
        labels: at least one, as ``Project.labels`` has them.
    """
    small = small_size(picture.size, LABEL_SIDE)
    numbers = indices(project)
    present = np.zeros(len(project.classes) + 1, bool)
    present[[BACKGROUND, *(numbers[label["class_index"] - 1] for label in labels)]] = True
    regions = [one for one in labels if one["kind"] in ("box", "extreme", "polygon", "mask")]
    objects = [one for one in regions if numbers[one["class_index"] - 1] != BACKGROUND]
    complete = bool(objects) or not present[1:].any()
    strokes = np.full(small, IGNORE, np.uint8)
    for one in labels:
        if one["kind"] in ("point", "scribble"):
            strokes[_pixels(one, picture.size, small)] = numbers[one["class_index"] - 1]
    if complete:
        view = np.asarray(cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        dense = _dense(regions, numbers, present, picture.size, view)
    else:
        dense = _start(project, picture, labels, strokes)
    dense[strokes != IGNORE] = strokes[strokes != IGNORE]
    for one in regions if not complete else ():  # regions of background alone
        dense[_pixels(one, picture.size, small)] = BACKGROUND
    return Target(dense, strokes, present, complete)


def _dense(
    regions: list[dict], numbers: list[int], present: NDArray[np.bool_], size: tuple[int, int], image: NDArray
) -> NDArray[np.uint8]:
    """The label map of a picture all of whose objects are marked."""
    small = (image.shape[0], image.shape[1])
    exact = [one for one in regions if one["kind"] in ("polygon", "mask")]
    boxes = [one for one in regions if one["kind"] in ("box", "extreme") and not _has_mask(one, exact)]
    scale = np.tile(np.divide(small[::-1], size[::-1]), 2)
    places = np.array([shapes.box_of(one) for one in boxes]).reshape(-1, 4) * scale
    classes = np.array([numbers[one["class_index"] - 1] for one in boxes], np.int64)
    found = classes != BACKGROUND
    dense = np.full(small, BACKGROUND, np.uint8)
    if found.any():
        annotations = BoxAnnotations([image], [places[found]], [classes[found]])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "GrabCut fell back")
            dense = first_labels(BOX_RECIPE, annotations)[0].copy()
    masks = [(numbers[one["class_index"] - 1], _pixels(one, size, small)) for one in exact]
    marked = {numbers[one["class_index"] - 1] for one in regions}
    if set(np.flatnonzero(present).tolist()) - marked - {BACKGROUND}:  # somewhere there is one more
        dense[dense == BACKGROUND] = IGNORE
    for number, mask in sorted(masks, key=lambda pair: -pair[1].sum()):
        dense[mask] = number
    for one, is_object in zip(boxes, found, strict=True):
        if not is_object:
            dense[_pixels(one, size, small)] = BACKGROUND
    return dense


def _has_mask(box: dict, exact: list[dict]) -> bool:
    """Whether a mask of the box's class lies in just this box."""
    same = [one for one in exact if one["class_index"] == box["class_index"] and _marks(one)]
    return any(_iou(shapes.box_of(box), shapes.box_of(one)) > SAME for one in same)


def _marks(label: dict) -> bool:
    return label["kind"] != "mask" or any(label["counts"][1::2])


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return float(common / max(sum(areas) - common, 1e-9))


def _pixels(label: dict[str, Any], size: tuple[int, int], small: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels that a label marks, in a smaller copy of its picture."""
    if label["kind"] == "mask":
        mask = shapes.decode_rle(label["counts"], label["size"]).astype(np.uint8)
        return cv2.resize(mask, small[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
    scale = np.divide(small[::-1], size[::-1])
    points = np.array(label["points"]).reshape(-1, 2) * scale
    points = np.minimum(points, small[::-1]).tolist()
    return shapes.rasterise(label | {"points": points, "width": label.get("width", 0) * scale.min()}, small)


def mask_of(project: Project, picture: Picture, side: int | None = None) -> NDArray[np.uint8] | None:
    """The truth of a picture whose objects are all drawn as outlines or masks, else None.

    Boxes may be there as well, of another tool for example: each must have a mask of its class in it.

    Args:
        project: whose.
        picture: one of its pictures.
        side: longer side of the map, at most; None: as the picture.
    """
    labels, numbers = project.labels(picture), indices(project)
    kinds = {one["kind"] for one in labels if numbers[one["class_index"] - 1] != BACKGROUND}
    nothing = any(one["kind"] == "image_class" for one in labels) and not kinds
    if not nothing and not kinds & {"polygon", "mask"}:
        return None
    small = picture.size if side is None else small_size(picture.size, side)
    masks = [
        (numbers[one["class_index"] - 1], _pixels(one, picture.size, small))
        for one in labels
        if one["kind"] in ("polygon", "mask")
    ]
    truth = np.full(small, BACKGROUND, np.uint8)
    for number, mask in sorted(masks, key=lambda pair: -pair[1].sum()):
        truth[mask] = number
    boxes = [one for one in labels if one["kind"] in ("box", "extreme")]
    for number, inside in (
        (numbers[one["class_index"] - 1], _pixels(one, picture.size, small)) for one in boxes
    ):
        if number != BACKGROUND and (truth[inside] == number).sum() < DRAWN * inside.sum():
            return None
    return truth


# ------------------------------------------------------------------------------------------- corrections


def start_file(project: Project, picture: Picture) -> Path:
    """Where the student's answer is kept that a person has looked at and scribbled on.

    Args:
        project: whose.
        picture: one of its pictures.
    """
    return project.beside("starts") / f"{picture.content[:16]}.png"


def keep_start(project: Project, picture: Picture, answer: NDArray[np.uint8]) -> None:
    """Keep the student's answer as what a correction starts from, and which labels were there before it.

    Args:
        project: whose.
        picture: one of its pictures.
        answer: label map of the picture.
    """
    file = start_file(project, picture)
    write_atomic(file, png(shrunk_map(answer, WORK_SIDE)))
    before = [label["id"] for label in project.labels(picture)]
    write_atomic(file.with_suffix(".json"), json.dumps({"before": before}))


def shrunk_map(labels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A label map whose longer side is at most `side`.

    Args:
        labels: uint8 ``(H, W)``.
        side: in pixels.
    """
    return resized(labels, small_size((labels.shape[0], labels.shape[1]), side))


def _start(
    project: Project, picture: Picture, labels: Sequence[dict], strokes: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The answer that was corrected, without the pieces of it that a stroke contradicts; 255 without one."""
    file = start_file(project, picture)
    nothing = np.full(strokes.shape, IGNORE, np.uint8)
    try:
        before = set(read_json(file.with_suffix(".json"))["before"])
        start = resized(read_map(file.read_bytes()), (strokes.shape[0], strokes.shape[1]))
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged
        return nothing
    if all(label["id"] in before for label in labels if label["kind"] in ("point", "scribble")):
        return nothing
    dense = start.copy()
    for value in np.unique(strokes[(strokes != IGNORE) & (strokes != start)]):
        wrong = ((strokes == value) & (start != value)).astype(np.uint8)
        for number in range(1, cv2.connectedComponentsWithStats(wrong)[0]):
            stroke = cv2.connectedComponents(wrong)[1] == number
            dense[_doubted(start, stroke)] = IGNORE
    return dense


def _doubted(start: NDArray[np.uint8], stroke: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What a stroke throws doubt on: the piece of object it lies on, and of background its surroundings."""
    doubted = np.zeros(start.shape, bool)
    for value in np.unique(start[stroke]):
        if value != BACKGROUND:
            pieces = cv2.connectedComponents((start == value).astype(np.uint8))[1]
            doubted |= np.isin(pieces, np.unique(pieces[stroke & (start == value)]))
        else:
            rows, columns = np.nonzero(stroke)
            room = max(int(np.ptp(rows)), int(np.ptp(columns)), 8) // 2
            down = slice(max(int(rows.min()) - room, 0), int(rows.max()) + room + 1)
            across = slice(max(int(columns.min()) - room, 0), int(columns.max()) + room + 1)
            doubted[down, across] |= start[down, across] == BACKGROUND
    return doubted
