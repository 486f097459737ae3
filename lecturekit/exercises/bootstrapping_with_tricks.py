"""Exercises and quiz of notebook 08, bootstrapping with tricks."""

from __future__ import annotations

import numpy as np

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


def _labels(seed: int, classes: int = 4, size: tuple[int, int] = (8, 10)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, size).astype(np.uint8)


def _taught(labels, train, mend, rounds):
    taught = []
    for _ in range(rounds):
        taught.append(labels)
        predict = train(labels)
        labels = mend(predict())
    return taught


def _stand_ins(bias):
    """A student that is a little off, and a trick that mends half of it: numbers in place of label maps."""
    return lambda labels: lambda: labels + bias, lambda labels: labels / 2


taught_labels = Exercise(
    name="taught_labels",
    title="The loop itself",
    difficulty=2,
    minutes=7,
    why="These five lines are the lecture's bootstrapping. Everything else in this notebook is what goes "
    "into "
    "them.",
    task=(
        "Write `taught_labels(labels, train, mend, rounds)`. In each round, `predict = train(labels)` "
        "trains a "
        "new student, `predict()` gives its labels of the training pictures, and `mend(...)` applies the "
        "tricks to them; the result is taught in the next round. Return a list of the labels that were "
        "*taught* in each round, those of the first round first."
    ),
    stub='''
def taught_labels(labels, train, mend, rounds):
    """The labels that each of the rounds was taught, in a list; the first are those given."""
    taught = []
    ...  # your code
    return taught
''',
    reference=_taught,
    cases=lambda: [
        (np.array([8.0, 4.0]), *_stand_ins(1.0), 4),
        (np.array([1.0]), *_stand_ins(-3.0), 1),
        (np.array([0.0, 2.0]), *_stand_ins(2.0), 3),
    ],
    hints=(
        "What does the student of the second round learn from?",
        "In a loop over the rounds: keep the labels in the list, train on them, let the student predict, "
        "mend "
        "what it says, and give that the name `labels`.",
        "`taught.append(____)`; `predict = train(____)`; `labels = mend(____)`",
    ),
    mistakes=[
        Mistake(
            "first_only",
            lambda labels, train, mend, rounds: [labels] * rounds,
            "Every round is taught the first labels again. The point of the rounds is that the student's own "
            "labels are taught next.",
        ),
        Mistake(
            "not_mended",
            lambda labels, train, mend, rounds: _taught(labels, train, lambda x: x, rounds),
            "You teach what the student said as it is. That is the recipe Naive; `mend` must see it first.",
        ),
        Mistake(
            "mended_first",
            lambda labels, train, mend, rounds: _taught(mend(labels), train, mend, rounds),
            "You mend the labels before the first round too. The first round is taught the labels as given.",
        ),
        Mistake(
            "shifted",
            lambda labels, train, mend, rounds: _taught(labels, train, mend, rounds + 1)[1:],
            "Your list begins with the labels of round two. Keep the labels before you train on them.",
        ),
        Mistake(
            "mended_before_predict",
            lambda labels, train, mend, rounds: _taught(mend(labels), train, mend, rounds)[:1] * rounds,
            "You return the same labels in every round, mended once. Let `labels` change within the loop.",
        ),
    ],
)


def _clear_outside(labels, boxes):
    inside = np.zeros(labels.shape, bool)
    for x0, y0, x1, y1 in boxes:
        inside[y0:y1, x0:x1] = True
    return np.where(inside, labels, 0)


def _outside_cases():
    return [
        (_labels(0), np.array([(1, 2, 5, 6), (4, 4, 9, 7)])),
        (_labels(1), np.array([(0, 0, 3, 8)])),
        (_labels(2), np.zeros((0, 4), int)),
    ]


def _only_last(labels, boxes):
    return _clear_outside(labels, boxes[-1:])


def _in_place(labels, boxes):
    out = labels.copy()
    for x0, y0, x1, y1 in boxes:
        out[y0:y1, x0:x1] = 0
    return out


clear_outside = Exercise(
    name="clear_outside",
    title="Outside every box",
    difficulty=1,
    minutes=4,
    why="The one thing a box knows for certain, and the student does not.",
    task=(
        "Write `clear_outside(labels, boxes)`: a copy of the label map `(H, W)` in which every pixel that "
        "lies "
        "in none of the boxes `(x0, y0, x1, y1)`, half open, is 0. There may be no box at all."
    ),
    stub='''
def clear_outside(labels, boxes):
    """Labels (H, W) with 0 wherever no box (x0, y0, x1, y1) is."""
    inside = np.zeros(labels.shape, bool)
    ...  # your code
''',
    reference=_clear_outside,
    cases=_outside_cases,
    hints=(
        "Which pixels may keep their label?",
        "Set `inside` to True in the window of each box; then keep the labels where it is True.",
        "`inside[y0:y1, ____] = True`; `return np.where(inside, ____, ____)`",
    ),
    mistakes=[
        Mistake(
            "inside_cleared",
            _in_place,
            "It is the other way round: what is inside a box stays, what is outside becomes background.",
        ),
        Mistake(
            "last_box",
            _only_last,
            "Only one box keeps its labels. A pixel may lie in any of them.",
        ),
        Mistake(
            "x_and_y",
            lambda labels, boxes: _clear_outside(
                labels, [(y0, x0, y1, x1) for x0, y0, x1, y1 in np.asarray(boxes)]
            ),
            "Rows are y and come first: `inside[y0:y1, x0:x1]`.",
        ),
        Mistake(
            "ignored",
            lambda labels, boxes: np.where(
                _clear_outside(np.ones_like(labels), boxes) == 1, labels, 255
            ).astype(np.uint8),
            "You ignore what is outside (255). A box says more than that: it *is* background, and the "
            "student "
            "should learn so.",
        ),
    ],
)


def _best_allowed(belief, allowed):
    masked = np.full_like(belief, -1)
    masked[[0, *allowed]] = belief[[0, *allowed]]
    return masked.argmax(0).astype(np.uint8)


def _beliefs():
    random = np.random.default_rng(0)
    belief = random.dirichlet(np.ones(5), (6, 7)).transpose(2, 0, 1)
    return [(belief, [2, 4]), (belief[:, :3], [1]), (belief[:, :2], [])]


def _dropped_to_background(belief, allowed):
    best = belief.argmax(0)
    return np.where(np.isin(best, [0, *allowed]), best, 0).astype(np.uint8)


def _background_forgotten(belief, allowed):
    masked = np.full_like(belief, -1)
    masked[list(allowed)] = belief[list(allowed)]
    return masked.argmax(0).astype(np.uint8)


def _renumbered(belief, allowed):
    return belief[[0, *allowed]].argmax(0).astype(np.uint8)


best_allowed = Exercise(
    name="best_allowed",
    title="The likeliest class that may be there",
    difficulty=2,
    minutes=6,
    why="A wrong class need not become background: the student has a second choice, and it is often right.",
    task=(
        "`belief` is `(K, H, W)`, the student's probabilities. Write `best_allowed(belief, allowed)`: at "
        "each "
        "pixel the class of highest belief among background, 0, and the classes in the list `allowed`, which "
        "may be empty. Return the label map `(H, W)`."
    ),
    stub='''
def best_allowed(belief, allowed):
    """Label map (H, W): of classes 0 and allowed, the one that belief (K, H, W) is highest for."""
    ...  # your code
''',
    reference=_best_allowed,
    cases=_beliefs,
    hints=(
        "How do you make sure that `argmax` never picks a class?",
        "Make an array like `belief` full of -1, copy the rows of the allowed classes into it, and take the "
        "`argmax` over the first axis. Background is always allowed.",
        "`masked = np.full_like(belief, -1)`; `masked[[0, *allowed]] = ____`; `return masked.argmax(____)`",
    ),
    mistakes=[
        Mistake(
            "everything",
            lambda belief, allowed: belief.argmax(0).astype(np.uint8),
            "That is what the student says. Classes without a box are still in it.",
        ),
        Mistake(
            "to_background",
            _dropped_to_background,
            "A forbidden class becomes background. But perhaps the student's second choice is a class that "
            "is "
            "allowed: ask for the best among those.",
        ),
        Mistake(
            "no_background",
            _background_forgotten,
            "Background is missing: it is always allowed, for the corners of a box are nobody's.",
        ),
        Mistake(
            "renumbered",
            _renumbered,
            "The `argmax` of a selection of rows counts in that selection. You need the numbers of the "
            "classes: look them up, or keep all rows and mask some.",
        ),
    ],
)


def _reset_small(labels, first, box, c, least):
    x0, y0, x1, y1 = box
    out = labels.copy()
    if (labels[y0:y1, x0:x1] == c).mean() < least:
        out[y0:y1, x0:x1] = first[y0:y1, x0:x1]
    return out


def _reset_cases():
    little, enough = np.zeros((8, 10), np.uint8), np.zeros((8, 10), np.uint8)
    little[3:5, 3:6], enough[2:6, 2:7] = 2, 2  # 6 and 20 of the box's 24 pixels
    little[0, 0] = enough[7, 9] = 3
    first = np.full((8, 10), 255, np.uint8)
    box = (2, 2, 8, 6)
    other = np.where(little == 2, 1, little).astype(np.uint8)
    return [
        (little, first, box, 2, 0.5),
        (enough, first, box, 2, 0.5),
        (little, first, box, 2, 0.2),
        (other, first, box, 2, 0.2),
    ]


def _reset_everything(labels, first, box, c, least):
    x0, y0, x1, y1 = box
    return first.copy() if (labels[y0:y1, x0:x1] == c).mean() < least else labels.copy()


def _share_of_picture(labels, first, box, c, least):
    x0, y0, x1, y1 = box
    out = labels.copy()
    if (labels == c).mean() < least:
        out[y0:y1, x0:x1] = first[y0:y1, x0:x1]
    return out


def _any_object(labels, first, box, c, least):
    x0, y0, x1, y1 = box
    out = labels.copy()
    if (labels[y0:y1, x0:x1] > 0).mean() < least:
        out[y0:y1, x0:x1] = first[y0:y1, x0:x1]
    return out


def _filled(labels, first, box, c, least):
    x0, y0, x1, y1 = box
    out = labels.copy()
    if (labels[y0:y1, x0:x1] == c).mean() < least:
        out[y0:y1, x0:x1] = c
    return out


reset_small = Exercise(
    name="reset_small",
    title="Too little to be the object",
    difficulty=2,
    minutes=6,
    why="Without it, an object that the student once misses is background in all later rounds: nobody would "
    "ever teach it again.",
    task=(
        "Write `reset_small(labels, first, box, c, least)`: if less than the share `least` of the pixels in "
        "`box` has the label `c`, return a copy of `labels` in which the box has its `first` labels again. "
        "Otherwise return a copy as it is."
    ),
    stub='''
def reset_small(labels, first, box, c, least):
    """Labels (H, W); where under the share least of box has class c, box gets its first labels back."""
    x0, y0, x1, y1 = box
    ...  # your code
''',
    reference=_reset_small,
    cases=_reset_cases,
    hints=(
        "The mean of True and False is a share.",
        "Cut the box out of the labels, compare it with `c` and take the mean. If it is too small, copy the "
        "box's pixels from `first`.",
        "`if (labels[y0:y1, x0:x1] == c).mean() < ____:` `out[____, ____] = first[____, ____]`",
    ),
    mistakes=[
        Mistake(
            "whole_picture",
            _reset_everything,
            "You reset the whole picture. Other boxes may be fine: only this box goes back.",
        ),
        Mistake(
            "share_of_picture",
            _share_of_picture,
            "You take the share of the picture. A small object would always be too small: the share is of "
            "the box.",
        ),
        Mistake(
            "any_class",
            _any_object,
            "You count every class as the object. Only label `c` says that this box's object was found.",
        ),
        Mistake(
            "filled",
            _filled,
            "You fill the box with `c`. For the recipe Box that is the same; Box^i's first labels have "
            "ignored "
            "pixels, and they must come back.",
        ),
    ],
)


def _mean_iou(labels, truth, classes):
    known = truth != 255
    scores = []
    for c in range(classes):
        a, b = (labels == c) & known, (truth == c) & known
        if (a | b).any():
            scores.append((a & b).sum() / (a | b).sum())
    return float(np.mean(scores))


def _iou_cases():
    truth, labels = _labels(3), _labels(4)
    truth[:2] = 255
    absent = np.where(truth == 3, 0, truth).astype(np.uint8)
    return [
        (labels, truth, 4),
        (np.where(labels == 3, 1, labels).astype(np.uint8), absent, 4),
        (truth.clip(0, 3), truth, 4),
    ]


def _void_counted(labels, truth, classes):
    scores = []
    for c in range(classes):
        a, b = labels == c, truth == c
        if (a | b).any():
            scores.append((a & b).sum() / (a | b).sum())
    return float(np.mean(scores))


def _accuracy(labels, truth, classes):
    known = truth != 255
    return float((labels[known] == truth[known]).mean())


def _without_background(labels, truth, classes):
    known = truth != 255
    scores = []
    for c in range(1, classes):
        a, b = (labels == c) & known, (truth == c) & known
        if (a | b).any():
            scores.append((a & b).sum() / (a | b).sum())
    return float(np.mean(scores))


def _absent_is_zero(labels, truth, classes):
    known = truth != 255
    scores = []
    for c in range(classes):
        a, b = (labels == c) & known, (truth == c) & known
        scores.append((a & b).sum() / max((a | b).sum(), 1))
    return float(np.mean(scores))


mean_iou = Exercise(
    name="mean_iou",
    title="The lecture's measure",
    difficulty=2,
    minutes=7,
    why="Every curve of this notebook is drawn in it, and 65 % of it is what the lecture calls perhaps "
    "enough.",
    task=(
        "Write `mean_iou(labels, truth, classes)`, for label maps with classes 0 to `classes` - 1. Pixels "
        "whose truth is 255 do not count. For each class, divide the pixels that both maps give it by those "
        "that at least one gives it; leave out a class that occurs in neither. Return the mean over the "
        "classes, background included."
    ),
    stub='''
def mean_iou(labels, truth, classes):
    """Mean over the classes of intersection over union, without pixels of truth 255."""
    known = truth != 255
    ...  # your code
''',
    reference=_mean_iou,
    cases=_iou_cases,
    hints=(
        "For one class, two masks: where the labels say it, and where the truth does.",
        "Loop over the classes; `a & b` is the intersection, `a | b` the union, both only where `known`. "
        "Skip "
        "a class whose union is empty.",
        "`a, b = (labels == c) & known, (____) & known`; `scores.append((a & b).sum() / ____)`",
    ),
    mistakes=[
        Mistake(
            "accuracy",
            _accuracy,
            "That is the share of right pixels. Background would decide it alone; IoU asks each class.",
        ),
        Mistake(
            "void",
            _void_counted,
            "Pixels of truth 255 are in your unions: wherever the truth is void, the labels count as wrong.",
        ),
        Mistake(
            "no_background",
            _without_background,
            "Background is a class too: the mean over 21 classes of VOC includes it.",
        ),
        Mistake(
            "absent",
            _absent_is_zero,
            "A class that is in neither map counts as 0 in your mean. There is nothing to get wrong: leave "
            "it "
            "out.",
        ),
    ],
)


def _cheapest(offers, wanted):
    enough = [(hours, name) for name, hours, quality in offers if quality >= wanted]
    return min(enough)[1] if enough else None


_OFFERS = [
    ("boxes", 6.0, 0.36),
    ("masks", 62.0, 0.44),
    ("boxes and GrabCut+", 6.5, 0.39),
    ("classes", 2.0, 0.1),
]


cheapest = Exercise(
    name="cheapest",
    title="What is enough for you",
    difficulty=1,
    minutes=4,
    why="The lecture leaves the decision to you: it depends on your target application.",
    task=(
        "`offers` is a list of `(name, hours, quality)`. Write `cheapest(offers, wanted)`: the name of the "
        "offer with the fewest hours among those whose quality is at least `wanted`, or `None` where none is."
    ),
    stub='''
def cheapest(offers, wanted):
    """Name of the offer with the fewest hours that has at least the quality wanted, or None."""
    ...  # your code
''',
    reference=_cheapest,
    cases=lambda: [(_OFFERS, 0.35), (_OFFERS, 0.36), (_OFFERS, 0.4), (_OFFERS, 0.9), (_OFFERS[::-1], 0.38)],
    hints=(
        "First who qualifies, then who is cheapest.",
        "Keep the pairs `(hours, name)` of the offers with enough quality; `min` of them has the fewest "
        "hours. "
        "An empty list has no minimum.",
        "`enough = [(hours, name) for name, hours, quality in offers if ____]`; `return min(enough)[____] if "
        "enough else ____`",
    ),
    mistakes=[
        Mistake(
            "best",
            lambda offers, wanted: max(offers, key=lambda o: o[2])[0],
            "That is the best offer, whatever it costs. Asked for is the cheapest that is good enough.",
        ),
        Mistake(
            "cheapest_of_all",
            lambda offers, wanted: min(offers, key=lambda o: o[1])[0],
            "That is the cheapest of all, good enough or not.",
        ),
        Mistake(
            "more_than",
            lambda offers, wanted: _cheapest([o for o in offers if o[2] > wanted], wanted),
            "You want more than `wanted`. An offer that just reaches it is good enough.",
        ),
        Mistake(
            "best_of_enough",
            lambda offers, wanted: max(
                [o for o in offers if o[2] >= wanted], key=lambda o: o[2], default=(None,)
            )[0],
            "Among those that are good enough you take the best one. Take the one with the fewest hours.",
        ),
    ],
)


after_the_rounds = Quiz(
    "after_the_rounds",
    [
        Question(
            "Why does Naive get worse from round to round?",
            [
                Option(
                    "Its students train too long and learn the rectangles by heart",
                    False,
                    "Every round trains as long as the first, from new weights. What changes is what it is "
                    "taught.",
                ),
                Option(
                    "The student's mistakes are its next labels, and nothing ever contradicts them",
                    True,
                    "Random errors average out in training; errors that the student makes itself are the "
                    "ones "
                    "that it can learn best.",
                ),
                Option(
                    "The boxes are forgotten in the first round already",
                    False,
                    "The first round is taught filled boxes, as Box is. They differ from round two on.",
                ),
            ],
        ),
        Question(
            "A student is trained on labels of which a fifth of all pixels is wrong. When does it hurt "
            "least?",
            [
                Option(
                    "When the wrong pixels are scattered at random",
                    True,
                    "Neighbours of one object contradict them, and the loss averages over all of them.",
                ),
                Option(
                    "When whole objects have a wrong class",
                    False,
                    "Then every pixel of the object says the same wrong thing: that can be learned.",
                ),
                Option(
                    "It does not matter where they are, a fifth is a fifth",
                    False,
                    "You measured it: the same share of wrong pixels costs very different amounts.",
                ),
            ],
        ),
        Question(
            "Which of these may a trick look at?",
            [
                Option("The boxes and their classes", True, "They are the labels that were paid for."),
                Option("The picture itself", True, "The CRF's boundaries come from its colours."),
                Option(
                    "The student's second choice at a pixel",
                    True,
                    "It is what a pixel of a class without a box becomes.",
                ),
                Option(
                    "The masks of the training pictures, to choose between two label maps",
                    False,
                    "If you had those, you would train on them. In this course the truth only measures.",
                ),
            ],
            multiple=True,
        ),
        Question(
            "The best weak recipe of the paper reaches 95.1 % of full supervision by mean IoU. For instances "
            "at IoU .75, weak supervision reaches 81 %. What does that say?",
            [
                Option(
                    "One of the two must be a mistake",
                    False,
                    "Both can be true: they ask different questions.",
                ),
                Option(
                    "The share depends on how strict the measure is about outlines",
                    True,
                    "Labels from boxes are weakest along the outline, and a strict measure looks there.",
                ),
                Option(
                    "Boxes are enough for every application",
                    False,
                    "If yours measures areas or needs clean outlines, look at the strict figure.",
                ),
            ],
        ),
    ],
)
