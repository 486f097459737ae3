"""Exercises and quiz of notebook 06, Grad-CAM."""

from __future__ import annotations

import torch
from torch import nn

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


def _seeded(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _gradient_weights(gradients):
    # (C, h, w), averaged over the two axes of space -> (C,)
    return gradients.mean((1, 2))


gradient_weights = Exercise(
    name="gradient_weights",
    title="A weight for each channel, from the gradient",
    difficulty=1,
    minutes=4,
    why="CAM reads its weights off the last layer. This is where a network without such a layer gets them.",
    task=(
        "Write `gradient_weights(gradients)`: `gradients` has shape `(C, h, w)` and says for each channel "
        "and position how much the logit rises with it. Return one weight a channel, shape `(C,)`: the mean "
        "over the positions."
    ),
    stub='''
def gradient_weights(gradients):
    """One weight a channel (C,) from the gradient of a logit at feature maps (C, h, w)."""
    ...  # your code
''',
    reference=_gradient_weights,
    cases=lambda: [(_seeded(0, 5, 3, 4),), (_seeded(1, 2, 7, 7) + 0.5,)],
    hints=(
        "Which axes are the positions, and which must stay?",
        "Average over the last two axes at once: the first one, the channels, is what is left.",
        "`return gradients.____((1, 2))`",
    ),
    mistakes=[
        Mistake(
            "sum",
            lambda gradients: gradients.sum((1, 2)),
            "You add the positions up. The map keeps its shape but becomes h * w times as large; the paper "
            "averages.",
        ),
        Mistake(
            "over_channels",
            lambda gradients: gradients.mean(0),
            "You average over the channels and keep the positions. It is the other way round: one number a "
            "channel.",
        ),
        Mistake(
            "absolute",
            lambda gradients: gradients.abs().mean((1, 2)),
            "You take the gradient without its sign. A channel that lowers the logit must count against it.",
        ),
        Mistake(
            "rectified",
            lambda gradients: gradients.clamp(min=0).mean((1, 2)),
            "You drop negative gradients. The ReLU of Grad-CAM comes at the end, on the map; the weights "
            "keep their sign.",
        ),
        Mistake(
            "largest",
            lambda gradients: gradients.amax((1, 2)),
            "You take the largest gradient of each channel. Wanted is the mean.",
        ),
    ],
)


def _grad_cam_map(features, gradients):
    weights = gradients.mean((1, 2))  # (C,)
    return (weights[:, None, None] * features).sum(0)  # (h, w)


grad_cam_map = Exercise(
    name="grad_cam_map",
    title="The map",
    difficulty=2,
    minutes=6,
    why="With this, you have the whole method: it is CAM with other weights.",
    task=(
        "Write `grad_cam_map(features, gradients)`, both of shape `(C, h, w)`: weigh each channel of the "
        "features by the mean of its gradient and add the channels up. Return the raw signed map `(h, w)`, "
        "without a ReLU."
    ),
    stub='''
def grad_cam_map(features, gradients):
    """Grad-CAM before its ReLU (h, w), from features and gradients, each (C, h, w)."""
    ...  # your code
''',
    reference=_grad_cam_map,
    cases=lambda: [
        (_seeded(0, 5, 3, 4), _seeded(1, 5, 3, 4)),
        (_seeded(2, 3, 7, 7).relu(), _seeded(3, 3, 7, 7)),
    ],
    hints=(
        "You have the weights from the exercise above. What did CAM do with weights and features?",
        "Give the weights two axes of length one, multiply, add up over the channels.",
        "`weights = ____`; `return (weights[:, None, None] * ____).sum(____)`",
    ),
    mistakes=[
        Mistake(
            "not_averaged",
            lambda features, gradients: (gradients * features).sum(0),
            "You multiply position by position and never average the gradient. That is another method "
            "(gradient times activation), which you meet below; Grad-CAM has one weight a channel.",
        ),
        Mistake(
            "rectified",
            lambda features, gradients: _grad_cam_map(features, gradients).clamp(min=0),
            "Right, but for the ReLU at the end: the raw signed map is wanted. `maps.rectify` can follow.",
        ),
        Mistake(
            "mean_over_channels",
            lambda features, gradients: _grad_cam_map(features, gradients) / len(features),
            "You average over the channels. The logit is a sum over channels, and so is the map.",
        ),
        Mistake(
            "features_averaged",
            lambda features, gradients: (features.mean((1, 2))[:, None, None] * gradients).sum(0),
            "You average the features and keep the places of the gradient. Average the gradient and keep the "
            "places of the features.",
        ),
        Mistake(
            "absolute_weights",
            lambda features, gradients: (gradients.mean((1, 2)).abs()[:, None, None] * features).sum(0),
            "You take the weights without their sign, so channels that speak against the class speak for it.",
        ),
    ],
)


def _logit_from_grad_cam(grad_map, bias):
    return grad_map.sum() + bias


logit_from_grad_cam = Exercise(
    name="logit_from_grad_cam",
    title="The proof in numbers",
    difficulty=2,
    minutes=5,
    why="If Grad-CAM is CAM divided by h * w, it must give the answer back too. Check the derivation by it.",
    task=(
        "For a network that ends in global average pooling and one linear layer, write "
        "`logit_from_grad_cam(grad_map, bias)`: the logit of a class from its raw Grad-CAM map `(h, w)` and "
        "its bias."
    ),
    stub='''
def logit_from_grad_cam(grad_map, bias):
    """The logit of a class from its raw Grad-CAM map (h, w) and its bias."""
    ...  # your code
''',
    reference=_logit_from_grad_cam,
    cases=lambda: [(_seeded(0, 7, 7), torch.tensor(0.5)), (_seeded(1, 2, 3), torch.tensor(-2.0))],
    hints=(
        "From CAM you get the logit by `cam_map.mean() + bias`. By which factor is this map smaller?",
        "The map is CAM divided by the number of positions, and a mean is a sum divided by that number.",
        "`return grad_map.____() + ____`",
    ),
    mistakes=[
        Mistake(
            "mean",
            lambda grad_map, bias: grad_map.mean() + bias,
            "That is right for CAM. Grad-CAM has been divided by h * w once already: if you average, you "
            "divide twice.",
        ),
        Mistake(
            "no_bias",
            lambda grad_map, bias: grad_map.sum(),
            "Nearly: the bias of the linear layer is missing, and no position can claim it.",
        ),
        Mistake(
            "multiplied",
            lambda grad_map, bias: grad_map.sum() * grad_map.numel() + bias,
            "You multiply by h * w *and* add up. One of the two is enough: the mean of h * w * map is "
            "its sum.",
        ),
        Mistake(
            "rectified",
            lambda grad_map, bias: grad_map.clamp(min=0).sum() + bias,
            "You drop the negative values. With the ReLU, the map no longer adds up to the answer.",
        ),
    ],
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


before_and_after = Exercise(
    name="before_and_after",
    title="Keep what the next layer overwrites",
    difficulty=2,
    minutes=6,
    why="The commonest silent error of hook-based code. No exception tells you, only a wrong map.",
    task=(
        "Write `before_and_after(layer, activation, x)`: run `layer` on `x`, then `activation` on the "
        "result, and return both results. The first must be what the layer put out, even if the activation "
        "works in place."
    ),
    stub='''
def before_and_after(layer, activation, x):
    """What layer puts out for x, and what activation makes of it; the activation may work in place."""
    ...  # your code
''',
    reference=_before_and_after,
    cases=_layers,
    hints=(
        "An in-place activation writes its result over its input. What must it not get hold of?",
        "Give the activation a copy of the layer's output, and keep the original.",
        "`before = layer(x)`; `return before, activation(before.____())`",
    ),
    mistakes=[
        Mistake(
            "no_copy",
            lambda layer, activation, x: (before := layer(x), activation(before)),
            "Where the activation works in place, both results are the same numbers: it has written over "
            "what you kept. A second name is no copy, and `detach` shares the memory too.",
        ),
        Mistake(
            "after_twice",
            lambda layer, activation, x: (activation(layer(x)), activation(layer(x))),
            "The first result has been through the activation. Wanted is what the layer put out.",
        ),
        Mistake(
            "swapped",
            lambda layer, activation, x: _before_and_after(layer, activation, x)[::-1],
            "Both are right, in the other order: before first, after second.",
        ),
        Mistake(
            "always_relu",
            lambda layer, activation, x: ((before := layer(x)), before.clamp(min=0)),
            "You apply a ReLU of your own. Call the activation that was given: it may be another one.",
        ),
    ],
)


def _contrast(logits, a, b):
    return logits[:, a] - logits[:, b]


contrast = Exercise(
    name="contrast",
    title="Why this class rather than that one?",
    difficulty=1,
    minutes=4,
    why="A map of one class shows what it shares with its neighbours too. A difference shows what decides.",
    task=(
        "Write `contrast(logits, a, b)`: from logits `(B, K)`, return for each image how far class `a` lies "
        "above class `b`, shape `(B,)`. `grad_cam` will differentiate it."
    ),
    stub='''
def contrast(logits, a, b):
    """How far class a lies above class b, (B,), in logits (B, K)."""
    ...  # your code
''',
    reference=_contrast,
    cases=lambda: [(_seeded(0, 3, 5), 1, 4), (_seeded(1, 4, 6), 3, 0)],
    hints=(
        "Which axis holds the classes?",
        "Take column `a` and column `b` of all rows and subtract.",
        "`return logits[:, ____] - logits[:, ____]`",
    ),
    mistakes=[
        Mistake(
            "shares",
            lambda logits, a, b: logits.softmax(1)[:, a] - logits.softmax(1)[:, b],
            "You subtract shares of the softmax. They depend on all other classes too, and hardly move once "
            "a class is sure; subtract the logits.",
        ),
        Mistake(
            "reversed",
            lambda logits, a, b: logits[:, b] - logits[:, a],
            "That is how far b lies above a.",
        ),
        Mistake(
            "first_image",
            lambda logits, a, b: logits[0, a] - logits[0, b],
            "You answer for the first image only. One number an image is wanted.",
        ),
        Mistake(
            "absolute",
            lambda logits, a, b: (logits[:, a] - logits[:, b]).abs(),
            "You drop the sign. Where b lies above a, the difference is negative.",
        ),
    ],
)


def _covered(images, row, column, side):
    copy = images.clone()
    copy[:, :, row * side : (row + 1) * side, column * side : (column + 1) * side] = 0
    return copy


covered = Exercise(
    name="covered",
    title="Ask the network itself: occlusion",
    difficulty=2,
    minutes=7,
    why="A test of any map that needs no gradient: what the network does not look at can be covered.",
    task=(
        "Cut the images `(B, 3, H, W)` into squares of `side` pixels. Write `covered(images, row, column, "
        "side)`: a copy in which the square of this row and column (counted from 0) is zero, the network's "
        "grey."
    ),
    stub='''
def covered(images, row, column, side):
    """Copy of images (B, 3, H, W) with the square at (row, column) of a grid of side pixels set to zero."""
    ...  # your code
''',
    reference=_covered,
    cases=lambda: [(_seeded(0, 2, 3, 8, 12), 1, 2, 4), (_seeded(1, 1, 3, 9, 9), 2, 0, 3)],
    hints=(
        "Row 2 of squares of 32 pixels: at which pixel does it begin, at which does it end?",
        "Copy the images, then set rows `row * side` to `(row + 1) * side`, and the columns likewise, to "
        "zero.",
        "`copy = images.clone()`; `copy[:, :, row * side : ____, column * side : ____] = 0`; `return copy`",
    ),
    mistakes=[
        Mistake(
            "pixels",
            lambda images, row, column, side: _pixels_covered(images, row, column, side),
            "You begin at *pixel* row and column. They count squares: multiply by the side.",
        ),
        Mistake(
            "swapped",
            lambda images, row, column, side: _covered(images, column, row, side),
            "Rows and columns are swapped: rows are the third axis of the images, columns the fourth.",
        ),
        Mistake(
            "kept_only",
            lambda images, row, column, side: images - _covered(images, row, column, side),
            "You cover everything but the square.",
        ),
        Mistake(
            "one_colour",
            lambda images, row, column, side: torch.cat(
                [_covered(images, row, column, side)[:, :1], images[:, 1:]], 1
            ),
            "You cover the red channel only. All three must go.",
        ),
        Mistake(
            "first_image",
            lambda images, row, column, side: torch.cat(
                [_covered(images, row, column, side)[:1], images[1:]]
            ),
            "You cover the first image only; all of the batch are wanted.",
        ),
    ],
)


def _pixels_covered(images: torch.Tensor, row: int, column: int, side: int) -> torch.Tensor:
    copy = images.clone()
    copy[:, :, row : row + side, column : column + side] = 0
    return copy


after_grad_cam = Quiz(
    "after_grad_cam",
    [
        Question(
            "At the input of the pool of a network with global average pooling and one linear layer, what "
            "does Grad-CAM add to CAM?",
            [
                Option(
                    "A finer map, because gradients reach back to the pixels",
                    False,
                    "The gradient is taken at the feature map, and both maps have one number a position "
                    "of it.",
                ),
                Option(
                    "The sign, so that evidence against the class shows",
                    False,
                    "CAM is signed already. The paper's ReLU takes the sign away; it does not add it.",
                ),
                Option(
                    "Nothing: it is CAM over the number of positions",
                    True,
                    "The gradient of the logit there is the weight over h * w, the same at every position.",
                ),
            ],
        ),
        Question(
            "You choose an early layer, because its map is fine. What do you get?",
            [
                Option(
                    "The same map as from the last layer, only with sharper outlines",
                    False,
                    "Look at the row of pictures again: the map of an early layer is another one.",
                ),
                Option(
                    "Edges and textures, each wherever it occurs, relevant or not",
                    True,
                    "The same edge matters here and not there, and one average weight cannot say so.",
                ),
                Option(
                    "An error, because the layer has no class",
                    False,
                    "Every layer has a gradient. Nothing warns you.",
                ),
            ],
        ),
        Question(
            "A Grad-CAM picture is empty (dark all over). What can you conclude?",
            [
                Option(
                    "The network did not look at the picture, so its answer is a guess",
                    False,
                    "It did, or it would have no answer. Look at the map before the ReLU.",
                ),
                Option(
                    "No position speaks for the class; some may speak against it",
                    True,
                    "The ReLU hides those. Draw the signed map, or the counterfactual one.",
                ),
                Option(
                    "The software is broken, since every class has some evidence",
                    False,
                    "It may be, but a class that is nowhere supported gives this picture too. You met one.",
                ),
            ],
        ),
        Question(
            "Your map of a layer that is followed by an in-place ReLU has no negative value at all. What do "
            "you suspect?",
            [
                Option(
                    "The hook kept a name for the output, and the ReLU has written over it",
                    True,
                    "Copy the output, or let the network go on with a copy.",
                ),
                Option(
                    "The class is present all over the picture, even in its corners",
                    False,
                    "Possible in principle. But features before a ReLU have both signs, so look at what was "
                    "kept.",
                ),
                Option(
                    "The picture is too bright, so that all features are positive",
                    False,
                    "Brightness does not turn the sign of features.",
                ),
            ],
        ),
    ],
)
