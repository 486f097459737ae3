"""What a label costs: measured seconds with their sources, budgets, and whether a claim follows from them.

>>> how_many(10, "outline")
454
>>> print(audit("a mask costs 15 boxes"))
A mask costs 15 boxes? Measured: 1.3 to 11.3. The claim does not follow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from ..kit.checks import number, whole

_LECTURE_CLASSES = 20
LECTURE = "FAU lecture Deep Learning, Weakly and Self-supervised Learning, part 1"
COCO = "Lin et al., Microsoft COCO, ECCV 2014"
BEARMAN = "Bearman et al., What's the Point, ECCV 2016"
SU = "Su et al., HCOMP 2012"
EXTREME = "Papadopoulos et al., ICCV 2017"
CENTRE = "Papadopoulos et al., 2016 and 2017"
OPEN_IMAGES = "Kuznetsova et al., IJCV 2020"
SAM = "Kirillov et al., 2023"
CITYSCAPES = "Cordts et al., Cityscapes, CVPR 2016"
VISTAS = "Neuhold et al., ICCV 2017"


@dataclass(frozen=True)
class Cost:
    """What one label takes one person.

    Attributes:
        seconds: of work a label.
        per: what one label is for: "image", "object" or "frame" (a labelled frame of a clip).
        source: where the figure stands, or, if it is assumed, what it is made from.
        note: how it was measured, and what it includes.
        kind: the kind of label, a key of `KINDS`.
        low: least seconds where the source gives a range, or else None.
        high: most seconds where the source gives a range, or else None.
        classes: how many classes had to be told apart, where naming them is part of the figure.
        checked: whether checks by others are part of the figure.
        assumed: whether this is our estimate and nobody's measurement.
        background: how many more of them an image needs for its background, whatever its objects.
        repeats: whether the source hands on a figure that stands here already, so that it is no second one.
    """

    seconds: float
    per: str
    source: str
    note: str
    kind: str = ""
    low: float | None = None
    high: float | None = None
    classes: int | None = None
    checked: bool = False
    assumed: bool = False
    background: int = 0
    repeats: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """Least and most seconds."""
        low, high = self.low, self.high
        return self.seconds if low is None else low, self.seconds if high is None else high


#: Kinds of label and what the annotator does for one.
KINDS: dict[str, str] = {
    "image_class": "say which classes are in the image",
    "click": "click once on what is named",
    "scribble": "draw a stroke along each object and one on the background",
    "box_verify": "say yes or no to a box proposed by a machine",
    "box_extreme": "click on an object's topmost, leftmost, lowest and rightmost points",
    "box_drag": "drag a rectangle round an object",
    "mask_prompted": "correct what a promptable model proposes",
    "outline": "draw an object's outline, point by point",
    "object_masks": "outline every object of the classes asked for",
    "coarse_mask": "cover a street scene with rough polygons",
    "dense_mask": "give every pixel of an image its class",
    "sparse_frame": "give every pixel of one frame of a clip its class, and none of the frames between",
    "caption": "describe the image in a sentence",
}

#: Why a kind has no figure.
UNPRICED: dict[str, str] = {
    "caption": "none of our sources measured what a caption takes; time yourself and add a Cost of your own",
}


def _worker_seconds(hours: float, labels: float) -> float:
    """Seconds a label of work reported as a total."""
    return hours * 3600 / labels


#: Every figure we have; the one whose key is the kind's name stands for its kind. A note that begins with
#: "derived" says from which reported figures it was computed.
COSTS: dict[str, Cost] = {
    "image_class": Cost(
        20.0,
        "image",
        LECTURE,
        "approximately, a sample; for other numbers of classes taken as VOC's 20",
        "image_class",
        classes=_LECTURE_CLASSES,
    ),
    "image_class_coco": Cost(
        _worker_seconds(20_000, 328_000 * 8),
        "image",
        COCO,
        "derived: about 20,000 worker hours of category labelling for 328,000 images, 8 workers each; "
        "this is one worker's part",
        "image_class",
    ),
    "click": Cost(
        22.1, "image", BEARMAN, "a point on each class there is, naming included", "click", classes=20
    ),
    "click_centre": Cost(1.87, "object", CENTRE, "a click on the middle of a known class's object", "click"),
    "click_coco": Cost(
        _worker_seconds(10_000, 328_000 * 8),
        "image",
        COCO,
        "derived: about 10,000 worker hours of instance spotting for 328,000 images, 8 workers each; "
        "one worker's part, a mark on each object of the classes already named",
        "click",
    ),
    "scribble": Cost(
        round(math.sqrt(1.87 * 7.0), 1),
        "object",
        f"assumed from {CENTRE}",
        "assumed: a stroke takes longer than a click (1.87 s) and no longer than four clicks (7.0 s); "
        "between the two by their geometric mean",
        "scribble",
        low=1.87,
        high=7.0,
        assumed=True,
        background=1,
    ),
    "box_verify": Cost(1.6, "object", CENTRE, "a yes or no; a box may take several", "box_verify"),
    "box_extreme": Cost(7.0, "object", EXTREME, "VOC 2007, four extreme clicks", "box_extreme"),
    "box_extreme_voc12": Cost(7.2, "object", EXTREME, "VOC 2012, four extreme clicks", "box_extreme"),
    "box_open_images": Cost(7.4, "object", OPEN_IMAGES, "professionals", "box_extreme"),
    "box_drag": Cost(25.5, "object", SU, "median of drawing alone, crowd, ImageNet", "box_drag"),
    "box_drag_checked": Cost(
        42.4,
        "object",
        SU,
        "median of drawing (25.5 s), quality check (9.0 s) and coverage check (7.8 s), crowd, ImageNet",
        "box_drag",
        checked=True,
    ),
    "mask_prompted": Cost(
        14.0, "object", SAM, "at the end of the collection, 34 s at its start", "mask_prompted", high=34.0
    ),
    "outline": Cost(
        _worker_seconds(22, 1000), "object", COCO, "over 22 worker hours per 1,000 outlines", "outline"
    ),
    "outline_lecture": Cost(
        80.0, "object", LECTURE, "at least, an annotation; COCO's figure", "outline", repeats=True
    ),
    "outline_voc": Cost(54.0, "object", BEARMAN, "VOC, 54 to 79 s an outline", "outline", high=79.0),
    "object_masks": Cost(
        239.7,
        "image",
        BEARMAN,
        "all objects of VOC's classes, naming included",
        "object_masks",
        classes=20,
    ),
    "coarse_mask": Cost(420.0, "image", CITYSCAPES, "under 7 minutes, an upper bound", "coarse_mask"),
    "dense_mask": Cost(
        5400.0,
        "image",
        CITYSCAPES,
        "over 1.5 h, checks included, a lower bound",
        "dense_mask",
        checked=True,
    ),
    "dense_mask_lecture": Cost(
        5400.0,
        "image",
        LECTURE,
        "one and a half hours, easily; Cityscapes' figure",
        "dense_mask",
        repeats=True,
    ),
    "dense_mask_vistas": Cost(94 * 60.0, "image", VISTAS, "about 94 minutes", "dense_mask"),
    "sparse_frame": Cost(
        5400.0,
        "frame",
        f"assumed from {CITYSCAPES}",
        "assumed: a labelled frame takes what a still takes, and the frames between are free",
        "sparse_frame",
        checked=True,
        assumed=True,
    ),
}


@dataclass(frozen=True)
class Agreement:
    """How far two labels of the same image agree: the ceiling of what "truth" can mean."""

    share: float
    source: str
    note: str


AGREEMENT: dict[str, Agreement] = {
    "all_pixels": Agreement(0.96, CITYSCAPES, "share of equal pixels, same image labelled twice"),
    "without_void": Agreement(0.98, CITYSCAPES, "the same, pixels that either called void left out"),
}

#: What checking adds to drawing: (9.0 + 7.8) / 25.5 of the time (derived from Su et al.).
REVIEW_SHARE = (9.0 + 7.8) / 25.5

#: A person-year of work: 46 weeks of 40 hours. A convention of this course, no measurement.
HOURS_A_YEAR = 46 * 40


def price(kind: str, costs: Mapping[str, Cost] = COSTS) -> Cost:
    """The cost that stands for a kind of label.

    Args:
        kind: a key of `costs`.
        costs: figures of your own, under the same keys, may take the place of `COSTS`.

    Raises:
        TypeError: the kind is no text.
        ValueError: `costs` has none; the text says why or lists what there is.

    Example:
        >>> price("box_extreme").seconds, price("box_extreme").per
        (7.0, 'object')
    """
    if not isinstance(kind, str):
        raise TypeError(f"kind must be a text, got {kind!r}")
    if kind not in costs:
        reason = UNPRICED.get(kind, f"it must be one of {', '.join(costs)}")
        raise ValueError(f"kind {kind!r} has no price: {reason}")
    return costs[kind]


def sources(kind: str, costs: Mapping[str, Cost] = COSTS) -> dict[str, Cost]:
    """All figures for a kind of label, the one that stands for it first.

    Args:
        kind: a key of `costs`.
        costs: as in `price`.

    Raises:
        TypeError: the kind is no text.
        ValueError: `costs` has none.
    """
    first = price(kind, costs)
    others = {key: cost for key, cost in costs.items() if cost.kind == kind and key != kind}
    return {kind: first} | others


def how_many(budget_hours: float, kind: str, costs: Mapping[str, Cost] = COSTS) -> int:
    """How many whole labels of a kind the hours buy; what one label is for stands in ``price(kind).per``.

    Args:
        budget_hours: at least 0.
        kind: a key of `costs`.
        costs: as in `price`.

    Raises:
        TypeError: the kind is no text.
        ValueError: a budget that is no number of hours, or a kind without a price.

    Example:
        >>> how_many(10, "outline")
        454
    """
    seconds = Fraction(str(number("budget_hours", budget_hours, 0))) * 3600
    return math.floor(seconds / Fraction(str(price(kind, costs).seconds)))


def naming_seconds(classes: int) -> float:
    """Seconds to say which of so many classes are in an image.

    Derived: the lecture's 20 s taken as VOC's 20 classes asked for one by one, so 1 s a class.

    Args:
        classes: how many, at least 1.

    Raises:
        ValueError: another number.
    """
    return COSTS["image_class"].seconds * number("classes", classes, 1) / _LECTURE_CLASSES


def seconds_an_image(cost: Cost, objects: float, classes: int) -> tuple[float, float, float]:
    """What it takes to label one image in this way: expected, least and most seconds.

    A cost per object counts for each object and for `Cost.background`, and somebody must name the classes
    first. A cost that includes
    the naming of so many classes is brought to another number of classes with `naming_seconds`.

    Args:
        cost: of one label.
        objects: objects an image, on average, at least 0.
        classes: how many classes are asked for, at least 1.

    Raises:
        ValueError: another number.
    """
    objects, naming = number("objects", objects, 0), naming_seconds(classes)
    many, extra = 1.0, 0.0
    if cost.per == "object":
        many, extra = objects + cost.background, naming
    elif cost.classes:
        extra = naming - naming_seconds(cost.classes)
    low, high = cost.range
    return max(0.0, many * cost.seconds + extra), max(0.0, many * low + extra), max(0.0, many * high + extra)


@dataclass(frozen=True)
class Estimate:
    """Hours of work on a data set: expected, and the least and most that the sources allow.

    Attributes:
        hours: expected in all.
        low: with the cheapest source of each kind.
        high: with the dearest source of each kind.
        parts: hours of each kind of label.
    """

    hours: float
    low: float
    high: float
    parts: dict[str, float]

    @property
    def person_years(self) -> tuple[float, float, float]:
        """Expected, least and most, in years of `HOURS_A_YEAR`."""
        return self.hours / HOURS_A_YEAR, self.low / HOURS_A_YEAR, self.high / HOURS_A_YEAR


def estimate(
    images: int,
    shares: Mapping[str, float],
    *,
    objects: float,
    classes: int,
    votes: int = 1,
    review: bool = False,
    costs: Mapping[str, Cost] = COSTS,
) -> Estimate:
    """What labelling a data set costs, with the spread between the sources as uncertainty.

    Args:
        images: how many.
        shares: for each kind of label the share of the images that get it, 0 to 1. Each kind is priced as
            if it were the only one on its images: where two include naming classes, that is paid twice.
        objects: objects an image, on average.
        classes: how many classes are asked for.
        votes: how many people give each label, independently (COCO's category labels had 8).
        review: have each label checked, at the price of `REVIEW_SHARE` of its own, where the source's figure
            does not include checks.
        costs: as in `price`.

    Returns:
        Its `low` and `high` take the cheapest and the dearest source of each kind.

    Raises:
        TypeError: a kind that is no text.
        ValueError: naming the argument that is out of its range, or a kind without a price.

    Example:
        >>> boxes = estimate(1000, {"box_extreme": 1.0}, objects=2.5, classes=20)
        >>> round(boxes.hours, 1)
        10.4
    """
    images = whole("images", images, 1)
    votes = whole("votes", votes, 1)
    if not shares:
        raise ValueError("shares must name at least one kind of label, got none")
    totals = {}
    for kind, share in shares.items():
        hours = images * votes * number(f"shares[{kind!r}]", share, 0, 1) / 3600
        totals[kind] = [hours * s for s in _spread(kind, objects, classes, review, costs)]
    expected, low, high = (sum(column) for column in zip(*totals.values(), strict=True))
    return Estimate(expected, low, high, {kind: total[0] for kind, total in totals.items()})


def _spread(
    kind: str, objects: float, classes: int, review: bool, costs: Mapping[str, Cost]
) -> tuple[float, float, float]:
    """Expected, least and most seconds an image of a kind, over all its sources, checks included."""
    found = []
    for cost in sources(kind, costs).values():
        factor = 1 + REVIEW_SHARE if review and not cost.checked else 1.0
        found.append([factor * s for s in seconds_an_image(cost, objects, classes)])
    return found[0][0], min(low for _, low, _ in found), max(high for *_, high in found)


#: Words of claims and the kinds they may mean.
WORDS: dict[str, tuple[str, ...]] = {
    "mask": ("outline",),
    "outline": ("outline",),
    "box": ("box_extreme", "box_drag"),
    "click": ("click",),
    "point": ("click",),
    "class": ("image_class",),
    "label": ("image_class",),
    "street scene": ("dense_mask",),
    "dense mask": ("dense_mask",),
}
_PLURAL = {"boxes": "box", "classes": "class"}
_CLAIM = re.compile(
    r"(?:a|an|one) (?P<dear>[a-z ]+?) costs? (?P<times>[0-9]+(?:\.[0-9]+)?|a|an|one) (?P<cheap>[a-z ]+)"
)


@dataclass(frozen=True)
class Audit:
    """A claim beside what was measured.

    Attributes:
        claim: as it was made.
        times: the ratio that it states.
        low: the least ratio between measured times.
        high: the largest ratio between measured times.
        ratios: keys of `COSTS` for the dear and the cheap label, and the ratio of their seconds.
    """

    claim: str
    times: float
    low: float
    high: float
    ratios: tuple[tuple[str, str, float], ...]

    @property
    def follows(self) -> bool:
        """Whether the stated ratio lies among the measured ones."""
        return self.low <= self.times <= self.high

    def __str__(self) -> str:
        verdict = "follows from some of the sources" if self.follows else "does not follow"
        said = self.claim[0].upper() + self.claim[1:].rstrip(".")
        return f"{said}? Measured: {self.low:.1f} to {self.high:.1f}. The claim {verdict}."


def audit(claim: str, costs: Mapping[str, Cost] = COSTS) -> Audit:
    """Does a claim such as "a mask costs 15 boxes" follow from measured times?

    Each source's time for the one label is divided by each source's time for the other, where both are per
    object or both are per image; costs that are assumed or repeat another's do not count.

    Args:
        claim: "a ... costs ... ...s".
        costs: as in `price`.

    Raises:
        TypeError: the claim is no text.
        ValueError: it cannot be read (its words must be keys of `WORDS`), or no two sources compare.
    """
    if not isinstance(claim, str):
        raise TypeError(f"claim must be a text, got {claim!r}")
    match = _CLAIM.fullmatch(claim.strip().rstrip(".").lower())
    if not match:
        raise ValueError(f"claim must be like 'a mask costs 15 boxes', got {claim!r}")
    times = 1.0 if match["times"].isalpha() else number("the claim's number", float(match["times"]), 0)
    dear, cheap = (_measured(match[side], costs) for side in ("dear", "cheap"))
    pairs = [(a, b) for a in dear for b in cheap if costs[a].per == costs[b].per and a != b]
    if not pairs:
        raise ValueError(f"claim {claim!r} compares labels that no two sources measured in the same unit")
    low = min(costs[a].range[0] / costs[b].range[1] for a, b in pairs)
    high = max(costs[a].range[1] / costs[b].range[0] for a, b in pairs)
    ratios = tuple((a, b, costs[a].seconds / costs[b].seconds) for a, b in pairs)
    return Audit(claim, times, low, high, ratios)


def _measured(word: str, costs: Mapping[str, Cost]) -> list[str]:
    """Keys of the measured costs that a word of a claim may mean."""
    word = _PLURAL.get(word, word if word in WORDS else word.removesuffix("s"))
    if word not in WORDS:
        raise ValueError(f"the claim's word {word!r} must be one of {', '.join(WORDS)}")
    found = [(key, cost) for kind in WORDS[word] for key, cost in sources(kind, costs).items()]
    return [key for key, cost in found if not (cost.assumed or cost.repeats)]
