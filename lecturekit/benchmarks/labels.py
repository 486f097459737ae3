"""What labels from boxes cost: processor time a picture, and what more processes gain."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..datasets.voc import VOC
from ..kit import markdown
from ..kit.parallel import THREADS, mapped, one_thread
from ..learning.data import BoxAnnotations
from ..learning.label_files import LabelTask, write_labels
from ..learning.recipes import BATCH, RECIPES, first_labels
from ..learning.tricks import View, crf_boundaries
from . import _results

#: Height and width of most of VOC's photographs, one way or the other.
SIZE = (375, 500)
#: Recipes that make labels of each picture by itself.
MAKERS = tuple(name for name, recipe in RECIPES.items() if name != "full" and not recipe.looks)
#: Whose pictures are counted: VOC 2012 with the masks of Hariharan et al., COCO 2017, and one to plan with.
SETS = {"VOC trainaug": 10_582, "COCO train": 118_000, "a million": 1_000_000}
CRF = "CRF between rounds"


def run(data: str | Path, seeds: int = 1, quick: bool = False) -> str:
    """Table of processor seconds a picture of 500 x 375 by one thread, and core-hours for whole data sets.

    The speed-up is that of two workers over one for GrabCut+. By the wall clock it means something on a
    machine that does nothing else.

    Args:
        data: folder in VOC's layout.
        seeds: how many times `BATCH` pictures a label maker.
        quick: 4 pictures of a quarter of the size, and no speed-up: a look at the table.
    """
    one_thread()
    count = 4 if quick else BATCH * seeds
    some = _annotations(VOC(data, "train"), count)
    if quick:
        some = some.shrunk(125)
    rows = [_row(name, some) for name in tqdm(MAKERS, desc="label makers", leave=False)]
    rows.append(_crf_row(some))
    settings: dict[str, Any] = {"pictures": len(some), "size": SIZE, "threads": 1}
    if not quick:
        settings |= _speed_up(data)
        _results.save("labels", rows, settings)
    return "\n".join(_table(rows, settings))


def core_hours(seconds: float, pictures: int) -> float:
    """Hours of one core for so many pictures.

    Args:
        seconds: a picture.
        pictures: how many.
    """
    return seconds * pictures / 3600


def _annotations(voc: VOC, count: int) -> BoxAnnotations:
    """The first pictures of the wanted size, lying or standing."""
    parts: list[tuple] = []
    for k in range(len(voc)):
        if sorted(voc.size(k)) == sorted(SIZE):
            parts.append((voc.image(k), *voc.objects(k)))
        if len(parts) == count:
            break
    return BoxAnnotations(*zip(*parts, strict=True))


def _row(name: str, some: BoxAnnotations) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first_labels(name, some.part(slice(2)), cache=False)  # whatever is loaded on first use
        start = time.process_time()
        first_labels(name, some, cache=False)
    return {
        "maker": RECIPES[name].title,
        "recipe": name,
        "seconds": (time.process_time() - start) / len(some),
    }


def _crf_row(some: BoxAnnotations, classes: int = 21) -> dict[str, Any]:
    """The dearest trick between rounds, on filled boxes."""
    labels = first_labels("naive", some, cache=False)
    seconds = 0.0
    for k, (image, boxes, numbers) in enumerate(zip(some.images, some.boxes, some.classes, strict=True)):
        flat = np.full((classes, *labels[k].shape), 1 / classes, np.float32)
        view = View(image, np.asarray(boxes, np.int64), numbers, labels[k], flat)
        start = time.process_time()
        crf_boundaries(labels[k], view)
        seconds += time.process_time() - start
    return {"maker": CRF, "recipe": None, "seconds": seconds / len(some)}


def _speed_up(
    data: str | Path, recipe: str = "grabcut_plus", parts: int = 20, size: int = 8
) -> dict[str, Any]:
    """One and two workers for the same parts: seconds by the wall clock, and of the busiest one's processor.

    The second is what the wall clock would show if nothing else ran: it leaves out who waits for whom.
    """
    found: dict[str, Any] = {
        "cores": os.cpu_count(),
        "speed_up_recipe": recipe,
        "speed_up_pictures": parts * size,
    }
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            tasks = [
                LabelTask(recipe, str(data), "train", tuple(range(k * size, k * size + size)), folder)
                for k in range(parts)
            ]
            start = time.perf_counter()
            busy: dict[int, float] = {}
            for value, error in mapped(_timed_labels, tasks, workers):
                if value is None:
                    raise RuntimeError(f"a part of the labels failed: {error}") from error
                busy[value[0]] = busy.get(value[0], 0.0) + value[1]
            found[f"wall_{workers}"] = time.perf_counter() - start
            found[f"busiest_{workers}"] = max(busy.values())
    found["speed_up_wall"] = found["wall_1"] / found["wall_2"]
    found["speed_up_busiest"] = found["busiest_1"] / found["busiest_2"]
    return found


def _timed_labels(task: LabelTask) -> tuple[int, float]:
    """A part's labels; number of the process and its processor seconds for them."""
    start = time.process_time()
    write_labels(task)
    return os.getpid(), time.process_time() - start


def _table(rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[str]:
    lines = [
        f"{settings['pictures']} pictures of {SIZE[1]} x {SIZE[0]}, one thread, torch {torch.__version__}; "
        f"environment: {', '.join(THREADS[:2])} = 1.",
        "",
    ]
    head = ["label maker", "CPU s a picture", *(f"{name}, core-hours" for name in SETS)]
    cells = []
    for row in rows:
        hours = (f"{core_hours(row['seconds'], count):,.1f}" for count in SETS.values())
        cells.append([row["maker"], f"{row['seconds']:.3f}", *hours])
    lines.append(markdown.table(head, cells))
    if "speed_up_wall" in settings:
        lines += [
            "",
            f"{settings['speed_up_pictures']} pictures, {settings['speed_up_recipe']}, two workers beside "
            f"one: {settings['speed_up_wall']:.2f} times as fast by the wall clock, with the start of the "
            f"processes; {settings['speed_up_busiest']:.2f} by the processor time of the busiest worker.",
        ]
    return lines
