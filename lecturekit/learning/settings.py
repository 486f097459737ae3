"""How a student is trained: settings, learning rates, and files to go on from."""

from __future__ import annotations

import copy
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..kit.checks import choice, number, whole
from ..kit.storage import write_atomic
from .features import STRIDE
from .heads import HEADS
from .networks import NETWORKS

OPTIMISERS = ("adamw", "sgd")


@dataclass(frozen=True)
class Settings:
    """How a student is trained; all that matters for its weights, beside features, labels and seed.

    Attributes:
        head: a key of `HEADS`.
        hidden: width of its inner layer, if it has one.
        epochs: how often every picture is seen.
        lr: highest learning rate (AdamW; it rises over the first tenth, then falls along a cosine).
        weight_decay: of AdamW.
        batch: pictures a step.
        stride: a step looks at every stride-th cell each way, from a random one on. Neighbours are alike, so
            that more pictures a step teach more than all cells of a few; for heads of one cell only.
        finetune: train the whole network; its own learning rate is a tenth of `lr`. What follows from
            `network` on is for this alone.
        tau: calibration: tau times the logarithm of a class's share in the training labels is subtracted
            from its logits (logit adjustment; Menon et al., ICLR 2021). Where most labels are background, a
            student names it too often; 0 leaves it so.
        network: a key of `networks.NETWORKS`.
        weights: what its backbone begins with: a file of weights, or ``"hub"``; see `networks.make_network`.
        crop: side in pixels of the square that is cut from each picture, a multiple of 8; None: the side
            that the picture is scaled to.
        zoom: by how much a picture is scaled, beside that, at random: from the first number to the second.
        flip: turn half of the pictures round, left to right.
        optimiser: ``"adamw"``, or ``"sgd"`` with a momentum of 0.9.
        drop_after: steps after which `lr` is divided by 10, once, and is constant otherwise, as the paper's;
            None: up over the first tenth, then down along a cosine.
    """

    head: str = "two_layer"
    hidden: int = 128
    epochs: int = 8
    lr: float = 2e-3
    weight_decay: float = 0.01
    batch: int = 8
    stride: int = 1
    finetune: bool = False
    tau: float = 0.0
    network: str = "efficientnet_lite0"
    weights: str | None = None
    crop: int | None = None
    zoom: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    optimiser: str = "adamw"
    drop_after: int | None = None

    def __post_init__(self):
        choice("head", self.head, HEADS)
        for name in ("hidden", "epochs", "batch", "stride"):
            whole(name, getattr(self, name), 1)
        if self.stride > 1 and (self.finetune or self.head == "context"):
            raise ValueError(f"stride must be 1 where cells look at their neighbours, got {self.stride}")
        number("lr", self.lr, 0, open_=True)
        number("weight_decay", self.weight_decay, 0)
        number("tau", self.tau, 0)
        self._check_finetuning()

    def _check_finetuning(self) -> None:
        choice("network", self.network, NETWORKS)
        choice("optimiser", self.optimiser, OPTIMISERS)
        if self.crop is not None and whole("crop", self.crop, 32) % STRIDE:
            raise ValueError(f"crop must be a multiple of {STRIDE}, got {self.crop}")
        if len(self.zoom) != 2:
            raise ValueError(f"zoom must be two numbers, got {self.zoom!r}")
        number("zoom", self.zoom[0], 0, self.zoom[1], open_=self.zoom[0] <= 0)
        if self.drop_after is not None:
            whole("drop_after", self.drop_after, 1)


@dataclass(frozen=True)
class Checkpoint:
    """A file that a training goes on from.

    Attributes:
        file: where; None: nothing is kept.
        fingerprint: of all that matters for the weights; a file of another one is not used.
    """

    file: Path | None
    fingerprint: str

    def save(self, epochs: int, parts: dict[str, Any], losses: Sequence[float] = ()) -> None:
        """The states of module, optimiser and schedule after so many epochs: the old file or the new one."""
        if self.file is None:
            return
        buffer = io.BytesIO()
        states = {part: copy.copy(thing.state_dict()) for part, thing in parts.items()}
        content = {"name": self.fingerprint, "epochs": epochs, "losses": list(losses), **states}
        torch.save(content, buffer)
        write_atomic(self.file, buffer.getvalue())

    def resumed(self, parts: dict[str, Any]) -> tuple[int, list[float]]:
        """How many epochs the file has behind it, 0 if there is none, and their losses; loads its states."""
        if self.file is None or not self.file.exists():
            return 0, []
        try:
            states = torch.load(self.file, map_location="cpu", weights_only=True)
            same = states["name"] == self.fingerprint
        except Exception:  # torch.load meets damage with errors of many kinds
            same = False
        if not same:
            name = self.file.name
            warnings.warn(f"{name} is of another training or damaged; training begins anew", stacklevel=5)
            return 0, []
        for part, thing in parts.items():
            thing.load_state_dict(states[part])
        return states["epochs"], states["losses"]

    def remove(self) -> None:
        """The training is over."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)


def groups(module: nn.Module, options: Settings) -> list[dict[str, Any]]:
    """Parameters with their learning rates: the backbone's own are a tenth.

    Args:
        module: a head, or with ``finetune`` a backbone and a head.
        options: of the training.
    """
    if not options.finetune:
        return [{"params": list(module.parameters()), "lr": options.lr}]
    backbone, head = module.children()
    return [
        {"params": list(backbone.parameters()), "lr": options.lr / 10},
        {"params": list(head.parameters()), "lr": options.lr},
    ]


def share_of_lr(step: int, steps: int) -> float:
    """What part of the learning rate is used: up over the first tenth, then down along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def set_training(module: nn.Module) -> None:
    """Training mode, but batch norm keeps ImageNet's statistics: the batches are too small for their own."""
    module.train()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def checked_class_weights(weights: Sequence[float] | None, classes: int) -> Tensor:
    """How much a pixel of each class counts, ``(classes,)``; None: all 1. Raises ``ValueError``."""
    found = torch.ones(classes) if weights is None else torch.tensor(weights, dtype=torch.float32)
    if found.shape != (classes,) or not (found.isfinite() & (found >= 0)).all():
        raise ValueError(f"class_weights must be {classes} numbers of at least 0, got {weights!r}")
    return found
