"""Exercises and quiz of notebook 06, Grad-CAM."""

from __future__ import annotations

import torch
from torch import nn

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


def _seeded(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _grad_cam_map(features, gradients):
    weights = gradients.mean((1, 2))  # (C,)
    return (weights[:, None, None] * features).sum(0)  # (h, w)


grad_cam_map = chapter.exercise(
    "grad_cam_map",
    _grad_cam_map,
    cases=lambda: [
        (_seeded(0, 5, 3, 4), _seeded(1, 5, 3, 4)),
        (_seeded(2, 3, 7, 7).relu(), _seeded(3, 3, 7, 7)),
    ],
    mistakes={
        "not_averaged": lambda features, gradients: (gradients * features).sum(0),
        "rectified": lambda features, gradients: _grad_cam_map(features, gradients).clamp(min=0),
        "mean_over_channels": lambda features, gradients: _grad_cam_map(features, gradients) / len(features),
        "features_averaged": lambda features, gradients: (
            features.mean((1, 2))[:, None, None] * gradients
        ).sum(0),
        "absolute_weights": lambda features, gradients: (
            gradients.mean((1, 2)).abs()[:, None, None] * features
        ).sum(0),
    },
)


def _before_and_after(layer, activation, x):
    before = layer(x)
    return before, activation(before.clone())


def _layers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3).requires_grad_(False)
    x = _seeded(1, 1, 3, 5, 5)
    return [(layer, nn.ReLU(inplace=True), x), (layer, nn.ReLU(), x), (layer, nn.ReLU6(inplace=True), 9 * x)]


before_and_after = chapter.exercise(
    "before_and_after",
    _before_and_after,
    cases=_layers,
    mistakes={
        "no_copy": lambda layer, activation, x: (before := layer(x), activation(before)),
        "after_twice": lambda layer, activation, x: (activation(layer(x)), activation(layer(x))),
        "swapped": lambda layer, activation, x: _before_and_after(layer, activation, x)[::-1],
        "always_relu": lambda layer, activation, x: ((before := layer(x)), before.clamp(min=0)),
    },
)


def _covered(images, row, column, side):
    copy = images.clone()
    copy[:, :, row * side : (row + 1) * side, column * side : (column + 1) * side] = 0
    return copy


covered = chapter.exercise(
    "covered",
    _covered,
    cases=lambda: [
        (_seeded(0, 2, 3, 8, 12), 1, 2, 4),
        (_seeded(1, 1, 3, 9, 9), 2, 0, 3),
        (_seeded(2, 1, 3, 20, 18), 1, 2, 3),
    ],
    mistakes={
        "pixels": lambda images, row, column, side: _pixels_covered(images, row, column, side),
        "swapped": lambda images, row, column, side: _covered(images, column, row, side),
        "kept_only": lambda images, row, column, side: images - _covered(images, row, column, side),
        "one_colour": lambda images, row, column, side: torch.cat(
            [_covered(images, row, column, side)[:, :1], images[:, 1:]], 1
        ),
        "first_image": lambda images, row, column, side: torch.cat(
            [_covered(images, row, column, side)[:1], images[1:]]
        ),
    },
)


def _pixels_covered(images: torch.Tensor, row: int, column: int, side: int) -> torch.Tensor:
    copy = images.clone()
    copy[:, :, row : row + side, column : column + side] = 0
    return copy


def _grad_cam_of(model, layer, images, classes):
    kept = []

    def swap(module, inputs, output):
        kept.append(output.detach().requires_grad_())
        return kept[0].clone()

    handle = layer.register_forward_hook(swap)
    try:
        with torch.enable_grad():
            logits = model(images)
    finally:
        handle.remove()
    score = logits[torch.arange(len(images)), classes].sum()
    (gradients,) = torch.autograd.grad(score, kept[0])
    return (gradients.mean((2, 3), keepdim=True) * kept[0]).sum(1).detach()


def _gap_network(frozen=False, in_place=False):
    """Convolution, batch norm, ReLU, average, linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = [nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace=in_place)]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)).eval()
    return net.requires_grad_(not frozen)


_PICTURES = (2, 3, 6, 7)


def _by_formula(net, at, classes):
    """The map at layer number `at` of `_gap_network`: 1 for the batch norm, 2 for the ReLU."""
    with torch.no_grad():
        features = net[: at + 1](_seeded(1, *_PICTURES)) if at == 1 else net[:3](_seeded(1, *_PICTURES))
    slope = (features > 0).float() if at == 1 else torch.ones_like(features)
    weights = net[5].weight.detach()[classes][:, :, None, None] * slope / features[0, 0].numel()
    return (weights.mean((2, 3), keepdim=True) * features).sum(1)


def _maps_of(answer, at=2, classes=(1, 3), **options):
    net = _gap_network(**options)
    return answer(net, net[at], _seeded(1, *_PICTURES), torch.tensor(classes)), net


def _as_formula(answer, at, **options):
    made, _ = _maps_of(answer, at, **options)
    wanted = _by_formula(_gap_network(), at, torch.tensor((1, 3)))
    return torch.allclose(made, wanted, rtol=1e-4, atol=1e-6)


def _unobserved(answer):
    net = _gap_network()

    class Broken(nn.Module):
        def forward(self, images):
            net[:3](images)
            raise RuntimeError("the network failed")

    try:
        answer(Broken(), net[2], _seeded(1, *_PICTURES), torch.tensor([0, 0]))
    except RuntimeError:
        return not net[2]._forward_hooks
    return False


grad_cam_of = chapter.open_task(
    "grad_cam_of",
    _grad_cam_of,
    {
        "form": lambda f: tuple(_maps_of(f)[0].shape) == (2, 6, 7),
        "last_layer": lambda f: _as_formula(f, 2),
        "inner_layer": lambda f: _as_formula(f, 1),
        "in_place": lambda f: _as_formula(f, 1, in_place=True),
        "own_class": lambda f: (
            not torch.allclose(_maps_of(f, classes=(0, 3))[0][0], _maps_of(f, classes=(1, 3))[0][0])
            and torch.allclose(_maps_of(f, classes=(0, 3))[0][1], _maps_of(f, classes=(1, 3))[0][1])
        ),
        "frozen": lambda f: _as_formula(f, 2, frozen=True),
        "no_trace": lambda f: (
            lambda made, net: (
                not net[2]._forward_hooks
                and not made.requires_grad
                and all(p.grad is None for p in net.parameters())
            )
        )(*_maps_of(f)),
        "no_trace_of_failure": _unobserved,
    },
)


after_grad_cam = chapter.quiz("after_grad_cam")
