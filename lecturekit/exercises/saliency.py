"""Exercises and quiz of notebook 04, saliency."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


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


score_gradient = Exercise(
    name="score_gradient",
    title="Back to the pixels",
    difficulty=1,
    minutes=6,
    why="This is the lecture's 'back-propagating the class label into the image domain', in three lines.",
    task=(
        "Write `score_gradient(model, images, k)`: the gradient of the logit of class `k` at the "
        "images `(B, 3, H, W)`, same shape. Take the logit as it is, without a softmax. The model's answer "
        "has shape `(B, K)`."
    ),
    stub='''
def score_gradient(model, images, k):
    """Gradient (B, 3, H, W) of the logit of class k at images (B, 3, H, W)."""
    ...  # your code
''',
    reference=_score_gradient,
    cases=lambda: [
        (_small_network(), _seeded(0, 2, 3, 6, 7), 1),
        (_small_network(), _seeded(1, 1, 3, 5, 5), 2),
    ],
    hints=(
        "Which tensor must require a gradient, so that autograd keeps track of it?",
        "Copy the images, switch `requires_grad_` on, run the model, add up column k, and ask "
        "`torch.autograd.grad` for the gradient at the copy.",
        "`leaf = images.clone().____()`; `score = model(leaf)[:, ____].sum()`; "
        "`(gradient,) = torch.autograd.grad(score, ____)`",
    ),
    mistakes=[
        Mistake(
            "probability",
            lambda model, images, k: _gradient_of(model, images, lambda z: z.softmax(1)[:, k].sum()),
            "You differentiate the probability. It falls when *another* class rises, so every other class is "
            "mixed into your map. Take the logit.",
        ),
        Mistake(
            "loss",
            lambda model, images, k: _gradient_of(model, images, lambda z: -z.log_softmax(1)[:, k].sum()),
            "That is the gradient of the training loss. It mixes in every other class, like that of the "
            "probability, and its sign is reversed. Take the logit.",
        ),
        Mistake(
            "all_classes",
            lambda model, images, k: _gradient_of(model, images, lambda z: z.sum()),
            "You add up the logits of all classes. Only column `k` is asked for.",
        ),
        Mistake(
            "top_class",
            lambda model, images, k: _gradient_of(model, images, lambda z: z.amax(1).sum()),
            "You differentiate the largest logit, whichever class that is. Class `k` is asked for.",
        ),
        Mistake(
            "mean",
            lambda model, images, k: _gradient_of(model, images, lambda z: z[:, k].mean()),
            "You average over the batch, so the map of an image shrinks with the number of its companions. "
            "Add the logits up: then each image keeps its own gradient.",
        ),
    ],
)


def _largest_change(gradients):
    return gradients.abs().amax(1)


largest_change = Exercise(
    name="largest_change",
    title="One number a pixel",
    difficulty=1,
    minutes=3,
    why="A gradient has three colours and a sign. What you do with them decides what the picture says.",
    task=(
        "Write `largest_change(gradients)`: from gradients `(B, 3, H, W)` the saliency maps `(B, H, W)`, the "
        "largest *absolute* value over the colour channels."
    ),
    stub='''
def largest_change(gradients):
    """Saliency maps (B, H, W): largest absolute value over the channels of gradients (B, 3, H, W)."""
    ...  # your code
''',
    reference=_largest_change,
    cases=lambda: [(_seeded(0, 2, 3, 4, 5),), (_seeded(1, 1, 3, 6, 6) - 1,)],
    hints=(
        "Two steps: make everything positive, then keep the largest. Which comes first?",
        "Absolute values first. Then the maximum over axis 1, which holds the channels.",
        "`return gradients.____().amax(____)`",
    ),
    mistakes=[
        Mistake(
            "signed",
            lambda gradients: gradients.amax(1),
            "You take the maximum with its sign, and a pixel whose change would *lower* the logit is lost.",
        ),
        Mistake(
            "maximum_first",
            lambda gradients: gradients.amax(1).abs(),
            "You take the maximum first and the absolute value after it. A strong negative channel is gone "
            "by then.",
        ),
        Mistake(
            "mean",
            lambda gradients: gradients.abs().mean(1),
            "You average over the channels. A change of one colour alone is then shown at a third.",
        ),
        Mistake(
            "sum_first",
            lambda gradients: gradients.sum(1).abs(),
            "You add the channels with their signs, so that red and green may cancel.",
        ),
        Mistake(
            "over_batch",
            lambda gradients: gradients.abs().amax(0),
            "You take the maximum over the batch. The channels are axis 1.",
        ),
    ],
)


def _share_gradient(gradients, shares, k):
    mean = (shares[:, None, None] * gradients).sum(0)
    return shares[k] * (gradients[k] - mean)


share_gradient = Exercise(
    name="share_gradient",
    title="What a softmax does to the map",
    difficulty=3,
    minutes=8,
    why="It tells you why the score must be unnormalised, better than a rule to remember does.",
    task=(
        "For one picture you have the gradients of all K logits, `gradients` of shape `(K, H, W)`, and the "
        "shares `p` of the softmax, `shares` of shape `(K,)`. Write `share_gradient(gradients, shares, k)`: "
        "the gradient `(H, W)` of share number k, which is "
        "$p_k \\big(\\nabla z_k - \\sum_j p_j \\nabla z_j\\big)$."
    ),
    stub='''
def share_gradient(gradients, shares, k):
    """Gradient (H, W) of share k, from the gradients (K, H, W) of all logits and the shares (K,)."""
    ...  # your code
''',
    reference=_share_gradient,
    cases=lambda: [
        (_seeded(0, 4, 3, 5), _seeded(1, 4).softmax(0), 2),
        (_seeded(2, 3, 2, 2), _seeded(3, 3).softmax(0), 0),
    ],
    hints=(
        "The sum over j is a weighted mean of the gradients of all classes. Which numbers are its weights?",
        "Give the shares two axes of length one, multiply, add up over the classes: that is the mean. "
        "Subtract it from gradient k, and multiply by share k.",
        "`mean = (shares[:, None, None] * ____).sum(0)`; `return ____ * (gradients[k] - ____)`",
    ),
    mistakes=[
        Mistake(
            "no_other_class",
            lambda gradients, shares, k: shares[k] * gradients[k],
            "You leave the other classes out. The softmax divides by a sum over all of them, and that sum "
            "has a gradient too.",
        ),
        Mistake(
            "not_scaled",
            lambda gradients, shares, k: gradients[k] - (shares[:, None, None] * gradients).sum(0),
            "The factor in front is missing: share k itself. What you have is the gradient of its logarithm.",
        ),
        Mistake(
            "plain_mean",
            lambda gradients, shares, k: shares[k] * (gradients[k] - gradients.mean(0)),
            "You subtract the plain mean. Each class counts with its own share.",
        ),
        Mistake(
            "plus",
            lambda gradients, shares, k: (
                shares[k] * (gradients[k] + (shares[:, None, None] * gradients).sum(0))
            ),
            "You add the mean. The denominator pulls the share down: subtract it.",
        ),
    ],
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


smoothed_gradient = Exercise(
    name="smoothed_gradient",
    title="SmoothGrad",
    difficulty=2,
    minutes=5,
    why="One gradient is noisy. The average over noisy copies of the picture is less so.",
    task=(
        "Write `smoothed_gradient(gradient_of, image, noises)`: `gradient_of(image)` gives the gradient at "
        "an image `(3, H, W)`, and `noises` has shape `(n, 3, H, W)`. Add each noise to the image; return "
        "the mean of the n gradients `(3, H, W)`, with its sign."
    ),
    stub='''
def smoothed_gradient(gradient_of, image, noises):
    """Mean gradient (3, H, W) over copies of image (3, H, W), each with one of the noises (n, 3, H, W)."""
    ...  # your code
''',
    reference=_smoothed_gradient,
    cases=_smooth_cases,
    hints=(
        "What is averaged: the pictures, the gradients, or their absolute values?",
        "One gradient for each noise, at `image + noise`; stack them and take the mean over the first axis.",
        "`return torch.stack([gradient_of(____) for noise in ____]).mean(____)`",
    ),
    mistakes=[
        Mistake(
            "pictures_averaged",
            lambda gradient_of, image, noises: gradient_of(image + noises.mean(0)),
            "You average the noisy *pictures* and differentiate once, which takes the noise away before it "
            "could do anything. Differentiate each copy, then average.",
        ),
        Mistake(
            "absolute_first",
            lambda gradient_of, image, noises: torch.stack(
                [gradient_of(image + n).abs() for n in noises]
            ).mean(0),
            "You take absolute values before averaging. Then gradients that contradict each other no longer "
            "cancel, and cancelling is what removes the noise.",
        ),
        Mistake(
            "sum",
            lambda gradient_of, image, noises: len(noises) * _smoothed_gradient(gradient_of, image, noises),
            "You add up. The mean is wanted, so that the number of copies does not change the scale.",
        ),
        Mistake(
            "without_noise",
            lambda gradient_of, image, noises: gradient_of(image),
            "The noise has no effect in your answer: differentiate at `image + noise`.",
        ),
        Mistake(
            "noise_alone",
            lambda gradient_of, image, noises: torch.stack([gradient_of(n) for n in noises]).mean(0),
            "You differentiate at the noise alone. Add it to the image.",
        ),
    ],
)


def _guided_gradient(x, gradient):
    return gradient * (x > 0) * (gradient > 0)


guided_gradient = Exercise(
    name="guided_gradient",
    title="The ReLU of guided back-propagation",
    difficulty=2,
    minutes=4,
    why="One comparison more than the true gradient makes the picture pretty, and takes its meaning.",
    task=(
        "A ReLU had the input `x`, and `gradient`, of the same shape, arrives from above. Back-propagation "
        "hands it down where `x > 0`. Guided back-propagation demands besides that the gradient itself is "
        "positive, and hands down zero elsewhere. Write `guided_gradient(x, gradient)`."
    ),
    stub='''
def guided_gradient(x, gradient):
    """What guided back-propagation hands down through a ReLU with input x, given the gradient from above."""
    ...  # your code
''',
    reference=_guided_gradient,
    cases=lambda: [(_seeded(0, 4, 5), _seeded(1, 4, 5)), (_seeded(2, 20), _seeded(3, 20))],
    hints=(
        "There are two conditions, and both must hold.",
        "A comparison gives True and False, which multiply like 1 and 0.",
        "`return gradient * (x ____) * (gradient ____)`",
    ),
    mistakes=[
        Mistake(
            "true_gradient",
            lambda x, gradient: gradient * (x > 0),
            "That is the true gradient of a ReLU. Guided back-propagation drops negative gradients too.",
        ),
        Mistake(
            "deconvolution",
            lambda x, gradient: gradient * (gradient > 0),
            "You look at the gradient alone, as the 'deconvolution' of Zeiler and Fergus does. Where the "
            "ReLU was shut (x not positive), nothing may pass.",
        ),
        Mistake(
            "either",
            lambda x, gradient: gradient * ((x > 0) | (gradient > 0)),
            "You let pass what meets either condition. Both must hold.",
        ),
        Mistake(
            "absolute",
            lambda x, gradient: gradient.abs() * (x > 0),
            "You turn negative gradients into positive ones. They are to become zero.",
        ),
        Mistake(
            "input_passed",
            lambda x, gradient: x * (x > 0) * (gradient > 0),
            "You hand down the input. It is the gradient that travels down; the input only opens the gate.",
        ),
    ],
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


seeds_from_map = Exercise(
    name="seeds_from_map",
    title="Seeds for a cut",
    difficulty=2,
    minutes=6,
    why="A map of dots is no segmentation. Its surest pixels can start one, and the colours do the rest.",
    task=(
        "Write `seeds_from_map(saliency_map, low, high)` for a NumPy map `(H, W)`: a uint8 array `(H, W)` "
        "with 0 (surely background) at and below the map's quantile `low`, 1 (surely object) at and above "
        "its quantile `high`, and 2 (perhaps background) in between. These are OpenCV's numbers."
    ),
    stub='''
def seeds_from_map(saliency_map, low, high):
    """Seeds (H, W), uint8: 0 up to the quantile low, 1 from the quantile high on, 2 in between."""
    ...  # your code
''',
    reference=_seeds_from_map,
    cases=lambda: [
        (np.random.default_rng(0).random((6, 7)) ** 4 + 1, 0.4, 0.9),
        (np.random.default_rng(1).exponential(size=(5, 5)) + 0.2, 0.3, 0.8),
    ],
    hints=(
        "How do you find the value below which 40 % of the pixels lie? It is not 40 % of the maximum.",
        "`np.quantile` gives both limits at once. Begin with an array full of 2 and overwrite the two ends.",
        "`a, b = np.quantile(saliency_map, [____, ____])`; `seeds = np.full(____, 2, np.uint8)`; "
        "`seeds[saliency_map <= ____] = 0`",
    ),
    mistakes=[
        Mistake(
            "shares_of_maximum",
            lambda saliency_map, low, high: _seeds_between(
                saliency_map, low * saliency_map.max(), high * saliency_map.max()
            ),
            "You take shares of the *maximum*. A single bright pixel then decides, and there is hardly any "
            "seed for the object. A quantile counts pixels.",
        ),
        Mistake(
            "shares_of_range",
            _shares_of_range,
            "You take shares of the way from minimum to maximum. A quantile counts pixels instead.",
        ),
        Mistake(
            "swapped",
            lambda saliency_map, low, high: np.array([1, 0, 2], np.uint8)[
                _seeds_from_map(saliency_map, low, high)
            ],
            "Object and background are swapped: 1 belongs where the map is high.",
        ),
        Mistake(
            "between_is_background",
            lambda saliency_map, low, high: (_seeds_from_map(saliency_map, low, high) == 1).astype(np.uint8),
            "You call everything between the limits background for sure. Leave it open (2), or there is "
            "nothing left to decide.",
        ),
        Mistake(
            "perhaps_object",
            lambda saliency_map, low, high: np.array([0, 1, 3], np.uint8)[
                _seeds_from_map(saliency_map, low, high)
            ],
            "Between the limits you write 3, which OpenCV reads as *perhaps object*. The task asks for 2.",
        ),
    ],
)


after_saliency = Quiz(
    "after_saliency",
    [
        Question(
            "A pixel is bright in a saliency map. What do you know?",
            [
                Option(
                    "The pixel belongs to the object",
                    False,
                    "Nobody ever told the network where the object is, and you have seen the peak miss it.",
                ),
                Option(
                    "A small change of this pixel would change the class's logit a lot",
                    True,
                    "That is all a gradient says: sensitivity here, for small changes, in either direction.",
                ),
                Option(
                    "The logit would fall if the pixel were covered",
                    False,
                    "Covering is no small change, and the map has lost the sign: it might as well rise.",
                ),
            ],
        ),
        Question(
            "Why is the gradient taken of the logit and not of the probability?",
            [
                Option(
                    "The probability can rise because another class falls, so its map shows others too",
                    True,
                    "The gradient of a share subtracts the weighted mean of all classes' gradients.",
                ),
                Option(
                    "The probability has no gradient",
                    False,
                    "It has one: you have computed it.",
                ),
                Option(
                    "The two maps differ by a constant factor only",
                    False,
                    "There is such a factor, but the sum over all classes comes with it.",
                ),
            ],
        ),
        Question(
            "Two classifiers: A is right on every held-out picture, B on two of three. Whose maps do you "
            "expect to point better?",
            [
                Option(
                    "A's: it is right because it has learned what the objects look like",
                    False,
                    "It may have understood the background. You have met such a classifier.",
                ),
                Option(
                    "You cannot tell before you measure it against places",
                    True,
                    "Accuracy asks *what*. If the surroundings answer that, nothing makes the network look "
                    "at the object.",
                ),
                Option(
                    "B's, because a worse classifier always points better",
                    False,
                    "No such rule: the order may agree or not.",
                ),
            ],
        ),
        Question(
            "You replace the last layer of a network by a random one, and its map stays the same. What now?",
            [
                Option(
                    "The map is robust, use it",
                    False,
                    "Robust against knowing anything about the classes.",
                ),
                Option(
                    "The map cannot explain the answer, for the answer has changed and the map has not",
                    True,
                    "What it shows comes from the picture and the early layers.",
                ),
                Option(
                    "The network did not use its last layer",
                    False,
                    "Every answer comes out of the last layer.",
                ),
            ],
        ),
    ],
)
