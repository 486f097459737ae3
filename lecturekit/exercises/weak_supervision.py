"""Exercises and quiz of notebook 02: the arrows between kinds of label, priors and hints."""

from __future__ import annotations

import numpy as np

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz
from lecturekit.labs.levels import LEVELS


def _is_strong(start, end):
    levels = ["image label", "box", "pixels"]
    return levels.index(end) <= levels.index(start)


def _step(start: str, end: str) -> int:
    """How many levels an arrow goes up; negative: down."""
    return LEVELS.index(end) - LEVELS.index(start)


is_strong = Exercise(
    name="is_strong",
    title="Strong or weak?",
    difficulty=1,
    minutes=4,
    why="One comparison is the whole definition. The rest of the course is about the arrows that fail it.",
    task=(
        "The levels, from least to most detail, are `'image label'`, `'box'` and `'pixels'`. Write "
        "`is_strong(start, end)`: `True` if predictions of level `end` can be supervised by labels of level "
        "`start` without any guess."
    ),
    stub='''
def is_strong(start, end):
    """Whether labels of level start strongly supervise predictions of level end."""
    ...  # your code
''',
    reference=_is_strong,
    cases=lambda: [(start, end) for start in LEVELS for end in LEVELS],
    hints=(
        "When does an arrow only leave something out?",
        "Number the levels by their detail. An arrow is strong if its end has no more detail than its start.",
        "`levels = ['image label', 'box', 'pixels']`; `return levels.____(end) <= levels.____(start)`",
    ),
    mistakes=[
        Mistake(
            "same_level",
            lambda start, end: _step(start, end) < 0,
            "You leave out the arrows from a level to itself. Boxes that teach to predict boxes are ordinary "
            "strong supervision.",
        ),
        Mistake(
            "reversed",
            lambda start, end: _step(start, end) >= 0,
            "The wrong way round: from image labels to pixels is where guessing is needed, and you call it "
            "strong.",
        ),
        Mistake(
            "only_same_level",
            lambda start, end: start == end,
            "You only count the arrows from a level to itself. A mask has an exact box, and a box a name: "
            "abstraction downwards is strong as well.",
        ),
        Mistake(
            "one_step",
            lambda start, end: _step(start, end) in (0, -1),
            "You allow one step down only. From pixels to image labels are two exact steps, and two exact "
            "steps are exact.",
        ),
    ],
)


def _tight_boxes(instances):
    boxes = []
    for k in range(1, instances.max() + 1):
        rows, columns = np.nonzero(instances == k)
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return np.array(boxes)


def _with_ends(change):
    """The reference with each box x0, y0, x1, y1 changed by a function."""
    return lambda instances: np.array([change(*box) for box in _tight_boxes(instances).tolist()])


def _instance_maps() -> list[tuple[np.ndarray]]:
    first = np.zeros((9, 12), np.uint8)
    first[1:4, 2:9], first[5:9, 0:3], first[2, 4] = 1, 2, 3
    second = np.zeros((7, 5), np.uint8)
    second[3, 1], second[0, 0], second[6, 4] = 1, 2, 2
    return [(first,), (second,)]


tight_boxes = Exercise(
    name="tight_boxes",
    title="An arrow downwards: from pixels to boxes",
    difficulty=2,
    minutes=8,
    why="The arrow down is a few lines and never wrong. Remember that when you come to the arrow up.",
    task=(
        "`instances` is an array `(H, W)` with 0 for background and 1, 2, … N for the objects. Write "
        "`tight_boxes(instances)`: an array `(N, 4)` with the tight box `x0, y0, x1, y1` of every object, "
        "half open: `instances[y0:y1, x0:x1]` holds the object."
    ),
    stub='''
def tight_boxes(instances):
    """Boxes (N, 4) as x0, y0, x1, y1, half open, of the objects 1..N of an instance map (H, W)."""
    ...  # your code
''',
    reference=_tight_boxes,
    cases=_instance_maps,
    hints=(
        "`np.nonzero(instances == 1)` gives the rows and the columns of object 1.",
        "For each object take the smallest column, the smallest row, the largest column and the largest row; "
        "half open means one more at the end.",
        "`rows, columns = np.nonzero(instances == k)`; "
        "`boxes.append((columns.min(), ____, columns.max() + 1, ____))`",
    ),
    mistakes=[
        Mistake(
            "inclusive",
            _with_ends(lambda x0, y0, x1, y1: (x0, y0, x1 - 1, y1 - 1)),
            "Your boxes end on the last pixel of the object. Half open means one further: otherwise the "
            "slice loses a row and a column.",
        ),
        Mistake(
            "rows_first",
            _with_ends(lambda x0, y0, x1, y1: (y0, x0, y1, x1)),
            "Rows are y and columns are x. Your boxes have them the other way round.",
        ),
        Mistake(
            "width_and_height",
            _with_ends(lambda x0, y0, x1, y1: (x0, y0, x1 - x0, y1 - y0)),
            "That is corner, width and height. Wanted are two corners: x0, y0, x1, y1.",
        ),
        Mistake(
            "all_in_one",
            lambda instances: _tight_boxes((instances > 0).astype(np.uint8)),
            "You draw one box round everything that is not background. Every object has a box of its own.",
        ),
        Mistake(
            "background_too",
            lambda instances: np.array(
                [(0, 0, instances.shape[1], instances.shape[0]), *_tight_boxes(instances).tolist()]
            ),
            "You also draw a box for 0, the background. The objects begin at 1.",
        ),
    ],
)


def _moved_box(box, flow):
    x0, y0, x1, y1 = box
    dx, dy = np.median(flow[y0:y1, x0:x1], axis=(0, 1))
    return np.array([x0 + dx, y0 + dy, x1 + dx, y1 + dy])


def _flows() -> list[tuple[tuple[int, ...], np.ndarray]]:
    rng = np.random.default_rng(0)
    flows = [rng.normal(0, 0.1, (20, 30, 2)) for _ in range(2)]
    flows[0][4:12, 6:15] += (3.0, -1.0)
    flows[0][4:7, 6:15] += (20.0, 5.0)  # something else runs through the box
    flows[1][:, :10] += (-2.0, 4.0)
    return [((6, 4, 15, 12), flows[0]), ((1, 3, 9, 19), flows[1])]


moved_box = Exercise(
    name="moved_box",
    title="Motion carries a box along",
    difficulty=2,
    minutes=7,
    why="One labelled frame can label its neighbours: this function is what does it.",
    task=(
        "`flow` is an array `(H, W, 2)` that says for each pixel by how much it moves until the next "
        "frame, to the right (`dx`) and down (`dy`). Write `moved_box(box, flow)`: the box "
        "`x0, y0, x1, y1` moved by the median `dx` and the median `dy` of the pixels inside it, as an array "
        "of four numbers."
    ),
    stub='''
def moved_box(box, flow):
    """The box x0, y0, x1, y1 in the next frame, (4,), by the median flow (H, W, 2) inside it."""
    ...  # your code
''',
    reference=_moved_box,
    cases=_flows,
    hints=(
        "The pixels inside are `flow[y0:y1, x0:x1]`, shape `(h, w, 2)`. Over which axes do you take the "
        "median?",
        "Take the median over the first two axes: that leaves dx and dy. Add dx to both x and dy to both y.",
        "`dx, dy = np.median(flow[____, ____], axis=(0, 1))`; `return np.array([x0 + dx, ____, ____, ____])`",
    ),
    mistakes=[
        Mistake(
            "mean",
            lambda box, flow: np.array(box) + np.tile(flow[box[1] : box[3], box[0] : box[2]].mean((0, 1)), 2),
            "You take the mean. A box also holds pixels of whatever passes behind or in front; the mean "
            "follows them a little, the median does not.",
        ),
        Mistake(
            "whole_picture",
            lambda box, flow: np.array(box) + np.tile(np.median(flow, (0, 1)), 2),
            "You take the median over the whole picture. That is how the camera moves, not the object.",
        ),
        Mistake(
            "axes_swapped",
            lambda box, flow: (
                np.array(box) + np.tile(np.median(flow[box[1] : box[3], box[0] : box[2]], (0, 1))[::-1], 2)
            ),
            "You add dy to x and dx to y. The first number of the flow goes to the right.",
        ),
        Mistake(
            "backwards",
            lambda box, flow: 2 * np.array(box) - _moved_box(box, flow),
            "Your box runs against the motion. The flow says where a pixel goes *to*: add it.",
        ),
        Mistake(
            "one_corner",
            lambda box, flow: np.array([*_moved_box(box, flow)[:2], *box[2:]]),
            "You move one corner and leave the other, so that the box changes its size. Move both.",
        ),
    ],
)


def _with_frequencies(probabilities, expected, seen):
    weighted = probabilities * expected / seen
    return weighted / weighted.sum(1, keepdims=True)


def _beliefs() -> list[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(1)
    first, second = rng.dirichlet(np.ones(3), 4), rng.dirichlet(np.ones(4), 2)
    return [
        (first, np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])),
        (second, np.array([0.25, 0.25, 0.4, 0.1]), np.array([0.1, 0.6, 0.2, 0.1])),
    ]


with_frequencies = Exercise(
    name="with_frequencies",
    title="Some classes are more frequent than others",
    difficulty=2,
    minutes=8,
    why="The cheapest prior of all: one number a class. And the easiest to apply twice by accident.",
    task=(
        "A classifier was trained where class k had the share `seen[k]`, and is used where the share is "
        "`expected[k]`. Write `with_frequencies(probabilities, expected, seen)`: multiply each probability "
        "`(B, K)` by the ratio of the shares, and let every row sum to 1 again."
    ),
    stub='''
def with_frequencies(probabilities, expected, seen):
    """Probabilities (B, K) of a classifier, corrected from the shares seen (K,) to those expected (K,)."""
    ...  # your code
''',
    reference=_with_frequencies,
    cases=_beliefs,
    hints=(
        "Bayes: the probability is proportional to likelihood times prior. Which prior is already in it?",
        "Divide the old shares out, multiply the new ones in, then divide every row by its sum.",
        "`weighted = probabilities * ____ / ____`; `return weighted / weighted.sum(____, keepdims=True)`",
    ),
    mistakes=[
        Mistake(
            "counted_twice",
            lambda p, expected, seen: (p * expected) / (p * expected).sum(1, keepdims=True),
            "You multiply the new shares in and leave the old ones where they are. The classifier learned "
            "them with everything else; divide them out.",
        ),
        Mistake(
            "not_normalised",
            lambda p, expected, seen: p * expected / seen,
            "The rows no longer sum to 1. Divide each by its sum.",
        ),
        Mistake(
            "upside_down",
            lambda p, expected, seen: _with_frequencies(p, seen, expected),
            "The ratio is upside down: you make classes rarer that have become more frequent.",
        ),
        Mistake(
            "over_columns",
            lambda p, expected, seen: (p * expected / seen) / (p * expected / seen).sum(0, keepdims=True),
            "You normalise over the pictures. Each row is one picture, and its classes must sum to 1.",
        ),
        Mistake(
            "averaged",
            lambda p, expected, seen: (p + expected) / 2,
            "You average evidence and prior. Independent pieces of evidence are multiplied.",
        ),
    ],
)


def _only_named(scores, named):
    kept = [0, *sorted(named)]
    return np.array(kept)[scores[kept].argmax(0)]


def _score_maps() -> list[tuple[np.ndarray, set[int]]]:
    rng = np.random.default_rng(2)
    return [(rng.normal(-1, 1, (5, 6, 7)), {2, 4}), (rng.normal(-1, 1, (4, 5, 3)), {3})]


only_named = Exercise(
    name="only_named",
    title="An image label forbids classes",
    difficulty=2,
    minutes=8,
    why="An image label says nothing about where, and still makes a map of pixels better.",
    task=(
        "`scores` is an array `(K, H, W)`, a score for each class at each pixel, class 0 being background. "
        "`named` is the set of classes that the image label names. Write `only_named(scores, named)`: for "
        "each pixel the number of the class with the largest score among background and the named classes, "
        "`(H, W)`."
    ),
    stub='''
def only_named(scores, named):
    """Best class of each pixel (H, W) by scores (K, H, W), among background and the classes named."""
    ...  # your code
''',
    reference=_only_named,
    cases=_score_maps,
    hints=(
        "Which rows of `scores` may win?",
        "Pick the rows of the allowed classes, take the argmax over them, and translate its answer, a place "
        "among the allowed, back to a class number.",
        "`kept = [0, *sorted(named)]`; `return np.array(____)[scores[____].argmax(0)]`",
    ),
    mistakes=[
        Mistake(
            "places",
            lambda scores, named: scores[[0, *sorted(named)]].argmax(0),
            "The argmax counts places among the classes you kept: place 1 is not class 1. Translate it back.",
        ),
        Mistake(
            "no_background",
            lambda scores, named: np.array(sorted(named))[scores[sorted(named)].argmax(0)],
            "Background is always allowed. In your map every pixel belongs to some object.",
        ),
        Mistake(
            "multiplied_by_zero",
            lambda scores, named: (
                scores * np.isin(np.arange(len(scores)), [0, *named])[:, None, None]
            ).argmax(0),
            "You set forbidden scores to zero. Scores may be negative, and then zero wins: leave the rows "
            "out, or set them to minus infinity.",
        ),
        Mistake(
            "label_ignored",
            lambda scores, named: scores.argmax(0),
            "All classes may still win: the image label is not used.",
        ),
        Mistake(
            "erased_afterwards",
            lambda scores, named: np.where(np.isin(scores.argmax(0), [*named]), scores.argmax(0), 0),
            "You take the best of all classes and erase it where it is forbidden. The pixel may have a good "
            "second choice that is allowed: forbid first, then choose.",
        ),
    ],
)


def _carried(labels, back):
    height, width = labels.shape
    rows, columns = np.indices((height, width))
    x, y = columns + back[..., 0], rows + back[..., 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.where(inside, labels[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)], 255)


def _frames() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    labels = [rng.integers(0, 4, size).astype(np.uint8) for size in ((8, 11), (6, 5))]
    shift = np.zeros((8, 11, 2), int)
    shift[...] = (-3, 1)
    return [(labels[0], shift), (labels[1], rng.integers(-2, 3, (6, 5, 2)))]


carried = Exercise(
    name="carried",
    title="A labelled frame lends its labels",
    difficulty=3,
    minutes=10,
    why="Sparse labels of a clip become dense this way, and mistakes travel along.",
    task=(
        "`labels` `(H, W)` belong to a labelled frame. `back` `(H, W, 2)`, whole numbers, says for each "
        "pixel of *another* frame how far away, to the right and down, the labelled frame shows the same. "
        "Write `carried(labels, back)`: labels for the other frame; 255 where the way leads out of the "
        "picture."
    ),
    stub='''
def carried(labels, back):
    """Labels (H, W) of another frame, from those of this one and the way back (H, W, 2)."""
    ...  # your code
''',
    reference=_carried,
    cases=_frames,
    hints=(
        "`rows, columns = np.indices(labels.shape)` is where each pixel is. Where does it look?",
        "Add the way back to columns and rows, remember which of these places lie inside, read the labels at "
        "the clipped places, and put 255 where it was outside.",
        "`x, y = columns + back[..., 0], rows + back[..., 1]`; `inside = ____`; "
        "`np.where(inside, labels[____.clip(0, height - 1), ____.clip(0, width - 1)], 255)`",
    ),
    mistakes=[
        Mistake(
            "wrong_way",
            lambda labels, back: _carried(labels, -back),
            "You go the opposite way. `back` leads from the pixel to where its label is.",
        ),
        Mistake(
            "axes_swapped",
            lambda labels, back: _carried(labels, back[..., ::-1]),
            "You add the first number to the rows. It goes to the right: it belongs to the columns.",
        ),
        Mistake(
            "border_repeated",
            lambda labels, back: labels[_looked_at(labels, back, lambda v, n: np.clip(v, 0, n - 1))],
            "Beyond the border you repeat the border's labels. Nobody has seen what is there: 255.",
        ),
        Mistake(
            "wrapped",
            lambda labels, back: labels[_looked_at(labels, back, lambda v, n: v % n)],
            "What leaves on the left comes back on the right. A negative index counts from the end in NumPy "
            "and nobody warns you; mark these pixels 255.",
        ),
        Mistake(
            "background_outside",
            lambda labels, back: np.where(_carried(labels, back) == 255, 0, _carried(labels, back)),
            "You call it background where the way leads out of the picture. It is unknown: 255.",
        ),
    ],
)


def _looked_at(labels, back, bounded):
    """Rows and columns that each pixel reads, brought into the picture by a function of value and size."""
    rows, columns = np.indices(labels.shape)
    return bounded(rows + back[..., 1], labels.shape[0]), bounded(columns + back[..., 0], labels.shape[1])


after_weak_supervision = Quiz(
    "after_weak_supervision",
    [
        Question(
            "You have masks of all objects and want a detector that predicts boxes. Which supervision is "
            "that?",
            [
                Option(
                    "Weak: the labels are of another kind than the predictions",
                    False,
                    "Another kind, but a more detailed one. A mask has exactly one tight box.",
                ),
                Option(
                    "Strong: abstraction from pixels to boxes needs no guess",
                    True,
                    "The arrow leads down, and the boxes are exact.",
                ),
                Option(
                    "Self-supervision, because the boxes are computed",
                    False,
                    "A person drew the masks. Computing a box from one adds no knowledge and needs none.",
                ),
            ],
        ),
        Question(
            '"Objects are roundish", so you keep the middle of every box. For which class is that prior '
            "worse than none?",
            [
                Option(
                    "Star: its arms reach to the border of the box",
                    False,
                    "The arms are lost, but the middle of a star is nearly always star.",
                ),
                Option(
                    "Ring: its middle is a hole",
                    True,
                    "A prior is an average over classes. For the class that differs, it is surely wrong.",
                ),
                Option(
                    "Boat: its box is wider than high",
                    False,
                    "The prior is stretched with the box, so its proportions do no harm.",
                ),
            ],
        ),
        Question(
            "You label one frame of a clip and carry its labels on by optical flow. What goes wrong first?",
            [
                Option(
                    "Pixels that only come into view later have no label to get",
                    True,
                    "And each further frame adds its own mistakes to those that it inherits.",
                ),
                Option(
                    "The camera must not move, or the flow means nothing",
                    False,
                    "Flow does not care who moves. On the stereo pair only the camera has moved.",
                ),
                Option(
                    "The classes change their numbers from frame to frame",
                    False,
                    "A label is copied as it is. It is the place that drifts.",
                ),
            ],
        ),
        Question(
            "The nearest neighbour names the class rightly in every picture. What do you check before you "
            "believe it?",
            [
                Option(
                    "Whether the pictures were sorted by size before the comparison",
                    False,
                    "The order of the gallery only decides between equals.",
                ),
                Option(
                    "Whether each class lies on a background of its own",
                    True,
                    "Then neighbours agree in the background, and on other backgrounds it fails.",
                ),
                Option(
                    "Whether the features have been trained on these classes",
                    False,
                    "They were not, and need not be. What matters is *what* makes two pictures similar.",
                ),
            ],
        ),
    ],
)
