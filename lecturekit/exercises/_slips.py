"""Slips that any exercise may meet: the answer is right but for a factor, a sign, an axis, a container.

Every detector looks at the answers of all cases together and says in words what sets them apart from the
wanted ones, or ``""``. They come after the exercise's own catalogue, which knows more about its task.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from lecturekit.exercises._compare import difference

#: Factors that a single number gives away, and what they suggest.
_UNITS = {
    2: "a part counted twice, or a half forgotten",
    10: "a misplaced decimal point",
    60: "minutes or seconds, hours or minutes",
    100: "a share or per cent",
    255: "0 to 1 or 0 to 255",
    1000: "milliseconds or seconds",
    3600: "hours or seconds",
}

Pairs = Sequence[tuple[Any, Any]]


def slip(pairs: Pairs, rtol: float, atol: float) -> str:
    """The first slip that explains all answers at once, as one or two sentences; ``""`` if none does.

    Args:
        pairs: answer and wanted answer of each case.
        rtol: relative tolerance of a comparison.
        atol: absolute tolerance of a comparison.
    """

    def equal(met: object, wanted: object) -> bool:
        return not difference(met, wanted, rtol, atol)

    if all(equal(*pair) for pair in pairs):
        return ""
    found = (words for detector in _CONTAINERS if (words := detector(pairs, equal)))
    words = next(found, "")
    if words:
        return words
    arrays = [(_numbers(met), _numbers(wanted)) for met, wanted in pairs]
    if not all(a is not None and b is not None and a.size and b.size for a, b in arrays):
        return _of_items(pairs, rtol, atol)

    def close(met: np.ndarray, wanted: np.ndarray) -> bool:
        return met.shape == wanted.shape and np.allclose(met, wanted, rtol, atol, equal_nan=True)

    with np.errstate(all="ignore"):  # an answer may hold infinities and NaN
        return next((words for detector in _NUMBERS if (words := detector(arrays, close))), "")


def _of_items(pairs: Pairs, rtol: float, atol: float) -> str:
    """The slip in the items of a tuple or list, where it explains every item that is not right."""
    lengths = {len(value) if isinstance(value, tuple | list) else -1 for pair in pairs for value in pair}
    if len(lengths) != 1 or min(lengths) < 1:
        return ""
    found = []
    for place in range(min(lengths)):
        items = [(met[place], wanted[place]) for met, wanted in pairs]
        if all(not difference(*item, rtol, atol) for item in items):
            continue
        found.append((place, slip(items, rtol, atol)))
    words = {text for _, text in found}
    if not all(words):
        return ""
    if len(words) == 1 and len(found) == min(lengths):
        return words.pop()
    return " ".join(f"Item {place}: {text}" for place, text in found)


def _odd_kind(pairs: Pairs, equal: Callable) -> str:
    """Not the value itself, but something that would give it, or that holds it."""
    if any(type(met) is type(wanted) for met, wanted in pairs):
        return ""
    if all(isinstance(met, Iterator) for met, _ in pairs):
        return (
            "You give a generator, which has computed nothing yet: it comes from `yield`, or from a "
            "comprehension in round brackets. Make a list or an array of it and return that."
        )
    if all(inspect.iscoroutine(met) for met, _ in pairs):
        for met, _ in pairs:
            met.close()
        return "Your function begins with `async`, so calling it computes nothing. Leave that word out."
    if all(isinstance(met, type) for met, _ in pairs):
        return "You return a class, not a value of it: are the round brackets missing?"
    if all(inspect.isroutine(met) or isinstance(met, functools.partial) for met, _ in pairs):
        return "You return a function, not what it gives: are the round brackets missing?"
    if all(isinstance(met, dict) and len(met) == 1 and equal(*met.values(), w) for met, w in pairs):
        return "Your dictionary holds the wanted answer: return that alone."
    if all(isinstance(met, str) and not isinstance(wanted, str) for met, wanted in pairs):
        return "You return a text. Leave `str`, `print` and the quotation marks to those who show the answer."
    return ""


def _cut_off(pairs: Pairs, equal: Callable) -> str:
    def cut(met: object, wanted: object) -> bool:
        tensors = isinstance(met, torch.Tensor) and isinstance(wanted, torch.Tensor)
        return tensors and wanted.requires_grad and not met.requires_grad and equal(met, wanted.detach())

    if not any(cut(*pair) for pair in pairs):
        return ""
    return (
        "The numbers are right, but no gradient can flow back through them. Leave out `.detach()`, `.data`, "
        "`.item()`, NumPy and `torch.no_grad()` on the way."
    )


def _values_of_pair(pairs: Pairs, equal: Callable) -> str:
    for place in (0, 1):
        if all(isinstance(m, tuple) and len(m) == 2 and equal(m[place], w) for m, w in pairs):
            if type(pairs[0][0]).__module__ == "torch.return_types":
                field = ("values", "indices")[place]
                return (
                    f"A torch function such as `max` gives the values *and* their places: take `.{field}`, "
                    "or use `amax` or `argmax`."
                )
            return f"You return a pair, and item {place} of it is the wanted answer: return that alone."
    return ""


def _other_library(pairs: Pairs, equal: Callable) -> str:
    if all(isinstance(w, torch.Tensor) and w.ndim for _, w in pairs):
        swap, wanted, way = _tensor, "a torch tensor", "`torch.from_numpy(…)` or `torch.tensor(…)` makes one"
    elif all(isinstance(w, np.ndarray) and w.ndim for _, w in pairs):
        swap, wanted, way = _array, "a NumPy array", "`.numpy()` of a tensor, or `np.array(…)`, makes one"
    else:
        return ""
    if any(type(m) is type(w) for m, w in pairs):
        return ""
    if not all(equal(swap(m, w), w) for m, w in pairs):
        return ""
    kind = {torch.Tensor: "a torch tensor", np.ndarray: "a NumPy array"}.get(type(pairs[0][0]), "a sequence")
    return f"The numbers are right, but they come as {kind}. Wanted is {wanted}: {way}."


def _other_kind(pairs: Pairs, equal: Callable) -> str:
    """Right values, or values cut to whole numbers, in an array of another kind."""
    met: list[Any] = [_numbers(m) for m, _ in pairs]
    wanted: list[Any] = [_numbers(w) for _, w in pairs]
    first, right = pairs[0]
    if type(first) is not type(right) or not (hasattr(first, "dtype") and hasattr(right, "dtype")):
        return ""
    if first.dtype == right.dtype or any(x is None for x in (*met, *wanted)):
        return ""
    have, want = (str(x.dtype).removeprefix("torch.") for x in (first, right))
    if all(map(equal, met, wanted)):
        return (
            f"The values are right, but their type is {have}, and wanted is {want}: convert them at the end."
        )
    cut = (any(equal(m, way(w)) for way in (np.trunc, np.round)) for m, w in zip(met, wanted, strict=True))
    if "int" in have and all(cut):
        return (
            f"You lose the digits behind the point: your numbers are {have}, wanted is {want}. An array of "
            "whole numbers cuts off what is written into it, and `//` rounds down."
        )
    return ""


def _axis(arrays: Pairs, close: Callable) -> str:
    if all(a.ndim != b.ndim and close(a.squeeze(), b.squeeze()) for a, b in arrays):
        a, b = arrays[0]
        many = "too many" if a.ndim > b.ndim else "too few"
        way = "Index it with 0, or `squeeze` it." if a.ndim > b.ndim else "`x[None]` or `keepdims` gives one."
        return f"The numbers are right, with an axis {many}: shape {a.shape}, wanted {b.shape}. {way}"
    return ""


def _order(arrays: Pairs, close: Callable) -> str:
    dims = arrays[0][1].ndim
    if dims == 1 and all(a.ndim == 1 and close(a[::-1], b) for a, b in arrays):
        return "The items are right, but they come in reverse order."
    if not all(a.ndim == b.ndim == dims for a, b in arrays):
        return ""
    for axes in itertools.permutations(range(dims)) if 2 <= dims <= 4 else ():
        if list(axes) != sorted(axes) and all(close(a.transpose(axes), b) for a, b in arrays):
            if dims == 2:
                return "Rows and columns are exchanged: the transpose of your answer is the wanted one."
            return f"The axes are in another order: wanted are your axes {axes} (`permute` or `transpose`)."
    for axis in range(dims if dims > 1 else 0):
        if all(close(np.flip(a, axis), b) for a, b in arrays):
            return f"Your answer is reversed along axis {axis}."
    return ""


def _factor(arrays: Pairs, close: Callable) -> str:
    """All answers are the wanted ones times a factor, one for all cases or one a case."""
    if any(a.shape != b.shape for a, b in arrays):
        return ""
    arrays = [(a, b) for a, b in arrays if a.any() or b.any()]  # nought times anything is nought
    if not arrays:
        return ""
    factors = [float(a.sum() / b.sum()) if b.size == 1 and b.any() else _ratio(a, b) for a, b in arrays]
    if not all(math.isfinite(f) and f != 0 for f in factors):
        return ""
    if not all(close(a / f, b) for (a, b), f in zip(arrays, factors, strict=True)):
        return ""
    factor = factors[0]
    many = sum(b.size for _, b in arrays) > 1
    if np.allclose(factors, factor, rtol=1e-3):
        return _factor_words(factor) if many or _unit(factor) or factor == -1 else ""
    if all(b.size > 1 for _, b in arrays) and all(f > 0 for f in factors):
        shown = ", ".join(f"{f:.4g}" for f in factors[:3])
        return (
            f"Your numbers are the wanted ones times a factor that differs from case to case ({shown}): is "
            "there a sum where a mean is wanted, or a division by the wrong count?"
        )
    return ""


def _factor_words(factor: float) -> str:
    if np.isclose(factor, -1):
        return "The sign: your answer is the wanted one with plus and minus exchanged."
    if np.isclose(factor, 1, rtol=1e-3):
        return ""
    size = f"{factor:.4g} times too large" if abs(factor) > 1 else f"{1 / factor:.4g} times too small"
    unit = _unit(factor)
    return (
        f"Every number is {size}: {unit}?" if unit else f"Every number is {size}, the same factor throughout."
    )


def _unit(factor: float) -> str:
    return next((words for f, words in _UNITS.items() if np.isclose(abs(factor), [f, 1 / f]).any()), "")


def _ratio(a: np.ndarray, b: np.ndarray) -> float:
    """Factor between two arrays, taken where the wanted one is largest."""
    at = np.unravel_index(np.abs(np.nan_to_num(b)).argmax(), b.shape)
    return float(a[at] / b[at]) if b[at] else math.nan


def _offset(arrays: Pairs, close: Callable) -> str:
    if all(a.shape == b.shape for a, b in arrays):
        a, b = arrays[0]
        offset = float((a - b).flat[0])
        several = sum(b.size for _, b in arrays) > 1
        if several and offset and all(close(a - offset, b) for a, b in arrays):
            side = "large" if offset > 0 else "small"
            why = " Does counting begin at 0, and is the end part of a range?" if abs(offset) == 1 else ""
            return f"Off by {abs(offset):.4g}: every number is that much too {side}.{why}"
        for axis, step in itertools.product(range(b.ndim), (1, -1)):
            if all(_shifted(a, b, axis, step, close) for a, b in arrays):
                return f"Your answer is the wanted one moved by one place along axis {axis}: off by one."
        return ""
    if all(a.ndim == b.ndim and abs(len(a) - len(b)) == 1 for a, b in arrays if a.ndim):
        n = [min(len(a), len(b)) for a, b in arrays if a.ndim]
        heads = [(a[:k], b[:k], a[-k:], b[-k:]) for (a, b), k in zip(arrays, n, strict=False) if k]
        if heads and len(n) == len(arrays) and len(heads) == len(n):
            some = "too many" if len(arrays[0][0]) > len(arrays[0][1]) else "too few"
            if all(close(a, b) for a, b, _, _ in heads):
                return f"There is one item {some} at the end: look at where your range stops."
            if all(close(a, b) for _, _, a, b in heads):
                return f"There is one item {some} at the beginning: look at where your range starts."
    return ""


def _shifted(a: np.ndarray, b: np.ndarray, axis: int, step: int, close: Callable) -> bool:
    """Whether `a`, moved by one place, is `b` but for the edge; flat arrays would always be."""
    n = b.shape[axis]
    if n < 4:
        return False
    inner = [np.take(x, range(*r), axis) for x, r in ((a, (0, n - 1)), (b, (1, n)))]
    if step < 0:
        inner = [np.take(x, range(*r), axis) for x, r in ((a, (1, n)), (b, (0, n - 1)))]
    return close(*inner) and np.ptp(inner[1]) > 0 and not close(a, b)


def _numbers(value: Any) -> np.ndarray | None:
    """A numeric answer as float64; None for anything else."""
    if isinstance(value, torch.Tensor):
        if value.is_complex() or value.is_meta or value.layout is not torch.strided:
            return None
        value = value.detach().to("cpu", torch.float64).numpy()
    if isinstance(value, str | bytes | dict | set) or value is None:
        return None
    try:
        array = np.asarray(value)
        return array.astype(np.float64) if array.dtype.kind in "biuf" else None
    except (ValueError, TypeError, RuntimeError):
        return None


def _tensor(value: Any, like: torch.Tensor) -> Any:
    try:
        return torch.as_tensor(value)
    except (ValueError, TypeError, RuntimeError):
        return None


def _array(value: Any, like: np.ndarray) -> Any:
    try:
        return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except (ValueError, TypeError, RuntimeError):
        return None


_CONTAINERS = (_odd_kind, _cut_off, _values_of_pair, _other_library, _other_kind)
_NUMBERS = (_axis, _order, _factor, _offset)
