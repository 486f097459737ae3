"""Exercises and quiz of notebook 07, boxes to pixels."""

from __future__ import annotations

import numpy as np
import torch

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


def _painted(boxes, classes, height, width, order):
    """Boxes painted one over the other in this order."""
    labels = np.zeros((height, width), np.uint8)
    for k in order:
        x0, y0, x1, y1 = boxes[k]
        labels[y0:y1, x0:x1] = classes[k]
    return labels


def _areas(boxes):
    return [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]


def _box_label_map(boxes, classes, height, width):
    labels = np.zeros((height, width), np.uint8)
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
    for k in np.argsort(areas)[::-1]:  # the largest first, so that smaller ones cover it
        x0, y0, x1, y1 = boxes[k]
        labels[y0:y1, x0:x1] = classes[k]
    return labels


box_label_map = Exercise(
    name="box_label_map",
    title="From boxes to a label map",
    difficulty=2,
    minutes=7,
    why="These are the first labels of the recipes Naive and Box, and the frame of all others.",
    task=(
        "Complete `box_label_map(boxes, classes, height, width)`: every pixel of a box `(x0, y0, x1, y1)`, "
        "half open, gets the class of the box; the rest stays 0, background. Where boxes overlap, the "
        "*smaller* one is in front, whatever the order of the list."
    ),
    stub='''
def box_label_map(boxes, classes, height, width):
    """Label map uint8 (height, width): each box filled with its class, smaller boxes in front."""
    labels = np.zeros((height, width), np.uint8)
    ...  # your code
    return labels
''',
    reference=_box_label_map,
    cases=lambda: [
        ([(1, 0, 7, 5), (3, 2, 6, 4), (5, 1, 9, 6)], [2, 5, 1], 6, 10),
        ([(3, 3, 5, 5), (0, 1, 4, 8)], [3, 1], 9, 6),
        ([(0, 0, 4, 4), (2, 2, 5, 4), (0, 3, 8, 8)], [4, 2, 7], 8, 8),
    ],
    hints=(
        "What is painted last is in front. Which box must be painted first?",
        "Compute the area of each box, go through the boxes from the largest to the smallest, and set the "
        "rows `y0:y1` and the columns `x0:x1` of the map to the class.",
        "`areas = [(x1 - x0) * (____) for x0, y0, x1, y1 in boxes]`; `for k in np.argsort(areas)[::-1]:` and "
        "in the loop `labels[____, ____] = classes[k]`",
    ),
    mistakes=[
        Mistake(
            "list_order",
            lambda boxes, classes, height, width: _painted(boxes, classes, height, width, range(len(boxes))),
            "You paint the boxes in the order of the list, so the last one is in front. The size decides: "
            "sort by area, the largest first.",
        ),
        Mistake(
            "larger_in_front",
            lambda boxes, classes, height, width: _painted(
                boxes, classes, height, width, np.argsort(_areas(boxes))
            ),
            "You paint the smallest box first, and the larger ones cover it. Turn the order round.",
        ),
        Mistake(
            "swapped_axes",
            lambda boxes, classes, height, width: _box_label_map(
                [(y0, x0, y1, x1) for x0, y0, x1, y1 in boxes], classes, height, width
            ),
            "Rows and columns are swapped. The first axis of an array is y: `labels[y0:y1, x0:x1]`.",
        ),
        Mistake(
            "inclusive",
            lambda boxes, classes, height, width: _painted(
                [(x0, y0, x1 + 1, y1 + 1) for x0, y0, x1, y1 in boxes],
                classes,
                height,
                width,
                np.argsort(_areas(boxes))[::-1],
            ),
            "Your boxes are one row and one column too large. They are half open: x1 and y1 are the first "
            "column and row that do not belong to the box.",
        ),
        Mistake(
            "ones",
            lambda boxes, classes, height, width: np.minimum(
                _box_label_map(boxes, classes, height, width), np.uint8(1)
            ),
            "You mark where boxes are, not what is in them: set the pixels to the class of the box.",
        ),
    ],
)


def _inner_box(box, share):
    x0, y0, x1, y1 = box
    factor = share**0.5  # of each side, so that the area is share times as large
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    w, h = factor * (x1 - x0) / 2, factor * (y1 - y0) / 2  # half of each new side
    return cx - w, cy - h, cx + w, cy + h


def _scaled_box(box, factor):
    x0, y0, x1, y1 = box
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    w, h = factor * (x1 - x0) / 2, factor * (y1 - y0) / 2
    return cx - w, cy - h, cx + w, cy + h


inner_box = Exercise(
    name="inner_box",
    title="The inner box",
    difficulty=2,
    minutes=6,
    why="'20 %' has two readings that differ by a factor of five in the pixels that are left. You meet both.",
    task=(
        "Write `inner_box(box, share)`: the box with the same centre and the same proportions that has "
        "`share` of the *area*. Return `(x0, y0, x1, y1)` as numbers, not rounded."
    ),
    stub='''
def inner_box(box, share):
    """The box (x0, y0, x1, y1) with the centre and proportions of box and share of its area."""
    ...  # your code
''',
    reference=_inner_box,
    cases=lambda: [((0, 0, 100, 50), 0.2), ((10, 20, 14, 60), 0.25), ((-3.0, 2.0, 9.0, 5.0), 0.81)],
    hints=(
        "If width and height both become half, what becomes of the area?",
        "Each side is multiplied by the square root of the share. Half of the new width lies to the left of "
        "the centre and half to the right.",
        "`factor = ____`; `cx = (x0 + x1) / 2` and `cy` likewise; `return cx - factor * (x1 - x0) / 2, ____, "
        "____, ____`",
    ),
    mistakes=[
        Mistake(
            "of_the_side",
            lambda box, share: _scaled_box(box, share),
            "You multiply each *side* by the share, so the area shrinks by its square: 20 % of the side is "
            "4 % of the area. That is the other reading of the paper; here the area is asked for.",
        ),
        Mistake(
            "corner",
            lambda box, share: (
                box[0],
                box[1],
                box[0] + share**0.5 * (box[2] - box[0]),
                box[1] + share**0.5 * (box[3] - box[1]),
            ),
            "The size is right, but your box sits in the upper left corner. Keep the centre.",
        ),
        Mistake(
            "one_side",
            lambda box, share: (
                (box[0] + box[2]) / 2 - share * (box[2] - box[0]) / 2,
                box[1],
                (box[0] + box[2]) / 2 + share * (box[2] - box[0]) / 2,
                box[3],
            ),
            "The area is right, but only the width has shrunk. Both sides shrink by the same factor.",
        ),
        Mistake(
            "cut_off",
            lambda box, share: _scaled_box(box, 1 - share**0.5),
            "You keep what should be cut off: the factor of the sides is the root of the share, not one "
            "minus it.",
        ),
    ],
)


def _cut_energy(mask, unary, pairwise):
    return unary[mask].sum() + pairwise[mask[1:] != mask[:-1]].sum()


def _row(seed):
    random = np.random.default_rng(seed)
    return random.random(9) < 0.5, random.normal(size=9), random.random(8) + 0.1


cut_energy = Exercise(
    name="cut_energy",
    title="What a cut costs",
    difficulty=2,
    minutes=6,
    why="GrabCut has no other opinion than this number: it returns the mask for which it is smallest.",
    task=(
        "A row of N pixels. `mask` is bool `(N,)`, True is the object; `unary` `(N,)` is the cost of calling "
        "a pixel object rather than background; `pairwise` `(N - 1,)` is the cost of an outline between "
        "pixel i and pixel i + 1. Write `cut_energy(mask, unary, pairwise)`: the sum of both costs, one "
        "number."
    ),
    stub='''
def cut_energy(mask, unary, pairwise):
    """Energy of the labelling mask (N,) of a row, with unary (N,) and pairwise (N - 1,) costs."""
    ...  # your code
''',
    reference=_cut_energy,
    cases=lambda: [_row(0), _row(1), _row(5)],
    hints=(
        "A pixel pays if it is called object. A pair pays if its two pixels are called differently.",
        "Add up `unary` where the mask is True. Then compare the mask without its first pixel to the mask "
        "without its last one, and add up `pairwise` where they differ.",
        "`outline = mask[1:] != ____`; `return unary[____].sum() + pairwise[____].sum()`",
    ),
    mistakes=[
        Mistake(
            "no_pairs",
            lambda mask, unary, pairwise: unary[mask].sum(),
            "You count the pixels and not the outline. Without the pairs each pixel decides alone, and the "
            "mask is full of holes.",
        ),
        Mistake(
            "inside_pairs",
            lambda mask, unary, pairwise: unary[mask].sum() + pairwise[mask[1:] == mask[:-1]].sum(),
            "You charge pairs whose pixels are called the same. It is the other way round: an outline costs "
            "where neighbours differ.",
        ),
        Mistake(
            "all_unary",
            lambda mask, unary, pairwise: unary.sum() + pairwise[mask[1:] != mask[:-1]].sum(),
            "You charge the unary cost of every pixel. Only those that are called object pay it.",
        ),
        Mistake(
            "signed",
            lambda mask, unary, pairwise: (
                unary[mask].sum() + (pairwise * (mask[1:].astype(int) - mask[:-1])).sum()
            ),
            "The differences keep their sign, so that leaving the object pays back what entering it cost. "
            "Count both.",
        ),
        Mistake(
            "entering_only",
            lambda mask, unary, pairwise: unary[mask].sum() + pairwise[mask[1:] & ~mask[:-1]].sum(),
            "You count where the object begins and not where it ends. Both are outline.",
        ),
    ],
)


def _agreed_labels(a, b, inside):
    labels = np.where(inside, 255, 0).astype(np.uint8)
    agreed = (a == b) & (a > 0)
    labels[agreed] = a[agreed]
    return labels


def _label_maps(seed):
    random = np.random.default_rng(seed)
    a, b = (random.choice([0, 1, 2], (6, 8), p=(0.3, 0.5, 0.2)).astype(np.uint8) for _ in range(2))
    inside = np.zeros((6, 8), bool)
    inside[1:5, 1:7] = True
    return a * inside, b * inside, inside


def _where_both(a, b, inside, labels, rest):
    agreed = (a == b) & (a > 0)
    return np.where(agreed, labels, rest).astype(np.uint8)


agreed_labels = Exercise(
    name="agreed_labels",
    title="What two label makers agree on",
    difficulty=1,
    minutes=5,
    why="This is the best single recipe of the paper, and it is three lines.",
    task=(
        "`a` and `b` are label maps, uint8 `(H, W)`, of the same picture, and `inside` is a bool `(H, W)` "
        "that is True inside some box. Write `agreed_labels(a, b, inside)`: where both name the same class, "
        "that class; elsewhere inside the boxes 255 (ignore); outside 0."
    ),
    stub='''
def agreed_labels(a, b, inside):
    """Label map uint8 (H, W): the class where a and b agree on one, 255 elsewhere inside, 0 outside."""
    ...  # your code
''',
    reference=_agreed_labels,
    cases=lambda: [_label_maps(0), _label_maps(1)],
    hints=(
        "Begin with a map that says 255 inside and 0 outside. Which pixels do you then know better?",
        "Both maps must be equal there, and must not both say background. Copy the class of those pixels.",
        "`labels = np.where(inside, 255, 0).astype(np.uint8)`; `agreed = (a == b) & ____`; "
        "`labels[agreed] = ____`; `return labels`",
    ),
    mistakes=[
        Mistake(
            "union",
            lambda a, b, inside: np.where(a > 0, a, np.where(b > 0, b, 255 * inside)).astype(np.uint8),
            "You take what *either* of them calls object. That adds up their faults; agreement keeps only "
            "what both say.",
        ),
        Mistake(
            "background",
            lambda a, b, inside: _where_both(a, b, inside, a, 0),
            "You call the rest of the box background. Nobody knows that: label it 255, so that nothing is "
            "learned from it.",
        ),
        Mistake(
            "both_background",
            lambda a, b, inside: np.where(a == b, a, 255).astype(np.uint8),
            "Where both say background inside a box, you say background too. The paper ignores every pixel "
            "of a box that is not agreed *foreground*.",
        ),
        Mistake(
            "any_class",
            lambda a, b, inside: np.where((a > 0) & (b > 0), a, np.where(inside, 255, 0)).astype(np.uint8),
            "You ask that both say object, but not that they name the same class. Where boxes overlap they "
            "may differ.",
        ),
        Mistake(
            "everywhere",
            lambda a, b, inside: _where_both(a, b, inside, a, 255),
            "You ignore the pixels outside the boxes as well. There the boxes are sure: background, 0. "
            "Without it the student would never see any.",
        ),
    ],
)


def _mean_field_round(q, unary, kernel):
    return (kernel @ q - unary).softmax(1)


def _field(seed, n=6, k=3):
    made = torch.Generator().manual_seed(seed)
    unary = torch.rand(n, k, generator=made) * 2
    kernel = torch.rand(n, n, generator=made)
    return (-torch.randn(n, k, generator=made)).softmax(1), unary, kernel + kernel.T


mean_field_round = Exercise(
    name="mean_field_round",
    title="One round of the fully connected CRF",
    difficulty=3,
    minutes=8,
    why="The CRF of the paper is this line, ten times. The rest is a fast way to multiply by the kernel.",
    task=(
        "N pixels, K classes. `q` `(N, K)` is what each pixel believes now (rows add up to 1), `unary` "
        "`(N, K)` the energies -log p of the first guess, and `kernel` `(N, N)` how much pixel i listens to "
        "pixel j. Write `mean_field_round(q, unary, kernel)`: each pixel sums up, for each class, the "
        "belief of those it listens to, subtracts the energy, and takes the softmax over the classes."
    ),
    stub='''
def mean_field_round(q, unary, kernel):
    """The new belief (N, K) from the old one, energies (N, K) and a kernel (N, N)."""
    ...  # your code
''',
    reference=_mean_field_round,
    cases=lambda: [_field(0), _field(1, 4, 4)],
    hints=(
        "'Sum up over all pixels j, each weighed by kernel[i, j]': which operation on matrices is that?",
        "`kernel @ q` is the support that each class has at each pixel. High support is good, high energy is "
        "bad. Then make each row add up to 1.",
        "`support = ____ @ ____`; `return (support - ____).softmax(____)`",
    ),
    mistakes=[
        Mistake(
            "plus_energy",
            lambda q, unary, kernel: (kernel @ q + unary).softmax(1),
            "You *add* the energy. A high energy means that a class is unlikely: subtract it.",
        ),
        Mistake(
            "against",
            lambda q, unary, kernel: (-(kernel @ q) - unary).softmax(1),
            "The sign of the support is wrong: your pixels run away from what their neighbours believe.",
        ),
        Mistake(
            "over_pixels",
            lambda q, unary, kernel: (kernel @ q - unary).softmax(0),
            "Your softmax runs over the pixels. The classes of *one* pixel compete: softmax over axis 1.",
        ),
        Mistake(
            "no_softmax",
            lambda q, unary, kernel: kernel @ q - unary,
            "These are scores, not beliefs: take the softmax over the classes, so that rows add up to 1.",
        ),
        Mistake(
            "exponential_only",
            lambda q, unary, kernel: (kernel @ q - unary).exp(),
            "You take the exponential and do not divide by its sum over the classes, so the rows do not add "
            "up to 1.",
        ),
        Mistake(
            "support_alone",
            lambda q, unary, kernel: (kernel @ q).softmax(1),
            "You forget the first guess. Without the unary energies, the pixels only copy each other.",
        ),
    ],
)


def _precision_and_coverage(labels, truth, c):
    says, is_c = labels == c, truth == c
    return (says & is_c).sum() / says.sum(), (is_c & (labels != 255)).sum() / is_c.sum()


def _labels_and_truth(seed):
    random = np.random.default_rng(seed)
    truth = random.choice([0, 1, 2], (8, 9), p=(0.4, 0.4, 0.2)).astype(np.uint8)
    labels = np.where(random.random((8, 9)) < 0.7, truth, random.choice([0, 1, 2], (8, 9)))
    labels[random.random((8, 9)) < 0.25] = 255
    return labels.astype(np.uint8), truth, 1


precision_and_coverage = Exercise(
    name="precision_and_coverage",
    title="Two numbers for labels with gaps",
    difficulty=2,
    minutes=6,
    why="What labels say should be right, and they should say something. One number cannot tell you both.",
    task=(
        "Write `precision_and_coverage(labels, truth, c)` for two label maps `(H, W)` and a class `c`. "
        "Precision: of the pixels *labelled* c, the share that is c. Coverage: of the pixels that *are* c, "
        "the share that has any label (not 255), right or wrong. Return both, in this order."
    ),
    stub='''
def precision_and_coverage(labels, truth, c):
    """Precision of the labels of class c, and the share of the class's pixels that have any label."""
    ...  # your code
''',
    reference=_precision_and_coverage,
    cases=lambda: [_labels_and_truth(0), _labels_and_truth(1)],
    hints=(
        "Each share is a count over a count. What is below the line: labelled pixels or true ones?",
        "`labels == c` are the pixels labelled c, `truth == c` those that are; `&` joins the two. "
        "Coverage needs `labels != 255`.",
        "`says, is_c = labels == c, truth == c`; `return (says & is_c).sum() / ____, "
        "(is_c & (____)).sum() / ____`",
    ),
    mistakes=[
        Mistake(
            "recall",
            lambda labels, truth, c: (
                _precision_and_coverage(labels, truth, c)[0],
                ((labels == c) & (truth == c)).sum() / (truth == c).sum(),
            ),
            "The precision is right. Your second number is the recall: it counts only pixels labelled "
            "*rightly*. Coverage counts those with any label.",
        ),
        Mistake(
            "swapped",
            lambda labels, truth, c: _precision_and_coverage(labels, truth, c)[::-1],
            "Both are right, in the other order: precision first.",
        ),
        Mistake(
            "of_the_truth",
            lambda labels, truth, c: (
                ((labels == c) & (truth == c)).sum() / (truth == c).sum(),
                _precision_and_coverage(labels, truth, c)[1],
            ),
            "The coverage is right. Your first number divides by the pixels that *are* c, which is the "
            "recall. Precision divides by those that are labelled c.",
        ),
        Mistake(
            "all_pixels",
            lambda labels, truth, c: (
                _precision_and_coverage(labels, truth, c)[0],
                (labels != 255).mean(),
            ),
            "You measure the coverage over the whole picture. Look only at the pixels that are c: ignored "
            "background hurts another class.",
        ),
        Mistake(
            "accuracy",
            lambda labels, truth, c: (
                (labels == truth).mean(),
                _precision_and_coverage(labels, truth, c)[1],
            ),
            "Your first number is the share of all pixels that are right. Precision looks only at those "
            "labelled c.",
        ),
    ],
)


after_boxes = Quiz(
    "after_boxes",
    [
        Question(
            "Which statement does a tight box make for certain?",
            [
                Option(
                    "All of its pixels belong to the object, but for a few along the border",
                    False,
                    "In our scenes, and in VOC, about half of them do.",
                ),
                Option(
                    "Outside all boxes there is no object of the named classes",
                    True,
                    "That is the first cue, and the only one without exception, if no object was forgotten.",
                ),
                Option(
                    "Its centre belongs to the object",
                    False,
                    "Mostly. A ring has a hole there, and another object can lie in front.",
                ),
            ],
        ),
        Question(
            "GrabCut returns the whole box, and says that it fell back. What has happened?",
            [
                Option(
                    "Colours tell nothing: one colour in the box, or nothing outside to compare with",
                    True,
                    "The best that is left is the box itself. Some software crashes in this place.",
                ),
                Option(
                    "The minimum of the energy was not found",
                    False,
                    "The bound tells how far one can be from it; it has nothing to do with falling back.",
                ),
                Option(
                    "The object really fills its box",
                    False,
                    "Perhaps, but GrabCut cannot know it. Look at `fell_back` before you trust the mask.",
                ),
            ],
        ),
        Question(
            "You raise θβ, the width of the CRF's appearance kernel in colour. What changes?",
            [
                Option(
                    "Pixels listen to others whose colour is less alike, so labels flow over weak edges",
                    True,
                    "With a very large θβ colour no longer counts, and only distance does.",
                ),
                Option(
                    "Pixels listen further across the picture",
                    False,
                    "That is θα, the width in position.",
                ),
                Option(
                    "The first guess counts more",
                    False,
                    "That is what smaller weights w1 and w2 do.",
                ),
            ],
        ),
        Question(
            "Labels A: precision .95, coverage .60. Labels B: precision .80, coverage 1. A's IoU is lower. "
            "Which do you train on?",
            [
                Option(
                    "B, because a higher IoU is better",
                    False,
                    "IoU counts an ignored pixel as a fault, though nothing false is learned from it.",
                ),
                Option(
                    "A, always: only right labels matter",
                    False,
                    "Not always: if what is covered is all of one kind, the student never sees the rest.",
                ),
                Option(
                    "Try both: the measure that counts is the student's, and IoU does not decide it",
                    True,
                    "The paper's best labels are those of high precision; notebook 08 lets you find out for "
                    "yours.",
                ),
            ],
        ),
    ],
)
