"""The student: a trained head, and what it says of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .features import Features, Pictures


class Student:
    """A trained segmenter: features (pictures, if the whole network was trained) -> classes of pixels.

    Attributes:
        module: features ``(B, C, h, w)`` -> logits ``(B, K, h, w)``.
        classes: K, with background.
        whole: the module takes pictures and not features.
        offset: subtracted from the logits, ``(K,)``: the calibration (`Settings.tau`).
        losses: of the steps of the training, where it kept them.
    """

    def __init__(self, module: nn.Module, classes: int, whole: bool, offset: Tensor | None = None):
        self.module = module.eval()
        self.classes = classes
        self.whole = whole
        self.offset = torch.zeros(classes) if offset is None else offset
        self.losses: tuple[float, ...] = ()

    @torch.inference_mode()
    def probabilities(
        self, features: Features | Pictures, batch: int = 8, sizes: Sequence[tuple[int, int]] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """For each picture, one after the other, float32 ``(K, H, W)``.

        Args:
            features: of the pictures, as those of the training; if the whole network was trained, the
                pictures alone will do.
            batch: pictures at a time.
            sizes: height and width, one a picture; None: the pictures' own.
        """
        for logits in self._at_sizes(features, batch, sizes):
            yield logits.softmax(0).cpu().numpy()

    @torch.inference_mode()
    def labels(self, features: Features | Pictures) -> list[NDArray[np.uint8]]:
        """The most probable class of every pixel, uint8 ``(H, W)`` a picture."""
        return [logits.argmax(0).byte().cpu().numpy() for logits in self._at_sizes(features, 8, None)]

    def _at_sizes(
        self, features: Features | Pictures, batch: int, sizes: Sequence[tuple[int, int]] | None
    ) -> Iterator[Tensor]:
        pictures = features if isinstance(features, Pictures) else features.pictures
        sizes = pictures.sizes.tolist() if sizes is None else sizes
        for logits, size in zip(self._logits(features, batch), sizes, strict=True):
            yield F.interpolate(logits[None].float(), tuple(size), mode="bilinear", align_corners=False)[0]

    def _logits(self, features: Features | Pictures, batch: int) -> Iterator[Tensor]:
        """Logits ``(K, h, w)`` of each picture on its own cells. Pictures of one grid go together."""
        device = next(self.module.parameters()).device
        source = features if isinstance(features, Pictures) or not self.whole else features.pictures
        if isinstance(source, Pictures) != self.whole:
            raise ValueError("features must be those of the training, got pictures for a head alone")
        for start in range(0, len(features), batch):
            chosen = range(start, min(start + batch, len(features)))
            grids = {tuple(features.cells[k].tolist()) for k in chosen}
            for group in [chosen] if len(grids) == 1 else [[k] for k in chosen]:
                yield from self.module(source.batch(group).to(device)) - self.offset.to(device)[:, None, None]

    def fingerprint(self) -> str:
        """The same for the same weights, bit for bit."""
        digest = hashlib.sha256()
        for name, weight in self.module.state_dict().items():
            digest.update(name.encode() + weight.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]
