"""Heads: features of cells -> logits of classes. Small, and all that is trained where features are frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..kit.checks import choice, whole


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
        self.drop = nn.Dropout2d(0.1)
        self.answer = nn.Conv2d(hidden, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, K, h, w)`` of features ``(B, C, h, w)``."""
        # (B, 1, 1, 1): cells of the picture; those beyond it are 0 and do not count
        inside = (x != 0).any(1, keepdim=True).sum((2, 3), keepdim=True)
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
HEADS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "linear": _linear,
    "two_layer": _two_layer,
    "context": Context,
}


def make_head(kind: str, channels: int, classes: int, hidden: int = 128, seed: int = 0) -> nn.Module:
    """A new head, ``(B, channels, h, w)`` -> logits ``(B, classes, h, w)``.

    Args:
        kind: a key of `HEADS`.
        channels: numbers a cell that come in.
        classes: logits a cell that go out.
        hidden: width of the inner layer, if there is one.
        seed: the same one gives the same weights.

    Raises:
        ValueError: another kind, or numbers below 1.

    Example:
        >>> make_head("two_layer", channels=16, classes=4)(torch.zeros(2, 16, 6, 8)).shape
        torch.Size([2, 4, 6, 8])
    """
    choice("kind", kind, HEADS)
    sizes = [whole(n, v, 1) for n, v in (("channels", channels), ("classes", classes), ("hidden", hidden))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(whole("seed", seed))
        return HEADS[kind](*sizes)
