"""Exercises and quiz of notebook 07, boxes to pixels."""

from __future__ import annotations

import numpy as np
import torch

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


def _painted(boxes, classes, height, width, order):
    """Boxes painted one over the other in this order."""
    labels = np.zeros((height, width), np.uint8)
    for k in order:
        x0, y0, x1, y1 = boxes[k]
        labels[y0:y1, x0:x1] = classes[k]
    return labels


def _many_boxes(seed):
    """Boxes of all sizes and proportions that cover each other, and their classes."""
    random = np.random.default_rng(seed)
    corners = np.sort(random.choice(30, (12, 2, 2)), axis=2)  # box, axis, end
    boxes = [(x0, y0, x1 + 1, y1 + 1) for (x0, x1), (y0, y1) in corners.tolist()]
    return boxes, list(range(1, 13))


def _areas(boxes):
    return [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]


def _box_label_map(boxes, classes, height, width):
    labels = np.zeros((height, width), np.uint8)
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
    for k in np.argsort(areas)[::-1]:  # the largest first, so that smaller ones cover it
        x0, y0, x1, y1 = boxes[k]
        labels[y0:y1, x0:x1] = classes[k]
    return labels


box_label_map = chapter.exercise(
    "box_label_map",
    _box_label_map,
    cases=lambda: [
        ([(1, 0, 7, 5), (3, 2, 6, 4), (5, 1, 9, 6)], [2, 5, 1], 6, 10),
        ([(3, 3, 5, 5), (0, 1, 4, 8)], [3, 1], 9, 6),
        ([(0, 0, 4, 4), (2, 2, 5, 4), (0, 3, 8, 8)], [4, 2, 7], 8, 8),
        (*_many_boxes(1), 30, 40),
    ],
    mistakes={
        "list_order": lambda boxes, classes, height, width: _painted(
            boxes, classes, height, width, range(len(boxes))
        ),
        "larger_in_front": lambda boxes, classes, height, width: _painted(
            boxes, classes, height, width, np.argsort(_areas(boxes))
        ),
        "swapped_axes": lambda boxes, classes, height, width: _box_label_map(
            [(y0, x0, y1, x1) for x0, y0, x1, y1 in boxes], classes, height, width
        ),
        "inclusive": lambda boxes, classes, height, width: _painted(
            [(x0, y0, x1 + 1, y1 + 1) for x0, y0, x1, y1 in boxes],
            classes,
            height,
            width,
            np.argsort(_areas(boxes))[::-1],
        ),
        "ones": lambda boxes, classes, height, width: np.minimum(
            _box_label_map(boxes, classes, height, width), np.uint8(1)
        ),
    },
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


inner_box = chapter.exercise(
    "inner_box",
    _inner_box,
    cases=lambda: [((0, 0, 100, 50), 0.2), ((10, 20, 14, 60), 0.25), ((-3.0, 2.0, 9.0, 5.0), 0.81)],
    mistakes={
        "of_the_side": lambda box, share: _scaled_box(box, share),
        "corner": lambda box, share: (
            box[0],
            box[1],
            box[0] + share**0.5 * (box[2] - box[0]),
            box[1] + share**0.5 * (box[3] - box[1]),
        ),
        "one_side": lambda box, share: (
            (box[0] + box[2]) / 2 - share * (box[2] - box[0]) / 2,
            box[1],
            (box[0] + box[2]) / 2 + share * (box[2] - box[0]) / 2,
            box[3],
        ),
        "cut_off": lambda box, share: _scaled_box(box, 1 - share**0.5),
    },
)


def _cut_energy(mask, unary, pairwise):
    return unary[mask].sum() + pairwise[mask[1:] != mask[:-1]].sum()


def _row(seed):
    random = np.random.default_rng(seed)
    return random.random(9) < 0.5, random.normal(size=9), random.random(8) + 0.1


cut_energy = chapter.exercise(
    "cut_energy",
    _cut_energy,
    cases=lambda: [_row(0), _row(1), _row(5)],
    mistakes={
        "no_pairs": lambda mask, unary, pairwise: unary[mask].sum(),
        "inside_pairs": lambda mask, unary, pairwise: (
            unary[mask].sum() + pairwise[mask[1:] == mask[:-1]].sum()
        ),
        "all_unary": lambda mask, unary, pairwise: unary.sum() + pairwise[mask[1:] != mask[:-1]].sum(),
        "signed": lambda mask, unary, pairwise: (
            unary[mask].sum() + (pairwise * (mask[1:].astype(int) - mask[:-1])).sum()
        ),
        "entering_only": lambda mask, unary, pairwise: (
            unary[mask].sum() + pairwise[mask[1:] & ~mask[:-1]].sum()
        ),
    },
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


agreed_labels = chapter.exercise(
    "agreed_labels",
    _agreed_labels,
    cases=lambda: [_label_maps(0), _label_maps(1)],
    mistakes={
        "union": lambda a, b, inside: np.where(a > 0, a, np.where(b > 0, b, 255 * inside)).astype(np.uint8),
        "background": lambda a, b, inside: _where_both(a, b, inside, a, 0),
        "both_background": lambda a, b, inside: np.where(a == b, a, 255).astype(np.uint8),
        "any_class": lambda a, b, inside: np.where((a > 0) & (b > 0), a, np.where(inside, 255, 0)).astype(
            np.uint8
        ),
        "everywhere": lambda a, b, inside: _where_both(a, b, inside, a, 255),
    },
)


def _mean_field_round(q, unary, kernel):
    return (kernel @ q - unary).softmax(1)


def _field(seed, n=6, k=3):
    made = torch.Generator().manual_seed(seed)
    unary = torch.rand(n, k, generator=made) * 2
    kernel = torch.rand(n, n, generator=made)
    return (-torch.randn(n, k, generator=made)).softmax(1), unary, kernel + kernel.T


mean_field_round = chapter.exercise(
    "mean_field_round",
    _mean_field_round,
    cases=lambda: [_field(0), _field(1, 4, 4)],
    mistakes={
        "plus_energy": lambda q, unary, kernel: (kernel @ q + unary).softmax(1),
        "against": lambda q, unary, kernel: (-(kernel @ q) - unary).softmax(1),
        "over_pixels": lambda q, unary, kernel: (kernel @ q - unary).softmax(0),
        "no_softmax": lambda q, unary, kernel: kernel @ q - unary,
        "exponential_only": lambda q, unary, kernel: (kernel @ q - unary).exp(),
        "support_alone": lambda q, unary, kernel: (kernel @ q).softmax(1),
    },
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


precision_and_coverage = chapter.exercise(
    "precision_and_coverage",
    _precision_and_coverage,
    cases=lambda: [_labels_and_truth(0), _labels_and_truth(1)],
    mistakes={
        "recall": lambda labels, truth, c: (
            _precision_and_coverage(labels, truth, c)[0],
            ((labels == c) & (truth == c)).sum() / (truth == c).sum(),
        ),
        "swapped": lambda labels, truth, c: _precision_and_coverage(labels, truth, c)[::-1],
        "of_the_truth": lambda labels, truth, c: (
            ((labels == c) & (truth == c)).sum() / (truth == c).sum(),
            _precision_and_coverage(labels, truth, c)[1],
        ),
        "all_pixels": lambda labels, truth, c: (
            _precision_and_coverage(labels, truth, c)[0],
            (labels != 255).mean(),
        ),
        "accuracy": lambda labels, truth, c: (
            (labels == truth).mean(),
            _precision_and_coverage(labels, truth, c)[1],
        ),
    },
)


after_boxes = chapter.quiz("after_boxes")
