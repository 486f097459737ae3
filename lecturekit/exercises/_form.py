"""The form of a value: container and kind of numbers. Later cells may need them where the check does not.

An answer may be right and yet be an int64 array where the cells below pass a uint8 one to OpenCV. What a
check accepts is brought into the form of the reference here, so that no accepted answer breaks a notebook.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch


def conform(value: Any, like: Any, keep_graph: bool = False) -> Any:
    """`value` in the form of `like`, to which it is equal as the check sees it.

    Args:
        value: an answer that was accepted.
        like: what the reference gives in its place, or in place of a similar one.
        keep_graph: leave a tensor joined to its graph, although `like` is not.
    """
    if isinstance(like, torch.Tensor):
        return _as_tensor(value, like, keep_graph)
    if isinstance(like, np.ndarray):
        dtype = like.dtype if like.dtype.kind in "biufc" else None  # a text's length is not its form
        return np.require(np.asarray(value), dtype, ["C", "W"])  # of a masked array, the numbers
    if isinstance(like, str):
        text = value.strip() if isinstance(value, str) else value
        return like if isinstance(text, str) and text.casefold() == like.casefold() else text
    if isinstance(like, bool | numbers.Number):
        plain = value.item() if hasattr(value, "item") else value
        return type(like)(plain)
    if isinstance(like, tuple | list):
        likes = [*like, *[like[-1]] * (len(value) - len(like))] if like else value  # longer: as the last
        items = [conform(v, w, keep_graph) for v, w in zip(value, likes, strict=False)]
        return items if isinstance(like, list) else tuple(items)
    if isinstance(like, dict) and isinstance(value, dict):
        return {key: conform(v, like.get(key, v), keep_graph) for key, v in value.items()}
    return value


def same_form(value: Any, like: Any) -> bool:
    """Whether `value` needs no change: container, kind of numbers, memory that can be written."""
    if isinstance(like, torch.Tensor):
        return isinstance(value, torch.Tensor) and _tensor_form(value) == _tensor_form(like)
    if isinstance(like, np.ndarray):
        return type(value) is np.ndarray and _array_form(value) == _array_form(like)
    if type(value) is not type(like) or (isinstance(like, str) and value != like):
        return False
    if isinstance(like, tuple | list):
        return all(map(same_form, value, like))
    if isinstance(like, dict):
        return all(same_form(value[key], like[key]) for key in like)
    return True


def conforming(function: Callable, given: Sequence[Any], wanted: Sequence[Any]) -> Callable:
    """`function` where its results need no change, else `function` with its results brought into form.

    Args:
        function: an answer that was accepted.
        given: what it gave on the cases.
        wanted: what the reference gave there.
    """
    if all(map(same_form, given, wanted)):
        return function
    like = next(w for g, w in zip(given, wanted, strict=True) if not same_form(g, w))

    names = {w.casefold(): w for w in wanted if isinstance(w, str)}

    @functools.wraps(function)
    def in_form(*arguments: Any, **named: Any) -> Any:
        joined = any(isinstance(a, torch.Tensor) and a.requires_grad for a in (*arguments, *named.values()))
        value = conform(function(*arguments, **named), like, joined)
        return names.get(value.casefold(), value) if isinstance(value, str) else value

    return in_form


def _as_tensor(value: Any, like: torch.Tensor, keep_graph: bool) -> torch.Tensor:
    made = torch.as_tensor(value)
    if made.requires_grad and not (like.requires_grad or keep_graph):
        made = made.detach()
    return made.to(like.dtype).contiguous()


def _tensor_form(tensor: torch.Tensor) -> tuple:
    return tensor.dtype, tensor.requires_grad, tensor.is_contiguous()


def _array_form(array: np.ndarray) -> tuple:
    kind = array.dtype if array.dtype.kind in "biufc" else array.dtype.kind
    return kind, array.flags.writeable, array.flags.c_contiguous
