"""Checks of arguments, one of each: what is wrong is said before any work is done.

Every check returns the value in plain Python, so that it reads ``side = whole("side", side, 32)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TypeVar

Choice = TypeVar("Choice")


def whole(name: str, value: object, min_: float = 0, max_: float = math.inf) -> int:
    """The whole number `value`, from any library; not a bool, which is a slip where a number is meant.

    Args:
        name: of the argument, for the message.
        value: a Python or NumPy whole number.
        min_: the least that is allowed.
        max_: the most that is allowed.

    Raises:
        ValueError: anything else.

    Example:
        >>> whole("batch", 16, 1)
        16
        >>> whole("batch", 0, 1)
        Traceback (most recent call last):
        ...
        ValueError: batch must be a whole number of at least 1, got 0
    """
    if isinstance(value, Integral) and not _is_bool(value) and min_ <= int(value) <= max_:
        return int(value)
    raise ValueError(f"{name} must be a whole number {_range(min_, max_)}, got {shortened(value)}")


def number(
    name: str, value: object, min_: float = -math.inf, max_: float = math.inf, *, open_: bool = False
) -> float:
    """The finite number `value` as a float; not a bool, no NaN.

    Args:
        name: of the argument, for the message.
        value: a Python or NumPy number.
        min_: the least that is allowed.
        max_: the most that is allowed.
        open_: leave the two bounds themselves out.

    Raises:
        ValueError: anything else.

    Example:
        >>> number("threshold", 0.2, 0, 1)
        0.2
        >>> number("lr", 0.0, 0, open_=True)
        Traceback (most recent call last):
        ...
        ValueError: lr must be a number above 0, got 0.0
    """
    found = _as_float(value)
    if min_ < found < max_ if open_ else min_ <= found <= max_:
        return found
    raise ValueError(f"{name} must be a number {_range(min_, max_, open_)}, got {shortened(value)}")


def choice(name: str, value: Choice, options: Iterable[Choice]) -> Choice:
    """`value`, if it is one of `options`.

    Args:
        name: of the argument, for the message.
        value: anything.
        options: what is allowed, in the order in which the message names it.

    Raises:
        ValueError: anything else.

    Example:
        >>> choice("weights", "mean", ["mean", "positive"])
        'mean'
        >>> choice("weights", "max", ["mean", "positive"])
        Traceback (most recent call last):
        ...
        ValueError: weights must be one of 'mean', 'positive', got 'max'
    """
    options = list(options)
    for option in options:  # `in` would compare arrays element by element, and take True for 1
        if type(option) is type(value) and option == value:
            return value
    raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {shortened(value)}")


def shortened(value: object) -> str:
    """How a value looks, in at most 80 characters: what a stranger's file holds may be long.

    Args:
        value: anything.

    Example:
        >>> shortened("a")
        "'a'"
    """
    if isinstance(value, list | tuple | dict | set) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) > 10**18:
        return "a huge whole number"
    text = repr(value[:60] if isinstance(value, str | bytes) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _as_float(value: object) -> float:
    """The number as a float, NaN (which lies in no range) for what is no finite number."""
    if not isinstance(value, Real) or _is_bool(value):
        return math.nan
    try:
        found = float(value)
    except OverflowError:  # a whole number beyond the largest float
        return math.nan
    return found if math.isfinite(found) else math.nan


def _is_bool(value: object) -> bool:
    return type(value).__name__ in {"bool", "bool_"}  # NumPy's too, without importing it


def _range(min_: float, max_: float, open_: bool = False) -> str:
    if math.isinf(min_) and math.isinf(max_):
        return "that is finite"
    if math.isinf(max_):
        return f"above {min_}" if open_ else f"of at least {min_}"
    if math.isinf(min_):
        return f"below {max_}" if open_ else f"of at most {max_}"
    return f"between {min_} and {max_}, neither of them" if open_ else f"in {min_}..{max_}"
