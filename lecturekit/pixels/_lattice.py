"""Two ways to multiply by the Gaussian matrix ``K[i, j] = exp(-|f_i - f_j|^2 / 2)`` of N points.

`Gaussian` computes its N x N numbers: exact, for small pictures. `Lattice` is the permutohedral lattice of
Adams, Baek and Davis, "Fast high-dimensional filtering using the permutohedral lattice", Eurographics 2010:
an approximation in time and memory linear in N. Both take features ``(B, N, d)``, in standard deviations, of
N points in each of B separate pictures. Both have ``kernel @ values``, ``scale`` and ``diagonal``; kernels of
the same points are put together by `stack`, for ``stack.weighted(weights) @ values``.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Gaussian:
    """The matrix itself, ``(B, N, N)``."""

    def __init__(self, features: Tensor):
        self.matrix = gaussian(features, features)

    def __matmul__(self, values: Tensor) -> Tensor:
        """``(B, N, K)`` -> ``(B, N, K)``."""
        return self.matrix.to(values.dtype) @ values

    def scale(self, by: Tensor) -> None:
        """Replace K by ``diag(by) K diag(by)``; `by` is ``(B, N)``."""
        self.matrix = by[:, :, None] * self.matrix * by[:, None, :]

    def diagonal(self) -> Tensor:
        """``K[i, i]``: the weight ``(B, N)`` of each point's own value."""
        return self.matrix.diagonal(dim1=1, dim2=2)

    @staticmethod
    def stack(kernels: Sequence[Gaussian]) -> Gaussian:
        """Several kernels as one, which waits for its weights."""
        stack = copy.copy(kernels[0])
        stack.matrix = torch.stack([kernel.matrix for kernel in kernels])
        return stack

    def weighted(self, weights: Sequence[float]) -> Gaussian:
        """``sum_m weights[m] K_m`` of the kernels of a stack."""
        total = copy.copy(self)
        total.matrix = torch.einsum("m, m...", torch.tensor(weights).to(self.matrix), self.matrix)
        return total


class Lattice:
    """The same matrix, never written down: splat, blur, slice.

    Each point spreads its value over the d + 1 corners of the simplex that holds it (splat), the corners'
    values are blurred along the d + 1 axes of the lattice (blur), and each point reads its corners (slice).
    All three are weighted sums of a few rows, which ``embedding_bag`` does fast on a CPU and on a GPU.

    It depends on the features only: build it once, use it for any values. The blur does not cross empty parts
    of the feature space, so that the kernel is smaller than the Gaussian, and a little asymmetric. Raises
    ``ValueError`` where the corners cannot be numbered.
    """

    def __init__(self, features: Tensor):
        self.batch, _, d = features.shape
        base, order, weights = _simplex(features.flatten(0, 1))
        codes, steps = _codes(base, order, self.batch)
        codes, entry = codes.flatten().sort(stable=True)
        corners, corner, count = codes.unique_consecutive(return_inverse=True, return_counts=True)
        # The slice has the d + 1 corners of each point; the splat, its transpose, the points of each corner.
        self.corners = torch.empty_like(corner).scatter_(0, entry, corner).int().view_as(weights)
        self.slice_weights = weights / (1 + 2.0**-d)  # a corner gets 1 + 2^-d of its own value from the blur
        self.points = (entry // (d + 1)).int()
        self.first = (count.cumsum(0) - count).int()
        self.splat_weights = weights.flatten().index_select(0, entry)
        self.blurs = [_blur(corners, step) for step in steps.tolist()]
        self.parts = torch.tensor([d + 1])  # columns of the slice; a stack has those of several lattices
        self.order = order.to(torch.uint8)

    def __matmul__(self, values: Tensor) -> Tensor:
        """``(B, N, K)`` -> ``(B, N, K)``."""
        rows = _sum_rows(values.flatten(0, 1), self.points, self.splat_weights, self.first)
        for index, weights in self.blurs:
            rows = _sum_rows(rows, index, weights)
        return _sum_rows(rows, self.corners, self.slice_weights).view_as(values)

    def scale(self, by: Tensor) -> None:
        """Replace K by ``diag(by) K diag(by)``; `by` is ``(B, N)``."""
        self.slice_weights = self.slice_weights * by.reshape(-1, 1)
        self.splat_weights = self.splat_weights * by.flatten().index_select(0, self.points)

    def diagonal(self) -> Tensor:
        """``K[i, i]``: the weight ``(B, N)`` of each point's own value.

        A value goes from corner j of its simplex to corner k by one step along each of the axes between them,
        or by one step back along each of the others: m halves for m steps, if every corner on the way exists.
        """
        n, weight = len(self.blurs), self.slice_weights
        turn = self.order.argsort(dim=1)  # (B N, n): the axis' place on the way from corner 0 to corner 0
        total = weight.square().sum(1)
        for j, m in itertools.product(range(n), range(1, n + 1)):
            k = (j + m) % n  # the corner in which m steps along the axes `axes` end
            axes = (turn - j) % n < m  # (B N, n) bool
            paths = self._arrives(j, axes, side=1).float() + self._arrives(k, axes, side=2)
            total += 2.0**-m * paths * weight[:, j] * weight[:, k]
        return (total * (1 + 2.0 ** (1 - n))).view(self.batch, -1)

    @staticmethod
    def stack(lattices: Sequence[Lattice]) -> Lattice:
        """Several lattices as one with the corners of all: few long sums are faster than many short ones."""
        corners = _starts(len(one.first) for one in lattices)
        entries = _starts(len(one.points) for one in lattices)
        axes = max(len(one.blurs) for one in lattices)
        padded = [[*one.blurs, *[_still(one.first)] * (axes - len(one.blurs))] for one in lattices]
        stack = copy.copy(lattices[0])
        stack.corners = torch.cat([one.corners + n for one, n in zip(lattices, corners, strict=True)], dim=1)
        stack.slice_weights = torch.cat([one.slice_weights for one in lattices], dim=1)
        stack.parts = torch.tensor([one.corners.shape[1] for one in lattices])
        stack.points = torch.cat([one.points for one in lattices])
        stack.first = torch.cat([one.first + n for one, n in zip(lattices, entries, strict=True)])
        stack.splat_weights = torch.cat([one.splat_weights for one in lattices])
        stack.blurs = [_stacked(blurs, corners) for blurs in zip(*padded, strict=True)]
        return stack

    def weighted(self, weights: Sequence[float]) -> Lattice:
        """``sum_m weights[m] K_m`` of the lattices of a stack, sharing everything with it but the slice."""
        total = copy.copy(self)
        columns = torch.tensor(weights, dtype=torch.float32).repeat_interleave(self.parts)
        total.slice_weights = self.slice_weights * columns.to(self.slice_weights)
        return total

    def _arrives(self, start: int, axes: Tensor, side: int) -> Tensor:
        """Whether all corners exist on the way from corner `start` along `axes`, in the order of the blur."""
        here = self.corners[:, start]
        arrives = torch.ones_like(here, dtype=torch.bool)
        for (index, _), step in zip(self.blurs, axes.T, strict=True):
            there = index[:, side].index_select(0, here)
            arrives = arrives & ((there != here) | ~step)  # a missing neighbour is the corner itself
            here = torch.where(step, there, here)
        return arrives


def gaussian(a: Tensor, b: Tensor) -> Tensor:
    """``exp(-|a_i - b_j|^2 / 2)`` of points ``(B, N, d)`` and ``(B, M, d)``: ``(B, N, M)``."""
    # Not by matrix multiplication, which would subtract large squares from each other.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square_().mul_(-0.5).exp_()


def _sum_rows(rows: Tensor, index: Tensor, weights: Tensor, first: Tensor | None = None) -> Tensor:
    """``out[i] = sum_j weights[i, j] rows[index[i, j]]``; a flat index where sum i begins at ``first[i]``."""
    return F.embedding_bag(index, rows, first, mode="sum", per_sample_weights=weights.to(rows.dtype))


def _simplex(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex round each point: base, order of the axes and weights of the corners, each ``(N, d+1)``.

    In units of d + 1, a point of the hyperplane ``sum(x) = 0`` is an integer part (`base`) and fractions. The
    fractions, sorted from the largest, name the simplex: from the base one walks to its corners along one
    axis after the other. The gaps between the sorted fractions are the barycentric weights.
    """
    n = features.shape[1] + 1
    position = _elevate(features)
    base = (position * (1 / n)).floor()
    rest, order = (position - base * n).sort(dim=1, descending=True, stable=True)
    weights = torch.cat([n - rest[:, :1] + rest[:, -1:], -rest.diff(dim=1)], dim=1) / n
    return base.long(), order, weights


def _elevate(features: Tensor) -> Tensor:
    """Points ``(N, d)`` put on the hyperplane ``sum(x) = 0`` of d + 1 dimensions (Adams et al., section 4.1).

    The scale makes splat, blur and slice together one standard deviation wide. Float32, column by column, as
    the authors' code: a corner of weight 1e-7 can join two others in the blur, so that another rounding would
    show in the second digit of a few probabilities.
    """
    d = features.shape[1]
    unit = float(np.float32((d + 1) * math.sqrt(2 / 3)))
    columns: list[Tensor] = []
    below = torch.zeros_like(features[:, 0])
    for j in range(d, 0, -1):
        part = features[:, j - 1] * (unit / math.sqrt(j * (j + 1)))
        columns.insert(0, below - j * part)
        below = below + part
    return torch.stack([below, *columns], dim=1)


def _codes(base: Tensor, order: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """A number for each corner ``(B N, d+1)``, and what a step along each of the d + 1 axes adds to it.

    A step along an axis adds d to that coordinate and -1 to the others; corner m is m steps from the base
    ``(d+1) base - sum(base)``. The first d coordinates are the digits of the number, which is therefore
    linear in them, and each step adds a constant. The picture is the leading digit.
    """
    n, level = base.shape[1], base.sum(1)
    base = base[:, :-1]  # the last coordinate follows from the others: the coordinates of a corner sum to 0
    low, high = base.amin(0), base.amax(0)
    spans = [n * (span + 5) for span in (high - low).tolist()]  # with room for steps beyond the last corner
    if batch * math.prod(spans) >= 2**62 or order.numel() >= 2**31:
        raise ValueError(
            f"theta_alpha, theta_beta or theta_gamma is too small for {batch} x {len(base) // batch} pixels: "
            f"a lattice of {spans} steps has more corners than can be numbered"
        )
    digits = torch.tensor([math.prod(spans[:i]) for i in range(n - 1)], device=base.device)
    steps = n * F.pad(digits, (0, 1)) - digits.sum()
    picture = torch.arange(batch, device=base.device).repeat_interleave(len(base) // batch)
    codes = torch.empty_like(order)
    codes[:, 0] = n * ((base - low) * digits).sum(1) - level * digits.sum() + picture * math.prod(spans)
    codes[:, 1:] = steps.take(order[:, :-1])
    return codes.cumsum_(1), steps


def _blur(corners: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """One axis of the blur as rows to sum: each corner, and half of its neighbours up and down the axis.

    `corners` are the sorted codes ``(M,)``. Returns index (int32) and weights, both ``(M, 3)``; a neighbour
    that does not exist is the corner itself with weight 0.
    """
    here = torch.arange(len(corners), device=corners.device)
    there = torch.searchsorted(corners, corners + step).clamp(max=len(corners) - 1)
    exists = corners[there] == corners + step
    index = here[:, None].repeat(1, 3)
    index[:, 1] = torch.where(exists, there, here)
    index[there[exists], 2] = here[exists]
    weights = torch.where(index == here[:, None], 0.0, 0.5)
    weights[:, 0] = 1
    return index.int(), weights


def _starts(lengths: Iterable[int]) -> list[int]:
    """Where each of several parts begins when they are put one after the other."""
    return [0, *itertools.accumulate(lengths)][:-1]


def _still(corners: Tensor) -> tuple[Tensor, Tensor]:
    """A blur that changes nothing, for as many corners."""
    index = torch.arange(len(corners), dtype=torch.int32, device=corners.device)[:, None].repeat(1, 3)
    return index, torch.tensor([1.0, 0.0, 0.0], device=corners.device).repeat(len(corners), 1)


def _stacked(blurs: Sequence[tuple[Tensor, Tensor]], firsts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Blurs of several lattices as one; the corners of each begin at its number in `firsts`."""
    index = torch.cat([one + first for (one, _), first in zip(blurs, firsts, strict=True)])
    return index, torch.cat([weights for _, weights in blurs])
