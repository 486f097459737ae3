"""Guided back-propagation: what it changes in a forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_RELU = ("input", "inplace")
_HARDTANH = ("input", "min_val", "max_val", "inplace")
_CLAMP = ("input", "min", "max")
_THRESHOLD = ("input", "threshold", "value", "inplace")
#: The functions that may be a ReLU, with the names of their arguments.
_ARGUMENTS: dict[Callable, tuple[str, ...]] = {
    **dict.fromkeys((F.relu, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), _RELU),
    torch.ops.aten.relu.default: _RELU,
    torch.ops.aten.relu_.default: _RELU,
    **dict.fromkeys((F.hardtanh, F.hardtanh_), _HARDTANH),
    **dict.fromkeys((F.threshold, torch.threshold_), _THRESHOLD),
    **dict.fromkeys((torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_), _CLAMP),
    **dict.fromkeys((torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_), _CLAMP),
}
_IN_PLACE = frozenset({
    torch.relu_, Tensor.relu_, torch.ops.aten.relu_.default, F.hardtanh_, torch.threshold_,
    torch.clamp_, Tensor.clamp_, torch.clamp_min_, Tensor.clamp_min_,
})  # fmt: skip


class GuidedReLU(TorchFunctionMode):
    """Inside, every ReLU passes back a gradient only where it is positive too (guided back-propagation)."""

    def __init__(self):
        super().__init__()
        self.met = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        function = func  # torch's name for it
        kwargs = kwargs or {}
        names = _ARGUMENTS.get(function)
        given = dict(zip(names, args, strict=False)) | kwargs if names else {}
        ceiling = _ceiling(function, names, given)
        if ceiling is None:
            return function(*args, **kwargs)
        self.met = True
        x = given.get("input", given.get("self"))
        y = _Guided.apply(x, ceiling)
        return x.copy_(y) if function in _IN_PLACE or given.get("inplace", False) else y


def _ceiling(function: Callable, names: tuple[str, ...] | None, given: dict[str, Any]) -> float | None:
    """Where a ReLU ends (infinity, or 6), None for any other function."""
    if names is _RELU:
        return 6.0 if function is F.relu6 else math.inf
    if names is _HARDTANH:  # nn.ReLU6 is one with the limits 0 and 6
        return float(given.get("max_val", 1.0)) if given.get("min_val", -1.0) == 0 else None
    if names is _THRESHOLD:
        return math.inf if given.get("threshold") == given.get("value") == 0 else None
    if names is _CLAMP and isinstance(given.get("min"), int | float) and given["min"] == 0:
        ceiling = given.get("max")
        return math.inf if ceiling is None else float(ceiling)
    return None


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < ceiling))
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (passed,) = ctx.saved_tensors
        (gradient,) = gradients
        return gradient.clamp(min=0) * passed, None
