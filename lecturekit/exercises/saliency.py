"""Exercises and quiz of notebook 04, saliency."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


def _seeded(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _small_network() -> nn.Module:
    """Images (B, 3, H, W) -> three logits (B, 3), with gradients that differ from image to image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return nn.Sequential(*layers).requires_grad_(False).eval()


def _score_gradient(model, images, k):
    leaf = images.detach().clone().requires_grad_()
    score = model(leaf)[:, k].sum()  # no image touches another's logit, so the sum keeps them apart
    return torch.autograd.grad(score, leaf)[0]


def _gradient_of(model: nn.Module, images: torch.Tensor, score) -> torch.Tensor:
    leaf = images.detach().clone().requires_grad_()
    return torch.autograd.grad(score(model(leaf)), leaf)[0]


score_gradient = chapter.exercise(
    "score_gradient",
    _score_gradient,
    cases=lambda: [
        (_small_network(), _seeded(0, 2, 3, 6, 7), 1),
        (_small_network(), _seeded(1, 1, 3, 5, 5), 2),
    ],
    mistakes={
        "probability": lambda model, images, k: _gradient_of(
            model, images, lambda z: z.softmax(1)[:, k].sum()
        ),
        "loss": lambda model, images, k: _gradient_of(model, images, lambda z: -z.log_softmax(1)[:, k].sum()),
        "all_classes": lambda model, images, k: _gradient_of(model, images, lambda z: z.sum()),
        "top_class": lambda model, images, k: _gradient_of(model, images, lambda z: z.amax(1).sum()),
        "mean": lambda model, images, k: _gradient_of(model, images, lambda z: z[:, k].mean()),
    },
)


def _largest_change(gradients):
    return gradients.abs().amax(1)


largest_change = chapter.exercise(
    "largest_change",
    _largest_change,
    cases=lambda: [(_seeded(0, 2, 3, 4, 5),), (_seeded(1, 1, 3, 6, 6) - 1,)],
    mistakes={
        "signed": lambda gradients: gradients.amax(1),
        "maximum_first": lambda gradients: gradients.amax(1).abs(),
        "mean": lambda gradients: gradients.abs().mean(1),
        "sum_first": lambda gradients: gradients.sum(1).abs(),
        "over_batch": lambda gradients: gradients.abs().amax(0),
    },
)


def _share_gradient(gradients, shares, k):
    mean = (shares[:, None, None] * gradients).sum(0)
    return shares[k] * (gradients[k] - mean)


share_gradient = chapter.exercise(
    "share_gradient",
    _share_gradient,
    cases=lambda: [
        (_seeded(0, 4, 3, 5), _seeded(1, 4).softmax(0), 2),
        (_seeded(2, 3, 2, 2), _seeded(3, 3).softmax(0), 0),
    ],
    mistakes={
        "no_other_class": lambda gradients, shares, k: shares[k] * gradients[k],
        "not_scaled": lambda gradients, shares, k: gradients[k] - (shares[:, None, None] * gradients).sum(0),
        "plain_mean": lambda gradients, shares, k: shares[k] * (gradients[k] - gradients.mean(0)),
        "plus": lambda gradients, shares, k: (
            shares[k] * (gradients[k] + (shares[:, None, None] * gradients).sum(0))
        ),
    },
)


def _smoothed_gradient(gradient_of, image, noises):
    return torch.stack([gradient_of(image + noise) for noise in noises]).mean(0)


def _smooth_cases() -> list[tuple]:
    def cubic(image):
        return image**3 - image

    def wave(image):
        return torch.cos(3 * image)

    return [
        (cubic, _seeded(0, 3, 4, 5), 0.5 * _seeded(1, 6, 3, 4, 5)),
        (wave, _seeded(2, 3, 2, 2), 0.3 * _seeded(3, 4, 3, 2, 2) + 0.1),
    ]


smoothed_gradient = chapter.exercise(
    "smoothed_gradient",
    _smoothed_gradient,
    cases=_smooth_cases,
    mistakes={
        "pictures_averaged": lambda gradient_of, image, noises: gradient_of(image + noises.mean(0)),
        "absolute_first": lambda gradient_of, image, noises: torch.stack(
            [gradient_of(image + n).abs() for n in noises]
        ).mean(0),
        "sum": lambda gradient_of, image, noises: (
            len(noises) * _smoothed_gradient(gradient_of, image, noises)
        ),
        "without_noise": lambda gradient_of, image, noises: gradient_of(image),
        "noise_alone": lambda gradient_of, image, noises: torch.stack([gradient_of(n) for n in noises]).mean(
            0
        ),
    },
)


def _guided_gradient(x, gradient):
    return gradient * (x > 0) * (gradient > 0)


guided_gradient = chapter.exercise(
    "guided_gradient",
    _guided_gradient,
    cases=lambda: [(_seeded(0, 4, 5), _seeded(1, 4, 5)), (_seeded(2, 20).relu(), _seeded(3, 20))],
    mistakes={
        "true_gradient": lambda x, gradient: gradient * (x > 0),
        "deconvolution": lambda x, gradient: gradient * (gradient > 0),
        "either": lambda x, gradient: gradient * ((x > 0) | (gradient > 0)),
        "absolute": lambda x, gradient: gradient.abs() * (x > 0),
        "input_passed": lambda x, gradient: x * (x > 0) * (gradient > 0),
    },
)


def _seeds_from_map(saliency_map, low, high):
    background, foreground = np.quantile(saliency_map, [low, high])
    seeds = np.full(saliency_map.shape, 2, np.uint8)
    seeds[saliency_map <= background] = 0
    seeds[saliency_map >= foreground] = 1
    return seeds


def _shares_of_range(saliency_map: np.ndarray, low: float, high: float) -> np.ndarray:
    bottom, top = saliency_map.min(), saliency_map.max()
    return _seeds_between(saliency_map, bottom + low * (top - bottom), bottom + high * (top - bottom))


def _seeds_between(saliency_map: np.ndarray, background: float, foreground: float) -> np.ndarray:
    seeds = np.full(saliency_map.shape, 2, np.uint8)
    seeds[saliency_map <= background] = 0
    seeds[saliency_map >= foreground] = 1
    return seeds


seeds_from_map = chapter.exercise(
    "seeds_from_map",
    _seeds_from_map,
    cases=lambda: [
        (np.random.default_rng(0).random((6, 7)) ** 4 + 1, 0.4, 0.9),
        (np.random.default_rng(1).exponential(size=(5, 5)) + 0.2, 0.3, 0.8),
        (np.arange(21.0).reshape(3, 7) ** 2 + 3, 0.5, 0.9),  # both limits are values of the map
    ],
    mistakes={
        "shares_of_maximum": lambda saliency_map, low, high: _seeds_between(
            saliency_map, low * saliency_map.max(), high * saliency_map.max()
        ),
        "shares_of_range": _shares_of_range,
        "swapped": lambda saliency_map, low, high: np.array([1, 0, 2], np.uint8)[
            _seeds_from_map(saliency_map, low, high)
        ],
        "between_is_background": lambda saliency_map, low, high: (
            _seeds_from_map(saliency_map, low, high) == 1
        ).astype(np.uint8),
        "perhaps_object": lambda saliency_map, low, high: np.array([0, 1, 3], np.uint8)[
            _seeds_from_map(saliency_map, low, high)
        ],
    },
)


def _deletion_curve(score_of, image, saliency_map, steps):
    order = saliency_map.flatten().argsort(descending=True)
    left = image.clone()
    scores = [float(score_of(left))]
    for part in order.tensor_split(steps):
        left.flatten(1)[:, part] = 0
        scores.append(float(score_of(left)))
    return scores


def _adder(seed=0, size=6):
    """A score that adds up an image's pixels, each with a weight of its own, and that image."""
    weights = _seeded(seed, size, size).abs() + 0.1
    return (lambda image: (image.mean(0) * weights).sum()), torch.ones(3, size, size), weights


def _curve(answer, steps=4, flipped=False, size=6):
    score_of, image, weights = _adder(size=size)
    return answer(score_of, image, -weights if flipped else weights, steps)


def _halfway(answer):
    score_of, image, weights = _adder()
    lower_half = weights.flatten().sort().values[:18].sum()
    return np.isclose(answer(score_of, image, weights, 2)[1], lower_half, rtol=1e-4)


def _calls(answer):
    score_of, image, weights = _adder()
    asked = []
    answer(lambda x: asked.append(x.clone()) or score_of(x), image, weights, 5)
    return len(asked) == 6


def _all_colours_go(answer):
    _, image, weights = _adder()
    return np.allclose(answer(lambda x: x[2].sum(), image, weights, 3), (36, 24, 12, 0))


def _image_kept(answer):
    score_of, image, weights = _adder()
    answer(score_of, image, weights, 3)
    return bool((image == 1).all()) and torch.equal(weights, _adder()[2])


deletion_curve = chapter.open_task(
    "deletion_curve",
    _deletion_curve,
    {
        "form": lambda f: len(_curve(f, 4)) == 5 and all(isinstance(float(v), float) for v in _curve(f, 4)),
        "ends": lambda f: np.allclose(
            [_curve(f)[0], _curve(f)[-1]], [float(_adder()[0](_adder()[1])), 0.0], rtol=1e-4
        ),
        "halfway": _halfway,
        "right_map": lambda f: np.mean(_curve(f)) < np.mean(_curve(f, flipped=True)) - 0.5,
        "falls": lambda f: bool((np.diff(_curve(f, 6)) < 0).all() and (np.diff(_curve(f, 6), 2) > 0).all()),
        "all_colours": _all_colours_go,
        "uneven": lambda f: len(_curve(f, 7, size=5)) == 8 and np.isclose(_curve(f, 7, size=5)[-1], 0),
        "few_calls": _calls,
        "input_kept": _image_kept,
    },
)


after_saliency = chapter.quiz("after_saliency")
