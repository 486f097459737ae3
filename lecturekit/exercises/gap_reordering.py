"""Exercises and quiz of notebook 03, pooling and classification in either order."""

from __future__ import annotations

import torch

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


def _seeded(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _as_kernel(weight, channels, height, width):
    # (K, C * h * w) -> (K, C, h, w): undo the flattening
    return weight.reshape(len(weight), channels, height, width)


as_kernel = chapter.exercise(
    "as_kernel",
    _as_kernel,
    cases=lambda: [(_seeded(0, 4, 24), 2, 3, 4), (_seeded(1, 3, 18), 2, 3, 3), (_seeded(2, 2, 5), 5, 1, 1)],
    mistakes={
        "channels_last": lambda weight, channels, height, width: weight.reshape(
            -1, height, width, channels
        ).permute(0, 3, 1, 2),
        "rows_and_columns": lambda weight, channels, height, width: weight.reshape(
            -1, channels, width, height
        ).transpose(2, 3),
        "flipped": lambda weight, channels, height, width: weight.reshape(-1, channels, height, width).flip(
            2, 3
        ),
        "classes_last": lambda weight, channels, height, width: weight.T.reshape(channels, height, width, -1),
    },
)


def _answers_along(size, window, stride):
    return (size - window) // stride + 1


answers_along = chapter.exercise(
    "answers_along",
    _answers_along,
    cases=lambda: [(448, 224, 32), (224, 224, 32), (500, 224, 32), (10, 3, 1), (7, 3, 2)],
    mistakes={
        "steps": lambda size, window, stride: (size - window) // stride,
        "tiles": lambda size, window, stride: size // window,
        "positions": lambda size, window, stride: size // stride,
        "every_pixel": lambda size, window, stride: size - window + 1,
        "over_the_edge": lambda size, window, stride: -(-(size - window) // stride) + 1,
    },
)


def _class_maps(features, weight, bias):
    # (K, C) times (C, h, w), summed over the channels -> (K, h, w)
    return torch.einsum("kc,chw->khw", weight, features) + bias[:, None, None]


class_maps = chapter.exercise(
    "class_maps",
    _class_maps,
    cases=lambda: [
        (_seeded(0, 5, 3, 4), _seeded(1, 4, 5), _seeded(2, 4)),
        (_seeded(3, 2, 3, 3), _seeded(4, 3, 2), _seeded(5, 3)),
        (_seeded(6, 6, 1, 1), _seeded(7, 2, 6), _seeded(8, 2)),
    ],
    mistakes={
        "no_bias": lambda features, weight, bias: torch.einsum("kc,chw->khw", weight, features),
        "pooled": lambda features, weight, bias: weight @ features.mean((1, 2)) + bias,
        "added_up": lambda features, weight, bias: _class_maps(features, weight, bias).sum((1, 2)),
        "bias_along_columns": lambda features, weight, bias: (
            torch.einsum("kc,chw->khw", weight, features) + bias
        ),
        "bias_shared_out": lambda features, weight, bias: (
            torch.einsum("kc,chw->khw", weight, features) + bias[:, None, None] / features[0].numel()
        ),
        "classes_last": lambda features, weight, bias: torch.einsum("kc,chw->hwk", weight, features) + bias,
    },
)


def _extent(scores, mask):
    return (scores[mask] > 0).float().mean()


def _scores_and_masks():
    cases = []
    for seed, (height, width) in enumerate([(4, 5), (6, 6), (3, 8)]):
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[1 : height - 1, 1 : width // 2 + 1] = True
        scores = _seeded(seed, height, width) + 0.3
        scores[1, 1] = 0.0  # not above zero
        cases.append((scores, mask))
    return cases


extent = chapter.exercise(
    "extent",
    _extent,
    cases=_scores_and_masks,
    mistakes={
        "precise": lambda scores, mask: mask[scores > 0].float().mean(),
        "of_the_picture": lambda scores, mask: ((scores > 0) & mask).float().mean(),
        "everywhere": lambda scores, mask: (scores > 0).float().mean(),
        "iou": lambda scores, mask: ((scores > 0) & mask).sum() / ((scores > 0) | mask).sum(),
        "mean_score": lambda scores, mask: scores[mask].mean(),
    },
)


def _pool_first(features, weight, bias, size):
    height, width = features.shape[1:]
    if size > min(height, width):
        raise ValueError(f"size must be at most {min(height, width)}, got {size}")
    windows = features.unfold(1, height - size + 1, 1).unfold(2, width - size + 1, 1)
    pooled = windows.mean((3, 4))  # (C, size, size)
    return weight @ pooled.flatten() + bias


def _window_mean(features, weight, bias, size):
    """The slow way: the layer's answer for every window of the right size, and their mean."""
    rows, columns = (n - size + 1 for n in features.shape[1:])
    windows = [features[:, y : y + size, x : x + size] for y in range(rows) for x in range(columns)]
    return torch.stack([weight @ window.flatten() + bias for window in windows]).mean(0)


def _layer(seed, size, channels=3, classes=4):
    return _seeded(seed, classes, channels * size * size), _seeded(seed + 1, classes), size


def _agrees(answer, height, width, size):
    features, layer = _seeded(9, 3, height, width), _layer(1, size)
    return torch.allclose(answer(features, *layer), _window_mean(features, *layer), atol=1e-4)


def _refuses(answer):
    try:
        answer(_seeded(0, 3, 4, 9), *_layer(1, 5))
    except ValueError as error:
        return "5" in str(error)
    return False


def _has_gradient(answer):
    leaf = _seeded(0, 3, 6, 7).requires_grad_()
    answer(leaf, *_layer(1, 3)).sum().backward()
    return leaf.grad is not None and bool(leaf.grad.any())


pool_first = chapter.open_task(
    "pool_first",
    _pool_first,
    {
        "form": lambda f: tuple(f(_seeded(0, 3, 6, 6), *_layer(1, 3)).shape) == (4,),
        "fits": lambda f: torch.allclose(
            f(_seeded(0, 3, 5, 5), *_layer(1, 5)), _window_mean(_seeded(0, 3, 5, 5), *_layer(1, 5)), atol=1e-4
        ),
        "windows": lambda f: _agrees(f, 14, 14, 7),
        "oblong": lambda f: _agrees(f, 5, 11, 3) and _agrees(f, 9, 4, 4),
        "global": lambda f: _agrees(f, 6, 8, 1),
        "refuses": _refuses,
        "gradient": _has_gradient,
        "input_kept": lambda f: (
            lambda x: f(x, *_layer(1, 3)) is not None and torch.equal(x, _seeded(0, 3, 6, 6))
        )(_seeded(0, 3, 6, 6)),
    },
)


after_gap = chapter.quiz("after_gap")
