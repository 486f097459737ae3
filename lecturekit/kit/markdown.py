"""Tables of Markdown, as benchmarks print them and the teacher's pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table of Markdown, without a line break at its end.

    Args:
        head: the headings.
        rows: as many cells each; anything that ``str`` makes a text of.

    Example:
        >>> print(table(["name", "n"], [["a|b", 1]]))
        | name | n |
        |---|---|
        | a\\|b | 1 |
    """
    ruled = "|" + "---|" * len(head)
    return "\n".join([_line(head), ruled, *map(_line, rows)])


def _line(cells: Iterable[object]) -> str:
    """One row; line breaks would end it, and a pipe its cell."""
    return f"| {' | '.join(' '.join(str(cell).split()).replace('|', chr(92) + '|') for cell in cells)} |"
