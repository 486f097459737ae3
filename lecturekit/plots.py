"""The figures' common look: overlays, picture grids, colours that colour-blind readers can tell apart."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from IPython.display import Image, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .evidence import maps as _maps

#: Okabe and Ito's eight colours (2008), told apart with any common colour vision; class k has colour k.
PALETTE = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
#: Evidence for a class alone, from none to the map's maximum.
EVIDENCE = "viridis"
#: Signed evidence: blue speaks against the class, red for it, white says nothing.
SIGNED = "RdBu_r"

STYLE = {
    "figure.dpi": 108,
    "savefig.dpi": 216,  # sharp on a display with two pixels to the point
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=[*PALETTE[1:4], *PALETTE[5:], PALETTE[0]]),
    "image.cmap": EVIDENCE,
    "legend.frameon": False,
}


def style() -> None:
    """Give every later figure of this session the course's look."""
    matplotlib.rcParams.update(STYLE)


def show(figure: Figure, alt: str) -> None:
    """Display `figure` with a text for readers who cannot see it, and close it.

    Raises:
        ValueError: `alt` is empty.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must say what the figure shows, got {alt!r}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=STYLE["savefig.dpi"], bbox_inches="tight", facecolor="white")
    plt.close(figure)
    png = buffer.getvalue()
    pixels = int.from_bytes(png[16:20], "big")  # the width, as a PNG's header has it
    width = round(pixels * STYLE["figure.dpi"] / STYLE["savefig.dpi"])
    display(Image(png, alt=alt, width=width))


def overlay(
    image: np.ndarray, map: Tensor, signed: bool = False, opacity: float = 0.55, mode: str = "bilinear"
) -> np.ndarray:
    """A map laid over the picture it belongs to.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        map: raw float ``(h, w)``; it is scaled by its own maximum (signed: by its largest absolute value).
        signed: show evidence against the class too, blue to white to red, not the positive part alone.
        opacity: 0 shows the picture, 1 the map.
        mode: how the map is brought to the picture's size, as in `maps.upsample`.

    Returns:
        uint8 RGB ``(H, W, 3)``.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image must be a uint8 RGB array (H, W, 3), got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 RGB (H, W, 3), got {image.dtype} {image.shape}")
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie in 0..1, got {opacity!r}")
    colours = colour_map(_maps.upsample(map, image.shape[:2], mode), signed)
    return np.rint((1 - opacity) * image + opacity * 255 * colours).astype(np.uint8)


def label_overlay(image: np.ndarray, labels: np.ndarray, opacity: float = 0.55) -> np.ndarray:
    """A label map laid over its picture: class k in colour k of `PALETTE`, ignored pixels in white stripes.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        labels: uint8 ``(H, W)``: 0 background (the picture shows), 1..254 classes, 255 ignore. Beyond class 7
            the colours begin anew.
        opacity: of the colours, 0..1.

    Returns:
        uint8 RGB ``(H, W, 3)``.

    Raises:
        TypeError, ValueError: an image or labels of another kind, or of different sizes.
    """
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8:
        raise TypeError(
            f"labels must be a uint8 array, got {getattr(labels, 'dtype', type(labels).__name__)}"
        )
    if image.dtype != np.uint8 or image.shape != (*labels.shape, 3):
        raise ValueError(f"image must be uint8 {(*labels.shape, 3)}, got {image.dtype} {image.shape}")
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie in 0..1, got {opacity!r}")
    table = 255 * np.array([matplotlib.colors.to_rgb(colour) for colour in PALETTE[1:]])
    colours = table[(labels.astype(int) - 1) % len(table)]  # (H, W, 3)
    period = max(6, min(labels.shape) // 16)
    striped = np.indices(labels.shape).sum(0) % period < period / 2
    colours = np.where((labels == 255)[..., None], np.where(striped, 255, 90)[..., None], colours)
    mixed = np.rint((1 - opacity) * image + opacity * colours).astype(np.uint8)
    return np.where((labels == 0)[..., None], image, mixed)


def colour_map(map: Tensor, signed: bool = False) -> np.ndarray:
    """A raw map ``(h, w)`` as RGB floats ``(h, w, 3)``, 0..1: `EVIDENCE`, or `SIGNED` with zero in white."""
    if _maps.check_maps(map).ndim != 2:
        raise ValueError(f"map must be one map (h, w), got {tuple(map.shape)}")
    if signed:
        largest = map.abs().amax().clamp(min=torch.finfo(map.dtype).tiny)
        values = (map / largest + 1) / 2
    else:
        values = _maps.normalise(_maps.rectify(map))
    colours = matplotlib.colormaps[SIGNED if signed else EVIDENCE]
    return colours(values.detach().float().cpu().numpy())[..., :3]


def pictures(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    boxes: Sequence[Sequence[Sequence[float]]] | None = None,
    columns: int = 4,
    width: float = 2.4,
) -> Figure:
    """Pictures in a grid, each with a title under which it can be spoken of, and boxes if there are any.

    Args:
        images: RGB ``(H, W, 3)`` or grey ``(H, W)`` arrays of any size, at least one. Grey goes from black to
            white over 0..255 (uint8), over False and True (bool), or over the array's own range (float).
        titles: one for each image.
        boxes: for each image a list of boxes (x0, y0, x1, y1), half open, in pixels.
        columns: pictures in a row, at most.
        width: inches a picture.
    """
    if len(images) == 0 or columns < 1:
        raise ValueError(f"images and columns must be at least one, got {len(images)} and {columns}")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles must be one an image ({len(images)}), got {len(titles)}")
    if boxes is not None and len(boxes) != len(images):
        raise ValueError(f"boxes must be one list an image ({len(images)}), got {len(boxes)}")
    images = [np.asarray(image) for image in images]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    tallest = max(image.shape[0] / image.shape[1] for image in images)
    size = (columns * width, rows * (width * tallest + 0.35))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for n, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        black, white = {"uint8": (0, 255), "bool": (0, 1)}.get(image.dtype.name, (None, None))
        axis.imshow(image, cmap="gray", interpolation="nearest", vmin=black, vmax=white)
        axis.set_title(titles[n] if titles is not None else "")
        for k, box in enumerate(boxes[n] if boxes is not None else []):
            draw_box(axis, box, PALETTE[(1, 2, 7)[k % 3]])
    return figure


def draw_box(axis: plt.Axes, box: Sequence[float], colour: str = PALETTE[1]) -> None:
    """Outline of a half-open box (x0, y0, x1, y1) on an axis that shows an image."""
    x0, y0, x1, y1 = (float(v) for v in box)
    outline = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=3.5)
    axis.add_patch(outline)
    axis.add_patch(Rectangle(outline.get_xy(), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=2))
