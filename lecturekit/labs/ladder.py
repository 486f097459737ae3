"""Your own ladder: what a label cost and what came of it, one table that grows with the course.

Chapters in which you label or train add their rows with :func:`add`; those of one measure can be compared.
(The ladder that compares all kinds of label alike is :mod:`lecturekit.labs.rung`.) They are kept in
``ladder.json`` under :func:`lecturekit.kit.storage.data_dir`, so that the table is still there tomorrow and
in the next notebook.
"""

from __future__ import annotations

import html
import numbers
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..kit import records
from ..kit.checks import number, shortened
from ..kit.storage import data_dir

#: Thirty years of work on one label; a larger number is a slip.
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
        caption = "<caption>Your ladder: what a label costs and how far it takes you</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


_HEAD = ("Chapter", "Label", "Seconds a picture", "Quality", "Measured by", "Note")


def _cells(row: Row) -> tuple[str, ...]:
    return row.chapter, row.label, f"{row.seconds:g}", f"{row.quality:.3f}", row.measure, row.note


def _html_cells(row: Row) -> str:
    cells = (
        html.escape(cell).replace("_", "_<wbr>") for cell in _cells(row)
    )  # long names may be broken there
    return "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells)


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
