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


def _grabcut_round(image, box, mask):
    x0, y0, x1, y1 = box
    inside = np.zeros(mask.shape, bool)
    inside[y0:y1, x0:x1] = True
    pixels = image.astype(float)

    def cost(chosen):
        # minus log density of one Gaussian for each colour channel, fitted to the chosen pixels
        mean, variance = pixels[chosen].mean(0), pixels[chosen].var(0) + 25
        return ((pixels - mean) ** 2 / variance + np.log(variance)).sum(2) / 2

    votes = (cost(~mask) - cost(mask & inside)).clip(-2, 2)  # above zero: more like the object
    padded = np.pad(votes, 1, mode="edge")
    shifts = [padded[i : i + votes.shape[0], j : j + votes.shape[1]] for i in range(3) for j in range(3)]
    return (np.mean(shifts, 0) > 0) & inside


def _disc(seed=0, colours=((40, 90, 200), (220, 160, 60)), noise=12.0):
    """A picture of a disc, its box and its true mask."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :50]
    truth = (x - 26) ** 2 + (y - 19) ** 2 < 12**2
    image = np.where(truth[..., None], colours[1], colours[0]) + random.normal(0, noise, (40, 50, 3))
    return image.clip(0, 255).astype(np.uint8), (14, 7, 39, 32), truth


def _filled(box, shape):
    x0, y0, x1, y1 = box
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def _after(answer, rounds, **scene):
    """The mask after some rounds from the filled box, and the truth."""
    image, box, truth = _disc(**scene)
    mask = _filled(box, truth.shape)
    for _ in range(rounds):
        mask = np.asarray(answer(image.copy(), box, mask.copy()))
    return mask, truth


def _iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def _stays_in_its_box(answer):
    # a second disc of the object's colour lies outside the box
    image, box, _ = _disc()
    image[:6, :9] = (220, 160, 60)
    mask = np.asarray(answer(image, box, _filled(box, image.shape[:2])))
    return not (mask & ~_filled(box, mask.shape)).any()


def _cleans_specks(answer):
    image, box, truth = _disc(noise=0.0)
    image[19, 26], image[9, 16] = (40, 90, 200), (220, 160, 60)  # background in the object, and vice versa
    mask = np.asarray(answer(image, box, truth.copy()))
    return bool(mask[19, 26]) and not mask[9, 16]


grabcut_round = chapter.open_task(
    "grabcut_round",
    _grabcut_round,
    {
        "form": lambda f: [(m.dtype, m.shape) for m, _ in [_after(f, 1)]] == [(np.dtype(bool), (40, 50))],
        "in_box": _stays_in_its_box,
        "better": lambda f: (lambda mask, truth: _iou(mask, truth) > 0.8)(*_after(f, 1)),
        "rounds": lambda f: all(_iou(*_after(f, 3, seed=s, noise=25.0)) > 0.9 for s in (1, 2)),
        "any_colours": lambda f: _iou(*_after(f, 2, colours=((230, 230, 230), (30, 30, 30)))) > 0.9,
        "no_specks": _cleans_specks,
        "input_kept": lambda f: _unchanged(f, *_disc()),
    },
)


def _unchanged(answer, image, box, truth):
    before, mask = image.copy(), truth.copy()
    answer(image, box, mask)
    return np.array_equal(image, before) and np.array_equal(mask, truth)


def _crf_kernel(image, place, colour):
    height, width = image.shape[:2]
    places = np.indices((height, width)).reshape(2, -1).T / place
    features = np.hstack([places, image.reshape(-1, 3) / colour])
    squares = ((features[:, None] - features[None]) ** 2).sum(2)
    kernel = np.exp(-squares / 2)
    np.fill_diagonal(kernel, 0)
    return kernel


def _stripes():
    """A picture (5, 6) whose left half is dark and whose right half is light."""
    image = np.full((5, 6, 3), 40, np.uint8)
    image[:, 3:] = 200
    return image


def _at(kernel, a, b, width=6):
    """Entry of two pixels, each (row, column)."""
    return np.asarray(kernel)[a[0] * width + a[1], b[0] * width + b[1]]


crf_kernel = chapter.open_task(
    "crf_kernel",
    _crf_kernel,
    {
        "form": lambda f: np.shape(f(_stripes(), 3.0, 20.0)) == (30, 30),
        "symmetric": lambda f: np.allclose(f(_stripes(), 3.0, 20.0), np.transpose(f(_stripes(), 3.0, 20.0))),
        "no_self": lambda f: not np.diag(f(_stripes(), 3.0, 20.0)).any(),
        "range": lambda f: (
            np.min(f(_stripes(), 3.0, 20.0)) >= 0 and 0.5 < np.max(f(_stripes(), 3.0, 20.0)) <= 1
        ),
        "boundary": lambda f: (
            _at(f(_stripes(), 3.0, 20.0), (2, 2), (2, 3))
            < 0.01 * _at(f(_stripes(), 3.0, 20.0), (2, 2), (2, 1))
        ),
        "fades": lambda f: np.allclose(
            [_at(f(0 * _stripes(), 2.0, 20.0), (2, 0), (2, x)) for x in (1, 2, 4)],
            np.exp([-1 / 8, -1 / 2, -2]),
        ),
        "colour_scale": lambda f: np.isclose(_at(f(_stripes(), 1e6, 160.0), (0, 0), (4, 5)), np.exp(-3 / 2)),
        "no_overflow": lambda f: np.allclose(f(_stripes(), 3.0, 20.0), f(255 - _stripes(), 3.0, 20.0)),
    },
)


after_boxes = chapter.quiz("after_boxes")
