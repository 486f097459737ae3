"""How cost grows: processor time and memory for sizes and counts that are doubled five times."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..datasets.photos import photo
from ..evidence import cam
from ..kit import markdown
from ..kit.parallel import one_thread
from ..kit.storage import data_dir, write_atomic
from ..labels.interchange import Labelled, read_coco, write_coco
from ..labels.label_file import LabelFile
from ..learning.features import features
from ..models import MEAN, STD, load_classifier
from ..pixels.crf import mean_field, unary_from_labels
from ..pixels.grabcut import grabcut_boxes
from ..pixels.proposals import proposals
from . import _results

DOUBLINGS = 5
#: Exponent above which a cost counts as growing faster than n log n: that has 1.1 over such a range.
MAX_EXPONENT = 1.2

#: Number n -> the work itself, ready to be timed.
Prepare = Callable[[int], Callable[[], object]]


def _picture(pixels: int) -> NDArray[np.uint8]:
    """A photograph of about so many pixels, four to three."""
    height = max(8, round((pixels * 3 / 4) ** 0.5))
    size = round(height * 4 / 3), height
    return np.asarray(cv2.resize(photo("astronaut"), size, interpolation=cv2.INTER_AREA), np.uint8)


def _cam(pixels: int) -> Callable[[], object]:
    model = load_classifier(device="cpu")
    image = (torch.from_numpy(_picture(pixels)).permute(2, 0, 1)[None].float() - MEAN) / STD
    return lambda: cam(model, image, 0)


def _grabcut_pixels(pixels: int) -> Callable[[], object]:
    image = _picture(pixels)
    height, width = image.shape[:2]
    boxes = np.array([(width // 6, height // 6, width * 5 // 6, height * 5 // 6)])
    return lambda: grabcut_boxes(image, boxes)


def _grabcut_boxes(count: int) -> Callable[[], object]:
    image, rng = _picture(120_000), np.random.default_rng(0)
    corners = rng.uniform(0, 0.6, (count, 2)) * (400, 300)
    boxes = np.concatenate([corners, corners + np.array([100, 90])], 1)
    return lambda: grabcut_boxes(image, boxes)


def _proposals(pixels: int) -> Callable[[], object]:
    image = _picture(pixels)
    return lambda: proposals(image)


def _crf_pixels(pixels: int, classes: int = 5) -> Callable[[], object]:
    image = _picture(pixels)
    labels = (image[..., 0] // 64).astype(np.uint8)
    unary = unary_from_labels(labels, classes)
    width = 0.16 * max(labels.shape)  # as the tricks have it
    return lambda: mean_field(unary, image, iterations=5, theta_alpha=width, theta_beta=13.0)


def _crf_classes(classes: int) -> Callable[[], object]:
    image = _picture(10_000)
    unary = unary_from_labels((image[..., 0] % classes).astype(np.uint8), classes)
    return lambda: mean_field(unary, image, iterations=5, theta_alpha=18.0, theta_beta=13.0)


def _features_images(count: int) -> Callable[[], object]:
    images = [_picture(10_000)] * count
    return lambda: features(images, side=128, device="cpu", cache=False)


def _features_pixels(pixels: int) -> Callable[[], object]:
    image = _picture(pixels)
    return lambda: features([image], side=max(image.shape), device="cpu", cache=False)


def _polygon(points: int, name: str = "a") -> dict[str, Any]:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    ring = np.stack([200 + 150 * np.cos(angle), 150 + 100 * np.sin(angle)], 1).round(2).tolist()
    about = {"id": name, "class_index": 1, "milliseconds": 900}
    return about | {"kind": "polygon", "points": ring}


def _coco(pictures: list[Labelled]) -> object:
    with tempfile.TemporaryDirectory() as folder:
        return read_coco(write_coco(Path(folder) / "labels.json", pictures, ["cat"]))


def _coco_pictures(count: int) -> Callable[[], object]:
    labels = tuple(_polygon(20, f"p{k}") for k in range(4))
    pictures = [Labelled(f"{k}.jpg", (300, 400), labels) for k in range(count)]
    return lambda: _coco(pictures)


def _coco_points(points: int) -> Callable[[], object]:
    pictures = [Labelled("a.jpg", (300, 400), (_polygon(points),))]
    return lambda: _coco(pictures)


def _label_file(count: int) -> Callable[[], object]:
    """One more label in a file of so many: what every stroke in the annotator costs."""
    folder = tempfile.mkdtemp(prefix="growth-")
    file = LabelFile(Path(folder) / "a.json", "a", "0" * 16, (300, 400), ("background", "cat"))
    records = [
        {"id": f"r{k}", "edit": k + 1, "by": "me", "label": _polygon(20, f"r{k}")} for k in range(count)
    ]
    file.save(records)
    return lambda: file.save([{"id": "new", "edit": count + 2, "by": "me", "label": _polygon(20, "new")}])


#: What is measured: the count that grows, its first value, and how the work is prepared.
CASES: dict[str, tuple[str, int, Prepare]] = {
    "CAM": ("pixels", 25_000, _cam),
    "GrabCut, one box": ("pixels", 25_000, _grabcut_pixels),
    "GrabCut, boxes of one picture": ("boxes", 1, _grabcut_boxes),
    "proposals": ("pixels", 6_250, _proposals),
    "CRF": ("pixels", 5_000, _crf_pixels),
    "CRF, classes": ("classes", 2, _crf_classes),
    "features, one picture": ("pixels", 12_500, _features_pixels),
    "features, pictures": ("pictures", 1, _features_images),
    "COCO out and in, pictures": ("pictures", 25, _coco_pictures),
    "COCO out and in, points of a polygon": ("points", 250, _coco_points),
    "annotator's file, one more label": ("labels", 100, _label_file),
}


def run(quick: bool = False) -> str:
    """Table of processor time, memory and exponents, as Markdown; also in ``docs/results/growth.json``.

    Each measurement has a process of its own, which is forked, so that the memory is the work's alone; on
    systems that cannot fork there is no such figure. An exponent e says that the cost grows as n^e over the
    last three doublings. A run that is broken off goes on with the first case that it lacks, as long as the
    commit is the same.

    Args:
        quick: two doublings, of the smallest counts: a look.
    """
    one_thread()
    if quick:
        return "\n".join(_table([_row(name, 2) for name in tqdm(CASES, desc="growth", leave=False)]))
    begun = data_dir() / "bench" / "growth.json"
    rows = _rows_of(begun)
    for name in tqdm(list(CASES)[len(rows) :], desc="growth", leave=False):
        rows.append(_row(name, DOUBLINGS))
        write_atomic(begun, json.dumps({"commit": _results.commit(), "rows": rows}))
    _results.save("growth", rows, {"doublings": DOUBLINGS, "threads": 1})
    begun.unlink()
    return "\n".join(_table(rows))


def _rows_of(begun: Path) -> list[dict[str, Any]]:
    """The rows of a run of this commit that was broken off."""
    try:
        found = json.loads(begun.read_text())
    except FileNotFoundError:
        return []
    return found["rows"] if found["commit"] == _results.commit() else []


def _row(name: str, doublings: int) -> dict[str, Any]:
    unit, first, prepare = CASES[name]
    sizes = [first * 2**k for k in range(doublings + 1)]
    seconds, memory = zip(*(steady(prepare, n) for n in sizes), strict=True)
    return {
        "case": name,
        "unit": unit,
        "sizes": sizes,
        "seconds": seconds,
        "memory_mb": memory,
        "exponent": exponent(sizes, seconds),
        "memory_exponent": exponent(sizes, memory),
    }


def exponent(sizes: Sequence[int], costs: Sequence[float | None], last: int = 4) -> float | None:
    """The e of n^e that fits the last few costs best (least squares of the logarithms).

    Args:
        sizes: n, rising.
        costs: one a size; None where there is no figure.
        last: how many of them count.

    Returns:
        The exponent; None where a cost is missing or not above 0.

    Example:
        >>> exponent([1, 2, 4, 8], [3.0, 12.0, 48.0, 192.0])
        2.0
    """
    known = [cost for cost in costs[-last:] if cost is not None and cost > 0]
    if len(known) < len(costs[-last:]):
        return None
    x = np.log(np.array(sizes[-last:], float))
    return float(np.polyfit(x, np.log(np.array(known)), 1)[0].round(9))


def steady(prepare: Prepare, n: int, short: float = 1.0) -> tuple[float, float | None]:
    """`measured`, three times where it takes no time: what else the machine does then falls on one of them.

    Args:
        prepare: makes the work.
        n: its size.
        short: seconds below which it is measured again.

    Returns:
        The least of the seconds and of the MB.
    """
    first = measured(prepare, n)
    if first[0] > short:
        return first
    found = [first, measured(prepare, n), measured(prepare, n)]
    memory = [one for _, one in found if one is not None]
    return min(seconds for seconds, _ in found), min(memory, default=None)


def measured(prepare: Prepare, n: int) -> tuple[float, float | None]:
    """Processor seconds of the work, and by how many MB it raised the memory at its highest.

    Args:
        prepare: makes the work; at the top of a module, so that a process can find it.
        n: its size.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return _timed(prepare(n)), None
    # Forked from a process that has loaded the libraries and runs no threads, as this one may.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(prepare, n, there))
    child.start()
    there.close()
    try:
        return here.recv()
    except EOFError as error:
        raise RuntimeError(f"the process that measured n = {n} ended without a figure") from error
    finally:
        child.join()


def _in_child(prepare: Prepare, n: int, answer: Any) -> None:
    warnings.simplefilter("ignore")
    work = prepare(n)
    gc.freeze()  # else a collection looks through all that the libraries hold, once it is called for
    before = _memory("VmRSS") if _reset_peak() else None
    seconds = _timed(work)
    peak = _memory("VmHWM") if before is not None else None
    # what the work leaves is less than a page's noise where it needs next to nothing
    answer.send((seconds, None if peak is None or before is None else max(peak - before, 0.01)))
    answer.close()
    os._exit(0)


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return max(time.process_time() - start, 1e-6)


def _reset_peak() -> bool:
    """Let this process' highest memory begin anew; only Linux can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e3


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "One thread; each figure from a process of its own. Exponents over the last three doublings.",
        "",
    ]
    cells = []
    for row in rows:
        ends = [f"{row[key][0]:.3g} to {row[key][-1]:.3g}" for key in ("seconds", "memory_mb") if row[key][0]]
        powers = ["" if row[k] is None else f"{row[k]:.2f}" for k in ("exponent", "memory_exponent")]
        mark = " **" if (row["exponent"] or 0) > MAX_EXPONENT else ""
        sizes = f"{row['sizes'][0]:,} to {row['sizes'][-1]:,} {row['unit']}"
        memory = ends[1] if len(ends) > 1 else ""
        cells.append([row["case"], sizes, ends[0], powers[0] + mark, memory, powers[1]])
    lines.append(markdown.table(["what", "n", "CPU seconds", "exponent", "MB", "exponent"], cells))
    if any((row["exponent"] or 0) > MAX_EXPONENT for row in rows):
        lines += ["", "** grows faster than n log n."]
    return lines
