"""How good are labels made from boxes, and what do they cost? Beside OpenCV's GrabCut, on a VOC folder."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ..datasets.voc import CLASSES, VOC, Picture, shrunk
from ..labels.boxes import fill_boxes, inner_boxes, intersect_labels, paint_masks
from ..metrics import label_quality
from ..pixels.edges import boundary_map, hed_edges, hed_weights_path
from ..pixels.grabcut import grabcut_boxes, grabcut_plus_inner, opencv_grabcut
from ..pixels.proposals import best_proposal, proposals

#: One bool mask a box.
MaskMaker = Callable[[Picture], Sequence[np.ndarray]]

OPENCV = "GrabCut, OpenCV"


def run(
    data: str | Path, split: str = "train", pictures: int | None = None, side: int = 256, votes: int = 0
) -> str:
    """Tables of label quality and time on a folder in VOC's layout, as Markdown.

    Args:
        data: the folder.
        split: a list in ImageSets/Segmentation.
        pictures: how many, evenly spread over the split; None: all.
        side: pictures are shrunk to this longer side.
        votes: runs of GrabCut+^i a box; 0 leaves it out (the paper takes about 150).
    """
    voc = VOC(data, split)
    chosen = np.linspace(0, len(voc) - 1, min(pictures or len(voc), len(voc))).astype(int)
    makers, labels, seconds, truth = mask_makers(), {}, {}, []
    for k in tqdm(chosen.tolist(), desc="labels", leave=False):
        picture = shrunk(voc[k], side)
        truth.append(picture.mask)
        for name, made in _labels(picture, makers, votes, seconds):
            labels.setdefault(name, []).append(made)
    lines = [
        f"{len(truth)} pictures of {split}, longer side {side} px, {torch.get_num_threads()} threads.",
        "Means over 20 classes, IoU over 21. Published results are for other sets: do not compare.",
        "",
        "| labels | precision | recall | coverage | IoU | IoU, rest = background | time / OpenCV's |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = {name: maps for name, maps in labels.items() if not name.endswith("\n0")}
    lines += [_row(name, maps, labels.get(name + "\n0"), truth, seconds) for name, maps in rows.items()]
    return "\n".join([*lines, "", *_bounds(voc, chosen, side)])


def mask_makers() -> dict[str, MaskMaker]:
    """The ways to get one mask a box."""

    def opencv(picture: Picture) -> list[np.ndarray]:
        return [opencv_grabcut(picture.image, box) for box in picture.boxes]

    def opencv_or_box(picture: Picture) -> list[np.ndarray]:
        boxes = [fill_boxes([box], [1], picture.mask.shape) == 1 for box in picture.boxes]
        masks = zip(opencv(picture), boxes, strict=True)
        return [mask if mask.sum() >= 0.1 * box.sum() else box for mask, box in masks]

    makers = {
        OPENCV: opencv,
        "GrabCut, OpenCV, the box where it finds under 10 %": opencv_or_box,
        "GrabCut": lambda p: grabcut_boxes(p.image, p.boxes).masks,
        "GrabCut+": lambda p: grabcut_boxes(p.image, p.boxes, boundary_map(p.image)).masks,
        "MCG": _best,
    }
    try:
        hed_weights_path()
    except FileNotFoundError:
        return makers
    return makers | {"GrabCut+, HED": lambda p: grabcut_boxes(p.image, p.boxes, hed_edges(p.image)).masks}


def _best(picture: Picture) -> list[np.ndarray]:
    hierarchy = proposals(picture.image)
    return [best_proposal(hierarchy, box).mask for box in picture.boxes]


def _labels(picture: Picture, makers: dict[str, MaskMaker], votes: int, seconds: dict) -> Iterator:
    """Names and label maps; a name that ends in 0 on a second line has the rest of the box as background."""
    where = picture.boxes, picture.classes, picture.mask.shape
    yield "Box (filled)", fill_boxes(*where)
    yield "Box^i (20 % of the area)", inner_boxes(*where)
    made = {}
    for name, maker in makers.items():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # falling back to the box is counted in the quality
            masks = maker(picture)
        seconds.setdefault(name, []).append(time.perf_counter() - start)
        made[name] = paint_masks(masks, *where)
        yield name, made[name]
        yield name + "\n0", paint_masks(masks, *where, outside_label=0)
    yield "M∩G+", intersect_labels(made["MCG"], made["GrabCut+"], picture.boxes)
    if votes:
        start = time.perf_counter()
        edges = boundary_map(picture.image)
        yield "GrabCut+^i", grabcut_plus_inner(picture.image, *where[:2], edges, runs=votes)
        seconds.setdefault("GrabCut+^i", []).append(time.perf_counter() - start)


def _row(name: str, maps: list, background: list | None, truth: list, seconds: dict) -> str:
    quality = label_quality(maps, truth, len(CLASSES))
    means = (np.nanmean(array[1:]) for array in (quality.precision, quality.recall, quality.coverage))
    cells = [*means, quality.mean_iou]
    cells += [label_quality(background, truth, len(CLASSES)).mean_iou] if background else []
    shown = [f"{100 * cell:.1f}" for cell in cells] + ([] if background else [""])
    ratio = f"{sum(seconds[name]) / sum(seconds[OPENCV]):.2f}" if name in seconds else ""
    return f"| {name} | {' | '.join(shown)} | {ratio} |"


def _bounds(voc: VOC, chosen: np.ndarray, side: int, most: int = 20) -> list[str]:
    """Lines on the relaxation beside the exact cut, on the first few pictures."""
    gaps, other, times = [], [], np.zeros(2)
    for k in chosen[:most].tolist():
        picture = shrunk(voc[k], side)
        found = []
        for method, exact in enumerate((False, True)):
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(grabcut_boxes(picture.image, picture.boxes, exact=exact))
            times[method] += time.perf_counter() - start
        relaxed, exact = found
        areas = _areas(picture)
        gaps += ((relaxed.energy - relaxed.bound) / areas)[np.isfinite(relaxed.energy)].tolist()
        other += ((relaxed.masks != exact.masks).sum((1, 2)) / areas).tolist()
    return [
        f"Relaxed cut, {len(gaps)} boxes: energy over bound {np.median(gaps):.1e} nats a pixel (median), "
        f"{np.max(gaps):.1e} (most); other than the exact cut: {np.mean(other):.2%} of the boxes' pixels; "
        f"{times[0] / times[1]:.2f} of its time.",
    ]


def _areas(picture: Picture) -> np.ndarray:
    """Area of each box inside the picture, in pixels, at least 1."""
    return np.array(
        [max(1, (fill_boxes([box], [1], picture.mask.shape) == 1).sum()) for box in picture.boxes]
    )
