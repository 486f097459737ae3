"""How good are labels made from boxes, and what do they cost? Beside OpenCV's GrabCut, on a VOC folder."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..datasets.voc import CLASSES, VOC, Picture, shrunk
from ..labels.boxes import clip_boxes, fill_boxes, inner_boxes, intersect_labels, paint_masks, window
from ..labels.label_map import IGNORE
from ..metrics import label_quality
from ..pixels.edges import boundary_map, hed_edges, hed_weights_path
from ..pixels.grabcut import grabcut_boxes, grabcut_plus_inner, looseness, opencv_grabcut
from ..pixels.proposals import best_proposal, proposals
from . import _results

#: One bool mask a box.
MaskMaker = Callable[[Picture], Sequence[NDArray[np.bool_]]]

OPENCV = "GrabCut, OpenCV"
RULE = "GrabCut, OpenCV, the box where it finds under 10 %"
ESTIMATED = "GrabCut+, looseness estimated"
JUDGED = "GrabCut+, looseness judged picture by picture"
#: How far each side of a box is moved out, in widths and heights of the box.
MARGINS = (0.0, 0.05, 0.1, 0.2)
#: From so many pictures at most is estimated how loose the boxes are.
LOOK_AT = 100
#: Two methods differ on an image where their mean IoU does by more than this.
DIFFERENCE = 0.01


def run(
    data: str | Path, split: str = "train", pictures: int | None = None, side: int = 256, votes: int = 0
) -> str:
    """Tables of label quality and time on a folder in VOC's layout, as Markdown and in ``docs/results``.

    Args:
        data: the folder.
        split: a list in ImageSets/Segmentation.
        pictures: how many, evenly spread over the split; None: all.
        side: pictures are shrunk to this longer side.
        votes: runs of GrabCut+^i a box; 0 leaves it out (the paper takes about 150).
    """
    cv2.setNumThreads(torch.get_num_threads())  # the same for all
    makers = mask_makers()
    voc = VOC(data, split)
    chosen = np.linspace(0, len(voc) - 1, min(pictures or len(voc), len(voc))).astype(int)
    labels, overlaps, seconds = defaultdict(list), defaultdict(list), defaultdict(float)
    loose = _looseness(voc, chosen, side)
    truth = []
    for k in tqdm(chosen.tolist(), desc="labels", leave=False):
        picture = shrunk(voc[k], side)
        truth.append(picture.mask)
        for margin in MARGINS:
            clock = seconds if margin == 0 else defaultdict(float)
            estimated: MaskMaker = lambda p, loose=loose[margin]: list(  # noqa: E731
                grabcut_boxes(p.image, p.boxes, boundary_map, loose=loose).masks
            )
            made = _masks(loosened(picture, margin), makers | {ESTIMATED: estimated}, clock)
            for name, masks in made.items():
                overlaps[margin, name].append(object_overlaps(masks, picture))
            if margin == 0:
                for name, label_map in _labels(picture, made, votes, seconds):
                    labels[name].append(label_map)
    names = [name for name in labels if not name.endswith("\n0")]
    rows = [_label_row(n, labels[n], labels.get(n + "\n0"), truth, seconds) for n in names]
    rows += [_object_row(margin, name, overlaps) for margin, name in overlaps]
    about = {"table": "looseness", "method": ESTIMATED}
    rows += [{**about, "margin": margin, "estimate": found} for margin, found in loose.items()]
    settings = {"split": split, "pictures": len(truth), "side": side, "votes": votes}
    _results.save("grabcut", rows, settings | {"threads": torch.get_num_threads()})
    return "\n".join([*_tables(rows, settings), "", *_bounds(voc, chosen, side)])


def mask_makers() -> dict[str, MaskMaker]:
    """The ways to get one mask a box; OpenCV with the rule (`RULE`) follows from two of them."""

    def opencv(picture: Picture) -> list[NDArray[np.bool_]]:
        return [opencv_grabcut(picture.image, box) for box in picture.boxes]

    cached: dict[str, Any] = {"image": None}  # the hierarchy of an image serves all of its boxes and margins

    def best(picture: Picture) -> list[NDArray[np.bool_]]:
        if cached["image"] is not picture.image:
            cached.update(image=picture.image, hierarchy=proposals(picture.image))
        inside = zip(picture.boxes, _filled(picture), strict=True)
        return [best_proposal(cached["hierarchy"], box).mask & filled for box, filled in inside]

    makers: dict[str, MaskMaker] = {
        "Box": _filled,
        OPENCV: opencv,
        "GrabCut": lambda p: list(grabcut_boxes(p.image, p.boxes).masks),
        "GrabCut+": lambda p: list(grabcut_boxes(p.image, p.boxes, boundary_map).masks),
        JUDGED: lambda p: list(grabcut_boxes(p.image, p.boxes, boundary_map, loose=None).masks),
        "MCG": best,
    }
    try:
        hed_weights_path()
    except FileNotFoundError:
        return makers
    hed: MaskMaker = lambda p: list(grabcut_boxes(p.image, p.boxes, hed_edges(p.image)).masks)  # noqa: E731
    return makers | {"GrabCut+, HED": hed}


def loosened(picture: Picture, margin: float) -> Picture:
    """The picture with every side of its boxes moved out by a share of the box's width or height."""
    sides = np.tile(picture.boxes[:, 2:] - picture.boxes[:, :2], 2)
    return replace(picture, boxes=picture.boxes + sides * margin * np.array([-1, -1, 1, 1]))


def object_overlaps(masks: Sequence[NDArray[np.bool_]], picture: Picture) -> NDArray[np.float64]:
    """IoU of each object's mask with its class inside its tight box.

    The truth has classes and no objects, so boxes that another of their class touches are left out, and those
    with a side under 16 pixels or with under a twentieth of their class.
    """
    boxes = clip_boxes(picture.boxes, picture.mask.shape)
    known = picture.mask != IGNORE
    overlaps = []
    for k, box in enumerate(boxes):
        same = np.flatnonzero(picture.classes == picture.classes[k])
        apart = (boxes[same, :2] >= box[2:]).any(1) | (boxes[same, 2:] <= box[:2]).any(1)
        thing = np.zeros(known.shape, bool)
        thing[window(box)] = picture.mask[window(box)] == picture.classes[k]
        if apart.sum() < len(same) - 1 or (box[2:] - box[:2]).min() < 16:
            continue
        if thing.sum() >= 0.05 * np.prod(box[2:] - box[:2]):
            overlaps.append((masks[k] & thing).sum() / ((masks[k] | thing) & known).sum())
    return np.array(overlaps)


def _looseness(voc: VOC, chosen: NDArray[np.int64], side: int) -> dict[float, float]:
    """How loose boxes are thought to be, by how loose they are; all of a margin are looked at together."""
    pictures = [shrunk(voc[k], side) for k in chosen[:: max(1, len(chosen) // LOOK_AT)].tolist()]
    images = [picture.image for picture in pictures]
    return {m: looseness(images, [loosened(p, m).boxes for p in pictures]) for m in MARGINS}


def _filled(picture: Picture) -> list[NDArray[np.bool_]]:
    return [fill_boxes([box], [1], picture.mask.shape) == 1 for box in picture.boxes]


def _masks(
    picture: Picture, makers: dict[str, MaskMaker], seconds: dict[str, float]
) -> dict[str, Sequence[NDArray[np.bool_]]]:
    """What every maker makes of a picture; its processor time is added to `seconds`."""
    made = {}
    for name, maker in makers.items():
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # falling back to the box is counted in the quality
            made[name] = maker(picture)
        seconds[name] += time.process_time() - start
    pairs = zip(made[OPENCV], made["Box"], strict=True)
    made[RULE] = [mask if mask.sum() >= 0.1 * box.sum() else box for mask, box in pairs]
    return made


def _labels(picture: Picture, made: dict, votes: int, seconds: dict[str, float]) -> Iterator:
    """Names and label maps; a name with 0 on a second line has background in the rest of the box."""
    where = picture.boxes, picture.classes, picture.mask.shape
    yield "Box^i (20 % of the area)", inner_boxes(*where)
    for name, masks in made.items():
        yield name, paint_masks(masks, *where)
        if name != "Box":
            yield name + "\n0", paint_masks(masks, *where, outside_label=0)
    proposed, cut = (paint_masks(made[name], *where) for name in ("MCG", "GrabCut+"))
    yield "M∩G+", intersect_labels(proposed, cut, picture.boxes)
    if votes:
        start = time.process_time()
        yield "GrabCut+^i", grabcut_plus_inner(picture.image, *where[:2], boundary_map, runs=votes)
        seconds["GrabCut+^i"] += time.process_time() - start


def _label_row(
    name: str, maps: list, background: list | None, truth: list, seconds: dict[str, float]
) -> dict[str, Any]:
    quality = label_quality(maps, truth, len(CLASSES))
    means = {key: np.nanmean(getattr(quality, key)[1:]) for key in ("precision", "recall", "coverage")}
    rest = label_quality(background, truth, len(CLASSES)).mean_iou if background else None
    ratio = seconds[name] / seconds[OPENCV] if name in seconds else None
    return {"table": "labels", "method": name, **means, "iou": quality.mean_iou, "iou_0": rest, "time": ratio}


def _object_row(margin: float, name: str, overlaps: dict) -> dict[str, Any]:
    """Mean over objects, and on how many pictures the method is better or worse than OpenCV with the rule."""
    mine = [o for o in overlaps[margin, name] if len(o)]
    theirs = [o for o in overlaps[margin, RULE] if len(o)]
    values = np.concatenate(mine) if mine else np.array([np.nan])
    differences = np.array([a.mean() - b.mean() for a, b in zip(mine, theirs, strict=True)])
    return {
        "table": "objects",
        "margin": margin,
        "method": name,
        "iou": values.mean(),
        "standard_error": values.std() / len(values) ** 0.5,
        "better": int((differences > DIFFERENCE).sum()),
        "worse": int((differences < -DIFFERENCE).sum()),
        "objects": len(values),
        "pictures": len(mine),
    }


def _tables(rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[str]:
    lines = [
        f"{settings['pictures']} pictures of {settings['split']}, longer side {settings['side']} px, "
        f"{torch.get_num_threads()} threads.",
        "Means over 20 classes, IoU over 21. Published results are for other sets: do not compare.",
        "",
        "| labels | precision | recall | coverage | IoU | IoU, rest = background | time / OpenCV's |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["table"] == "labels":
            keys = ("precision", "recall", "coverage", "iou", "iou_0")
            cells = ["" if row[key] is None else f"{100 * row[key]:.1f}" for key in keys]
            cells.append("" if row["time"] is None else f"{row['time']:.2f}")
            lines.append(f"| {row['method']} | {' | '.join(cells)} |")
    lines += [
        "",
        "Objects with a box of their own: mean IoU ± its standard error, and on how many pictures a method "
        f"is better / worse than OpenCV with the rule by more than {DIFFERENCE}.",
        "",
        "| method | "
        + " | ".join(f"boxes {m:.0%} wider a side" if m else "tight boxes" for m in MARGINS)
        + " |",
        "|---" * (1 + len(MARGINS)) + "|",
    ]
    objects = [row for row in rows if row["table"] == "objects"]
    for name in dict.fromkeys(row["method"] for row in objects):
        cells = [
            f"{r['iou']:.3f} ± {r['standard_error']:.3f}, {r['better']} / {r['worse']}"
            for r in objects
            if r["method"] == name
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    found = [f"{row['estimate']:.3f}" for row in rows if row["table"] == "looseness"]
    return [*lines, "", f"Looseness, estimated from all boxes of a margin: {', '.join(found)}."]


def _bounds(voc: VOC, chosen: NDArray[np.int64], side: int, max_pictures: int = 20) -> list[str]:
    """Lines on the relaxation beside the exact cut, on the first few pictures."""
    gaps, other = [], []
    times = np.zeros(2)
    for k in chosen[:max_pictures].tolist():
        picture = shrunk(voc[k], side)
        cuts = []
        for method, exact in enumerate((False, True)):
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cuts.append(grabcut_boxes(picture.image, picture.boxes, exact=exact))
            times[method] += time.process_time() - start
        relaxed, exact_cut = cuts
        areas = np.array([max(1, filled.sum()) for filled in _filled(picture)])
        gaps += ((relaxed.energy - relaxed.bound) / areas)[np.isfinite(relaxed.energy)].tolist()
        other += ((relaxed.masks != exact_cut.masks).sum((1, 2)) / areas).tolist()
    return [
        f"Relaxed cut, {len(gaps)} boxes: energy over bound {np.median(gaps):.1e} nats a pixel (median), "
        f"{np.max(gaps):.1e} (most); other than the exact cut: {np.mean(other):.2%} of the boxes' pixels; "
        f"{times[0] / times[1]:.2f} of its time.",
    ]
