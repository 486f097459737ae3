"""The student: a small head on frozen features that learns to segment, and its training.

With one switch (``finetune=True``) the whole network is trained, as the papers do, on one device or many
(`learning.scale`); Lightning Fabric sees to devices and precision. Labels are ``uint8 (H, W)``: 0 background,
1..K-1 classes, 255 ignore (no training there).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from tqdm.auto import tqdm

from ..kit.checks import whole
from ..kit.devices import pick_device
from ..kit.optimisers import AdamW
from ..labels.label_map import IGNORE, checked_label_map
from .features import Features, Pictures
from .heads import make_head
from .networks import make_network
from .scale import Spread, finetune, split_settings
from .settings import Checkpoint, Settings, checked_class_weights, groups, set_training, share_of_lr
from .student import Student


@dataclass(frozen=True, eq=False)
class Batch:
    """The pictures of one step, as a loss sees them.

    Attributes:
        source: of all training pictures: `Features`, or `Pictures` if the whole network is trained.
        pictures: numbers of the pictures of this step, int64 ``(B,)``, on the CPU: rows of whatever a loss
            holds for each training picture.
        stride: as in `Settings`.
        done: share of the training that is over, 0 to below 1.
        device: where to compute.
    """

    source: Features | Pictures
    pictures: Tensor
    stride: int
    done: float
    device: torch.device

    @cached_property
    def x(self) -> Tensor:
        """What the module takes, of whole pictures: features ``(B, C, h, w)``, each in the upper left."""
        return self.source.batch(self.pictures.tolist()).to(self.device)

    @property
    def grids(self) -> NDArray[np.int64]:
        """Height and width of each picture in cells, ``(B, 2)``."""
        return self.source.cells[self.pictures.numpy()]

    @cached_property
    def inside(self) -> Tensor:
        """The cells of each picture, bool ``(B, h, w)``; the others lie beyond its edge and are all zero."""
        cells = torch.from_numpy(self.grids)
        height, width = cells.amax(0).tolist()
        rows = torch.arange(height)[None, :, None] < cells[:, 0, None, None]
        return (rows & (torch.arange(width) < cells[:, 1, None, None])).to(self.device)

    @property
    def rng(self) -> torch.Generator:
        """Torch's own random numbers, which are seeded anew for every epoch."""
        return torch.default_generator

    def thinned(self, *grids: Tensor) -> tuple[Tensor, ...]:
        """`x` and grids that belong to it at every stride-th cell each way, from a random cell on.

        Args:
            grids: ``(B, ..., h, w)``, or larger: what is beyond the step's widest picture is cut off.
        """
        height, width = self.grids.max(0).tolist()
        cut = [grid[..., :height, :width] for grid in grids]
        if self.stride == 1 or isinstance(self.source, Pictures):
            return self.x, *cut
        row, column = torch.randint(
            min(self.stride, int(self.grids.min())), (2,), generator=self.rng
        ).tolist()
        x = self.source.batch(self.pictures.tolist(), self.stride, (row, column)).to(self.device)
        return x, *(grid[..., row :: self.stride, column :: self.stride] for grid in cut)

    def cells(self, where: Tensor, *grids: Tensor) -> tuple[Tensor, ...]:
        """`x` and grids that belong to it at some cells alone, such as all that carry a label.

        A head of one cell answers for them without the rest of the grid: ``module(x)``.

        Args:
            where: bool ``(B, h, w)``, or larger; n cells are true.
            grids: ``(B, D, h, w)``, or larger.

        Returns:
            Each ``(n, D, 1, 1)``; n may be 0.
        """
        height, width = self.x.shape[-2:]
        where = where[..., :height, :width]
        cut = (grid[..., :height, :width].movedim(1, -1) for grid in (self.x, *grids))
        return tuple(grid[where][..., None, None] for grid in cut)


#: Module, batch and targets ``(B, K, h, w)`` -> a scalar to be made small; see `train`.
Loss = Callable[[nn.Module, Batch, Tensor], Tensor]


def train(
    features: Features,
    labels: Sequence[NDArray[np.uint8]],
    classes: int,
    *,
    seed: int = 0,
    class_weights: Sequence[float] | None = None,
    loss: Loss | None = None,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    progress: bool = False,
    **settings: Any,
) -> Student:
    """Train a head on frozen features, or with ``finetune=True`` the whole network, to tell pixels' classes.

    The loss is the cross-entropy, averaged over the pixels that have a label. It is taken on the grid of
    features: a cell's target is the share that each class has of its labelled pixels. With ``finetune=True``
    it is that of `scale.finetune`, on the pixels themselves.

    For other losses (points, scribbles, image labels) there is `loss`: ``loss(module, batch, targets)``, all
    of a step. ``module(batch.x)`` gives the logits of whole grids; `Batch.thinned` saves work, and
    `Batch.cells` takes the cells that must be in every step, such as the clicked ones. ``batch.pictures``
    are the rows of what the loss holds for each training picture. Random numbers come from ``batch.rng``.

    Args:
        features: of the training pictures.
        labels: one map a picture, of the picture's size: uint8, 0..classes - 1, or 255 to ignore a pixel.
        classes: how many, background included, 1 to 255.
        seed: of the first weights, the order of the pictures and the dropout.
        class_weights: how much a pixel of each class counts, `classes` numbers of at least 0. None: all 1.
        loss: in place of the cross-entropy: module, `Batch` and targets, float16 ``(B, classes, h, w)`` with
            the share of each class in a cell (all 0 where there is no label) -> scalar.
        checkpoint: a file that is written after every epoch. If training stops in the middle, the same call
            goes on from there and ends with the same weights. It is removed at the end. What a `loss` holds
            is not compared: a changed one needs another file.
        device: where to train; None lets `pick_device` choose. On CUDA in bf16 (mixed).
        progress: show a bar.
        **settings: see `Settings`; with ``finetune=True`` also `scale.Spread`: devices, num_nodes, strategy,
            precision, accumulate, workers.

    Raises:
        TypeError: arguments of another kind.
        ValueError: numbers or labels out of range, class_weights or several devices beside a `loss`, several
            devices for a head alone, and, without a `loss`, labels without a single labelled pixel.

    Example:
        >>> from lecturekit.learning.features import features
        >>> image = np.zeros((32, 64, 3), np.uint8)
        >>> image[:, 32:] = 200
        >>> labels = np.zeros((32, 64), np.uint8)
        >>> labels[:, 32:] = 1
        >>> seen = features([image], side=64, channels=4, device="cpu", cache=False)
        >>> student = train(seen, [labels], classes=2, head="linear", epochs=30, lr=0.1, device="cpu")
        >>> float((student.labels(seen)[0] == labels).mean()) > 0.9
        True
    """
    options, spread = split_settings(settings)
    seed = whole("seed", seed)
    if spread != Spread() and (loss is not None or not options.finetune):
        raise ValueError(f"finetune=True without a loss can be spread over devices alone, got {spread}")
    targets = label_shares(labels, features, classes)
    weights = checked_class_weights(class_weights, classes)
    if loss is not None and class_weights is not None:
        raise ValueError("class_weights belong to the cross-entropy; a loss of your own weighs by itself")
    if loss is None and not (targets.amax((0, 2, 3)) * weights).any():
        raise ValueError("labels must hold at least one pixel that is not 255 and has a class weight above 0")
    device = pick_device(device)
    if options.finetune and loss is None:
        return finetune(
            features.pictures.images,
            labels,
            classes,
            side=features.pictures.side,
            reduction=(features.mean, features.matrix),
            seed=seed,
            class_weights=class_weights,
            checkpoint=checkpoint,
            device=device,
            progress=progress,
            **settings,
        )
    training = Training(
        _module(features, classes, options, seed, device),
        features.pictures if options.finetune else features,
        targets,
        _cross_entropy(weights.to(device)) if loss is None else loss,
        options,
        seed,
        device,
        None if checkpoint is None else Path(checkpoint),
        _fingerprint(features, targets, weights, options, seed),
        progress,
    )
    training.run()
    return Student(training.module, classes, options.finetune, options.tau * _log_shares(targets))


def label_shares(labels: Sequence[NDArray[np.uint8]], features: Features, classes: int) -> Tensor:
    """Share of each cell's pixels that each class has, float16 ``(N, K, h, w)``; ignored pixels have none.

    What lies beyond a picture's own cells is 0.

    Args:
        labels: as in `train`.
        features: of the pictures.
        classes: how many, background included.
    """
    _check_labels(labels, features, classes)
    shares = torch.zeros(len(labels), classes, *features.cells.max(0).tolist(), dtype=torch.float16)
    for place, one, (height, width) in zip(shares, labels, features.cells.tolist(), strict=True):
        for c in np.bincount(one.ravel())[:classes].nonzero()[0].tolist():  # most classes are not there
            mine = torch.from_numpy((one == c).astype(np.float32))[None]
            place[c, :height, :width] = F.adaptive_avg_pool2d(mine, (height, width))[0]
    return shares


def _log_shares(targets: Tensor) -> Tensor:
    """Logarithm of the share of each class in the labels, ``(K,)``; 0 for a class that does not occur."""
    counts = targets.float().sum((0, 2, 3))
    return torch.where(counts > 0, counts / counts.sum().clamp(min=1e-6), 1).log()


def _module(
    features: Features, classes: int, options: Settings, seed: int, device: torch.device
) -> nn.Module:
    if options.finetune:
        network = make_network(
            options.network,
            classes,
            weights=options.weights,
            reduction=(features.mean, features.matrix),
            head=options.head,
            hidden=options.hidden,
            seed=seed,
        )
        return network.to(device)
    return make_head(options.head, features.matrix.shape[1], classes, options.hidden, seed).to(device)


@dataclass(eq=False)
class Training:
    """One training; `run` changes `module`.

    Attributes:
        module: what is trained.
        source: what it is fed from.
        targets: of all training pictures, ``(N, K, h, w)``.
        loss: of one step.
        options: how it is trained.
        seed: of order and dropout.
        device: where.
        checkpoint: a file that is written after every epoch, or None.
        fingerprint: of all that matters for the weights; a checkpoint of another one is not used.
        progress: show a bar.
    """

    module: nn.Module
    source: Features | Pictures
    targets: Tensor
    loss: Loss
    options: Settings
    seed: int
    device: torch.device
    checkpoint: Path | None
    fingerprint: str
    progress: bool

    def run(self) -> None:
        """Train to the end, from the checkpoint on if there is one."""
        options = self.options
        steps = options.epochs * self.epoch_steps
        optimiser = AdamW(groups(self.module, options), weight_decay=options.weight_decay)
        schedule = LambdaLR(optimiser, lambda k: share_of_lr(k, steps))
        module, backward = self.module, torch.Tensor.backward
        if self.device.type == "cuda":  # elsewhere Fabric changes nothing, and its import takes seconds
            fabric = _fabric(self.device)
            module, optimiser = fabric.setup(self.module, optimiser)
            backward = fabric.backward
        parts = {"module": self.module, "optimiser": optimiser, "schedule": schedule}
        first, _ = self.kept.resumed(parts)
        bar = tqdm(range(first, options.epochs), desc="training", leave=False, disable=not self.progress)
        for epoch in bar:
            with _seeded(self.seed, epoch, self.device):
                set_training(self.module)
                for batch in self.batches(epoch):
                    height, width = batch.grids.max(0)
                    targets = self.targets[batch.pictures, :, :height, :width].to(self.device)
                    value = self.loss(module, batch, targets)
                    optimiser.zero_grad()
                    backward(value)
                    optimiser.step()
                    schedule.step()
            bar.set_postfix(loss=f"{value.item():.3f}")
            self.save(epoch + 1, parts)
        self.kept.remove()

    @property
    def epoch_steps(self) -> int:
        """How many steps see every picture once."""
        return math.ceil(len(self.targets) / self.options.batch)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """All pictures once, in the order of this epoch."""
        order = torch.randperm(len(self.targets)).split(self.options.batch)
        for step, pictures in enumerate(order):
            done = (epoch + step / self.epoch_steps) / self.options.epochs
            yield Batch(self.source, pictures, self.options.stride, done, self.device)

    def save(self, epochs: int, parts: dict[str, Any]) -> None:
        """States of module, optimiser and schedule after so many epochs."""
        self.kept.save(epochs, parts)

    @property
    def kept(self) -> Checkpoint:
        """The file to go on from."""
        return Checkpoint(self.checkpoint, self.fingerprint)


def _cross_entropy(weights: Tensor) -> Loss:
    """The loss of `train`: over what is labelled, on every stride-th cell."""

    def loss(module: nn.Module, batch: Batch, targets: Tensor) -> Tensor:
        x, wanted = batch.thinned(targets)
        return cross_entropy(module(x), wanted, weights)

    return loss


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over what is labelled; 0 where nothing is.

    Args:
        logits: ``(B, K, h, w)``.
        targets: shares of the classes, ``(B, K, h, w)``; all 0 in a cell without a label.
        weights: how much each class counts, ``(K,)``; None: all 1.
    """
    wanted = targets.float() if weights is None else targets.float() * weights[:, None, None]
    return -(wanted * logits.float().log_softmax(1)).sum() / wanted.sum().clamp(min=1e-6)


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Generator[None]:
    """Random numbers of this epoch alone: a training that goes on draws the same. Others are untouched."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(1_000_003 * seed + epoch)
        yield


def _fabric(device: torch.device):
    from lightning_fabric import Fabric

    return Fabric(accelerator="cuda", devices=[device.index or 0], precision="bf16-mixed")


def _fingerprint(features: Features, targets: Tensor, weights: Tensor, options: Settings, seed: int) -> str:
    digest = hashlib.sha256(json.dumps([features.key, asdict(options), seed]).encode())
    for tensor in (targets, weights):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _check_labels(labels: Sequence[NDArray[np.uint8]], features: Features, classes: int) -> None:
    whole("classes", classes, 1, IGNORE)
    sizes = features.pictures.sizes
    if len(labels) != len(sizes):
        raise ValueError(f"labels must be one a picture ({len(sizes)}), got {len(labels)}")
    for one, size in zip(labels, sizes.tolist(), strict=True):
        checked_label_map(one)
        if list(one.shape) != size:
            raise ValueError(f"labels must have the pictures' sizes, got {one.shape} for {tuple(size)}")
        if ((one >= classes) & (one != IGNORE)).any():
            raise ValueError(f"labels must be 0..{classes - 1} or 255, got {one[one != IGNORE].max()}")
