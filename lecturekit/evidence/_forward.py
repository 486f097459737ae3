"""One forward pass of somebody else's network, watched.

`watch` runs a network and remembers the few calls that follow its last feature map: the pool, the flattening,
the linear layer. That is how :mod:`lecturekit.evidence` finds a head, whether its pool is a module,
``F.adaptive_avg_pool2d`` or ``x.mean((2, 3))``, without asking how the network was written.
"""

from __future__ import annotations

import copy
import difflib
import threading
from collections.abc import Callable, Generator, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..kit.networks import modules_of, tensors_of

#: A head is a handful of calls. Where more than these follow the last feature map (a transformer), none are
#: kept.
MAX_TAIL = 200

#: The functions that average a feature map, as they are called from Python.
POOLS = frozenset({F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, Tensor.mean})
#: Names of the functions in which tokens attend to each other.
_ATTENTION = frozenset({
    "multi_head_attention_forward", "scaled_dot_product_attention", "_transformer_encoder_layer_fwd",
    "_native_multi_head_attention",
})  # fmt: skip
_POOLS_OF_ANY_KIND = POOLS | {F.adaptive_max_pool2d, F.max_pool2d, torch.amax, Tensor.amax}

#: What an exported network calls, under the names by which others call it.
_ALIASES = {
    torch.ops.aten.adaptive_avg_pool2d.default: F.adaptive_avg_pool2d,
    torch.ops.aten.avg_pool2d.default: F.avg_pool2d,
    torch.ops.aten.conv2d.default: F.conv2d,
    torch.ops.aten.linear.default: F.linear,
    torch.ops.aten.max_pool2d.default: F.max_pool2d,
    torch.ops.aten.mean.dim: torch.mean,
}


class Call(NamedTuple):
    """One call of a torch function: what went in and what came out."""

    function: Callable
    args: tuple
    kwargs: dict[str, Any]
    result: Any
    copy: Tensor | None = None  # of a linear layer's vectors, which an activation in place would change

    @property
    def input(self) -> Any:
        """The first argument, by whichever way it was passed; of an einsum, the first operand."""
        return _first(self.args, self.kwargs)

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of a linear layer or convolution by name, by whichever way they were passed."""
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        return dict(zip(names, self.args, strict=False)) | self.kwargs

    def again(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The result from arguments of the same values, in whose graph it is."""
        if self.copy is not None:
            given = self._replace(args=args, kwargs=kwargs).given
            if given["input"].dtype == given["weight"].dtype == self.copy.dtype:  # not under autocast
                return _Linear.apply(given["input"], given["weight"], self.copy)
        return self.function(*args, **kwargs)


class _Linear(torch.autograd.Function):
    """A linear layer on vectors whose answer is known: only its way back is computed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, result: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return result.clone()  # an activation in place may follow again

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return gradients[0] @ weight, None, None


def _first(args: tuple, kwargs: dict[str, Any]) -> Any:
    if not args:
        return kwargs.get("input")
    return args[1] if isinstance(args[0], str) and len(args) > 1 else args[0]


class Tail(TorchFunctionMode):
    """Keeps the calls of a forward pass from the first that took its last feature map on.

    A feature map has several positions. Where pictures are so small that the last stage has only one, that
    stage's output cannot be told from a vector by its shape; `late` then begins at the pool.

    Attributes:
        calls: the calls since the last feature map of several positions was taken, as fields of a `Call`.
        late: the calls since the last pool, or else the last flattening, of a map of one position.
    """

    def __init__(self):
        super().__init__()
        self.calls: list[tuple] = []  # making hundreds of Calls would take time
        self.late: list[tuple] = []
        self._map: Tensor | None = None
        self._version = -1
        self._start: tuple | None = None
        self._slid = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        function = func  # torch's name for it
        x = args[0] if args else None
        # Hundreds of calls pass here: the usual one, of a tensor that is a feature map, is told first.
        plain = type(x) is Tensor and x.ndim == 4 and is_feature_map(x)
        version = _version(x) if plain else -1
        result = function(*args, **kwargs) if kwargs else function(*args)
        if plain and type(result) is Tensor:
            self._restart(x, version, (function, args, kwargs or {}, result))
        elif tensors_in(result):  # else a question (shape), no step of the pass
            copy = result.clone() if function is F.linear and result.ndim == 2 else None
            self._step((function, args, kwargs or {}, result, copy))
        return result

    def _restart(self, x: Tensor, version: int, call: tuple) -> None:
        """Begin anew with `call`, unless it takes the very map that the tail began with (a second branch)."""
        if x is self._map and version == self._version and 0 < len(self.calls) < MAX_TAIL:
            self.calls.append(call)
            return
        self.calls, self.late = [call], []
        self._map, self._version, self._start, self._slid = x, version, call, False

    def _step(self, call: tuple) -> None:
        inputs = tensors_in(_first(call[1], call[2]))
        maps = [x for x in inputs if is_feature_map(x)]
        if maps:
            self._restart(maps[0], _version(maps[0]), call)
            return
        if 0 < len(self.calls) < MAX_TAIL:
            self.calls.append(call)
        else:
            self.calls = []
        self._step_of_one_position(call, inputs)

    def _step_of_one_position(self, call: tuple, inputs: tuple[Tensor, ...]) -> None:
        function = _ALIASES.get(call[0], call[0])
        maps = [x for x in inputs if x.ndim == 4 and x.is_floating_point()]
        flattens = not self.late and all(x.ndim < 4 for x in tensors_in(call[3]))
        if maps and (flattens or function in _POOLS_OF_ANY_KIND):
            self.late = [call]
        elif 0 < len(self.late) < MAX_TAIL:
            self.late.append(call)
        self._slid |= function is F.conv2d and Call(*call).given["weight"].shape[2:].numel() > 1

    def head(self, network: nn.Module) -> list[Call]:
        """The calls from the last feature map to the answer; none if there is no short tail."""
        calls, late = (
            [Call(_ALIASES.get(c[0], c[0]), *c[1:]) for c in part] for part in (self.calls, self.late)
        )
        # One attention may be a pool. With more, a transformer works on tokens, and what they were cut from,
        # its patches, is no map of what it found.
        if sum(getattr(call.function, "__name__", "") in _ATTENTION for call in calls) > 1:
            return []
        if not late:
            return calls
        # Features of one position and no pooled ones: a window still slid to them, or over them.
        start = Call(*self._start) if self._start else None
        if self._slid or start is None or _slides(start._replace(function=_ALIASES.get(start[0], start[0]))):
            return late
        return calls


def _slides(call: Call) -> bool:
    """Whether `call` is a window or slice of a feature map, and neither a head's first layer nor its pool."""
    if isinstance(call.result, Tensor) and (call.function is Tensor.__getitem__ or call.result.ndim > 4):
        return call.result.ndim >= 4  # padding that is cut off again, windows, patches to be merged
    if call.function is F.max_pool2d:
        kernel = call.args[1] if len(call.args) > 1 else call.kwargs["kernel_size"]
        return max(kernel if isinstance(kernel, tuple | list) else (kernel,)) <= 3
    return call.function is F.conv2d and not is_dense(call)


def _version(x: Tensor) -> int:
    """A number that grows with every change in place; unknown (-1) under ``inference_mode``."""
    return -1 if x.is_inference() else x._version


def watch(network: nn.Module, images: Tensor) -> tuple[Any, list[Call]]:
    """Output of one forward pass, and the calls of its tail (none if there is no short tail).

    To watch takes a few microseconds a call, so the network's blocks run unwatched. Where one of them turns
    out to hold the pool, the network runs a second time, watched throughout.
    """
    with ExitStack() as hooks, Tail() as tail:
        blocks = _Unwatched(tail)
        for block in _blocks(network):
            enter, leave = in_this_thread(blocks.enter), in_this_thread(blocks.leave)
            hooks.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
            hooks.callback(block.register_forward_hook(leave, always_call=True).remove)
        output = network(images)
    if blocks.hid_the_end:
        with Tail() as tail:
            output = network(images)
    return output, tail.head(network)


def in_this_thread(hook: Callable) -> Callable:
    """The hook for this thread alone: another may run the same network meanwhile."""
    thread = threading.get_ident()
    return lambda *given: hook(*given) if thread == threading.get_ident() else None


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
    stride = call.given.get("stride", 1)  # a larger one is made to slide, on larger pictures
    once = stride in (1, (1, 1), [1, 1])
    return once and call.given["input"].shape[2:] == call.given["weight"].shape[2:]


def tensors_in(value: Any) -> tuple[Tensor, ...]:
    """The tensors of a tensor, or of a tuple or list of tensors; none for anything else."""
    if isinstance(value, Tensor):
        return (value,)
    if isinstance(value, tuple | list):
        return tuple(v for v in value if isinstance(v, Tensor))
    return ()


def last_feature_map(calls: list[Call]) -> Tensor:
    """What the first call of a tail took: the last feature map; ``ValueError`` if there is none."""
    if not calls:
        raise unfollowed()
    inputs = [x for x in tensors_in(calls[0].input) if x.ndim == 4]
    return max(inputs, key=is_feature_map)  # the first of several positions, or the first


def replay(
    calls: list[Call], leaf: Tensor, modules: list[nn.Module], output: Any
) -> tuple[Any, list[Tensor]]:
    """`output` computed again by the calls of a tail, with a graph, from `leaf` in place of its feature map.

    Returns:
        The output, and stand-ins for tensors in it that were made elsewhere, such as earlier features. A
        score must not depend on them: how they depend on the leaf is not known.

    Raises:
        ValueError: the steps in between cannot all be followed (a custom autograd function, say), or the
            output is a map itself.
    """
    known: dict[int, Tensor] = {}  # by identity: `calls` keeps them alive, so no two share an id
    source = last_feature_map(calls)
    made = {id(x) for call in calls for x in tensors_in(call.result)} - {
        id(source)
    }  # dropout at rest returns it
    strangers: list[Tensor] = []

    def follow(x: Tensor) -> Tensor:
        if id(x) not in known:
            if not isinstance(x, nn.Parameter) and all(x is not own for own in tensors_of(modules)):
                raise unfollowed()
            known[id(x)] = x.clone() if x.is_inference() else x  # no graph holds an inference tensor
        return known[id(x)]

    def answer(x: Tensor) -> Tensor:
        if id(x) in made and _is_map(x):
            raise ValueError("layer must be named for this network: its answer is a map itself")
        if id(x) not in known:
            known[id(x)] = x.detach().clone().requires_grad_(x.is_floating_point())
            strangers.append(known[id(x)])
        return known[id(x)]

    with torch.enable_grad():
        known[id(source)] = leaf.clone()  # a clone, because the tail may work in place
        for call in calls:
            args, kwargs = _rebuilt(call.args, follow), _rebuilt(call.kwargs, follow)
            result = call.again(args, kwargs)
            pairs = zip(tensors_in(call.result), tensors_in(result), strict=True)
            known.update((id(old), new) for old, new in pairs)
        rebuilt = _rebuilt(output, answer)
    return rebuilt, [x for x in strangers if x.requires_grad]


def ends_in_linear(calls: list[Call], output: Any) -> bool:
    """Whether the last call made the output, from a vector an image, by a linear layer of the network."""
    if len(calls) < 2 or calls[-1].function is not F.linear or calls[-1].result is not output:
        return False
    x, weight = calls[-1].input, calls[-1].given["weight"]
    made = any(x is y for call in calls[:-1] for y in tensors_in(call.result))
    return made and x.ndim == 2 and isinstance(weight, nn.Parameter)


def _is_map(x: Tensor) -> bool:
    """Whether an answer has several positions, as a segmentation has: ``(B, K, h, w)``, ``(B, K, n)``."""
    return is_feature_map(x) if x.ndim == 4 else x.ndim > 2 and min(x.shape[1:]) > 1


def _rebuilt(value: Any, swap: Callable[[Tensor], Tensor], depth: int = 4) -> Any:
    """A copy of `value` (a container, a dataclass, any object) with each tensor in it swapped."""
    if isinstance(value, Tensor):
        return swap(value)
    if depth == 0 or isinstance(value, type | nn.Module) or callable(value):
        return value
    if isinstance(value, tuple | list):
        items = [_rebuilt(v, swap, depth - 1) for v in value]
        if all(a is b for a, b in zip(items, value, strict=True)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    entries = value.items() if isinstance(value, MutableMapping) else ()
    new = {key: _rebuilt(v, swap, depth - 1) for key, v in entries}
    names = {*getattr(value, "__dict__", ()), *getattr(type(value), "__slots__", ())}
    attributes = {n: _rebuilt(getattr(value, n), swap, depth - 1) for n in names if hasattr(value, n)}
    if not new and all(getattr(value, n) is v for n, v in attributes.items()):
        return value
    twin = copy.copy(value)
    for key, v in new.items():
        twin[key] = v
    for name, v in attributes.items():
        object.__setattr__(twin, name, v)
    return twin


def unfollowed() -> ValueError:
    """The refusal of a network whose head is not understood."""
    return ValueError(
        "layer must be named for this network: the steps from its last feature map to its answer could not "
        "be followed (tokens in place of maps, as in a transformer; an autograd function written by hand)"
    )


@contextmanager
def cut_at(module: nn.Module) -> Generator[list[Tensor]]:
    """Inside, nothing before the output of `module` has a graph and everything after it has one.

    Yields a list that holds, after a forward pass, the leaf the graph starts from, and the clone of it that
    the network goes on with, so that an in-place activation cannot overwrite what is kept. If the module runs
    several times in one pass, the last time counts.
    """
    kept: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: tuple, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            raise ValueError(f"layer must put out one float tensor, got {type(output).__name__}")
        leaf = output.detach().clone() if output.is_inference() else output.detach()
        torch.set_grad_enabled(True)  # the no_grad below puts the mode back
        kept[:] = [leaf.requires_grad_(), leaf.clone()]
        return kept[1]

    hook = module.register_forward_hook(in_this_thread(cut))
    try:
        with torch.no_grad():
            yield kept
    finally:
        hook.remove()


def find_layer(model: nn.Module, network: nn.Module, layer: nn.Module | str) -> nn.Module:
    """The module meant by `layer`: a name as in ``named_modules()``, or the module itself.

    Args:
        model: what the caller holds, perhaps a wrapper, whose names count too.
        network: the network inside.
        layer: a name or a module.
    """
    if isinstance(layer, nn.Module):
        if not any(layer is module for module in modules_of(model)):
            raise ValueError(f"layer is a {type(layer).__name__} that is no part of the model")
        return layer
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a module of the model or its name, got {type(layer).__name__}")
    for whole in (network, model) if layer else ():
        with suppress(AttributeError):
            return whole.get_submodule(layer)
    names = [
        name for whole in (model, network) for name, _ in whole.named_modules(remove_duplicate=False) if name
    ]
    fitting = difflib.get_close_matches(layer, dict.fromkeys(names), n=5) or [
        name for name, _ in network.named_children()
    ]
    raise ValueError(f"layer {layer!r} is not in the model; there are, for example: {', '.join(fitting)}")
