"""AdamW without torch's compiler, which nothing in this course uses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch


class AdamW(torch.optim.AdamW):
    """torch's AdamW, step for step the same (Loshchilov and Hutter, ICLR 2019).

    The first optimiser of a process makes torch load its compiler, which takes some 4 CPU seconds and 150 MB.
    That is only done so that the compiler leaves optimisers alone; here the methods are called without it.

    Example:
        >>> weight = torch.ones(1, requires_grad=True)
        >>> optimiser = AdamW([weight], lr=0.1, weight_decay=0)
        >>> weight.sum().backward()
        >>> optimiser.step()
        >>> round(weight.item(), 4)
        0.9
    """

    add_param_group: Any = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad: Any = inspect.unwrap(torch.optim.AdamW.zero_grad)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along the gradients.

        Args:
            closure: computes the loss and its gradients again; None: those that are there are used.
        """
        return inspect.unwrap(torch.optim.AdamW.step)(self, closure)
