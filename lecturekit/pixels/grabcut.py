"""GrabCut: from a box to a mask, by colour and by boundaries.

Two mixtures of Gaussians say what colours the object and its surroundings have. A cost between neighbours
says that the outline should run where colours change (Rother, Kolmogorov and Blake, SIGGRAPH 2004), and where
a boundary map says so (GrabCut+ of Khoreva et al., CVPR 2017). Colours (`pixels.mixtures`) and mask, a
minimum cut (`pixels.mincut`), are estimated in turns, for many boxes at once and on any device.

Four things differ from the paper. The place in the box counts, too: objects are roundish, so the middle of a
box is the likeliest to be the object and its corners the least. So do contrasts on the way: what can be
reached from outside the box without crossing one is hardly the object. There are two starts, the paper's and
one by place and contrasts, and the last cut goes by the colours of both. And the turns are taken at a small
size; then the outline alone is cut once more at a larger one. `opencv_grabcut` is the paper's method.

All this takes boxes to be tight. If they were drawn with room, say how much by ``loose``; `looseness`
estimates it from the boxes of a data set. With ``loose=None`` it is judged picture by picture, which is less
sure (`pixels._room`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..kit.checks import number, whole
from ..kit.devices import pick_device
from ..kit.images import checked_image, checked_images
from ..labels.boxes import (
    checked_boxes,
    clip_boxes,
    inside_picture,
    paint_masks,
    paint_order,
    tighten,
    window,
)
from ..labels.label_map import BACKGROUND, IGNORE
from . import _boxcut
from ._boxcut import Edges, Settings
from ._room import GAPS, LOOSE, gaps_of, room_by


class GrabCuts(NamedTuple):
    """One mask a box."""

    masks: NDArray[np.bool_]  #: (N, H, W); nothing outside the box
    energy: NDArray[np.float32]  #: (N,) of the last cut of all pixels; NaN where there was none
    bound: NDArray[np.float32]  #: (N,) no mask has less energy for the same colours
    fell_back: NDArray[np.bool_]  #: (N,) True: no usable cut, the mask is the whole box
    loose: float  #: how loosely the boxes were taken to be drawn


def grabcut(
    image: NDArray[np.uint8], box: ArrayLike, edges: Edges | None = None, **options: Any
) -> NDArray[np.bool_]:
    """The object in a box; with `edges` it is GrabCut+.

    A box of one colour, one that leaves no background in the image, or one in which next to nothing is found
    is returned as it is, with a warning.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        box: x0, y0, x1, y1 in pixels, half open. An empty one, or one outside the image, has an empty mask.
        edges: boundary map ``(H, W)``, 0..1, that has a say in where the outline runs beside the contrast of
            colours. Thin ridges place the outline best. Or the function that makes one, such as
            `edges.boundary_map`: it is called for the box alone, at the size at which the box is cut.
        options: of `grabcut_images`, for instance ``strength``.

    Returns:
        bool ``(H, W)``.

    Raises:
        TypeError: no array, or an option that there is not.
        ValueError: an image, box, edges or option of another kind.

    Example:
        >>> y, x = np.indices((40, 40))
        >>> disc = np.hypot(x - 20, y - 20) < 12
        >>> image = np.where(disc[..., None], (200, 60, 40), (60, 90, 160)).astype(np.uint8)
        >>> mask = grabcut(image, (8, 8, 33, 33))
        >>> bool((mask == disc).mean() > 0.99)
        True
    """
    return grabcut_boxes(image, [box], edges, **options).masks[0]


def grabcut_boxes(
    image: NDArray[np.uint8], boxes: ArrayLike, edges: Edges | None = None, **options: Any
) -> GrabCuts:
    """GrabCut in each box of an image, all at once.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        boxes: ``(N, 4)`` in pixels, half open.
        edges: as in `grabcut`.
        options: of `grabcut_images`.

    Raises:
        TypeError: as `grabcut`.
        ValueError: as `grabcut`.

    Example:
        >>> image = np.full((20, 30, 3), 128, np.uint8)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     grabcut_boxes(image, [(5, 5, 15, 15)]).fell_back  # one colour: the mask is the box
        array([ True])
    """
    return grabcut_images([checked_image(image)], [boxes], None if edges is None else [edges], **options)[0]


def grabcut_labels(
    image: NDArray[np.uint8],
    boxes: ArrayLike,
    classes: ArrayLike,
    edges: Edges | None = None,
    outside_label: int = IGNORE,
    **options: Any,
) -> NDArray[np.uint8]:
    """GrabCut in every box -> one label map ``uint8 (H, W)``, smaller boxes in front.

    A warning names the boxes that were taken whole; `GrabCuts.fell_back` of `grabcut_boxes` lists them.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        boxes: ``(N, 4)`` in pixels, half open.
        classes: N whole numbers, 1..254.
        edges: as in `grabcut`.
        outside_label: label of the pixels of a box that its mask leaves out, 255 (ignore) or 0 (background).
        options: of `grabcut_images`.

    Raises:
        TypeError: as `grabcut`, or classes that are no whole numbers.
        ValueError: as `grabcut`, or classes or a label out of range.
    """
    size = checked_image(image).shape[:2]
    clipped, names = checked_boxes(boxes, classes, size)
    masks = grabcut_boxes(image, clipped, edges, **options).masks
    return paint_masks(masks, clipped, names, size, outside_label)


def grabcut_images(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    boxes: Sequence[ArrayLike],
    edges: Sequence[Edges] | None = None,
    *,
    device: str | torch.device = "cpu",
    **options: Any,
) -> list[GrabCuts]:
    """GrabCut in the boxes of several images, batched.

    Boxes of similar size, of whatever image, are cut together: on a GPU give many images at once.

    Args:
        images: uint8 RGB ``(H, W, 3)`` each; sizes may differ.
        boxes: as many arrays ``(N, 4)``, in pixels, half open.
        edges: as many boundary maps or functions, as in `grabcut`, or None.
        device: where to compute; another one, with a warning, where it is not there.
        options: strength, margin, components, rounds, min_fill, side, fine_side, exact, cut_off and
            loose, as `Settings` of `pixels._boxcut` explains them.

    Returns:
        One `GrabCuts` an image.

    Raises:
        TypeError: no arrays, or an option that there is not.
        ValueError: images, boxes, edges or an option of another kind.
    """
    settings = Settings(**options)
    device = pick_device(device)
    images = checked_images(images)
    if len(boxes) != len(images) or (edges is not None and len(edges) != len(images)):
        raise ValueError(
            f"boxes and edges must be one an image, got {len(boxes)} boxes, {len(images)} images"
        )
    maps = [_map(edges[i] if edges else None, image.shape[:2]) for i, image in enumerate(images)]
    given = settings.loose or 0.0
    cuts = _cut_images(images, boxes, maps, given, settings, device)
    if settings.loose is None:
        rooms = [_room(cut, b, image.shape[:2]) for cut, b, image in zip(cuts, boxes, images, strict=True)]
        for room in LOOSE[1:]:
            some = [i for i, found in enumerate(rooms) if found == room]
            parts = [images[i] for i in some], [boxes[i] for i in some], [maps[i] for i in some]
            for i, cut in zip(some, _cut_images(*parts, room, settings, device), strict=True):
                cuts[i] = cut
    _tell(cuts)
    return cuts


def grabcut_votes(
    image: NDArray[np.uint8],
    boxes: ArrayLike,
    edges: Edges | None = None,
    *,
    runs: int = 150,
    jitter: float = 0.05,
    margins: tuple[float, float] = (0.1, 0.6),
    seed: int = 0,
    device: str | torch.device = "cpu",
    **options: Any,
) -> NDArray[np.float32]:
    """How often a pixel is foreground when box and surroundings are changed a little, run by run.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        boxes: ``(N, 4)`` in pixels, half open.
        edges: as in `grabcut`.
        runs: how many.
        jitter: each side of the box moves by up to this share of the box's width or height.
        margins: least and greatest width of the band outside the box that gives the background's colours, in
            widths and heights of the box.
        seed: of the changes.
        device: as in `grabcut_images`.
        options: as in `grabcut_images`; two rounds a run and a ``cut_off`` of 0 by default. Votes are counted
            at ``side`` and enlarged.

    Returns:
        ``float32 (N, H, W)``: share of the votes, 0 outside each box. NaN where no run said anything (the
        whole box: of one colour, no background in the image, or all masks less than a tenth).

    Raises:
        TypeError: as `grabcut`.
        ValueError: as `grabcut`.
    """
    size = checked_image(image).shape[:2]
    options = {"rounds": 2, "cut_off": 0.0} | options  # contrasts on the way would make all runs alike
    settings = Settings(**options)
    runs = whole("runs", runs, 1)
    jitter = number("jitter", jitter, 0)
    low, high = (number("margins", margin, 0) for margin in margins)
    device = pick_device(device)
    ridges, loose = _map(edges, size), settings.loose
    if loose is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # votes have no whole boxes to tell of
            loose = grabcut_boxes(image, boxes, edges, device=device, **options).loose
    clipped = tighten(boxes, loose, size)
    rng = np.random.default_rng(seed)
    votes = np.zeros((len(clipped), *size), np.float32)
    for k in _sizes(clipped, settings.side):
        scene = _boxcut.scene_of(image, clipped, k, ridges, settings.side, high + 2 * jitter)
        moved = _jittered(scene.box, jitter, runs, rng, scene.others.shape)
        bands = rng.uniform(low, high, runs)
        tasks = {r: _boxcut.task_of(scene, moved[r], bands[r]) for r in range(runs)}
        usable = {r: task for r, task in tasks.items() if task is not None}
        count = 0
        total = np.zeros(scene.others.shape, np.float32)
        for batch in _boxcut.batches({r: task.odds.shape for r, task in usable.items()}, device):
            masks = _boxcut.separate([usable[r] for r in batch], settings, device).cut.mask.cpu().numpy()
            for r, mask in zip(batch, masks, strict=True):
                core = mask[usable[r].core]
                if core.mean() >= settings.min_fill:
                    count += 1
                    total[window(moved[r])] += core
        share = total[window(scene.box)] / count if count else total[window(scene.box)] + np.nan
        votes[k][window(clipped[k])] = cv2.resize(share, (clipped[k][2:] - clipped[k][:2]).tolist())
    return votes


def grabcut_plus_inner(
    image: NDArray[np.uint8],
    boxes: ArrayLike,
    classes: ArrayLike,
    edges: Edges | None = None,
    *,
    foreground: float = 0.7,
    background: float = 0.2,
    **options: Any,
) -> NDArray[np.uint8]:
    """GrabCut+^i of "Simple Does It": pixels on which the runs of `grabcut_votes` agree, the rest ignored.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        boxes: ``(N, 4)`` in pixels, half open.
        classes: N whole numbers, 1..254.
        edges: as in `grabcut`.
        foreground: at least this share of the votes makes a pixel foreground.
        background: less than this share makes a pixel of the box background.
        options: of `grabcut_votes`.

    Returns:
        ``uint8 (H, W)``, smaller boxes in front; where a box calls a pixel background, the one behind shows.

    Raises:
        TypeError: as `grabcut_labels`.
        ValueError: as `grabcut_labels`, or shares that are not 0 <= background <= foreground <= 1.
    """
    clipped, names = checked_boxes(boxes, classes, checked_image(image).shape[:2])
    if not 0 <= background <= foreground <= 1:
        raise ValueError(f"background <= foreground must lie in 0..1, got {background!r}, {foreground!r}")
    votes = grabcut_votes(image, clipped, edges, **options)
    labels = np.full(image.shape[:2], BACKGROUND, np.uint8)
    for k in paint_order(clipped, names):
        part = labels[window(clipped[k])]
        share = votes[k][window(clipped[k])]
        part[~(share < background)] = IGNORE
        part[share >= foreground] = names[k]
    return labels


def looseness(images: Sequence[NDArray[np.uint8]], boxes: Sequence[ArrayLike], **options: Any) -> float:
    """How loosely the boxes of a data set are drawn: the value for the option ``loose``.

    Coarse masks of tight boxes keep a small distance from the boxes' sides, and those of loose boxes a larger
    one (`GAPS`). A single mask says little, and the mean of many a lot: give at least twenty boxes that were
    drawn in the same manner.

    Args:
        images: uint8 RGB ``(H, W, 3)`` each.
        boxes: as many arrays ``(N, 4)``, in pixels, half open.
        options: of `grabcut_images`.

    Returns:
        How far the sides lie outside the objects, in widths and heights of the objects, 0 to .2. 0 where no
        box tells anything. Sides on the border of the picture do not count.

    Raises:
        TypeError: as `grabcut_images`.
        ValueError: as `grabcut_images`, or other numbers of images and of arrays of boxes.
    """
    images = checked_images(images)
    if len(boxes) != len(images):
        raise ValueError(f"boxes must be one an image, got {len(boxes)} boxes, {len(images)} images")
    gaps = []
    for image, given in zip(images, boxes, strict=True):
        clipped = clip_boxes(given, image.shape[:2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # boxes that were taken whole are left out
            coarse: dict[str, Any] = {**options, "fine_side": 0, "loose": 0.0}
            cuts = grabcut_boxes(image, clipped, **coarse)
        gaps += _gaps(cuts, clipped, image.shape[:2])
    gap = np.concatenate(gaps) if gaps else np.zeros(0)
    return float(np.interp(gap.mean(), GAPS, LOOSE)) if gap.size else 0.0


def opencv_grabcut(
    image: NDArray[np.uint8], box: ArrayLike, rounds: int = 5, seed: int = 0
) -> NDArray[np.bool_]:
    """OpenCV's GrabCut as a reference: bool mask ``(H, W)``.

    Its mixtures start from random clusters, so OpenCV's generator is set before each call. Where it would
    crash (a box that is empty, covers the image or holds too few pixels to cluster), the box is the mask.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        box: as in `grabcut`.
        rounds: of fitting colours and cutting.
        seed: of the clusters.

    Raises:
        TypeError: no array.
        ValueError: an image, box or number of another kind.
    """
    (clipped,) = clip_boxes([box], checked_image(image).shape[:2])
    rounds, seed = whole("rounds", rounds, 1), whole("seed", seed)
    mask = np.zeros(image.shape[:2], np.uint8)
    inside = mask[window(clipped)]
    if min(inside.size, mask.size - inside.size) < 5:
        inside[:] = cv2.GC_PR_FGD
    else:
        cv2.setRNGSeed(seed)
        rectangle = [*clipped[:2].tolist(), *(clipped[2:] - clipped[:2]).tolist()]
        ours, theirs = np.zeros((2, 1, 65))
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        try:
            cv2.grabCut(bgr, mask, rectangle, ours, theirs, rounds, cv2.GC_INIT_WITH_RECT)
        except cv2.error:
            inside[:] = cv2.GC_PR_FGD
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


def _cut_images(
    images: Sequence[NDArray[np.uint8]],
    boxes: Sequence[ArrayLike],
    maps: Sequence[Edges | None],
    loose: float,
    settings: Settings,
    device: torch.device,
) -> list[GrabCuts]:
    """GrabCut in boxes that are as loose as that."""
    clipped = [tighten(b, loose, image.shape[:2]) for b, image in zip(boxes, images, strict=True)]
    cuts = [_nothing(len(b), image.shape[:2], loose) for b, image in zip(clipped, images, strict=True)]
    sizes = {(i, k): size for i, b in enumerate(clipped) for k, size in _sizes(b, settings.side).items()}
    # Boxes are prepared a batch at a time: memory is that of a batch, however many boxes there are.
    for batch in _boxcut.batches(sizes, device):
        scenes = {(i, k): _scene(images[i], clipped[i], k, maps[i], settings) for i, k in batch}
        tasks = {key: _boxcut.task_of(scene, scene.box, settings.margin) for key, scene in scenes.items()}
        usable = {key: task for key, task in tasks.items() if task is not None}
        if usable:
            separated = _boxcut.separate(list(usable.values()), settings, device)
            for b, (i, k) in enumerate(usable):
                cuts[i].energy[k] = separated.cut.energy[b]
                cuts[i].bound[k] = separated.cut.bound[b]
                where = usable[i, k].core
                core = separated.cut.mask[b].cpu().numpy()[where]
                if core.mean() >= settings.min_fill:
                    evidence = separated.evidence(b, where)
                    mask = _fine(core, scenes[i, k], images[i], clipped[i], k, maps[i], evidence, settings)
                    cuts[i].masks[k][window(clipped[i][k])] = mask
    for i, k in sizes:
        part = cuts[i].masks[k][window(clipped[i][k])]
        if part.mean() < max(settings.min_fill, 1e-9):
            part[:] = True
            cuts[i].fell_back[k] = True
    return cuts


def _room(cuts: GrabCuts, boxes: ArrayLike, size: tuple[int, int]) -> float:
    """How loosely a picture's boxes seem to be drawn, by the masks in them."""
    gaps = _gaps(cuts, clip_boxes(boxes, size), size)
    return room_by(np.concatenate(gaps)) if gaps else 0.0


def _gaps(cuts: GrabCuts, clipped: NDArray[np.int64], size: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Gaps of the masks that are no whole boxes, without those to sides on the picture's border."""
    inner = inside_picture(clipped, size)
    found = np.flatnonzero(~cuts.fell_back & cuts.masks.any((1, 2)))
    return [gaps_of(cuts.masks[k][window(clipped[k])])[inner[k]] for k in found]


def _nothing(boxes: int, size: tuple[int, int], loose: float) -> GrabCuts:
    energy, bound = np.full((2, boxes), np.nan, np.float32)
    return GrabCuts(np.zeros((boxes, *size), bool), energy, bound, np.zeros(boxes, bool), loose)


def _map(edges: Edges | None, size: tuple[int, int]) -> Edges | None:
    return edges if edges is None or callable(edges) else _boxcut.checked_edges(edges, size)


def _sizes(boxes: NDArray[np.int64], side: int) -> dict[int, tuple[int, int]]:
    """Height and width at which each box is worked on; those that are empty are left out."""
    sides = boxes[:, 2:] - boxes[:, :2]
    scaled = np.ceil(sides * np.minimum(1, side / sides.max(1, initial=1))[:, None]).astype(int)
    return {int(k): (scaled[k, 1], scaled[k, 0]) for k in np.flatnonzero((sides > 0).all(1))}


def _scene(
    image: NDArray[np.uint8], boxes: NDArray[np.int64], k: int, edges: Edges | None, settings: Settings
) -> _boxcut.Scene:
    return _boxcut.scene_of(image, boxes, k, edges, settings.side, settings.margin)


def _fine(
    core: NDArray[np.bool_],
    scene: _boxcut.Scene,
    image: NDArray[np.uint8],
    boxes: NDArray[np.int64],
    k: int,
    edges: Edges | None,
    evidence: _boxcut.Evidence,
    settings: Settings,
) -> NDArray[np.bool_]:
    """A box's mask at the box's size, its outline cut again where the first cut was at a smaller one."""
    width, height = (boxes[k][2:] - boxes[k][:2]).tolist()
    if core.shape == (height, width):
        return core
    if settings.fine_side > settings.side:
        finer = _boxcut.scene_of(image, boxes, k, edges, settings.fine_side, 0)
        core = _boxcut.sharpened(core, scene.scale, finer, evidence, settings.strength)
    return cv2.resize(core.astype(np.float32), (width, height)) >= 0.5


def _jittered(
    box: NDArray[np.int64], jitter: float, runs: int, rng: np.random.Generator, size: tuple[int, ...]
) -> NDArray[np.int64]:
    """``(runs, 4)``: the box with each side moved at random, at least one pixel wide and high."""
    sides = np.tile(box[2:] - box[:2], 2)
    moved = np.floor(box + rng.uniform(-jitter, jitter, (runs, 4)) * sides + 0.5).astype(np.int64)
    limit = np.array([size[1], size[0]])
    start = moved[:, :2].clip(0, limit - 1)
    return np.concatenate([start, np.clip(moved[:, 2:], start + 1, limit)], 1)


def _tell(cuts: list[GrabCuts]) -> None:
    """A warning that names the boxes that were taken whole."""
    whole_boxes = [f"{k} of image {i}" for i, cut in enumerate(cuts) for k in np.flatnonzero(cut.fell_back)]
    if whole_boxes:
        named = ", ".join(whole_boxes[:8]) + (" ..." if len(whole_boxes) > 8 else "")
        warnings.warn(
            f"GrabCut fell back to the whole box for {len(whole_boxes)} of "
            f"{sum(len(cut.fell_back) for cut in cuts)} boxes, where colours tell nothing (box {named}): see "
            "fell_back",
            stacklevel=3,
        )
