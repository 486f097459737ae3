"""The figures' common look: overlays, picture grids, colours that colour-blind readers can tell apart."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import torch
from cycler import cycler
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb, to_rgba, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .evidence import maps as _maps
from .kit.checks import choice, number, whole
from .kit.images import checked_image, html_image
from .kit.memory import give_back
from .labels.label_map import BACKGROUND, IGNORE, checked_label_map

#: Okabe and Ito's eight colours (2008), told apart with any common colour vision; class k has colour k.
PALETTE = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
#: Evidence for a class alone, from none to the map's maximum.
EVIDENCE = "viridis"
#: Signed evidence: blue speaks against the class, red for it, white says nothing.
SIGNED = "RdBu_r"

#: Text and axes: a grey that can be read on white and on the dark theme's #111111 alike (4.3 to 1 on both),
#: for figures have no background of their own.
INK = "#797979"
#: The first, second and third box of an image: told apart with any common colour vision, and by their lines.
BOXES = ((PALETTE[6], "-"), (PALETTE[2], "--"), (PALETTE[4], ":"))

TITLE_SIZE = 10
STYLE: dict[Any, Any] = {
    "figure.dpi": 108,
    "savefig.dpi": 216,  # sharp on a display with two pixels to the point
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 10,
    "axes.titlesize": TITLE_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=[*PALETTE[1:4], *PALETTE[5:], INK]),
    "image.cmap": EVIDENCE,
    "legend.frameon": False,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "hatch.color"), INK
    ),
}


def style() -> None:
    """Give every later figure of this session the course's look."""
    plt.style.use(STYLE)


def show(figure: Figure, alt: str) -> None:
    """Display `figure` with a text for readers who cannot see it, and close it.

    The figure has no background, so that it fits a light and a dark page. Colliding text is warned of (and
    ``python -m lecturekit refresh`` writes no notebook in which anything warns).

    Args:
        figure: the figure.
        alt: what is to be seen, in words.

    Raises:
        ValueError: `alt` is empty.
    """
    html_image(b"", alt)  # refuses an empty text before the figure is drawn
    for fault in text_faults(figure):
        warnings.warn(fault, stacklevel=2)
    png, width = rendered(figure)
    display({"text/html": html_image(png, alt, width), "text/plain": alt}, raw=True)
    give_back()  # of the figure, and of what has been computed for it


def rendered(figure: Figure, scale: float = 2, tight: bool = True) -> tuple[bytes, int]:
    """A figure as a PNG without a ground, which suits a light and a dark page; the figure is closed.

    Args:
        figure: the figure.
        scale: its pixels to one CSS pixel; two are sharp on every display.
        tight: cut empty margins off, and let text that reaches over the figure widen it.

    Returns:
        The file, and the width in CSS pixels to show it at.
    """
    _suit_both_themes(figure)
    buffer = io.BytesIO()
    dpi = scale * STYLE["figure.dpi"]
    bounds = "tight" if tight else None
    form = {"compress_level": 4}  # half the time of 6, 1 % more bytes
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches=bounds, facecolor="none", pil_kwargs=form)
    plt.close(figure)
    file = buffer.getvalue()
    pixels = int.from_bytes(file[16:20], "big")  # the width, as a PNG's header has it
    return file, round(pixels / scale)


def _suit_both_themes(figure: Figure) -> None:
    """Take white grounds away and bring text and lines that are black or nearly so to `INK`.

    Text in a box of its own keeps its colour, for it keeps its ground.
    """
    for axes in figure.axes:
        if to_rgb(axes.get_facecolor()) == (1, 1, 1):
            axes.patch.set_alpha(0)
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_bbox_patch() is None and _is_dark_grey(text.get_color()):
            text.set_color(INK)
    for line in figure.findobj(Line2D):
        if isinstance(line, Line2D) and _is_dark_grey(line.get_color()):
            line.set_color(INK)
    for marks in figure.findobj(lambda artist: isinstance(artist, LineCollection | PathCollection)):
        if isinstance(marks, LineCollection | PathCollection) and marks.get_array() is None:
            marks.set_edgecolor(_brought_to_ink(marks.get_edgecolor()))
            if isinstance(marks, PathCollection):
                marks.set_facecolor(_brought_to_ink(marks.get_facecolor()))


def _brought_to_ink(colours: Any) -> list[Any]:
    return [INK if _is_dark_grey(colour) else tuple(colour) for colour in to_rgba_array(colours)]


def _is_dark_grey(colour: Any) -> bool:
    *rgb, alpha = to_rgba(colour)
    return alpha > 0 and max(rgb) < 0.45 and max(rgb) - min(rgb) < 0.05


def text_faults(figure: Figure) -> list[str]:
    """What makes the text of a figure hard to read, a sentence each; none for a good figure.

    The boxes around all text are measured as drawn: two that overlap, one that its axes cut off, and one
    with a curve through it (text with a ground of its own aside) are faults.
    """
    with _pictures_hidden(figure):  # their pixels would be made anew, only to be thrown away
        figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    off = {label for axes in figure.axes for label in _unseen_labels(axes)}
    # A slanted text is smaller than the upright box around it: nothing can be said of it.
    boxes = {
        text: Text.get_window_extent(text)
        for text in texts
        if text not in off and not text.get_rotation() % 90
    }
    faults = [
        f"the texts {_short(a)} and {_short(b)} overlap"
        for (a, first), (b, second) in combinations(boxes.items(), 2)
        if _common(first, second) > 1
    ]
    for axes in figure.axes:
        inside = axes.bbox.padded(1)
        paths = [
            line.get_path().transformed(line.get_transform()) for line in axes.lines if line.get_visible()
        ]
        for text in (text for text in axes.texts if text in boxes):
            box = boxes[text]
            if text.get_clip_on() and not (inside.contains(*box.min) and inside.contains(*box.max)):
                faults.append(f"the text {_short(text)} is cut off by its axes")
            if text.get_bbox_patch() is None and any(
                path.intersects_bbox(box.padded(-2), False) for path in paths
            ):
                faults.append(f"a line runs through the text {_short(text)}")
    return faults


@contextmanager
def _pictures_hidden(figure: Figure) -> Generator[None]:
    """Inside, the figure's pictures are not drawn; the layout is the same, for they lie within their axes."""
    hidden = [picture for axes in figure.axes for picture in axes.images if picture.get_visible()]
    for picture in hidden:
        picture.set_visible(False)
    try:
        yield
    finally:
        for picture in hidden:
            picture.set_visible(True)


def _unseen_labels(axes: Axes) -> set[Text]:
    """The tick labels that are not drawn: of axes switched off and of ticks beyond the view."""
    unseen: set[Text] = set()
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            drawn = axes.axison and axis.get_visible() and low - slack <= tick.get_loc() <= high + slack
            unseen |= {label for label in (tick.label1, tick.label2) if not (drawn and label.get_visible())}
        if not axes.axison:
            unseen.add(axis.label)
    return unseen


def _common(a, b) -> float:
    """Pixels by which two boxes overlap, the smaller of both directions; 0 or less where they do not."""
    return min(min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0))


def _short(text: Text) -> str:
    words = " ".join(text.get_text().split())
    return repr(words if len(words) <= 40 else f"{words[:39]}…")


def overlay(
    image: NDArray[np.uint8], map: Tensor, signed: bool = False, opacity: float = 0.55, mode: str = "bilinear"
) -> NDArray[np.uint8]:
    """A map laid over the image it belongs to.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        map: raw float ``(h, w)``; it is scaled by its own maximum (signed: by its largest absolute value).
        signed: show evidence against the class too, blue to white to red, not the positive part alone.
        opacity: 0 shows the image, 1 the map.
        mode: how the map is brought to the image's size, as in `maps.upsample`.

    Returns:
        uint8 RGB ``(H, W, 3)``.

    Raises:
        TypeError: an image that is no array, a map that is no float tensor.
        ValueError: an image or a map of another shape, an opacity beyond 0..1.

    Example:
        >>> black = np.zeros((4, 6, 3), np.uint8)
        >>> overlay(black, torch.eye(2)).shape
        (4, 6, 3)
    """
    image = checked_image(image)
    opacity = number("opacity", opacity, 0, 1)
    height, width = image.shape[:2]
    colours = colour_map(_maps.upsample(map, (height, width), mode), signed)
    return np.rint((1 - opacity) * image + opacity * 255 * colours).astype(np.uint8)


def label_overlay(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], opacity: float = 0.55
) -> NDArray[np.uint8]:
    """A label map laid over its image: class k in colour k of `PALETTE`, ignored pixels in white stripes.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        labels: uint8 ``(H, W)``: 0 background (the image shows), 1..254 classes, 255 ignore. Beyond class 7
            the colours begin anew.
        opacity: of the colours, 0..1.

    Returns:
        uint8 RGB ``(H, W, 3)``.

    Raises:
        TypeError: an image or labels that are no arrays.
        ValueError: an image or labels of another kind, or of different sizes; an opacity beyond 0..1.
    """
    image = checked_image(image)
    labels = checked_label_map(labels)
    if labels.shape != image.shape[:2]:
        raise ValueError(f"labels must have the image's size {image.shape[:2]}, got {labels.shape}")
    opacity = number("opacity", opacity, 0, 1)
    table = 255 * np.array([to_rgb(colour) for colour in PALETTE[1:]])
    colours = table[(labels.astype(int) - 1) % len(table)]  # (H, W, 3)
    period = max(6, min(labels.shape) // 16)
    striped = np.indices(labels.shape).sum(0) % period < period / 2
    colours = np.where((labels == IGNORE)[..., None], np.where(striped, 255, 90)[..., None], colours)
    mixed = np.rint((1 - opacity) * image + opacity * colours).astype(np.uint8)
    return np.where((labels == BACKGROUND)[..., None], image, mixed)


def colour_map(map: Tensor, signed: bool = False) -> NDArray[np.float64]:
    """A raw map as colours: `EVIDENCE`, or `SIGNED` with zero in white.

    Args:
        map: raw float ``(h, w)``.
        signed: show what speaks against the class, too.

    Returns:
        RGB floats ``(h, w, 3)``, 0..1.

    Raises:
        TypeError: no float tensor.
        ValueError: a map of another shape, or with NaN or infinite values.
    """
    if _maps.check_maps(map).ndim != 2:
        raise ValueError(f"map must be one map (h, w), got {tuple(map.shape)}")
    if signed:
        largest = map.abs().amax().clamp(min=torch.finfo(map.dtype).tiny)
        values = (map / largest + 1) / 2
    else:
        values = _maps.normalise(_maps.rectify(map))
    colours = matplotlib.colormaps[SIGNED if signed else EVIDENCE]
    return np.asarray(colours(values.detach().float().cpu().numpy()))[..., :3]


def pictures(
    images: Sequence[ArrayLike] | NDArray,
    titles: Sequence[str] | None = None,
    boxes: Sequence[Sequence[ArrayLike]] | None = None,
    columns: int = 4,
    width: float = 2.4,
    scale: str | tuple[float, float] = "all",
    box_names: Sequence[str] = (),
) -> Figure:
    """Images in a grid, each with a title under which it can be spoken of, and boxes if there are any.

    Args:
        images: RGB ``(H, W, 3)`` or grey ``(H, W)`` arrays of any size, at least one. Grey goes from black to
            white over 0..255 (uint8), over False and True (bool), or as `scale` says (float).
        titles: one for each image; long ones are wrapped.
        boxes: for each image a list of boxes (x0, y0, x1, y1), half open, in pixels.
        columns: images in a row, at most.
        width: inches an image.
        scale: from black to white for grey floats: ``"all"`` of the figure share one range, so that dark
            means little; ``"row"`` shares it in a row, ``"each"`` stretches every image by itself; or two
            numbers, black and white.
        box_names: what the first, second and third box of each image are, for a legend below.

    Raises:
        ValueError: no image, titles or boxes that are not one an image, columns or a scale out of range.

    Example:
        >>> figure = pictures([np.eye(3), np.eye(3) / 10], ["strong", "a tenth of it"], scale="row")
        >>> [axes.images[0].get_clim() for axes in figure.axes]
        [(0.0, 1.0), (0.0, 1.0)]
        >>> plt.close(figure)
    """
    if len(images) == 0:
        raise ValueError("images must be at least one, got 0")
    for name, given in (("titles", titles), ("boxes", boxes)):
        if given is not None and len(given) != len(images):
            raise ValueError(f"{name} must be one an image ({len(images)}), got {len(given)}")
    columns = min(whole("columns", columns, 1), len(images))
    arrays = [np.asarray(image) for image in images]
    ranges = _grey_ranges(arrays, columns, scale)
    words = [_wrapped(title, width) for title in titles or [""] * len(arrays)]
    lines = max(title.count("\n") + 1 for title in words)
    rows = -(-len(arrays) // columns)
    tallest = max(image.shape[0] / image.shape[1] for image in arrays)
    size = (columns * width, rows * (width * tallest + 0.17 + 0.18 * lines) + 0.3 * bool(box_names))
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for n, (axes, image) in enumerate(zip(grid.flat, arrays, strict=False)):
        black, white = ranges[n]
        axes.imshow(image, cmap="gray", interpolation="nearest", vmin=black, vmax=white)
        axes.set_title(words[n])
        for k, box in enumerate(boxes[n] if boxes is not None else []):
            draw_box(axes, box, *BOXES[k % 3])
    if box_names:
        keys = [
            Line2D([], [], color=colour, linestyle=line, linewidth=2, label=name)
            for name, (colour, line) in zip(box_names, BOXES, strict=False)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=3)
    return figure


def _grey_ranges(
    arrays: list[NDArray], columns: int, scale: str | tuple[float, float]
) -> list[tuple[float | None, float | None]]:
    """Black and white for every image; None where it is in colour."""
    if not isinstance(scale, str):
        low, high = (number("scale", value) for value in scale)
        if not low < high:
            raise ValueError(f"scale must be black and white, the smaller number first, got {scale}")
        return [_fixed_range(image) or (low, high) for image in arrays]
    choice("scale", scale, ["all", "row", "each"])
    step = {"all": len(arrays), "row": columns, "each": 1}[scale]
    groups = [arrays[n : n + step] for n in range(0, len(arrays), step)]
    shared = [_value_range([image for image in group if _fixed_range(image) is None]) for group in groups]
    return [_fixed_range(image) or shared[n // step] for n, image in enumerate(arrays)]


def _fixed_range(image: NDArray) -> tuple[float, float] | None:
    return {"uint8": (0, 255), "bool": (0, 1)}.get(image.dtype.name)


def _value_range(images: list[NDArray]) -> tuple[float | None, float | None]:
    """The least and the largest finite value of all grey images together."""
    values = np.concatenate(
        [np.zeros(0), *(image[np.isfinite(image)] for image in images if image.ndim == 2)]
    )
    return (float(values.min()), float(values.max())) if values.size else (None, None)


def _wrapped(title: str, width: float) -> str:
    """`title` in lines of at most `width` inches, as far as its words allow."""
    lines = []
    for line in title.split("\n"):
        lines.append("")
        for word in line.split(" "):
            longer = f"{lines[-1]} {word}".strip(" ")
            if lines[-1] and TextPath((0, 0), longer, size=TITLE_SIZE).get_extents().width > 72 * width:
                lines.append(word)
            else:
                lines[-1] = longer
    return "\n".join(lines)


def draw_box(axes: Axes, box: ArrayLike, colour: str = BOXES[0][0], line: str = "-") -> None:
    """Outline of a box on axes that show an image.

    Args:
        axes: of the image.
        box: (x0, y0, x1, y1) in pixels, half open.
        colour: of the outline, on a white rim.
        line: its style, as matplotlib has it.
    """
    x0, y0, x1, y1 = np.asarray(box, float)
    corner = (x0 - 0.5, y0 - 0.5)
    axes.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=3.5))
    axes.add_patch(
        Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=2, linestyle=line)
    )
