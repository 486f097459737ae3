"""One forward pass of somebody else's network, watched and left as it was.

`watch` runs a network and remembers the few calls that follow its last feature map: the pool, the flattening,
the linear layer. That is how :mod:`lecturekit.evidence` finds a head, whether its pool is a module,
``F.adaptive_avg_pool2d`` or ``x.mean((2, 3))``, without asking how the network was written.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

#: A head is a handful of calls, unless the picture is so small that a whole stage has one position. Where
#: more than these follow the last feature map (a transformer), none are kept.
MAX_TAIL = 200

#: The functions that average a feature map, as they are called from Python.
POOLS = frozenset({F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, Tensor.mean})


class Call(NamedTuple):
    """One call of a torch function: what went in and what came out."""

    function: Callable
    args: tuple
    kwargs: dict[str, Any]
    result: Any

    @property
    def input(self) -> Any:
        """The first argument, by whichever way it was passed."""
        return self.args[0] if self.args else self.kwargs.get("input")

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of a linear layer or convolution by name, by whichever way they were passed."""
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        return dict(zip(names, self.args, strict=False)) | self.kwargs


class Tail(TorchFunctionMode):
    """Keeps the calls of a forward pass from the last one that took a feature map (several positions) on."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple] = []  # the fields of a Call; making hundreds of those would take time

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs) if kwargs else function(*args)
        # Hundreds of calls pass here: the usual one, of a tensor that is a feature map, is told first.
        x = args[0] if args else None
        if type(x) is Tensor and type(result) is Tensor and x.ndim == 4 and is_feature_map(x):
            self.calls = [(function, args, kwargs or {}, result)]
        elif tensors_in(result):  # else a question (shape), no step of the pass
            self._step(function, args, kwargs or {}, result)
        return result

    def _step(self, function: Callable, args: tuple, kwargs: dict[str, Any], result: Any) -> None:
        call = (function, args, kwargs, result)
        if any(map(is_feature_map, tensors_in(args[0] if args else kwargs.get("input")))):
            self.calls = [call]
        elif 0 < len(self.calls) < MAX_TAIL:
            self.calls.append(call)
        else:
            self.calls = []


def watch(network: nn.Module, images: Tensor) -> tuple[Any, list[Call]]:
    """Output of one forward pass, and the calls of its tail (none if there is no short tail).

    To watch takes a few microseconds a call, so the network's blocks run unwatched. Where one of them turns
    out to hold the pool, the network runs a second time, watched throughout.
    """
    with ExitStack() as hooks, Tail() as tail:
        blocks = _Unwatched(tail)
        for block in _blocks(network):
            hooks.callback(block.register_forward_pre_hook(blocks.enter, with_kwargs=True).remove)
            hooks.callback(block.register_forward_hook(blocks.leave, always_call=True).remove)
        output = network(images)
    if blocks.hid_the_end:
        with Tail() as tail:
            output = network(images)
    return output, [Call(*fields) for fields in tail.calls]


class _Unwatched:
    """Hooks that switch a `Tail` off while a block turns feature maps into feature maps."""

    def __init__(self, tail: Tail):
        self.tail = tail
        self.inside: nn.Module | None = None
        self.hid_the_end = False

    def enter(self, block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        if self.inside is None and any(map(is_feature_map, (*args, *kwargs.values()))):
            self.inside = block
            self.tail.__exit__(None, None, None)

    def leave(self, block: nn.Module, args: tuple, output: Any) -> None:
        if self.inside is block:
            self.tail.__enter__()
            self.tail.calls = []  # what was seen before the block is not the network's tail
            self.inside = None
            self.hid_the_end |= not any(map(is_feature_map, tensors_in(output)))


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The modules with convolutions beside the way to the last module that has parameters, the head."""
    while children := [c for c in network.children() if next(c.parameters(), None) is not None]:
        *before, network = children
        for child in before:
            if any(isinstance(module, nn.Conv2d) for module in child.modules()):
                yield child


def is_feature_map(x: Any) -> bool:
    """Whether `x` is a batch of maps with more than one position, ``(B, C, h, w)`` or ``(B, h, w, C)``."""
    if not isinstance(x, Tensor) or x.ndim != 4:
        return False
    _, a, b, c = x.shape
    return a * b > 1 and b * c > 1


def is_pool(call: Call) -> bool:
    """Whether `call` averages a feature map, be it of one position only."""
    return call.function in POOLS and isinstance(call.input, Tensor) and call.input.ndim == 4


def is_dense(call: Call) -> bool:
    """Whether `call` is a convolution that sees the whole map at once: a fully connected layer, really."""
    if call.function is not F.conv2d or call.given.get("groups", 1) != 1:
        return False
    return call.given["input"].shape[2:] == call.given["weight"].shape[2:]


def tensors_in(value: Any) -> tuple[Tensor, ...]:
    """The tensors of a tensor, or of a tuple or list of tensors; none for anything else."""
    if isinstance(value, Tensor):
        return (value,)
    if isinstance(value, tuple | list):
        return tuple(v for v in value if isinstance(v, Tensor))
    return ()


def as_logits(output: Any) -> Tensor:
    """The logits in what a model returns: a tensor, or an object or dictionary that holds ``logits``."""
    logits = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        met = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(output).__name__
        raise ValueError(f"model must return logits of shape (B, K), got {met}")
    return logits


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[nn.Module]:
    """The module to call inside, in eval mode; afterwards every flag is as it was, also after an error.

    Wrappers that hide Python code from view are taken off: ``DataParallel`` and ``torch.compile``.
    """
    while (inside := _wrapped(model)) is not None:
        model = inside
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:  # something may be compiled further in; importing it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        training = [module for module in model.modules() if module.training]
        # Not model.eval(): a network may do more than set flags there, and would not undo it.
        for module in training:
            stack.callback(setattr, module, "training", True)
            module.training = False
        yield model


def _wrapped(model: nn.Module) -> nn.Module | None:
    """The network inside a ``DataParallel`` or compiled one; None for any other."""
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return model.module
    return getattr(model, "_orig_mod", None)


def check_call(model: Any, images: Any) -> None:
    """Raise ``TypeError`` or ``ValueError`` if `images` cannot be run through `model`, and say why."""
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"model must be a torch module that is not scripted, got {type(model).__name__}")
    if not isinstance(images, Tensor) or not images.is_floating_point():
        met = f"a {images.dtype} tensor" if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(
            f"images must be a float tensor (B, 3, H, W), got {met}; try model.preprocess(images)"
        )
    if images.ndim != 4 or images.numel() == 0:
        hint = "; one image needs a batch of one: images[None]" if images.ndim == 3 else ""
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}{hint}")
    weight = next((p for p in model.parameters() if p.is_floating_point()), images)
    if weight.device != images.device:
        raise ValueError(f"images are on {images.device}, the model is on {weight.device}; move one of them")
    if weight.dtype != images.dtype and not torch.is_autocast_enabled(images.device.type):
        raise ValueError(f"images are {images.dtype} and the model is {weight.dtype}; convert one of them")
    if not torch.stack(images.aminmax()).isfinite().all():
        raise ValueError("images must be finite, got NaN or infinite values")


def last_feature_map(calls: list[Call]) -> Tensor:
    """What the first call of a tail took: the last feature map; ``ValueError`` if there is none."""
    if not calls:
        raise _unfollowed()
    return next(x for x in tensors_in(calls[0].input) if is_feature_map(x))


def replay(calls: list[Call], leaf: Tensor, network: nn.Module, output: Any) -> Any:
    """`output` computed again by the calls of a tail, with a graph, from `leaf` in place of its feature map.

    Raises:
        ValueError: the steps in between cannot all be followed (a custom autograd function, say).
    """
    # Tensors by identity: `calls` keeps them alive, so no two share an id.
    known: dict[int, Tensor] = {id(p): p for p in (*network.parameters(), *network.buffers())}
    with torch.enable_grad():
        known[id(last_feature_map(calls))] = leaf.clone()  # a clone, because the tail may work in place
        for call in calls:
            result = call.function(*_swap(call.args, known), **_swap(call.kwargs, known))
            known.update(
                (id(old), new) for old, new in zip(*map(tensors_in, (call.result, result)), strict=True)
            )
    return _swap(output, known)


def _swap(value: Any, known: dict[int, Tensor]) -> Any:
    """`value` with each tensor replaced by the one of today; a tensor of unknown origin is refused."""
    if isinstance(value, Tensor):
        if id(value) not in known:
            raise _unfollowed()
        return known[id(value)]
    if isinstance(value, dict):
        return {key: _swap(v, known) for key, v in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_swap(v, known) for v in value)
    return value


def _unfollowed() -> ValueError:
    return ValueError(
        "layer must be named for this network: the steps from its last feature map to its answer "
        "could not be followed (a transformer, for one, goes on with tokens in place of maps)"
    )


@contextmanager
def cut_at(module: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, nothing before the output of `module` has a graph and everything after it has one.

    Yields a list that holds, after a forward pass, the leaf the graph starts from. The network goes on with a
    clone of it, so that an in-place activation cannot overwrite what is kept. If the module runs several
    times in one pass, the last time counts.
    """
    kept: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: tuple, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            raise ValueError(f"layer must put out one float tensor, got {type(output).__name__}")
        kept[:] = [output.detach().clone() if output.is_inference() else output.detach()]
        torch.set_grad_enabled(True)  # the no_grad below puts the mode back
        return kept[0].requires_grad_().clone()

    hook = module.register_forward_hook(cut)
    try:
        with torch.no_grad():
            yield kept
    finally:
        hook.remove()


def find_layer(network: nn.Module, layer: nn.Module | str) -> nn.Module:
    """The module meant by `layer`, a name as in ``named_modules()`` or the module itself."""
    named = dict(network.named_modules())
    if isinstance(layer, nn.Module):
        if not any(layer is module for module in named.values()):
            raise ValueError(f"layer is a {type(layer).__name__} that is no part of the model")
        return layer
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a module of the model or its name, got {type(layer).__name__}")
    if layer not in named or layer == "":
        fitting = difflib.get_close_matches(layer, named, n=5) or [
            name for name, _ in network.named_children()
        ]
        raise ValueError(f"layer {layer!r} is not in the model; there are, for example: {', '.join(fitting)}")
    return named[layer]


class GuidedReLU(TorchFunctionMode):
    """Inside, every ReLU passes back a gradient only where it is positive too (guided back-propagation)."""

    def __init__(self):
        super().__init__()
        self.met = False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        ceiling = _relu_ceiling(function, args, kwargs)
        if ceiling is None:
            return function(*args, **kwargs)
        self.met = True
        x = args[0] if args else kwargs["input"]
        y = _Guided.apply(x, ceiling)
        in_place = function in _IN_PLACE or kwargs.get("inplace", args[-1] is True)
        return x.copy_(y) if in_place else y


_IN_PLACE = frozenset({torch.relu_, Tensor.relu_})


def _relu_ceiling(function: Callable, args: tuple, kwargs: dict[str, Any]) -> float | None:
    """Where a ReLU ends (infinity, or 6), None for any other function."""
    if function in {F.relu, torch.relu, Tensor.relu, *_IN_PLACE}:
        return float("inf")
    if function is F.relu6:
        return 6.0
    if function is F.hardtanh:  # nn.ReLU6 is one with the limits 0 and 6
        given = dict(zip(("input", "min_val", "max_val"), args, strict=False)) | kwargs
        return float(given.get("max_val", 1.0)) if given.get("min_val", -1.0) == 0 else None
    return None


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < ceiling))
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (passed,) = ctx.saved_tensors
        return gradient.clamp(min=0) * passed, None
