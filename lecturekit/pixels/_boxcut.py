"""GrabCut's inside: a box becomes a small problem, many problems are solved together, masks are sharpened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from ..kit.checks import number, whole
from ..labels.boxes import window
from .mincut import NEIGHBOURS, Cut, band_cut, exact_min_cut, min_cut, pair_ends
from .mixtures import Mixture, fit_mixture, log_density

#: A boundary map of the whole image, or a function that makes one of a part of it at the size it is needed.
EdgeMaker = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Edges = NDArray[Any] | EdgeMaker

#: Mixtures are fitted to about so many pixels of a box and at most so many of its surroundings; of more, to
#: every second, third ... one.
SAMPLE = 1024
#: A box whose colours differ by less than this (in 100 Lab) is of one colour.
ONE_COLOUR = 0.005
#: How much more a pair costs that contrast and boundary map decide together.
BOTH = 10 / 7
#: How steeply an edge lowers the cost of cutting along it.
SHARPNESS = 5.0
#: Objects are roundish: log odds of a pixel of a box to be of its object, before any colour is looked at, are
#: CENTRE - FALL r², r the distance from the middle in half widths and half heights of the box. So 82 % in the
#: middle, 43 % in the middle of a side, 11 % in a corner, and 56 % of all pixels of the box.
CENTRE, FALL = 1.5, 1.8
#: What contrasts cut off from the surroundings is likely to be object (`apart`): log odds of
#: log((distance + 2 STEP) / REACH), the distance growing by up to 1 across a contrast and by STEP a pixel at
#: least.
STEP, REACH = 0.01, 0.45
#: Width of the band in which the outline is cut again, to both sides, in pixels of the first cut.
BAND = 1.0
#: Pixels of context that a boundary map is given round a box.
CONTEXT = 8


@dataclass(frozen=True)
class Settings:
    """How GrabCut works: the options that all its functions share.

    Attributes:
        strength: most that a separated pair of neighbours costs at `side`, in nats.
        margin: how far around the box the background's colours are sampled, in widths and heights of the box.
            Pixels of the other boxes are not taken for background.
        components: Gaussians a mixture.
        rounds: of fitting colours and cutting.
        min_fill: a mask of less than this share of its box is no object; the box is taken.
        side: a box with a longer side is worked on at this size,
        fine_side: and its outline is then cut once more, in a band, at this size. 0 leaves that out.
        exact: use `exact_min_cut` instead of `min_cut` at `side`.
        cut_off: how much of the log odds by contrasts on the way from outside (`apart`) the cuts go by; one
            of the two starts goes by all of them.
        loose: how far every side of a box lies outside its object, in widths and heights of the object. The
            box is brought in by as much first. None: 0, .05, .1 or .2, judged by the masks of each picture,
            which costs a little in tight boxes; `grabcut.looseness` estimates it better, from many pictures.

    Raises:
        ValueError: a value out of range, by name.
    """

    strength: float = 6.0
    margin: float = 0.5
    components: int = 5
    rounds: int = 3
    min_fill: float = 0.1
    side: int = 64
    fine_side: int = 256
    exact: bool = False
    cut_off: float = 0.5
    loose: float | None = 0.0

    def __post_init__(self) -> None:
        for name, max_ in (
            ("strength", math.inf),
            ("margin", math.inf),
            ("min_fill", 1.0),
            ("cut_off", math.inf),
        ):
            number(name, getattr(self, name), 0, max_)
        if self.loose is not None:
            number("loose", self.loose, 0)
        for name, min_ in (("components", 1), ("rounds", 1), ("side", 8), ("fine_side", 0)):
            whole(name, getattr(self, name), min_)


class Scene(NamedTuple):
    """A box and its surroundings, cut out of their image and brought to the size they are worked on at."""

    colours: NDArray[np.float32]  #: (h, w, 3) Lab / 100
    edges: NDArray[np.float32] | None  #: (h, w), 0 far from the box
    others: NDArray[np.bool_]  #: (h, w): inside another box
    box: NDArray[np.int64]  #: (4,) in the scene's pixels
    scale: float  #: the scene's pixels a pixel of the image


class Task(NamedTuple):
    """What the cut of one box needs: the box with a rim of one pixel, and colours from around it."""

    colours: NDArray[np.float32]  #: (h, w, 3)
    edges: NDArray[np.float32] | None  #: (h, w)
    odds: NDArray[np.float32]  #: (h, w) log odds of an object by the place in the box
    apart: NDArray[np.float32]  #: (h, w) and by how well it is cut off from the surroundings
    core: tuple[slice, slice]  #: the box in (h, w); all else is rim
    around: NDArray[np.float32]  #: (M, 3)
    counts: NDArray[np.float32]  #: (M,) how much each of them counts


class Evidence(NamedTuple):
    """What speaks for one box's object and for its background, on the CPU."""

    ours: Mixture  #: of both starts
    theirs: Mixture
    odds: NDArray[np.float32]  #: (h, w) of the box, log odds before any colour is looked at

    def costs(self, colours: Tensor) -> NDArray[np.float32]:
        """Log odds against the object by colours ``(1, N, 3)`` alone, the mean of both starts: ``(N,)``."""
        return (log_density(self.theirs, colours) - log_density(self.ours, colours)).mean(0).numpy()


class Separated(NamedTuple):
    """Cuts of B boxes, and what they were made with."""

    cut: Cut
    ours: Mixture  #: of 2 B batch entries: the first start of every box, then the second
    theirs: Mixture
    odds: Tensor  #: (B, h, w)

    def evidence(self, b: int, core: tuple[slice, slice]) -> Evidence:
        """That of box b, which lies at `core`."""
        mixtures = (Mixture(*(p[b :: len(self.odds)].cpu() for p in m)) for m in (self.ours, self.theirs))
        return Evidence(*mixtures, self.odds[b].cpu().numpy()[core])


# ------------------------------------------------------------------------------------------ one box, prepared


def scene_of(
    image: NDArray[np.uint8],
    boxes: NDArray[np.int64],
    k: int,
    edges: Edges | None,
    side: int,
    margin: float,
) -> Scene:
    """Box k of an image and its surroundings; only they are ever resized and converted."""
    sides = boxes[k][2:] - boxes[k][:2]
    scale = min(1.0, side / sides.max())
    reach = np.ceil(np.maximum(sides * margin, 1.5 / scale)).astype(int)  # and at least a pixel of the scene
    height, width = image.shape[:2]
    corners = np.concatenate([boxes[k][:2] - reach, boxes[k][2:] + reach])
    part = corners.clip(0, [width, height, width, height])
    cropped = image[window(part)]
    size = np.array([max(1, round(n * scale)) for n in cropped.shape[1::-1]])  # w, h
    if scale < 1:
        cropped = np.asarray(cv2.resize(cropped, size.tolist(), interpolation=cv2.INTER_AREA), np.uint8)
    moved = (boxes - np.tile(part[:2], 2)) * np.tile(size / (part[2:] - part[:2]), 2)
    moved = np.floor(moved + 0.5).astype(int)
    start = moved[:, :2].clip(0, size - 1)  # however small the scale, a box keeps one pixel
    end = np.minimum(np.maximum(moved[:, 2:], start + (boxes[:, 2:] > boxes[:, :2])), size)
    others = np.zeros(cropped.shape[:2], bool)
    for j in np.flatnonzero((moved[:, :2] < size).all(1) & (moved[:, 2:] > 0).all(1)):
        if j != k:
            others[start[j, 1] : end[j, 1], start[j, 0] : end[j, 0]] = True
    box = np.concatenate([start[k], end[k]])
    colours = cv2.cvtColor(cropped.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
    return Scene(colours, _scene_edges(edges, cropped, box, part), others, box, scale)


def _scene_edges(
    edges: Edges | None, cropped: NDArray[np.uint8], box: NDArray[np.int64], part: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """The boundary map in a scene: made there near the box, or a part of the image's brought to its size."""
    if edges is None:
        return None
    height, width = cropped.shape[:2]
    if callable(edges):
        made = np.zeros((height, width), np.float32)
        near = tuple(slice(max(0, box[a] - CONTEXT), box[a + 2] + CONTEXT) for a in (1, 0))
        maker = cast(EdgeMaker, edges)
        made[near] = checked_edges(maker(np.ascontiguousarray(cropped[near])), made[near].shape)
        return made
    made = edges[window(part)]
    if made.shape == (height, width):
        return made
    shrink = math.ceil(max(made.shape[0] / height, made.shape[1] / width))
    made = cv2.dilate(made, np.ones((shrink, shrink), np.uint8))  # a ridge of one pixel must survive
    return np.asarray(cv2.resize(made, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)


def task_of(scene: Scene, box: NDArray[np.int64], margin: float) -> Task | None:
    """The task of a box in its scene; None if the box is of one colour or nothing lies around it."""
    height, width = scene.others.shape
    sides = box[2:] - box[:2]
    reach = np.maximum(np.ceil(sides * margin), 1).astype(int)
    band = np.array([*(box[:2] - reach), *(box[2:] + reach)]).clip(0, [width, height, width, height])
    outside = np.zeros((height, width), bool)
    outside[window(band)] = True
    outside[window(box)] = False
    free = outside & ~scene.others
    inside = scene.colours[window(box)]
    if not outside.any() or np.ptp(inside, axis=(0, 1)).max() < ONE_COLOUR:
        return None
    rows, columns = np.nonzero(free if free.any() else outside)
    step = math.ceil(len(rows) / SAMPLE)
    around = scene.colours[rows[::step], columns[::step]]
    counts = np.full(len(around), step, np.float32)
    rim, core = framed(box, scene.others.shape)
    edges = None if scene.edges is None else scene.edges[rim]
    odds = odds_by_place(box, rim, scene.others.shape)
    return Task(scene.colours[rim], edges, odds, apart(scene.colours[rim], core), core, around, counts)


def framed(box: NDArray[np.int64], size: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a box with a rim of one pixel lies in a picture of this size, and where the box lies in that."""
    x0, y0, x1, y1 = box.tolist()
    rim = slice(max(0, y0 - 1), min(size[0], y1 + 1)), slice(max(0, x0 - 1), min(size[1], x1 + 1))
    core = slice(y0 - rim[0].start, y1 - rim[0].start), slice(x0 - rim[1].start, x1 - rim[1].start)
    return rim, core


def odds_by_place(
    box: NDArray[np.int64], part: tuple[slice, slice], size: tuple[int, ...]
) -> NDArray[np.float32]:
    """Log odds that a pixel belongs to the box's object, by its place alone: ``CENTRE - FALL r²``."""
    rows, columns = (np.arange(n)[s] + 0.5 for n, s in zip(size, part, strict=True))
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    u, v = (columns - middle[0]) / half[0], (rows - middle[1]) / half[1]  # -1 and 1 at the sides of the box
    return (CENTRE - FALL * (u**2 + v[:, None] ** 2)).astype(np.float32)


def apart(colours: NDArray[np.float32], core: tuple[slice, slice]) -> NDArray[np.float32]:
    """Log odds that a pixel is the box's object, by the contrasts on the easiest way to it from outside.

    The way is the geodesic one (Criminisi, Sharp and Blake, ECCV 2008), a step of which is as long as it is
    cheap to cut there: sky between the masts of a ship is near, however deep in the box it lies.

    Args:
        colours: ``(h, w, 3)``, the box and its rim.
        core: the box in it. Without a rim nothing is known, and the log odds are 0.
    """
    size = colours.shape[:2]
    rim = np.flatnonzero(~_only(core, size))
    if not len(rim):
        return np.zeros(size, np.float32)
    index = np.arange(math.prod(size)).reshape(1, *size)
    costs = contrast_costs(torch.from_numpy(colours)[None], torch.ones(1, *size, dtype=torch.bool), 1.0)
    tails, heads, steps = [], [], []
    for k, (here, there) in enumerate(pair_ends(size)):
        length = math.hypot(*NEIGHBOURS[k])
        tails.append(index[here].ravel())
        heads.append(index[there].ravel())
        steps.append(1 - costs[:, k][here].numpy().ravel() * length + STEP * length)
    pairs = np.concatenate(steps), (np.concatenate(tails), np.concatenate(heads))
    graph = csr_array(pairs, shape=(index.size, index.size))
    distance = dijkstra(graph, directed=False, indices=rim, min_only=True)
    return np.log((distance + 2 * STEP) / REACH).reshape(size).astype(np.float32)


def batches(sizes: dict, device: torch.device) -> Iterator[list]:
    """Keys of boxes of similar size (height, width), as many together as the device works on well."""
    budget = 2**16 if device.type == "cpu" else 2**23
    batch, height, width = [], 0, 0
    for key in sorted(sizes, key=lambda key: math.prod(sizes[key])):
        h, w = sizes[key]
        if batch and max(height, h) * max(width, w) * (len(batch) + 1) > budget:
            yield batch
            batch, height, width = [], 0, 0
        batch.append(key)
        height, width = max(height, h), max(width, w)
    if batch:
        yield batch


# ------------------------------------------------------------------------------- a batch of boxes, separated


def separate(tasks: list[Task], settings: Settings, device: torch.device) -> Separated:
    """Fit colours and cut, in turns, for several boxes at once; masks ``(B, h, w)`` in the tasks' frames."""
    frame = tuple(max(t.colours.shape[axis] for t in tasks) for axis in (0, 1))
    image = _padded([t.colours for t in tasks], frame, device)  # (B, h, w, 3)
    exists = _padded([np.ones(t.colours.shape[:2], bool) for t in tasks], frame, device)
    inside = _padded([_only(t.core, t.colours.shape[:2]) for t in tasks], frame, device)
    odds = _padded([t.odds for t in tasks], frame, device)  # (B, h, w)
    apart = _padded([t.apart for t in tasks], frame, device)
    longest = (max(len(t.around) for t in tasks),)
    around = _padded([t.around for t in tasks], longest, device)  # (B, M, 3)
    counts = _padded([t.counts for t in tasks], longest, device)  # (B, M)
    maps = [t.edges for t in tasks if t.edges is not None]  # all have one, or none has
    edges = _padded(maps, frame, device) if maps else None
    pairwise = pair_costs(image, edges, exists, settings.strength)
    pixels = image.flatten(1, 2)
    picked, weights = _sampled(tasks, frame[1], device)
    sample = pixels.gather(1, picked[..., None].expand(-1, -1, 3))
    # More than all pairs of a pixel cost together: no cut can gain by calling a pixel of the rim object.
    forbidden = pairwise.sum(1).amax((1, 2), keepdim=True) * 2 + 1
    prior = odds + settings.cut_off * apart
    # Two starts, one after the other in the batch: the object is the whole box, as in the paper, or what
    # place and contrasts make likely. Each finds its own colours, and the last cut goes by the mean of both.
    belongs = (inside * torch.stack([torch.ones_like(odds), (odds + apart).sigmoid()])).flatten(0, 1)
    within, pixels, sample, picked, weights, around, counts, pairs = (
        torch.cat([part, part])
        for part in (inside.float(), pixels, sample, picked, weights, around, counts, pairwise)
    )
    everything = torch.cat([sample, around], 1)
    ours = theirs = cut = None
    for turn in range(settings.rounds):
        steps = 8 if turn == 0 else 2  # of EM: later rounds start from good mixtures
        mine, rest = (part.flatten(1).gather(1, picked) * weights for part in (belongs, within - belongs))
        ours = fit_mixture(sample, mine, settings.components, steps, ours)
        theirs = fit_mixture(everything, torch.cat([rest, counts], 1), settings.components, steps, theirs)
        colour = (log_density(theirs, pixels) - log_density(ours, pixels)).view(2, *odds.shape)
        unary = torch.where(inside, colour - prior, forbidden)
        if turn < settings.rounds - 1:
            # These masks only choose the next colours, and need not be exact to the last pixel.
            cut = _cut(unary.flatten(0, 1), pairs, settings.exact, 3e-2, cut)
            belongs = cut.mask.float()
    cut = _cut(unary.mean(0), pairwise, settings.exact, 1e-3, cut and _between(cut))
    return Separated(cut, cast(Mixture, ours), cast(Mixture, theirs), prior)


def _sampled(tasks: list[Task], width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixels that mixtures are fitted to, ``(B, S)`` in flat frames of a width, and how much each counts."""
    places, counts = [], []
    for task in tasks:
        step = max(1, task.odds.size // SAMPLE)
        rows, columns = np.divmod(np.arange(0, task.odds.size, step), task.odds.shape[1])
        places.append(rows * width + columns)
        counts.append(np.full(len(rows), step, np.float32))
    longest = (max(map(len, places)),)
    return _padded(places, longest, device), _padded(counts, longest, device)


def _cut(unary: Tensor, pairwise: Tensor, exact: bool, tolerance: float, start: Cut | None) -> Cut:
    if exact:
        return exact_min_cut(unary, pairwise)
    return min_cut(unary, pairwise, tolerance=tolerance, start=start)


def _between(cut: Cut) -> Cut:
    """A start half way between the two cuts of each box."""
    soft, *flow = (part.unflatten(0, (2, -1)).mean(0) for part in (cut.soft, *(cut.flow or [])))
    return cut._replace(soft=soft, flow=flow)


def sharpened(
    mask: NDArray[np.bool_], coarse: float, scene: Scene, evidence: Evidence, strength: float
) -> NDArray[np.bool_]:
    """A box's mask brought to the size of a finer scene, and cut again in a band along its outline.

    Args:
        mask: bool ``(h, w)``, the box alone, from the first cut.
        coarse: scale of the first cut, in pixels a pixel of the image.
        scene: of the same box, finer.
        evidence: of the first cut.
        strength: of the first cut.

    Returns:
        bool, of the size of the scene's box.
    """
    ratio = scene.scale / coarse
    x0, y0, x1, y1 = scene.box.tolist()
    size = scene.others.shape
    full = np.zeros(size, bool)
    full[y0:y1, x0:x1] = cv2.resize(mask.astype(np.float32), (x1 - x0, y1 - y0)) >= 0.5
    radius = max(1, round(BAND * ratio))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown = cv2.dilate(full.astype(np.uint8), disc)
    shrunk = cv2.erode(full.astype(np.uint8), disc, borderValue=0)
    band = (grown != shrunk) & _only(window(scene.box), size)
    if band.any():
        image = torch.from_numpy(scene.colours)[None]  # (1, h, w, 3)
        edges = None if scene.edges is None else torch.from_numpy(scene.edges)[None]
        # Areas grow with the square of the scale and outlines with the scale, so pairs must cost more.
        pairwise = pair_costs(image, edges, torch.ones(1, *size, dtype=torch.bool), strength * ratio)
        pixels = image.flatten(1, 2)[:, torch.from_numpy(np.flatnonzero(band))]
        unary = np.zeros(size, np.float32)
        unary[y0:y1, x0:x1] = -cv2.resize(evidence.odds, (x1 - x0, y1 - y0))
        unary[band] += evidence.costs(pixels)
        full = band_cut(unary, pairwise[0].numpy(), full, band)
    return full[y0:y1, x0:x1]


# ------------------------------------------------------------------------------------------- costs of a cut


def pair_costs(colours: Tensor, edges: Tensor | None, exists: Tensor, strength: float) -> Tensor:
    """Costs of separating neighbours: by contrast, and where there is a boundary map by both.

    With a boundary map the cost is the geometric mean of both, ten sevenths of it: an outline is cheap only
    where colours and map agree that one runs there. By the map alone, GrabCut+ falls behind GrabCut in boxes
    with some room (benchmarks).

    Args:
        colours: ``(B, H, W, 3)``.
        edges: boundary maps ``(B, H, W)``, 0..1, or None.
        exists: bool ``(B, H, W)``: False where an image smaller than the batch's frame has no pixel.
        strength: of a pair of equal colours side by side.

    Returns:
        ``(B, 4, H, W)``, one map for each of the `NEIGHBOURS`.
    """
    contrast = contrast_costs(colours, exists, strength)
    if edges is None:
        return contrast
    return BOTH * (contrast * edge_costs(edges, exists, strength)).sqrt()


def contrast_costs(colours: Tensor, exists: Tensor, strength: float) -> Tensor:
    """Cost of separating neighbours of similar colour, as in GrabCut (Rother et al. 2004).

    ``strength exp(-|difference|² / (2 mean|difference|²)) / distance``, the mean over the picture's pairs.

    Args:
        colours: as in `pair_costs`.
        exists: as in `pair_costs`.
        strength: as in `pair_costs`.

    Returns:
        ``(B, 4, H, W)``.
    """
    squares, pairs = [], []
    for here, there in pair_ends(exists.shape[-2:]):
        squares.append((colours[there] - colours[here]).square().sum(-1))
        pairs.append(exists[here] & exists[there])
    total = torch.stack([(s * p).sum((-2, -1)) for s, p in zip(squares, pairs, strict=True)]).sum(0)
    count = torch.stack([p.sum((-2, -1)) for p in pairs]).sum(0)
    scale = 2 * (total / count.clamp(min=1)).clamp(min=1e-12)[:, None, None]
    costs = [strength * torch.exp(-s / scale) * p for s, p in zip(squares, pairs, strict=True)]
    return _spread(costs, exists)


def edge_costs(edges: Tensor, exists: Tensor, strength: float) -> Tensor:
    """Cost of separating neighbours where no boundary runs: ``strength exp(-SHARPNESS edge) / distance``.

    The edge of a pair is the stronger one of its two pixels.

    Args:
        edges: as in `pair_costs`.
        exists: as in `pair_costs`.
        strength: as in `pair_costs`.

    Returns:
        ``(B, 4, H, W)``.
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


def _padded(arrays: Sequence[NDArray], frame: tuple[int, ...], device: torch.device) -> Tensor:
    """Arrays of different size in one tensor ``(B, *frame, ...)``, zeros beyond each."""
    first = arrays[0]
    full = np.zeros((len(arrays), *frame, *first.shape[len(frame) :]), first.dtype)
    for k, array in enumerate(arrays):
        full[(k, *(slice(0, n) for n in array.shape[: len(frame)]))] = array
    return torch.from_numpy(full).to(device)


def _only(where: tuple[slice, slice], size: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(size, bool)
    mask[where] = True
    return mask


def checked_edges(edges: ArrayLike, size: Sequence[int]) -> NDArray[np.float32]:
    """The boundary map, if it is one of this size."""
    edges = np.asarray(edges, np.float32)
    if edges.shape != tuple(size):
        raise ValueError(f"edges must have the image's size {tuple(size)}, got {edges.shape}")
    if not (edges.min() >= 0 and edges.max() <= 1):
        raise ValueError("edges must lie in 0..1, got others or NaN")
    return edges
