"""The minimum cut of a picture: which pixels are object, given costs of pixels and of pairs of neighbours.

For two labels the minimum is also that of a convex problem, which a few hundred steps of a primal-dual method
solve for a whole batch on any device, with a lower bound that says how far from the minimum one can be
(`min_cut`). `exact_min_cut` is the reference, by maximum flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor

from ..kit.checks import whole

#: The four neighbours (dy, dx) that make each pair of an 8-neighbourhood appear once.
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


class Cut(NamedTuple):
    """A binary labelling of each picture of a batch, and how good it is."""

    mask: Tensor  #: bool (B, H, W), True is the object
    energy: Tensor  #: (B,) its energy
    bound: Tensor  #: (B,) no labelling has less energy than this
    soft: Tensor  #: (B, H, W) what was thresholded, 0..1
    flow: list[Tensor] | None = None  #: the dual variables, one tensor a neighbour


def energy(mask: Tensor, unary: Tensor, pairwise: Tensor) -> Tensor:
    """``sum_p unary_p u_p + sum_pq pairwise_pq |u_p - u_q|``, one number a picture.

    Args:
        mask: u, bool or float 0..1, ``(B, H, W)``.
        unary: cost of calling a pixel object rather than background ``(B, H, W)``, of either sign.
        pairwise: cost of separating a pixel from each of its four `NEIGHBOURS` ``(B, 4, H, W)``, at least 0
            (entries whose neighbour lies outside the picture are not looked at).
    """
    u = mask.to(unary.dtype)
    total = (unary * u).sum((-2, -1))
    for k, (here, there) in enumerate(pair_ends(unary.shape[-2:])):
        total = total + (pairwise[:, k][here] * (u[there] - u[here]).abs()).sum((-2, -1))
    return total


@torch.no_grad()
def min_cut(
    unary: Tensor, pairwise: Tensor, steps: int = 2000, tolerance: float = 1e-3, start: Cut | None = None
) -> Cut:
    """The labelling of least energy, by convex relaxation, for a batch at once.

    Letting u run over 0..1 makes `energy` convex without changing its minimum, and thresholding a minimiser
    gives a minimiser again (Chan, Esedoglu and Nikolova, SIAM J. Appl. Math. 2006). It is found by the
    preconditioned primal-dual method of Pock and Chambolle (ICCV 2011). Its dual variables are flows between
    neighbours: every flow within the capacities gives a lower bound, as in the theorem of maximum flow and
    minimum cut.

    Args:
        unary: as in `energy`, finite, float32 or float64, on any device.
        pairwise: as in `energy`, finite.
        steps: at most so many steps of the method.
        tolerance: a picture is done when energy and bound differ by at most this much a pixel.
        start: an earlier result to go on from, for the same or similar costs.

    Returns:
        `Cut`, without gradients. The bound holds (up to rounding) whether the method has converged or not.

    Raises:
        ValueError: shapes that do not fit, costs that are not finite, negative costs of pairs.

    Example:
        >>> unary = torch.tensor([[[-2.0, 1.0, -2.0]]])  # the middle one would rather be background,
        >>> min_cut(unary, torch.full((1, 4, 1, 3), 0.4)).mask.tolist()
        [[[True, False, True]]]
        >>> min_cut(unary, torch.full((1, 4, 1, 3), 0.6)).mask.tolist()  # but its neighbours draw it along
        [[[True, True, True]]]
    """
    _check_costs(unary, pairwise)
    steps = whole("steps", steps, 1)
    ends = pair_ends(unary.shape[-2:])
    capacity = [pairwise[:, k][here].contiguous() for k, (here, _) in enumerate(ends)]
    u = start.soft.clone() if start else (unary < 0).to(unary.dtype)
    flow = start.flow if start and start.flow else [torch.zeros_like(c) for c in capacity]
    flow = [torch.clamp(f, -c, c) for f, c in zip(flow, capacity, strict=True)]
    step = BALANCE / _capacity_sum(unary, capacity, ends).clamp(min=1e-6)
    ahead = u
    best = Cut(u > 0.5, energy(u > 0.5, unary, pairwise), torch.full_like(u[:, 0, 0], -torch.inf), u)
    flows = [f.clone() for f in flow]
    done = Cut(best.mask.clone(), best.energy.clone(), best.bound.clone(), u.clone(), flows)
    active = torch.arange(len(unary), device=unary.device)  # the pictures that are still worked on
    for count in range(1, steps + 1):
        reduced = unary.clone()  # the unary cost plus what flows in
        for f, c, (here, there) in zip(flow, capacity, ends, strict=True):
            f.addcmul_(c, ahead[there] - ahead[here], value=1 / (2 * BALANCE))
            torch.minimum(torch.maximum(f, -c, out=f), c, out=f)
            reduced[there] += f
            reduced[here] -= f
        before, u = u, torch.addcmul(u, step, reduced, value=-1).clamp_(0, 1)
        ahead = torch.lerp(before, u, 2.0)
        if count % CHECK == 0 or count == steps:
            best = _better(best, unary, pairwise, u, reduced)
            going = (best.energy - best.bound > tolerance * unary[0].numel()) & (count < steps)
            if going.all():
                continue
            ended = active[~going]
            for kept, part in zip((*done[:4], *flows), (*best[:4], *flow), strict=True):
                kept[ended] = part[~going]
            if not going.any():
                break
            active, unary, pairwise, step, u, ahead = (
                part[going] for part in (active, unary, pairwise, step, u, ahead)
            )
            best = Cut(best.mask[going], best.energy[going], best.bound[going], best.soft[going])
            flow, capacity = ([part[going] for part in parts] for parts in (flow, capacity))
    return done


#: How the steps are shared: larger ones for u and smaller ones for the flows. Any positive number converges.
BALANCE = 2.0
#: Steps between two looks at energy and bound.
CHECK = 25


def _better(best: Cut, unary: Tensor, pairwise: Tensor, u: Tensor, reduced: Tensor) -> Cut:
    """The best mask and the best bound so far, picture by picture. Of thresholds, three are tried."""
    bound = torch.maximum(reduced.clamp(max=0).sum((-2, -1)), best.bound)
    mask, least = best.mask, best.energy
    for level in (0.25, 0.5, 0.75):
        found = energy(u > level, unary, pairwise)
        mask = torch.where((found < least)[:, None, None], u > level, mask)
        least = torch.minimum(found, least)
    return Cut(mask, least, bound, u)


def _capacity_sum(unary: Tensor, capacity: list[Tensor], ends: list) -> Tensor:
    """Sum of the capacities at each pixel."""
    total = torch.zeros_like(unary)
    for c, (here, there) in zip(capacity, ends, strict=True):
        total[here] += c
        total[there] += c
    return total


@torch.no_grad()
def exact_min_cut(unary: Tensor, pairwise: Tensor) -> Cut:
    """The labelling of least energy, by maximum flow (SciPy's Dinic), one picture after the other.

    SciPy's capacities are whole numbers, so costs are rounded to a 2,000,000,000th of their sum. The bound
    allows for that.

    Args:
        unary: as in `min_cut`.
        pairwise: as in `min_cut`.

    Returns:
        `Cut`, on the device of the unary.

    Raises:
        ValueError: as `min_cut`.
    """
    _check_costs(unary, pairwise)
    masks, slack = [], []
    for one, pair in zip(unary.detach().cpu().double(), pairwise.detach().cpu().double(), strict=True):
        free = np.ones(one.shape, bool)
        mask, worst = _flow_cut(one.numpy(), pair.numpy(), ~free, free)
        masks.append(torch.from_numpy(mask))
        slack.append(worst)
    mask = torch.stack(masks).to(unary.device)
    found = energy(mask, unary, pairwise)
    bound = found - torch.tensor(slack, dtype=unary.dtype, device=unary.device)
    return Cut(mask, found, bound, mask.to(unary.dtype))


def band_cut(
    unary: NDArray, pairwise: NDArray, mask: NDArray[np.bool_], band: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The labelling of least energy among those that differ from `mask` in the band alone, by maximum flow.

    Args:
        unary: as in `energy`, of one picture, ``(H, W)``; only looked at in the band.
        pairwise: ``(4, H, W)``.
        mask: bool ``(H, W)``, the labels outside the band.
        band: bool ``(H, W)``, the pixels that may change.
    """
    return _flow_cut(unary, pairwise, mask, band)[0]


def _flow_cut(
    unary: NDArray, pairwise: NDArray, mask: NDArray[np.bool_], free: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], float]:
    """The best labels of the `free` pixels, and by how much rounding can have raised the energy at most."""
    nodes = int(free.sum())
    index = np.full(unary.shape, -1)  # of the nodes; -1: the label is settled
    index[free] = np.arange(nodes)
    costs = unary[free].astype(np.float64)
    tails, heads, capacity = [], [], []
    for k, (here, there) in enumerate(pair_ends(unary.shape)):
        here, there = here[1:], there[1:]  # without the batch
        p, q, cost = index[here].ravel(), index[there].ravel(), pairwise[k][here].ravel()
        both = (p >= 0) & (q >= 0)
        tails += [p[both], q[both]]
        heads += [q[both], p[both]]
        capacity += [cost[both]] * 2
        # A settled neighbour makes it cheaper to have its label: its pair becomes a cost of the pixel alone.
        for node, label, pair in ((p, mask[there], (q < 0) & (p >= 0)), (q, mask[here], (p < 0) & (q >= 0))):
            drawn = np.where(label.ravel()[pair], -cost[pair], cost[pair])
            costs += np.bincount(node[pair], drawn, nodes)
    source, sink = nodes, nodes + 1
    wins, loses = np.flatnonzero(costs < 0), np.flatnonzero(costs > 0)
    tail = np.concatenate([np.full(len(wins), source), loses, *tails])
    head = np.concatenate([wins, np.full(len(loses), sink), *heads])
    capacities = np.concatenate([-costs[wins], costs[loses], *capacity])
    # The whole flow and every residual (up to twice a capacity) must fit in 31 bits.
    unit = max(-costs[wins].sum(), 2 * capacities.max(initial=0), 1e-30) / (2**31 - 1 - len(capacities))
    whole_numbers = np.rint(capacities / unit).astype(np.int32)
    graph = csr_array((whole_numbers, (tail, head)), shape=(sink + 1, sink + 1))
    left = graph - maximum_flow(graph, source, sink, method="dinic").flow
    left.eliminate_zeros()
    reached = np.zeros(sink + 1, bool)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    found = mask.copy()
    found[free] = reached[:source]
    return found, float(unit * len(capacities))


def _check_costs(unary: Tensor, pairwise: Tensor) -> None:
    if unary.ndim != 3 or 0 in unary.shape or pairwise.shape != (len(unary), 4, *unary.shape[1:]):
        raise ValueError(
            f"unary must be (B, H, W) with pixels and pairwise (B, 4, H, W), got {tuple(unary.shape)} and "
            f"{tuple(pairwise.shape)}"
        )
    if not unary.is_floating_point() or not unary.isfinite().all():
        raise ValueError("unary must be finite floats; give a large cost where a pixel is forbidden")
    if not (pairwise.isfinite().all() and (pairwise >= 0).all()):
        raise ValueError("pairwise must be finite and at least 0")


def pair_ends(size: Sequence[int]) -> list[tuple[tuple, tuple]]:
    """For each of the `NEIGHBOURS`: where its pairs begin and where they end, indices into ``(B, H, W)``."""
    height, width = size
    return [
        (
            (slice(None), slice(0, height - dy), slice(max(0, -dx), width - max(0, dx))),
            (slice(None), slice(dy, height), slice(max(0, dx), width - max(0, -dx))),
        )
        for dy, dx in NEIGHBOURS
    ]
