"""Which axis of a layer's output counts channels? What the network does with the output tells."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, _get_current_function_mode

from ._forward import in_this_thread, tensors_in

#: Functions whose first argument is ``(B, C, h, w)``.
_CHANNELS_FIRST = frozenset({
    F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.avg_pool2d, F.batch_norm, F.conv2d, F.conv_transpose2d,
    F.group_norm, F.instance_norm, F.interpolate, F.max_pool2d, F.pixel_shuffle, F.pixel_unshuffle,
})  # fmt: skip
#: Functions whose first argument is ``(..., C)``.
_CHANNELS_LAST = frozenset({F.linear, F.layer_norm, F.rms_norm})
_MEANS = frozenset({torch.mean, Tensor.mean, torch.amax, Tensor.amax, torch.sum, Tensor.sum})
#: Functions that mix positions or tokens: what comes after them says nothing about the axes before.
_MIXING = frozenset({
    torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.einsum, torch.softmax,
    F.softmax, Tensor.softmax, F.scaled_dot_product_attention,
})  # fmt: skip

#: Names of functions that keep the order of the axes though not their lengths.
_KEEPING = frozenset({"__getitem__", "cat", "concat", "chunk", "split", "pad", "_pad", "tensor_split"})

#: Modules whose output, if it has four axes, is ``(B, C, h, w)``.
_MAKERS = (
    nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm, nn.MaxPool2d,
    nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
)  # fmt: skip


class AxisFinder(TorchFunctionMode):
    """Follows a layer's output, through steps that move its axes, to one that tells which are the channels.

    Attributes:
        channels: the axis, once it is known; None before, and if nothing has told.
    """

    def __init__(self, kept: list[Tensor]):
        super().__init__()
        self.kept = kept  # filled by the hook of `cut_at`: the leaf, and what the network goes on with
        self.channels: int | None = None
        self._watches = False
        self._start: Tensor | None = None
        self._known: dict[
            int, tuple[Tensor, tuple[int, ...]]
        ] = {}  # a tensor, and where its axes were at first

    @contextmanager
    def after(self, module: nn.Module) -> Generator[AxisFinder]:
        """Inside, the finder watches from each output of `module` until the axis is known.

        To watch takes a few microseconds a call, so what runs before and after is left alone. A mode cannot
        end inside a call that it watches: it ends as the next module is called.
        """
        with ExitStack() as watching:

            def begin(*_: Any) -> None:
                if not self._watches:
                    watching.enter_context(self)
                    watching.callback(register_module_forward_pre_hook(in_this_thread(end)).remove)
                    self._watches = True

            def end(*_: Any) -> None:
                known = self.channels is not None and self.kept[1] is self._start  # of its latest run
                if known and _get_current_function_mode() is self:
                    watching.close()
                    self._watches = False

            hook = module.register_forward_hook(in_this_thread(begin))
            try:
                yield self
            finally:
                hook.remove()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        function = func  # torch's name for it
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if self.kept:
            if self.kept[1] is not self._start:  # the layer has run, perhaps again
                self._start, self.channels = self.kept[1], None
                self._known = {id(self._start): (self._start, (0, 1, 2, 3))}
            if self.channels is None and isinstance(result, Tensor | tuple | list):
                self._follow(function, args, kwargs, result)
        return result

    def _follow(self, function: Callable, args: tuple, kwargs: dict[str, Any], result: Any) -> None:
        given = (x for value in (*args, *kwargs.values()) for x in tensors_in(value))
        found = next((self._known[id(x)] for x in given if id(x) in self._known), None)
        if found is None or function in _MIXING:
            return
        x, axes = found
        if function in _CHANNELS_FIRST:
            self.channels = axes[1]
        elif function in _CHANNELS_LAST and (function is F.linear or _norm_of_one_axis(args, kwargs)):
            self.channels = axes[3]
        elif function in _MEANS:
            self.channels = _kept_by_mean(args, kwargs, axes)
        else:
            for y in tensors_in(result):
                self._follow_to(y, function, args[1:], kwargs, x, axes)
        if self.channels is not None:
            self._known = {}

    def _follow_to(
        self,
        y: Tensor,
        function: Callable,
        rest: tuple,
        kwargs: dict[str, Any],
        x: Tensor,
        axes: tuple[int, ...],
    ) -> None:
        name = getattr(function, "__name__", "")
        if y.ndim == 3 and name in {"flatten", "view", "reshape"}:  # two axes became one
            if y.shape[1] == x.shape[1] and y.shape[2] != x.shape[3]:
                self.channels = axes[1]
            elif y.shape[2] == x.shape[3] and y.shape[1] != x.shape[1]:
                self.channels = axes[3]
        elif y.ndim == 4 and name in _MOVES:
            self._known[id(y)] = (y, tuple(axes[k] for k in _MOVES[name](rest, kwargs)))
        elif (
            y.ndim == 4 and name != "__get__" and (y.shape == x.shape or name in _KEEPING)
        ):  # x.mT is got, too
            self._known[id(y)] = (y, axes)


def channel_axis(network: nn.Module, module: nn.Module, finder: AxisFinder) -> int | None:
    """The axis of the channels in what `module` of `network` put out, 1 or 3; None if it cannot be told."""
    if isinstance(module, _MAKERS):
        return 1
    if type(module) is nn.Linear or (type(module) is nn.LayerNorm and len(module.normalized_shape) == 1):
        return 3
    if finder.channels is not None:
        return finder.channels if finder.channels in (1, 3) else None
    # Its consumers gave no hint. Blocks that convolve put out what convolutions do, and so does everything in
    # a network without layer norms, the mark of those that work channels last or on tokens.
    _, a, b, c = finder.kept[0].shape
    convolves = any(isinstance(part, _MAKERS) for part in module.modules())
    plain = not any(isinstance(part, nn.LayerNorm) for part in network.modules())
    return 1 if (convolves or plain) and (b == c or a != b) else None


def _norm_of_one_axis(args: tuple, kwargs: dict[str, Any]) -> bool:
    shape = args[1] if len(args) > 1 else kwargs.get("normalized_shape", ())
    return len(shape) == 1


def _kept_by_mean(args: tuple, kwargs: dict[str, Any], axes: tuple[int, ...]) -> int | None:
    """The axis that an average over two of the three others leaves."""
    over = args[1] if len(args) > 1 else kwargs.get("dim")
    if not isinstance(over, tuple | list) or len(over) != 2:
        return None
    left = {1, 2, 3} - {k % 4 for k in over}
    return axes[left.pop()] if len(left) == 1 else None


def _permuted(rest: tuple, kwargs: dict[str, Any]) -> list[int]:
    order = kwargs.get("dims") or (rest[0] if isinstance(rest[0], tuple | list) else rest)
    return [k % 4 for k in order]


def _transposed(rest: tuple, kwargs: dict[str, Any]) -> list[int]:
    given = (*rest, *kwargs.values())
    order = [0, 1, 2, 3]
    a, b = (k % 4 for k in given[:2])
    order[a], order[b] = b, a
    return order


def _moved(rest: tuple, kwargs: dict[str, Any]) -> list[int]:
    given = (*rest, *kwargs.values())
    sources, targets = ([k % 4 for k in (n if isinstance(n, tuple | list) else (n,))] for n in given[:2])
    order = [k for k in range(4) if k not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return order


_MOVES = {
    "permute": _permuted,
    "transpose": _transposed,
    "swapaxes": _transposed,
    "swapdims": _transposed,
    "movedim": _moved,
    "moveaxis": _moved,
}
