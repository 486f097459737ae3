"""What is asked of a network and what it answers: arguments, classes, scores and their gradients."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import torch
from numpy.typing import ArrayLike
from torch import Tensor, fx, nn

from ..kit.networks import modules_of, unwrapped
from ._forward import unfollowed

Score: TypeAlias = Callable[[Any], Tensor]
Classes: TypeAlias = int | ArrayLike | Tensor | Score | None


class Evidence(NamedTuple):
    """Maps of evidence and what they belong to.

    Attributes:
        maps: raw signed float ``(B, h, w)``, or ``(B, n, h, w)`` if several classes were asked for.
        logits: what the network said, ``(B, K)``.
        classes: whose evidence each map is, int64 ``(B,)`` or ``(B, n)``; None if a function was asked about.
    """

    maps: Tensor
    logits: Any
    classes: Tensor | None


def check_call(model: object, images: object, classes: object, gradients: bool = True) -> list[nn.Module]:
    """The modules of the network; ``TypeError`` or ``ValueError``, with the reason, if this cannot be asked.

    Args:
        model: as in `cam`.
        images: as in `cam`.
        classes: as in `cam`, or as in `grad_cam` if gradients are wanted.
        gradients: whether each class costs a backward pass.
    """
    modules = modules_of(unwrapped(checked_model(model)))
    for kind in {type(module) for module in modules}:
        if ".quantized." in kind.__module__:
            raise ValueError(
                f"model has quantised layers ({kind.__name__}), which have no gradient and no float weights; "
                "explain the float model it was made from"
            )
    for module in modules:
        if "_graph" in module.__dict__ or "graph" in module.__dict__:
            _check_exported(module)
    if not isinstance(images, Tensor) or not images.is_floating_point():
        met = f"a {images.dtype} tensor" if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(
            f"images must be a float tensor (B, 3, H, W), got {met}; try model.preprocess(images)"
        )
    if images.ndim != 4 or images.numel() == 0:
        hint = "; one image needs a batch of one: images[None]" if images.ndim == 3 else ""
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}{hint}")
    weight = next((p for p in modules[0].parameters() if p.is_floating_point()), images)
    if weight.device != images.device:
        raise ValueError(f"images are on {images.device}, the model is on {weight.device}; move one of them")
    if weight.dtype != images.dtype and not torch.is_autocast_enabled(images.device.type):
        raise ValueError(f"images are {images.dtype} and the model is {weight.dtype}; convert one of them")
    if not all(math.isfinite(extreme) for extreme in images.detach().aminmax()):
        raise ValueError("images must be finite, got NaN or infinite values")
    if gradients and isinstance(classes, str):
        raise ValueError("classes='all' would take a backward pass a class; name the classes, or use cam")
    if not (gradients and callable(classes)):
        _check_classes(classes, len(images))
    return modules


def checked_model(model: object) -> nn.Module:
    """The model, if its Python code can be followed, else ``TypeError``."""
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"model must be a torch module that is not scripted, got {type(model).__name__}")
    return model


def _check_exported(module: nn.Module) -> None:
    """Refuse a traced or exported network that does not compute what its float original in eval mode does."""
    graph = vars(module).get("_graph", vars(module).get("graph"))
    for node in graph.nodes if isinstance(graph, fx.Graph) else ():
        if str(node.target).startswith("quantize"):
            raise ValueError(
                "model is exported with quantised steps; explain the float model it was made from"
            )
        if node.op == "call_function" and _trains(node):
            raise ValueError(
                f"model was exported in train mode, which its {node.name} keeps for ever; call model.eval() "
                "before the export"
            )


def _trains(node: fx.Node) -> bool:
    """Whether a step of an exported network is a dropout or norm that behaves as in training."""
    target: Any = node.target
    schema = getattr(target, "_schema", None)
    try:
        names = [a.name for a in schema.arguments] if schema else list(inspect.signature(target).parameters)
    except (TypeError, ValueError):  # a builtin without a signature
        names = []
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    return given.get("training") is True or given.get("train") is True


def _check_classes(classes: object, batch: int) -> None:
    """Refuse what can be refused before the network has run (and told how many classes it has)."""
    if classes is None or (isinstance(classes, str) and classes == "all"):
        return
    wanted = f"None, 'all', one class, {batch} classes (one an image) or a ({batch}, n) table of classes"
    if isinstance(classes, str):
        raise ValueError(f"classes must be {wanted}, got {classes!r}")
    try:
        table = torch.as_tensor(classes)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"classes must be {wanted}, got {classes!r}") from error
    if table.ndim > 2 or table.numel() == 0 or (table.ndim > 0 and len(table) != batch):
        hint = " (several classes of one image: [[1, 2]])" if batch == 1 and table.ndim == 1 else ""
        raise ValueError(f"classes must be {wanted}, got shape {tuple(table.shape)}{hint}")
    if table.is_floating_point() or table.is_complex() or table.dtype == torch.bool:
        raise TypeError(f"classes must be whole numbers, got {table.dtype}; wanted {wanted}")


def chosen_classes(classes: object, logits: Tensor) -> Tensor:
    """The classes as int64 ``(B,)`` or ``(B, n)`` on the logits' device, checked against their number."""
    batch, count = logits.shape
    if classes is None:
        return logits.argmax(1)
    if isinstance(classes, str):
        return torch.arange(count, device=logits.device).expand(batch, count)
    table = torch.as_tensor(classes, device=logits.device).long()
    if ((table < 0) | (table >= count)).any():
        raise ValueError(f"classes must lie in 0..{count - 1}, got {table.tolist()}")
    return table.expand(batch) if table.ndim == 0 else table


def as_logits(output: Any) -> Tensor:
    """The logits in what a model returns: a tensor, or an object or dictionary that holds ``logits``."""
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        met = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(output).__name__
        raise ValueError(f"model must return logits of shape (B, K), got {met}")
    return logits


def check_logits(logits: Tensor) -> Tensor:
    """The logits, if they are finite."""
    if not logits.isfinite().all():
        raise ValueError(
            "model put out logits that are NaN or infinite: look for such weights, or an overflow"
        )
    return logits


def scores_of(classes: Classes, output: Any, batch: int) -> tuple[list[Tensor], Any, Tensor | None]:
    """The scores to differentiate, each summed over the batch; the output without its graph; the classes."""
    if not callable(classes):
        logits = check_logits(as_logits(output))
        chosen = chosen_classes(classes, logits)
        columns = chosen.reshape(batch, -1).T.unsqueeze(-1)  # (n, B, 1)
        return [logits.gather(1, column).sum() for column in columns], logits.detach(), chosen
    score = classes(output)
    if not isinstance(score, Tensor) or tuple(score.shape) not in ((), (batch,)):
        met = f"shape {tuple(score.shape)}" if isinstance(score, Tensor) else type(score).__name__
        raise ValueError(
            f"classes, as a function, must return one score an image ({batch},) or a sum, got {met}"
        )
    if not score.isfinite().all():
        raise ValueError("classes, as a function, returned a score that is NaN or infinite")
    return [score.sum()], output.detach() if isinstance(output, Tensor) else output, None


def gradient_of(
    score: Tensor, leaf: Tensor, name: str, more: bool = True, strangers: Sequence[Tensor] = ()
) -> Tensor:
    """Gradient of `score` at `leaf`; ``ValueError`` if it has none, or none that is the whole truth.

    The graph is kept if `more` scores follow; without it memory is used again on the way, which saves time.
    """
    gradient, others = None, ()
    if score.requires_grad:
        try:
            gradient, *others = torch.autograd.grad(
                score, [leaf, *strangers], retain_graph=more, allow_unused=True
            )
        except RuntimeError as error:
            if "heckpoint" not in str(error):
                raise
            raise ValueError(
                "model uses checkpoints through which this gradient cannot be asked for; switch them off, "
                "or let them be made with use_reentrant=False"
            ) from error
    if any(other is not None for other in others):
        raise unfollowed()
    if gradient is None:
        raise ValueError(
            f"layer or classes: the score does not depend on {name}, or the network cuts the graph in "
            "between (torch.no_grad, detach, a reentrant checkpoint)"
        )
    return gradient


def finite(maps: Tensor) -> Tensor:
    """The maps, if they are finite."""
    if not maps.isfinite().all():
        raise ValueError("model has features or gradients that are NaN or infinite: look for such weights")
    return maps


def as_written(images: Tensor) -> AbstractContextManager:
    """Inside, sums are made in the accuracy of their tensors, under autocast too."""
    device = images.device.type
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()  # to switch off what is off takes time


def wide(x: Tensor) -> Tensor:
    """At least float32, so that the sums of a half-precision network lose nothing more."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
