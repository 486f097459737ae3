"""A folder that everyone has, and people who label it: generated pictures, with the mistakes people make.

For notebooks and tests that run without a person. Times are the literature's prices times a speed of their
own (one in three takes 1.35 times as long, or longer). They say nothing about people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...datasets.scenes import strokes
from ...datasets.scenes.generate import Scene, scene
from ...datasets.scenes.kinds import CLASSES
from ...datasets.scenes.weak import Annotator, noticed, weak_boxes, weak_clicks
from ...kit.checks import choice, whole
from ...labels.costs import price, seconds_an_image
from ...labels.shapes import encode_rle
from ._curves import KINDS
from ._file import Picture, Project

#: Two things that differ in outline only.
NAMES = ("boat", "snake")
#: What the pictures look like, and the set they are of.
SCENES: dict[str, Any] = {"size": 160, "classes": NAMES, "objects": 2, "clutter": 3.0, "overlap": 0.2}
SET = 10
#: How careful people are.
CAREFUL = Annotator(box_jitter=0.03, missed=0.02, off_centre=0.03)
#: How much people differ: deviation of the logarithm of their speed, and from label to label.
SPEED, EACH = 0.3, 0.25
#: How far an outline may lie off, in pixels.
OFF = 1.5


def folder(path: str | Path, pictures: int = 36) -> Path:
    """Write generated pictures to a folder: boats and snakes on seven grounds, 160 pixels wide.

    Args:
        path: of the folder, which is made as needed.
        pictures: how many.

    Returns:
        The folder.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    for k in range(whole("pictures", pictures, 1, 10_000)):
        Image.fromarray(_scene(k).image).save(path / f"scene-{k:04}.png")
    return path


@lru_cache(maxsize=256)
def _scene(index: int) -> Scene:
    return scene(index, SET, **SCENES)


def truth(picture: Picture) -> NDArray[np.uint8]:
    """The true classes of a picture of `folder`, uint8 ``(H, W)``: 1 and 2 as in `NAMES`.

    Args:
        picture: of a project on that folder.
    """
    mask = _of(picture).mask
    return np.select([mask == CLASSES.index(name) for name in NAMES], (1, 2), 0).astype(np.uint8)


def draw(project: Project, pictures: Iterable[Picture], kind: str, seed: int = 0) -> float:
    """Let a SIMULATED person label some pictures; the labels are saved like anybody's.

    Args:
        project: on a folder that `folder` made, with the classes `NAMES`.
        pictures: of the project.
        kind: of label, a key of `KINDS`.
        seed: another seed is another person.

    Returns:
        The hours that it took.

    Raises:
        ValueError: another kind, or a picture from elsewhere.
    """
    choice("kind", kind, KINDS)
    person = np.random.default_rng([whole("seed", seed), 10])
    speed = np.exp(person.normal(0, SPEED))
    hours = 0.0
    for picture in pictures:
        labels = _labels(project, _of(picture), kind, seed)
        objects = sum(label["class_index"] <= len(NAMES) for label in labels)
        seconds = seconds_an_image(price(KINDS[kind]), objects, len(NAMES))[0]
        seconds *= speed * np.exp(person.normal(0, EACH))
        for n, label in enumerate(labels):
            share = round(1000 * seconds / len(labels))
            label |= {"id": f"simulated-{kind}-{n}", "milliseconds": max(1, share)}
        project.save_labels(picture, labels)
        hours += seconds / 3600
    return hours


def _of(picture: Picture) -> Scene:
    found = re.fullmatch(r"(?:.*/)?scene-(\d{4})\.png", picture.file)
    if not found:
        raise ValueError(f"pictures must come from simulated.folder, got {picture.file!r}")
    return _scene(int(found[1]))


def _labels(project: Project, seen: Scene, kind: str, seed: int) -> list[dict[str, Any]]:
    """What a person draws on a scene, without names and times. Nothing there is a tag, too."""
    person = Annotator(**{**vars(CAREFUL), "seed": seed})
    places, classes = noticed(seen, person)
    numbers = {CLASSES.index(name): 1 + project.label_classes.index(name) for name in NAMES}
    drawn = {"tags": _tags, "clicks": _clicks, "scribbles": _scribbles, "boxes": _boxes, "masks": _masks}
    found = drawn[kind](seen, person, places, classes)
    labels = [one | {"class_index": numbers[c]} for c, one in found if c in numbers]
    background = 1 + project.label_classes.index("background")
    labels += [one | {"class_index": background} for c, one in found if c == 0]
    if not labels:
        labels = [{"kind": "image_class", "points": [], "class_index": background}]
    return labels


def _tags(seen: Scene, person: Annotator, places: NDArray, classes: NDArray) -> list[tuple[int, dict]]:
    return [(int(c), {"kind": "image_class", "points": []}) for c in np.unique(classes)]


def _clicks(seen: Scene, person: Annotator, places: NDArray, classes: NDArray) -> list[tuple[int, dict]]:
    spots, named = weak_clicks(seen, person)
    each = zip(named.tolist(), (spots + 0.5).tolist(), strict=True)
    return [(c, {"kind": "point", "points": [spot]}) for c, spot in each]


def _scribbles(seen: Scene, person: Annotator, places: NDArray, classes: NDArray) -> list[tuple[int, dict]]:
    regions = [(0, seen.instances == 0)]
    regions += [(int(c), seen.instances == k + 1) for k, c in zip(places, classes, strict=True)]
    found = []
    for c, region in regions:
        way = strokes.stroke(region)[::4, ::-1] + 0.5
        found.append((c, {"kind": "scribble", "points": way.tolist(), "width": 3.0}))
    return found


def _boxes(seen: Scene, person: Annotator, places: NDArray, classes: NDArray) -> list[tuple[int, dict]]:
    boxes, named = weak_boxes(seen, person)
    each = zip(named.tolist(), boxes.reshape(-1, 2, 2).tolist(), strict=True)
    return [(c, {"kind": "box", "points": corners}) for c, corners in each]


def _masks(seen: Scene, person: Annotator, places: NDArray, classes: NDArray) -> list[tuple[int, dict]]:
    found = []
    for k, c in zip(places, classes, strict=True):
        region = (seen.instances == k + 1).astype(np.uint8)
        outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        filled = np.zeros_like(region)
        cv2.fillPoly(filled, [cv2.approxPolyDP(outline, OFF, True) for outline in outlines], 1)
        counts = encode_rle(filled.astype(bool))
        found.append((int(c), {"kind": "mask", "points": [], "size": list(region.shape), "counts": counts}))
    return found


def strokes_where_wrong(
    project: Project, picture: Picture, answer: NDArray[np.uint8], most: int = 3
) -> list[dict[str, Any]]:
    """What a SIMULATED person would scribble on a student's answer: a stroke through each large mistake.

    Args:
        project: whose.
        picture: of a folder that `folder` made.
        answer: the student's label map, uint8 ``(H, W)``.
        most: strokes; the largest mistakes go first.

    Returns:
        Labels of kind ``scribble``, as in `labels.shapes`; none where the answer is about right.
    """
    right = truth(picture)
    numbers = [*(1 + project.label_classes.index(name) for name in NAMES)]
    numbers = [1 + project.label_classes.index("background"), *numbers]
    found = []
    for c in range(len(numbers)):
        wrong = ((right == c) & (answer != c)).astype(np.uint8)
        pieces, places, sizes, _ = cv2.connectedComponentsWithStats(wrong)
        for piece in range(1, pieces):
            found.append((int(sizes[piece, cv2.CC_STAT_AREA]), c, places == piece))
    found = sorted(found, key=lambda one: -one[0])[:most]
    labels = []
    for n, (area, c, region) in enumerate(found):
        if area < 0.01 * right.size:
            break
        way = strokes.stroke(region)[::4, ::-1] + 0.5
        label: dict[str, Any] = {"id": f"simulated-stroke-{n}", "kind": "scribble", "class_index": numbers[c]}
        seconds = price(KINDS["scribbles"]).seconds
        label |= {"points": way.tolist(), "width": 3.0, "milliseconds": round(1000 * seconds)}
        labels.append(label)
    return labels
