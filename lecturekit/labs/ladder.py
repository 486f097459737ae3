"""The ladder: what each kind of label costs and how far it takes you, one table that grows with the course.

Each chapter adds its rows with :func:`add`. They are kept in ``ladder.json`` under
:func:`lecturekit.kit.storage.data_dir`, so that the table is still there tomorrow and in the next notebook.
"""

from __future__ import annotations

import html
import math
import numbers
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation
from scipy.optimize import isotonic_regression
from torch import Tensor

from ..kit import records
from ..kit.checks import number, shortened
from ..kit.storage import data_dir
from ..plots import PALETTE, STYLE

#: Thirty years of work on one label; a larger number is a slip, and no plot has room for it.
MAX_SECONDS = 10**9


@dataclass(frozen=True)
class Row:
    """One rung: what a label of this kind costs and what was reached with it.

    Attributes:
        chapter: name of the notebook, such as ``"05_class_activation_maps"``.
        label: kind of label, such as ``"image class"``. With `chapter` it identifies the row.
        seconds: of annotation, for a picture unless `note` says for what else; 0 to `MAX_SECONDS`.
        quality: what was reached, 0 to 1.
        measure: what `quality` is, such as ``"mean IoU"``. Compare rows of one measure only.
        note: where the seconds come from, or what else a reader should know.

    Raises ``ValueError`` or ``TypeError`` for anything else, naming it.
    """

    chapter: str
    label: str
    seconds: float
    quality: float
    measure: str
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("chapter", "label", "measure"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ValueError(
                    f"{name} must be a text that is not empty, got {shortened(getattr(self, name))}"
                )
        if not isinstance(self.note, str):
            raise TypeError(f"note must be a text, got {shortened(self.note)}")
        for name in ("chapter", "label", "measure", "note"):
            if any("\ud800" <= letter <= "\udfff" for letter in getattr(self, name)):
                raise ValueError(
                    f"{name} must be Unicode that can be saved, got {shortened(getattr(self, name))}"
                )
        for name, most in (("seconds", MAX_SECONDS), ("quality", 1)):
            object.__setattr__(self, name, _number(name, getattr(self, name), most))


def _number(name: str, value: object, most: float) -> float:
    """`value` as a float; a NumPy number or a tensor of one element will do, a bool or a text will not."""
    if isinstance(value, np.generic | np.ndarray | Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {shortened(value)}")
    return number(name, value, 0, most)


class Table(tuple):
    """Rows of the ladder, shown as a table: HTML in a notebook, aligned text elsewhere."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self:
            return "The ladder has no rows yet."
        lines = [_HEAD, *map(_cells, self)]
        widths = [max(len(line[k]) for line in lines) for k in range(len(_HEAD))]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        if not self:
            return "<p>The ladder has no rows yet.</p>"
        head = "".join(f'<th scope="col" style="text-align: left">{title}</th>' for title in _HEAD)
        body = "".join(f"<tr>{_html_cells(row)}</tr>" for row in self)
        caption = "<caption>The ladder: what a label costs and how far it takes you</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


_HEAD = ("Chapter", "Label", "Seconds a picture", "Quality", "Measured by", "Note")


def _cells(row: Row) -> tuple[str, ...]:
    return row.chapter, row.label, f"{row.seconds:g}", f"{row.quality:.3f}", row.measure, row.note


def _html_cells(row: Row) -> str:
    return "".join(f'<td style="text-align: left">{html.escape(cell)}</td>' for cell in _cells(row))


def path() -> Path:
    """The file that holds the ladder."""
    return data_dir() / "ladder.json"


def add(chapter: str, label: str, seconds: float, quality: float, measure: str, note: str = "") -> Row:
    """Put a row on the ladder, in place of the one of the same chapter and label; see :class:`Row`."""
    row = Row(chapter, label, seconds, quality, measure, note)
    with records.locked(path()):
        kept = [r for r in _load() if (r.chapter, r.label) != (row.chapter, row.label)]
        _save([*kept, row])
    return row


def remove(chapter: str, label: str | None = None) -> None:
    """Take the rows of a chapter, or only the one of `label`, off the ladder."""
    with records.locked(path()):
        _save([r for r in _load() if r.chapter != chapter or label not in (None, r.label)])


def table() -> Table:
    """All rows by chapter, the cheapest label of a chapter first."""
    with records.locked(path(), reading=True) as writable:
        return Table(sorted(_load(writable), key=lambda r: (r.chapter, r.seconds, r.label)))


def _save(rows: Sequence[Row]) -> None:
    records.write(path(), {"version": 1, "rows": [asdict(row) for row in rows]})


def _load(writable: bool = True) -> list[Row]:
    """Rows of the file. A file with damage is set aside, and what is sound in it goes into a new one."""
    content = records.read(path(), writable)
    if content is None:
        return []
    entries = content.get("rows") if isinstance(content, dict) else None
    rows = [_row(entry) for entry in entries] if isinstance(entries, list) else [None]
    sound = [row for row in rows if row is not None]
    if len(sound) < len(rows) and writable:
        records.set_aside(path())
        _save(sound)
    return sound


def _row(entry: Any) -> Row | None:
    """The row that a JSON object describes, or None; what later versions may add to it is left out."""
    try:
        return Row(**{f.name: entry[f.name] for f in fields(Row)})
    except (KeyError, TypeError, ValueError):
        return None


#: Symbols of the measures, in the order in which the measures come in the table.
_SYMBOLS = "osD^vP*X"


def plot(rows: Sequence[Row] | None = None) -> Figure:
    """Quality against seconds a picture (logarithmic), each point with its label, a symbol for each measure.

    `rows` are those of :func:`table` unless given. Labels without cost stand at the left edge, at 0 s.
    """
    rows = table() if rows is None else rows
    with matplotlib.rc_context(cast(Any, STYLE)):
        figure, axis = plt.subplots(figsize=(7.5, 4.2))
        _draw_axes(axis, rows)
        for k, measure in enumerate(measures(rows)):
            _draw_points(axis, [r for r in rows if r.measure == measure], k)
        _write_labels(axis, rows)
        _write_legend(axis, rows)
    return figure


def measures(rows: Sequence[Row]) -> list[str]:
    """The different measures among `rows`, in the order in which they come."""
    return list(dict.fromkeys(row.measure for row in rows))


def alt_text(rows: Sequence[Row] | None = None) -> str:
    """What :func:`plot` shows, in words."""
    rows = table() if rows is None else rows
    points = "; ".join(f"{r.label}, {r.seconds:g} s: {r.quality:.2f} {r.measure} ({r.chapter})" for r in rows)
    return f"Quality against seconds of annotation a picture. {points or 'No points yet'}."


def _draw_axes(axis: Axes, rows: Sequence[Row]) -> None:
    axis.set(xlabel="seconds of annotation a picture", ylabel="quality", ylim=(-0.05, 1.1))
    axis.set_xscale("symlog", linthresh=1, linscale=0.4)  # logarithmic above 1 s, and it has a place for 0
    axis.set_xlim(-0.2, max([10_000.0, *(15 * row.seconds for row in rows)]))
    ticks = [tick for tick in (0, 1, 10, 100, 1000, 10_000, 100_000) if tick <= axis.get_xlim()[1]]
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks], minor=False)
    axis.grid(alpha=0.3)
    if not rows:
        axis.text(0.5, 0.5, "no rows yet", transform=axis.transAxes, ha="center", va="center")


def _draw_points(axis: Axes, rows: Sequence[Row], k: int) -> None:
    """Points of the measure number `k`, told apart by symbol and, once more, by colour."""
    colour = PALETTE[1:][k % 7] if k % 7 != 3 else PALETTE[0]  # black for yellow, which white paper swallows
    axis.scatter(
        [r.seconds for r in rows],
        [r.quality for r in rows],
        marker=_SYMBOLS[k % len(_SYMBOLS)],
        color=colour,
        edgecolor="black",
        s=60,
        zorder=3,
        label=rows[0].measure.replace("$", r"\$"),  # no formula
    )


def _write_legend(axis: Axes, rows: Sequence[Row]) -> None:
    """Above the axes, where no point can be: which symbol is which measure."""
    if rows:
        title = "Symbol: what the quality is measured by. Compare like symbols only."
        axis.legend(title=title, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, alignment="left")


def _write_labels(axis: Axes, rows: Sequence[Row]) -> None:
    """Label kind and chapter number right of each point, with a thin line to it where it had to move."""
    beside = axis.transData + ScaledTranslation(9 / 72, 0, axis.figure.dpi_scale_trans)
    for row, height in zip(rows, _spread([(r.seconds, r.quality) for r in rows]), strict=True):
        axis.annotate(
            f"{row.label} ({row.chapter.split('_')[0]})".replace("$", r"\$"),  # no formula
            (row.seconds, row.quality),
            xytext=(row.seconds, height),
            textcoords=beside,
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": "0.6", "relpos": (0, 0.5)}
            if abs(height - row.quality) > 0.02
            else None,
        )


def _spread(points: Sequence[tuple[float, float]], gap: float = 0.055, reach: float = 1.2) -> list[float]:
    """Heights for texts right of `points` (seconds, quality): as near to their points as the room allows.

    A text is `reach` powers of ten long. Texts that could meet form a stack in the order of their points, so
    that no two lines of a column cross, at least `gap` apart and as near their points as that allows (least
    squares).
    """
    heights = np.array([quality for _, quality in points])
    by_cost = sorted(range(len(points)), key=lambda i: points[i][0])
    stacks: list[list[int]] = []
    for i in by_cost:
        beyond = not stacks or _decades(points[i][0]) - _decades(points[stacks[-1][-1]][0]) >= reach
        stacks[-1:] = [*stacks[-1:], [i]] if beyond else [[*stacks[-1], i]]
    for stack in stacks:
        stack.sort(key=lambda i: points[i][1])
        steps = gap * np.arange(len(stack))
        room = max(0.0, 1 - steps[-1])
        heights[stack] = isotonic_regression(heights[stack] - steps).x.clip(0, room) + steps
    return heights.tolist()


def _decades(seconds: float) -> float:
    return math.log10(max(seconds, 1))
