"""The route of the lecture from a class to pixels, as a picture, with what a label costs on the way."""

from __future__ import annotations

import cv2
import matplotlib
import numpy as np
from matplotlib import patches
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..datasets.photos import PHOTOS, photo
from ..labels.costs import COSTS
from ..plots import PALETTE, STYLE, draw_box

#: Seconds of annotation as the lecture states them, in its section on limited annotations: about 20 s a
#: picture for a class, at least 80 s an object for an outline, easily an hour and a half for a dense street
#: scene.
LECTURE_SECONDS = {
    what: round(COSTS[key].seconds)
    for what, key in (
        ("class of a picture", "image_class"),
        ("outline of an object", "outline_lecture"),
        ("every pixel of a street", "dense_mask_lecture"),
    )
}

#: What :func:`figure` shows, in words.
ALT = (
    "The same photograph of a motorcycle three times, with arrows from left to right: a class, the word "
    "motorcycle, which takes about 20 seconds; a box round it, 7 to 42 seconds; its pixels, with the rest "
    "darkened, up to one and a half hours for a street scene. From class to box lead notebooks 03 to 06, "
    "from box to pixels 07 and 08. An arrow back from right to left is marked as the easy way."
)

_WIDTH, _BOTTOM, _HEIGHT = 0.23, 0.28, 0.5  # of a panel, as shares of the figure
_LEFT = (0.005, 0.385, 0.765)
_TITLES = ("a class", "a box", "pixels")
# A box: from four extreme clicks to dragging with checks.
_COSTS = (
    f"about {COSTS['image_class'].seconds:.0f} s a picture",
    f"{COSTS['box_extreme'].seconds:.0f} to {COSTS['box_drag_checked'].seconds:.0f} s an object",
    f"{COSTS['dense_mask_lecture'].seconds / 3600:g} h a street scene",
)
_LEGS = (
    ("where does the\nnetwork look?", "notebooks\n03 to 06"),
    ("which pixels\nof the box?", "notebooks\n07 and 08"),
)


def figure() -> Figure:
    """Class, box and pixels of one photograph, what each costs, and the notebooks between them.

    The pixels are what GrabCut makes of the box; no outline was drawn.
    """
    image = photo("motorcycle")[::2, ::2]
    x0, y0, x1, y1 = (v // 2 for v in PHOTOS["motorcycle"].box)
    box = (x0, y0, x1, y1)
    with matplotlib.rc_context(STYLE | {"figure.constrained_layout.use": False}):
        figure = plt.figure(figsize=(7.8, 2.7))
        panels = [_panel(figure, k) for k in range(3)]
        _draw_class(panels[0], image)
        panels[1].imshow(image)
        draw_box(panels[1], box)
        panels[2].imshow(_darkened(image, _grabcut(image, box)))
        _draw_arrows(figure)
    return figure


def _grabcut(image: np.ndarray, box: tuple[int, int, int, int], rounds: int = 5) -> np.ndarray:
    """Pixels of the object in `box` (x0, y0, x1, y1) by OpenCV's GrabCut, as a bool mask (H, W).

    `image` is uint8 RGB (H, W, 3). OpenCV draws random numbers here; its seed is set, so that a picture
    always gives the same mask. Rother et al., SIGGRAPH 2004.
    """
    x0, y0, x1, y1 = box
    labels, models = np.zeros(image.shape[:2], np.uint8), [np.zeros((1, 65)) for _ in range(2)]
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.grabCut(bgr, labels, (x0, y0, x1 - x0, y1 - y0), *models, rounds, cv2.GC_INIT_WITH_RECT)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _panel(figure: Figure, k: int) -> Axes:
    panel = figure.add_axes((_LEFT[k], _BOTTOM, _WIDTH, _HEIGHT))
    panel.axis("off")
    panel.set_title(_TITLES[k], fontsize=13, fontweight="bold")
    panel.text(0.5, -0.05, _COSTS[k], transform=panel.transAxes, ha="center", va="top")
    return panel


def _draw_class(panel: Axes, image: np.ndarray) -> None:
    panel.imshow(image)
    tag = {"facecolor": PALETTE[1], "edgecolor": "black", "boxstyle": "round"}
    panel.text(0.04, 0.92, "motorcycle", transform=panel.transAxes, va="top", color="black", bbox=tag)


def _darkened(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`image` with everything outside `mask` at a quarter of its brightness."""
    return np.where(mask[..., None], image, image // 4)


def _draw_arrows(figure: Figure) -> None:
    middle = _BOTTOM + _HEIGHT / 2
    for k, (question, notebooks) in enumerate(_LEGS):
        start, end = _LEFT[k] + _WIDTH, _LEFT[k + 1]
        _arrow(figure, (start + 0.01, middle), (end - 0.01, middle), PALETTE[5], 3)
        figure.text((start + end) / 2, middle + 0.05, question, ha="center", va="bottom")
        figure.text((start + end) / 2, middle - 0.06, notebooks, ha="center", va="top", fontsize=9)
    first, last = _LEFT[0] + _WIDTH / 2, _LEFT[2] + _WIDTH / 2
    _arrow(figure, (last, 0.13), (first, 0.13), "0.45", 1.5)
    back = "the easy way back: a mask gives its box, and a box its class, by leaving something out"
    figure.text(0.5, 0.08, back, ha="center", va="top")


def _arrow(
    figure: Figure, start: tuple[float, float], end: tuple[float, float], colour: str, width: float
) -> None:
    """An arrow between two points of the figure, given as shares of its width and height."""
    arrow = patches.FancyArrowPatch(
        start, end, transform=figure.transFigure, arrowstyle="-|>", color=colour, linewidth=width,
        mutation_scale=18, shrinkA=0,
    )  # fmt: skip
    figure.add_artist(arrow)
