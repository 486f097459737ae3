"""Exercises and quiz of notebook 05, class activation maps."""

from __future__ import annotations

import torch

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


def _seeded(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _weighted_sum(features, weights):
    # (C, 1, 1) * (C, h, w), summed over the channels -> (h, w)
    return (weights[:, None, None] * features).sum(0)


weighted_sum = Exercise(
    name="weighted_sum",
    title="The class activation map",
    difficulty=2,
    minutes=8,
    why="This one line is the method. Everything else in this notebook looks at what it returns.",
    task=(
        "Write `weighted_sum(features, weights)`: `features` has shape `(C, h, w)`, `weights` are the "
        "`(C,)` numbers with which one class reads the C pooled values. Return the map of shape `(h, w)`: "
        "at every position, the weighted sum over the channels."
    ),
    stub='''
def weighted_sum(features, weights):
    """Class activation map (h, w) of features (C, h, w) with one class's weights (C,)."""
    ...  # your code
''',
    reference=_weighted_sum,
    cases=lambda: [
        (_seeded(0, 5, 3, 4), _seeded(1, 5)),
        (_seeded(2, 3, 3, 3), _seeded(3, 3)),
        (_seeded(4, 2, 7, 7).relu(), _seeded(5, 2)),
    ],
    hints=(
        "Each channel is a small picture. A class likes some channels and dislikes others: how much of each "
        "goes into the sum?",
        "Give the weights two axes of length one, so that each multiplies its whole channel; then add up the "
        "channels and leave the two axes of space alone.",
        "`return (weights[:, None, None] * ____).sum(____)`",
    ),
    mistakes=[
        Mistake(
            "mean_over_channels",
            lambda features, weights: (weights[:, None, None] * features).mean(0),
            "You average over the channels. The linear layer adds them up: use a sum, or the map will not "
            "explain the logit.",
        ),
        Mistake(
            "no_weights",
            lambda features, weights: features.sum(0),
            "You add the channels up without their weights. That map is the same for every class.",
        ),
        Mistake(
            "pooled_too_early",
            lambda features, weights: (weights * features.mean((1, 2))).sum(),
            "You have pooled: one number is left, and it is the logit without its bias. Keep the axes of "
            "space; sum over the channels only.",
        ),
        Mistake(
            "rectified",
            lambda features, weights: (weights[:, None, None] * features).sum(0).clamp(min=0),
            "You drop negative values. The raw map has a sign, and the sign says which places speak against "
            "the class.",
        ),
        Mistake(
            "absolute_weights",
            lambda features, weights: (weights.abs()[:, None, None] * features).sum(0),
            "You take the weights without their sign. A channel with a negative weight speaks against the "
            "class.",
        ),
        Mistake(
            "channels_left",
            lambda features, weights: weights[:, None, None] * features,
            "The weighting is right. Now add the channels up: one map is wanted, not C of them.",
        ),
    ],
)


def _logit_from_map(cam_map, bias):
    return cam_map.mean() + bias


logit_from_map = Exercise(
    name="logit_from_map",
    title="From the map back to the answer",
    difficulty=1,
    minutes=4,
    why=(
        "A map that adds up to the answer leaves nothing out and invents nothing. Few explanations of a "
        "network can say that."
    ),
    task=(
        "Write `logit_from_map(cam_map, bias)`: from a raw class activation map `(h, w)` and the class's "
        "bias, compute the logit that the network gave to the class."
    ),
    stub='''
def logit_from_map(cam_map, bias):
    """The logit of a class from its raw map (h, w) and its bias (a number)."""
    ...  # your code
''',
    reference=_logit_from_map,
    cases=lambda: [(_seeded(0, 7, 7), torch.tensor(0.5)), (_seeded(1, 2, 3), torch.tensor(-2.0))],
    hints=(
        "Which step of the network did the map leave out?",
        "Swap the sums: pooling the map gives what pooling the features and weighting them gives. One "
        "number of the linear layer is still missing.",
        "`return cam_map.____() + ____`",
    ),
    mistakes=[
        Mistake(
            "sum",
            lambda cam_map, bias: cam_map.sum() + bias,
            "You add the positions up. The network averages them: global *average* pooling.",
        ),
        Mistake(
            "no_bias",
            lambda cam_map, bias: cam_map.mean(),
            "Nearly. The linear layer has a bias for each class, which no position of the map can claim.",
        ),
        Mistake(
            "max",
            lambda cam_map, bias: cam_map.max() + bias,
            "You take the highest position. That would be a network with global max pooling; this one "
            "averages.",
        ),
        Mistake(
            "rectified",
            lambda cam_map, bias: cam_map.clamp(min=0).mean() + bias,
            "You leave out the negative values. The network did not: places that speak against the class "
            "lower its logit.",
        ),
    ],
)


def _evidence_share(cam_map):
    positive = cam_map.clamp(min=0)
    half = cam_map.shape[1] // 2
    return positive[:, :half].sum() / positive.sum()


evidence_share = Exercise(
    name="evidence_share",
    title="Does the map point at the right half?",
    difficulty=2,
    minutes=6,
    why=(
        "'The map looks right' is no result. With two pictures side by side you know where the evidence "
        "should be, and can give a number: this is the grid pointing game."
    ),
    task=(
        "Write `evidence_share(cam_map)`: of all *positive* evidence in the map `(h, w)`, with w even, the "
        "share that lies in the left half."
    ),
    stub='''
def evidence_share(cam_map):
    """Share of the positive evidence of a map (h, w) that lies in its left half, 0..1."""
    ...  # your code
''',
    reference=_evidence_share,
    cases=lambda: [(_seeded(s, 3, 4 + 2 * s),) for s in (0, 1, 2)],
    hints=(
        "Negative evidence would cancel positive evidence. What do you do with it before you add up?",
        "Set negative values to zero, add up the left half of the columns, and divide by the sum of the "
        "whole.",
        "`positive = cam_map.clamp(min=0)`; then `positive[:, :____].sum() / ____`",
    ),
    mistakes=[
        Mistake(
            "signed",
            lambda cam_map: cam_map[:, : cam_map.shape[1] // 2].sum() / cam_map.sum(),
            "You keep the negative values, which cancel positive ones: such a 'share' can leave 0..1. Drop "
            "them first.",
        ),
        Mistake(
            "right_half",
            lambda cam_map: (
                cam_map.clamp(min=0)[:, cam_map.shape[1] // 2 :].sum() / cam_map.clamp(min=0).sum()
            ),
            "That is the share of the right half.",
        ),
        Mistake(
            "upper_half",
            lambda cam_map: cam_map.clamp(min=0)[: cam_map.shape[0] // 2].sum() / cam_map.clamp(min=0).sum(),
            "You cut the rows: that is the upper half. Columns are the second axis.",
        ),
        Mistake(
            "absolute",
            lambda cam_map: cam_map.abs()[:, : cam_map.shape[1] // 2].sum() / cam_map.abs().sum(),
            "You count evidence *against* the class as if it spoke for it. Drop the negative values; do not "
            "turn them round.",
        ),
    ],
)


def _for_display(cam_map):
    positive = cam_map.clamp(min=0)
    largest = positive.max()
    return positive / largest if largest > 0 else positive


for_display = Exercise(
    name="for_display",
    title="A picture that does not lie",
    difficulty=2,
    minutes=6,
    why="Most tools scale each map from its minimum to its maximum. Below you see what that does to a map.",
    task=(
        "Write `for_display(cam_map)`: drop negative evidence and divide by the maximum, so that 0 means *no "
        "evidence for the class* and 1 the strongest place. A map that is nowhere positive gives zeros."
    ),
    stub='''
def for_display(cam_map):
    """A raw map (h, w) scaled for display: 0 is no evidence, 1 the strongest place."""
    ...  # your code
''',
    reference=_for_display,
    cases=lambda: [
        (_seeded(0, 4, 4),),
        (_seeded(1, 3, 5) + 4,),
        (-_seeded(2, 3, 3).abs(),),
        (torch.zeros(2, 2),),
    ],
    hints=(
        "Which value of the raw map must stay in its place? And what if nothing is positive?",
        "Clamp at zero, look at the maximum, and divide only if it is above zero.",
        "`positive = cam_map.clamp(min=0)`; `return positive / ____ if ____ > 0 else positive`",
    ),
    mistakes=[
        Mistake(
            "minmax",
            lambda cam_map: (cam_map - cam_map.min()) / (cam_map.max() - cam_map.min()).clamp(min=1e-12),
            "You also move the minimum to zero. Then the strongest place is always 1, even in the map of a "
            "class that is not there at all, and 'no evidence' has no colour of its own.",
        ),
        Mistake(
            "not_a_number",
            lambda cam_map: cam_map.clamp(min=0) / cam_map.clamp(min=0).max(),
            "Right for most maps, but where nothing is positive you divide zero by zero and get NaN. Such a "
            "map gives zeros.",
        ),
        Mistake(
            "kept_negative",
            lambda cam_map: cam_map / cam_map.max() if cam_map.max() > 0 else torch.zeros_like(cam_map),
            "The scale is right, but negative values are still there. Drop them first.",
        ),
        Mistake(
            "absolute",
            lambda cam_map: cam_map.abs() / cam_map.abs().max().clamp(min=1e-12),
            "With the absolute value, a place that speaks against the class shines as if it spoke for it.",
        ),
    ],
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


tight_box = Exercise(
    name="tight_box",
    title="The box round a region",
    difficulty=2,
    minutes=7,
    why=(
        "From here on, boxes are the course's currency. Off by one, or x for y, and every later number is "
        "quietly wrong."
    ),
    task=(
        "Write `tight_box(mask)`: the smallest box `(x0, y0, x1, y1)` round the True pixels of a bool mask "
        "`(h, w)`, half open, so that `mask[y0:y1, x0:x1]` holds them all. There is at least one."
    ),
    stub='''
def tight_box(mask):
    """Smallest half-open box (x0, y0, x1, y1) round the True pixels of a bool mask (h, w)."""
    ...  # your code
''',
    reference=_tight_box,
    cases=_some_masks,
    hints=(
        "Which columns have a True anywhere? Which rows?",
        "`mask.any(0)` says it for the columns, `.nonzero()` gives their numbers; x is the column. Half "
        "open: the last one is still inside.",
        "`columns = mask.any(0).nonzero()`; `x0, x1 = int(columns.min()), int(columns.max()) + ____`",
    ),
    mistakes=[
        Mistake(
            "inclusive",
            lambda mask: tuple(v - d for v, d in zip(_tight_box(mask), (0, 0, 1, 1), strict=True)),
            "Your box ends *on* the last pixel; a half-open box ends *after* it. `mask[y0:y1, x0:x1]` would "
            "miss the last row and column.",
        ),
        Mistake(
            "rows_first",
            lambda mask: tuple(_tight_box(mask)[k] for k in (1, 0, 3, 2)),
            "You give rows first. A box is (x0, y0, x1, y1), and x counts columns.",
        ),
        Mistake(
            "width_and_height",
            lambda mask: (
                *_tight_box(mask)[:2],
                *(_tight_box(mask)[k + 2] - _tight_box(mask)[k] for k in (0, 1)),
            ),
            "You give width and height (as COCO does). Here the last two numbers are the other corner.",
        ),
        Mistake(
            "whole_picture",
            lambda mask: (0, 0, mask.shape[1], mask.shape[0]),
            "That is the box of the whole picture: it holds the region, but it is not the smallest.",
        ),
    ],
)


def _positions(size):
    return (size // 32) ** 2


positions = Exercise(
    name="positions",
    title="How many numbers does a map really have?",
    difficulty=1,
    minutes=3,
    why="A smooth picture hides how coarse a map is. Count before you believe an outline.",
    task=(
        "The network halves the picture's side five times. Write `positions(size)`: how many numbers the "
        "class activation map of a picture of `size` x `size` pixels holds (`size` is a multiple of 32)."
    ),
    stub='''
def positions(size):
    """Numbers in the class activation map of a size x size picture."""
    ...  # your code
''',
    reference=_positions,
    cases=lambda: [(32,), (224,), (448,), (672,)],
    hints=(
        "By what factor is the side smaller after five halvings?",
        "Divide the side by two to the power of five; a map has as many rows as columns.",
        "`return (size // ____) ** ____`",
    ),
    mistakes=[
        Mistake("one_side", lambda size: size // 32, "That is one side of the map. It has rows and columns."),
        Mistake(
            "always_49",
            lambda size: 49,
            "49 is right for 224 pixels only: a larger picture gives a finer map.",
        ),
        Mistake(
            "every_pixel",
            lambda size: size * size,
            "That is one number a pixel, the size after *upsampling*, which adds no information.",
        ),
        Mistake(
            "five_times_two",
            lambda size: (size // 10) ** 2,
            "Five halvings divide by 2 * 2 * 2 * 2 * 2, not by 2 * 5.",
        ),
    ],
)


after_cam = Quiz(
    "after_cam",
    [
        Question(
            "The map of 'tiger cat' has its maximum on the cat's cheek. What does that say?",
            [
                Option(
                    "The cheek is the cat's most important part",
                    False,
                    "For this network, this picture and this class only, and 'important' is a strong word: "
                    "the features at that position also look at the pixels around it.",
                ),
                Option(
                    "The largest share of this logit comes from the feature vector at that position",
                    True,
                    "That is what the sum says, no more and no less.",
                ),
                Option(
                    "The cat's outline passes there",
                    False,
                    "A map of 7 x 7 numbers knows no outline; what looks like one comes from upsampling.",
                ),
            ],
        ),
        Question(
            "For which of these networks is the class activation map exact?",
            [
                Option(
                    "Average pooling, then one linear layer",
                    True,
                    "Both steps are linear, so their order can be swapped.",
                ),
                Option(
                    "Max pooling, then one linear layer",
                    False,
                    "The maximum is not linear: only the winning position of each channel counts. Global max "
                    "pooling finds one part of an object.",
                ),
                Option(
                    "Average pooling, then two linear layers with a ReLU between them",
                    False,
                    "The ReLU stands between the pool and the classes; no single weight belongs to a channel "
                    "any more. Grad-CAM can deal with it.",
                ),
            ],
        ),
        Question(
            "You scale each map from its minimum to its maximum before you show it. What is lost?",
            [
                Option(
                    "How strong the evidence is, and whether it is evidence at all",
                    True,
                    "Every map then runs from 0 to 1, that of an absent class too.",
                ),
                Option(
                    "Nothing: it is only a change of units",
                    False,
                    "A change of units would keep zero in its place. This one moves it, by another amount in "
                    "each map.",
                ),
                Option(
                    "The position of the maximum",
                    False,
                    "That stays. What goes is the meaning of zero and of one.",
                ),
            ],
        ),
        Question(
            "A larger input gives a finer map. What happens to the answer?",
            [
                Option(
                    "Nothing, the network averages over more positions",
                    False,
                    "It does average, but it sees objects at a size it was not trained on. The cat stays "
                    "a cat, and the rocket becomes a drilling platform.",
                ),
                Option(
                    "It gets better, there is more detail to see",
                    False,
                    "Only up to a point: the network was trained on objects of a certain size in pixels.",
                ),
                Option(
                    "It can change, because objects become larger than the network was trained on",
                    True,
                    "A finer map is bought with an answer that you can trust less. You measured it above.",
                ),
            ],
        ),
    ],
)
