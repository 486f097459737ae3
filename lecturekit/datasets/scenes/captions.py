"""What is to be seen, said in words, and read back.

A caption names every object, by number, colour and class, then the background, and where one group lies from
the first: "two red stars in front of grass, left of a blue feather, with three snakes ...". It says that a
group is left of another only where every box of the one ends before every box of the other begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .kinds import BACKGROUNDS, CLASSES, COLOURS, KINDS

NUMBERS = (
    "no",
    "a",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
RELATIONS = ("left of", "right of", "above", "below")

#: So many things of one colour and class: (count, colour, class name).
Group = tuple[int, str, str]


@dataclass(frozen=True)
class Said:
    """What a caption says: its groups in order; where the first lies from the second, if that is said."""

    background: str
    groups: tuple[Group, ...]
    relation: str | None


def describe(background: str, classes: Sequence[int], colours: Sequence[str], boxes: np.ndarray) -> str:
    """A caption that is true of these objects.

    Args:
        background: a key of `BACKGROUNDS`.
        classes: of each object, its class number.
        colours: of each object, the name of its colour.
        boxes: ``(N, 4)``, half open.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for i, (c, colour) in enumerate(zip(classes, colours, strict=True)):
        members.setdefault((colour, CLASSES[c]), []).append(i)
    if not members:
        return f"nothing in front of {background}"
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    first, *others = sorted(members, key=lambda group: -area[members[group]].sum())
    text = f"{_named(len(members[first]), *first)} in front of {background}"
    for other in others:
        word = relation(boxes[members[first]], boxes[members[other]])
        if word:
            text += f", {word} {_named(len(members[other]), *other)}"
            others.remove(other)
            break
    return text + (", with " + _listed([_named(len(members[o]), *o) for o in others]) if others else "")


def relation(a: np.ndarray, b: np.ndarray) -> str | None:
    """How all boxes `a` ``(n, 4)`` lie from all boxes `b` ``(m, 4)``: one of `RELATIONS`, or None."""
    if a[:, 2].max() <= b[:, 0].min():
        return "left of"
    if b[:, 2].max() <= a[:, 0].min():
        return "right of"
    if a[:, 3].max() <= b[:, 1].min():
        return "above"
    return "below" if b[:, 3].max() <= a[:, 1].min() else None


def read(caption: str) -> Said:
    """What a caption of `describe` says.

    Raises:
        ValueError: these are no words of such a caption.
    """
    names = f"(?:{'|'.join(_SINGULAR)})"
    group = rf"(?:{'|'.join(NUMBERS)}|\d+) (?:{'|'.join(COLOURS)}) {names}"
    match = re.fullmatch(
        rf"(?P<first>{group}|nothing) in front of (?P<background>{'|'.join(BACKGROUNDS)})"
        rf"(?:, (?P<relation>{'|'.join(RELATIONS)}) (?P<second>{group}))?"
        rf"(?:, with (?P<rest>{group}(?:, {group})*(?: and {group})?))?",
        caption,
    )
    if not match:
        raise ValueError(f"caption must be like 'two red stars in front of grass', got {caption!r}")
    found = [match["first"], match["second"], *re.findall(group, match["rest"] or "")]
    groups = tuple(_group(text) for text in found if text and text != "nothing")
    return Said(match["background"], groups, match["relation"])


_SINGULAR = {name: kind.name for kind in KINDS for name in (kind.plural, kind.name)}  # the longer name first


def _named(count: int, colour: str, name: str) -> str:
    number = NUMBERS[count] if count < len(NUMBERS) else str(count)
    plural = {kind.name: kind.plural for kind in KINDS}[name]
    return f"{number} {colour} {name if count == 1 else plural}"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _group(text: str) -> Group:
    number, colour, name = text.split()
    return NUMBERS.index(number) if number in NUMBERS else int(number), colour, _SINGULAR[name]
