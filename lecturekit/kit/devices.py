"""The one place that chooses where tensors live."""

from __future__ import annotations

import warnings

import torch


def pick_device(wanted: str | torch.device | None = None) -> torch.device:
    """Device for new tensors: `wanted` if it is there, else CUDA, then Apple's MPS, then the CPU.

    A device that is wanted but absent gives a warning and the best one present, so that a notebook written
    on a GPU machine still runs on a laptop. Raises ``ValueError`` for a name that torch does not know.
    """
    found = available()
    if wanted is None:
        return found[0]
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ValueError(f"wanted must be a device such as 'cpu', 'cuda' or 'mps', got {wanted!r}") from error
    if device.type in {a.type for a in found} and (device.index or 0) < _count(device.type):
        return device
    warnings.warn(f"device {device} is not available here; using {found[0]}", stacklevel=2)
    return found[0]


def available() -> list[torch.device]:
    """The kinds of device on this machine, the one `pick_device` prefers first; the CPU is always there."""
    found = [torch.device("cpu")]
    if torch.backends.mps.is_available():
        found.insert(0, torch.device("mps"))
    if torch.cuda.is_available():
        found.insert(0, torch.device("cuda"))
    return found


def _count(kind: str) -> int:
    return torch.cuda.device_count() if kind == "cuda" else 1
