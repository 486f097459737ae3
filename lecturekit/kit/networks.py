"""Somebody else's network, used for a moment and left as it was."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

#: Flags, hooks and compiler settings belong to a network and not to a call: threads take turns.
_TURN = threading.RLock()


@contextmanager
def undisturbed(
    model: nn.Module, gradients: bool = False, modules: list[nn.Module] | None = None
) -> Generator[nn.Module]:
    """The module to call inside, in eval mode; flags and buffers are as before after it, also after an error.

    Wrappers that hide Python code from view are taken off: ``DataParallel`` and ``torch.compile``. Only one
    thread at a time is inside.

    Args:
        model: any module.
        gradients: whether a graph is to be built inside. Weights made under ``inference_mode``, which no
            graph can hold, are then replaced by copies meanwhile.
        modules: what `modules_of` gave for the network, where that is known already.

    Raises:
        ValueError: a traced submodule changed its statistics, because it was traced in train mode.
    """
    network = unwrapped(model)
    with ExitStack() as stack:
        stack.enter_context(_TURN)
        if "torch._dynamo" in sys.modules:  # something may be compiled further in; importing it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        modules = modules or modules_of(network)
        # Not network.eval(): a network may do more than set flags there, and would not undo it.
        for module in modules:
            if module.training:
                stack.callback(setattr, module, "training", True)
                module.training = False
        stack.enter_context(_buffers_kept(modules))
        if gradients and any(t.is_inference() for t in tensors_of(modules)):
            stack.enter_context(_without_inference_tensors(modules))
        yield network


def modules_of(network: nn.Module) -> list[nn.Module]:
    """What ``network.modules()`` gives, in another order; several times as fast: it makes no names."""
    modules = [network]
    known = {id(network)}
    for module in modules:  # grows meanwhile
        if module._modules:  # most have no parts
            for child in module._modules.values():
                if child is not None and id(child) not in known:
                    known.add(id(child))
                    modules.append(child)
    return modules


def tensors_of(modules: Iterable[nn.Module]) -> Iterator[Tensor]:
    """Parameters and buffers of modules; five times as fast as to ask for them by name."""
    for module in modules:
        for table in (module._parameters, module._buffers):
            if table:
                yield from (tensor for tensor in table.values() if tensor is not None)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside ``DataParallel`` and compiled wrappers, however many there are."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inside = model.module
        else:
            inside = getattr(model, "_orig_mod", None)
        if inside is None:
            return model
        model = inside


@contextmanager
def _buffers_kept(modules: list[nn.Module]) -> Generator[None]:
    """Put back what a network writes into its buffers even in eval mode: counters, baked-in statistics."""
    # Batch norms, which own nearly all buffers, only read theirs in eval mode and need no copy.
    owners = [m for m in modules if m._buffers and not isinstance(m, _NormBase)]
    before = [
        (module, name, buffer, buffer.clone())
        for module in owners
        for name, buffer in module.named_buffers(recurse=False)
    ]
    traced_in_training = False
    try:
        yield
    finally:
        for module, name, buffer, copy in before:
            scripted = isinstance(module, torch.jit.ScriptModule)
            if not torch.equal(buffer, copy):
                traced_in_training |= scripted
                with torch.no_grad():
                    buffer.copy_(copy)
            if not scripted:
                module._buffers[name] = buffer
    if traced_in_training:
        raise ValueError("model holds a module that was traced in train mode; trace it in eval mode")


@contextmanager
def _without_inference_tensors(modules: list[nn.Module]) -> Generator[None]:
    """Copies, which a graph can hold, in place of all tensors made under ``inference_mode``."""
    with torch.inference_mode(False), ExitStack() as stack:
        copies: dict[int, Tensor] = {}
        for module in modules:
            for table in (module._parameters, module._buffers, vars(module)):
                _replace(table, copies, stack)
        yield


def _replace(table: dict[str, Any], copies: dict[int, Tensor], stack: ExitStack) -> None:
    for name, value in list(table.items()):
        if isinstance(value, Tensor) and value.is_inference():
            stack.callback(table.__setitem__, name, value)
            table[name] = copies.setdefault(id(value), _usable(value))


def _usable(value: Tensor) -> Tensor:
    clone = value.clone()
    return nn.Parameter(clone, value.requires_grad) if isinstance(value, nn.Parameter) else clone
