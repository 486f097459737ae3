"""Exercises and quiz of notebook 05, class activation maps."""

from __future__ import annotations

import torch
from torch import nn

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


def _seeded(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _weighted_sum(features, weights):
    # (C, 1, 1) * (C, h, w), summed over the channels -> (h, w)
    return (weights[:, None, None] * features).sum(0)


weighted_sum = chapter.exercise(
    "weighted_sum",
    _weighted_sum,
    cases=lambda: [
        (_seeded(0, 5, 3, 4), _seeded(1, 5)),
        (_seeded(2, 3, 3, 3), _seeded(3, 3)),
        (_seeded(4, 2, 7, 7).relu(), _seeded(5, 2)),
    ],
    mistakes={
        "mean_over_channels": lambda features, weights: (weights[:, None, None] * features).mean(0),
        "no_weights": lambda features, weights: features.sum(0),
        "pooled_too_early": lambda features, weights: (weights * features.mean((1, 2))).sum(),
        "rectified": lambda features, weights: (weights[:, None, None] * features).sum(0).clamp(min=0),
        "absolute_weights": lambda features, weights: (weights.abs()[:, None, None] * features).sum(0),
        "channels_left": lambda features, weights: weights[:, None, None] * features,
    },
)


def _logit_from_map(cam_map, bias):
    return cam_map.mean() + bias


logit_from_map = chapter.exercise(
    "logit_from_map",
    _logit_from_map,
    cases=lambda: [(_seeded(0, 7, 7), torch.tensor(0.5)), (_seeded(1, 2, 3), torch.tensor(-2.0))],
    mistakes={
        "sum": lambda cam_map, bias: cam_map.sum() + bias,
        "no_bias": lambda cam_map, bias: cam_map.mean(),
        "max": lambda cam_map, bias: cam_map.max() + bias,
        "rectified": lambda cam_map, bias: cam_map.clamp(min=0).mean() + bias,
    },
)


def _evidence_share(cam_map):
    positive = cam_map.clamp(min=0)
    half = cam_map.shape[1] // 2
    return positive[:, :half].sum() / positive.sum()


evidence_share = chapter.exercise(
    "evidence_share",
    _evidence_share,
    cases=lambda: [(_seeded(s, 3, 4 + 2 * s),) for s in (0, 1, 2)],
    mistakes={
        "signed": lambda cam_map: cam_map[:, : cam_map.shape[1] // 2].sum() / cam_map.sum(),
        "right_half": lambda cam_map: (
            cam_map.clamp(min=0)[:, cam_map.shape[1] // 2 :].sum() / cam_map.clamp(min=0).sum()
        ),
        "upper_half": lambda cam_map: (
            cam_map.clamp(min=0)[: cam_map.shape[0] // 2].sum() / cam_map.clamp(min=0).sum()
        ),
        "absolute": lambda cam_map: cam_map.abs()[:, : cam_map.shape[1] // 2].sum() / cam_map.abs().sum(),
    },
)


def _for_display(cam_map):
    positive = cam_map.clamp(min=0)
    largest = positive.max()
    return positive / largest if largest > 0 else positive


for_display = chapter.exercise(
    "for_display",
    _for_display,
    cases=lambda: [
        (_seeded(0, 4, 4),),
        (_seeded(1, 3, 5) + 4,),
        (0.1 * _seeded(3, 3, 5),),
        (-_seeded(2, 3, 3).abs(),),
        (torch.zeros(2, 2),),
    ],
    mistakes={
        "minmax": lambda cam_map: (
            (cam_map - cam_map.min()) / (cam_map.max() - cam_map.min()).clamp(min=1e-12)
        ),
        "not_a_number": lambda cam_map: cam_map.clamp(min=0) / cam_map.clamp(min=0).max(),
        "kept_negative": lambda cam_map: (
            cam_map / cam_map.max() if cam_map.max() > 0 else torch.zeros_like(cam_map)
        ),
        "absolute": lambda cam_map: cam_map.abs() / cam_map.abs().max().clamp(min=1e-12),
    },
)


def _tight_box(mask):
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


def _some_masks():
    masks = [torch.zeros(6, 9, dtype=torch.bool) for _ in range(3)]
    masks[0][1:3, 4:8] = True
    masks[1][5, 0] = masks[1][2, 7] = True
    masks[2][0:6, 3] = True
    return [(mask,) for mask in masks]


tight_box = chapter.exercise(
    "tight_box",
    _tight_box,
    cases=_some_masks,
    mistakes={
        "inclusive": lambda mask: tuple(v - d for v, d in zip(_tight_box(mask), (0, 0, 1, 1), strict=True)),
        "rows_first": lambda mask: tuple(_tight_box(mask)[k] for k in (1, 0, 3, 2)),
        "width_and_height": lambda mask: (
            *_tight_box(mask)[:2],
            *(_tight_box(mask)[k + 2] - _tight_box(mask)[k] for k in (0, 1)),
        ),
        "whole_picture": lambda mask: (0, 0, mask.shape[1], mask.shape[0]),
    },
)


def _fool_cam(image, network, k, corner):
    x0, y0, x1, y1 = corner
    weights = network.classifier.weight[k].detach()
    changed = image.clone()
    for _ in range(20):
        leaf = changed.clone().requires_grad_()
        cam = torch.einsum("c,chw->hw", weights, network.forward_features(leaf[None])[0])
        high, wide = cam.shape[0] / image.shape[1], cam.shape[1] / image.shape[2]
        goal = cam[int(y0 * high) : int(y1 * high), int(x0 * wide) : int(x1 * wide)].amax()
        (slope,) = torch.autograd.grad(goal, leaf)
        uphill = changed + 0.2 * slope.sign()
        changed[:, y0:y1, x0:x1] = uphill[:, y0:y1, x0:x1].clamp(-1, 1)
    return changed


class _Small(nn.Module):
    """Features of 4 x 4 positions from 32 x 32 pixels, each from its own square, an average and a layer."""

    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.squares, self.classifier = nn.Conv2d(3, 8, 8, stride=8), nn.Linear(8, 3)
        self.requires_grad_(False)

    def forward_features(self, images):
        return self.squares(images).relu()

    def forward(self, images):
        return self.classifier(self.forward_features(images).mean((2, 3)))


_CORNERS = ((0, 0, 8, 8), (16, 16, 32, 32))


def _fooled(answer, seed, corner):
    """The picture before and after, the network, and the class that it names."""
    network, image = _Small(seed), _seeded(seed + 5, 3, 32, 32).clamp(-1, 1) / 2
    k = int(network(image[None]).argmax())
    return image, answer(image.clone(), network, k, corner), network, k


def _every(holds):
    """Whether something holds for two networks, each with a corner of its own."""
    return lambda f: all(holds(*_fooled(f, s, corner), corner) for s, corner in enumerate(_CORNERS))


def _only_there(image, changed, network, k, corner):
    x0, y0, x1, y1 = corner
    apart = (changed != image).any(0)
    inside = torch.zeros_like(apart)
    inside[y0:y1, x0:x1] = True
    return bool(apart.any()) and not bool((apart & ~inside).any())


def _peak_inside(image, changed, network, k, corner):
    cam = torch.einsum("c,chw->hw", network.classifier.weight[k], network.forward_features(changed[None])[0])
    row, column = divmod(int(cam.argmax()), 4)
    x0, y0, x1, y1 = corner
    return x0 <= 8 * column < x1 and y0 <= 8 * row < y1


def _leaves_alone(answer):
    network, image = _Small(0), _seeded(5, 3, 32, 32).clamp(-1, 1) / 2
    before = image.clone()
    answer(image, network, int(network(image[None]).argmax()), _CORNERS[0])
    same = all(torch.equal(a, b) for a, b in zip(network.parameters(), _Small(0).parameters(), strict=True))
    return same and torch.equal(image, before) and not any(p.requires_grad for p in network.parameters())


fool_cam = chapter.open_task(
    "fool_cam",
    _fool_cam,
    {
        "form": lambda f: tuple(_fooled(f, 0, _CORNERS[0])[1].shape) == (3, 32, 32),
        "only_there": _every(_only_there),
        "in_range": _every(lambda image, changed, *_: bool((changed.abs() <= 1).all())),
        "same_answer": _every(
            lambda image, changed, network, k, corner: int(network(changed[None]).argmax()) == k
        ),
        "moved": _every(_peak_inside),
        "nothing_else": _leaves_alone,
    },
)


after_cam = chapter.quiz("after_cam")
