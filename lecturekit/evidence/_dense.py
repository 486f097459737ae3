"""Finding a classifier's head in one forward pass, and writing it as convolutions; for `evidence.pooling`."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..kit.checks import whole
from ._answers import as_logits
from ._forward import Call, Tail, is_pool
from .maps import height_and_width

#: Names of functions that only rearrange a pooled or flattened feature map, or do nothing when not training.
_REARRANGING = frozenset({
    "__getitem__", "contiguous", "dropout", "flatten", "permute", "reshape", "squeeze", "transpose",
    "unsqueeze", "view",
})  # fmt: skip


class Pointwise(nn.Module):
    """A step of a head that is no linear layer, at every position: ``(B, C, h, w) -> (B, C', h, w)``.

    The positions become a batch, so any function of pooled features will do: ReLU, batch or layer norm.
    """

    def __init__(self, call: Call):
        super().__init__()
        self.function, self.shape = call.function, call.input.shape[1:]
        self.rest = call.args[1:]
        self.options = {name: value for name, value in call.kwargs.items() if name != "input"}
        for name, value in (*enumerate(self.rest), *self.options.items()):
            if isinstance(value, nn.Parameter):
                self.register_parameter(f"argument_{name}", value)
            elif isinstance(value, Tensor):
                self.register_buffer(f"argument_{name}", value)

    def forward(self, x: Tensor) -> Tensor:
        """The function's results ``(B, C', h, w)`` at every position of x ``(B, C, h, w)``."""
        batch, _, height, width = x.shape
        vectors = x.movedim(1, -1).reshape(-1, *self.shape)  # (B h w, C), or (B h w, C, 1, 1)
        rest = [self._current(i, value) for i, value in enumerate(self.rest)]
        options = {name: self._current(name, value) for name, value in self.options.items()}
        return self.function(vectors, *rest, **options).reshape(batch, height, width, -1).movedim(-1, 1)

    def _current(self, name: int | str, value: Any) -> Any:
        """The argument of that name, where it has moved to if it is a tensor."""
        return getattr(self, f"argument_{name}", value)

    def extra_repr(self) -> str:
        """The function's name, for `print`."""
        return getattr(self.function, "__name__", "a function")


class _HeadReached(Exception):
    """Ends a forward pass before the head; holds what the head's first layer would have taken."""


class UntilHead(Tail):
    """Follows a forward pass until `entry`, the head's first parameter, is about to be used."""

    def __init__(self, entry: nn.Parameter | None, idle_pools: set[tuple]):
        super().__init__()
        self.entry, self.idle_pools = entry, idle_pools

    def run(self, network: nn.Module, images: Tensor) -> Tensor:
        """What the head's first layer would take; the network's output if no layer of it has parameters."""
        try:
            with self:
                return as_logits(network(images))
        except _HeadReached as reached:
            return reached.args[0]

    def __torch_function__(self, func, types, args=(), kwargs=None):
        function = func  # torch's name for it
        given = _given(args, kwargs)
        if self.entry is not None and any(x is self.entry for x in given):
            raise _HeadReached(given[0])
        if function is F.adaptive_avg_pool2d and _pool_size(given[1]) in self.idle_pools:
            return given[0]
        return super().__torch_function__(function, types, args, kwargs)


class _Probe(Tail):
    """Follows a whole forward pass at what may be the training size.

    Attributes:
        idle_pools: output sizes of the adaptive pools that had nothing to do, and are left out.
        resized: what the last adaptive pool put out that had something to do.
        guessed: whether a linear layer had to be fed with zeros, because the input was not of training size.
    """

    def __init__(self):
        super().__init__()
        self.idle_pools: set[tuple] = set()
        self.resized: Tensor | None = None
        self.guessed = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        function = func  # torch's name for it
        given = _given(args, kwargs)
        if function is F.linear and given[0].ndim == 2 and given[0].shape[1] != given[1].shape[1]:
            self.guessed = True
            result = given[0].new_zeros(len(given[0]), len(given[1]))
            self.calls.append(Call(function, args, kwargs or {}, result))
            return result
        if function is F.adaptive_avg_pool2d and (size := _pool_size(given[1])) != (1, 1):
            if size == tuple(given[0].shape[2:]):
                self.idle_pools.add(size)
                return given[0]
            self.resized = super().__torch_function__(function, types, args, kwargs)
            return self.resized
        return super().__torch_function__(function, types, args, kwargs)


def probed(network: nn.Module, images: Tensor) -> tuple[_Probe, Tensor]:
    probe = _Probe()
    try:
        with probe:
            output = network(images)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise ValueError(
            f"model cannot be run on images of shape {tuple(images.shape)} ({error}); give the size it was "
            "trained on"
        ) from error
    return probe, as_logits(output)


def head_calls(probe: _Probe, logits: Tensor) -> list[Call]:
    """The calls that lead from the last feature map to the logits, or ``ValueError``."""
    chain: list[Call] = []
    for call in (Call(*fields) for fields in probe.calls):
        if not chain or call.input is chain[-1].result:
            chain.append(call)
    if not chain or chain[-1].result is not logits:
        raise _no_head("the last feature map and the answer are not linked by a plain chain of steps")
    first, features = chain[0], chain[0].input
    if sum(Call(*fields).input is features for fields in probe.calls) > 1:
        raise _no_head("two steps take the last feature map, as for an average and a maximum")
    if not (_is_global_average(first) or _is_flattening(first) or _is_linear(first)):
        raise _no_head(f"the last feature map of several positions goes into {_name(first)}")
    if features is probe.resized:
        raise ValueError(
            "size must be the one at which the pool before the fully connected layers has nothing to do; at "
            f"this one it makes maps of {features.shape[2]} x {features.shape[3]} out of others"
        )
    return chain


def _is_global_average(call: Call) -> bool:
    if not is_pool(call) or call.result.numel() != call.input.shape[:2].numel():
        return False
    mean = call.input.mean((2, 3))
    return bool((call.result.reshape(mean.shape) - mean).abs().max() <= 0.01 * mean.abs().max())


def _is_flattening(call: Call) -> bool:
    return _is_rearranging(call) and call.result.ndim == 2


def _is_rearranging(call: Call) -> bool:
    """Whether `call` only shapes its input anew: flattening, dropout at rest, a pool of one position."""
    return (_name(call) in _REARRANGING or is_pool(call)) and call.result.numel() == call.input.numel()


def _is_linear(call: Call) -> bool:
    """Whether `call` is a linear layer on vectors; a convolution that has one position only is one, too."""
    if call.function is F.conv2d:
        return call.given["weight"].shape[1:] == call.input.shape[1:]
    return call.function is F.linear and call.input.ndim == 2


def _name(call: Call) -> str:
    return getattr(call.function, "__name__", "a function")


def dense_head(chain: list[Call], network: nn.Module) -> nn.Sequential:
    """The steps of a head as modules on feature maps, whose weights `network` uses from now on."""
    features = chain[0].input
    pooled = _is_global_average(chain[0])
    steps: list[nn.Module] = []
    for call in chain[pooled:]:
        flattened = not (steps or pooled)  # no layer so far, and the numbers of all positions in a row
        if _is_linear(call):
            window = _window(call, features) if flattened else (call.given["weight"].shape[1], 1, 1)
            steps.append(_shared_convolution(call, window, network))
        elif not _is_rearranging(call):
            if flattened:
                raise _no_head(f"{_name(call)} stands between flattening and the first fully connected layer")
            steps.append(Pointwise(call))
    if pooled and any(isinstance(step, Pointwise) for step in steps):
        steps.insert(0, nn.AvgPool2d(tuple(features.shape[2:]), stride=1))
    return nn.Sequential(*steps)


def _window(call: Call, features: Tensor) -> tuple[int, int, int]:
    """C, M, N of the maps that a head's first layer sees; square unless `features` are of training size."""
    weight = call.given["weight"]
    if weight[0].numel() == features[0].numel():
        return checked_shape(features.shape[1:])
    channels, inputs = features.shape[1], weight.shape[1]
    side = math.isqrt(inputs // channels)
    if channels * side**2 != inputs:
        raise ValueError(
            f"size must be given: {inputs} inputs of the fully connected layer are no square map of "
            f"{channels} channels"
        )
    return channels, side, side


def _shared_convolution(call: Call, window: tuple[int, int, int], network: nn.Module) -> nn.Conv2d:
    """A linear layer of a head as a convolution, whose weight takes the place of the layer's in `network`."""
    weight, bias = call.given["weight"], call.given.get("bias")
    if not isinstance(weight, nn.Parameter) or not isinstance(bias, nn.Parameter | None):
        raise _no_head("the weights are computed anew in every pass")
    made = convolution(weight, bias, window)
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter is weight:
                setattr(module, name, made.weight)
    return made


def convolution(weight: Tensor, bias: Tensor | None, shape: tuple[int, int, int]) -> nn.Conv2d:
    """Convolution with the memory of a linear layer's parameters, kernel and input channels as in `shape`."""
    channels, height, width = shape
    made = nn.Conv2d(
        channels, len(weight), (height, width), bias=bias is not None, device="meta", dtype=weight.dtype
    )
    kernel = weight.detach().reshape(len(weight), *shape)  # (K, C M N) -> (K, C, M, N), no copy
    made.weight = nn.Parameter(kernel, requires_grad=weight.requires_grad)
    made.bias = bias
    return made


def steps_to_weights(chain: list[Call]) -> int:
    """How many steps of a head come before the first that has parameters."""
    owns = (any(isinstance(x, nn.Parameter) for x in _given(call.args, call.kwargs)) for call in chain)
    return next((i for i, own in enumerate(owns) if own), len(chain))


def traced_back(calls: list[tuple], tensor: Tensor, steps: int) -> Tensor:
    """What `tensor` was made of, so many steps before."""
    for call in (Call(*fields) for fields in reversed(calls)):
        if steps and call.result is tensor:
            tensor, steps = call.input, steps - 1
    if steps:
        raise ValueError(
            "images of this size take another way through the network than those of training size"
        )
    return tensor


def with_shared_weights(network: nn.Module) -> nn.Module:
    """A copy of the modules of `network` with the very same parameters and buffers."""
    return copy.deepcopy(network, {id(x): x for x in (*network.parameters(), *network.buffers())})


def random_images(network: nn.Module, size: int | tuple[int, int] | None) -> Tensor:
    """One image of random pixels as `network` takes it."""
    if size is None:
        about = getattr(network, "default_cfg", None)
        size = about["input_size"][1:] if isinstance(about, dict) and "input_size" in about else 224
    pair = height_and_width(size)
    stem = next((p for p in network.parameters() if p.ndim == 4), None)
    if stem is None:
        raise _no_head("there is no convolution in it")
    pixels = torch.randn(1, stem.shape[1], *pair, generator=torch.Generator().manual_seed(0))
    return pixels.to(stem)


def check_same_answer(maps: Tensor, logits: Tensor) -> None:
    error, largest = (maps.mean((2, 3)) - logits).abs().max(), logits.abs().max()
    if not error <= max(0.01, torch.finfo(logits.dtype).eps ** 0.5) * largest:
        raise _no_head(f"as convolutions its head gives another answer, off by {error:.3g}")


def _no_head(what: str) -> ValueError:
    return ValueError(
        "model must end in global average pooling or flattening, followed by linear layers; of this one "
        f"{what}"
    )


def _given(args: tuple, kwargs: dict[str, Any] | None) -> tuple:
    """All arguments of a call, by whichever way they were passed."""
    return (*args, *(kwargs or {}).values())


def _pool_size(size: int | Sequence[int | None]) -> tuple:
    return (size, size) if isinstance(size, int) else tuple(size)


def checked_shape(feature_shape: Sequence[int]) -> tuple[int, int, int]:
    """C, M, N as positive whole numbers, or ``ValueError``."""
    if len(feature_shape) != 3:
        raise ValueError(f"feature_shape must be three whole numbers (C, M, N), got {feature_shape!r}")
    channels, height, width = (whole("feature_shape", n, 1) for n in feature_shape)
    return channels, height, width
