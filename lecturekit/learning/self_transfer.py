"""Maps of classes from image labels: a localiser, alone or with a classifier that hands over to it.

A localiser makes a map of each class and pools it into a score; the pool decides what it learns to see. The
mean (GAP, Zhou et al., CVPR 2016) wants a class everywhere, the maximum (Oquab et al., "Is object
localization for free?", CVPR 2015) wants it somewhere, and rank pooling lies between. Hwang and Kim
("Self-transfer learning for weakly supervised lesion localization", MICCAI 2016) train it beside a classifier
on one trunk: the classifier leads at first, and as ``alpha`` grows the localiser takes over.

Class c has map c; map 0, of the background, is not trained and stands there to keep the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..kit.checks import number, whole
from ..kit.devices import pick_device
from .features import Features
from .networks import make_network
from .seed_expand import global_weighted_rank_pool
from .training import Batch, Settings, Training


class SelfTransfer(nn.Module):
    """A localiser, whose maps ``(B, K, h, w)`` say where, and a classifier, whose scores ``(B, K)`` say what.

    Args:
        channels: C.
        classes: K, background included.
        trunk: width of a layer that both share and that learns; 0 for none, and then they share nothing.
    """

    def __init__(self, channels: int, classes: int, trunk: int = 128):
        super().__init__()
        width = trunk or channels
        self.trunk = nn.Sequential(nn.Conv2d(channels, trunk, 1), nn.ReLU()) if trunk else nn.Identity()
        self.localiser = nn.Conv2d(width, classes, 1)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor, inside: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Maps, and scores of the mean over an image's own cells (bool ``(B, h, w)``)."""
        x = self.trunk(x)
        return self.localiser(x), self.classifier(global_weighted_rank_pool(x, 1, inside))


class WholeLocaliser(nn.Module):
    """A localiser with the network below it, which learns as well: float images -> maps and scores.

    Args:
        backbone: images ``(B, 3, H, W)`` -> features ``(B, C, h, w)``.
        head: features -> maps and scores.
    """

    def __init__(self, backbone: nn.Module, head: SelfTransfer):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor, inside: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Maps, and scores of the mean over an image's own cells (bool ``(B, h, w)``)."""
        return self.head(self.backbone(images), inside)


def transfer_loss(scores: Tensor, pooled: Tensor, present: Tensor, alpha: float) -> Tensor:
    """``(1 - alpha) classifier + alpha localiser`` (Hwang and Kim): binary cross-entropies of each class.

    Args:
        scores: of the classifier, ``(B, K)``; entry 0 is not looked at.
        pooled: of the localiser, ``(B, K)``.
        present: bool ``(B, K)``.
        alpha: 0..1.

    Example:
        >>> zeros = torch.zeros(1, 2)
        >>> round(transfer_loss(zeros, zeros, torch.tensor([[True, True]]), 0.3).item(), 4)
        0.6931
    """
    wanted = present[:, 1:].float()
    parts = [F.binary_cross_entropy_with_logits(z[:, 1:], wanted) for z in (scores, pooled)]
    return (1 - alpha) * parts[0] + alpha * parts[1]


def moving_alpha(done: float, low: float = 0.1, high: float = 0.9, at: float = 0.6) -> float:
    """Who leads: `low` at first, `high` once the share `at` of the training is over.

    Args:
        done: share of the training that is over, 0..1.
        low: weight of the localiser at first.
        high: its weight at the end.
        at: when it changes.

    Example:
        >>> [moving_alpha(done) for done in (0.0, 0.5, 0.7)]
        [0.1, 0.1, 0.9]
    """
    return high if done >= at else low


def alone(done: float) -> float:
    """The localiser alone: alpha is 1 from the start.

    Args:
        done: share of the training that is over.
    """
    return 1.0


def train_localiser(
    features: Features,
    present: Tensor,
    *,
    decay: float = 0.0,
    alpha: Callable[[float], float] = alone,
    trunk: int = 0,
    warm_up: float = 0.3,
    finetune: bool = False,
    seed: int = 0,
    device: str | torch.device | None = None,
    **settings: float,
) -> SelfTransfer | WholeLocaliser:
    """Maps of the classes from image labels, on frozen features or with the network that makes them.

    Args:
        features: of the training images.
        present: bool ``(N, K)``, their image labels; entry 0 is not looked at.
        decay: of the pool (`global_weighted_rank_pool`): 0 is the maximum, 1 the mean.
        alpha: share of the training that is over -> weight of the localiser: `alone` or `moving_alpha`.
        trunk: width of the layer that both learn, 0 for none.
        warm_up: share of the training for which the pool is the mean before it becomes what `decay` says. The
            maximum hears of one cell an image: if that is a wrong one at first, it may never look elsewhere.
        finetune: the network learns too, at a tenth of the rate, as in the papers: hundreds of times the
            work of a localiser alone, so for a GPU or for few and small images.
        seed: of weights and order.
        device: where; None lets `pick_device` choose.
        **settings: of `training.Settings`, over 20 epochs, lr 3e-3, weight_decay .1, batch 16, stride 2 (1
            with `finetune`).

    Raises:
        ValueError: present is not one row an image, or numbers out of range.
    """
    number("decay", decay, 0, 1)
    number("warm_up", warm_up, 0, 1)
    if present.ndim != 2 or len(present) != len(features) or present.dtype != torch.bool:
        raise ValueError(f"present must be bool ({len(features)}, K), got {present.dtype} {present.shape}")
    usual = {"epochs": 20, "lr": 3e-3, "weight_decay": 0.1, "batch": 16, "stride": 1 if finetune else 2}
    where = pick_device(device)
    module: SelfTransfer | WholeLocaliser
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(whole("seed", seed))
        module = SelfTransfer(features.matrix.shape[1], present.shape[1], whole("trunk", trunk))
    if finetune:
        reduction = (features.mean, features.matrix)
        network = make_network("efficientnet_lite0", present.shape[1], reduction=reduction)
        module = WholeLocaliser(network.backbone, module)
    source = features.pictures if finetune else features

    def loss(module: nn.Module, batch: Batch, labels: Tensor) -> Tensor:
        x, inside = batch.thinned(batch.inside)
        maps, scores = module(x, inside)
        pooled = global_weighted_rank_pool(maps, 1.0 if batch.done < warm_up else decay, inside)
        return transfer_loss(scores, pooled, labels.flatten(1), alpha(batch.done))

    options = Settings(**(usual | settings), finetune=finetune)  # ty: ignore[invalid-argument-type]
    targets = present[:, :, None, None]  # one number a class, in the shape of a grid
    Training(module.to(where), source, targets, loss, options, seed, where, None, "", False).run()
    return module.eval()


@torch.no_grad()
def class_maps(
    module: SelfTransfer | WholeLocaliser,
    features: Features,
    sizes: Sequence[Sequence[int]] | None = None,
) -> Iterator[Tensor]:
    """The localiser's maps of each image, ``(K, h, w)``, one image after the other.

    Args:
        module: from `train_localiser`.
        features: of the images; a whole network looks at the images themselves.
        sizes: height and width of the maps, one a picture; None: the cells of the features.
    """
    device = next(module.parameters()).device
    source = features.pictures if isinstance(module, WholeLocaliser) else features
    for k in range(len(features)):
        maps = module(source.batch([k]).to(device))[0].cpu()
        size = maps.shape[-2:] if sizes is None else tuple(map(int, sizes[k]))
        yield F.interpolate(maps, size, mode="bilinear", align_corners=False)[0]
