"""GrabCut: from a box to a mask, by colour and by boundaries.

Two mixtures of Gaussians say what colours the object and its surroundings have. A cost between neighbours
says that the outline should run where colours change (Rother, Kolmogorov and Blake, SIGGRAPH 2004), or where
an edge map says so (GrabCut+ of Khoreva et al., CVPR 2017). Colours (`pixels.mixtures`) and mask, a
minimum cut (`lecturekit.pixels.mincut`), are estimated in turns, for many boxes at once and on any device.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..labels.boxes import checked_boxes, clip_boxes, paint_masks, paint_order, window
from ..labels.label_map import BACKGROUND, IGNORE
from .edges import checked_image
from .mincut import NEIGHBOURS, Cut, exact_min_cut, min_cut, pair_ends
from .mixtures import fit_mixture, log_density

#: Pixels of a box's surroundings that are used; of more, every second, third ... one.
SAMPLE = 8192

#: A box whose colours differ by less than this (in 100 Lab) is of one colour.
ONE_COLOUR = 0.005

#: How steeply an edge lowers the cost of cutting along it.
SHARPNESS = 5.0


class GrabCuts(NamedTuple):
    """One mask a box."""

    masks: np.ndarray  #: bool (N, H, W); nothing outside the box
    energy: np.ndarray  #: (N,) of the last cut; NaN where there was none
    bound: np.ndarray  #: (N,) no mask has less energy for the same colours
    fell_back: np.ndarray  #: bool (N,): True where the mask is the whole box for want of anything better


def grabcut(image: np.ndarray, box: Sequence, edges: np.ndarray | None = None, **options) -> np.ndarray:
    """The object in a box, as a bool mask ``(H, W)``; with `edges` it is GrabCut+.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        box: x0, y0, x1, y1 in pixels, half open. An empty one, or one outside the picture, has an empty mask.
        edges: boundary map ``(H, W)``, 0..1, in place of the contrast of colours between neighbours: for
            instance `lecturekit.pixels.edges.boundary_map`. Thin ridges place the outline best.
        options: of `grabcut_pictures`, for instance ``strength``.

    A box of one colour, one that leaves no background in the picture, or one in which next to nothing is
    found is returned as it is, with a warning.
    """
    return grabcut_boxes(image, [box], edges, **options).masks[0]


def grabcut_boxes(image: np.ndarray, boxes: Sequence, edges: np.ndarray | None = None, **options) -> GrabCuts:
    """GrabCut in each box ``(N, 4)`` of a picture, all at once; the rest as in `grabcut`."""
    return grabcut_pictures([image], [boxes], None if edges is None else [edges], **options)[0]


def grabcut_labels(
    image: np.ndarray,
    boxes: Sequence,
    classes: Sequence,
    edges: np.ndarray | None = None,
    rest: int = IGNORE,
    **options,
) -> np.ndarray:
    """GrabCut in every box -> one label map ``uint8 (H, W)``, smaller boxes in front.

    Args:
        image, boxes, edges, options: as in `grabcut_boxes`.
        classes: N whole numbers, 1..254.
        rest: label of the pixels of a box that its mask leaves out, 255 (ignore) or 0 (background).
    """
    boxes, classes = checked_boxes(boxes, classes, checked_image(image).shape[:2])
    masks = grabcut_boxes(image, boxes, edges, **options).masks
    return paint_masks(masks, boxes, classes, image.shape[:2], rest)


def grabcut_pictures(
    images: Sequence[np.ndarray],
    boxes: Sequence[Sequence],
    edges: Sequence[np.ndarray] | None = None,
    *,
    strength: float = 20.0,
    margin: float = 1.0,
    components: int = 5,
    rounds: int = 5,
    least: float = 0.1,
    side: int = 128,
    exact: bool = False,
    device: str | torch.device = "cpu",
) -> list[GrabCuts]:
    """GrabCut (Rother, Kolmogorov and Blake 2004, section 3) in the boxes of several pictures, batched.

    Boxes of similar size, of whatever picture, are cut together: on a GPU give many pictures at once.

    Args:
        images: uint8 RGB ``(H, W, 3)`` each; sizes may differ.
        boxes: as many arrays ``(N, 4)``, in pixels, half open.
        edges: as many boundary maps ``(H, W)``, 0..1, or None.
        strength: most that a separated pair of neighbours costs, in nats. The paper takes 50.
        margin: how far around the box the background's colours are sampled, in widths and heights of the box.
            Pixels of the other boxes are not taken for background.
        components: Gaussians a mixture.
        rounds: of fitting colours and cutting.
        least: a mask of less than this share of its box is no object; the box is taken.
        side: a box with a longer side is worked on at this size.
        exact: use `exact_min_cut` instead of `min_cut`.
        device: where to compute.

    Returns:
        One `GrabCuts` a picture.

    Raises:
        TypeError, ValueError: images, boxes, edges or an option of another kind.
    """
    _check_options(strength=strength, margin=margin, components=components, rounds=rounds, side=side)
    if len(boxes) != len(images) or len(images if edges is None else edges) != len(images):
        raise ValueError(
            f"boxes and edges must be one a picture, got {len(boxes)} boxes, {len(images)} images"
        )
    sizes = [checked_image(image).shape[:2] for image in images]
    edges = [None] * len(images) if edges is None else list(map(_checked_edges, edges, sizes))
    boxes = list(map(clip_boxes, boxes, sizes))
    found = [_nothing(len(b), size) for b, size in zip(boxes, sizes, strict=True)]
    tasks = {}
    for i, k in _seen(boxes):
        scene = _scene(images[i], boxes[i], k, edges[i], side)
        tasks[i, k] = _task(scene, scene.box, margin)
    for some in _batches(tasks, device):
        cut = _separate([tasks[key] for key in some], strength, components, rounds, exact, device)
        values = zip(some, cut.mask.cpu().numpy(), cut.energy.tolist(), cut.bound.tolist(), strict=True)
        for (i, k), mask, energy, bound in values:
            found[i].energy[k], found[i].bound[k] = energy, bound
            found[i].masks[k][window(boxes[i][k])] = _resized(mask[tasks[i, k].core], boxes[i][k])
    for i, k in tasks:
        part = found[i].masks[k][window(boxes[i][k])]
        if part.mean() < max(least, 1e-9):
            part[:] = found[i].fell_back[k] = True
    if any(f.fell_back.any() for f in found):
        warnings.warn("GrabCut fell back to the box where colours tell nothing: see fell_back", stacklevel=3)
    return found


def grabcut_votes(
    image: np.ndarray,
    boxes: Sequence,
    edges: np.ndarray | None = None,
    *,
    runs: int = 150,
    jitter: float = 0.05,
    margins: tuple[float, float] = (0.1, 0.6),
    seed: int = 0,
    strength: float = 20.0,
    components: int = 5,
    rounds: int = 2,
    side: int = 64,
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """How often a pixel is foreground when box and surroundings are changed a little, run by run.

    Args:
        image, boxes, edges, strength, components, rounds, device: as in `grabcut_pictures`.
        runs: how many.
        jitter: each side of the box moves by up to this share of the box's width or height.
        margins: least and greatest width of the band outside the box that gives the background's colours, in
            widths and heights of the box.
        seed: of the changes.
        side: votes are counted at this size and enlarged.

    Returns:
        ``float32 (N, H, W)``: share of the votes, 0 outside each box. NaN where no run said anything (the
        whole box: of one colour, no background in the picture, or all masks less than a tenth).
    """
    size = checked_image(image).shape[:2]
    boxes, edges = clip_boxes(boxes, size), None if edges is None else _checked_edges(edges, size)
    _check_options(
        strength=strength,
        margin=min(margins),
        jitter=jitter,
        components=components,
        rounds=rounds,
        side=side,
        runs=runs,
    )
    random = np.random.default_rng(seed)
    votes = np.zeros((len(boxes), *size), np.float32)
    for _, k in _seen([boxes]):
        scene = _scene(image, boxes, k, edges, side)
        changed = _jittered(scene.box, jitter, runs, random, scene.colours.shape[:2])
        bands = random.uniform(*margins, runs)
        tasks = {r: _task(scene, changed[r], bands[r]) for r in range(runs)}
        count, total = 0, np.zeros(scene.colours.shape[:2], np.float32)
        for some in _batches(tasks, device):
            cut = _separate([tasks[r] for r in some], strength, components, rounds, False, device)
            for r, mask in zip(some, cut.mask.cpu().numpy(), strict=True):
                mask = mask[tasks[r].core]
                if mask.mean() >= 0.1:
                    count, total[window(changed[r])] = count + 1, total[window(changed[r])] + mask
        share = total[window(scene.box)] / count if count else total[window(scene.box)] + np.nan
        votes[k][window(boxes[k])] = cv2.resize(share, tuple(boxes[k][2:] - boxes[k][:2]))
    return votes


def grabcut_plus_inner(
    image: np.ndarray,
    boxes: Sequence,
    classes: Sequence,
    edges: np.ndarray | None = None,
    *,
    foreground: float = 0.7,
    background: float = 0.2,
    **options,
) -> np.ndarray:
    """GrabCut+^i of "Simple Does It": pixels on which the runs of `grabcut_votes` agree, the rest ignored.

    Args:
        image, boxes, edges, options: as in `grabcut_votes`.
        classes: N whole numbers, 1..254.
        foreground: at least this share of the votes makes a pixel foreground.
        background: less than this share makes a pixel of the box background.

    Returns:
        ``uint8 (H, W)``, smaller boxes in front; where a box calls a pixel background, the one behind shows.
    """
    boxes, classes = checked_boxes(boxes, classes, checked_image(image).shape[:2])
    if not 0 <= background <= foreground <= 1:
        raise ValueError(f"background <= foreground must lie in 0..1, got {background!r}, {foreground!r}")
    votes = grabcut_votes(image, boxes, edges, **options)
    labels = np.full(image.shape[:2], BACKGROUND, np.uint8)
    for k in paint_order(boxes, classes):
        part, share = labels[window(boxes[k])], votes[k][window(boxes[k])]
        part[~(share < background)] = IGNORE
        part[share >= foreground] = classes[k]
    return labels


def opencv_grabcut(image: np.ndarray, box: Sequence, rounds: int = 5, seed: int = 0) -> np.ndarray:
    """OpenCV's GrabCut as a reference: bool mask ``(H, W)``.

    Its mixtures start from random clusters, so OpenCV's generator is set before each call. Where it would
    crash (a box that is empty, covers the picture or holds too few pixels to cluster), the box is the mask.
    """
    (box,) = clip_boxes([box], checked_image(image).shape[:2])
    mask = np.zeros(image.shape[:2], np.uint8)
    inside = mask[window(box)]
    if min(inside.size, mask.size - inside.size) < 5:
        inside[:] = cv2.GC_PR_FGD
    else:
        cv2.setRNGSeed(seed)
        rectangle = (*box[:2].tolist(), *(box[2:] - box[:2]).tolist())
        models = np.zeros((2, 1, 65))
        try:
            cv2.grabCut(image[:, :, ::-1].copy(), mask, rectangle, *models, rounds, cv2.GC_INIT_WITH_RECT)
        except cv2.error:
            inside[:] = cv2.GC_PR_FGD
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


# ----------------------------------------------------------------------------------------- one box, prepared


class _Scene(NamedTuple):
    """A picture at the size at which one of its boxes is worked on."""

    colours: np.ndarray  # (h, w, 3) Lab / 100
    edges: np.ndarray | None  # (h, w)
    others: np.ndarray  # bool (h, w): inside another box
    box: np.ndarray  # (4,)


class _Task(NamedTuple):
    """What the cut of one box needs: the box with a rim of one pixel, and colours from around it."""

    colours: np.ndarray  # (h, w, 3)
    edges: np.ndarray | None  # (h, w)
    core: tuple[slice, slice]  # the box in (h, w); the rest is rim
    around: np.ndarray  # (M, 3)
    stands_for: float  # pixels that each of them stands for


def _nothing(boxes: int, size: tuple[int, int]) -> GrabCuts:
    unknown = np.full((2, boxes), np.nan, np.float32)
    return GrabCuts(np.zeros((boxes, *size), bool), *unknown, np.zeros(boxes, bool))


def _seen(boxes: list[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Picture and position of every box that is not empty."""
    for i, some in enumerate(boxes):
        for k in np.flatnonzero((some[:, 2:] > some[:, :2]).all(1)):
            yield i, int(k)


def _scene(image: np.ndarray, boxes: np.ndarray, k: int, edges: np.ndarray | None, side: int) -> _Scene:
    scale = min(1.0, side / (boxes[k][2:] - boxes[k][:2]).max())
    height, width = (max(1, round(n * scale)) for n in image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        if edges is not None:  # a ridge of one pixel must survive
            edges = cv2.dilate(edges, np.ones((math.ceil(1 / scale),) * 2, np.uint8))
            edges = cv2.resize(edges, (width, height), interpolation=cv2.INTER_NEAREST)
    limit, scaled = np.array([width, height]), np.floor(boxes * scale + 0.5).astype(int)
    start = np.minimum(scaled[:, :2], limit - 1)  # however small the scale, a box keeps one pixel
    end = np.minimum(np.maximum(scaled[:, 2:], start + (boxes[:, 2:] > boxes[:, :2])), limit)
    scaled = np.concatenate([start, end], 1)
    others = np.zeros((height, width), bool)
    for other in np.delete(scaled, k, 0):
        others[window(other)] = True
    colours = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
    return _Scene(colours, edges, others, scaled[k])


def _task(scene: _Scene, box: np.ndarray, margin: float) -> _Task | None:
    """The task of one box; None if the box is of one colour or nothing lies around it."""
    height, width = scene.others.shape
    x0, y0, x1, y1 = box
    sides = box[2:] - box[:2]
    reach = np.maximum(np.ceil(sides * margin), 1).astype(int)
    band = np.array([*(box[:2] - reach), *(box[2:] + reach)]).clip(0, [width, height, width, height])
    outside = np.zeros((height, width), bool)
    outside[window(band)] = True
    outside[window(box)] = False
    free = outside & ~scene.others
    around = scene.colours[free if free.any() else outside]
    inside = scene.colours[window(box)]
    if len(around) == 0 or np.ptp(inside, axis=(0, 1)).max() < ONE_COLOUR:
        return None
    every = math.ceil(len(around) / SAMPLE)
    rim = slice(max(0, y0 - 1), y1 + 1), slice(max(0, x0 - 1), x1 + 1)
    core = slice(y0 - rim[0].start, y1 - rim[0].start), slice(x0 - rim[1].start, x1 - rim[1].start)
    return _Task(
        scene.colours[rim], None if scene.edges is None else scene.edges[rim], core, around[::every], every
    )


def _jittered(
    box: np.ndarray, jitter: float, runs: int, random: np.random.Generator, size: tuple[int, int]
) -> np.ndarray:
    """``int (runs, 4)``: the box with each side moved at random, at least one pixel wide and high."""
    sides = np.tile(box[2:] - box[:2], 2)
    moved = np.floor(box + random.uniform(-jitter, jitter, (runs, 4)) * sides + 0.5).astype(int)
    limit = np.array([size[1], size[0]])
    start = moved[:, :2].clip(0, limit - 1)
    return np.concatenate([start, np.clip(moved[:, 2:], start + 1, limit)], 1)


def _resized(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A mask at the size of its box."""
    width, height = (box[2:] - box[:2]).tolist()
    if mask.shape == (height, width):
        return mask
    return cv2.resize(mask.astype(np.float32), (width, height)) >= 0.5


def _batches(tasks: dict, device: str | torch.device) -> Iterator[list]:
    """Keys of tasks of similar size, as many together as the device works on well; None is left out."""
    budget = 2**16 if torch.device(device).type == "cpu" else 2**23
    batch, height, width = [], 0, 0
    for key in sorted((k for k, t in tasks.items() if t), key=lambda k: tasks[k].colours[..., 0].size):
        h, w = tasks[key].colours.shape[:2]
        if batch and max(height, h) * max(width, w) * (len(batch) + 1) > budget:
            yield batch
            batch, height, width = [], 0, 0
        batch, height, width = [*batch, key], max(height, h), max(width, w)
    if batch:
        yield batch


# ------------------------------------------------------------------------------- a batch of boxes, separated


def _separate(
    tasks: list[_Task], strength: float, components: int, rounds: int, exact: bool, device: str | torch.device
) -> Cut:
    """Fit colours and cut, in turns, for several boxes at once; masks ``(B, h, w)`` in the tasks' frames."""
    frame = tuple(max(t.colours.shape[axis] for t in tasks) for axis in (0, 1))
    image = _padded([t.colours for t in tasks], frame, device)  # (B, h, w, 3)
    exists = _padded([np.ones(t.colours.shape[:2], bool) for t in tasks], frame, device)
    inside = _padded([_only(t.core, t.colours.shape[:2]) for t in tasks], frame, device)
    longest = (max(len(t.around) for t in tasks),)
    around = _padded([t.around for t in tasks], longest, device)  # (B, M, 3)
    counts = _padded([np.full(len(t.around), t.stands_for, np.float32) for t in tasks], longest, device)
    if tasks[0].edges is None:
        pairwise = contrast_costs(image, exists, strength)
    else:
        pairwise = edge_costs(_padded([t.edges for t in tasks], frame, device), exists, strength)
    pixels = image.flatten(1, 2)
    everything, never = torch.cat([pixels, around], 1), pairwise.sum(1).amax((1, 2), keepdim=True) * 2 + 1
    mask, ours, theirs, cut = inside, None, None, None
    for turn in range(rounds):
        steps = 8 if turn == 0 else 2
        ours = fit_mixture(pixels, mask.flatten(1).float(), components, steps, ours)
        rest = torch.cat([(inside & ~mask).flatten(1).float(), counts], 1)
        theirs = fit_mixture(everything, rest, components, steps, theirs)
        unary = (log_density(theirs, pixels) - log_density(ours, pixels)).view(mask.shape)
        unary = torch.where(inside, unary, never)
        cut = exact_min_cut(unary, pairwise) if exact else min_cut(unary, pairwise, start=cut)
        mask = cut.mask
    return cut


def contrast_costs(colours: Tensor, exists: Tensor, strength: float) -> Tensor:
    """Cost of separating neighbours of similar colour, as in GrabCut (Rother et al. 2004).

    ``strength exp(-|difference|² / (2 mean|difference|²)) / distance``, the mean over the picture's pairs.

    Args:
        colours: ``(B, H, W, 3)``.
        exists: bool ``(B, H, W)``: False where a picture smaller than the batch's frame has no pixel.
        strength: of a pair of equal colours side by side.

    Returns:
        ``(B, 4, H, W)``, one map for each of the `NEIGHBOURS`.
    """
    squares, pairs = [], []
    for here, there in pair_ends(exists.shape[-2:]):
        squares.append((colours[there] - colours[here]).square().sum(-1))
        pairs.append(exists[here] & exists[there])
    total = sum((s * p).sum((-2, -1)) for s, p in zip(squares, pairs, strict=True))
    mean = total / sum(p.sum((-2, -1)) for p in pairs).clamp(min=1)
    scale = 2 * mean.clamp(min=1e-12)[:, None, None]
    return _spread(
        [strength * torch.exp(-s / scale) * p for s, p in zip(squares, pairs, strict=True)], exists
    )


def edge_costs(edges: Tensor, exists: Tensor, strength: float) -> Tensor:
    """Cost of separating neighbours where no boundary runs: ``strength exp(-SHARPNESS edge) / distance``.

    The edge of a pair is the stronger one of its two pixels.

    Args:
        edges: boundary maps ``(B, H, W)``, 0..1.
        exists, strength: as in `contrast_costs`.
    """
    costs = []
    for here, there in pair_ends(exists.shape[-2:]):
        edge = torch.maximum(edges[here], edges[there])
        costs.append(strength * torch.exp(-SHARPNESS * edge) * (exists[here] & exists[there]))
    return _spread(costs, exists)


def _spread(costs: list[Tensor], exists: Tensor) -> Tensor:
    """Costs of the pairs, over their distance, in full frames ``(B, 4, H, W)``."""
    full = costs[0].new_zeros(len(exists), len(NEIGHBOURS), *exists.shape[-2:])
    for k, (here, _) in enumerate(pair_ends(exists.shape[-2:])):
        full[:, k][here] = costs[k] / math.hypot(*NEIGHBOURS[k])
    return full


def _padded(arrays: list[np.ndarray], frame: tuple[int, ...], device: str | torch.device) -> Tensor:
    """Arrays of different size in one tensor ``(B, *frame, ...)``, zeros beyond each."""
    first = arrays[0]
    full = np.zeros((len(arrays), *frame, *first.shape[len(frame) :]), first.dtype)
    for k, array in enumerate(arrays):
        full[(k, *(slice(0, n) for n in array.shape[: len(frame)]))] = array
    return torch.from_numpy(full).to(device)


def _only(where: tuple[slice, slice], size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[where] = True
    return mask


def _checked_edges(edges: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    edges = np.asarray(edges, np.float32)
    if edges.shape != size:
        raise ValueError(f"edges must have the picture's size {size}, got {edges.shape}")
    if not (edges.min() >= 0 and edges.max() <= 1):
        raise ValueError("edges must lie in 0..1, got others or NaN")
    return edges


def _check_options(**options: float) -> None:
    """Raise ``ValueError`` for an option under its least value, or a count that is not a whole number."""
    for name, value in options.items():
        if name in ("strength", "margin", "jitter"):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value!r}")
        elif not isinstance(value, int) or value < (8 if name == "side" else 1):
            raise ValueError(
                f"{name} must be a whole number of at least {8 if name == 'side' else 1}, got {value!r}"
            )
