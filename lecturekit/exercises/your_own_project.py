"""Exercises and quizzes of notebook 10, Your own project."""

from __future__ import annotations

import re

import numpy as np

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


# ---------------------------------------------------------------------------------------- hours into labels


def _best_mixture(hours, pictures, box_seconds, mask_seconds, quality):
    best = None
    for masks in range(pictures + 1):
        left = hours * 3600 - masks * mask_seconds
        if left < 0:
            break
        boxes = min(pictures - masks, int(left // box_seconds))
        if best is None or quality(boxes, masks) > quality(*best):
            best = boxes, masks
    return best


def _rising(boxes, masks):
    """Quality that grows ever slower with both, a mask being worth more."""
    return 1 - 1 / (1 + 0.02 * boxes + 0.09 * masks**0.7)


def _masks_matter(boxes, masks):
    """Quality with a place for few masks only."""
    return 0.4 * boxes / (boxes + 30) + 0.5 * masks / (masks + 10)


def _masks_above_all(boxes, masks):
    """Quality that a mask raises ten times as much as a box."""
    return masks + 0.1 * boxes


def _corners_only(hours, pictures, box_seconds, mask_seconds, quality):
    boxes = min(pictures, int(hours * 3600 // box_seconds))
    masks = min(pictures, int(hours * 3600 // mask_seconds))
    return max([(boxes, 0), (0, masks)], key=lambda pair: quality(*pair))


def _no_folder(hours, pictures, box_seconds, mask_seconds, quality):
    most = int(hours * 3600 // mask_seconds)
    pairs = [(int((hours * 3600 - m * mask_seconds) // box_seconds), m) for m in range(most + 1)]
    return max(pairs, key=lambda pair: quality(*pair))


def _boxes_everywhere(hours, pictures, box_seconds, mask_seconds, quality):
    boxes = min(pictures, int(hours * 3600 // box_seconds))
    left = hours * 3600 - boxes * box_seconds
    return boxes, min(pictures - boxes, int(left // mask_seconds))


def _swapped(*arguments):
    return _best_mixture(*arguments)[::-1]


best_mixture = chapter.exercise(
    "best_mixture",
    _best_mixture,
    cases=lambda: [
        (2, 150, 36.5, 207.0, _masks_matter),
        (0.5, 40, 20.0, 110.0, _masks_matter),
        (3, 60, 30.0, 200.0, _rising),
        (0.1, 30, 45.0, 90.0, _rising),
        (5, 8, 30.0, 60.0, _masks_above_all),
        (0.25, 10, 30.0, 180.04, _masks_above_all),
    ],
    mistakes={
        "corners_only": _corners_only,
        "no_folder": _no_folder,
        "boxes_everywhere": _boxes_everywhere,
        "swapped": _swapped,
    },
)


# ------------------------------------------------------------------------------------ the part set aside


def _keep_apart(contents, count):
    distinct = list(dict.fromkeys(contents))
    aside = set(distinct[:count])
    learn = [k for k, content in enumerate(contents) if content not in aside]
    test = [k for k, content in enumerate(contents) if content in aside]
    return learn, test


keep_apart = chapter.exercise(
    "keep_apart",
    _keep_apart,
    cases=lambda: [
        (["a", "b", "a", "c", "d"], 2),
        (["x", "x", "y", "z", "y", "w"], 2),
        (["p", "q", "r"], 1),
        (["d", "c", "c", "b", "a", "d"], 3),
    ],
    mistakes={
        "twins_apart": lambda contents, count: (
            list(range(count, len(contents))),
            list(range(count)),
        ),
        "swapped": lambda contents, count: _keep_apart(contents, count)[::-1],
        "twins_dropped": lambda contents, count: tuple(
            [k for k in part if contents.index(contents[k]) == k] for part in _keep_apart(contents, count)
        ),
        "sorted": lambda contents, count: _by_name(contents, count),
    },
)


def _by_name(contents, count):
    aside = set(sorted(set(contents))[:count])
    learn = [k for k, content in enumerate(contents) if content not in aside]
    return learn, [k for k, content in enumerate(contents) if content in aside]


# ----------------------------------------------------------------------------------------- an honest number


def _counts(seed: int, pictures: int, classes: int) -> np.ndarray:
    """Pixels that are right, named and true, of pictures that differ in size and difficulty."""
    dice = np.random.default_rng(seed)
    true = dice.integers(50, 900, (pictures, classes)) * dice.integers(1, 5, (pictures, 1))
    right = (true * dice.uniform(0.2, 0.95, (pictures, classes))).astype(int)
    named = right + dice.integers(0, 300, (pictures, classes))
    return np.stack([right, named, true], 1)


def _often(seed: int, pictures: int, draws: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(pictures, np.full(pictures, 1 / pictures), draws)


def _iou_interval(counts, often):
    values = []
    for times in often:
        right, named, true = (times[:, None, None] * counts).sum(0)
        values.append(np.mean(right / (named + true - right)))
    return tuple(np.quantile(values, (0.025, 0.975)))


def _interval_of(values):
    return tuple(np.quantile(values, (0.025, 0.975)))


def _mean_of_pictures(counts, often):
    right, named, true = np.moveaxis(np.asarray(counts, float), 1, 0)
    each = (right / (named + true - right)).mean(1)
    return _interval_of([(times * each).sum() / times.sum() for times in often])


def _of_draws(counts, often, score):
    sums = (np.einsum("n,nrk->rk", times, counts) for times in often)
    return [np.mean(score(right, named, true)) for right, named, true in sums]


iou_interval = chapter.exercise(
    "iou_interval",
    _iou_interval,
    cases=lambda: [(_counts(0, 12, 3), _often(1, 12)), (_counts(2, 20, 2), _often(3, 20))],
    mistakes={
        "mean_of_pictures": _mean_of_pictures,
        "ninety_percent": lambda counts, often: tuple(
            np.quantile(_of_draws(counts, often, lambda r, n, t: r / (n + t - r)), (0.05, 0.95))
        ),
        "recall": lambda counts, often: _interval_of(_of_draws(counts, often, lambda r, n, t: r / t)),
        "union_with_overlap": lambda counts, often: _interval_of(
            _of_draws(counts, often, lambda r, n, t: r / (n + t))
        ),
        "classes_together": lambda counts, often: _interval_of(
            _of_draws(counts, often, lambda r, n, t: r.sum() / (n.sum() + t.sum() - r.sum()))
        ),
    },
)


# ------------------------------------------------------------------------------------- which picture next


def _two_answers(seed: int) -> tuple[list[np.ndarray], list[np.ndarray], list[bool]]:
    """Label maps of two students on six pictures of different sizes, and which pictures have labels."""
    dice = np.random.default_rng(seed)
    sizes = [(6, 8), (20, 24), (9, 5), (12, 12), (7, 7), (30, 22)]
    one = [dice.integers(0, 3, size).astype(np.uint8) for size in sizes]
    doubts = dice.permutation([0.1, 0.25, 0.4, 0.55, 0.7, 0.9])
    two = []
    for labels, doubt in zip(one, doubts, strict=True):
        changed = (labels + 1) % 3
        two.append(np.where(dice.random(labels.shape) < doubt, changed, labels).astype(np.uint8))
    labelled = [False] * 6
    labelled[int(doubts.argmax())] = True
    return one, two, labelled


def _next_picture(first, second, labelled):
    doubt = [float((a != b).mean()) for a, b in zip(first, second, strict=True)]
    open_ones = [k for k in range(len(doubt)) if not labelled[k]]
    return max(open_ones, key=lambda k: doubt[k])


next_picture = chapter.exercise(
    "next_picture",
    _next_picture,
    cases=lambda: [_two_answers(seed) for seed in (0, 4, 5, 9)],
    mistakes={
        "labelled_too": lambda first, second, labelled: int(
            np.argmax([(a != b).mean() for a, b in zip(first, second, strict=True)])
        ),
        "counted": lambda first, second, labelled: int(
            np.argmax([(a != b).sum() * (not k) for a, b, k in zip(first, second, labelled, strict=True)])
        ),
        "most_agreed": lambda first, second, labelled: int(
            np.argmax([(a == b).mean() * (not k) for a, b, k in zip(first, second, labelled, strict=True)])
        ),
        "amount": lambda first, second, labelled: _place_among_open(first, second, labelled),
    },
)


def _place_among_open(first, second, labelled):
    doubt = [(a != b).mean() for a, b, k in zip(first, second, labelled, strict=True) if not k]
    return int(np.argmax(doubt))


# ------------------------------------------------------------------------------------------------ the defence

#: Words that name a kind of label.
_KINDS = r"\b(?:tag|image class|click|point|scribble|stroke|box|mask|outline)(?:es|s)?\b"


#: A defence in four parts, each of which says one of the things that are asked for.
_PARTS = (
    "I drew boxes in all sixty pictures and masks in six of them, the six that looked least like the rest. "
    "Tags are what my colleague had asked for, and they are too coarse for measuring areas.",
    "Together that took me two hours, a third of them for the masks, and another half an hour went into the "
    "pictures that were set aside, which I had not planned for.",
    "The plan had expected a mean IoU of 0.55, from 0.44 to 0.66; the report says 0.49, from 0.41 to 0.57. "
    "My guess is that leaves which touch each other are the reason.",
    "I would draw masks alone if one of them were faster than three of the others, and I would look for more "
    "pictures before I drew anything better in these. I do not know how the next camera sees the same "
    "plants. The worst pictures are those in the rain, so the next ten labels go there.",
)


def _defence():
    order = (0, 1, 2, 3)
    return "\n\n".join(_PARTS[k] for k in order)


def _words(answer) -> list[str]:
    return re.findall(r"[^\W\d_]+", answer())


defence = chapter.open_task(
    "defence",
    _defence,
    {
        "length": lambda f: 80 <= len(_words(f)) <= 400,
        "kinds": lambda f: len({m.rstrip("es") for m in re.findall(_KINDS, f().lower())}) >= 2,
        "interval": lambda f: len(re.findall(r"\b[01]?[.,]\d+|\b\d+(?:[.,]\d+)?\s*%", f())) >= 3,
        "hours": lambda f: re.search(r"\b(?:hours?|minutes?|h|min)\b", f()) is not None,
        "change": lambda f: re.search(r"\b(?:if|unless|would)\b", f()) is not None,
    },
)

after_the_project = chapter.quiz("after_the_project")
