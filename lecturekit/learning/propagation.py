"""A mask on every few frames of a clip, carried to the frames between by their motion.

The lecture: sparse temporal labels are propagated over time. A mask travels as shares of classes, so that a
pixel may be half of one; where motion cannot be trusted (seen by following it there and back) the label is
ignored, and a student learns the rest. The rival needs no motion: each cell takes the label of the cells
that look like it.

Frames are uint8 RGB ``(H, W, 3)`` of one size, masks uint8 ``(H, W)`` with 255 for ignore. A flow is
``(H, W, 2)``, dx and dy; ``back`` always leads from the frame that is to be labelled to the one that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from ..kit.checks import number, whole
from ..kit.images import checked_images
from ..labels.label_map import IGNORE, checked_label_map
from ..pixels import crf
from ..pixels.priors import carry_shares

#: Motion between frames this far apart is found at once; beyond that it is put together of such hops.
HOP = 3


def one_hot(mask: ArrayLike, classes: int) -> NDArray[np.float32]:
    """A label map as shares: uint8 ``(H, W)`` -> ``(K, H, W)``; an ignored pixel has none.

    Args:
        mask: 0..classes - 1, or 255.
        classes: K.

    Example:
        >>> one_hot(np.array([[1, 255]], np.uint8), 2)[:, 0].tolist()
        [[0.0, 0.0], [1.0, 0.0]]
    """
    mask = checked_label_map(mask, "mask")
    known = mask[mask != IGNORE]
    if known.size and known.max() >= whole("classes", classes, 1, IGNORE):
        raise ValueError(f"mask must be 0..{classes - 1} or 255, got {known.max()}")
    return (mask == np.arange(classes)[:, None, None]).astype(np.float32)


def forward_backward_error(there: ArrayLike, back: ArrayLike) -> NDArray[np.float32]:
    """How far from its start a pixel ends that goes there and back again, in pixels.

    The test of Sundaram, Brox and Keutzer, "Dense point trajectories", ECCV 2010.

    Args:
        there: flow from this frame to the other, ``(H, W, 2)``.
        back: flow from the other frame to this one.

    Returns:
        ``(H, W)``; infinite where the way leads out of the image. Large where something is hidden in one of
        the frames.

    Example:
        >>> there = np.zeros((4, 4, 2))
        >>> there[..., 0] = 1
        >>> forward_backward_error(there, -there)[0].tolist()
        [0.0, 0.0, 0.0, inf]
    """
    there, back = np.asarray(there, np.float32), np.asarray(back, np.float32)
    returned = carry_shares(np.moveaxis(back, 2, 0), there)  # the way back, read where the way there ended
    height, width = there.shape[:2]
    x, y = there[..., 0] + np.arange(width), there[..., 1] + np.arange(height)[:, None]
    gone = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    error = np.linalg.norm(there + np.moveaxis(returned, 0, 2), axis=2)
    return np.where(gone, np.inf, error).astype(np.float32)


def fine_flow(first: NDArray[np.uint8], second: NDArray[np.uint8], enlarge: int = 3) -> NDArray[np.float32]:
    """`pixels.priors.optical_flow` for small frames, finer and slower: ``(H, W, 2)``.

    DIS flow matches patches of 8 pixels, which are coarse for frames of a hundred pixels a side; so the
    frames are enlarged first, and every patch is fitted longer.

    Args:
        first: uint8 RGB ``(H, W, 3)``, at least 16 pixels a side.
        second: the same, of the same size.
        enlarge: how many times larger they are made.

    Example:
        >>> frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        >>> frame = cv2.GaussianBlur(frame, (0, 0), 2)
        >>> [round(float(v)) for v in np.median(fine_flow(frame, np.roll(frame, 1, 1)), (0, 1))]
        [1, 0]
    """
    height, width = first.shape[:2]
    size = width * whole("enlarge", enlarge, 1), height * enlarge
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    wide = [cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in grey]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setGradientDescentIterations(50)
    flow = dis.calc(wide[0], wide[1], np.zeros((*size[::-1], 2), np.float32))
    return (cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / enlarge).astype(np.float32)


class Motion:
    """The flows between the frames of a clip, each computed when it is first asked for.

    Args:
        frames: uint8 RGB ``(H, W, 3)``, at least one, of one size.
        enlarge: of `fine_flow`.
    """

    def __init__(self, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], enlarge: int = 3):
        self.enlarge = whole("enlarge", enlarge, 1)
        self.frames = checked_images(frames, "frames")
        if len({frame.shape for frame in self.frames}) > 1:
            raise ValueError(f"frames must be of one size, got {sorted({f.shape for f in self.frames})}")
        self._flows: dict[tuple[int, int], NDArray[np.float32]] = {}

    def flow(self, start: int, end: int) -> NDArray[np.float32]:
        """From frame `start` to frame `end`, ``(H, W, 2)``."""
        if (start, end) not in self._flows:
            self._flows[start, end] = fine_flow(self.frames[start], self.frames[end], self.enlarge)
        return self._flows[start, end]

    def carried(
        self, shares: NDArray[np.float32], key: int, frame: int, hop: int = HOP, tolerance: float = 1.5
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Shares of frame `key` carried to another frame, hop by hop.

        Args:
            shares: ``(K, H, W)`` of the key frame.
            key: its number.
            frame: number of the frame they are carried to.
            hop: frames a flow may span.
            tolerance: largest forward-backward error, in pixels, that is trusted.

        Returns:
            Shares ``(K, H, W)``, and how sure each pixel is, ``(H, W)``, 0..1: which part of it was followed
            without a break.
        """
        sure = np.ones((1, *shares.shape[1:]), np.float32)
        step = 1 if frame > key else -1
        here = key
        while here != frame:
            near = here + step * min(hop, abs(frame - here))
            back = self.flow(near, here)
            shares, sure = carry_shares(shares, back), carry_shares(sure, back)
            sure = sure * (forward_backward_error(back, self.flow(here, near)) <= tolerance)
            here = near
        return shares, sure[0]


def propagate(
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8] | Motion,
    keys: Mapping[int, ArrayLike],
    classes: int,
    *,
    hops: Sequence[int] = (HOP,),
    both: bool = True,
    refine: bool = False,
    tolerance: float = 1.5,
    least: float = 0.5,
) -> list[NDArray[np.uint8]]:
    """Label maps of all frames of a clip out of the masks of a few.

    Each frame hears its nearest key before and its nearest key after it, the nearer one the more.

    Args:
        frames: of the clip, in order, or their `Motion`.
        keys: masks uint8 ``(H, W)`` by number of frame, at least one.
        classes: K, background included.
        hops: frames that one flow may span; with several, the ways are all gone and their shares averaged.
        both: use the key on the other side too where there is one.
        refine: let a fully connected CRF move the boundaries to where the frame's own colours change.
        tolerance: forward-backward error, in pixels, above which a pixel is not trusted.
        least: a pixel that is less sure than this becomes 255. With 0 every pixel gets a label that any way
            leads to.

    Returns:
        uint8 ``(H, W)`` a frame; a key frame keeps its mask.

    Example:
        >>> frames = np.zeros((3, 16, 16, 3), np.uint8)
        >>> masks = propagate(frames, {0: np.ones((16, 16), np.uint8)}, 2)
        >>> int(masks[2].min())
        1
    """
    motion = frames if isinstance(frames, Motion) else Motion(frames)
    count, size = len(motion.frames), motion.frames[0].shape[:2]
    number("tolerance", tolerance, 0)
    number("least", least, 0, 1)
    if not keys:
        raise ValueError("keys must hold at least one mask, got none")
    if not hops:
        raise ValueError("hops must hold at least one number, got none")
    shares = {whole("keys", k, 0, count - 1): one_hot(mask, classes) for k, mask in keys.items()}
    if any(s.shape[1:] != size for s in shares.values()):
        raise ValueError(f"keys must be masks of the frames' size {size}")
    labels = []
    for frame in range(count):
        if frame in shares:
            labels.append(checked_label_map(keys[frame]))
            continue
        total = np.zeros((classes, *size), np.float32)
        surest = np.zeros(size, np.float32)
        for key in _nearest(sorted(shares), frame, both):
            for hop in hops:
                carried, sure = motion.carried(shares[key], key, frame, whole("hops", hop, 1), tolerance)
                total += carried * (sure + 1e-3) / abs(frame - key)
                surest = np.maximum(surest, sure)
        known = (surest >= least) & (total.sum(0) > 0)
        best = sharpened(total, motion.frames[frame]) if refine else total.argmax(0)
        labels.append(np.where(known, best, IGNORE).astype(np.uint8))
    return labels


def sharpened(shares: ArrayLike, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The classes of carried shares, their boundaries where the image's colours change (`pixels.crf.refine`).

    Args:
        shares: ``(K, H, W)``, not negative; where all are 0 every class is as likely.
        image: the frame, uint8 RGB ``(H, W, 3)``.
    """
    p = np.asarray(shares, np.float32)
    p = p / np.maximum(p.sum(0), 1e-6) + 0.02  # a class that was not seen here is not ruled out
    reach = max(image.shape) / 8
    options = {"w1": 4.0, "theta_alpha": reach, "theta_beta": 15.0, "w2": 1.0, "theta_gamma": 1.0}
    return np.asarray(crf.refine(p / p.sum(0), image, iterations=5, **options), np.uint8)


def _nearest(keys: Sequence[int], frame: int, both: bool) -> list[int]:
    """The nearest key before a frame and the nearest after it, or the nearer of the two."""
    found = [*[k for k in keys if k < frame][-1:], *[k for k in keys if k > frame][:1]]
    return found if both else [min(found, key=lambda k: abs(k - frame))]


def feature_walk(
    features: Tensor,
    keys: Mapping[int, Tensor],
    *,
    radius: int = 6,
    nearest: int = 5,
    temperature: float = 0.1,
    memory: int = 2,
) -> Tensor:
    """Shares carried by likeness alone: a cell takes those of the cells most like it in frames before it.

    How Caron et al. (DINO, ICCV 2021) and Jabri et al. (NeurIPS 2020) carry masks: the weights are a
    softmax of the cosine of the features over the nearest cells within a window. Frames before the first
    key walk backwards.

    Args:
        features: ``(T, C, h, w)`` of the frames.
        keys: shares ``(K, h, w)`` by number of frame, at least one.
        radius: of the window, in cells.
        nearest: how many of the window's cells are heard.
        temperature: of the softmax.
        memory: how many frames are looked at beside the key.

    Returns:
        Shares ``(T, K, h, w)``.

    Example:
        >>> features = torch.eye(4).reshape(1, 4, 2, 2).expand(2, -1, -1, -1)
        >>> walked = feature_walk(features, {0: torch.eye(4).reshape(4, 2, 2)}, nearest=1)
        >>> walked[1].flatten(1).argmax(0).tolist()
        [0, 1, 2, 3]
    """
    for name, value in (("radius", radius), ("nearest", nearest), ("memory", memory)):
        whole(name, value, 0 if name == "memory" else 1)
    number("temperature", temperature, 0, open_=True)
    if not keys:
        raise ValueError("keys must hold at least one, got none")
    unit = F.normalize(features.float().flatten(2), dim=1)  # (T, C, N)
    count, size = len(features), features.shape[-2:]
    reachable = _within(size, radius).to(features.device)
    shares: dict[int, Tensor] = {k: value.flatten(1).float() for k, value in keys.items()}
    first = min(keys)
    for frame in [*range(first + 1, count), *range(first - 1, -1, -1)]:
        if frame in keys:
            continue
        step = -1 if frame > first else 1
        key = max((k for k in keys if k < frame), default=first) if step < 0 else first
        seen = {key, *(k for k in (frame + step * (m + 1) for m in range(memory)) if k in shares)}
        alike = torch.cat([(unit[frame].T @ unit[k]).masked_fill(~reachable, -2) for k in sorted(seen)], 1)
        best, place = alike.topk(nearest, 1)  # (N, nearest)
        values = torch.cat([shares[k] for k in sorted(seen)], 1)[:, place]  # (K, N, nearest)
        shares[frame] = (values * (best / temperature).softmax(1)).sum(2)
    return torch.stack([shares[t].reshape(-1, *size) for t in range(count)])


def _within(size: tuple[int, ...], radius: int) -> Tensor:
    """Which pairs of cells lie within a square window of each other: bool ``(N, N)``."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1)
    return ((places[:, None] - places[None]).abs() <= radius).all(2)
