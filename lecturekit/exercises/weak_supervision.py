"""Exercises and quiz of notebook 02: the arrows between kinds of label, priors and hints."""

from __future__ import annotations

import numpy as np

from lecturekit.exercises import Chapter
from lecturekit.labs.levels import LEVELS

chapter = Chapter(__name__)


def _is_strong(start, end):
    levels = ["image label", "box", "pixels"]
    return levels.index(end) <= levels.index(start)


def _step(start: str, end: str) -> int:
    """How many levels an arrow goes up; negative: down."""
    return LEVELS.index(end) - LEVELS.index(start)


is_strong = chapter.exercise(
    "is_strong",
    _is_strong,
    cases=lambda: [(start, end) for start in LEVELS for end in LEVELS],
    mistakes={
        "same_level": lambda start, end: _step(start, end) < 0,
        "reversed": lambda start, end: _step(start, end) >= 0,
        "only_same_level": lambda start, end: start == end,
        "one_step": lambda start, end: _step(start, end) in (0, -1),
    },
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


tight_boxes = chapter.exercise(
    "tight_boxes",
    _tight_boxes,
    cases=_instance_maps,
    mistakes={
        "inclusive": _with_ends(lambda x0, y0, x1, y1: (x0, y0, x1 - 1, y1 - 1)),
        "rows_first": _with_ends(lambda x0, y0, x1, y1: (y0, x0, y1, x1)),
        "width_and_height": _with_ends(lambda x0, y0, x1, y1: (x0, y0, x1 - x0, y1 - y0)),
        "all_in_one": lambda instances: _tight_boxes((instances > 0).astype(np.uint8)),
        "background_too": lambda instances: np.array(
            [(0, 0, instances.shape[1], instances.shape[0]), *_tight_boxes(instances).tolist()]
        ),
    },
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


moved_box = chapter.exercise(
    "moved_box",
    _moved_box,
    cases=_flows,
    mistakes={
        "mean": lambda box, flow: (
            np.array(box) + np.tile(flow[box[1] : box[3], box[0] : box[2]].mean((0, 1)), 2)
        ),
        "whole_picture": lambda box, flow: np.array(box) + np.tile(np.median(flow, (0, 1)), 2),
        "axes_swapped": lambda box, flow: (
            np.array(box) + np.tile(np.median(flow[box[1] : box[3], box[0] : box[2]], (0, 1))[::-1], 2)
        ),
        "backwards": lambda box, flow: 2 * np.array(box) - _moved_box(box, flow),
        "one_corner": lambda box, flow: np.array([*_moved_box(box, flow)[:2], *box[2:]]),
    },
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


with_frequencies = chapter.exercise(
    "with_frequencies",
    _with_frequencies,
    cases=_beliefs,
    mistakes={
        "counted_twice": lambda p, expected, seen: (p * expected) / (p * expected).sum(1, keepdims=True),
        "not_normalised": lambda p, expected, seen: p * expected / seen,
        "upside_down": lambda p, expected, seen: _with_frequencies(p, seen, expected),
        "over_columns": lambda p, expected, seen: (
            (p * expected / seen) / (p * expected / seen).sum(0, keepdims=True)
        ),
        "averaged": lambda p, expected, seen: (p + expected) / 2,
    },
)


def _only_named(scores, named):
    kept = [0, *sorted(named)]
    return np.array(kept)[scores[kept].argmax(0)]


def _score_maps() -> list[tuple[np.ndarray, set[int]]]:
    rng = np.random.default_rng(2)
    return [(rng.normal(-1, 1, (5, 6, 7)), {2, 4}), (rng.normal(-1, 1, (4, 5, 3)), {3})]


only_named = chapter.exercise(
    "only_named",
    _only_named,
    cases=_score_maps,
    mistakes={
        "places": lambda scores, named: scores[[0, *sorted(named)]].argmax(0),
        "no_background": lambda scores, named: np.array(sorted(named))[scores[sorted(named)].argmax(0)],
        "multiplied_by_zero": lambda scores, named: (
            scores * np.isin(np.arange(len(scores)), [0, *named])[:, None, None]
        ).argmax(0),
        "label_ignored": lambda scores, named: scores.argmax(0),
        "erased_afterwards": lambda scores, named: np.where(
            np.isin(scores.argmax(0), [*named]), scores.argmax(0), 0
        ),
    },
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


carried = chapter.exercise(
    "carried",
    _carried,
    cases=_frames,
    mistakes={
        "wrong_way": lambda labels, back: _carried(labels, -back),
        "axes_swapped": lambda labels, back: _carried(labels, back[..., ::-1]),
        "border_repeated": lambda labels, back: labels[
            _looked_at(labels, back, lambda v, n: np.clip(v, 0, n - 1))
        ],
        "wrapped": lambda labels, back: labels[_looked_at(labels, back, lambda v, n: v % n)],
        "background_outside": lambda labels, back: np.where(
            _carried(labels, back) == 255, 0, _carried(labels, back)
        ),
    },
)


def _looked_at(labels, back, bounded):
    """Rows and columns that each pixel reads, brought into the picture by a function of value and size."""
    rows, columns = np.indices(labels.shape)
    return bounded(rows + back[..., 1], labels.shape[0]), bounded(columns + back[..., 0], labels.shape[1])


_ALL, _FIRST, _LAST = slice(None), slice(None, -1), slice(1, None)
#: Each pixel that has a neighbour above, below, left or right, and that neighbour.
_NEIGHBOURS = [
    ((_LAST, _ALL), (_FIRST, _ALL)),
    ((_FIRST, _ALL), (_LAST, _ALL)),
    ((_ALL, _LAST), (_ALL, _FIRST)),
    ((_ALL, _FIRST), (_ALL, _LAST)),
]


def _spread_strokes(image, strokes):
    colours = image.astype(float)
    labels = strokes.copy()
    cost = np.where(strokes == 255, np.inf, 0.0)
    for _ in range(strokes.size):  # no cheapest way has more steps
        before = cost.copy()
        for here, there in _NEIGHBOURS:
            by_there = cost[there] + 1 + np.abs(colours[here] - colours[there]).sum(2)
            closer = by_there < cost[here]
            labels[here] = np.where(closer, labels[there], labels[here])
            cost[here] = np.where(closer, by_there, cost[here])
        if np.array_equal(cost, before):
            break
    return labels


def _stroked(places, shape=(12, 16)):
    strokes = np.full(shape, 255, np.uint8)
    for (y, x), c in places.items():
        strokes[y, x] = c
    return strokes


def _two_halves():
    """Left of column 11 dark, right of it light: strokes far from the edge, one nearer to it."""
    image = np.full((12, 16, 3), 40, np.uint8)
    image[:, 11:] = 190
    wanted = np.where(np.arange(16) < 11, 1, 2) * np.ones((12, 1), int)
    return image, _stroked({(6, 1): 1, (6, 12): 2}), wanted


def _walled():
    """A light wall, open at the bottom only; class 1 left of it, class 2 right of it at the top."""
    image = np.full((12, 16, 3), 60, np.uint8)
    image[:10, 8] = 220
    return image, _stroked({(1, 1): 1, (1, 9): 2})


def _small_scene():
    """A red disc on speckled ground, with a stroke on either."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:24, :30]
    truth = np.where((x - 17) ** 2 + (y - 11) ** 2 < 64, 3, 0)
    image = np.where(truth[..., None] > 0, (200, 60, 50), (80, 120, 90)) + random.normal(0, 2, (24, 30, 3))
    strokes = np.full(truth.shape, 255, np.uint8)
    strokes[11, 14:19], strokes[1, 2:28] = 3, 0
    return image.clip(0, 255).astype(np.uint8), strokes, truth


def _keeps_strokes(f):
    image, strokes, _ = _small_scene()
    before = image.copy(), strokes.copy()
    f(image, strokes)
    return np.array_equal(image, before[0]) and np.array_equal(strokes, before[1])


spread_strokes = chapter.open_task(
    "spread_strokes",
    _spread_strokes,
    {
        "form": lambda f: np.shape(f(*_two_halves()[:2])) == (12, 16),
        "complete": lambda f: set(np.unique(f(*_small_scene()[:2])).tolist()) == {0, 3},
        "strokes_kept": lambda f: (lambda made, strokes: bool((made == strokes)[strokes != 255].all()))(
            f(*_small_scene()[:2]), _small_scene()[1]
        ),
        "edge": lambda f: np.array_equal(f(*_two_halves()[:2]), _two_halves()[2]),
        "near": lambda f: np.array_equal(
            np.asarray(f(np.zeros((12, 16, 3), np.uint8), _stroked({(6, 2): 4, (6, 13): 5})))[6],
            np.where(np.arange(16) < 8, 4, 5),
        ),
        "round_the_wall": lambda f: (lambda made: (made[1, 7], made[9, 9]) == (1, 2))(f(*_walled())),
        "scene": lambda f: float((f(*_small_scene()[:2]) == _small_scene()[2]).mean()) > 0.97,
        "no_overflow": lambda f: np.array_equal(
            f(255 - _two_halves()[0], _two_halves()[1]), _two_halves()[2]
        ),
        "input_kept": _keeps_strokes,
    },
)


after_weak_supervision = chapter.quiz("after_weak_supervision")
