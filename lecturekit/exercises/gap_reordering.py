"""Exercises and quiz of notebook 03, pooling and classification in either order."""

from __future__ import annotations

import torch

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


def _seeded(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _as_kernel(weight, channels, height, width):
    # (K, C * h * w) -> (K, C, h, w): undo the flattening
    return weight.reshape(len(weight), channels, height, width)


as_kernel = Exercise(
    name="as_kernel",
    title="The kernel in a fully connected layer",
    difficulty=1,
    minutes=5,
    why="This is the whole trick: not a weight changes, they only get back the places that they belong to.",
    task=(
        "Write `as_kernel(weight, channels, height, width)`: `weight` has shape "
        "`(K, channels * height * width)` and belongs to a layer that reads `features.flatten(1)`. Return it "
        "as the kernel of a convolution, shape `(K, channels, height, width)`."
    ),
    stub='''
def as_kernel(weight, channels, height, width):
    """A fully connected layer's weight (K, C * h * w) as a kernel (K, C, h, w)."""
    ...  # your code
''',
    reference=_as_kernel,
    cases=lambda: [(_seeded(0, 4, 24), 2, 3, 4), (_seeded(1, 3, 18), 2, 3, 3), (_seeded(2, 2, 5), 5, 1, 1)],
    hints=(
        "In which order does `flatten` read the numbers of a `(C, h, w)` array? What would undo it?",
        "The last axis runs fastest: columns, then rows, then channels. `reshape` reads in the same order.",
        "`return weight.reshape(len(weight), ____, ____, ____)`",
    ),
    mistakes=[
        Mistake(
            "channels_last",
            lambda weight, channels, height, width: weight.reshape(-1, height, width, channels).permute(
                0, 3, 1, 2
            ),
            "The shape is right and the numbers are in the wrong places: you read the weights as if the "
            "channels ran fastest. `flatten` puts all positions of channel 0 first, then those of channel 1.",
        ),
        Mistake(
            "rows_and_columns",
            lambda weight, channels, height, width: weight.reshape(-1, channels, width, height).transpose(
                2, 3
            ),
            "You exchange rows and columns. `flatten` reads row by row, and so does `reshape`.",
        ),
        Mistake(
            "flipped",
            lambda weight, channels, height, width: weight.reshape(-1, channels, height, width).flip(2, 3),
            "You flip the kernel, as the mathematician's convolution does. What networks call a convolution "
            "does not flip: leave it as it is.",
        ),
        Mistake(
            "classes_last",
            lambda weight, channels, height, width: weight.T.reshape(channels, height, width, -1),
            "The classes are the last axis now. A kernel is (outputs, inputs, rows, columns).",
        ),
    ],
)


def _answers_along(size, window, stride):
    return (size - window) // stride + 1


answers_along = Exercise(
    name="answers_along",
    title="How many answers?",
    difficulty=1,
    minutes=4,
    why="Off by one here, and every map later lies a stride away from the picture it belongs to.",
    task=(
        "A window of `window` pixels is moved over a side of `size` pixels in steps of `stride`, and never "
        "leaves the picture. Write `answers_along(size, window, stride)`: in how many places it stops."
    ),
    stub='''
def answers_along(size, window, stride):
    """Number of places of a window along a side of the picture."""
    ...  # your code
''',
    reference=_answers_along,
    cases=lambda: [(448, 224, 32), (224, 224, 32), (500, 224, 32), (10, 3, 1), (7, 3, 2)],
    hints=(
        "How many steps can the window take before it bumps into the edge? And where does it stop before "
        "its first step?",
        "There are `size - window` pixels to travel, `stride` at a time, whole steps only; the start counts, "
        "too.",
        "`return (size - ____) // ____ + ____`",
    ),
    mistakes=[
        Mistake(
            "steps",
            lambda size, window, stride: (size - window) // stride,
            "You count the steps. There is one place more than there are steps: the start. A window as large "
            "as the picture has one place, not none.",
        ),
        Mistake(
            "tiles",
            lambda size, window, stride: size // window,
            "You lay windows side by side. Here they overlap: the next one starts `stride` pixels further.",
        ),
        Mistake(
            "positions",
            lambda size, window, stride: size // stride,
            "That is how many positions the feature map has. A window needs several of them at once.",
        ),
        Mistake(
            "every_pixel",
            lambda size, window, stride: size - window + 1,
            "That moves the window pixel by pixel. It moves `stride` pixels at a time.",
        ),
        Mistake(
            "over_the_edge",
            lambda size, window, stride: -(-(size - window) // stride) + 1,
            "You round up: the last window would hang over the edge of the picture. Whole steps only.",
        ),
    ],
)


def _class_maps(features, weight, bias):
    # (K, C) times (C, h, w), summed over the channels -> (K, h, w)
    return torch.einsum("kc,chw->khw", weight, features) + bias[:, None, None]


class_maps = Exercise(
    name="class_maps",
    title="Classify first, pool later",
    difficulty=2,
    minutes=8,
    why="This is the swap: the same layer, asked at every position. Averaging comes after it, and can wait.",
    task=(
        "Write `class_maps(features, weight, bias)`: apply the linear layer with `weight` `(K, C)` and "
        "`bias` `(K,)` to the feature vector at every position of `features` `(C, h, w)`. Return the answers "
        "of all positions, shape `(K, h, w)`. Do not pool."
    ),
    stub='''
def class_maps(features, weight, bias):
    """Answers (K, h, w) of a linear layer, weight (K, C) and bias (K,), at every position of (C, h, w)."""
    ...  # your code
''',
    reference=_class_maps,
    cases=lambda: [
        (_seeded(0, 5, 3, 4), _seeded(1, 4, 5), _seeded(2, 4)),
        (_seeded(3, 2, 3, 3), _seeded(4, 3, 2), _seeded(5, 3)),
        (_seeded(6, 6, 1, 1), _seeded(7, 2, 6), _seeded(8, 2)),
    ],
    hints=(
        "At one position the features are a vector of C numbers. What does the layer do with it? Now do that "
        "everywhere.",
        "`torch.einsum` sums over the letter that is missing on the right; the bias needs two axes of length "
        "one to be added to every position of its class.",
        '`return torch.einsum("kc,chw->____", weight, features) + bias[:, ____, ____]`',
    ),
    mistakes=[
        Mistake(
            "no_bias",
            lambda features, weight, bias: torch.einsum("kc,chw->khw", weight, features),
            "The weights are right, the bias is missing. The layer adds it to every answer it gives.",
        ),
        Mistake(
            "pooled",
            lambda features, weight, bias: weight @ features.mean((1, 2)) + bias,
            "You have pooled: one number a class is left. Keep the answers of all positions.",
        ),
        Mistake(
            "added_up",
            lambda features, weight, bias: _class_maps(features, weight, bias).sum((1, 2)),
            "You add the positions up. Keep the answers of all positions.",
        ),
        Mistake(
            "bias_along_columns",
            lambda features, weight, bias: torch.einsum("kc,chw->khw", weight, features) + bias,
            "You add `bias` without new axes, so its numbers go along the columns of the map. They belong to "
            "the classes: `bias[:, None, None]`.",
        ),
        Mistake(
            "bias_shared_out",
            lambda features, weight, bias: (
                torch.einsum("kc,chw->khw", weight, features) + bias[:, None, None] / features[0].numel()
            ),
            "You share the bias out among the positions. Averaging n equal biases gives the bias back, so "
            "each position gets all of it.",
        ),
        Mistake(
            "classes_last",
            lambda features, weight, bias: torch.einsum("kc,chw->hwk", weight, features) + bias,
            "All numbers are there, with the classes last. Wanted is `(K, h, w)`: one map a class.",
        ),
    ],
)


def _multiply_adds(channels, classes, positions):
    return channels * classes, channels * classes * positions


multiply_adds = Exercise(
    name="multiply_adds",
    title="What the swap costs",
    difficulty=1,
    minutes=4,
    why="Two formulas for one answer are a choice, and a choice wants numbers.",
    task=(
        "A linear layer from `channels` features to `classes` answers; feature maps with `positions` "
        "positions. Write `multiply_adds(channels, classes, positions)`: how many multiplications it takes "
        "to pool first and to classify first, as a pair in this order. Averaging only adds up: it counts "
        "nothing, and nor does the bias."
    ),
    stub='''
def multiply_adds(channels, classes, positions):
    """Multiplications when pooling first, and when classifying first."""
    ...  # your code
''',
    reference=_multiply_adds,
    cases=lambda: [(1280, 1000, 49), (3, 5, 4), (8, 2, 1)],
    hints=(
        "How often is the layer applied in either order?",
        "Once it takes one multiplication for each weight. Pooled first it is applied once, otherwise at "
        "every position.",
        "`return channels * classes, channels * classes * ____`",
    ),
    mistakes=[
        Mistake(
            "swapped",
            lambda channels, classes, positions: (channels * classes * positions, channels * classes),
            "Both numbers are right, in the wrong order: first the one for pooling first.",
        ),
        Mistake(
            "per_class",
            lambda channels, classes, positions: (channels, channels * positions),
            "That is the cost of one class. The layer answers for all of them.",
        ),
        Mistake(
            "with_the_average",
            lambda channels, classes, positions: (
                channels * positions + channels * classes,
                channels * classes * positions + classes * positions,
            ),
            "You count the averaging, too. It adds numbers up; there is nothing to multiply but one division "
            "at the end.",
        ),
        Mistake(
            "same",
            lambda channels, classes, positions: (channels * classes, channels * classes),
            "The answer is the same, the work is not: classifying first, the layer is applied at every "
            "position.",
        ),
        Mistake(
            "parameters",
            lambda channels, classes, positions: (
                channels * classes + classes,
                (channels * classes + classes) * positions,
            ),
            "You count the biases. They are added, not multiplied.",
        ),
    ],
)


def _extent(scores, mask):
    return (scores[mask] > 0).float().mean()


def _scores_and_masks():
    cases = []
    for seed, (height, width) in enumerate([(4, 5), (6, 6), (3, 8)]):
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[1 : height - 1, 1 : width // 2 + 1] = True
        cases.append((_seeded(seed, height, width) + 0.3, mask))
    return cases


extent = Exercise(
    name="extent",
    title="Extent in a number",
    difficulty=2,
    minutes=5,
    why="'It lights up the object' can mean one pixel of it or all. This number tells them apart.",
    task=(
        "Write `extent(scores, mask)`: of the pixels of an object (bool `mask`, `(h, w)`), the share at "
        "which `scores` `(h, w)` says yes, which means above zero."
    ),
    stub='''
def extent(scores, mask):
    """Share of the object's pixels (bool mask) whose score is above zero, 0..1."""
    ...  # your code
''',
    reference=_extent,
    cases=_scores_and_masks,
    hints=(
        "Which pixels are you asked about, and what is to be known of each?",
        "Take the scores inside the mask only; of those, the share above zero is a mean of trues and falses.",
        "`return (scores[____] > 0).float().____()`",
    ),
    mistakes=[
        Mistake(
            "precise",
            lambda scores, mask: mask[scores > 0].float().mean(),
            "You divide by the pixels that say yes: that is how much of the yes lies on the object, its "
            "precision. Divide by the pixels of the object.",
        ),
        Mistake(
            "of_the_picture",
            lambda scores, mask: ((scores > 0) & mask).float().mean(),
            "You divide by the whole picture. Then a small object can never be covered; divide by the pixels "
            "of the object.",
        ),
        Mistake(
            "everywhere",
            lambda scores, mask: (scores > 0).float().mean(),
            "You have left the object out: that is the share of the whole picture that says yes.",
        ),
        Mistake(
            "iou",
            lambda scores, mask: ((scores > 0) & mask).sum() / ((scores > 0) | mask).sum(),
            "That is the intersection over union. It falls when the yes runs over the edge; here only the "
            "object's own pixels count.",
        ),
        Mistake(
            "mean_score",
            lambda scores, mask: scores[mask].mean(),
            "You average the scores. Ask of each pixel whether its score is above zero, and average that.",
        ),
    ],
)


after_gap = Quiz(
    "after_gap",
    [
        Question(
            "A fully connected layer was made for feature maps of 7 x 7. As a convolution without padding it "
            "meets maps of 10 x 14. How many answers does it give?",
            [
                Option("1", False, "That was so at 7 x 7. Here the kernel fits in more than one place."),
                Option("4 x 8 = 32", True, "10 - 7 + 1 rows and 14 - 7 + 1 columns."),
                Option(
                    "10 x 14 = 140",
                    False,
                    "That takes a kernel of 1 x 1. One of 7 x 7 has no room at the margins.",
                ),
                Option(
                    "None: the sizes do not fit",
                    False,
                    "A fully connected layer would refuse. A convolution takes whatever is large enough.",
                ),
            ],
        ),
        Question(
            "For which of these heads do you get the same answer when you classify first and pool later?",
            [
                Option("Average, then one linear layer", True, "Both are linear."),
                Option(
                    "Average, then two linear layers with nothing between them",
                    True,
                    "Two linear layers in a row are one linear layer.",
                ),
                Option(
                    "Average, then two linear layers with a ReLU between them",
                    False,
                    "The ReLU of an average is not the average of ReLUs.",
                ),
                Option(
                    "Maximum, then one linear layer",
                    False,
                    "The largest value of each channel may come from another place; a weighted sum of those "
                    "is not the largest weighted sum.",
                ),
            ],
            multiple=True,
        ),
        Question(
            "A window of the large picture shows exactly the pixels of one photograph, yet its answer "
            "differs from the answer for the photograph alone. Why?",
            [
                Option(
                    "The weights have changed",
                    False,
                    "They are the very same numbers in memory.",
                ),
                Option(
                    "Around the photograph alone there are zeros, around the window there is more picture",
                    True,
                    "Each layer pads its input with zeros, and features see far beyond their own window.",
                ),
                Option(
                    "Averaging over more positions makes answers smaller",
                    False,
                    "True for the whole picture, but this window averages over its own 49 positions.",
                ),
            ],
        ),
        Question(
            "You look for a cup that may be small in a large picture, and you care for where it is. Which "
            "pool do you train with?",
            [
                Option(
                    "The average, because its map covers objects best",
                    False,
                    "It says yes in most of the object and in much of the rest, and a small object drowns in "
                    "the average.",
                ),
                Option(
                    "The maximum, because one good position is enough",
                    True,
                    "Its highest point lay on the object more often. Do not expect its yes to fill "
                    "the object.",
                ),
                Option(
                    "It makes no difference: the features are the same",
                    False,
                    "The features were the same in the experiment, and the maps were not.",
                ),
            ],
        ),
    ],
)
