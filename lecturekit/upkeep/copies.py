"""A reader's own copies of the notebooks: made once, never overwritten, brought up to date cell by cell.

Beside the copies lies ``.edition``, the notebooks as they were copied. With it an update is a three-way
merge by cell id: a cell that you did not touch follows the course, a cell that you did touch stays yours.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ..kit.storage import ROOT, write_atomic

#: The first notebook, by which a folder of the course is known.
START = "00_start_here.ipynb"
_EDITION = ".edition"


def originals() -> Path:
    """The folder with the course's notebooks: of the checkout, or of an installed copy.

    Raises:
        FileNotFoundError: an installation without them.
    """
    for folder in (ROOT / "notebooks", ROOT / "lecturekit" / "notebooks"):
        if (folder / START).is_file():
            return folder
    raise FileNotFoundError("this installation has no notebooks; take the course's wheel or a clone of it")


def bring(work: str | Path) -> list[str]:
    """Copy the notebooks that are not there yet; what is there stays as it is.

    Args:
        work: the folder of the copies; made where it is missing.

    Returns:
        The names of the notebooks that were copied.

    Raises:
        FileNotFoundError: an installation without notebooks.
        OSError: the folder cannot be written.
    """
    work, source = Path(work), originals()
    brought = []
    for original in sorted(source.glob("*.ipynb")):
        if not (work / original.name).exists():
            text = original.read_bytes()
            write_atomic(work / _EDITION / original.name, text)
            write_atomic(work / original.name, text)
            brought.append(original.name)
    _bring_glossary(source, work)
    return brought


def _bring_glossary(source: Path, work: Path) -> None:
    """The page that the notebooks link to, where the copies do not lie beside the checkout's."""
    glossary, wanted = source.parent / "docs" / "glossary.md", work.parent / "docs" / "glossary.md"
    if glossary.is_file() and not wanted.exists():
        write_atomic(wanted, glossary.read_bytes())


@dataclass
class Change:
    """What an update did to one notebook.

    Attributes:
        name: of the notebook.
        new: cells that the new edition added.
        renewed: cells that followed the new edition.
        gone: cells that the new edition dropped.
        yours: cells that both sides changed: yours stays, the course's stands below it.
        problem: why the notebook was left as it was, or "".
    """

    name: str
    new: int = 0
    renewed: int = 0
    gone: int = 0
    yours: list[str] = field(default_factory=list)
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.name}: left as it was ({self.problem})"
        counts = {"new": self.new, "renewed": self.renewed, "dropped": self.gone}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing new"
        kept = f"; {len(self.yours)} that you and the course changed stand one below the other"
        return f"{self.name}: {told}{kept if self.yours else ''}"


def update(work: str | Path) -> list[Change]:
    """Bring a new edition into the copies without touching an answer.

    A copy as it was before is kept in ``.before`` beside them.

    Args:
        work: the folder of the copies, as `bring` made it.

    Returns:
        What changed, one entry for each notebook that did or could not be updated.

    Raises:
        FileNotFoundError: no copies there, or an installation without notebooks.
    """
    work = Path(work)
    if not (work / START).is_file():
        raise FileNotFoundError(f"there are no copies of the notebooks in {work}: `jupyter lab` makes them")
    changes = [Change(name, new=_cells(work / name)) for name in bring(work)]
    for original in sorted(originals().glob("*.ipynb")):
        mine, base = work / original.name, work / _EDITION / original.name
        if not base.exists() or base.read_bytes() != original.read_bytes():
            changes.append(_updated(mine, base, original))
    return changes


def _cells(path: Path) -> int:
    return len(_read(path).cells)


def _read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def _updated(mine: Path, base: Path, original: Path) -> Change:
    """Merge one notebook, write it, and remember the edition that it is of now."""
    change = Change(mine.name)
    try:
        ours, theirs = _read(mine), _read(original)
        before = _read(base) if base.exists() else theirs
    except Exception as error:  # whatever is wrong with the file, it is the reader's and stays
        change.problem = f"{type(error).__name__}: it cannot be read"
        return change
    merged = merge(before, ours, theirs, change)
    write_atomic(mine.parent / ".before" / f"{datetime.now():%Y%m%d-%H%M%S}" / mine.name, mine.read_bytes())
    write_atomic(mine, nbformat.writes(merged))
    write_atomic(base, original.read_bytes())
    return change


def merge(base: NotebookNode, mine: NotebookNode, new: NotebookNode, change: Change) -> NotebookNode:
    """Three notebooks into one, cell by cell.

    Args:
        base: the edition that `mine` was copied from.
        mine: the reader's copy.
        new: the new edition.
        change: filled with what happened.

    Returns:
        The notebook in the new edition's order. A cell of the reader's own follows the cell it followed.
    """
    before = {cell.id: cell for cell in base.cells}
    kept = {cell.id: cell for cell in mine.cells}
    cells = []
    for cell in new.cells:
        if cell.id not in before:
            change.new += cell.id not in kept
            cells.append(kept.get(cell.id, cell))
        elif cell.id in kept:  # else the reader deleted it
            cells += _one_of(before[cell.id], kept, cell, change)
    wanted = {cell.id for cell in (*new.cells, *cells)}
    for place, cell in enumerate(mine.cells):
        if cell.id in wanted:
            continue
        if cell.id in before and cell.source == before[cell.id].source:
            change.gone += 1  # the course dropped it, and the reader never touched it
            continue
        _insert(cells, cell, [c.id for c in mine.cells[:place]])
    merged = copy.deepcopy(mine)
    merged.cells = cells
    return merged


def _one_of(
    base: NotebookNode, kept: dict[str, NotebookNode], new: NotebookNode, change: Change
) -> list[NotebookNode]:
    """The cell that stays, or both where both sides changed it.

    The course's cell of an earlier update makes room for its next version, unless the reader wrote in it.
    """
    mine = kept[new.id]
    if new.source == base.source or new.source == mine.source:
        return [mine]
    if mine.source == base.source:
        change.renewed += 1
        return [new]
    change.yours.append(mine.id)
    beside = copy.deepcopy(new)
    names = (f"{new.id[:56]}-new{number or ''}" for number in itertools.count())
    beside.id = next(n for n in names if n not in kept or kept[n].source in (base.source, new.source))
    return [mine, beside]


def _insert(cells: list[NotebookNode], cell: NotebookNode, before: list[str]) -> None:
    """Put the cell behind the nearest of those that stood before it and are still there."""
    places = {c.id: k for k, c in enumerate(cells)}
    after = next((places[i] for i in reversed(before) if i in places), -1)
    cells.insert(after + 1, cell)


def start(folder: str | Path) -> Path:
    """A folder of one's own for the course, with copies in ``work``.

    Args:
        folder: made where it is missing.

    Returns:
        The first notebook's copy.
    """
    bring(Path(folder) / "work")
    return Path(folder) / "work" / START
