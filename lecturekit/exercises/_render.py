"""How messages look: HTML where a front end shows it, the same words as plain text elsewhere."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle

#: Between asterisks that hug their words: ``*so*``, and not ``a * b`` or ``f(*a, **b)``.
_EMPHASIS = re.compile(r"(?<![\w*])\*([^\s*](?:[^*]*[^\s*])?)\*(?!\*)")


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """The parts of `text`, each with its tag: code between backticks, em between asterisks, or none."""
    for k, part in enumerate(re.split(r"`([^`\n]+)`", text)):
        if k % 2:
            yield "code", part
        else:
            yield from zip(cycle(("", "em")), _EMPHASIS.split(part))


def inline_html(text: str) -> str:
    """`text` as HTML: escaped, with `code` and *emphasis*, and a line break for each newline."""
    parts = ((tag, html.escape(part, quote=False)) for tag, part in pieces(text))
    return "".join(f"<{tag}>{part}</{tag}>" if tag else part for tag, part in parts).replace("\n", "<br>")


def box(symbol: str, word: str, title: str, text: str, colour: str, below: str = "") -> str:
    """HTML of a message: a symbol and a word say what it is, the coloured bar only repeats it."""
    return (
        f'<div style="border-left: 5px solid {colour}; padding: 0.4em 0.9em; margin: 0.3em 0">'
        f"<strong>{symbol} {html.escape(word)}</strong> · {inline_html(title)}"
        f"<div>{inline_html(text)}</div>{below}</div>"
    )


class Note(str):
    """Text that a notebook shows as Markdown and a console as it stands."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return str(self)


def show(thing: object) -> None:
    """Show `thing` at once: richly in a notebook, as text elsewhere."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(thing)
    else:
        print(thing)


HINT_NAMES = ("a nudge", "in words", "nearly the code")


class Hinted:
    """Something with three hints, revealed one after the other."""

    hints: Sequence[str]
    _revealed = 0
    _after_hints = "(the last one)"

    def hint(self, number: int | None = None) -> Note:
        """The next hint, or hint `number` (1 is a nudge, 2 says how in words, 3 is nearly the code)."""
        count = len(self.hints)
        if number is not None and number not in range(1, count + 1):
            return Note(f"There are {count} hints: ask for hint(1), hint(2) or hint(3).")
        self._revealed = number or min(self._revealed + 1, count)
        rest = count - self._revealed
        more = f"({rest} more: call hint() again)" if rest else self._after_hints
        at = self._revealed - 1
        return Note(f"**Hint {at + 1}, {HINT_NAMES[at]}.** {self.hints[at].strip()}\n\n{more}")
