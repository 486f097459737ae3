"""Whether two answers are interchangeable and, where they are not, what sets them apart in words."""

from __future__ import annotations

import cmath
import numbers
from typing import Any

import numpy as np
import torch

#: NumPy's letters for kinds of number, grouped as far as later code can take one for another.
_KINDS = {"b": "bool", "i": "integer", "u": "integer", "f": "floating point", "c": "complex"}


def difference(met: Any, wanted: Any, rtol: float = 1e-4, atol: float = 1e-6) -> str:
    """What sets `met` apart from `wanted`, as part of a sentence; ``""`` where one can stand for the other.

    Strict where later cells would notice: shape, tensor against array, bool against number, integer against
    floating point arrays, a tensor cut off from the graph that the wanted one belongs to. Lenient where they
    would not: precision, device, tuple against list, ``2`` against ``2.0``, a number against a 0-dimensional
    tensor, case and blanks round a string. NaN equals NaN.
    Floating point numbers are equal when ``|met - wanted| <= atol + rtol |wanted|``.
    """
    if isinstance(met, torch.Tensor) and (met.layout is not torch.strided or met.is_meta):
        kind = "without numbers (on the device meta)" if met.is_meta else "stored as a sparse one"
        return f"it is a tensor {kind}, wanted {describe(wanted)}"
    if isinstance(wanted, torch.Tensor) and wanted.requires_grad and not getattr(met, "requires_grad", False):
        return difference(met, wanted.detach(), rtol, atol) or "no gradient can flow back through it"
    if isinstance(wanted, torch.Tensor | np.ndarray) and wanted.ndim > 0:
        return _array_difference(met, wanted, rtol, atol)
    met, wanted = _unboxed(met), _unboxed(wanted)
    if isinstance(wanted, bool):
        return "" if isinstance(met, bool) and met == wanted else _unlike(met, wanted)
    if isinstance(wanted, numbers.Number):
        number = isinstance(met, numbers.Number) and not isinstance(met, bool)
        return "" if number and _close(met, wanted, rtol, atol) else _unlike(met, wanted)
    if isinstance(wanted, str):
        same = isinstance(met, str) and met.strip().casefold() == wanted.strip().casefold()
        return "" if same else _unlike(met, wanted)
    if isinstance(wanted, tuple | list):
        return _sequence_difference(met, wanted, rtol, atol)
    if isinstance(wanted, dict):
        return _dict_difference(met, wanted, rtol, atol)
    return "" if type(met) is type(wanted) and bool(met == wanted) else _unlike(met, wanted)


def describe(value: object) -> str:
    """`value` in a few words: kind and shape of an array, length of a sequence, a short value itself."""
    if isinstance(value, torch.Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} NumPy array of shape {value.shape}"
    if isinstance(value, tuple | list | set | dict) and len(_repr(value)) > 60:
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, str | numbers.Number | tuple | list | set | dict | np.generic):
        return _repr(value)
    if callable(value):
        return f"a {'class' if isinstance(value, type) else 'function'}"
    return f"an object of type {type(value).__name__}"


def _repr(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:199] + "…"


def _unlike(met: object, wanted: object) -> str:
    return f"it is {describe(met)}, wanted {describe(wanted)}"


def _unboxed(value: Any) -> Any:
    """The Python number in a NumPy scalar or a 0-dimensional tensor or array; anything else as it is."""
    boxed = isinstance(value, np.generic) or (
        isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0
    )
    return value.item() if boxed else value


def _close(met: Any, wanted: Any, rtol: float, atol: float) -> bool:
    if met != met or wanted != wanted:  # NaN is the only number unequal to itself
        return met != met and wanted != wanted
    try:
        return met == wanted or cmath.isclose(met, wanted, rel_tol=0, abs_tol=atol + rtol * abs(wanted))
    except (OverflowError, TypeError):  # an integer too large for a float, a Decimal
        return False


def _sequence_difference(met: object, wanted: tuple | list, rtol: float, atol: float) -> str:
    arrays = isinstance(met, torch.Tensor | np.ndarray) and met.ndim > 0
    if not (isinstance(met, tuple | list) or arrays):
        return _unlike(met, wanted)
    if len(met) != len(wanted):
        return f"it has {len(met)} items, wanted {len(wanted)}"
    parts = (difference(m, w, rtol, atol) for m, w in zip(met, wanted, strict=True))
    return next((f"in item {i}, {part}" for i, part in enumerate(parts) if part), "")


def _dict_difference(met: object, wanted: dict, rtol: float, atol: float) -> str:
    if not isinstance(met, dict):
        return _unlike(met, wanted)
    if met.keys() != wanted.keys():
        return f"its keys are {_repr(list(met))}, wanted {_repr(list(wanted))}"
    parts = ((key, difference(met[key], wanted[key], rtol, atol)) for key in wanted)
    return next((f"under {key!r}, {part}" for key, part in parts if part), "")


def _array_difference(met: object, wanted: torch.Tensor | np.ndarray, rtol: float, atol: float) -> str:
    container = torch.Tensor if isinstance(wanted, torch.Tensor) else np.ndarray
    if not isinstance(met, container):
        return _unlike(met, wanted)
    if tuple(met.shape) != tuple(wanted.shape):
        return f"its shape is {tuple(met.shape)}, wanted {tuple(wanted.shape)}"
    a, b = _as_numpy(met), _as_numpy(wanted)
    kinds = [_KINDS.get(x.dtype.kind, str(x.dtype)) for x in (a, b)]
    if kinds[0] != kinds[1]:
        return f"its numbers are {kinds[0]} ({a.dtype}), wanted {kinds[1]} ({b.dtype})"
    return _value_difference(a, b, rtol, atol)


def _as_numpy(values: torch.Tensor | np.ndarray) -> np.ndarray:
    """Values on the CPU, half precisions as float32 so that every NumPy function takes them."""
    if isinstance(values, torch.Tensor):
        values = values.detach().to("cpu")
        return (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _value_difference(met: np.ndarray, wanted: np.ndarray, rtol: float, atol: float) -> str:
    if met.dtype.kind in "fc":
        unlike = ~np.isclose(met, wanted, rtol=rtol, atol=atol, equal_nan=True)
        strange = int((np.isnan(met) & ~np.isnan(wanted)).sum())
        if strange:
            return f"{strange} of its {met.size} values are NaN where numbers are wanted"
    else:
        unlike = np.asarray(met != wanted)
    if not unlike.any():
        return ""
    where = tuple(int(i) for i in np.argwhere(unlike)[0])
    place = where[0] if len(where) == 1 else where
    found, right = met[where].item(), wanted[where].item()
    values = f"{found:.4g}, wanted {right:.4g}" if met.dtype.kind == "f" else f"{found}, wanted {right}"
    return f"{int(unlike.sum())} of its {met.size} values differ; the first, at index {place}, is {values}"
