"""Frozen features of the ImageNet classifier: computed once, kept on disk, used by every student.

With them one training on a few hundred pictures takes seconds on a CPU.
"""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..kit import cache as disk
from ..kit.checks import whole
from ..kit.devices import pick_device
from ..kit.images import checked_images
from ..kit.storage import data_dir, replacing
from ..models import MEAN, STD, WEIGHTS_SHA256, load_classifier

#: Pixels of the network's input that a cell of the grid of features stands for, each way.
STRIDE = 8
#: The same of its last features.
LAST_STRIDE = 32
#: Blocks of the network whose outputs are joined, and those that also see the picture at half the size.
BLOCKS, HALF_BLOCKS = (2, 4, 6), (6,)
#: Pictures whose features settle the reduction to fewer channels.
SAMPLE = 64
#: Part of every cache's key; a change of what is computed gets a new number.
VERSION = 2


class Backbone(nn.Module):
    """The classifier without its head: images -> features of several depths, joined and reduced.

    Takes float images ``(B, 3, H, W)`` as `Pictures.batch` makes them, H and W multiples of `STRIDE`, and
    returns ``(B, C, H / 8, W / 8)``.
    """

    def __init__(self, network: Any):  # timm's EfficientNet
        super().__init__()
        self.stem = nn.Sequential(network.conv_stem, network.bn1)
        self.blocks: nn.Sequential = network.blocks
        self.reduce: nn.Module = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Reduced features ``(B, C, H / 8, W / 8)``."""
        return self.reduce(self.joined(images))

    def joined(self, images: Tensor) -> Tensor:
        """Every chosen block's output at the size of the grid, one after the other along the channels."""
        size = [n // STRIDE for n in images.shape[-2:]]
        half = F.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)
        maps = [*self._outputs(images, BLOCKS), *self._outputs(half, HALF_BLOCKS)]
        return torch.cat([F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps], 1)

    def _outputs(self, x: Tensor, wanted: tuple[int, ...]) -> Iterator[Tensor]:
        x = self.stem(x)
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in wanted:
                yield x


class Pictures:
    """Pictures as the backbone takes them: longer side scaled to `side` pixels, in the upper left of a batch.

    Attributes:
        images: uint8 RGB ``(H, W, 3)`` each, any sizes; a sequence that reads them may have ``sizes``.
        sizes: int ``(N, 2)``, height and width of each in its own pixels.
        cells: int ``(N, 2)``, height and width of each in cells of the grid.
        side: as the network sees them, pixels.
        stride: of the grid, in pixels that the network sees.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]], side: int, stride: int = STRIDE):
        self.images = images
        self.side = side
        self.stride = stride
        known = getattr(images, "sizes", None)  # of pictures that are read when they are asked for
        self.sizes = np.array([image.shape[:2] for image in images] if known is None else known)
        scale = side / self.sizes.max(1, keepdims=True)
        self.cells = np.maximum(np.rint(self.sizes * scale / stride), 1).astype(int)

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, chosen: Sequence[int]) -> Tensor:
        """Float images ``(B, 3, h, w)``, as the classifier was trained; zero beyond a smaller picture."""
        frame = self.stride * self.cells[list(chosen)].max(0)
        batch = torch.zeros(len(chosen), 3, *frame.tolist())
        for place, k in zip(batch, chosen, strict=True):
            height, width = (self.stride * self.cells[k]).tolist()
            image = self.images[k]
            way = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
            image = cv2.resize(image, (width, height), interpolation=way)
            place[:, :height, :width] = (torch.from_numpy(image).permute(2, 0, 1).float() - MEAN) / STD
        return batch


@dataclass(frozen=True, eq=False)
class Features:
    """Features of pictures, computed once; make them with `features`.

    Attributes:
        values: float16 ``(N, C, h, w)``; a picture fills its own cells, what is beyond is 0.
        pictures: the pictures they are of.
        mean: of the joined features, ``(C',)``: the reduction is ``(x - mean) @ matrix``.
        matrix: of the reduction, ``(C', C)``.
        key: names the pictures, the network and the settings; the same for the same.
    """

    values: NDArray[np.float16]
    pictures: Pictures
    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    key: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def cells(self) -> NDArray[np.int64]:
        """Height and width of each picture in cells, int ``(N, 2)``."""
        return self.pictures.cells

    def part(self, chosen: NDArray[np.int64]) -> Features:
        """Of some of the pictures, by their numbers."""
        images = [self.pictures.images[k] for k in chosen]
        pictures = Pictures(images, self.pictures.side, self.pictures.stride)
        key = disk.content_key(self.key, chosen)
        return Features(self.values[chosen], pictures, self.mean, self.matrix, key)

    def batch(self, chosen: Sequence[int], stride: int = 1, start: tuple[int, int] = (0, 0)) -> Tensor:
        """Features of some pictures, no wider than the widest of them.

        Args:
            chosen: numbers of pictures.
            stride: only every stride-th cell each way is taken.
            start: row and column of the first cell.

        Returns:
            Float32 ``(B, C, h, w)``.
        """
        height, width = self.cells[list(chosen)].max(0)
        rows = slice(start[0], height, stride)
        columns = slice(start[1], width, stride)
        return torch.from_numpy(np.stack([self.values[k, :, rows, columns] for k in chosen]).astype("f4"))


def features(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    *,
    side: int = 384,
    channels: int = 128,
    like: Features | None = None,
    device: str | torch.device | None = None,
    cache: bool = True,
    progress: bool = False,
) -> Features:
    """Frozen features of the classifier for every picture, on a grid of one cell for 8 x 8 pixels it sees.

    Blocks 2, 4 and 6 of EfficientNet-Lite0 (strides 8, 16, 32), and block 6 for the picture at half the size,
    are joined, each channel brought to a standard deviation of 1, and all reduced to their first principal
    components.

    Args:
        images: uint8 RGB ``(H, W, 3)``, any sizes, at least one.
        side: the longer side of a picture as the network sees it, in pixels, at least 32.
        channels: how many principal components are kept, at most.
        like: features whose reduction and side are used again: those of the training pictures, for others.
        device: where to compute; None lets `pick_device` choose.
        cache: keep them below ``data/features`` and find them there next time. Kind of device, number of
            threads and version of torch change the last bits, so each combination has its own.
        progress: show a bar.

    Raises:
        TypeError: images that are no arrays.
        ValueError: images or numbers of another kind.
        OSError: the disk has no room for them (``cache=False`` needs none).

    Example:
        >>> images = [np.zeros((48, 64, 3), np.uint8), np.full((64, 64, 3), 90, np.uint8)]
        >>> features(images, side=64, channels=4, device="cpu", cache=False).values.shape[2:]
        (8, 8)
    """
    images = checked_images(images)
    whole("channels", channels, 1)
    pictures = Pictures(images, whole("side", side, 32) if like is None else like.pictures.side)
    where = pick_device(device)
    settings = (side, channels) if like is None else like.key
    key = disk.content_key(VERSION, WEIGHTS_SHA256, BLOCKS, HALF_BLOCKS, settings, compute_key(where), images)
    job = _Extraction(pictures, channels, like, where, key, progress)
    if not cache:
        return job.in_memory()
    file = data_dir() / "features" / f"{key}.npy"
    kept = (_load(place, pictures, key) for place in disk.places(file))
    return next((found for found in kept if found is not None), None) or job.on_disk(file)


@torch.inference_mode()
def classifier_features(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    *,
    side: int = 384,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Features:
    """The classifier's last features of every picture, on a grid of one cell for 32 x 32 pixels it sees.

    These are what a CAM weighs, 1,280 channels. They tell classes apart better than `features`, and places
    worse. Each channel is brought to a mean of 0 and a standard deviation of .1 over all cells. Nothing is
    kept on disk.

    Args:
        images: uint8 RGB ``(H, W, 3)``, any sizes, at least one.
        side: the longer side of a picture as the network sees it, in pixels, at least 32.
        device: where to compute; None lets `pick_device` choose.
        progress: show a bar.

    Raises:
        TypeError: images that are no arrays.
        ValueError: images or numbers of another kind.

    Example:
        >>> images = [np.zeros((48, 64, 3), np.uint8), np.full((64, 64, 3), 90, np.uint8)]
        >>> classifier_features(images, side=64, device="cpu").values.shape
        (2, 1280, 2, 2)
    """
    images = checked_images(images)
    pictures = Pictures(images, whole("side", side, LAST_STRIDE), LAST_STRIDE)
    where = pick_device(device)
    network: Any = load_classifier(device=where).network.eval()
    bar = tqdm(range(len(images)), desc="classifier features", leave=False, disable=not progress)
    found = [network.forward_features(pictures.batch([k]).to(where))[0].cpu() for k in bar]  # (C, h, w) each
    cells = torch.cat([one.flatten(1) for one in found], 1)
    mean, scale = cells.mean(1), 0.1 / (cells.std(1, correction=0) + 1e-3)
    values = np.zeros((len(found), len(mean), *pictures.cells.max(0)), np.float16)
    for place, one in zip(values, found, strict=True):
        scaled = (one - mean[:, None, None]) * scale[:, None, None]
        place[:, : one.shape[1], : one.shape[2]] = scaled.half().numpy()
    key = disk.content_key(VERSION, WEIGHTS_SHA256, LAST_STRIDE, side, compute_key(where), images)
    return Features(values, pictures, mean.numpy(), torch.diag(scale).numpy(), key)


def compute_key(device: torch.device) -> tuple[str, int, str]:
    """What changes the last bits of a result beside its inputs: kind of device, threads, version of torch."""
    return device.type, torch.get_num_threads(), torch.__version__


def _load(file: Path, pictures: Pictures, key: str) -> Features | None:
    """What an earlier call kept; None, with a warning, where it is damaged."""
    reduction = disk.read(file.with_suffix(".npz"), key)
    if reduction is None:
        return None
    try:
        with open(file, "rb") as stream:
            same = str(reduction["checksum"]) == disk.checksum(stream)
    except OSError:
        same = False
    if not same:
        return disk.damaged(file)
    return Features(np.load(file, mmap_mode="r"), pictures, reduction["mean"], reduction["matrix"], key)


@dataclass(frozen=True, eq=False)
class _Extraction:
    """One call of `features`."""

    pictures: Pictures
    channels: int
    like: Features | None
    device: torch.device
    key: str
    progress: bool

    def in_memory(self) -> Features:
        backbone, mean, matrix = self.backbone()
        values = np.zeros(self.shape(matrix), np.float16)
        for place, value in zip(values, self.rows(backbone), strict=True):
            place[:, : value.shape[1], : value.shape[2]] = value
        return Features(values, self.pictures, mean, matrix, self.key)

    def on_disk(self, file: Path) -> Features:
        """Written picture by picture, so that memory holds one; a full disk is met before the work."""
        backbone, mean, matrix = self.backbone()
        shape = self.shape(matrix)
        file.parent.mkdir(parents=True, exist_ok=True)
        _check_room(file.parent, 2 * math.prod(shape))
        with replacing(file) as stream:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for value in self.rows(backbone):
                spare = [(0, 0), *((0, n - m) for n, m in zip(shape[2:], value.shape[1:], strict=True))]
                stream.write(np.pad(value, spare).astype("<f2").tobytes())
            checksum = disk.checksum(stream)
        disk.write(file.with_suffix(".npz"), self.key, mean=mean, matrix=matrix, checksum=checksum)
        return Features(np.load(file, mmap_mode="r"), self.pictures, mean, matrix, self.key)

    def backbone(self) -> tuple[Backbone, NDArray[np.float32], NDArray[np.float32]]:
        """The network with its reduction, and mean and matrix of that."""
        backbone = Backbone(load_classifier(device=self.device).network).eval()
        if self.like is None:
            mean, matrix = pca_reduction(backbone, self.pictures, self.channels, self.device)
        else:
            mean, matrix = self.like.mean, self.like.matrix
        backbone.reduce = reducing_layer(mean, matrix).to(self.device)
        return backbone, mean, matrix

    def shape(self, matrix: NDArray[np.float32]) -> tuple[int, ...]:
        return (len(self.pictures.images), matrix.shape[1], *self.pictures.cells.max(0).tolist())

    @torch.inference_mode()
    def rows(self, backbone: Backbone) -> Iterator[NDArray[np.float16]]:
        """Features of each picture on its own cells, ``(C, h, w)``."""
        count = range(len(self.pictures.images))
        for k in tqdm(count, desc="features", leave=False, disable=not self.progress):
            value = backbone(self.pictures.batch([k]).to(self.device))[0]
            yield value.clamp(-6e4, 6e4).cpu().numpy().astype(np.float16)  # what float16 can hold


@torch.inference_mode()
def pca_reduction(
    backbone: Backbone, pictures: Pictures, channels: int, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and matrix that bring joined features to deviation 1 and to their first principal components.

    Args:
        backbone: the network.
        pictures: at least one; of many, a sample of `SAMPLE` is looked at.
        channels: how many components are kept, at most.
        device: where the backbone is.

    Returns:
        ``(C',)`` and ``(C', C)``, as in `Features`.
    """
    number = len(pictures.images)
    chosen = np.unique(np.linspace(0, number - 1, min(SAMPLE, number)).astype(int)).tolist()
    count, total, products = 0, 0.0, 0.0
    for k in chosen:  # moments picture by picture: all cells of all pictures would take a gigabyte
        cells = backbone.joined(pictures.batch([k]).to(device))[0].flatten(1).T.cpu().double().numpy()
        count += len(cells)
        total = total + cells.sum(0)
        products = products + cells.T @ cells
    mean = np.asarray(total) / count
    covariance = products / count - np.outer(mean, mean)
    std = np.sqrt(np.diag(covariance).clip(0))
    std = np.maximum(std, 0.1 * std.mean() + 1e-6)  # a near-constant channel must not be amplified
    variance, axes = np.linalg.eigh(covariance / np.outer(std, std))
    axes = axes[:, variance > 1e-6 * variance.max()][:, ::-1][:, :channels]  # few cells span few axes
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])  # either sign is an axis
    scale = math.sqrt(max(variance.mean(), 1e-12))
    return mean.astype("f4"), (axes / std[:, None] / scale).astype("f4")


def reducing_layer(mean: NDArray[np.float32], matrix: NDArray[np.float32]) -> nn.Conv2d:
    """``(x - mean) @ matrix`` at every cell, as a layer."""
    layer = nn.Conv2d(matrix.shape[0], matrix.shape[1], 1)
    weight = torch.from_numpy(matrix.T.copy())[:, :, None, None]
    layer.load_state_dict({"weight": weight, "bias": torch.from_numpy(-mean @ matrix)})
    return layer


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        words = f"features need {needed / 1e6:.0f} MB, the disk has {free / 1e6:.0f} (cache=False needs none)"
        raise OSError(errno.ENOSPC, words, str(folder))
