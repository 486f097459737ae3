"""The fully connected CRF: every pair of pixels is linked, most strongly those nearby and of one colour.

Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", NIPS 2011.
The energy of a label map x over pixels with positions p (in pixels) and colours I (0..255) is::

    E(x) = sum_i U_i(x_i) + sum_{i<j} mu(x_i, x_j) k(i, j)
    k(i, j) = w1 exp(-|p_i - p_j|^2 / 2 theta_alpha^2 - |I_i - I_j|^2 / 2 theta_beta^2)    appearance
            + w2 exp(-|p_i - p_j|^2 / 2 theta_gamma^2)                                     smoothness

with the unary ``U = -log p`` (not logits) and ``mu = 1`` for different labels, 0 for equal ones (Potts), or a
matrix of your own. Mean field looks for the product of independent pixels that is closest to ``exp(-E)``.

Implementations differ in two conventions:

- `normalisation`. ``"none"``: the kernels as the paper has them, which add up to more in a larger picture.
  ``"symmetric"``, the default here and in the usual C++ library: each kernel is divided by the square roots
  of the row sums of both its pixels, so that w1 and w2 mean the same in every picture.
- `self_message`. The paper's sum leaves out ``j = i``. The C++ library keeps it, and so does the default
  here: a pixel unlike all others then keeps mostly its own label. ``False`` leaves it out (after the
  normalisation).

The sums are done on a permutohedral lattice that depends on the picture alone: make a `Pairwise` once, and
use it in place of the picture for any unary, weights and number of classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..kit.checks import choice, number, whole
from ..labels.label_map import IGNORE
from ._crf_inputs import (
    Array,
    as_rows,
    as_tensor,
    checked_compatibility,
    checked_labels,
    checked_pixels,
    checked_unary,
    home,
    one_hot,
    wide,
)
from ._lattice import Gaussian, Lattice, gaussian

#: An exact kernel of more numbers than this (400 MB) is refused: one picture of 100 x 100 pixels has as many.
EXACT_LIMIT = 10**8
#: Smaller probabilities are taken for this one, so that -log p stays finite.
FLOOR = 1e-5


class Pairwise:
    """The kernel k(i, j) of a picture, or of a batch: ``pairwise @ q`` sums q over all pixels for each pixel.

    The defaults lie in the ranges that DeepLab searched. Widths are in pixels: make them smaller
    for a smaller image.

    Args:
        image: RGB in 0..255, uint8 or float: ``(H, W, 3)``, ``(B, H, W, 3)`` or a list of images of one
            size. The kernel of a tensor lives on its device (of Apple's MPS: on the CPU). No gradient flows
            to it.
        w1: weight of the appearance kernel.
        theta_alpha: width of the appearance kernel in pixels.
        theta_beta: width of the appearance kernel in grey values.
        w2: weight of the smoothness kernel.
        theta_gamma: width of the smoothness kernel in pixels.
        normalisation: ``"symmetric"`` or ``"none"``, see the module. The lattice with ``"none"`` is scaled to
            the exact kernel by the row sums of 64 pixels of each image.
        self_message: whether a pixel's own value is in its sum, see the module.
        exact: use every pair of pixels: the truth, for small images.

    Attributes:
        shape: ``(B, H, W)``.
        self_message: as given.

    Raises:
        TypeError: an image that is no array or tensor.
        ValueError: NaN pixels, float pixels in 0..1, an image too large for `exact`, weights or widths out of
            range, widths too small for the lattice.

    Example:
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> pairwise = Pairwise(image, theta_alpha=4.0)
        >>> (pairwise @ torch.ones(1, 24, 2)).shape
        torch.Size([1, 24, 2])
    """

    def __init__(
        self,
        image: Array | Sequence[Array],
        *,
        w1: float = 4.0,
        theta_alpha: float = 80.0,
        theta_beta: float = 5.0,
        w2: float = 3.0,
        theta_gamma: float = 3.0,
        normalisation: str = "symmetric",
        self_message: bool = True,
        exact: bool = False,
    ):
        w1, w2 = number("w1", w1, 0), number("w2", w2, 0)
        given = {"theta_alpha": theta_alpha, "theta_beta": theta_beta, "theta_gamma": theta_gamma}
        widths = {name: number(name, value, 0, open_=True) for name, value in given.items()}
        choice("normalisation", normalisation, ["symmetric", "none"])
        images = checked_pixels(image).float()
        self.shape = tuple(images.shape[:3])
        if exact and self.shape[0] * math.prod(self.shape[1:]) ** 2 > EXACT_LIMIT:
            raise ValueError(f"image must be 100 x 100 at most for exact=True, got {self.shape} (B, H, W)")
        # On a CPU image by image, whose numbers stay in the cache; on a GPU all together.
        groups = images.split(1 if images.device.type == "cpu" else len(images))
        kind = Gaussian if exact else Lattice
        self._stacks = [_stacked(group, widths, kind, normalisation, self_message) for group in groups]
        self._kernels = [stack.weighted(w1, w2) for stack in self._stacks]
        self.self_message = self_message

    def weighted(self, w1: float, w2: float) -> Pairwise:
        """The same kernel with other weights, at no cost: both share the lattices.

        Args:
            w1: weight of the appearance kernel.
            w2: weight of the smoothness kernel.
        """
        w1, w2 = number("w1", w1, 0), number("w2", w2, 0)
        other = copy.copy(self)
        other._kernels = [stack.weighted(w1, w2) for stack in self._stacks]
        return other

    def __matmul__(self, q: Array) -> Tensor:
        """``out[i] = sum_j k(i, j) q[j]``; q and out are floats ``(B, N, K)`` with N = H W."""
        rows = home(as_tensor(q, "q"))
        wanted = self.shape[0], math.prod(self.shape[1:])
        if not rows.is_floating_point() or rows.ndim != 3 or rows.shape[:2] != wanted:
            raise ValueError(
                f"q must be floats ({wanted[0]}, {wanted[1]}, K), got {rows.dtype} {tuple(rows.shape)}"
            )
        return torch.cat([kernel @ part for kernel, part in self._split(rows)])

    def _split(self, rows: Tensor) -> Iterator[tuple[_Kernel, Tensor]]:
        """The kernel of each group of images, with the group's share of rows ``(B, N, K)``."""
        return zip(self._kernels, rows.split(len(rows) // len(self._kernels)), strict=True)


@dataclass(frozen=True)
class _Kernel:
    """k(i, j) of some images together, with its weights."""

    total: Gaussian | Lattice
    own: Tensor | None  #: (B, N, 1) k(i, i), to be left out of the sums; None: it stays

    def __matmul__(self, q: Tensor) -> Tensor:
        out = self.total @ q
        return out if self.own is None else out - self.own * q


@dataclass(frozen=True)
class _Stack:
    """The appearance and the smoothness kernel of some images, to be added with any weights."""

    kernels: Gaussian | Lattice
    owns: list[Tensor] | None

    def weighted(self, w1: float, w2: float) -> _Kernel:
        own = None if self.owns is None else w1 * self.owns[0] + w2 * self.owns[1]
        return _Kernel(self.kernels.weighted((w1, w2)), own)


def _stacked(
    images: Tensor,
    widths: dict[str, float],
    kind: type[Gaussian] | type[Lattice],
    normalisation: str,
    self_message: bool,
) -> _Stack:
    """Both kernels of images ``(B, H, W, 3)``, without weights."""
    position = _positions(images)  # (B, N, 2)
    colour = images.flatten(1, 2)  # (B, N, 3)
    appearance = torch.cat([position / widths["theta_alpha"], colour / widths["theta_beta"]], dim=2)
    smoothness = position / widths["theta_gamma"]
    parts: list[Any] = [_scaled(kind, features, normalisation) for features in (appearance, smoothness)]
    owns = None if self_message else [part.diagonal()[:, :, None] for part in parts]
    return _Stack(kind.stack(parts), owns)


def mean_field(
    unary: Array,
    image: Array | Sequence[Array] | Pairwise,
    *,
    iterations: int = 10,
    compatibility: Array | None = None,
    **kernel,
) -> Tensor:
    """Probability of each class at each pixel under the CRF, by mean field (section 3 of the paper).

    Args:
        unary: energies ``-log p``, finite floats ``(K, H, W)``, or ``(B, K, H, W)`` for a batch; see
            `unary_from_probabilities` and `unary_from_labels`.
        image: the image or images, or a `Pairwise` made of them before.
        iterations: how often `mean_field_step` is taken; 0 gives ``softmax(-unary)``.
        compatibility: what a pair of pixels with these two labels costs, symmetric ``(K, K)``; Potts if None.
        **kernel: w1, theta_alpha, theta_beta, w2, theta_gamma, normalisation, self_message and exact, as
            `Pairwise` explains them; not beside a `Pairwise`.

    Returns:
        The marginals q, of the shape and on the device of the unary; float64 for a float64 unary, float32 for
        all others. They sum to 1 over the classes. Gradients flow to the unary.

    Raises:
        TypeError: a unary or image of another kind, or options beside a `Pairwise`.
        ValueError: shapes that do not fit, energies that are not finite, options out of range.

    Example:
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> unary = unary_from_labels(np.eye(4, 6, dtype=np.uint8), classes=2)
        >>> q = mean_field(unary, image, theta_alpha=4.0)
        >>> bool((q[0] > q[1]).all())  # on one colour the few pixels of class 1 give way
        True
    """
    iterations = whole("iterations", iterations, 0)
    energies = checked_unary(unary)
    costs = checked_compatibility(compatibility, energies)
    pairwise = _pairwise(image, kernel, energies)
    groups = pairwise._split(as_rows(energies))
    q = torch.cat([_iterate(rows, part, iterations, costs) for part, rows in groups])
    return q.mT.reshape(energies.shape).to(unary.device if isinstance(unary, Tensor) else "cpu")


def mean_field_step(
    q: Tensor, unary: Tensor, kernel: Tensor | Pairwise | _Kernel, compatibility: Tensor | None = None
) -> Tensor:
    """One mean-field update of the marginals q (Krähenbühl and Koltun, section 3, algorithm 1).

    Args:
        q: float ``(..., N, K)``, the marginals of N pixels over K classes; they sum to 1 over the classes.
        unary: float ``(..., N, K)``, energies ``-log p``.
        kernel: k(i, j), a matrix ``(..., N, N)`` or a `Pairwise`.
        compatibility: what a pair of pixels with these two labels costs, symmetric ``(K, K)``; Potts if None.

    Returns:
        The new marginals, like `q`.
    """
    support = kernel @ q  # (..., N, K): message passing
    if compatibility is not None:
        support = -support @ compatibility
    # Potts: a class pays for the support of all others. The sum over all classes is the same for each of
    # them, and the softmax does not see it; so each class gains its own support instead.
    return (support - unary).softmax(-1)


def _iterate(unary: Tensor, kernel: _Kernel, iterations: int, compatibility: Tensor | None) -> Tensor:
    q = (-unary).softmax(-1)
    for _ in range(iterations):
        q = mean_field_step(q, unary, kernel, compatibility)
    return q


def exact_mean_field(unary: Array, image: Array | Sequence[Array], **arguments) -> Tensor:
    """`mean_field` with every pair of pixels in the sums: the truth, for images up to 100 x 100.

    Args:
        unary: as in `mean_field`.
        image: as in `mean_field`.
        **arguments: the others of `mean_field`.
    """
    return mean_field(unary, image, exact=True, **arguments)


def kernel_matrix(image: Array, **kernel) -> Tensor:
    """All k(i, j) of one image, exact, ``(N, N)``, pixels row by row.

    Args:
        image: as in `Pairwise`, one.
        **kernel: the others of `Pairwise`.

    Raises:
        ValueError: more than one image; otherwise as `Pairwise`.
    """
    pairwise = Pairwise(image, exact=True, **kernel)
    if pairwise.shape[0] != 1:
        raise ValueError(f"image must be one image, got {pairwise.shape[0]}")
    pixels = math.prod(pairwise.shape[1:])
    return (pairwise @ torch.eye(pixels, device=checked_pixels(image).device)[None])[0]


@torch.no_grad()
def refine(
    labels: Array,
    image: Array | Sequence[Array] | Pairwise,
    *,
    confidence: float | Array = 0.7,
    iterations: int = 10,
    **kernel,
) -> Array:
    """Move the boundaries of a label map to where the colours change.

    Args:
        labels: integers ``(H, W)`` or ``(B, H, W)``, 255 where nothing is known; or probabilities, floats
            ``(K, H, W)`` or ``(B, K, H, W)``.
        image: as in `mean_field`.
        confidence: how probable a label is, one number or one a pixel, below 1 and at least 1 / K where K
            different labels occur (less would speak against the label). Not used for probabilities.
        iterations: as in `mean_field`.
        **kernel: as in `mean_field`, with Potts.

    Returns:
        The most probable label of each pixel, uint8, also where nothing was known: an array for an array, a
        tensor for a tensor. No label appears that did not occur; labels that are all 255 stay so.

    Raises:
        TypeError: labels that are neither integers nor floats, or an image of another kind.
        ValueError: shapes that do not fit, confidence out of range, more than 255 classes; otherwise as
            `mean_field`.

    Example:
        >>> image = np.zeros((6, 8, 3), np.uint8)
        >>> image[:, 4:] = 200
        >>> labels = np.zeros((6, 8), np.uint8)
        >>> labels[:, 5:] = 7  # one column too few
        >>> refine(labels, image, theta_alpha=4.0)[0].tolist()
        [0, 0, 0, 0, 7, 7, 7, 7]
    """
    given = as_tensor(labels, "labels").detach()
    if given.is_floating_point():
        unary = unary_from_probabilities(given)
        names = torch.arange(unary.shape[-3], device=unary.device)
    else:
        given = checked_labels(given, IGNORE)
        names = given.unique()  # 255 is the last
        names = names[names != IGNORE] if len(names) > 1 else names
        places = torch.where(given == IGNORE, IGNORE, torch.searchsorted(names, given))
        unary = unary_from_labels(places, len(names), confidence)
    if len(names) > IGNORE:
        raise ValueError(f"labels must have at most {IGNORE} classes, which uint8 can hold, got {len(names)}")
    best = mean_field(unary, image, iterations=iterations, **kernel).argmax(-3)
    refined = names[best].to(torch.uint8)
    return refined.numpy() if isinstance(labels, np.ndarray) else refined


def energy(
    labels: Array,
    unary: Array,
    image: Array | Sequence[Array] | Pairwise,
    *,
    compatibility: Array | None = None,
    **kernel,
) -> Tensor:
    """E(x) of label maps, as the module has it: the lower, the more probable; no pixel pairs with itself.

    Args:
        labels: classes 0..K-1, ``(H, W)``, or ``(B, H, W)`` for a batch; no pixel may be 255.
        unary: as in `mean_field`.
        image: as in `mean_field`.
        compatibility: as in `mean_field`.
        **kernel: as in `mean_field`.

    Returns:
        ``()`` for one image, ``(B,)`` for a batch.

    Raises:
        TypeError: as `mean_field`.
        ValueError: labels out of range or of another size; otherwise as `mean_field`.
    """
    energies = checked_unary(unary)
    classes, shape = energies.shape[-3], energies.shape[:-3] + energies.shape[-2:]
    chosen = one_hot(checked_labels(labels, classes, unknown=False), classes)
    if chosen.shape != energies.shape:
        raise ValueError(f"labels must be {tuple(shape)} like the unary, got {tuple(np.shape(labels))}")
    potts = 1 - torch.eye(classes)
    cost = cast(Tensor, checked_compatibility(potts if compatibility is None else compatibility, energies))
    if cost.diagonal().any():
        # A pixel's message to itself would count as a pair of equal labels.
        if isinstance(image, Pairwise) and image.self_message:
            raise ValueError("image must be a Pairwise with self_message=False, or equal labels must cost 0")
        kernel = kernel if isinstance(image, Pairwise) else kernel | {"self_message": False}
    pairwise = _pairwise(image, kernel, energies)
    x = as_rows(chosen.to(energies))
    pairs = (x * (pairwise @ x @ cost)).sum((1, 2)) / 2
    return ((x * as_rows(energies)).sum((1, 2)) + pairs).reshape(shape[:-2])


def unary_from_probabilities(probabilities: Array) -> Tensor:
    """``-log p`` of probabilities ``(..., K, H, W)``, which need not sum to 1; below `FLOOR` they are raised.

    Args:
        probabilities: floats in 0..1.

    Returns:
        Float32, float64 for float64.

    Raises:
        TypeError: no floats.
        ValueError: NaN, or values outside 0..1, as logits are.
    """
    p = as_tensor(probabilities, "probabilities")
    if not p.is_floating_point():
        raise TypeError(f"probabilities must be floats, got {p.dtype}")
    if not ((p >= 0) & (p <= 1.01)).all():  # bfloat16 rounds
        raise ValueError("probabilities must be in 0..1 without NaN; make them of logits by a softmax")
    return -wide(p).clamp(FLOOR, 1).log()


def unary_from_labels(labels: Array, classes: int, confidence: float | Array = 0.7) -> Tensor:
    """Energies of a label map: the label has probability `confidence`, all other classes share the rest.

    Args:
        labels: integers ``(..., H, W)``: 0..classes-1, or 255 where all classes are equally probable.
        classes: number of classes K, 1..255.
        confidence: below 1 and at least 1 / K, one number or one a pixel: with less, a pixel would rather
            have any other label than its own.

    Returns:
        Float32 ``(..., K, H, W)`` on the device of the labels.

    Raises:
        TypeError: labels that are not integers.
        ValueError: labels, classes or confidence out of range.

    Example:
        >>> unary_from_labels(np.array([[1, 255]], np.uint8), classes=2, confidence=0.8).exp().reciprocal()
        tensor([[[0.2000, 0.5000]],
        <BLANKLINE>
                [[0.8000, 0.5000]]])
    """
    classes = whole("classes", classes, 1, IGNORE)
    given = checked_labels(labels, classes)
    sure = torch.as_tensor(confidence, dtype=torch.float32, device=given.device)
    least = 1 / classes - 1e-6 if classes > 1 else 0  # one class is certain, whatever is said of it
    if sure.shape not in ((), given.shape) or not ((sure > 0) & (sure >= least) & (sure < 1)).all():
        raise ValueError(
            f"confidence must be below 1 and at least {1 / classes:.3g} for {classes} classes, one number or "
            f"{tuple(given.shape)}, got {confidence!r}"
        )
    sure = sure.expand(given.shape).unsqueeze(-3)  # (..., 1, H, W)
    p = torch.where(one_hot(given, classes), sure, (1 - sure) / max(classes - 1, 1))
    return -torch.where((given == IGNORE).unsqueeze(-3), 1 / classes, p).log()


def _scaled(kind: type[Gaussian] | type[Lattice], features: Tensor, normalisation: str) -> Gaussian | Lattice:
    """The Gaussian kernel of features ``(B, N, d)``, scaled by its own row sums or to the true ones."""
    kernel = kind(features)
    sums = (kernel @ torch.ones_like(features[:, :, :1])).squeeze(2)  # (B, N)
    if normalisation == "symmetric":
        kernel.scale(sums.rsqrt())
    elif kind is Lattice:
        # The blur leaves out empty parts of the space, so the lattice's sums are too small, by about the same
        # factor everywhere: 64 rows of the exact kernel are enough to find it.
        some = torch.linspace(0, features.shape[1] - 1, 64, device=features.device).round().long()
        true = gaussian(features[:, some], features).sum((1, 2))
        kernel.scale((true / sums[:, some].sum(1)).sqrt()[:, None].expand_as(sums))
    return kernel


def _positions(images: Tensor) -> Tensor:
    """``(x, y)`` of each pixel along the rows, ``(B, N, 2)``."""
    height, width = (torch.arange(n, device=images.device).float() for n in images.shape[1:3])
    grid = torch.stack(torch.meshgrid(width, height, indexing="xy"), dim=2)  # (H, W, 2)
    return grid.flatten(0, 1).expand(len(images), -1, -1)


def _pairwise(image: Array | Sequence[Array] | Pairwise, kernel: dict[str, Any], unary: Tensor) -> Pairwise:
    """The kernel of `image`, which may be one already, after a look at whether image and unary fit."""
    if isinstance(image, Pairwise) and kernel:
        raise TypeError(f"{', '.join(kernel)} cannot be set for a Pairwise, which was made with its own")
    images = image if isinstance(image, Pairwise) else checked_pixels(image).to(unary.device)
    wanted = (1, *unary.shape[1:]) if unary.ndim == 3 else (len(unary), *unary.shape[2:])
    if tuple(images.shape[:3]) != wanted:
        raise ValueError(f"image must be {wanted} (B, H, W) like the unary, got {tuple(images.shape[:3])}")
    return images if isinstance(images, Pairwise) else Pairwise(images, **kernel)
