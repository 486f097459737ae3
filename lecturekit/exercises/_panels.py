"""Yours · wanted · difference: two arrays side by side, as numbers where they are few, else as pictures."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import torch

from lecturekit.kit.images import data_uri, encoded

#: Up to so many numbers are shown as a table.
FEW = 48
#: Pictures are enlarged to at least so many pixels a side, and thinned out to at most twice as many.
SIDE = 120


def side_by_side(met: Any, wanted: Any) -> str:
    """HTML of two answers and, where their shapes agree, of their difference; ``""`` for what is no array."""
    a, b = _plane(met), _plane(wanted)
    if a is None or b is None:
        return ""
    shown = {"yours": a, "wanted": b}
    if a.shape == b.shape:
        shown["difference"] = a - b
    if max(a.size, b.size) <= FEW:
        drawn = [(name, _table(plane, name, shown)) for name, plane in shown.items()]
    else:
        low, high = np.nanmin(b), np.nanmax(b)
        drawn = [(name, _picture(plane, name, low, high)) for name, plane in shown.items()]
    cells = "".join(
        f'<figure style="margin: 0.3em 0.8em 0 0"><figcaption>{name}</figcaption>{body}</figure>'
        for name, body in drawn
    )
    return f'<div style="display: flex; flex-wrap: wrap; overflow-x: auto">{cells}</div>'


def _plane(value: Any) -> np.ndarray | None:
    """The array as float64 of two axes, its first layer of more; None for what has no picture."""
    if isinstance(value, torch.Tensor):
        if value.is_meta or value.layout is not torch.strided:  # no numbers, or not one for each place
            return None
        value = value.detach().to("cpu")
        value = value.float().numpy() if value.is_floating_point() else value.numpy()
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind not in "biuf"
        or not value.size
        or not value.ndim
    ):
        return None
    while value.ndim > 2:
        value = value[0]
    plane = np.atleast_2d(value.astype(np.float64))
    return plane if np.isfinite(plane).any() else None


def _table(plane: np.ndarray, name: str, shown: dict[str, np.ndarray]) -> str:
    """The numbers; those of yours that are wrong are bold and marked."""
    apart = np.zeros(plane.shape, bool)
    if name == "yours" and "difference" in shown:
        apart = ~np.isclose(plane, shown["wanted"], rtol=1e-4, atol=1e-6, equal_nan=True)
    rows = "".join(
        f"<tr>{''.join(_cell(v, wrong) for v, wrong in zip(*pair, strict=True))}</tr>"
        for pair in zip(plane, apart, strict=True)
    )
    return f'<table aria-label="{html.escape(name)}">{rows}</table>'


def _cell(number: float, wrong: bool) -> str:
    text = f"{number:.4g}"
    return f"<td><strong>✗ {text}</strong></td>" if wrong else f"<td>{text}</td>"


def _picture(plane: np.ndarray, name: str, low: float, high: float) -> str:
    """The numbers as grey from `low` to `high`; a difference as orange above, blue below, white at zero."""
    step = max(1, -(-max(plane.shape) // (2 * SIDE)))
    plane = np.nan_to_num(plane[::step, ::step])
    times = max(1, SIDE // max(plane.shape))
    if name == "difference":
        share = (plane / max(np.abs(plane).max(), 1e-12))[..., None]
        orange, blue = np.array([213, 94, 0]), np.array([0, 114, 178])
        pixels = 255 + np.where(share > 0, share * (orange - 255), -share * (blue - 255))
    else:
        pixels = (255 * (plane - low) / max(high - low, 1e-12)).clip(0, 255)
    picture = pixels.round().astype(np.uint8).repeat(times, 0).repeat(times, 1)
    alt = f"{name}: values from {plane.min():.3g} to {plane.max():.3g}"
    return f'<img alt="{html.escape(alt)}" src="{data_uri(encoded(picture))}">'
