"""The student: frozen features of the ImageNet classifier, a small head that learns to segment, its training.

The features are computed once and kept on disk, so that one training on a few hundred pictures takes seconds
on a CPU. With one switch (``finetune=True``) the same loop trains the whole network, as the papers do, on a
GPU; Lightning Fabric sees to devices and precision.

Labels are ``uint8 (H, W)``: 0 background, 1..K-1 classes, 255 ignore (no training there).
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..kit.devices import pick_device
from ..kit.storage import data_dir, write_atomic
from ..models import MEAN, SPREAD, WEIGHTS_SHA256, load_classifier

__all__ = [
    "HEADS",
    "Features",
    "Student",
    "features",
    "label_shares",
    "make_head",
    "pick_device",
    "train",
]

IGNORE = 255
#: Pixels of the network's input that a cell of the grid of features stands for, each way.
STRIDE = 8
#: Blocks of the network whose outputs are joined, and those that also see the picture at half the size.
BLOCKS, HALF_BLOCKS = (2, 4, 6), (6,)
#: Pictures whose features settle the reduction to fewer channels.
SAMPLE = 64
#: Part of every cache's name; a change of what is computed gets a new number.
VERSION = 1


class Trunk(nn.Module):
    """The classifier without its head: images -> features of several depths, joined and reduced.

    Takes float images ``(B, 3, H, W)`` as `Pictures.batch` makes them, H and W multiples of `STRIDE`, and
    returns ``(B, C, H / 8, W / 8)``.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.stem, self.blocks = nn.Sequential(network.conv_stem, network.bn1), network.blocks
        self.reduce: nn.Module = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
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
    """Pictures as the trunk takes them: longer side scaled to `side` pixels, in the upper left of a batch.

    Attributes:
        images: uint8 RGB ``(H, W, 3)`` each, any sizes.
        sizes: int ``(N, 2)``, height and width of each in its own pixels.
        cells: int ``(N, 2)``, height and width of each in cells of the grid.
    """

    def __init__(self, images: Sequence[np.ndarray], side: int):
        self.images, self.sizes = images, np.array([image.shape[:2] for image in images])
        scale = side / self.sizes.max(1, keepdims=True)
        self.cells = np.maximum(np.rint(self.sizes * scale / STRIDE), 1).astype(int)

    def batch(self, chosen: Sequence[int]) -> Tensor:
        """Float images ``(B, 3, h, w)``, as the classifier was trained; zero beyond a smaller picture."""
        frame = STRIDE * self.cells[list(chosen)].max(0)
        batch = torch.zeros(len(chosen), 3, *frame.tolist())
        for place, k in zip(batch, chosen, strict=True):
            height, width = (STRIDE * self.cells[k]).tolist()
            image = cv2.resize(
                self.images[k], (width, height), interpolation=_best_for(self.images[k], width)
            )
            place[:, :height, :width] = (torch.from_numpy(image).permute(2, 0, 1).float() - MEAN) / SPREAD
        return batch


def _best_for(image: np.ndarray, width: int) -> int:
    return cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC


@dataclass(frozen=True, eq=False)
class Features:
    """Features of pictures, computed once; make them with `features`.

    Attributes:
        values: float16 ``(N, C, h, w)``; a picture fills its own cells, what is beyond is 0.
        pictures: the pictures they are of.
        mean, matrix: the reduction of the joined features: ``(x - mean) @ matrix``, ``(C',)``, ``(C', C)``.
        key: names the pictures, the network and the settings; the same for the same.
    """

    values: np.ndarray
    pictures: Pictures
    mean: np.ndarray
    matrix: np.ndarray
    key: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def cells(self) -> np.ndarray:
        """Height and width of each picture in cells, int ``(N, 2)``."""
        return self.pictures.cells

    def batch(self, chosen: Sequence[int], thin: int = 1, start: tuple[int, int] = (0, 0)) -> Tensor:
        """Float32 features ``(B, C, h, w)`` of some pictures, no wider than the widest of them.

        With `thin`, only every thin-th cell each way from the row and column `start` on.
        """
        height, width = self.cells[list(chosen)].max(0)
        rows, columns = (slice(s, n, thin) for s, n in zip(start, (height, width), strict=True))
        return torch.from_numpy(np.stack([self.values[k, :, rows, columns] for k in chosen]).astype("f4"))


def features(
    images: Sequence[np.ndarray],
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
    are joined, each channel brought to spread 1, and all reduced to their first principal components.

    Args:
        images: uint8 RGB ``(H, W, 3)``, any sizes, at least one.
        side: the longer side of a picture as the network sees it, in pixels, at least 32.
        channels: how many principal components are kept, at most.
        like: features whose reduction and side are used again: those of the training pictures, for others.
        device: where to compute; None lets `pick_device` choose.
        cache: keep them below ``data/features`` and find them there next time.
        progress: show a bar.

    Raises:
        TypeError, ValueError: images or numbers of another kind.
    """
    _check_images(images)
    _check_whole("side", side, 32)
    _check_whole("channels", channels, 1)
    pictures = Pictures(images, side if like is None else _side(like))
    key = _key(images, side, channels) if like is None else _key(images, like.key)
    file = data_dir() / "features" / f"{key}.npy"
    found = _load(file, pictures, key) if cache else None
    if found is None:
        found = _computed(
            pictures, channels, like, pick_device(device), key, file if cache else None, progress
        )
    return found


def _side(like: Features) -> int:
    return int(STRIDE * like.cells.max())


def _key(images: Sequence[np.ndarray], *settings: object) -> str:
    """A name for pictures and settings: 32 hexadecimal digits."""
    digest = hashlib.sha256(repr((VERSION, WEIGHTS_SHA256, BLOCKS, HALF_BLOCKS, settings)).encode())
    for image in images:
        digest.update(repr(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:32]


def _load(file: Path, pictures: Pictures, key: str) -> Features | None:
    """What an earlier call wrote; None if there is nothing, or only what a full disk left."""
    try:
        values = np.load(file, mmap_mode="r")
        with np.load(file.with_suffix(".npz")) as reduction:
            return Features(values, pictures, reduction["mean"], reduction["matrix"], key)
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _computed(
    pictures: Pictures,
    channels: int,
    like: Features | None,
    device: torch.device,
    key: str,
    file: Path | None,
    progress: bool,
) -> Features:
    trunk = Trunk(load_classifier(device=device).network).eval()
    mean, matrix = _reduction(trunk, pictures, channels, device) if like is None else (like.mean, like.matrix)
    trunk.reduce = _as_layer(mean, matrix).to(device)
    shape = (len(pictures.images), matrix.shape[1], *pictures.cells.max(0).tolist())
    if file is None:
        values = np.zeros(shape, np.float16)
        _fill(values, trunk, pictures, device, progress)
        return Features(values, pictures, mean, matrix, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.stem}.{secrets.token_hex(6)}.npy")
    try:  # too large for write_atomic, which wants it in memory; the same steps
        values = np.lib.format.open_memmap(beside, "w+", np.float16, shape)
        _fill(values, trunk, pictures, device, progress)
        values.flush()
        del values  # Windows renames no file that is open
        buffer = io.BytesIO()
        np.savez(buffer, mean=mean, matrix=matrix)
        write_atomic(file.with_suffix(".npz"), buffer.getvalue())
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    return _load(file, pictures, key)


@torch.inference_mode()
def _fill(values: np.ndarray, trunk: Trunk, pictures: Pictures, device: torch.device, progress: bool) -> None:
    for k in tqdm(range(len(values)), desc="features", leave=False, disable=not progress):
        height, width = pictures.cells[k]
        found = trunk(pictures.batch([k]).to(device))
        values[k, :, :height, :width] = found[0].clamp(-6e4, 6e4).cpu().numpy()  # what float16 can hold


@torch.inference_mode()
def _reduction(
    trunk: Trunk, pictures: Pictures, channels: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and matrix that bring joined features to spread 1 and to their first principal components."""
    count = len(pictures.images)
    chosen = np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).astype(int)).tolist()
    cells = torch.cat([trunk.joined(pictures.batch([k]).to(device))[0].flatten(1).T.cpu() for k in chosen])
    cells = cells.double().numpy()
    mean, spread = cells.mean(0), cells.std(0)
    spread = np.maximum(spread, 0.1 * spread.mean() + 1e-6)  # else a channel that hardly speaks would shout
    scaled = (cells - mean) / spread
    share, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    axes = axes[:, share > 1e-6 * share.max()][:, ::-1][:, :channels]  # few cells span few axes
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])  # either sign is an axis
    return mean.astype("f4"), (axes / spread[:, None] / math.sqrt(max(share.mean(), 1e-12))).astype("f4")


def _as_layer(mean: np.ndarray, matrix: np.ndarray) -> nn.Conv2d:
    layer = nn.Conv2d(*matrix.shape, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(matrix.T.copy())[:, :, None, None])
        layer.bias.copy_(torch.from_numpy(-mean @ matrix))
    return layer


# ------------------------------------------------------------------------------------------------------ heads


class Context(nn.Module):
    """Two layers, the first of which sees each cell, its surroundings at three widths and the whole picture.

    The surroundings come by dilated convolutions, a channel at a time (as in DeepLab's pyramid of Chen et
    al., 2017, without its mixing of channels), the whole picture by a mean (ParseNet, Liu et al., 2015).
    """

    def __init__(self, channels: int, classes: int, hidden: int, rates: Sequence[int] = (1, 3, 6)):
        super().__init__()
        self.around = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=r, dilation=r, groups=channels, bias=False)
            for r in rates
        )
        self.mix = nn.Conv2d(channels * (len(rates) + 2), hidden, 1)
        self.drop, self.answer = nn.Dropout2d(0.1), nn.Conv2d(hidden, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        inside = (
            (x != 0).any(1, keepdim=True).sum((2, 3), keepdim=True)
        )  # cells of the picture, not beyond it
        everywhere = (x.sum((2, 3), keepdim=True) / inside.clamp(min=1)).expand_as(x)
        seen = torch.cat([x, everywhere, *(layer(x) for layer in self.around)], 1)
        return self.answer(self.drop(F.relu(self.mix(seen))))


def _linear(channels: int, classes: int, hidden: int) -> nn.Module:
    return nn.Conv2d(channels, classes, 1)


def _two_layer(channels: int, classes: int, hidden: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Dropout2d(0.1), nn.Conv2d(hidden, classes, 1)
    )


#: Heads by name: ``(B, C, h, w)`` -> logits ``(B, K, h, w)``. Only the last looks beyond its own cell.
HEADS = {"linear": _linear, "two_layer": _two_layer, "context": Context}


def make_head(kind: str, channels: int, classes: int, hidden: int = 128, seed: int = 0) -> nn.Module:
    """A new head; `kind` is a key of `HEADS`. The same seed gives the same weights."""
    if kind not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {kind!r}")
    for name, value in (("channels", channels), ("classes", classes), ("hidden", hidden)):
        _check_whole(name, value, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HEADS[kind](channels, classes, hidden)


# --------------------------------------------------------------------------------------------------- training


class Student:
    """A trained segmenter: features (pictures, if the whole network was trained) -> classes of pixels."""

    def __init__(self, module: nn.Module, classes: int, whole: bool):
        self.module, self.classes, self.whole = module.eval(), classes, whole

    @torch.inference_mode()
    def probabilities(self, features: Features, batch: int = 8) -> Iterator[np.ndarray]:
        """For each picture, one after the other, float32 ``(K, H, W)`` at its own size."""
        device = next(self.module.parameters()).device
        source = features.pictures if self.whole else features
        for start in range(0, len(features), batch):
            chosen = range(start, min(start + batch, len(features)))
            for k, logits in zip(chosen, self._logits(source, features, chosen, device), strict=True):
                size = features.pictures.sizes[k].tolist()
                wide = F.interpolate(logits[None].float(), size, mode="bilinear", align_corners=False)
                yield wide[0].softmax(0).cpu().numpy()

    def _logits(self, source: Features | Pictures, features: Features, chosen: range, device) -> list[Tensor]:
        """Logits ``(K, h, w)`` of each picture on its own cells. Pictures of one grid go together."""
        grids = {tuple(features.cells[k].tolist()) for k in chosen}
        if len(grids) == 1:
            return list(self.module(source.batch(chosen).to(device)))
        return [self.module(source.batch([k]).to(device))[0] for k in chosen]

    def labels(self, features: Features) -> list[np.ndarray]:
        """The most probable class of every pixel, uint8 ``(H, W)`` a picture."""
        return [p.argmax(0).astype(np.uint8) for p in self.probabilities(features)]

    def fingerprint(self) -> str:
        """The same for the same weights, bit for bit."""
        digest = hashlib.sha256()
        for name, weight in self.module.state_dict().items():
            digest.update(name.encode() + weight.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Settings:
    """How a student is trained; all that matters for its weights, beside features, labels and seed.

    Attributes:
        head: a key of `HEADS`.
        hidden: width of its inner layer, if it has one.
        epochs: how often every picture is seen.
        rate: highest learning rate (AdamW; it rises over the first tenth, then falls along a cosine).
        decay: AdamW's weight decay.
        batch: pictures a step.
        thin: a step looks at every thin-th cell each way, from a random one on. Neighbours are alike, so that
            more pictures a step teach more than all cells of a few; for heads of one cell only.
        finetune: train the whole network; its own learning rate is a tenth of `rate`.
    """

    head: str = "two_layer"
    hidden: int = 128
    epochs: int = 8
    rate: float = 2e-3
    decay: float = 0.01
    batch: int = 8
    thin: int = 1
    finetune: bool = False

    def __post_init__(self):
        if self.head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}, got {self.head!r}")
        for name in ("hidden", "epochs", "batch", "thin"):
            _check_whole(name, getattr(self, name), 1)
        if self.thin > 1 and (self.finetune or self.head == "context"):
            raise ValueError(f"thin must be 1 where cells look at their neighbours, got {self.thin}")
        for name, least in (("rate", 1e-12), ("decay", 0.0)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not least <= value < math.inf:
                raise ValueError(f"{name} must be a finite number of at least {least}, got {value!r}")


def train(
    features: Features,
    labels: Sequence[np.ndarray],
    classes: int,
    *,
    seed: int = 0,
    class_weights: Sequence[float] | None = None,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    progress: bool = False,
    **settings,
) -> Student:
    """Train a head on frozen features, or with ``finetune=True`` the whole network, to tell pixels' classes.

    The loss is the cross-entropy, averaged over the pixels that have a label. It is taken on the grid of
    features: a cell's target is the share that each class has of its labelled pixels.

    Args:
        features: of the training pictures.
        labels: one map a picture, of the picture's size: uint8, 0..classes - 1, or 255 to ignore a pixel.
        classes: how many, background included, 1 to 255.
        seed: of the first weights, the order of the pictures and the dropout.
        class_weights: how much a pixel of each class counts, `classes` numbers of at least 0. None: all 1.
        checkpoint: a file that is written after every epoch. If training stops in the middle, the same call
            goes on from there and ends with the same weights. It is removed at the end.
        device: where to train; None lets `pick_device` choose. On CUDA in bf16 (mixed), channels last.
        progress: show a bar.
        **settings: see `Settings`.

    Raises:
        TypeError, ValueError: arguments of another kind, and labels without a single labelled pixel.
    """
    options = Settings(**settings)
    _check_whole("seed", seed, 0)
    targets = label_shares(labels, features, classes)
    weights = _class_weights(class_weights, classes)
    if not (targets.sum((0, 2, 3)) * weights).sum() > 0:
        raise ValueError("labels must hold at least one pixel that is not 255 and has a class weight above 0")
    device = pick_device(device)
    module = _module(features, classes, options, seed, device)
    name = _fingerprint(features, targets, weights, options, seed)
    file = None if checkpoint is None else Path(checkpoint)
    source = features.pictures if options.finetune else features
    _fit(module, source, targets, weights, options, seed, device, file, name, progress)
    if file is not None:
        file.unlink(missing_ok=True)
    return Student(module, classes, options.finetune)


def label_shares(labels: Sequence[np.ndarray], features: Features, classes: int) -> Tensor:
    """Share of each cell's pixels that each class has, float16 ``(N, K, h, w)``; ignored pixels have none.

    Args as in `train`. What lies beyond a picture's own cells is 0.
    """
    _check_labels(labels, features, classes)
    shares = torch.zeros(len(labels), classes, *features.cells.max(0).tolist(), dtype=torch.float16)
    for place, one, (height, width) in zip(shares, labels, features.cells.tolist(), strict=True):
        known = np.where(one == IGNORE, classes, one).astype(np.int64)
        hot = F.one_hot(torch.from_numpy(known), classes + 1).permute(2, 0, 1)[:classes]
        place[:, :height, :width] = F.adaptive_avg_pool2d(hot.float(), (height, width))
    return shares


def _module(
    features: Features, classes: int, options: Settings, seed: int, device: torch.device
) -> nn.Module:
    head = make_head(options.head, features.matrix.shape[1], classes, options.hidden, seed)
    if not options.finetune:
        return head.to(device)
    trunk = Trunk(load_classifier(device=device).network)
    trunk.reduce = _as_layer(features.mean, features.matrix)
    return nn.Sequential(trunk, head).to(device)


def _fit(
    module: nn.Module,
    source: Features | Pictures,
    targets: Tensor,
    weights: Tensor,
    options: Settings,
    seed: int,
    device: torch.device,
    file: Path | None,
    name: str,
    progress: bool,
) -> None:
    """Train `module` in place."""
    fabric = _fabric(device)
    if device.type == "cuda":
        module.to(memory_format=torch.channels_last)
    steps = options.epochs * math.ceil(len(targets) / options.batch)
    optimiser = torch.optim.AdamW(_groups(module, options), weight_decay=options.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: _share_of_rate(k, steps))
    wrapped, optimiser = fabric.setup(module, optimiser)
    weights = weights.to(device)[:, None, None]
    done = _resume(file, name, module, optimiser, schedule)
    bar = tqdm(range(done, options.epochs), desc="training", leave=False, disable=not progress)
    for epoch in bar:
        with _seeded(seed, epoch, device):
            _set_training(module)
            for chosen in torch.randperm(len(targets)).split(options.batch):
                x, wanted = _some_cells(source, targets, chosen, options.thin, device)
                if device.type == "cuda":
                    x = x.to(memory_format=torch.channels_last)
                loss = _loss(wrapped(x), wanted, weights)
                optimiser.zero_grad()
                fabric.backward(loss)
                optimiser.step()
                schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
        if file is not None:
            _save(file, name, epoch + 1, module, optimiser, schedule)


def _some_cells(
    source: Features | Pictures, targets: Tensor, chosen: Tensor, thin: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """What goes into a step and what should come out, of all cells of some pictures or every thin-th."""
    if thin == 1:
        return source.batch(chosen.tolist()).to(device), targets[chosen].to(device)
    least = source.cells[chosen].min()
    row, column = torch.randint(min(thin, int(least)), (2,)).tolist()
    x = source.batch(chosen.tolist(), thin, (row, column))
    return x.to(device), targets[chosen][..., row::thin, column::thin].to(device)


def _loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean cross-entropy of logits ``(B, K, h, w)`` over what is labelled in targets ``(B, K, H, W)``."""
    height, width = logits.shape[-2:]
    wanted = targets[..., :height, :width].float() * weights
    return -(wanted * logits.float().log_softmax(1)).sum() / wanted.sum().clamp(min=1e-6)


def _groups(module: nn.Module, options: Settings) -> list[dict]:
    """Parameters with their learning rates: the trunk's own are a tenth."""
    if not options.finetune:
        return [{"params": list(module.parameters()), "lr": options.rate}]
    trunk, head = module
    return [
        {"params": list(trunk.parameters()), "lr": options.rate / 10},
        {"params": list(head.parameters()), "lr": options.rate},
    ]


def _share_of_rate(step: int, steps: int) -> float:
    """What part of the learning rate is used: up over the first tenth, then down along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _set_training(module: nn.Module) -> None:
    """Training mode, but batch norm keeps ImageNet's statistics: the batches are too small for their own."""
    module.train()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


@contextmanager
def _seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Random numbers of this epoch alone: a training that goes on draws the same. Others are untouched."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(1_000_003 * seed + epoch)
        yield


def _fabric(device: torch.device):
    from lightning_fabric import Fabric  # slow to import

    precision = "bf16-mixed" if device.type == "cuda" else "32-true"
    devices = [device.index or 0] if device.type == "cuda" else 1
    return Fabric(accelerator=device.type, devices=devices, precision=precision)


# ------------------------------------------------------------------------------------------------ checkpoints


def _fingerprint(features: Features, targets: Tensor, weights: Tensor, options: Settings, seed: int) -> str:
    digest = hashlib.sha256(json.dumps([features.key, asdict(options), seed]).encode())
    for tensor in (targets, weights):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _save(file: Path, name: str, epochs: int, module: nn.Module, optimiser, schedule) -> None:
    buffer = io.BytesIO()
    parts = {"module": module, "optimiser": optimiser, "schedule": schedule}
    states = {part: copy.copy(thing.state_dict()) for part, thing in parts.items()}
    torch.save({"name": name, "epochs": epochs, **states}, buffer)
    write_atomic(file, buffer.getvalue())


def _resume(file: Path | None, name: str, module: nn.Module, optimiser, schedule) -> int:
    """How many epochs the checkpoint has behind it; its states are loaded. 0 where there is none to use."""
    if file is None or not file.exists():
        return 0
    try:
        states = torch.load(file, map_location="cpu", weights_only=True)
        same = states["name"] == name
    except Exception:  # torch.load meets damage with errors of many kinds
        same = False
    if not same:
        warnings.warn(f"{file.name} is of another training or damaged; training begins anew", stacklevel=4)
        return 0
    module.load_state_dict(states["module"])
    optimiser.load_state_dict(states["optimiser"])
    schedule.load_state_dict(states["schedule"])
    return states["epochs"]


# ---------------------------------------------------------------------------------------------------- checks


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _check_images(images: Sequence[np.ndarray]) -> None:
    if len(images) == 0:
        raise ValueError("images must hold at least one picture, got none")
    for image in images:
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            raise TypeError(
                f"images must be uint8 arrays, got {getattr(image, 'dtype', type(image).__name__)}"
            )
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"images must be RGB (H, W, 3) with pixels, got shape {image.shape}")


def _check_labels(labels: Sequence[np.ndarray], features: Features, classes: int) -> None:
    _check_whole("classes", classes, 1)
    if classes > IGNORE:
        raise ValueError(f"classes must be at most {IGNORE}, got {classes}")
    sizes = features.pictures.sizes
    if len(labels) != len(sizes):
        raise ValueError(f"labels must be one a picture ({len(sizes)}), got {len(labels)}")
    for one, size in zip(labels, sizes.tolist(), strict=True):
        if not isinstance(one, np.ndarray) or one.dtype != np.uint8:
            raise TypeError(f"labels must be uint8 arrays, got {getattr(one, 'dtype', type(one).__name__)}")
        if list(one.shape) != size:
            raise ValueError(f"labels must have the pictures' sizes, got {one.shape} for {tuple(size)}")
        if ((one >= classes) & (one != IGNORE)).any():
            raise ValueError(f"labels must be 0..{classes - 1} or 255, got {one[one != IGNORE].max()}")


def _class_weights(weights: Sequence[float] | None, classes: int) -> Tensor:
    found = torch.ones(classes) if weights is None else torch.tensor(weights, dtype=torch.float32)
    if found.shape != (classes,) or not (found.isfinite() & (found >= 0)).all():
        raise ValueError(f"class_weights must be {classes} numbers of at least 0, got {weights!r}")
    return found
