"""What the network sees of a project's pictures: features, kept a picture at a time."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ...kit import cache as disk
from ...kit.devices import pick_device
from ...kit.storage import data_dir
from ...learning.features import SAMPLE, VERSION, Features, Pictures, compute_key, features
from ...models import WEIGHTS_SHA256
from ._file import Picture, Project

#: Longer side of the pictures that are learned from; larger ones are made smaller.
WORK_SIDE = 512
#: Pictures whose features are computed before they are kept: what a break can cost.
AT_ONCE = 16


def shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image whose longer side is at most `side` pixels.

    Args:
        image: uint8 ``(H, W)`` or ``(H, W, 3)``.
        side: in pixels.
    """
    size = small_size((image.shape[0], image.shape[1]), side)
    if size == image.shape[:2]:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def small_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width of `shrunk`.

    Args:
        size: height and width of the image.
        side: the longer side, at most.

    Example:
        >>> small_size((3000, 4000), 512), small_size((30, 40), 512)
        ((384, 512), (30, 40))
    """
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def seen(
    project: Project,
    pictures: Sequence[Picture],
    *,
    side: int = 384,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Features:
    """Features of some of a project's pictures, from the cache below ``data/features`` where they are there.

    The reduction to fewer channels is settled once, on the first pictures to learn from, and kept with the
    project: a picture that comes later changes nothing for the others.

    Args:
        project: whose pictures.
        pictures: which, at least one.
        side: longer side as the network sees it.
        device: where to compute.
        progress: show a bar.

    Returns:
        Features; the pictures in them have a longer side of at most `WORK_SIDE`.
    """
    where = pick_device(device)
    images = [shrunk(project.image(one), WORK_SIDE) for one in pictures]
    like = _reduction(project, side, where)
    frames = Pictures(images, like.pictures.side)
    values = np.zeros((len(images), like.matrix.shape[1], *frames.cells.max(0).tolist()), np.float16)
    missing = []
    for k, one in enumerate(pictures):
        found = disk.read(*_place(one, like, where))
        if found is None:
            missing.append(k)
        else:
            _put(values[k], found["values"])
    bar = tqdm(total=len(missing), desc="features", leave=False, disable=not progress or not missing)
    for start in range(0, len(missing), AT_ONCE):
        some = missing[start : start + AT_ONCE]
        made = features([images[k] for k in some], like=like, device=where, cache=False)
        for k, value, (height, width) in zip(some, made.values, made.cells.tolist(), strict=True):
            own = value[:, :height, :width]
            disk.write(*_place(pictures[k], like, where), values=own)
            _put(values[k], own)
        bar.update(len(some))
    bar.close()
    key = disk.content_key(like.key, [one.content for one in pictures])
    return Features(values, frames, like.mean, like.matrix, key)


def _put(place: NDArray[np.float16], value: NDArray) -> None:
    place[:, : value.shape[1], : value.shape[2]] = value


def _place(picture: Picture, like: Features, device: torch.device):
    """File and key of one picture's features."""
    key = disk.content_key(picture.content, WORK_SIDE, like.key, compute_key(device))
    return data_dir() / "features" / "project" / f"{key}.npz", key


def _reduction(project: Project, side: int, device: torch.device) -> Features:
    """Features without pictures, of which mean and matrix are used again."""
    file = project.beside("student") / f"reduction-{side}.npz"
    key = disk.content_key(VERSION, WEIGHTS_SHA256, side)
    found = disk.read(file, key) if file.exists() else None
    if found is None:
        some = sorted(project.train or project.test, key=lambda one: one.content)[:SAMPLE]
        images = [shrunk(project.image(one), WORK_SIDE) for one in some]
        made = features(images, side=side, device=device, cache=False)
        found = {"mean": made.mean, "matrix": made.matrix}
        disk.write(file, key, mean=made.mean, matrix=made.matrix)
    empty = Pictures([np.zeros((8, 8, 3), np.uint8)], side)
    name = disk.content_key(key, found["mean"], found["matrix"])
    return Features(np.zeros((0, 0, 0, 0), np.float16), empty, found["mean"], found["matrix"], name)
