"""Which labels to draw in the hours there are: what each kind buys, how surely, and what would change it.

The curves are those that ``bench project`` measured on photographs with everyday objects. They know nothing
of the pictures in the reader's folder; what the first students of the project reached there (`pilot`) does.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kit.checks import choice, number, whole
from ...labels.costs import COSTS, Cost, price, seconds_an_image, sources
from ..stopwatch import CLASSES, Measure, summary
from ._curves import KINDS, Curves, logit, measured
from ._planned import Option, Plan

#: Shares of the pictures that get a mask in the mixtures that are looked at.
MASKED = (0.05, 0.1, 0.2, 0.3, 0.5)
#: How much people differ: standard deviation of the logarithm of their speed. Assumed, not measured: one in
#: three takes 1.35 times as long or longer. Your own seconds make it unnecessary.
PEOPLE = 0.3
#: Kinds of the stopwatch lab that price a kind of label.
STOPWATCH = {"tags": "image_class", "clicks": "point", "scribbles": "scribble", "masks": "polygon"}
#: Share of the draws that an interval holds.
SHARE = 0.95
#: No picture is labelled in fewer seconds.
LEAST = 0.5
#: Qualities that differ by no more are the same to us: the plan then prefers what costs fewer hours.
TIE = 0.005
#: How often the unknown is drawn.
DRAWS = 2000


@dataclass(frozen=True)
class Pilot:
    """What the project has reached so far: the anchor of the next plan.

    Attributes:
        pictures: how many had each kind of label when the student was trained.
        quality: mean IoU on the pictures set aside, as the report has it.
        low: of its 95 % interval.
        high: of its 95 % interval.
    """

    pictures: Mapping[str, int]
    quality: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _checked_kinds(self.pictures)
        for name in ("quality", "low", "high"):
            number(name, getattr(self, name), 0, 1)
        if not self.low <= self.quality <= self.high:
            raise ValueError(
                f"low, quality, high must be in this order, got {self.low}, {self.quality}, {self.high}"
            )


def plan(
    hours: float,
    pictures: int,
    *,
    objects: float = 2.0,
    classes: int = 2,
    prices: Mapping[str, float | Cost] | None = None,
    kinds: Sequence[str] | None = None,
    quality: float | None = None,
    pilot: Pilot | None = None,
    test: int | None = None,
    familiar: bool = False,
    masked: Sequence[float] = MASKED,
    curves: Curves | None = None,
    seed: int = 0,
    wage: float | None = None,
    currency: str = "EUR",
) -> Plan:
    """Which labels to draw: what each kind, and a kind everywhere with masks on a few, buys in so many hours.

    An interval holds what is not known: how fast this person is (`PEOPLE`), how far the sources of a price
    lie apart, which pictures are drawn and which seed the student has, on which pictures the curves were
    judged, on which the result will be, and how much this task differs from those that were measured.

    Args:
        hours: there are for labelling, above 0.
        pictures: that can be labelled, at least 1.
        objects: of these classes a picture, on average, above 0.
        classes: how many, without background.
        prices: seconds that take the place of the literature's, by kind of `KINDS`: a number of seconds an
            object (a picture for ``tags``), or a `labels.costs.Cost`; `own_prices` makes them from the
            stopwatch. Naming the classes, a second each, comes on top.
        kinds: which of `KINDS` to look at; None for all.
        quality: mean IoU that is wanted, 0..1: the plan then says how many hours each option needs.
        pilot: what the project has reached so far.
        test: pictures that the result will be judged on; None: as many as judged the curves.
        familiar: the pictures are of the kind that the curves were measured on, so tasks do not differ.
        masked: shares of the pictures that get a mask, in the mixtures that are looked at; the smallest of
            those that are level is offered.
        curves: other curves than the measured ones.
        seed: of the draws.
        wage: what an hour of labelling costs: the plan then says the cost of each option, too. None: it
            speaks of hours alone, for what an hour costs is for the reader to say.
        currency: of the wage, as it is to be written behind a sum.

    Raises:
        ValueError: an argument out of its range, or hours for not even one picture.
        FileNotFoundError: this edition brings no curves.

    Example:
        >>> answer = plan(2, 300, classes=2, objects=1.5)
        >>> answer.best.low < answer.best.quality < answer.best.high
        True
    """
    asked = _Asked(
        number("hours", hours, 0, open_=True),
        whole("pictures", pictures, 1),
        number("objects", objects, 0, open_=True),
        whole("classes", classes, 1, 254),
        {kind: _cost(kind, cost) for kind, cost in (prices or {}).items()},
        _checked_kinds(KINDS if kinds is None else kinds),
        pilot,
        None if test is None else whole("test", test, 1),
        bool(familiar),
        measured() if curves is None else curves,
        tuple(number("masked", share, 0, 1, open_=True) for share in masked),
        whole("seed", seed),
    )
    options = asked.options()
    if not options:
        raise ValueError(f"hours must be enough to label one picture, got {hours}")
    if wage is not None:
        number("wage", wage, 0)
    needed = {}
    if quality is not None:
        number("quality", quality, 0, 1)
        needed = {option.name: asked.hours_for(option, quality) for option in options}
    return Plan(options, asked.changes(options[0]), needed, asked.doubts(), wage, currency)


def own_prices(measures: Iterable[Measure]) -> dict[str, Cost]:
    """Your own prices from the stopwatch lab, for `plan`: medians, with the range that their number allows.

    Args:
        measures: of the lab, as `stopwatch.measures` or a `stopwatch.Record` has them; three of a kind at
            least, or the kind is left out.
    """
    found = summary(measures)
    names = dict(STOPWATCH) | {"boxes": "extreme" if "extreme" in found else "box"}
    prices = {}
    for kind, name in names.items():
        if name not in found or found[name].count < 3:
            continue
        one = found[name]
        low, high = one.quartiles
        apart = max(1.05, high / low) ** (1.96 / 1.35 / one.count**0.5)  # quartiles lie 1.35 deviations apart
        note = f"your own, {one.count} labels"
        prices[kind] = replace(
            COSTS[KINDS[kind]],
            seconds=one.seconds,
            low=one.seconds / apart,
            high=one.seconds * apart,
            classes=len(CLASSES) if kind == "tags" else None,
            source="stopwatch",
            note=note,
            assumed=False,
        )
    return prices


def _checked_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """The kinds asked for, in the order of `KINDS`."""
    given = [kinds] if isinstance(kinds, str) else list(kinds)
    if not given:
        raise ValueError("kinds must name at least one, got none")
    for kind in given:
        choice("kinds", kind, KINDS)
    return tuple(kind for kind in KINDS if kind in given)


def _cost(kind: str, cost: float | Cost) -> Cost:
    """A price of the reader's own."""
    choice("prices", kind, KINDS)
    if isinstance(cost, Cost):
        return cost
    seconds = number(f"prices[{kind!r}]", cost, 0, open_=True)
    whole_price = {"low": None, "high": None, "classes": None, "source": "yours", "assumed": False}
    return replace(COSTS[KINDS[kind]], seconds=seconds, **whole_price)


def ordered(
    pairs: Sequence[tuple[Option, NDArray[np.float64]]],
) -> list[tuple[Option, NDArray[np.float64]]]:
    """The best first; of options that are the same within `TIE` the one of fewer hours, to a tenth.

    Args:
        pairs: options, and what goes with each.
    """
    left = sorted(pairs, key=lambda pair: -pair[0].quality)
    found = []
    while left:
        level = [pair for pair in left if left[0][0].quality - pair[0].quality <= TIE]
        cheapest = min(level, key=lambda pair: round(pair[0].hours, 1))
        left = [pair for pair in left if pair is not cheapest]
        found.append(cheapest)
    return found


@dataclass(frozen=True)
class _Asked:
    """The arguments of one call of `plan`."""

    hours: float
    pictures: int
    objects: float
    classes: int
    prices: Mapping[str, Cost]
    kinds: tuple[str, ...]
    pilot: Pilot | None
    test: int | None
    familiar: bool
    curves: Curves
    masked: tuple[float, ...]
    seed: int

    def options(self) -> tuple[Option, ...]:
        """Every kind, and the best mixture of each with masks; in the order of `ordered`."""
        found = [self.option({kind: 1.0}) for kind in self.kinds]
        if "masks" in self.kinds:
            for kind in (kind for kind in self.kinds if kind in self.curves.exponents):
                mixtures = [{kind: 1 - share, "masks": share} for share in sorted(self.masked)]
                best = max(map(self.expected, mixtures), default=0)
                found += [self.option(s) for s in mixtures if self.expected(s) >= best - TIE][:1]
        pairs = ordered([pair for pair in found if pair])
        if not pairs:
            return ()
        winners = np.bincount(np.stack([draws for _, draws in pairs]).argmax(0), minlength=len(pairs))
        shares = winners / winners.sum()
        return tuple(replace(o, best=float(share)) for (o, _), share in zip(pairs, shares, strict=True))

    def expected(self, shares: Mapping[str, float]) -> float:
        """What to expect of a mixture if everything is as it is most likely; 0 where it cannot be paid."""
        count = min(self.pictures, int(self.hours * 3600 / self.seconds(shares)))
        if not all(split(count, shares).values()):
            return 0.0
        return float(self.curves.quality(shares, count * self.objects / self.classes, self.classes))

    def option(self, shares: Mapping[str, float]) -> tuple[Option, NDArray[np.float64]] | None:
        """An option and the quality in each draw; None where the hours do not buy all that it names."""
        seconds = self.seconds(shares)
        count = min(self.pictures, int(self.hours * 3600 / seconds))
        counts = split(count, shares)
        if not all(counts.values()):
            return None
        many = np.clip(self.hours * 3600 / self.seconds(shares, drawn=True), 1, self.pictures)
        draws = self.quality(shares, many)
        low, middle, high = np.quantile(draws, (0.5 - SHARE / 2, 0.5, 0.5 + SHARE / 2))
        return Option(counts, count * seconds / 3600, float(middle), float(low), float(high)), draws

    def seconds(self, shares: Mapping[str, float], drawn: bool = False) -> Any:
        """Seconds a picture, the mean over the kinds: what to expect, or one number a draw."""
        total: Any = 0.0
        for kind, share in shares.items():
            expected, apart = self.price(kind)
            factor = 1.0
            if drawn:
                factor = np.exp(apart * self.normal("price", kind))
                if kind not in self.prices:  # who knows their own seconds knows their speed
                    factor = factor * np.exp(PEOPLE * self.normal("person"))
            total = total + share * expected * factor
        return total

    def price(self, kind: str) -> tuple[float, float]:
        """Seconds a picture, and the standard deviation of their logarithm between sources."""
        costs = [self.prices[kind]] if kind in self.prices else [*sources(KINDS[kind]).values()]
        each = [seconds_an_image(cost, self.objects, self.classes) for cost in costs]
        low, high = min(low for _, low, _ in each), max(high for *_, high in each)
        return max(each[0][0], LEAST), float(np.log(max(high, LEAST) / max(low, LEAST)) / 3.92)

    def quality(self, shares: Mapping[str, float], pictures: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean IoU in each draw."""
        curves = self.curves
        value = curves.quality(shares, pictures * self.objects / self.classes, self.classes)
        shift, doubt = self.task()
        value = _squashed(logit(value) + shift + doubt * self.normal("task"))
        judged = curves.judged / curves.parts**0.5 * self.normal("curve")
        own = curves.judged * (curves.judged_pictures / (self.test or curves.judged_pictures)) ** 0.5
        student = curves.spread(shares) * self.normal("student", *shares, *map(str, shares.values()))
        return np.clip(value + judged + own * self.normal("test") + student, 0, 1)

    def task(self) -> tuple[float, float]:
        """How far this task lies from those measured, in logits: what to expect, and standard deviation."""
        prior = 0.0 if self.familiar else self.curves.tasks
        if self.pilot is None or prior == 0:
            return 0.0, prior
        total = sum(self.pilot.pictures.values())
        shares = {kind: n / total for kind, n in self.pilot.pictures.items()}
        guess = self.curves.quality(shares, total * self.objects / self.classes, self.classes)
        apart = float(logit(self.pilot.quality) - logit(guess))
        error = float(logit(self.pilot.high) - logit(self.pilot.low)) / 3.92
        error = np.hypot(error, self.curves.spread(shares) * 4)  # the logit's slope is 4 in the middle
        weight = prior**2 / (prior**2 + error**2)
        return apart * weight, prior * (1 - weight) ** 0.5

    def normal(self, *about: str) -> NDArray[np.float64]:
        """Standard normal numbers, the same for the same names: options share in a draw what they share."""
        name = zlib.crc32("/".join(about).encode())
        return np.random.default_rng([self.seed, name]).standard_normal(DRAWS)

    def changes(self, best: Option) -> dict[str, Option]:
        """The best option if one thing were otherwise."""
        kind = next(iter(best.pictures))
        dearer = replace(self, prices={**self.prices, kind: self.scaled(kind, 2)})
        others = {
            "half the hours": replace(self, hours=self.hours / 2),
            "twice the hours": replace(self, hours=self.hours * 2),
            "twice the objects a picture": replace(self, objects=self.objects * 2),
            f"{kind} at twice the price": dearer,
        }
        if "masks" in self.kinds and kind != "masks":
            halved = {**self.prices, "masks": self.scaled("masks", 0.5)}
            others["masks at half the price"] = replace(self, prices=halved)
        if sum(best.pictures.values()) == self.pictures:
            others["twice the pictures"] = replace(self, pictures=self.pictures * 2)
        return {what: other.options()[0] for what, other in others.items() if other.options()}

    def scaled(self, kind: str, factor: float) -> Cost:
        """The price of a kind, so many times."""
        cost = self.prices.get(kind) or price(KINDS[kind])
        low, high = (None if value is None else factor * value for value in (cost.low, cost.high))
        return replace(cost, seconds=factor * cost.seconds, low=low, high=high)

    def hours_for(self, option: Option, quality: float) -> float | None:
        """Hours until this quality is to be expected; None where the whole folder does not give it."""
        total = sum(option.pictures.values())
        shares = {kind: n / total for kind, n in option.pictures.items()}
        many = np.unique(np.geomspace(1, self.pictures, 400).round())
        value = self.curves.quality(shares, many * self.objects / self.classes, self.classes)
        enough = many[_squashed(logit(value) + self.task()[0]) >= quality]
        return float(enough[0] * self.seconds(shares) / 3600) if len(enough) else None

    def doubts(self) -> tuple[str, ...]:
        """What the reader should know before believing the plan."""
        said = []
        many = self.pictures * self.objects / self.classes
        if many > 1.5 * self.curves.longest:
            said.append(
                f"the folder has {many:.0f} objects a class; the curves end at {self.curves.longest:.0f}"
            )
        if self.pilot is None and not self.familiar:
            said.append(
                "nothing is known of your pictures yet: label ten, train, report, plan again (`pilot`)"
            )
        if "scribbles" in self.kinds and "scribbles" not in self.prices:
            said.append("the price of a scribble is assumed, nobody measured it")
        return tuple(said)


def split(pictures: int, shares: Mapping[str, float]) -> dict[str, int]:
    """So many pictures divided by shares, whole numbers that add up to it.

    Args:
        pictures: how many.
        shares: by kind; they add up to 1.

    Example:
        >>> split(25, {"boxes": 0.9, "masks": 0.1})
        {'boxes': 23, 'masks': 2}
    """
    ends = np.rint(np.cumsum([*shares.values()]) * pictures + 1e-9).astype(int)
    return dict(zip(shares, np.diff(ends, prepend=0).tolist(), strict=True))


def _squashed(value: Any) -> Any:
    return 1 / (1 + np.exp(-value))
