"""Exercises and quiz of notebook 08, bootstrapping with tricks."""

from __future__ import annotations

import numpy as np
import torch

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


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


taught_labels = chapter.exercise(
    "taught_labels",
    _taught,
    cases=lambda: [
        (np.array([8.0, 4.0]), *_stand_ins(1.0), 4),
        (np.array([1.0]), *_stand_ins(-3.0), 1),
        (np.array([0.0, 2.0]), *_stand_ins(2.0), 3),
    ],
    mistakes={
        "first_only": lambda labels, train, mend, rounds: [labels] * rounds,
        "not_mended": lambda labels, train, mend, rounds: _taught(labels, train, lambda x: x, rounds),
        "mended_first": lambda labels, train, mend, rounds: _taught(mend(labels), train, mend, rounds),
        "shifted": lambda labels, train, mend, rounds: _taught(labels, train, mend, rounds + 1)[1:],
        "mended_before_predict": lambda labels, train, mend, rounds: (
            _taught(mend(labels), train, mend, rounds)[:1] * rounds
        ),
    },
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


clear_outside = chapter.exercise(
    "clear_outside",
    _clear_outside,
    cases=_outside_cases,
    mistakes={
        "inside_cleared": _in_place,
        "last_box": _only_last,
        "x_and_y": lambda labels, boxes: _clear_outside(
            labels, [(y0, x0, y1, x1) for x0, y0, x1, y1 in np.asarray(boxes)]
        ),
        "ignored": lambda labels, boxes: np.where(
            _clear_outside(np.ones_like(labels), boxes) == 1, labels, 255
        ).astype(np.uint8),
    },
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


best_allowed = chapter.exercise(
    "best_allowed",
    _best_allowed,
    cases=_beliefs,
    mistakes={
        "everything": lambda belief, allowed: belief.argmax(0).astype(np.uint8),
        "to_background": _dropped_to_background,
        "no_background": _background_forgotten,
        "renumbered": _renumbered,
    },
)


def _reset_small(labels, first, box, c, least):
    x0, y0, x1, y1 = box
    out = labels.copy()
    if (labels[y0:y1, x0:x1] == c).mean() < least:
        out[y0:y1, x0:x1] = first[y0:y1, x0:x1]
    return out


def _reset_cases():
    little, enough = np.zeros((8, 10), np.uint8), np.zeros((8, 10), np.uint8)
    little[3:5, 4:7], enough[2:6, 3:8] = 2, 2  # 6 and 20 of the box's 24 pixels
    little[0, 0] = enough[7, 9] = 3
    first = np.full((8, 10), 255, np.uint8)
    box = (3, 2, 9, 6)
    other = np.where(little == 2, 1, little).astype(np.uint8)
    return [
        (little, first, box, 2, 0.5),
        (enough, first, box, 2, 0.5),
        (little, first, box, 2, 0.2),
        (little, first, box, 2, 0.25),  # just enough
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


reset_small = chapter.exercise(
    "reset_small",
    _reset_small,
    cases=_reset_cases,
    mistakes={
        "whole_picture": _reset_everything,
        "share_of_picture": _share_of_picture,
        "any_class": _any_object,
        "filled": _filled,
    },
)


def _reset_count(truth, boxes, classes, least):
    count = 0
    for (x0, y0, x1, y1), c in zip(boxes, classes, strict=True):
        if (truth[y0:y1, x0:x1] == c).mean() < least:
            count += 1
    return count


def _reset_count_cases():
    truth = np.zeros((10, 14), np.uint8)
    truth[1:6, 2], truth[5, 2:8] = 1, 1  # an L: 10 of 30 pixels
    truth[3:9, 9:13] = 2  # a block: all of its box
    truth[2:5, 4:7] = 3  # a small one within the box of the L
    boxes = [(2, 1, 8, 6), (9, 3, 13, 9), (4, 2, 7, 5)]
    return [(truth, boxes, [1, 2, 3], least) for least in (0.5, 1 / 3, 0.2, 1.01)] + [(truth, [], [], 0.5)]


reset_count = chapter.exercise(
    "reset_count",
    _reset_count,
    cases=_reset_count_cases,
    mistakes={
        "of_the_picture": lambda truth, boxes, classes, least: sum(
            (truth == c).mean() < least for c in classes
        ),
        "any_object": lambda truth, boxes, classes, least: sum(
            (truth[y0:y1, x0:x1] > 0).mean() < least for x0, y0, x1, y1 in boxes
        ),
        "kept": lambda truth, boxes, classes, least: len(boxes) - _reset_count(truth, boxes, classes, least),
        "as_a_share": lambda truth, boxes, classes, least: (
            _reset_count(truth, boxes, classes, least) / max(len(boxes), 1)
        ),
    },
)


def _masked_loss(logits, labels):
    known = labels != 255
    loss = -logits.log_softmax(1)[known, labels[known]].mean()
    gradient = logits.softmax(1)
    gradient[known, labels[known]] -= 1
    gradient[~known] = 0
    return loss, gradient / known.sum()


def _pixels(seed, n, k):
    made = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, k, (n,), generator=made)
    labels[torch.rand(n, generator=made) < 0.4] = 255
    return torch.randn(n, k, generator=made), labels


def _kept_gradient(logits, labels):
    loss, gradient = _masked_loss(logits, labels)
    known = labels != 255
    return loss, torch.where(known[:, None], gradient, logits.softmax(1) / known.sum())


masked_loss = chapter.exercise(
    "masked_loss",
    _masked_loss,
    cases=lambda: [_pixels(0, 9, 4), _pixels(1, 6, 3), _pixels(2, 12, 2)],
    mistakes={
        "background": lambda logits, labels: _masked_loss(logits, torch.where(labels == 255, 0, labels)),
        "over_all_pixels": lambda logits, labels: tuple(
            part * (labels != 255).float().mean() for part in _masked_loss(logits, labels)
        ),
        "gradient_kept": _kept_gradient,
        "upside_down": lambda logits, labels: (
            _masked_loss(logits, labels)[0],
            -_masked_loss(logits, labels)[1],
        ),
    },
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
        (labels, absent, 4),  # a class that the labels alone have, and one that the truth alone has
        (np.where(labels == 3, 1, labels).astype(np.uint8), truth, 4),
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


mean_iou = chapter.exercise(
    "mean_iou",
    _mean_iou,
    cases=_iou_cases,
    mistakes={
        "accuracy": _accuracy,
        "void": _void_counted,
        "no_background": _without_background,
        "absent": _absent_is_zero,
    },
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


cheapest = chapter.exercise(
    "cheapest",
    _cheapest,
    cases=lambda: [(_OFFERS, 0.35), (_OFFERS, 0.36), (_OFFERS, 0.4), (_OFFERS, 0.9), (_OFFERS[::-1], 0.38)],
    mistakes={
        "best": lambda offers, wanted: max(offers, key=lambda o: o[2])[0],
        "cheapest_of_all": lambda offers, wanted: min(offers, key=lambda o: o[1])[0],
        "more_than": lambda offers, wanted: _cheapest([o for o in offers if o[2] > wanted], wanted),
        "best_of_enough": lambda offers, wanted: max(
            [o for o in offers if o[2] >= wanted], key=lambda o: o[2], default=(None,)
        )[0],
    },
)


def _train_in_rounds(first, views, train, tricks, rounds):
    labels = list(first)
    history = []
    for _ in range(rounds):
        history.append(labels)
        predicted = train(labels)()
        mended = []
        for answer, view in zip(predicted, views, strict=True):
            for trick in tricks:
                answer = trick(answer, view)
            mended.append(answer)
        if all(np.array_equal(a, b) for a, b in zip(mended, labels, strict=True)):
            break
        labels = mended
    return history


class _Recorder:
    """A student that answers what it was taught plus one, and remembers what it was taught."""

    def __init__(self, step: int = 1) -> None:
        self.taught: list[list[np.ndarray]] = []
        self.step = step

    def __call__(self, labels):
        self.taught.append([np.array(x) for x in labels])
        return lambda: [np.array(x) + self.step for x in labels]


def _rounds_of(answer, tricks=(), rounds=3, step=1):
    """What the student was taught, and the history, of two pictures with views 10 and 20."""
    student = _Recorder(step)
    first = [np.zeros((2, 2), int), np.full((2, 2), 5)]
    history = answer(first, [10, 20], student, list(tricks), rounds)
    values = [[int(x[0, 0]) for x in labels] for labels in student.taught]
    return values, [[int(x[0, 0]) for x in labels] for labels in history], first


train_in_rounds = chapter.open_task(
    "train_in_rounds",
    _train_in_rounds,
    {
        "one_a_round": lambda f: len(_rounds_of(f, rounds=4)[0]) == 4,
        "first_as_given": lambda f: _rounds_of(f)[0][0] == [0, 5],
        "own_answers": lambda f: _rounds_of(f)[0] == [[0, 5], [1, 6], [2, 7]],
        "all_tricks_in_order": lambda f: (
            _rounds_of(f, [lambda x, v: 2 * x, lambda x, v: x + 1])[0][1] == [3, 13]
        ),
        "own_view": lambda f: _rounds_of(f, [lambda x, v: x + v])[0][1] == [11, 26],
        "history": lambda f: _rounds_of(f, [lambda x, v: 2 * x])[0] == _rounds_of(f, [lambda x, v: 2 * x])[1],
        "stops": lambda f: len(_rounds_of(f, rounds=9, step=0)[0]) == 1,
        "input_kept": lambda f: [int(x.sum()) for x in _rounds_of(f)[2]] == [0, 20],
    },
)


after_the_rounds = chapter.quiz("after_the_rounds")
