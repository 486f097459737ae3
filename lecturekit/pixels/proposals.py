"""Region proposals: hierarchies of segments at several scales, and the few regions that fill a box best.

The idea of multiscale combinatorial grouping (MCG: Pont-Tuset, Arbeláez, Barron, Marques and Malik, PAMI
2017): boundaries at several scales give several hierarchies of regions, which are aligned to the finest
regions and averaged; proposals are regions of all of them and combinations of up to four neighbours. MCG
ranks proposals with a learned model. Here the box ranks them (`best_proposal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from ..kit.checks import whole
from ..kit.images import checked_image
from ..labels.boxes import checked_boxes, clip_boxes, paint_masks, window
from ..labels.label_map import IGNORE
from ._boxcut import apart, framed, odds_by_place, scene_of
from .edges import gradients

#: Windows of the boundary maps in pixels, finest first; each pair gives one hierarchy.
SCALES = ((1.5, 3.0), (3.0, 6.0), (6.0, 12.0))

#: Regions are combined that have this share of their pixels in the box and at least this share of the box.
PURITY, MIN_SHARE = 0.6, 0.01

#: A proposal's score: overlap of its bounding box with the box + EXPECTED * the expected overlap of its
#: pixels with the object + STRENGTH * mean boundary strength along its outline - SLENDER * (length of the
#: outline / square root of the area). A region that fills the box has a bounding box of overlap 1, whatever
#: it is: the expected overlap (`object_probability`) tells it from an object.
EXPECTED, STRENGTH, SLENDER = 3.0, 1.0, 0.04

#: Colours are counted in so many bins a channel, around a box as far as RING of its width and height.
BINS, RING = 8, 0.5

#: What contrasts on the way from outside add to the log odds of an object, ``CUT_OFF apart - LESS``, measured
#: at a longer side of SMALL pixels.
CUT_OFF, LESS, SMALL = 2.0, 1.0, 64


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Nested segmentations of one picture into n finest regions and N nodes; see `proposals`.

    Node k < n is the finest region k. Every other node is the union of two nodes with smaller numbers.

    Attributes:
        regions: ``int32 (H, W)``, which of the finest regions a pixel belongs to.
        parents: ``int (N,)``, the node each node is merged into; the last one, the root, into itself.
        altitudes: ``float (N,)``, strength of the boundary that the node's two parts were merged across; 0
            for the finest regions, never more than the parent's.
        leaves: ``bool (M, n)``, the finest regions that make up each of M regions: first the N nodes, then
            what only the hierarchies of single scales contain.
        pairs: ``int (E, 2)``, finest regions that touch.
        lengths: ``float (E,)``, how long their common boundary is, in pixels.
        strengths: ``float (E,)``, the mean boundary strength along it, 0..1.
        extents: ``int (n, 4)``, bounding boxes of the finest regions, half open.
        colours: ``int16 (H, W)``, which of the `BINS` cubed colour bins a pixel lies in.
        image: uint8 ``(H, W, 3)``, the picture.
    """

    regions: np.ndarray
    parents: np.ndarray
    altitudes: np.ndarray
    leaves: np.ndarray
    pairs: np.ndarray
    lengths: np.ndarray
    strengths: np.ndarray
    extents: np.ndarray
    colours: np.ndarray
    image: np.ndarray

    def segments(self, altitude: float) -> np.ndarray:
        """The picture cut along boundaries stronger than `altitude`: ``int32 (H, W)``, numbered from 0."""
        top = np.arange(len(self.parents))
        for k in top[-2::-1]:  # from the root down
            if self.altitudes[self.parents[k]] <= altitude:
                top[k] = top[self.parents[k]]
        numbers = np.unique(top[self.regions], return_inverse=True)[1]
        return numbers.reshape(self.regions.shape).astype(np.int32)

    def mask(self, regions: Sequence[int]) -> np.ndarray:
        """The union of some regions, given by their rows in `leaves`: bool ``(H, W)``."""
        return np.asarray(self.leaves[list(regions)].any(0))[self.regions]


class Proposal(NamedTuple):
    """One to four neighbouring regions, and how well they fit the box."""

    regions: tuple[int, ...]  #: rows of `Hierarchy.leaves`
    score: float


class Best(NamedTuple):
    """The best proposal for a box."""

    mask: np.ndarray  #: bool (H, W); it may reach over the box
    score: float
    ranked: list[Proposal]  #: the best one first


def proposals(
    image: NDArray[np.uint8], maps: Sequence[ArrayLike] | None = None, side: int = 256
) -> Hierarchy:
    """Segment hierarchies at several scales, aligned and averaged.

    Each boundary map gives finest regions by a watershed, which are merged in the order of the mean strength
    between them (Arbeláez, Maire, Fowlkes and Malik, PAMI 2011). The hierarchies of the coarser maps are
    aligned to the finest regions of the first map (MCG).

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        maps: boundary maps ``(H, W)``, 0..1, not thinned, the finest first. None: `gradients` at `SCALES`.
        side: an image with a longer side is segmented at this size.

    Raises:
        ModuleNotFoundError: higra is missing, as on Linux on ARM.
        TypeError: no array.
        ValueError: an image or maps of another kind.

    Example:
        >>> image = np.full((40, 40, 3), 60, np.uint8)
        >>> image[10:30, 8:32] = (200, 180, 40)
        >>> hierarchy = proposals(image)
        >>> len(np.unique(hierarchy.segments(altitude=0.7)))  # cut along strong boundaries only
        2
    """
    size = checked_image(image).shape[:2]
    side = whole("side", side, 8)
    if size == (1, 1):
        raise ValueError("image must have more than one pixel")
    scale = min(1.0, side / max(size))
    small = tuple(max(1, round(n * scale)) for n in size)
    if maps is None:
        shrunk = cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA)
        small_maps = [gradients(np.asarray(shrunk, np.uint8), scales)[0] for scales in SCALES]
    else:
        given = _checked_maps(maps, size)
        small_maps = [np.asarray(cv2.resize(m, small[::-1], interpolation=cv2.INTER_AREA)) for m in given]
    hg = _higra()
    regions, graph, strengths, lengths = _aligned(hg, small_maps)
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, small, strict=True))
    regions = regions[rows[:, None], columns].astype(np.int32)  # enlarged
    mean = np.mean(strengths, 0)
    tree, altitudes = hg.binary_partition_tree_average_linkage(graph, mean, lengths)
    single = [hg.binary_partition_tree_average_linkage(graph, s, lengths)[0] for s in strengths]
    return Hierarchy(
        regions=regions,
        parents=tree.parents(),
        altitudes=np.maximum.accumulate(altitudes),
        leaves=_leaves([tree, *single], graph.num_vertices()),
        pairs=np.stack(graph.edge_list()[:2], 1),
        lengths=lengths / scale,
        strengths=mean,
        extents=_extents(regions, graph.num_vertices()),
        colours=np.dot(image.astype(np.int16) * BINS // 256, [BINS**2, BINS, 1]).astype(np.int16),
        image=image,
    )


def best_proposal(
    hierarchy: Hierarchy, box: ArrayLike, max_regions: int = 4, width: int = 30, keep: int = 50
) -> Best:
    """The region, or combination of up to four neighbouring ones, that fits a box best, and the runners-up.

    Greedy, as in MCG: the best `width` groups of k regions are each joined with every region that touches
    them. The score is the IoU of bounding box and box, plus three times the IoU that is expected with the
    object (`object_probability`), plus the mean boundary strength along the outline, less a little for long
    outlines (`EXPECTED`, `STRENGTH`, `SLENDER`).

    Args:
        hierarchy: of the picture, from `proposals`.
        box: x0, y0, x1, y1, half open, in pixels of the picture.
        max_regions: regions in a combination, 1 to 4 in MCG; 1 shows what single nodes can do.
        width: groups of each size that are joined further.
        keep: length of the ranked list.

    Returns:
        `Best`. For a box that is empty or lies outside, an empty mask, score 0 and an empty list.

    Raises:
        ValueError: a box or number of another kind.

    Example:
        >>> image = np.full((40, 40, 3), 60, np.uint8)
        >>> image[10:30, 8:32] = (200, 180, 40)
        >>> best = best_proposal(proposals(image), (8, 10, 32, 30))
        >>> bool(best.mask[10:30, 8:32].mean() > 0.95), bool(best.mask[:10].any())
        (True, False)
    """
    max_regions = whole("max_regions", max_regions, 1)
    width, keep = whole("width", width, 1), whole("keep", keep, 1)
    (clipped,) = clip_boxes([box], hierarchy.regions.shape)
    if (clipped[2:] <= clipped[:2]).any():
        return Best(np.zeros(hierarchy.regions.shape, bool), 0.0, [])
    pool = _pool(hierarchy, clipped)
    found: list[Proposal] = []
    group = pool.singles
    for size in range(1, max_regions + 1):
        scores = _scores(group, clipped, pool.object_area)
        order = np.argsort(-scores, kind="stable")
        rows = [tuple(pool.rows[m].tolist()) for m in group.members[order[:keep]]]
        found += map(Proposal, rows, scores[order[:keep]].tolist())
        if size < max_regions:
            group = _joined(group, order[:width], pool)
    ranked = sorted(found, key=lambda p: -p.score)[:keep]
    return Best(hierarchy.mask(ranked[0].regions), ranked[0].score, ranked)


def proposal_labels(
    hierarchy: Hierarchy,
    boxes: ArrayLike,
    classes: ArrayLike,
    outside_label: int = IGNORE,
    **options: int,
) -> NDArray[np.uint8]:
    """The best proposal of every box -> one label map ``uint8 (H, W)``, smaller boxes in front.

    Args:
        hierarchy: of the picture, from `proposals`.
        boxes: ``(N, 4)`` in pixels of the image.
        classes: N whole numbers, 1..254.
        outside_label: label of the pixels of a box outside its proposal, 255 (ignore) or 0 (background).
        options: of `best_proposal`.

    Raises:
        TypeError: classes that are no whole numbers.
        ValueError: boxes, classes or a label of another kind.
    """
    size = hierarchy.regions.shape
    clipped, names = checked_boxes(boxes, classes, size)
    masks = [best_proposal(hierarchy, box, **options).mask for box in clipped]
    return paint_masks(masks, clipped, names, size, outside_label)


# ----------------------------------------------------------------------------------------- making hierarchies


def _higra() -> Any:
    """The library of hierarchies, compiled, so that type checkers do not see its names; loaded when used."""
    try:
        import higra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "region proposals need the package higra, which is not installed (Linux on ARM has none); "
            "all else works without it, GrabCut and its recipes for example",
            name="higra",
        ) from error
    return higra


def _aligned(hg: Any, maps: list[np.ndarray]) -> tuple[np.ndarray, Any, list[np.ndarray], np.ndarray]:
    """Finest regions ``(h, w)``, the graph of those that touch, the strength of its edges in each map's
    hierarchy, and their lengths."""
    shape = maps[0].shape
    pixels = hg.get_4_adjacency_graph(shape)
    edges = [hg.weight_graph(pixels, m.astype(np.float64), hg.WeightFunction.mean) for m in maps]
    trees = [hg.mean_pb_hierarchy(pixels, e, shape) for e in edges]
    finest = hg.labelisation_hierarchy_supervertices(*trees[0])
    # A map without boundaries gives a tree of one node, which Higra cannot project.
    contours = [
        hg.align_hierarchies(pixels, finest, [tree])[0]
        if tree[0].num_leaves() > 1
        else np.zeros(len(edges[0]))
        for tree in trees
    ]
    graph = hg.make_region_adjacency_graph_from_labelisation(pixels, finest)
    lengths = hg.rag_accumulate_on_edges(graph, hg.Accumulators.sum, edge_weights=np.ones(len(edges[0])))
    strengths = [hg.rag_accumulate_on_edges(graph, hg.Accumulators.mean, edge_weights=c) for c in contours]
    regions = hg.rag_back_project_vertex_weights(graph, np.arange(graph.num_vertices()))
    return regions.reshape(shape), graph, strengths, lengths


def _leaves(trees: list[Any], n: int) -> np.ndarray:
    """Finest regions in each node of the first tree, then in each new node of the others: ``bool (M, n)``."""
    tables = []
    for tree in trees:
        table = np.zeros((tree.num_vertices(), n), bool)
        table[:n] = np.eye(n, dtype=bool)
        for node, parent in enumerate(tree.parents()[:-1]):
            table[parent] |= table[node]
        tables.append(table)
    everything = np.concatenate(tables)
    first = np.unique(np.packbits(everything, 1), axis=0, return_index=True)[1]
    return everything[np.sort(first)]


def _extents(regions: np.ndarray, n: int) -> np.ndarray:
    """Bounding boxes ``int (n, 4)`` of numbered regions."""
    y, x = np.indices(regions.shape)
    low, high = np.full((n, 2), max(regions.shape)), np.zeros((n, 2), int)
    for axis, values in enumerate((x, y)):
        np.minimum.at(low[:, axis], regions.ravel(), values.ravel())
        np.maximum.at(high[:, axis], regions.ravel(), values.ravel() + 1)
    return np.concatenate([low, high], 1)


def _checked_maps(maps: Sequence[ArrayLike], size: tuple[int, ...]) -> list[NDArray[np.float32]]:
    arrays = [np.asarray(m, np.float32) for m in maps]
    if not arrays or any(m.shape != size for m in arrays):
        raise ValueError(
            f"maps must be one or more of the image's size {size}, got {[m.shape for m in arrays]}"
        )
    if not all(m.min() >= 0 and m.max() <= 1 for m in arrays):
        raise ValueError("maps must lie in 0..1, got others or NaN")
    return arrays


# ------------------------------------------------------------------------------------------ combining regions


class _Group(NamedTuple):
    """P unions of disjoint regions of a pool."""

    members: np.ndarray  # int (P, k), positions in the pool
    extent: np.ndarray  # int (P, 4): x0, y0, -x1, -y1, so that a union's is the minimum
    area: np.ndarray  # (P,)
    length: np.ndarray  # (P,) of the outline, without the picture's frame
    strength: np.ndarray  # (P,) sum of the boundary strength along it
    expected: np.ndarray  # (P,) pixels that are expected to be the object's


class _Pool(NamedTuple):
    """The K regions that may take part, and how any two of them meet."""

    rows: np.ndarray  # int (K,), rows of Hierarchy.leaves
    singles: _Group
    shared: np.ndarray  # (K, K) length of the common boundary
    shared_strength: np.ndarray  # (K, K) sum of the strength along it
    disjoint: np.ndarray  # bool (K, K)
    object_area: float  # pixels of the box that are expected to be the object's


def _pool(hierarchy: Hierarchy, box: np.ndarray) -> _Pool:
    n = len(hierarchy.extents)
    areas = np.bincount(hierarchy.regions.ravel(), minlength=n)
    inside = np.bincount(hierarchy.regions[window(box)].ravel(), minlength=n)
    total, within = hierarchy.leaves @ areas, hierarchy.leaves @ inside
    likely = object_probability(hierarchy, box)
    expected = np.bincount(hierarchy.regions[window(box)].ravel(), likely.ravel(), n)
    fits = (within >= PURITY * total) & (within >= MIN_SHARE * inside.sum())
    rows = np.flatnonzero(fits) if fits.any() else np.array([np.argmax(within / total)])
    leaves = hierarchy.leaves[rows].astype(np.float32)
    touch = _touch(leaves, hierarchy.pairs, hierarchy.lengths)
    strength = _touch(leaves, hierarchy.pairs, hierarchy.lengths * hierarchy.strengths)
    extents = hierarchy.extents * [1, 1, -1, -1]
    far = extents.max() + 1
    extent = np.where(leaves[:, :, None] > 0, extents, far).min(1)
    # What a region shares with itself is counted from both sides: its boundaries inside and not its outline.
    outline, along = (t.sum(1) - (leaves * t).sum(1) for t in (touch, strength))
    singles = _Group(np.arange(len(rows))[:, None], extent, total[rows], outline, along, leaves @ expected)
    shared, shared_strength = touch @ leaves.T, strength @ leaves.T  # (K, K)
    return _Pool(rows, singles, shared, shared_strength, (leaves @ leaves.T) == 0, float(likely.sum()))


def object_probability(hierarchy: Hierarchy, box: np.ndarray) -> np.ndarray:
    """How probably each pixel of a box is its object's, by colour, place and contrast: ``(h, w)`` of the box.

    Bayes: the odds by place (`pixels._boxcut`), times how much commoner the colour is inside the box than in
    the ring around it, times odds that grow with the contrasts that cut the pixel off from outside (`apart`).
    """
    height, width = hierarchy.colours.shape
    band = np.ceil((box[2:] - box[:2]) * RING).astype(int)
    ring = np.concatenate([box[:2] - band, box[2:] + band]).clip(0, [width, height, width, height])
    cells = hierarchy.colours[window(box)]
    inside = np.bincount(cells.ravel(), minlength=BINS**3)
    around = np.bincount(hierarchy.colours[window(ring)].ravel(), minlength=BINS**3) - inside
    odds = odds_by_place(box, window(box), hierarchy.colours.shape)
    if around.any():
        odds = odds + np.log((inside + 1) / inside.sum() * around.sum() / (around + 1))[cells]
    scene = scene_of(hierarchy.image, box[None], 0, None, SMALL, 0)
    rim, core = framed(scene.box, scene.others.shape)
    cut_off = apart(scene.colours[rim], core)[core]
    odds = odds + CUT_OFF * cv2.resize(cut_off, cells.shape[::-1]) - LESS
    return 1 / (1 + np.exp(-odds))


def _touch(leaves: np.ndarray, pairs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How much boundary each region ``(K, n)`` shares with each finest region: ``(K, n)``."""
    n = leaves.shape[1]
    both = np.concatenate([pairs, pairs[:, ::-1]])
    graph = csr_array((np.tile(weights, 2).astype(np.float32), (both[:, 0], both[:, 1])), shape=(n, n))
    return (graph @ leaves.T).T


def _joined(group: _Group, chosen: np.ndarray, pool: _Pool) -> _Group:
    """Every union of a chosen group and one region of the pool that touches it, each once."""
    members = group.members[chosen]
    shared, shared_strength = (m[members].sum(1) for m in (pool.shared, pool.shared_strength))
    which, added = np.nonzero((shared > 0) & pool.disjoint[members].all(1))
    bigger = np.sort(np.concatenate([members[which], added[:, None]], 1), 1)
    once = np.sort(np.unique(bigger, axis=0, return_index=True)[1])
    which, added = which[once], added[once]
    before, single = chosen[which], pool.singles
    return _Group(
        bigger[once],
        np.minimum(group.extent[before], single.extent[added]),
        group.area[before] + single.area[added],
        group.length[before] + single.length[added] - 2 * shared[which, added],
        group.strength[before] + single.strength[added] - 2 * shared_strength[which, added],
        group.expected[before] + single.expected[added],
    )


def _scores(group: _Group, box: np.ndarray, object_area: float) -> np.ndarray:
    x0, y0, x1, y1 = (group.extent * [1, 1, -1, -1]).T
    wide = np.minimum(x1, box[2]) - np.maximum(x0, box[0])
    high = np.minimum(y1, box[3]) - np.maximum(y0, box[1])
    common = wide.clip(0) * high.clip(0)
    overlap = common / ((x1 - x0) * (y1 - y0) + np.prod(box[2:] - box[:2]) - common)
    expected = group.expected / (group.area + object_area - group.expected)
    contrast = group.strength / np.maximum(group.length, 1)
    slender = group.length / np.sqrt(group.area)
    return overlap + EXPECTED * expected + STRENGTH * contrast - SLENDER * slender
