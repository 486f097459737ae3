"""The lecture's graph: image labels, boxes and pixels, and an arrow from each level to each.

An arrow makes labels of one level out of labels of another. Level or downwards it loses nothing but detail:
strong supervision. Upwards it has to guess: weak supervision. Here every arrow runs on generated scenes,
whose truth is known, so that its quality is a number. Only `quality` and the drawing ever look at the truth.

The ImageNet classifier does not know the scenes' classes. `train_gap_head` trains a new linear layer behind
its frozen features and average pool on image labels alone, which is all that CAM needs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import cv2
import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from .. import metrics, plots
from ..datasets.scenes import CLASSES, Scene
from ..datasets.scenes.generate import tight_box
from ..evidence import maps as _maps
from ..kit.checks import whole
from ..kit.images import checked_images
from ..kit.optimisers import AdamW
from ..labels.boxes import paint_masks
from ..labels.label_map import BACKGROUND
from ..metrics import label_quality
from ..models import MEAN, STD
from ..pixels.grabcut import grabcut_images

#: From the least that a label can say to the most.
LEVELS = ("image label", "box", "pixels")


class Arrow(NamedTuple):
    """A way from labels of one level to labels of another, or to predictions of the same kind."""

    start: str
    end: str
    how: str

    @property
    def strong(self) -> bool:
        """Whether nothing has to be guessed: the end says no more than the start."""
        return LEVELS.index(self.end) <= LEVELS.index(self.start)

    @property
    def name(self) -> str:
        """Such as ``"box → pixels"``."""
        return f"{self.start} → {self.end}"


#: The nine arrows by name.
ARROWS: dict[str, Arrow] = {
    arrow.name: arrow
    for arrow in (
        Arrow("image label", "image label", "taken as it is"),
        Arrow("box", "box", "taken as it is"),
        Arrow("pixels", "pixels", "taken as it is"),
        Arrow("pixels", "box", "tight box round each object"),
        Arrow("box", "image label", "names of the boxes"),
        Arrow("pixels", "image label", "names of the objects"),
        Arrow("image label", "box", "box round each class's CAM"),
        Arrow("box", "pixels", "GrabCut in each box"),
        Arrow("image label", "pixels", "CAM, box, GrabCut"),
    )
}

#: GrabCut for pictures of a hundred pixels a side: fewer pixels and one round, a third of the time.
GRABCUT: dict[str, Any] = {"side": 64, "rounds": 1}


# ------------------------------------------------------------------------------------- a head on image labels


def as_input(images: Sequence[np.ndarray], side: int = 224) -> Tensor:
    """Whole pictures as the network takes them, ``(B, 3, side, side)``: enlarged or shrunk, not cropped.

    Args:
        images: uint8 RGB ``(H, W, 3)`` each, at least one; sizes may differ.
        side: in pixels, at least 32.
    """
    images = checked_images(images)
    side = whole("side", side, 32)
    resized = np.stack([cv2.resize(i, (side, side), interpolation=cv2.INTER_LINEAR) for i in images])
    return (torch.from_numpy(resized).permute(0, 3, 1, 2).float() - MEAN) / STD


@torch.no_grad()
def last_features(network: Any, images: Sequence[np.ndarray], side: int = 224, batch: int = 2) -> Tensor:
    """The frozen network's last feature maps, ``(B, C, h, w)``; whole pictures, at `side` pixels.

    Args:
        network: with ``forward_features``, such as ``load_classifier().network``.
        images: uint8 RGB ``(H, W, 3)`` each, at least one.
        side: in pixels, at least 32.
        batch: pictures at a time.
    """
    parts = [images[k : k + batch] for k in range(0, max(1, len(images)), batch)]
    return torch.cat([network.forward_features(as_input(part, side)) for part in parts])


def train_gap_head(
    features: Tensor,
    labels: Sequence[Iterable[int]],
    steps: int = 100,
    classes: int = len(CLASSES) - 1,
) -> nn.Linear:
    """A linear layer behind the average pool, trained on image labels: which classes, never where.

    Each class is a yes or a no of its own (binary cross-entropy), because a scene has several. All pictures
    in every step and a start from zero: nothing is random.

    Args:
        features: of the training pictures, ``(B, C, h, w)``, from `last_features`.
        labels: for each of them its classes, numbers of 1..K.
        steps: of AdamW.
        classes: K, without background; as many as the scenes have unless told otherwise.

    Returns:
        C averaged features -> K logits, class c of 1..K in place c - 1.

    Raises:
        ValueError: labels that are not one a picture or not in 1..K.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[:, :, None, None]
        >>> head = train_gap_head(features, [{1}, {20}], classes=20)
        >>> [int(logits.argmax()) + 1 for logits in head(features.mean((2, 3)))]
        [1, 20]
    """
    if len(features) != len(labels) or len(labels) == 0:
        raise ValueError(f"features and labels must be one a picture, got {len(features)} and {len(labels)}")
    wanted = torch.zeros(len(labels), whole("classes", classes, 1))  # (B, K)
    for row, each in zip(wanted, labels, strict=True):
        for c in each:
            row[whole("labels", c, 1, classes) - 1] = 1
    average = features.mean((2, 3))
    linear = nn.Linear(average.shape[1], wanted.shape[1])
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimiser = AdamW(linear.parameters(), lr=0.01, weight_decay=0.3)
    for _ in range(steps):
        loss = F.binary_cross_entropy_with_logits(linear(average), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return linear.requires_grad_(False)


def class_maps(head: nn.Linear, features: Tensor) -> Tensor:
    """CAM of every class (Zhou et al., CVPR 2016, section 2): raw ``(B, K, h, w)``, class c in row c - 1."""
    return torch.einsum("kc,bchw->bkhw", head.weight, features)


# --------------------------------------------------------------------------------------- labels of each level


@dataclass(frozen=True, eq=False)
class Label:
    """What is said of one picture at one level.

    Attributes:
        level: one of `LEVELS`.
        classes: numbers of the classes, ascending and once each; of boxes, one for each box.
        boxes: int64 ``(N, 4)``, half open, at the level of boxes; else None.
        mask: label map uint8 ``(H, W)`` at the level of pixels; else None.
    """

    level: str
    classes: tuple[int, ...]
    boxes: np.ndarray | None = None
    mask: np.ndarray | None = None

    @property
    def all_boxes(self) -> NDArray[np.int64]:
        """The boxes, none at the other levels."""
        return np.zeros((0, 4), np.int64) if self.boxes is None else self.boxes


def truth(scene: Scene, level: str) -> Label:
    """The right label of a scene at a level."""
    if level == "pixels":
        return Label(level, tuple(sorted(scene.labels)), mask=scene.mask)
    if level == "box":
        return Label(level, tuple(scene.classes.tolist()), scene.boxes)
    if level == "image label":
        return Label(level, tuple(sorted(scene.labels)))
    raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")


def boxes_of_pixels(mask: np.ndarray, instances: np.ndarray) -> Label:
    """The tight box of each object 1..N of an instance map, named by the class map; both uint8 ``(H, W)``."""
    regions = [instances == k for k in np.unique(instances[instances > 0])]
    boxes = np.array([tight_box(region) for region in regions], np.int64).reshape(-1, 4)
    return Label("box", tuple(int(mask[region][0]) for region in regions), boxes)


def label_of_classes(classes: Iterable[int]) -> Label:
    """The image label that says which classes occur among these; background does not count."""
    return Label("image label", tuple(sorted({int(c) for c in classes} - {BACKGROUND})))


def boxes_by_cam(maps: Tensor, classes: Sequence[int], size: tuple[int, int], share: float = 0.3) -> Label:
    """One box for each class of an image label, round the largest region of its map above a share.

    Args:
        maps: raw ``(K, h, w)``, class c of 1..K in row c - 1.
        classes: the image label.
        size: height and width of the picture.
        share: of the map's maximum (Zhou et al. take 0.2). A class whose map is nowhere positive has no box.
    """
    large = _maps.upsample(maps, size)
    found = [(c, _maps.box_from_map(large[c - 1], share).tolist()) for c in classes]
    found = [(c, box) for c, box in found if any(box)]
    boxes = np.array([box for _, box in found], np.int64).reshape(-1, 4)
    return Label("box", tuple(c for c, _ in found), boxes)


def pixels_by_grabcut(images: Sequence[np.ndarray], boxes: Sequence[Label]) -> list[Label]:
    """GrabCut in every box of several pictures; smaller boxes in front, the rest is background.

    A box in which GrabCut finds nothing to tell apart is filled.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "GrabCut fell back")
        cuts = grabcut_images(images, [label.all_boxes for label in boxes], **GRABCUT)
    return [
        Label("pixels", label.classes, mask=_painted(cut.masks, label, image.shape[:2]))
        for image, label, cut in zip(images, boxes, cuts, strict=True)
    ]


def _painted(masks: np.ndarray, label: Label, size: tuple[int, int]) -> np.ndarray:
    return paint_masks(list(masks), label.all_boxes, label.classes, size, outside_label=BACKGROUND)


def run(arrow: Arrow, scenes: Sequence[Scene], maps: Tensor | None = None) -> list[Label]:
    """Follow an arrow on scenes: from their true labels at its start to what it makes of them.

    Args:
        arrow: one of `ARROWS`.
        scenes: at least one.
        maps: `class_maps` of the scenes, ``(B, K, h, w)``; needed where the start is an image label.
    """
    if len(scenes) == 0:
        raise ValueError("scenes must be at least one, got none")
    given = [truth(scene, arrow.start) for scene in scenes]
    if arrow.start == arrow.end:
        return given
    if arrow.end == "image label":
        return [label_of_classes(g.classes if g.mask is None else np.unique(g.mask)) for g in given]
    if arrow.start == "pixels":
        return [boxes_of_pixels(scene.mask, scene.instances) for scene in scenes]
    if arrow.start == "image label":
        if maps is None or len(maps) != len(scenes):
            raise ValueError("maps must be the class maps of the scenes, one row each")
        given = [
            boxes_by_cam(m, g.classes, s.mask.shape) for m, g, s in zip(maps, given, scenes, strict=True)
        ]
    return given if arrow.end == "box" else pixels_by_grabcut([s.image for s in scenes], given)


def quality(made: Sequence[Label], scenes: Sequence[Scene]) -> float:
    """How good labels of one level are, 0..1, beside the truth.

    Image labels: mean share of the classes named or there that are both. Boxes: for each true box the IoU
    with the best box of its class, averaged over all true boxes. Pixels: mean IoU over the classes and
    background, over all pictures together.
    """
    level = made[0].level
    if level == "pixels":
        return label_quality([m.mask for m in made], [s.mask for s in scenes], len(CLASSES)).mean_iou
    if level == "image label":
        pairs = [(set(m.classes), s.labels) for m, s in zip(made, scenes, strict=True)]
        return float(np.mean([len(a & b) / len(a | b) for a, b in pairs]))
    return float(np.concatenate([best_ious(m, s) for m, s in zip(made, scenes, strict=True)]).mean())


def best_ious(made: Label, scene: Scene) -> np.ndarray:
    """For each true box the IoU with the best made box of its class, 0 if there is none: ``(N,)``."""
    best = np.zeros(len(scene.boxes))
    for k, (box, c) in enumerate(zip(scene.boxes, scene.classes, strict=True)):
        of_class = made.all_boxes[np.array(made.classes, int) == c]
        if len(of_class):
            best[k] = metrics.iou(torch.from_numpy(of_class), torch.from_numpy(box)).max().item()
    return best


@dataclass(frozen=True, eq=False)
class Board:
    """All arrows, run on the same scenes.

    Attributes:
        scenes: on which they ran.
        made: what each arrow, by name, made of each scene.
        quality: of what it made, over all scenes (`quality`).
    """

    scenes: tuple[Scene, ...]
    made: dict[str, list[Label]]
    quality: dict[str, float]


def run_all(scenes: Sequence[Scene], maps: Tensor) -> Board:
    """Every arrow on every scene. Arguments as in `run`."""
    made = {name: run(arrow, scenes, maps) for name, arrow in ARROWS.items()}
    return Board(tuple(scenes), made, {name: quality(labels, scenes) for name, labels in made.items()})


# ---------------------------------------------------------------------------------------------------- drawing

_SPOTS = {"image label": (0.14, 0.22), "box": (0.5, 0.78), "pixels": (0.86, 0.22)}
_STRONG, _WEAK = plots.PALETTE[5], plots.PALETTE[6]


def figure(board: Board, name: str = "box → pixels", scene: int = 0) -> Figure:
    """The graph with the quality of every arrow, and below it one arrow at work on one scene.

    Args:
        board: from `run_all`.
        name: of the arrow, a key of `ARROWS`.
        scene: number of the scene, 0 and up.
    """
    if name not in ARROWS:
        raise ValueError(f"name must be one of {', '.join(ARROWS)}, got {name!r}")
    if not 0 <= scene < len(board.scenes):
        raise ValueError(f"scene must lie in 0..{len(board.scenes) - 1}, got {scene!r}")
    with matplotlib.rc_context(cast(Any, plots.STYLE)):
        drawing = plt.figure(figsize=(5.0, 4.5))
        parts: Any = drawing.subfigures(2, 1, height_ratios=(1.25, 1))
        _draw_graph(parts[0].subplots(), board, name)
        _draw_steps(parts[1].subplots(1, 3), board, ARROWS[name], scene)
    return drawing


def words(board: Board, name: str, scene: int) -> str:
    """What `figure` shows, in a sentence or two."""
    arrow, here = ARROWS[name], quality([board.made[name][scene]], [board.scenes[scene]])
    kind = "strong" if arrow.strong else "weak"
    return (
        f"{name}, {kind}: {arrow.how}. Quality {here:.2f} on scene {scene}, {board.quality[name]:.2f} on all "
        f"{len(board.scenes)}. The scene: {board.scenes[scene].caption}."
    )


def _draw_graph(axis: Axes, board: Board, chosen: str) -> None:
    axis.set(xlim=(0, 1), ylim=(0, 1.08))
    axis.axis("off")
    for name, arrow in ARROWS.items():
        _draw_arrow(axis, arrow, board.quality[name], name == chosen)
    for level, (x, y) in _SPOTS.items():
        look = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "black"}
        axis.text(x, y, level, ha="center", va="center", bbox=look, zorder=3)
    for y, (text, colour, line) in zip(
        (1.02, 0.92), (("strong", _STRONG, "-"), ("weak", _WEAK, "--")), strict=True
    ):
        axis.plot((0.0, 0.06), (y, y), color=colour, linestyle=line, linewidth=2)
        axis.text(0.075, y, text, va="center", color=colour)


def _draw_arrow(axis: Axes, arrow: Arrow, value: float, chosen: bool) -> None:
    colour, line = (_STRONG, "-") if arrow.strong else (_WEAK, (0, (3, 1.5)))
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 13,
        "color": colour,
        "linestyle": line,
        "zorder": 2,
    }
    start, end = np.array(_SPOTS[arrow.start]), np.array(_SPOTS[arrow.end])
    if arrow.start == arrow.end:
        side = np.array([0.05, 0.0])
        start, end, bend, reach = start - side, end + side, 1.4, 0.24
        spot = _SPOTS[arrow.start] + np.array([0, reach if arrow.start == "box" else -reach])
        bend = -bend if arrow.start == "box" else bend
    else:
        bend = 0.18
        across = np.array([-(end - start)[1], (end - start)[0]])
        spot = (start + end) / 2 - across * bend / 2 * 1.25
    width = 3.6 if chosen else 1.4
    room = 20 if "box" in (arrow.start, arrow.end) or arrow.start == arrow.end else 45  # points round a name
    axis.add_patch(
        FancyArrowPatch(
            tuple(start),
            tuple(end),
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=room,
            shrinkB=room,
            linewidth=width,
            **style,
        )
    )
    look: dict[str, Any] = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    weight = "bold" if chosen else "normal"
    axis.text(
        spot[0],
        spot[1],
        f"{value:.2f}",
        color=colour,
        ha="center",
        va="center",
        fontweight=weight,
        bbox=look,
        zorder=4,
    )


def _draw_steps(axes: Sequence[Axes], board: Board, arrow: Arrow, scene: int) -> None:
    picture, made = board.scenes[scene], board.made[arrow.name][scene]
    labels = (truth(picture, arrow.start), made, truth(picture, arrow.end))
    titles = (f"given: {arrow.start}", f"made: {arrow.end}", f"true: {arrow.end}")
    for axis, label, title in zip(axes, labels, titles, strict=True):
        draw_label(axis, picture.image, label)
        axis.set_title(title)


def draw_label(axis: Axes, image: np.ndarray, label: Label) -> None:
    """A picture with its label: names, boxes or coloured pixels; class k in colour k of `plots.PALETTE`."""
    axis.axis("off")
    shown = image if label.mask is None else plots.label_overlay(image, label.mask)
    axis.imshow(shown, interpolation="nearest")
    for box, c in zip(label.all_boxes, label.classes, strict=False):
        plots.draw_box(axis, box, plots.PALETTE[c])
    if label.level == "image label":
        tag = {"facecolor": "white", "edgecolor": "black", "boxstyle": "round"}
        text = "\n".join(CLASSES[c] for c in label.classes)
        axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=8, bbox=tag)
