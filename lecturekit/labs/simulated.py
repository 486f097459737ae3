"""Simulated labels of the stopwatch lab, for notebooks that run without a person.

They say nothing about people, and are called simulated wherever they appear.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from ..datasets.scenes import strokes
from ..labels.costs import COSTS
from .stopwatch import KINDS, LITERATURE, Record, Task, measures, tasks, write_record


def demo_labels(seed: int = 0, pictures: int = 10, noise: float = 1.0) -> dict[tuple[str, int], list[dict]]:
    """SIMULATED labels, for a notebook that runs without a person: the truth with errors, times made up.

    Boxes are the true ones with a few per cent of jitter, clicks and strokes lie in the middle, outlines are
    the true ones simplified and shaken. Times are those of the first source in `LITERATURE` times a random
    factor. They say nothing about people.

    Args:
        seed: another seed is another made-up person.
        pictures: on how many of the ten.
        noise: how large the errors are; at 0 each label is the truth as far as its kind can say it.

    Returns:
        ``{(kind, picture): labels}``, as `measures` takes them.
    """
    rng = np.random.default_rng([seed, 20])
    speed = math.exp(rng.normal(0, 0.3))
    some = tasks()[:pictures]
    return {(kind, task.number): _demo(kind, task, rng, speed, noise) for kind in KINDS for task in some}


def demo_class(folder: str | Path, people: int = 30, pictures: int = 3) -> list[Path]:
    """Write the files of a SIMULATED class, each marked so, and return them."""
    records = [
        Record(f"{person:016x}", tuple(measures(demo_labels(person, pictures))), simulated=True)
        for person in range(1, people + 1)
    ]
    return [write_record(record, folder) for record in records]


def _demo(kind: str, task: Task, rng: np.random.Generator, speed: float, noise: float) -> list[dict]:
    seconds = COSTS[LITERATURE[kind][0]].seconds * speed * math.exp(rng.normal(0, 0.25))
    about = {"id": f"simulated-{kind}", "kind": kind, "class_index": task.class_index, "points": []}
    about["milliseconds"] = round(1000 * seconds)
    if kind == "image_class":
        ticks = [about | {"id": f"class-{c}", "class_index": c} for c in sorted(task.present)]
        return ticks[:1] + [tick | {"milliseconds": 0} for tick in ticks[1:]]  # all of them took that long
    points = np.clip(_DRAWN[kind](task, noise, rng), 0, np.array(task.size[::-1], float)).round(2).tolist()
    return [about | {"points": points} | ({"width": 6.0} if kind == "scribble" else {})]


def _demo_click(task: Task, noise: float, rng: np.random.Generator) -> np.ndarray:
    sides = np.subtract(task.box[2:], task.box[:2])
    return np.array([strokes.deepest(task.mask)]) + 0.5 + noise * rng.normal(0, 0.03, (1, 2)) * sides


def _demo_stroke(task: Task, noise: float, rng: np.random.Generator) -> np.ndarray:
    step = 4  # a coarse copy of the mask is enough
    way = strokes.stroke(task.mask[step // 2 :: step, step // 2 :: step])
    return step * way[:, ::-1] + step // 2 + 0.5 + noise * rng.normal(0, 1, (1, 2))


def _demo_box(task: Task, noise: float, rng: np.random.Generator) -> np.ndarray:
    corners = np.array(task.box, float).reshape(2, 2)
    return corners + noise * rng.normal(0, 0.02, (2, 2)) * (corners[1] - corners[0])


def _demo_extremes(task: Task, noise: float, rng: np.random.Generator) -> np.ndarray:
    (x0, y0), (x1, y1) = _demo_box(task, noise, rng)
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([[x0, middle_y], [middle_x, y0], [x1, middle_y], [middle_x, y1]])


def _demo_outline(task: Task, noise: float, rng: np.random.Generator) -> np.ndarray:
    fine = 4  # contours run through the middles of pixels, so they are sought on finer ones
    large = np.kron(task.mask, np.ones((fine, fine), np.uint8)).astype(np.uint8)
    found, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = cv2.approxPolyDP(max(found, key=cv2.contourArea), 2.5 * fine * noise, True)[:, 0] + 0.5
    return corners / fine + noise * rng.normal(0, 1.2, corners.shape)


_DRAWN = {
    "point": _demo_click,
    "scribble": _demo_stroke,
    "extreme": _demo_extremes,
    "box": _demo_box,
    "polygon": _demo_outline,
}
