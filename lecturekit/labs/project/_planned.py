"""What `plan` answers: the ways to spend the hours, as a table, as a figure, and in money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ...plots import PALETTE, STYLE


@dataclass(frozen=True)
class Option:
    """One way to spend the hours.

    Attributes:
        pictures: how many get each kind of label.
        hours: that are spent; fewer than there are where the folder is labelled before they are over.
        quality: mean IoU to expect, 0..1.
        low: of the interval, which holds 95 % of what may happen.
        high: of the interval.
        best: share of the draws in which no other option is better.
    """

    pictures: Mapping[str, int]
    hours: float
    quality: float
    low: float
    high: float
    best: float = 0.0

    @property
    def name(self) -> str:
        """``boxes``, or ``boxes + 10 % masks``."""
        total = max(1, sum(self.pictures.values()))
        kinds = list(self.pictures)
        if len(kinds) == 1:
            return kinds[0]
        return f"{kinds[0]} + {100 * self.pictures['masks'] / total:.0f} % masks"

    def __str__(self) -> str:
        many = " + ".join(f"{n} {kind}" for kind, n in self.pictures.items())
        return f"{many}: {self.quality:.2f} ({self.low:.2f} to {self.high:.2f}) in {_hours(self.hours)} h"


@dataclass(frozen=True)
class Plan:
    """What `plan` answers.

    Attributes:
        options: every kind, and the best mixture of each with masks; the best first, and of those that are
            about the same quality the one of fewer hours.
        changes: what the best option would be if something were otherwise.
        hours_needed: for each option's name the hours until `quality` is to be expected; None where the
            folder never gives it. Empty unless a quality was asked for.
        doubts: what the reader should know before believing it.
        wage: what an hour of labelling costs; None: money is not spoken of.
        currency: of the wage.
    """

    options: tuple[Option, ...]
    changes: Mapping[str, Option]
    hours_needed: Mapping[str, float | None] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    wage: float | None = None
    currency: str = ""

    @property
    def best(self) -> Option:
        """The option to expect most of."""
        return self.options[0]

    def cost(self, hours: float) -> str:
        """What so many hours cost, such as ``"45 EUR"``; nothing where no wage was named.

        Args:
            hours: of labelling.
        """
        if self.wage is None:
            return ""
        return f"{hours * self.wage:,.{0 if hours * self.wage >= 10 else 2}f} {self.currency}".rstrip()

    def __str__(self) -> str:
        head = ["label", "pictures", "hours", "mean IoU", "95 % interval", "best in"]
        lines = [head, *(_cells(option) for option in self.options)]
        if self.wage is not None:
            for line, cell in zip(lines, ["cost", *(self.cost(o.hours) for o in self.options)], strict=True):
                line.insert(3, cell)
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        text += ["", f"Draw {self._said(self.best)}.", "", "What would change it:"]
        text += [f"  {what}: {self._said(option)}" for what, option in self.changes.items()]
        for name, hours in self.hours_needed.items():
            words = "never in this folder" if hours is None else f"{_hours(hours)}{self._priced(hours)}"
            text.append(f"  hours needed with {name}: {words}")
        return "\n".join([*text, *(f"Note: {doubt}" for doubt in self.doubts)])

    __repr__ = __str__

    def _priced(self, hours: float) -> str:
        return f" ({self.cost(hours)})" if self.wage is not None else ""

    def _said(self, option: Option) -> str:
        return f"{option}{self._priced(option.hours)}"

    def figure(self) -> Figure:
        """The options as dots with their intervals, the best on top; close it or hand it to `plots.show`."""
        with matplotlib.rc_context(STYLE):
            drawn, axis = plt.subplots(figsize=(6.4, 0.6 + 0.32 * len(self.options)))
            for row, option in enumerate(self.options):
                colour = PALETTE[6] if row == 0 else PALETTE[5]
                axis.plot([option.low, option.high], [row, row], color=colour, linewidth=2)
                axis.plot(option.quality, row, "o", color=colour, markersize=7)
            names = []
            for o in self.options:
                money = f", {self.cost(o.hours)}" if self.wage is not None else ""
                names.append(f"{o.name} ({sum(o.pictures.values())} pictures, {_hours(o.hours)} h{money})")
            axis.set_yticks(range(len(self.options)), names)
            axis.set(
                xlim=(0, 1),
                ylim=(len(self.options) - 0.4, -0.6),
                xlabel="mean IoU to expect, with 95 % interval",
            )
        return drawn

    def alt_text(self) -> str:
        """What `figure` shows, in words."""
        parts = [f"{o.name} {o.quality:.2f} ({o.low:.2f} to {o.high:.2f})" for o in self.options]
        return f"Mean IoU to expect with 95 % interval: {'; '.join(parts)}."


def _cells(option: Option) -> list[str]:
    interval = f"{option.low:.2f} to {option.high:.2f}"
    many = str(sum(option.pictures.values()))
    return [
        option.name,
        many,
        _hours(option.hours),
        f"{option.quality:.2f}",
        interval,
        f"{100 * option.best:.0f} %",
    ]


def _hours(hours: float) -> str:
    """To a tenth; below one to a hundredth."""
    return f"{hours:.{1 if hours >= 1 else 2}f}"
