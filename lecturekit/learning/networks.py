"""Networks that are trained as a whole: the course's own, and those that papers on weak labels compare.

Each takes float images as `Pictures.batch` makes them (the course's normalisation, undone inside where the
weights want another) and answers at an eighth of their size.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..kit.checks import choice, whole
from ..models import MEAN, STD, load_classifier
from .features import Backbone, reducing_layer
from .heads import make_head

#: ImageNet's mean and standard deviation, on a scale of 0..1, with which torchvision's weights were trained.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: VGG-16's convolutions: channels, and M for a maximum over 3 x 3 of which every second is kept, m for all.
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "m", 512, 512, 512, "m")

#: Mean and matrix that reduce the joined features of the course's network (`features.Features`).
Reduction = tuple[NDArray[np.float32], NDArray[np.float32]]


class Network(nn.Module):
    """A backbone and a head: float images ``(B, 3, H, W)`` -> logits ``(B, K, H / 8, W / 8)``.

    Args:
        backbone: images -> features, or a dictionary that has them under ``"out"``.
        head: features -> logits.
        imagenet: the backbone wants ImageNet's normalisation and not the course's.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, imagenet: bool = True):
        super().__init__()
        self.backbone = backbone
        self.head = head
        # (x * STD + MEAN) is the image in 0..255 again
        mean = 255 * torch.tensor(IMAGENET_MEAN) if imagenet else torch.full((3,), MEAN)
        std = 255 * torch.tensor(IMAGENET_STD) if imagenet else torch.full((3,), STD)
        self.register_buffer("factor", (STD / std)[:, None, None], persistent=False)
        self.register_buffer("offset", ((MEAN - mean) / std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, K, h, w)``."""
        seen = self.backbone(images * self.get_buffer("factor") + self.get_buffer("offset"))
        return self.head(seen["out"] if isinstance(seen, dict) else seen)


def make_network(
    name: str,
    classes: int,
    *,
    weights: str | Path | None = None,
    sha256: str | None = None,
    reduction: Reduction | None = None,
    head: str = "two_layer",
    hidden: int = 128,
    seed: int = 0,
) -> Network:
    """A new network of a kind, its head untrained.

    Args:
        name: a key of `NETWORKS`.
        classes: logits a pixel, background included.
        weights: what the backbone begins with: a file of torchvision's (ResNet-50 or VGG-16, trained on
            ImageNet), or ``"hub"``, which lets torchvision fetch it to its own folder on a machine that has a
            network. None: random, and for ``efficientnet_lite0`` the course's own weights.
        sha256: of that file, or its first 8 digits. None: those that torchvision puts into its name, as in
            ``vgg16-397923af.pth``.
        reduction: of the course's network: mean and matrix; None: a random one to 128 channels.
        head: of the course's network, a key of `heads.HEADS`.
        hidden: width of that head.
        seed: of whatever is random.

    Raises:
        FileNotFoundError: there is no such file of weights.
        ValueError: another name, numbers out of range, or weights of another hash.

    Example:
        >>> network = make_network("vgg16_largefov", classes=21)
        >>> network(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 21, 8, 12])
    """
    make = NETWORKS[choice("name", name, NETWORKS)]
    whole("classes", classes, 1)
    state = _weights(name, weights, sha256)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(whole("seed", seed))
        if name == "efficientnet_lite0":
            return _lite0(classes, reduction, lambda c: make_head(head, c, classes, hidden, seed))
        network = make(classes)
    if state is not None:
        LOADERS[name](network, state)
    return network


def _lite0(classes: int, reduction: Reduction | None, head: Callable[[int], nn.Module]) -> Network:
    backbone = Backbone(load_classifier(device="cpu").network)
    if reduction is None:
        with torch.no_grad():
            joined = backbone.joined(torch.zeros(1, 3, 64, 64)).shape[1]
        backbone.reduce = nn.Conv2d(joined, 128, 1)
    else:
        backbone.reduce = reducing_layer(*reduction)
    return Network(backbone, head(128 if reduction is None else reduction[1].shape[1]), imagenet=False)


def _torchvision(name: str, classes: int) -> Network:
    from torchvision.models import segmentation  # slow to import

    made = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=classes)
    return Network(made.backbone, made.classifier)


def _vgg16(classes: int) -> Network:
    """DeepLab-LargeFOV on VGG-16 (Chen et al., ICLR 2015): the network of Khoreva et al.

    The last two maxima keep every pixel, the convolutions behind the first of them look at every second one,
    and the first fully connected layer became a convolution of 3 x 3 pixels, 12 apart.
    """
    layers: list[nn.Module] = []
    channels, dilation = 3, 1
    for step in VGG16:
        if isinstance(step, int):
            layers.append(nn.Conv2d(channels, step, 3, padding=dilation, dilation=dilation))
            layers.append(nn.ReLU(inplace=True))
            channels = step
        else:
            layers.append(nn.MaxPool2d(3, stride=2 if step == "M" else 1, padding=1))
            dilation = 1 if step == "M" else 2
    head = nn.Sequential(
        nn.Conv2d(512, 1024, 3, padding=12, dilation=12),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Conv2d(1024, 1024, 1),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Conv2d(1024, classes, 1),
    )
    nn.init.normal_(head[-1].get_parameter("weight"), std=0.01)
    nn.init.zeros_(head[-1].get_parameter("bias"))
    return Network(nn.Sequential(*layers), head)


#: Networks by name: classes -> a network with random weights.
NETWORKS: dict[str, Callable[[int], Network]] = {
    "efficientnet_lite0": lambda classes: make_network("efficientnet_lite0", classes),
    "deeplabv3_resnet50": lambda classes: _torchvision("deeplabv3_resnet50", classes),
    "fcn_resnet50": lambda classes: _torchvision("fcn_resnet50", classes),
    "vgg16_largefov": _vgg16,
}


def _load_resnet(network: Network, state: dict[str, Tensor]) -> None:
    """ImageNet's ResNet-50 without its last layer."""
    wanted = network.backbone.state_dict()
    _check_fits(wanted, state)
    network.backbone.load_state_dict({name: state[name] for name in wanted})


def _load_vgg16(network: Network, state: dict[str, Tensor]) -> None:
    """ImageNet's VGG-16: the convolutions as they are, of the first two fully connected layers a sample.

    Of their 4096 channels every fourth is kept, of 7 x 7 pixels every third.
    """
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    layers = [layer for layer in network.backbone.modules() if isinstance(layer, nn.Conv2d)]
    for layer, n in zip(layers, numbers, strict=True):
        part = {key: state.get(f"features.{n}.{key}", torch.zeros(0)) for key in ("weight", "bias")}
        _check_fits(layer.state_dict(), part)
        layer.load_state_dict(part)
    if "classifier.0.weight" in state:
        first = state["classifier.0.weight"].view(4096, 512, 7, 7)[::4, :, ::3, ::3]
        second = state["classifier.3.weight"][::4, ::4, None, None]
        for k, n, weight in ((0, 0, first), (3, 3, second)):
            layer = network.head.get_submodule(str(k))
            layer.load_state_dict({"weight": weight, "bias": state[f"classifier.{n}.bias"][::4]})


LOADERS = {
    "deeplabv3_resnet50": _load_resnet,
    "fcn_resnet50": _load_resnet,
    "vgg16_largefov": _load_vgg16,
}
#: Names under which torchvision's hub has the weights.
HUB = {
    "deeplabv3_resnet50": "ResNet50_Weights.IMAGENET1K_V1",
    "fcn_resnet50": "ResNet50_Weights.IMAGENET1K_V1",
    "vgg16_largefov": "VGG16_Weights.IMAGENET1K_V1",
}


def _check_fits(wanted: dict[str, Tensor], met: dict[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        if name not in met or met[name].shape != tensor.shape:
            raise ValueError(f"weights must be of this network's backbone, got none that fit {name}")


def _weights(name: str, weights: str | Path | None, sha256: str | None) -> dict[str, Tensor] | None:
    """The tensors of a file whose hash is right; None for random ones."""
    if weights is None:
        return None
    if name not in LOADERS:
        raise ValueError(f"weights of {name} come with the course, got {str(weights)!r}")
    if weights == "hub":
        from torchvision.models import get_weight

        return dict(get_weight(HUB[name]).get_state_dict(progress=False, check_hash=True))
    return _read_checked(Path(weights).expanduser(), sha256)


def _read_checked(path: Path, sha256: str | None) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights {path}")
    named = re.search(r"-([0-9a-f]{8,})$", path.stem)
    wanted = sha256 if sha256 is not None else named and named[1]
    if not wanted or not re.fullmatch("[0-9a-f]{8,64}", wanted):
        raise ValueError(f"sha256 must be given for {path.name}, whose name does not hold its first 8 digits")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(wanted):
        raise ValueError(f"{path.name} has SHA-256 {digest[:16]}..., wanted {wanted[:16]}")
    return torch.load(path, map_location="cpu", weights_only=True)


class PictureDropout(nn.Module):
    """Dropout whose mask belongs to the picture and not to its place in a batch.

    So that a picture is treated alike on whatever device and beside whichever others it is learned from.

    Attributes:
        seeds: one a picture of the next batch, set by who trains.
    """

    def __init__(self, p: float, channels: bool):
        super().__init__()
        self.p = p
        self.channels = channels
        self.seeds: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` of the same shape; in eval mode `x` itself."""
        if not self.training or self.p == 0:
            return x
        shape = (x.shape[1], 1, 1) if self.channels else x.shape[1:]
        rng = torch.Generator(x.device)
        chances = [torch.rand(shape, generator=rng.manual_seed(s), device=x.device) for s in self.seeds]
        return x * (torch.stack(chances) >= self.p) / (1 - self.p)


def with_picture_dropout(module: nn.Module) -> list[PictureDropout]:
    """Put a `PictureDropout` in the place of every dropout of a module; those that are in it then."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout | nn.Dropout2d):
                setattr(parent, name, PictureDropout(child.p, isinstance(child, nn.Dropout2d)))
    return [part for part in module.modules() if isinstance(part, PictureDropout)]
