"""Exercises and quiz of notebook 05b, Solar cells."""

from __future__ import annotations

import numpy as np
import torch

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


def _bools(seed: int, n: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random(n) < share


def _commonest(truth):
    # truth.mean() is the share of True; the commonest answer is right wherever it is the truth
    return max(truth.mean(), 1 - truth.mean())


commonest = Exercise(
    name="commonest",
    title="What looking at nothing scores",
    difficulty=1,
    minutes=3,
    why="An accuracy means nothing before you know what the commonest answer alone would score.",
    task=(
        "Write `commonest(truth)`: `truth` is a bool array, True for a defective cell. Return the accuracy "
        "of the best classifier that gives the same answer for every cell."
    ),
    stub='''
def commonest(truth):
    """Accuracy (0 to 1) of giving the commoner answer every time; truth is a bool array (N,)."""
    ...  # your code
''',
    reference=_commonest,
    cases=lambda: [(_bools(0, 40, 0.3),), (_bools(1, 50, 0.8),)],
    hints=(
        "Which share of the cells is defective, and which is fine?",
        "The mean of a bool array is the share of True. The better constant answer is the larger share.",
        "`return max(truth.____(), 1 - ____)`",
    ),
    mistakes=[
        Mistake(
            "always_fine",
            lambda truth: 1 - truth.mean(),
            "You always answer *fine*. That is best only where fine cells are the majority.",
        ),
        Mistake(
            "always_defective",
            lambda truth: truth.mean(),
            "You always answer *defective*, which is best only where most cells are.",
        ),
        Mistake("coin", lambda truth: 0.5, "That is a coin. The commoner answer is right more often."),
        Mistake(
            "count",
            lambda truth: max(truth.sum(), (~truth).sum()),
            "That is how many cells are right; divide by how many there are.",
        ),
    ],
)


def _balanced(predicted, truth):
    caught = predicted[truth].mean()  # of the defective cells, the share called defective
    spared = (~predicted[~truth]).mean()  # of the fine cells, the share called fine
    return (caught + spared) / 2


balanced = Exercise(
    name="balanced",
    title="An accuracy that the commonest answer cannot buy",
    difficulty=2,
    minutes=6,
    why="A missed defect costs a module, a false alarm a second look. One number must not hide which it was.",
    task=(
        "Write `balanced(predicted, truth)`, the *balanced accuracy* of two bool arrays (True is defective): "
        "the mean of two shares, the defective cells that are called defective and the fine cells that are "
        "called fine."
    ),
    stub='''
def balanced(predicted, truth):
    """Balanced accuracy (0 to 1) of bool answers (N,) given the bool truth (N,)."""
    ...  # your code
''',
    reference=_balanced,
    cases=lambda: [
        (_bools(2, 40, 0.4), _bools(3, 40, 0.3)),
        (_bools(4, 60, 0.2), _bools(5, 60, 0.25)),
    ],
    hints=(
        "Take the defective cells alone first. Which share of them was caught?",
        "`predicted[truth]` are the answers for the defective cells, `predicted[~truth]` for the fine ones.",
        "`return (predicted[truth].mean() + ____) / 2`",
    ),
    mistakes=[
        Mistake(
            "plain",
            lambda predicted, truth: (predicted == truth).mean(),
            "That is the plain accuracy: a majority of fine cells outvotes the defective ones.",
        ),
        Mistake(
            "caught_only",
            lambda predicted, truth: predicted[truth].mean(),
            "That is the share of defects caught. Calling every cell defective would score 1: average it "
            "with the share of fine cells called fine.",
        ),
        Mistake(
            "false_alarms",
            lambda predicted, truth: (predicted[truth].mean() + predicted[~truth].mean()) / 2,
            "`predicted[~truth]` are the false alarms. Wanted is the share of fine cells called fine.",
        ),
        Mistake(
            "precision",
            lambda predicted, truth: (truth[predicted].mean() + (~truth[~predicted]).mean()) / 2,
            "You divide by the answers. Divide by the truth: of the cells that *are* defective, how many "
            "were called so?",
        ),
    ],
)


def _fold(weight, bias, mean, spread):
    folded = weight / spread  # (C,)
    return folded, bias - (folded * mean).sum()


fold = Exercise(
    name="fold",
    title="A head for features as they are",
    difficulty=3,
    minutes=8,
    why="A map adds up to the answer only if its weights read the raw features, not rescaled ones.",
    task=(
        "The head was trained on *standardised* features, `z = (f - mean) / spread`, and answers "
        "`(weight * z).sum() + bias`. Write `fold(weight, bias, mean, spread)`: return the weights `(C,)` "
        "and the bias of the head that gives the same answer from the raw features `f`."
    ),
    stub='''
def fold(weight, bias, mean, spread):
    """Weights (C,) and bias for raw features, from those for standardised ones."""
    ...  # your code
''',
    reference=_fold,
    cases=lambda: [_head(0, 5), _head(1, 3)],
    hints=(
        "Put the formula of `z` into the answer and multiply it out. What stands before `f`?",
        "`weight / spread` stands before `f`. What is left over has no `f` in it: it joins the bias.",
        "`folded = weight / ____`; `return folded, bias - (____ * mean).sum()`",
    ),
    mistakes=[
        Mistake(
            "bias_kept",
            lambda weight, bias, mean, spread: (weight / spread, bias),
            "The weights are right. But each feature also lost its mean, and that belongs into the bias.",
        ),
        Mistake(
            "multiplied",
            lambda weight, bias, mean, spread: (weight * spread, bias - (weight * spread * mean).sum()),
            "You multiply by the spread. Standardising divides by it, so the weight is divided, too.",
        ),
        Mistake(
            "plus",
            lambda weight, bias, mean, spread: (weight / spread, bias + (weight / spread * mean).sum()),
            "The sign: the mean is taken *off* the features, so its share comes off the bias.",
        ),
        Mistake(
            "mean_not_scaled",
            lambda weight, bias, mean, spread: (weight / spread, bias - (weight * mean).sum()),
            "The mean is divided by the spread as well: use the folded weights for the bias.",
        ),
    ],
)


def _head(seed: int, channels: int) -> tuple[torch.Tensor, ...]:
    numbers = torch.randn(4, channels, generator=torch.Generator().manual_seed(seed))
    return numbers[0], numbers[1, 0], numbers[2], numbers[3].abs() + 0.5


def _hit(cam_map, marked):
    y, x = np.unravel_index(cam_map.argmax(), cam_map.shape)
    return bool(marked[y, x])


hit = Exercise(
    name="hit",
    title="Does the peak point at the defect?",
    difficulty=2,
    minutes=5,
    why="The pointing game asks the least a map must do: be strongest on the thing.",
    task=(
        "Write `hit(cam_map, marked)`: a raw map `(h, w)` and a bool array of the same shape, True where the "
        "defect was marked. Return True if the place of the map's largest value is marked."
    ),
    stub='''
def hit(cam_map, marked):
    """Is the largest value of a map (h, w) at a True place of marked (h, w)?"""
    ...  # your code
''',
    reference=_hit,
    cases=lambda: [_peak(seed) for seed in range(12)],
    hints=(
        "`argmax` gives one number for the whole array. How do you get a row and a column out of it?",
        "`np.unravel_index(number, shape)` gives row and column; then look there in `marked`.",
        "`y, x = np.unravel_index(cam_map.____(), cam_map.shape)`; `return bool(marked[____])`",
    ),
    mistakes=[
        Mistake(
            "swapped",
            lambda cam_map, marked: bool(marked.T[np.unravel_index(cam_map.argmax(), cam_map.shape)]),
            "Row and column are swapped: an array is read as `marked[y, x]`.",
        ),
        Mistake(
            "weakest",
            lambda cam_map, marked: bool(marked[np.unravel_index(cam_map.argmin(), cam_map.shape)]),
            "You look at the smallest value, the strongest evidence *against* a defect.",
        ),
        Mistake(
            "absolute",
            lambda cam_map, marked: bool(marked[np.unravel_index(np.abs(cam_map).argmax(), cam_map.shape)]),
            "You drop the sign first, so strong evidence against a defect can be the peak.",
        ),
        Mistake(
            "any_positive",
            lambda cam_map, marked: bool((marked & (cam_map > 0)).any()),
            "You ask whether any evidence lies on the defect. The game asks about the peak alone.",
        ),
    ],
)


def _peak(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 6)), rng.random((6, 6)) < 0.5


def _blind(marked):
    # the peak of a map that looks at nothing is anywhere with the same chance
    return marked.mean((1, 2)).mean()


blind = Exercise(
    name="blind",
    title="What a blind map would hit",
    difficulty=1,
    minutes=3,
    why="Seven hits of twelve: good or bad? It depends on how much of a cell counts as a hit.",
    task=(
        "Write `blind(marked)`: `marked` is a bool array `(N, h, w)`, True where a peak would count as a "
        "hit. Return the share of the N cells that a map hits on average whose peak lies anywhere with the "
        "same chance."
    ),
    stub='''
def blind(marked):
    """Expected share of hits of a random peak, from bool marks (N, h, w)."""
    ...  # your code
''',
    reference=_blind,
    cases=lambda: [(np.random.default_rng(s).random((5, 8, 8)) < 0.1 * s,) for s in (1, 4)],
    hints=(
        "In one cell: with what chance does a random place lie on a mark?",
        "It is the marked share of the cell. Average it over the cells.",
        "`return marked.mean((____, ____)).mean()`",
    ),
    mistakes=[
        Mistake(
            "some_mark",
            lambda marked: marked.any((1, 2)).mean(),
            "You ask whether a cell has a mark at all. Ask how much of it is marked.",
        ),
        Mistake(
            "pixels",
            lambda marked: marked.sum((1, 2)).mean(),
            "That is how many pixels are marked; divide by how many there are.",
        ),
        Mistake(
            "unmarked",
            lambda marked: 1 - marked.mean(),
            "That is the chance to *miss*; wanted is the chance to hit.",
        ),
    ],
)

after_solar = Quiz(
    name="after_solar",
    questions=(
        Question(
            text="A colleague reports 73 % accuracy on the cells on which this chapter's head is judged. "
            "What do you ask first?",
            options=(
                Option("How many parameters the network has.", False, "Size does not make an accuracy good."),
                Option(
                    "What the commonest answer alone scores on these cells.",
                    True,
                    "Right: there are many more fine cells than defective ones, and saying *fine* each time "
                    "needs no network.",
                ),
                Option("Whether a GPU was used.", False, "That changes the time, not the answer."),
            ),
        ),
        Question(
            text="Two layers give heads of about the same accuracy. What does this say about their maps?",
            options=(
                Option("Both maps are about equally good.", False, "You saw two that differ widely."),
                Option("The finer map points better.", False, "The finest maps of the table point worst."),
                Option(
                    "Nothing: a map must be judged by itself.",
                    True,
                    "Right. The label asked *whether*, and nothing in training rewarded *where*.",
                ),
            ),
        ),
        Question(
            text="You marked twelve cells by hand. How may you use the marks?",
            options=(
                Option(
                    "To judge the maps at the end.",
                    True,
                    "Right, and to say how uncertain twelve cells leave you.",
                ),
                Option(
                    "To pick the layer whose map hits most, and report its hits.",
                    False,
                    "Then the reported hits are too good: the layer was chosen on the very cells it is "
                    "judged on. Pick on some marks and report on others.",
                ),
                Option(
                    "To train the head a little further.",
                    False,
                    "Then it is no longer trained with image labels alone, and the comparison is void.",
                ),
            ),
        ),
    ),
)
