"""Train a whole network on one device, several, or several machines, with the same result up to rounding.

A step sees the same pictures, cut out in the same way, however many devices share them: what is random
depends on the seed, the epoch and the picture alone. The loss is divided by the labelled pixels of the whole
step, and batch norm keeps its statistics. Lightning Fabric starts the processes and sees to precision and
gradients.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from ..kit import cache as disk
from ..kit.checks import choice, whole
from ..kit.devices import pick_device
from ..kit.optimisers import AdamW
from ..labels.label_map import IGNORE, checked_label_map
from ..models import MEAN, STD, load_classifier
from .features import STRIDE, Backbone, Pictures, pca_reduction
from .networks import Network, PictureDropout, Reduction, make_network, with_picture_dropout
from .settings import Checkpoint, Settings, checked_class_weights, groups, set_training, share_of_lr
from .student import Student

STRATEGIES = ("auto", "ddp", "ddp_spawn", "ddp_notebook")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true")
#: Environment variables by which a starter of processes is known: `fabric run`, torchrun, SLURM.
STARTERS = ("LT_CLI_USED", "TORCHELASTIC_RUN_ID", "SLURM_NTASKS")

#: Epoch, number of a picture, and whether its labels count.
Key = tuple[int, int, bool]


@dataclass(frozen=True)
class Spread:
    """What a training is spread over; nothing of it changes the weights beyond rounding.

    Attributes:
        devices: how many on each machine. Under ``fabric run`` its own options count and not these.
        num_nodes: how many machines.
        strategy: how the processes start. ``"ddp"``: the script runs once a device (as torchrun and SLURM do
            it). ``"ddp_spawn"``: the training alone does, from a script or a notebook of one process.
            ``"ddp_notebook"``: the same by forking. ``"auto"``: the first where somebody else has started the
            processes or there are several machines, else the second.
        precision: of the computation; None: ``"bf16-mixed"`` on CUDA, else ``"32-true"``.
        accumulate: parts that a device takes its share of a step in, one after the other: less memory.
        workers: processes a device that load and cut out pictures; 0: the training's own.
    """

    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str | None = None
    accumulate: int = 1
    workers: int = 0

    def __post_init__(self):
        for name in ("devices", "num_nodes", "accumulate"):
            whole(name, getattr(self, name), 1)
        whole("workers", self.workers)
        choice("strategy", self.strategy, STRATEGIES)
        if self.precision is not None:
            choice("precision", self.precision, PRECISIONS)

    def fabric(self, device: torch.device) -> Any:
        """A Fabric for this device's kind, not yet launched."""
        from lightning_fabric import Fabric, connector  # slow to import

        precision: Any = self.precision or ("bf16-mixed" if device.type == "cuda" else "32-true")
        if "LT_CLI_USED" in os.environ:
            precision = os.environ.get("LT_PRECISION", precision)
            return Fabric(precision=precision)  # the rest it reads itself
        devices = [device.index or 0] if device.type == "cuda" and self.devices == 1 else self.devices
        # Fabric spawns nothing from a notebook: what its cells define is not found. Ours lies in the package.
        with mock.patch.object(connector, "_IS_INTERACTIVE", False):
            return Fabric(
                accelerator=device.type,
                devices=devices,
                num_nodes=self.num_nodes,
                strategy=self.chosen_strategy,
                precision=precision,
            )

    @property
    def chosen_strategy(self) -> str:
        """`strategy`, or what ``"auto"`` stands for here."""
        if self.strategy != "auto" or self.devices * self.num_nodes == 1:
            return self.strategy
        started = any(name in os.environ for name in STARTERS)
        return "ddp" if started or self.num_nodes > 1 else "ddp_spawn"


def split_settings(settings: dict[str, Any]) -> tuple[Settings, Spread]:
    """Keyword arguments of a training: those that matter for its weights, and those that do not."""
    names = {f.name for f in fields(Spread)}
    spread = Spread(**{name: value for name, value in settings.items() if name in names})
    return Settings(**{name: value for name, value in settings.items() if name not in names}), spread


class ShardedBatches:
    """The pictures of each step that one of several processes takes, as keys for `Examples`.

    Over all processes a step holds the same pictures whatever their number, and an epoch every picture once.
    Where a step has fewer pictures than there are processes, the others get its first with labels that do not
    count: each has to take part in every step.

    Attributes:
        epoch: to be set before each pass.

    Args:
        count: pictures.
        batch: pictures a step, over all processes.
        rank: of this process.
        world: how many processes.
        seed: of the order.

    Example:
        >>> shards = [ShardedBatches(5, 4, rank, world=2, seed=0) for rank in (0, 1)]
        >>> sorted(k for shard in shards for step in shard for _, k, counts in step if counts)
        [0, 1, 2, 3, 4]
    """

    def __init__(self, count: int, batch: int, rank: int, world: int, seed: int):
        self.count = count
        self.batch = batch
        self.rank = rank
        self.world = world
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(self.count / self.batch)

    def __iter__(self) -> Iterator[list[Key]]:
        rng = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        for step in torch.randperm(self.count, generator=rng).split(self.batch):
            mine = step[self.rank :: self.world].tolist()
            yield [(self.epoch, k, True) for k in mine] or [(self.epoch, int(step[0]), False)]


@dataclass(frozen=True, eq=False)
class Examples(Dataset):
    """Pictures and label maps as the network learns from them: scaled, turned round and cut out at random.

    Attributes:
        images: uint8 RGB ``(H, W, 3)`` each; may be read when they are asked for.
        labels: uint8 ``(H, W)``; the same.
        side: longer side in pixels that a picture is scaled to, beside the zoom.
        options: crop, zoom, flip.
        seed: of what is random.
    """

    images: Sequence[NDArray[np.uint8]]
    labels: Sequence[NDArray[np.uint8]]
    side: int
    options: Settings
    seed: int

    @property
    def crop(self) -> int:
        """Side of the square that is cut out."""
        return self.options.crop or STRIDE * max(1, round(self.side / STRIDE))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Key) -> tuple[Tensor, Tensor]:
        """Float32 ``(3, crop, crop)``, 0 beyond the picture, and uint8 ``(crop, crop)``, 255 there."""
        epoch, k, counts = index
        rng = np.random.default_rng([self.seed, epoch, k])
        image, labels = self.zoomed(self.images[k], self.labels[k], rng)
        if self.options.flip and rng.random() < 0.5:
            image, labels = image[:, ::-1], labels[:, ::-1]
        x = np.zeros((self.crop, self.crop, 3), np.float32)
        wanted = np.full((self.crop, self.crop), IGNORE, np.uint8)
        top, left = (int(rng.integers(max(0, n - self.crop) + 1)) for n in labels.shape)
        part = image[top : top + self.crop, left : left + self.crop]
        height, width = part.shape[:2]
        x[:height, :width] = (part.astype(np.float32) - MEAN) / STD
        if counts:
            wanted[:height, :width] = labels[top : top + self.crop, left : left + self.crop]
        return torch.from_numpy(x).permute(2, 0, 1), torch.from_numpy(wanted)

    def zoomed(
        self, image: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray, NDArray]:
        """Both at a random size; each size is as likely as its inverse."""
        low, high = np.log(self.options.zoom)
        scale = self.side / max(labels.shape) * math.exp(rng.uniform(low, high))
        size = max(1, round(labels.shape[1] * scale)), max(1, round(labels.shape[0] * scale))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        shrunk = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return cv2.resize(image, size, interpolation=way), shrunk


def finetune(
    images: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.uint8]],
    classes: int,
    *,
    side: int = 512,
    reduction: Reduction | None = None,
    seed: int = 0,
    class_weights: Sequence[float] | None = None,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    progress: bool = False,
    key: str | None = None,
    **settings: Any,
) -> Student:
    """Train a whole network to tell pixels' classes, on as many devices and machines as there are.

    The loss is the cross-entropy, averaged over all labelled pixels of a step. On several devices the losses
    are those of one, up to rounding. In a script that starts processes (``ddp_spawn``) the call stands below
    ``if __name__ == "__main__":``.

    Args:
        images: uint8 RGB ``(H, W, 3)``, any sizes; any sequence, so that they may be read from files.
        labels: one map a picture, of its size: uint8, 0..classes - 1, or 255 to ignore a pixel.
        classes: how many, background included, 1 to 255.
        side: longer side in pixels that a picture is scaled to.
        reduction: of the course's network, from `Features`; None: from the first pictures.
        seed: of the first weights, order, cutting out and dropout.
        class_weights: how much a pixel of each class counts. None: all 1.
        checkpoint: a file that is written after every epoch; the same call goes on from there, on any number
            of devices. It is removed at the end. On several machines: where all of them see it.
        device: kind of device; None lets `pick_device` choose. On CUDA in bf16 (mixed).
        progress: show a bar, and the loss; the first process alone does.
        key: names images and labels for the checkpoint; None: computed from the labels, which takes a look at
            each.
        **settings: see `Settings` and `Spread`.

    Returns:
        The student; its `losses` are those of all steps.

    Raises:
        MemoryError: the device has no room; the message names the setting to change.
        ValueError: numbers out of range, or labels of another kind.
    """
    options, spread = split_settings({"finetune": True} | settings)
    if len(images) != len(labels) or len(images) == 0:
        raise ValueError(f"labels must be one a picture, got {len(labels)} for {len(images)}")
    weights = checked_class_weights(class_weights, whole("classes", classes, 1, IGNORE))
    whole("side", side, 32)
    device = pick_device(device)
    if reduction is None and options.network == "efficientnet_lite0":
        backbone = Backbone(load_classifier(device=device).network).eval()
        sample = Pictures([images[k] for k in range(min(64, len(images)))], side)
        reduction = pca_reduction(backbone, sample, 128, device)
    module = make_network(
        options.network,
        classes,
        weights=options.weights,
        reduction=reduction,
        head=options.head,
        hidden=options.hidden,
        seed=whole("seed", seed),
    )
    examples = Examples(images, labels, side, options, seed)
    content = list(labels) if key is None and checkpoint is not None else key
    fingerprint = disk.content_key(asdict(options), seed, side, weights.numpy(), content)
    kept = Checkpoint(None if checkpoint is None else Path(checkpoint), fingerprint)
    run = Finetuning(module, examples, weights, options, spread, seed, kept, progress)
    run.launch(device)
    student = Student(
        run.module.to(device), classes, True, options.tau * _log_shares(labels, classes, options)
    )
    student.losses = tuple(run.losses)
    return student


def _log_shares(labels: Sequence[NDArray[np.uint8]], classes: int, options: Settings) -> Tensor:
    """Logarithm of the share of each class in the labels, ``(K,)``; 0 where nothing is to be calibrated."""
    if options.tau == 0:
        return torch.zeros(classes)
    counts = np.zeros(256)
    for k in range(len(labels)):
        counts += np.bincount(checked_label_map(labels[k]).ravel(), minlength=256)
    shares = torch.from_numpy(counts[:classes] / max(counts[:classes].sum(), 1)).float()
    return torch.where(shares > 0, shares, 1).log()


class Finetuning:
    """One training of a whole network. No dataclass: Fabric would copy the parts of one.

    Attributes:
        losses: of all steps so far, each over all processes.

    Args:
        module: what is trained.
        examples: what it learns from.
        weights: of the classes.
        options: what matters for its weights.
        spread: what does not.
        seed: of what is random.
        kept: the file to go on from.
        progress: show a bar.
    """

    def __init__(
        self,
        module: Network,
        examples: Examples,
        weights: Tensor,
        options: Settings,
        spread: Spread,
        seed: int,
        kept: Checkpoint,
        progress: bool,
    ):
        self.module = module
        self.examples = examples
        self.weights = weights
        self.options = options
        self.spread = spread
        self.seed = seed
        self.kept = kept
        self.progress = progress
        self.losses: list[float] = []
        self.dropouts: list[PictureDropout] = []

    @property
    def memory_format(self) -> torch.memory_format:
        """On CUDA: channels last suits full convolutions; depthwise ones it makes a fifth slower."""
        full = self.options.network != "efficientnet_lite0"
        return torch.channels_last if full else torch.contiguous_format

    def launch(self, device: torch.device) -> None:
        """Train; afterwards `module` and `losses` are those of the end, in the process that asked."""
        fabric = self.spread.fabric(device)
        if "LT_CLI_USED" in os.environ:  # all processes are there
            return self.run(fabric)
        with tempfile.TemporaryDirectory() as folder:
            # A process that is made for the training alone can hand its weights over by a file only.
            apart = type(fabric.strategy.launcher).__name__ == "_MultiProcessingLauncher"
            file = Path(folder) / "result.pt" if apart else None
            fabric.launch(_run, self, file)
            if file is not None:
                result = torch.load(file, map_location="cpu", weights_only=True)
                self.module.load_state_dict(result["module"])
                self.losses = result["losses"]

    def run(self, fabric: Any) -> None:
        """Train to the end, as one of the processes, from the checkpoint on if there is one."""
        self.dropouts = with_picture_dropout(self.module)
        options = self.options
        if fabric.device.type == "cuda":
            self.module.to(memory_format=self.memory_format)
        sampler = ShardedBatches(
            len(self.examples), options.batch, fabric.global_rank, fabric.world_size, self.seed
        )
        steps = options.epochs * len(sampler)
        bare = _optimiser(self.module, options)
        schedule = LambdaLR(bare, lambda k: _share_of_lr(k, steps, options))
        module, optimiser = fabric.setup(self.module, bare)
        parts = {"module": self.module, "optimiser": bare, "schedule": schedule}
        first, self.losses = self.kept.resumed(parts)
        loader = self.loader(sampler, fabric)
        set_training(self.module)
        hidden = not self.progress or fabric.global_rank > 0
        for epoch in range(first, options.epochs):
            sampler.epoch = epoch
            sums = []
            bar = tqdm(loader, desc=f"epoch {epoch + 1} of {options.epochs}", leave=False, disable=hidden)
            for keys, x, wanted in bar:
                with _hint(self.spread, self.examples.crop):
                    sums.append(self.step(fabric, module, keys, x, wanted))
                optimiser.step()
                schedule.step()
                optimiser.zero_grad()
            self.losses += fabric.all_reduce(torch.stack(sums), reduce_op="sum").tolist()
            if not hidden:
                fabric.print(f"epoch {epoch + 1}: loss {np.mean(self.losses[-len(sampler) :]):.3f}")
            if fabric.global_rank == 0:
                self.kept.save(epoch + 1, parts, self.losses)
            fabric.barrier()
        if fabric.global_rank == 0:
            self.kept.remove()
        self.module.eval()

    def loader(self, sampler: ShardedBatches, fabric: Any) -> DataLoader:
        """Reads and cuts out what the sampler names, ahead of the training."""
        workers = self.spread.workers
        return DataLoader(
            _WithKeys(self.examples),
            batch_sampler=sampler,  # keys in place of numbers
            collate_fn=_stacked,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=fabric.device.type == "cuda",
            worker_init_fn=_one_thread,
            multiprocessing_context="spawn" if workers else None,
        )

    def step(self, fabric: Any, module: nn.Module, keys: list[Key], x: Tensor, wanted: Tensor) -> Tensor:
        """Gradients of one step; returns this process' part of its loss."""
        counts = torch.bincount(wanted.flatten().long(), minlength=256)[: len(self.weights)]
        total = (counts * self.weights).sum().to(fabric.device)
        total = fabric.all_reduce(total, reduce_op="sum").clamp(min=1e-6)
        value = torch.zeros((), device=fabric.device)
        parts = [p for p in torch.arange(len(x)).tensor_split(self.spread.accumulate) if len(p)]
        for n, part in enumerate(parts):
            self.seed_dropout([keys[k] for k in part])
            with fabric.no_backward_sync(module, enabled=n < len(parts) - 1):
                images = x[part].to(fabric.device)
                if fabric.device.type == "cuda":
                    images = images.to(memory_format=self.memory_format)
                loss = self.loss(module(images), wanted[part].to(fabric.device)) / total
                fabric.backward(loss * fabric.world_size)  # gradients are averaged over processes
            value += loss.detach()
        return value

    def loss(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Sum of the cross-entropy over the labelled pixels."""
        large = F.interpolate(logits.float(), wanted.shape[1:], mode="bilinear", align_corners=False)
        weights = self.weights.to(large.device)
        return F.cross_entropy(large, wanted.long(), weights, ignore_index=IGNORE, reduction="sum")

    def seed_dropout(self, keys: list[Key]) -> None:
        """What is dropped of a picture depends on its key."""
        for layer, dropout in enumerate(self.dropouts):
            dropout.seeds = [_digest(self.seed, epoch, k, layer) for epoch, k, _ in keys]


def _run(fabric: Any, run: Finetuning, file: Path | None) -> None:
    """What every process does; at the top of the module, so that new processes find it."""
    if file is not None:
        run.module = copy.deepcopy(run.module)  # what came along is shared with the other processes
    run.run(fabric)
    if file is not None and fabric.global_rank == 0:
        torch.save({"module": run.module.state_dict(), "losses": run.losses}, file)


@dataclass(frozen=True, eq=False)
class _WithKeys(Dataset):
    """Examples together with their keys."""

    examples: Examples

    def __getitem__(self, index: Key) -> tuple[Key, Tensor, Tensor]:
        return index, *self.examples[index]


def _stacked(parts: list[tuple[Key, Tensor, Tensor]]) -> tuple[list[Key], Tensor, Tensor]:
    keys, images, labels = zip(*parts, strict=True)
    return list(keys), torch.stack(images), torch.stack(labels)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)


def _digest(*numbers: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:6])


def _optimiser(module: nn.Module, options: Settings) -> torch.optim.Optimizer:
    if options.optimiser == "sgd":
        return torch.optim.SGD(groups(module, options), momentum=0.9, weight_decay=options.weight_decay)
    return AdamW(groups(module, options), weight_decay=options.weight_decay)


def _share_of_lr(step: int, steps: int, options: Settings) -> float:
    if options.drop_after is None:
        return share_of_lr(step, steps)
    return 1.0 if step < options.drop_after else 0.1


@contextmanager
def _hint(spread: Spread, crop: int) -> Generator[None]:
    """An error for want of memory says which setting to change."""
    try:
        yield
    except RuntimeError as error:
        wanting = isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
        if not wanting:
            raise
        raise MemoryError(
            f"the device has no room for a step: raise accumulate (now {spread.accumulate}), which changes "
            f"nothing else, or lower crop (now {crop})"
        ) from error
