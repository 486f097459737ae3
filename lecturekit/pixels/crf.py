"""The fully connected CRF: every pixel talks to every other, most to those nearby and of its colour.

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
  here: a pixel unlike all others then hears mostly itself. ``False`` leaves it out (after the normalisation).

The sums are done on a permutohedral lattice that depends on the picture alone: make a `Pairwise` once, and
use it in place of the picture for any unary, weights and number of classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from ._lattice import Gaussian, Lattice, gaussian

Array = np.ndarray | Tensor

#: The label of pixels about which nothing is known.
IGNORE = 255
#: An exact kernel of more numbers than this (400 MB) is refused: one picture of 100 x 100 pixels has as many.
EXACT_LIMIT = 10**8
#: Smaller probabilities are taken for this one, so that -log p stays finite.
FLOOR = 1e-5


class Pairwise:
    """The kernel k(i, j) of a picture, or of a batch: ``pairwise @ q`` sums q over all pixels for each pixel.

    Args:
        image: RGB in 0..255, uint8 or float: ``(H, W, 3)``, ``(B, H, W, 3)`` or a list of pictures of one
            size. The kernel of a tensor lives on its device (of Apple's MPS: on the CPU).
        w1, theta_alpha, theta_beta: weight of the appearance kernel, its width in pixels and in grey values.
        w2, theta_gamma: weight of the smoothness kernel and its width in pixels. All defaults lie in the
            ranges that DeepLab searched. Widths are in pixels: for a smaller picture, make them smaller.
        normalisation: ``"symmetric"`` or ``"none"``, see the module. The lattice with ``"none"`` is scaled to
            the exact kernel by the row sums of 64 pixels of each picture.
        self_message: whether a pixel hears itself, see the module.
        exact: use every pair of pixels: the truth, for small pictures.

    Attributes:
        shape: ``(B, H, W)``.
        self_message: as given.

    Raises ``TypeError`` or ``ValueError`` for bad arguments, among them NaN pixels, a picture in 0..1, one
    too large for `exact`, and widths too small for the lattice.
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
        _check_numbers(above=False, w1=w1, w2=w2)
        _check_numbers(above=True, theta_alpha=theta_alpha, theta_beta=theta_beta, theta_gamma=theta_gamma)
        if normalisation not in ("symmetric", "none"):
            raise ValueError(f"normalisation must be 'symmetric' or 'none', got {normalisation!r}")
        pictures = _pictures(image)
        self.shape = tuple(pictures.shape[:3])
        if exact and self.shape[0] * math.prod(self.shape[1:]) ** 2 > EXACT_LIMIT:
            raise ValueError(f"image must be 100 x 100 at most for exact=True, got {self.shape} (B, H, W)")
        # On a CPU picture by picture, whose numbers stay in the cache; on a GPU all together.
        groups = pictures.split(1 if pictures.device.type == "cpu" else len(pictures))
        kind, widths = Gaussian if exact else Lattice, (theta_alpha, theta_beta, theta_gamma)
        kernels = [_Kernel(group, widths, kind, normalisation, self_message) for group in groups]
        self._kernels = [kernel.weighted(w1, w2) for kernel in kernels]
        self.self_message = self_message

    def weighted(self, w1: float, w2: float) -> Pairwise:
        """The same kernel with other weights, at no cost: both share the lattices."""
        _check_numbers(above=False, w1=w1, w2=w2)
        other = copy.copy(self)
        other._kernels = [kernel.weighted(w1, w2) for kernel in self._kernels]
        return other

    def __matmul__(self, q: Tensor) -> Tensor:
        """``out[i] = sum_j k(i, j) q[j]``; q and out are ``(B, N, K)`` with N = H W."""
        return torch.cat([kernel @ rows for kernel, rows in self._split(q)])

    def _split(self, rows: Tensor) -> Iterator[tuple[_Kernel, Tensor]]:
        """The kernel of each group of pictures, with the group's share of rows ``(B, N, K)``."""
        return zip(self._kernels, rows.split(len(rows) // len(self._kernels)), strict=True)


class _Kernel:
    """k(i, j) of some pictures ``(B, H, W, 3)`` together; made without its weights."""

    def __init__(
        self,
        pictures: Tensor,
        widths: tuple[float, float, float],
        kind: type[Gaussian | Lattice],
        normalisation: str,
        self_message: bool,
    ):
        theta_alpha, theta_beta, theta_gamma = widths
        position, colour = _positions(pictures), pictures.flatten(1, 2)
        appearance = torch.cat([position / theta_alpha, colour / theta_beta], dim=2)
        parts = [_scaled(kind, f, normalisation) for f in (appearance, position / theta_gamma)]
        self.owns = None if self_message else [part.diagonal()[:, :, None] for part in parts]
        self.stack = kind.stack(parts)

    def weighted(self, w1: float, w2: float) -> _Kernel:
        other = copy.copy(self)
        other.total = self.stack.weighted((w1, w2))
        other.own = None if self.owns is None else w1 * self.owns[0] + w2 * self.owns[1]
        return other

    def __matmul__(self, q: Tensor) -> Tensor:
        out = self.total @ q
        return out if self.own is None else out - self.own * q


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
        image: the picture or pictures, or a `Pairwise` made of them before.
        iterations: how often `mean_field_step` is taken; 0 gives ``softmax(-unary)``.
        compatibility: what a pair of pixels with these two labels costs, symmetric ``(K, K)``; Potts if None.
        **kernel: w1, theta_alpha, theta_beta, w2, theta_gamma, normalisation, self_message and exact, as
            `Pairwise` explains them; not beside a `Pairwise`.

    Returns:
        Shape and device of the unary; float64 for a float64 unary, float32 for all others. Sums to 1 over the
        classes. Gradients flow to the unary.

    Raises ``TypeError`` or ``ValueError`` for bad arguments.
    """
    _check_whole("iterations", iterations, 0)
    energies = _unary(unary)
    compatibility = _compatibility(compatibility, energies)
    pairwise = _pairwise(image, kernel, energies)
    groups = pairwise._split(_rows(energies))
    q = torch.cat([_iterate(rows, part, iterations, compatibility) for part, rows in groups])
    return q.mT.reshape(energies.shape).to(unary.device if isinstance(unary, Tensor) else "cpu")


def mean_field_step(
    q: Tensor, unary: Tensor, kernel: Tensor | Pairwise, compatibility: Tensor | None = None
) -> Tensor:
    """One round of listening: each pixel hears what the others believe, and makes up its mind anew.

    Args:
        q: float ``(..., N, K)``, the belief of N pixels in K classes; sums to 1 over the classes.
        unary: float ``(..., N, K)``, energies ``-log p``.
        kernel: how much pixel i listens to pixel j: a matrix ``(..., N, N)`` or a `Pairwise`.
        compatibility: what a pair of pixels with these two labels costs, symmetric ``(K, K)``; Potts if None.

    Returns:
        The new belief, like `q`.
    """
    support = kernel @ q
    if compatibility is not None:
        support = -support @ compatibility
    # Potts: a class pays for the support of all others. What all classes have together is the same for each,
    # and the softmax does not see it; so let each class earn its own support instead.
    return (support - unary).softmax(-1)


def _iterate(unary: Tensor, kernel: _Kernel, iterations: int, compatibility: Tensor | None) -> Tensor:
    q = (-unary).softmax(-1)
    for _ in range(iterations):
        q = mean_field_step(q, unary, kernel, compatibility)
    return q


def exact_mean_field(unary: Array, image: Array | Sequence[Array], **arguments) -> Tensor:
    """`mean_field` with every pair of pixels in the sums: the truth, for pictures up to 100 x 100."""
    return mean_field(unary, image, exact=True, **arguments)


def kernel_matrix(image: Array, **kernel) -> Tensor:
    """All k(i, j) of one picture, exact, ``(N, N)``; arguments as in `Pairwise`, pixels row by row."""
    pairwise = Pairwise(image, exact=True, **kernel)
    if pairwise.shape[0] != 1:
        raise ValueError(f"image must be one picture, got {pairwise.shape[0]}")
    pixels = math.prod(pairwise.shape[1:])
    return (pairwise @ torch.eye(pixels, device=_pictures(image).device)[None])[0]


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
        image, iterations, **kernel: as in `mean_field`, with Potts.
        confidence: how probable a label is, in (0, 1), one number or one a pixel. Not used for probabilities.

    Returns:
        The most probable label of each pixel, uint8, also where nothing was known: an array for an array, a
        tensor for a tensor. No label appears that did not occur; labels that are all 255 stay so.
    """
    given = _tensor(labels, "labels")
    if given.is_floating_point():
        unary = unary_from_probabilities(given)
        names = torch.arange(unary.shape[-3], device=unary.device)
    else:
        given = _labels(given, IGNORE)
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
        unary, image, compatibility, **kernel: as in `mean_field`.

    Returns:
        ``()`` for one picture, ``(B,)`` for a batch.
    """
    energies = _unary(unary)
    classes, shape = energies.shape[-3], energies.shape[:-3] + energies.shape[-2:]
    chosen = _one_hot(_labels(labels, classes, unknown=False), classes)
    if chosen.shape != energies.shape:
        raise ValueError(f"labels must be {tuple(shape)} like the unary, got {tuple(np.shape(labels))}")
    cost = 1 - torch.eye(classes) if compatibility is None else compatibility
    cost = _compatibility(cost, energies)
    if cost.diagonal().any():
        # A pixel's message to itself would count as a pair of equal labels.
        if isinstance(image, Pairwise) and image.self_message:
            raise ValueError("image must be a Pairwise with self_message=False, or equal labels must cost 0")
        kernel = kernel if isinstance(image, Pairwise) else kernel | {"self_message": False}
    pairwise = _pairwise(image, kernel, energies)
    x = _rows(chosen.to(energies))
    pairs = (x * (pairwise @ x @ cost)).sum((1, 2)) / 2
    return ((x * _rows(energies)).sum((1, 2)) + pairs).reshape(shape[:-2])


def unary_from_probabilities(probabilities: Array) -> Tensor:
    """``-log p`` of probabilities ``(..., K, H, W)``, which need not sum to 1; below `FLOOR` they are raised.

    Returns float32 (float64 for float64). Raises ``ValueError`` for NaN and outside 0..1, where logits are.
    """
    p = _tensor(probabilities, "probabilities")
    if not p.is_floating_point():
        raise TypeError(f"probabilities must be floats, got {p.dtype}")
    if not ((p >= 0) & (p <= 1.01)).all():  # bfloat16 rounds
        raise ValueError("probabilities must be in 0..1 without NaN; make them of logits by a softmax")
    return -_wide(p).clamp(FLOOR, 1).log()


def unary_from_labels(labels: Array, classes: int, confidence: float | Array = 0.7) -> Tensor:
    """Energies of a label map: the label has probability `confidence`, all other classes share the rest.

    Args:
        labels: integers ``(..., H, W)``: 0..classes-1, or 255 where all classes are equally probable.
        classes: number of classes K, 1..255.
        confidence: in (0, 1), one number or one a pixel.

    Returns:
        Float32 ``(..., K, H, W)`` on the device of the labels.
    """
    _check_whole("classes", classes, 1, IGNORE)
    labels = _labels(labels, classes)
    sure = torch.as_tensor(confidence, dtype=torch.float32, device=labels.device)
    if sure.shape not in ((), labels.shape) or not ((sure > 0) & (sure < 1)).all():
        raise ValueError(
            f"confidence must be in (0, 1), one number or {tuple(labels.shape)}, got {confidence!r}"
        )
    sure = sure.expand(labels.shape).unsqueeze(-3)
    p = torch.where(_one_hot(labels, classes), sure, (1 - sure) / max(classes - 1, 1))
    return -torch.where((labels == IGNORE).unsqueeze(-3), 1 / classes, p).log()


def _scaled(kind: type[Gaussian | Lattice], features: Tensor, normalisation: str) -> Gaussian | Lattice:
    """The Gaussian kernel of features ``(B, N, d)``, scaled by its own row sums or to the true ones."""
    kernel = kind(features)
    sums = (kernel @ torch.ones_like(features[:, :, :1])).squeeze(2)
    if normalisation == "symmetric":
        kernel.scale(sums.rsqrt())
    elif kind is Lattice:
        some = torch.linspace(0, features.shape[1] - 1, 64, device=features.device).round().long()
        true = gaussian(features[:, some], features).sum((1, 2))
        kernel.scale((true / sums[:, some].sum(1)).sqrt()[:, None].expand_as(sums))
    return kernel


def _positions(pictures: Tensor) -> Tensor:
    """``(x, y)`` of each pixel along the rows, ``(B, N, 2)``."""
    height, width = (torch.arange(n, device=pictures.device).float() for n in pictures.shape[1:3])
    grid = torch.stack(torch.meshgrid(width, height, indexing="xy"), dim=2)
    return grid.flatten(0, 1).expand(len(pictures), -1, -1)


def _pairwise(image: Array | Sequence[Array] | Pairwise, kernel: dict, unary: Tensor) -> Pairwise:
    """The kernel of `image`, which may be one already, after a look at whether picture and unary fit."""
    if isinstance(image, Pairwise):
        if kernel:
            raise TypeError(f"{', '.join(kernel)} cannot be set for a Pairwise, which was made with its own")
        shape = image.shape
    else:
        image = _pictures(image).to(unary.device)
        shape = tuple(image.shape[:3])
    wanted = (1, *unary.shape[1:]) if unary.ndim == 3 else (len(unary), *unary.shape[2:])
    if shape != wanted:
        raise ValueError(f"image must be {wanted} (B, H, W) like the unary, got {shape}")
    return image if isinstance(image, Pairwise) else Pairwise(image, **kernel)


def _rows(maps: Tensor) -> Tensor:
    """``(K, H, W)`` or ``(B, K, H, W)`` -> ``(B, N, K)``."""
    return maps.flatten(-2).mT.reshape(-1, maps.shape[-2] * maps.shape[-1], maps.shape[-3])


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    """``(..., H, W)`` -> bool ``(..., K, H, W)``."""
    return labels.unsqueeze(-3) == torch.arange(classes, device=labels.device)[:, None, None]


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _home(values: Tensor) -> Tensor:
    """The tensor where the sums are done: on its device, but for MPS, which lacks some of the operations."""
    return values.cpu() if values.device.type == "mps" else values


def _tensor(value: Array, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array or a tensor, got {type(value).__name__}")
    return torch.tensor(np.ascontiguousarray(value))


def _pictures(image: Array | Sequence[Array]) -> Tensor:
    """One picture, a batch or a list -> float32 ``(B, H, W, 3)`` in 0..255."""
    if isinstance(image, list | tuple):
        sizes = {tuple(np.shape(one)) for one in image}
        if len(sizes) != 1:
            raise ValueError(f"image must be a list of pictures of one size, got {sorted(sizes)}")
        image = torch.stack([_tensor(one, "image") for one in image])
    pictures = _home(_tensor(image, "image"))
    pictures = pictures[None] if pictures.ndim == 3 else pictures
    if pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape:
        raise ValueError(f"image must be RGB, (H, W, 3) or (B, H, W, 3), got {tuple(image.shape)}")
    low, high = pictures.float().aminmax()
    if not 0 <= low <= high <= 255:  # also false for NaN
        raise ValueError(f"image must have values in 0..255 without NaN, got {low:g}..{high:g}")
    if pictures.is_floating_point() and 0 < high <= 1:
        raise ValueError(f"image must have values in 0..255, got 0..{high:g}: multiply it by 255")
    return pictures.float()


def _unary(unary: Array) -> Tensor:
    unary = _home(_tensor(unary, "unary"))
    if not unary.is_floating_point():
        raise TypeError(
            f"unary must be floats, energies -log p, got {unary.dtype}; labels: unary_from_labels"
        )
    if unary.ndim not in (3, 4) or 0 in unary.shape:
        raise ValueError(f"unary must be (K, H, W) or (B, K, H, W), got {tuple(unary.shape)}")
    if not unary.isfinite().all():
        raise ValueError(
            "unary must be finite; unary_from_probabilities makes -log p of probabilities safely"
        )
    return _wide(unary)


def _labels(labels: Array, classes: int, unknown: bool = True) -> Tensor:
    labels = _tensor(labels, "labels")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    labels = labels.long()
    if labels.ndim < 2 or 0 in labels.shape:
        raise ValueError(f"labels must be (H, W) or (B, H, W), got {tuple(labels.shape)}")
    wrong = (labels < 0) | (labels >= classes)
    wrong = wrong & (labels != IGNORE) if unknown else wrong
    if wrong.any():
        also = f" or {IGNORE}" if unknown else ""
        raise ValueError(f"labels must be in 0..{classes - 1}{also}, got {labels[wrong][0]}")
    return labels


def _compatibility(matrix: Array | None, unary: Tensor) -> Tensor | None:
    if matrix is None:
        return None
    matrix, classes = _tensor(matrix, "compatibility"), unary.shape[-3]
    if matrix.shape != (classes, classes) or not matrix.isfinite().all() or not torch.equal(matrix, matrix.T):
        raise ValueError(f"compatibility must be finite and symmetric, ({classes}, {classes}), got {matrix}")
    return matrix.to(unary)


def _check_numbers(*, above: bool, **values: float) -> None:
    """Raise unless all are finite numbers above 0, or at least 0."""
    for name, value in values.items():
        if not isinstance(value, Real):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not 0 <= value < math.inf or (above and value == 0):
            raise ValueError(f"{name} must be finite and {'above' if above else 'at least'} 0, got {value!r}")


def _check_whole(name: str, value: int, low: int, high: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number in {low}..{high}, got {value!r}")
