"""Exercises and quizzes of notebook 01, Annotation cost."""

from __future__ import annotations

import numpy as np

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


def _masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two bool masks (6, 9) that overlap in part."""
    dice = np.random.default_rng(seed)
    return dice.random((6, 9)) < 0.4, dice.random((6, 9)) < 0.6


def _overlap(marked, truth):
    both = (marked & truth).sum()
    either = (marked | truth).sum()
    return both / either


overlap = Exercise(
    name="overlap",
    title="What is a label worth?",
    difficulty=1,
    minutes=5,
    why="Seconds are only half of the price. The other half is how much of the object a label gets right.",
    task=(
        "Write `overlap(marked, truth)`: the IoU of two masks, bool arrays of the same shape `(H, W)`. That "
        "is the number of pixels that both have, divided by the number that at least one of them has."
    ),
    stub='''
def overlap(marked, truth):
    """IoU of two bool masks (H, W), a number of 0..1."""
    ...  # your code
''',
    reference=_overlap,
    cases=lambda: [_masks(0), _masks(1)],
    hints=(
        "Which operator gives you the pixels that are in both masks, and which those in at least one?",
        "`&` and `|` work on whole bool arrays. Count the true pixels of each with `.sum()` and divide.",
        "`both = (marked & ____).sum()`; `either = (marked ____ truth).sum()`; then divide",
    ),
    mistakes=[
        Mistake(
            "accuracy",
            lambda marked, truth: (marked == truth).mean(),
            "That is the share of equal pixels. Most of a picture is background, and background that both "
            "leave out would make any label look good. IoU does not count it.",
        ),
        Mistake(
            "recall",
            lambda marked, truth: (marked & truth).sum() / truth.sum(),
            "You divide by the object's pixels alone. A label that covers the whole picture would get 1.",
        ),
        Mistake(
            "precision",
            lambda marked, truth: (marked & truth).sum() / marked.sum(),
            "You divide by the marked pixels alone. A single pixel on the object would get 1.",
        ),
        Mistake(
            "dice",
            lambda marked, truth: 2 * (marked & truth).sum() / (marked.sum() + truth.sum()),
            "That is the Dice coefficient: it counts the shared pixels twice, above and below. It is a fair "
            "measure, but larger than IoU; the course uses IoU.",
        ),
        Mistake(
            "not_divided",
            lambda marked, truth: (marked & truth).sum(),
            "That is the number of shared pixels. Divide it by the number of pixels in at least one mask.",
        ),
    ],
)


def _typical_seconds(milliseconds, longest):
    seconds = np.asarray(milliseconds) / 1000
    return float(np.median(seconds[seconds <= longest]))


typical_seconds = Exercise(
    name="typical_seconds",
    title="The telephone rang",
    difficulty=1,
    minutes=5,
    why="Times of people have long tails. A mean over them tells you how often the telephone rang.",
    task=(
        "Write `typical_seconds(milliseconds, longest)`: from a list of times in milliseconds leave out "
        "those above `longest` *seconds* (somebody was interrupted), and return the median of the rest, in "
        "seconds."
    ),
    stub='''
def typical_seconds(milliseconds, longest):
    """Median in seconds of the times (in milliseconds) that are at most longest seconds."""
    ...  # your code
''',
    reference=_typical_seconds,
    cases=lambda: [
        ([4000, 6500, 5000, 900_000, 4300], 120),
        ([2000, 8000, 3000, 61_000, 60_000], 60),
        ([90_000, 2000, 95_000, 3000, 99_000], 60),
    ],
    hints=(
        "Bring times and limit to the same unit first.",
        "Divide by 1000, keep what is at most `longest` (an array can be indexed with a condition), take the "
        "median.",
        "`seconds = np.asarray(milliseconds) / ____`; `return np.median(seconds[seconds ____ longest])`",
    ),
    mistakes=[
        Mistake(
            "mean",
            lambda milliseconds, longest: float(
                np.mean([m / 1000 for m in milliseconds if m / 1000 <= longest])
            ),
            "You average. One slow label moves a mean; the median stays where half of the labels are faster.",
        ),
        Mistake(
            "nothing_left_out",
            lambda milliseconds, longest: float(np.median(np.asarray(milliseconds) / 1000)),
            "You left nobody out: the interrupted labels are still among them.",
        ),
        Mistake(
            "milliseconds",
            lambda milliseconds, longest: 1000 * _typical_seconds(milliseconds, longest),
            "That is in milliseconds. Divide by 1000.",
        ),
        Mistake(
            "cut_to_longest",
            lambda milliseconds, longest: float(
                np.median(np.minimum(np.asarray(milliseconds) / 1000, longest))
            ),
            "You cut the long times down to `longest` and keep them. They say nothing about the work; leave "
            "them out.",
        ),
        Mistake(
            "strict",
            lambda milliseconds, longest: float(
                np.median([m / 1000 for m in milliseconds if m / 1000 < longest])
            ),
            "Nearly: a label that took exactly `longest` seconds belongs to those that are kept.",
        ),
    ],
)


def _seconds_each(hours, labels, workers):
    return hours * 3600 / (labels * workers)


seconds_each = Exercise(
    name="seconds_each",
    title="Read a price out of a paper",
    difficulty=1,
    minutes=4,
    why="Papers report totals. You need the price of one label before you can compare or plan.",
    task=(
        "Write `seconds_each(hours, labels, workers)`: a project reports so many worker hours in all for so "
        "many labels, and each label was made by `workers` people independently. How many seconds did one "
        "worker spend on one label?"
    ),
    stub='''
def seconds_each(hours, labels, workers):
    """Seconds that one worker spends on one label."""
    ...  # your code
''',
    reference=_seconds_each,
    cases=lambda: [(22, 1000, 1), (20_000, 328_000, 8), (3, 90, 2)],
    hints=(
        "How many times was a label made in all?",
        "Turn the hours into seconds and divide by the number of labels times the workers of each.",
        "`return hours * ____ / (labels * ____)`",
    ),
    mistakes=[
        Mistake(
            "workers_forgotten",
            lambda hours, labels, workers: hours * 3600 / labels,
            "That is what one label costs the project, all its workers together. One worker's part is "
            "smaller.",
        ),
        Mistake(
            "workers_multiplied",
            lambda hours, labels, workers: hours * 3600 / labels * workers,
            "The hours are those of all workers already. Divide by the workers, do not multiply.",
        ),
        Mistake(
            "minutes",
            lambda hours, labels, workers: hours * 60 / (labels * workers),
            "That is in minutes: an hour has 3600 seconds.",
        ),
        Mistake(
            "upside_down",
            lambda hours, labels, workers: labels * workers / (hours * 3600),
            "That is how many labels are made in a second. Turn the fraction over.",
        ),
    ],
)


def _project_hours(images, objects, seconds, votes, review):
    drawing = images * objects * seconds * votes
    return drawing * (1 + review) / 3600


project_hours = Exercise(
    name="project_hours",
    title="A budget on one line",
    difficulty=2,
    minutes=6,
    why="Every annotation project begins with this number, and most begin with it wrong.",
    task=(
        "Write `project_hours(images, objects, seconds, votes, review)`: the hours of work for `images` "
        "pictures with `objects` objects each (on average), `seconds` of drawing an object, done by `votes` "
        "people independently. Checking adds the share `review` of the drawing time: 0.5 means half as much "
        "again."
    ),
    stub='''
def project_hours(images, objects, seconds, votes, review):
    """Hours of work, checks included."""
    ...  # your code
''',
    reference=_project_hours,
    cases=lambda: [(1000, 2.5, 80.0, 1, 0.0), (300, 4.0, 7.0, 3, 0.5), (50, 1.0, 30.0, 2, 0.66)],
    hints=(
        "Begin without checks: how many objects are drawn in all, and how often?",
        "Multiply pictures, objects, seconds and votes; make that larger by the share for checks; bring "
        "seconds to hours.",
        "`drawing = images * objects * ____ * ____`; `return drawing * (1 + ____) / 3600`",
    ),
    mistakes=[
        Mistake(
            "votes_forgotten",
            lambda images, objects, seconds, votes, review: images * objects * seconds * (1 + review) / 3600,
            "Each object is drawn by `votes` people. You pay only one of them.",
        ),
        Mistake(
            "review_alone",
            lambda images, objects, seconds, votes, review: (
                images * objects * seconds * votes * review / 3600
            ),
            "You pay for the checks and not for the drawing. Checks come on top: one plus their share.",
        ),
        Mistake(
            "no_review",
            lambda images, objects, seconds, votes, review: images * objects * seconds * votes / 3600,
            "The checks are missing. They add the share `review` of the drawing time.",
        ),
        Mistake(
            "images_only",
            lambda images, objects, seconds, votes, review: images * seconds * votes * (1 + review) / 3600,
            "You pay one object a picture. There are `objects` of them.",
        ),
        Mistake(
            "review_of_one",
            lambda images, objects, seconds, votes, review: (
                images * objects * seconds * (votes + review) / 3600
            ),
            "You check one of the votes only. The checks are a share of all the drawing.",
        ),
    ],
)


def _label_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two label maps (8, 10) that agree mostly, with some void in each."""
    dice = np.random.default_rng(seed)
    one = dice.integers(0, 4, (8, 10)).astype(np.uint8)
    two = np.where(dice.random((8, 10)) < 0.2, dice.integers(0, 4, (8, 10)), one).astype(np.uint8)
    for labels in (one, two):
        labels[dice.random((8, 10)) < 0.15] = 255
    return one, two


def _agreement(one, two):
    known = (one != 255) & (two != 255)
    return float((one == two)[known].mean())


agreement = Exercise(
    name="agreement",
    title="Two people, one picture",
    difficulty=2,
    minutes=6,
    why="How far people agree bounds what any measured accuracy can mean.",
    task=(
        "Write `agreement(one, two)`: the share of pixels to which two label maps `(H, W)` give the same "
        "number. Leave out each pixel that at least one of them calls void (255)."
    ),
    stub='''
def agreement(one, two):
    """Share of equal pixels of two label maps, pixels that either calls void (255) left out."""
    ...  # your code
''',
    reference=_agreement,
    cases=lambda: [_label_maps(0), _label_maps(1)],
    hints=(
        "Over which pixels do you average? Say that first, as a bool array.",
        "`known` are the pixels where both are different from 255. Compare the maps there, and average.",
        "`known = (one != 255) ____ (two != 255)`; `return (one == two)[____].mean()`",
    ),
    mistakes=[
        Mistake(
            "void_kept",
            lambda one, two: float((one == two).mean()),
            "You count void pixels like any other. Cityscapes reports this figure too, and it is the lower "
            "one: 96 % with void, 98 % without. Wanted is the one without.",
        ),
        Mistake(
            "void_of_one",
            lambda one, two: float((one == two)[one != 255].mean()),
            "You leave out what the first calls void. What the second calls void must go as well.",
        ),
        Mistake(
            "either_known",
            lambda one, two: float((one == two)[(one != 255) | (two != 255)].mean()),
            "You keep a pixel if *one* of the maps knows it. Both must: use `&`.",
        ),
        Mistake(
            "not_left_out",
            lambda one, two: float(((one == two) & (one != 255) & (two != 255)).mean()),
            "You count void pixels as disagreement. They must not count at all: divide by the known pixels "
            "only.",
        ),
        Mistake(
            "disagreement",
            lambda one, two: 1 - _agreement(one, two),
            "That is how far they *dis*agree.",
        ),
    ],
)


def _ratio_range(dear, cheap):
    return min(dear) / max(cheap), max(dear) / min(cheap)


ratio_range = Exercise(
    name="ratio_range",
    title="Does a mask cost 15 boxes?",
    difficulty=2,
    minutes=6,
    why="Papers hand this sentence on. With the measured times in hand you can test it.",
    task=(
        "Write `ratio_range(dear, cheap)`: two lists of seconds, each measured by another source. Return the "
        "smallest and the largest factor between a dear label and a cheap one, as a pair."
    ),
    stub='''
def ratio_range(dear, cheap):
    """Smallest and largest ratio of a time in dear to a time in cheap."""
    ...  # your code
''',
    reference=_ratio_range,
    cases=lambda: [([79.2, 80.0, 54.0], [7.0, 7.4, 25.5, 42.4]), ([9.0, 6.0], [2.0, 3.0])],
    hints=(
        "For the largest factor, which dear time and which cheap time do you take?",
        "Largest: the dearest of the dear by the cheapest of the cheap. Smallest: the other way round.",
        "`return min(dear) / max(____), max(dear) / min(____)`",
    ),
    mistakes=[
        Mistake(
            "extremes_paired",
            lambda dear, cheap: (min(dear) / min(cheap), max(dear) / max(cheap)),
            "You pair smallest with smallest and largest with largest. That is one pairing of sources out of "
            "many; the factor is largest where the *cheap* label is cheapest.",
        ),
        Mistake(
            "swapped",
            lambda dear, cheap: _ratio_range(dear, cheap)[::-1],
            "Both are right, in the other order: the smallest first.",
        ),
        Mistake(
            "means",
            lambda dear, cheap: (np.mean(dear) / np.mean(cheap),) * 2,
            "You average over sources that measured different things. Wanted is how far apart they are.",
        ),
        Mistake(
            "upside_down",
            lambda dear, cheap: (min(cheap) / max(dear), max(cheap) / min(dear)),
            "You divide the cheap by the dear. Turn the fraction over.",
        ),
        Mistake(
            "first_source",
            lambda dear, cheap: (dear[0] / cheap[0], dear[0] / cheap[0]),
            "You take the first source of each list only. Every source is as good as the first.",
        ),
    ],
)

after_annotation = Quiz(
    "after_annotation",
    [
        Question(
            "A box is drawn without any error. What is the IoU of its pixels with those of the object?",
            [
                Option(
                    "1: the box is right",
                    False,
                    "As a box it is. But it marks the corners too, and those are background.",
                ),
                Option(
                    "About one half, for objects like those of VOC and of the scenes",
                    True,
                    "That is how much of its box an object fills. No care in drawing can change it.",
                ),
                Option(
                    "It depends on how long one takes to draw",
                    False,
                    "Time improves the box's sides. Its corners stay background.",
                ),
            ],
        ),
        Question(
            "Two sources say that a box costs 7.0 s and 42.4 s. What do you do for your budget?",
            [
                Option(
                    "Take the mean of both, since one is surely too low and one too high",
                    False,
                    "One is four clicks on a known object, the other dragging with two checks. Their mean is "
                    "the time of nothing.",
                ),
                Option(
                    "Take the smaller one; people get faster",
                    False,
                    "Then your budget has no checks in it, and no training.",
                ),
                Option(
                    "Time ten labels of your own, with your own tool",
                    True,
                    "Tool, checks and object differ. Ten labels take minutes and tell you where you are.",
                ),
            ],
        ),
        Question(
            "Two people label the same street scenes and agree in 96 % of the pixels. Your network agrees "
            "with one of them in 97 %. What do you know?",
            [
                Option(
                    "The network is better than people, by one per cent of the pixels",
                    False,
                    "It may have learned one person's habits. At this height the label is no longer the "
                    "truth.",
                ),
                Option(
                    "The measure has reached its ceiling",
                    True,
                    "What two careful people disagree about, one of their labels cannot decide. Gains beyond "
                    "it may be habits of the annotator.",
                ),
                Option(
                    "Nothing, because 96 % and 97 % are nearly the same",
                    False,
                    "On thousands of pictures the difference can be significant and still mean nothing: what "
                    "is missing is a truth.",
                ),
            ],
        ),
        Question(
            "For the same hours you can have ten times as many boxes as outlines. Which should you draw?",
            [
                Option(
                    "Boxes: a network learns more from more labels, whatever their kind",
                    False,
                    "Only if a network learns nearly as much from one. Half of a box's inside is wrong.",
                ),
                Option(
                    "Outlines: they are better labels",
                    False,
                    "One by one they are. But ten boxes show ten objects.",
                ),
                Option(
                    "One has to train with both to know",
                    True,
                    "Seconds and IoU of a label cannot tell. That is what the rest of the course is about, "
                    "and what the ladder collects.",
                ),
            ],
        ),
    ],
)
