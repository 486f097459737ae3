"""The CAM explorer: every class map of a picture, moved about in the browser without a round trip to Python.

The raw maps of all classes travel to the browser once (196 kB for 1000 maps of 7 x 7); search, threshold,
opacity, upsampling, colours and the read-out under the pointer run there (``cam_explorer.js``). What a reader
chose comes back at the end of each gesture as ordinary attributes, and setting one from Python moves the
picture: ``explorer.class_index = 281``. `explorer_still` draws the same picture without a browser; it is
stored beside the widget, so that a notebook reads well on a page where no kernel runs.
"""

from __future__ import annotations

import io
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anywidget
import matplotlib
import numpy as np
import torch
import traitlets as t
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from lecturekit import plots
from lecturekit.evidence import cam
from lecturekit.evidence.maps import UPSAMPLING, box_from_map, upsample
from lecturekit.kit.images import checked_image, encoded, html_image
from lecturekit.kit.javascript import joined
from lecturekit.models import Classifier
from lecturekit.widgets._still import JS, with_still

#: Colour maps by name: what the reader sees in the list, and whether it is for signed evidence (zero in the
#: middle) or for evidence for the class alone (zero at the dark end). All are safe for colour-blind readers.
COLOURS = {
    plots.EVIDENCE: ("viridis", False),
    "cividis": ("cividis", False),
    plots.SIGNED: ("blue (against) to red (for)", True),
    "PuOr_r": ("purple (against) to orange (for)", True),
}
STILL_ROWS = 8


@dataclass(frozen=True)
class ExplorerState:
    """What the reader can choose in the explorer; one value of this is one picture.

    Attributes:
        class_index: the class whose evidence is shown.
        threshold: share of the map's maximum, 0 <= threshold < 1, above which the box is drawn.
        opacity: of the colours over the photograph, 0..1.
        upsampling: "nearest" (the map as it is), "bilinear" or "bicubic".
        signed: show evidence against the class too; False cuts the picture (not the map) at zero.
        colour: one of `COLOURS`, of the kind that `signed` asks for; None takes the first of these.
        pixel: (x, y) of the crosshair in pixels of the image, or None.
        compare_index: a second class beside the first, or None.
        layer: which of several sets of maps; None takes the first.
    """

    class_index: int = 0
    threshold: float = 0.2
    opacity: float = 0.5
    upsampling: str = "bilinear"
    signed: bool = False
    colour: str | None = None
    pixel: tuple[int, int] | None = None
    compare_index: int | None = None
    layer: str | None = None


class _Index(t.Int):
    """An integer, also one of NumPy or torch (``explorer.class_index = logits.argmax()``)."""

    def validate(self, obj: object, value: object) -> int:
        return super().validate(obj, _as_int(value))


class CamExplorer(anywidget.AnyWidget):
    """Explore the class maps of one picture in the notebook: mouse, touch or keyboard.

    Args:
        image: uint8 RGB ``(H, W, 3)``, the picture as the network saw it (`Classifier.view`).
        maps: raw signed maps ``(K, h, w)``, float, array or tensor on any device; or several such sets
            by name (layers, methods), each with the same K.
        categories: the K class names.
        logits: ``(K,)``; gives the probabilities and the order of the list of classes.
        bias: ``(K,)`` of the last layer; where mean of the map + bias = logit, the explorer says so.
        **state: any of the fields of `ExplorerState`; `class_index` is the most likely class unless named.

    Raises:
        TypeError: an argument of another type, by name.
        ValueError: shapes that do not fit, values that are not finite, or a state that does not exist.

    The attributes of `ExplorerState` can be read and set at any time; `state` gives all of them.
    """

    _esm = joined(JS / "cam_explorer.js")
    _css = joined(JS / "cam_explorer.css")

    _size = t.List().tag(sync=True)
    _image = t.Bytes().tag(sync=True)
    _categories = t.List().tag(sync=True)
    _layers = t.List().tag(sync=True)
    _maps = t.Bytes().tag(sync=True)
    _logits = t.Bytes().tag(sync=True)
    _bias = t.Bytes().tag(sync=True)
    _colours = t.List().tag(sync=True)
    _tables = t.Bytes().tag(sync=True)

    class_index = _Index().tag(sync=True)
    threshold = t.Float(ExplorerState.threshold).tag(sync=True)
    opacity = t.Float(ExplorerState.opacity).tag(sync=True)
    upsampling = t.Unicode(ExplorerState.upsampling).tag(sync=True)
    signed = t.Bool(ExplorerState.signed).tag(sync=True)
    colour = t.Unicode().tag(sync=True)
    pixel = t.List(_Index(), default_value=None, allow_none=True).tag(sync=True)
    compare_index = _Index(None, allow_none=True).tag(sync=True)
    layer = t.Unicode().tag(sync=True)

    def __init__(
        self,
        image: np.ndarray,
        maps: np.ndarray | torch.Tensor | Mapping[str, np.ndarray | torch.Tensor],
        categories: Sequence[str],
        logits: np.ndarray | torch.Tensor | None = None,
        bias: np.ndarray | torch.Tensor | None = None,
        **state,
    ):
        self._data = data = _Data.checked(image, maps, categories, logits, bias)
        start: dict[str, Any] = {"class_index": int(data.order[0])} | state
        chosen = _complete(ExplorerState(**start), data)
        super().__init__(
            _size=list(data.image.shape[:2]),
            _image=data.image.tobytes(),
            _categories=list(data.categories),
            _layers=[[name, *maps.shape[1:]] for name, maps in data.layers.items()],
            _maps=b"".join(maps.astype("<f4").tobytes() for maps in data.layers.values()),
            _logits=_float_bytes(data.logits),
            _bias=_float_bytes(data.bias),
            _colours=[[name, label, signed] for name, (label, signed) in COLOURS.items()],
            _tables=b"".join(_table(name).tobytes() for name in COLOURS),
            **{name: _plain(value) for name, value in vars(chosen).items()},
        )

    @property
    def state(self) -> ExplorerState:
        """What is chosen now."""
        chosen: dict[str, Any] = {name: getattr(self, name) for name in ExplorerState.__dataclass_fields__}
        chosen["pixel"] = None if self.pixel is None else tuple(self.pixel)
        return ExplorerState(**chosen)

    @t.validate(*ExplorerState.__dataclass_fields__)
    def _check(self, proposal: dict) -> object:
        _check_choice(proposal["trait"].name, proposal["value"], self._data)
        return proposal["value"]

    @t.observe("signed")
    def _colour_follows(self, change: dict) -> None:
        if COLOURS[self.colour][1] != change["new"]:
            self.colour = _first_colour(change["new"])

    @t.observe("colour")
    def _signed_follows(self, change: dict) -> None:
        self.signed = COLOURS[change["new"]][1]

    def __repr__(self) -> str:
        name, k = self._data.categories[self.class_index], self.class_index
        return f"CamExplorer, {name!r} (class {k}) of {len(self._data.categories)}: run this cell to explore"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The live view, and beside it the still picture for pages without a kernel."""
        still = np.asarray(_draw_still(self._data, self.state))
        file = encoded(still, "WEBP", quality=85)
        html = html_image(file, _alt_text(self._data, self.state), still.shape[1], "image/webp")
        return with_still(super()._repr_mimebundle_(**kwargs), html)


def cam_explorer(model: Classifier, image: np.ndarray, size: int = 224, **state) -> CamExplorer:
    """Explore why `model` sees what it sees in a photograph.

    Args:
        model: a classifier from `lecturekit.models.load_classifier`.
        image: uint8 RGB ``(H, W, 3)``.
        size: side of the network's input; 224 gives maps of 7 x 7, 448 of 14 x 14.
        **state: fields of `ExplorerState` to start with.
    """
    evidence = cam(model, model.preprocess([image], size), classes="all")
    maps, logits = evidence.maps[0].float(), evidence.logits[0].float()  # (K, h, w), (K,)
    bias = logits - maps.mean((1, 2))  # the identity that cam() has checked
    return CamExplorer(model.view([image], size)[0], maps, model.categories, logits, bias, **state)


def explorer_still(
    image: np.ndarray,
    maps: np.ndarray | torch.Tensor | Mapping[str, np.ndarray | torch.Tensor],
    categories: Sequence[str],
    state: ExplorerState,
    logits: np.ndarray | torch.Tensor | None = None,
) -> Image.Image:
    """The explorer's picture for one state, without a browser. Arguments and errors as in `CamExplorer`."""
    data = _Data.checked(image, maps, categories, logits, None)
    return _draw_still(data, _complete(state, data))


# ---------------------------------------------------------------------------------------------- the input


@dataclass(frozen=True)
class _Data:
    """The explorer's input, checked: image, maps by layer, names, logits and bias (or None)."""

    image: np.ndarray
    layers: dict[str, np.ndarray]
    categories: tuple[str, ...]
    logits: np.ndarray | None
    bias: np.ndarray | None

    @classmethod
    def checked(cls, image, maps, categories, logits, bias) -> _Data:
        image, categories = checked_image(image), tuple(categories)
        if not categories or not all(isinstance(name, str) for name in categories):
            raise TypeError(f"categories must be one or more names (str), got {categories[:3]!r}")
        if isinstance(maps, Mapping) and not maps:
            raise ValueError("maps must hold at least one set of maps, got an empty mapping")
        several = maps if isinstance(maps, Mapping) else {"class map": maps}
        count = len(categories)
        layers = {str(name): _floats("maps", values, (count, None, None)) for name, values in several.items()}
        logits = None if logits is None else _floats("logits", logits, (count,))
        bias = None if bias is None else _floats("bias", bias, (count,))
        return cls(np.ascontiguousarray(image), layers, categories, logits, bias)

    @property
    def order(self) -> np.ndarray:
        """Class indices, the most likely first (without logits: the largest mean of the first map first)."""
        scores = next(iter(self.layers.values())).mean((1, 2)) if self.logits is None else self.logits
        return np.argsort(-scores, kind="stable")

    @property
    def probabilities(self) -> np.ndarray | None:
        """Softmax of the logits ``(K,)``."""
        if self.logits is None:
            return None
        powers = np.exp(self.logits - self.logits.max(), dtype=np.float64)
        return powers / powers.sum()


def _floats(name: str, values, shape: tuple[int | None, ...]) -> np.ndarray:
    """`values` as finite float32 of this shape (None: any length from 1), or an error naming the argument."""
    if isinstance(values, torch.Tensor):
        values = values.detach().float().cpu().numpy()
    values = np.asarray(values)
    if values.dtype.kind != "f":
        raise TypeError(f"{name} must be floats, got {values.dtype}")
    fits = values.ndim == len(shape) and all(
        n > 0 and w in (n, None) for n, w in zip(values.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(axis if n is None else str(n) for n, axis in zip(shape, "Khw", strict=False))
        raise ValueError(f"{name} must have shape ({wanted}) for {shape[0]} categories, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite values")
    return values.astype(np.float32)


def _complete(state: ExplorerState, data: _Data) -> ExplorerState:
    """`state` with its open fields (colour, layer) filled in, checked against the data."""
    filled: dict[str, Any] = vars(state) | {
        "colour": state.colour or _first_colour(state.signed),
        "layer": state.layer or next(iter(data.layers)),
        "class_index": _as_int(state.class_index),
        "compare_index": _as_int(state.compare_index),
    }
    for name, value in filled.items():
        _check_choice(name, value, data)
    if COLOURS[filled["colour"]][1] != state.signed:
        wanted = [name for name, (_, signed) in COLOURS.items() if signed == state.signed]
        raise ValueError(f"colour must be one of {wanted} with signed={state.signed}, got {state.colour!r}")
    return ExplorerState(**filled)


def _check_choice(name: str, value, data: _Data) -> None:
    """Raise ``ValueError`` unless `value` is one that the field `name` of `ExplorerState` can take."""
    height, width = data.image.shape[:2]
    count = len(data.categories)
    index = f"an integer from 0 to {count - 1}"
    wanted, good = {
        "class_index": (index, _is_index(value, count)),
        "compare_index": (f"None or {index}", value is None or _is_index(value, count)),
        "threshold": ("a number with 0 <= threshold < 1", _is_number(value) and 0 <= value < 1),
        "opacity": ("a number from 0 to 1", _is_number(value) and 0 <= value <= 1),
        "upsampling": (f"one of {UPSAMPLING}", value in UPSAMPLING),
        "signed": ("True or False", isinstance(value, bool)),
        "colour": (f"one of {tuple(COLOURS)}", value in tuple(COLOURS)),
        "pixel": (f"None or (x, y) within {width} x {height}", _is_pixel(value, width, height)),
        "layer": (f"one of {tuple(data.layers)}", value in tuple(data.layers)),
    }[name]
    if not good:
        raise ValueError(f"{name} must be {wanted}, got {value!r}")


def _is_number(value) -> bool:
    return isinstance(value, int | float | np.floating) and not isinstance(value, bool)


def _is_index(value, count: int) -> bool:
    value = _as_int(value)
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count


def _as_int(value):
    """An integer of NumPy or torch as Python's own; anything else as it is."""
    return operator.index(value) if isinstance(value, np.integer) or _is_whole_tensor(value) else value


def _is_whole_tensor(value) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 0 and not value.is_floating_point()


def _is_pixel(value, width: int, height: int) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and _is_index(value[0], width)
        and _is_index(value[1], height)
    )


def _first_colour(signed: bool) -> str:
    return next(name for name, (_, for_signed) in COLOURS.items() if for_signed == signed)


def _plain(value):
    """A field of the state as its trait takes it."""
    return list(value) if isinstance(value, tuple) else value


def _float_bytes(values: np.ndarray | None) -> bytes:
    return b"" if values is None else values.astype("<f4").tobytes()


def _table(colour: str) -> np.ndarray:
    """A colour map as 256 RGB triples, uint8 ``(256, 3)``."""
    return matplotlib.colormaps[colour](np.arange(256), bytes=True)[:, :3]


# ---------------------------------------------------------------------------------------- the still picture


def _evidence(data: _Data, state: ExplorerState, k: int) -> torch.Tensor:
    """The map of class `k` at the image's pixels ``(H, W)``, raw and signed."""
    chosen = torch.from_numpy(data.layers[state.layer or next(iter(data.layers))][k])
    return upsample(chosen, data.image.shape[:2], state.upsampling)


def _colour_range(evidence: Sequence[torch.Tensor], signed: bool) -> tuple[float, float]:
    """Values of both ends of the colour bar; common to all pictures, so that colours can be compared."""
    high = max(float(m.abs().max() if signed else m.max()) for m in evidence)
    return (-high if signed else 0.0, high) if high > 0 else (0.0, 0.0)


def _draw_still(data: _Data, state: ExplorerState) -> Image.Image:
    chosen = [k for k in (state.class_index, state.compare_index) if k is not None]
    evidence = [_evidence(data, state, k) for k in chosen]
    figure = Figure(figsize=(3.4 * len(chosen) + 4, 4.1), layout="constrained")
    halves = figure.subfigures(1, 2, squeeze=False, width_ratios=(3.4 * len(chosen), 4))
    pictures, side = halves[0]
    _draw_pictures(pictures, data, state, chosen, evidence)
    table, words = side.subplots(2, 1, height_ratios=(3, 1))
    _draw_list(table, data, state)
    words.axis("off")
    words.text(0, 1, _words(data, state, evidence[0]), va="top", fontsize=10, linespacing=1.6)
    file, _ = plots.rendered(figure, scale=1, tight=False)
    return Image.open(io.BytesIO(file))


def _draw_pictures(
    figure: SubFigure,
    data: _Data,
    state: ExplorerState,
    chosen: Sequence[int],
    evidence: Sequence[torch.Tensor],
) -> None:
    """One picture a class, and the colour bar they share."""
    axes = figure.subplots(1, len(chosen), squeeze=False)[0]
    low, high = _colour_range(evidence, state.signed)
    colours = ScalarMappable(Normalize(low, high or 1), state.colour)
    for ax, k, values in zip(axes, chosen, evidence, strict=True):
        ax.imshow(data.image, interpolation="lanczos")
        ax.imshow(colours.to_rgba(values.numpy()), alpha=state.opacity)
        _draw_marks(ax, values, state)
        ax.set_title(_caption(data, k), fontsize=11, loc="left")
        ax.axis("off")
    what = (
        "evidence against (\N{MINUS SIGN}) and for (+) the class"
        if state.signed
        else "evidence for the class"
    )
    figure.colorbar(colours, ax=list(axes), location="bottom", shrink=0.95, aspect=40, pad=0.02, label=what)


def _draw_marks(ax: Axes, values: torch.Tensor, state: ExplorerState) -> None:
    """Box of the largest region, and the crosshair."""
    box = box_from_map(values, state.threshold).tolist()
    if box[2]:
        plots.draw_box(ax, box)
    if state.pixel is not None:
        ax.plot(*state.pixel, "o", markersize=9, markerfacecolor="none", markeredgecolor="black")
        ax.plot(*state.pixel, "+", markersize=14, markeredgecolor="white")
    height, width = values.shape
    ax.set(
        xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5)
    )  # lines at the border must not widen the picture


def _draw_list(ax: Axes, data: _Data, state: ExplorerState) -> None:
    """The most likely classes with their probabilities as bars, the chosen one among them."""
    listed = data.order[:STILL_ROWS].tolist()
    if state.class_index not in listed:
        listed[-1] = state.class_index
    for row, k in enumerate(listed):
        weight = "bold" if k == state.class_index else "normal"
        ax.text(0.01, row, data.categories[k], va="center", fontsize=10, weight=weight)
        if data.probabilities is not None:
            ax.barh(row, data.probabilities[k], color=plots.PALETTE[2], alpha=0.35, height=0.84)
            ax.text(
                1, row, _chance(data.probabilities[k]), va="center", ha="right", fontsize=10, weight=weight
            )
    ax.set(xlim=(0, 1), ylim=(len(listed) - 0.5, -0.5))
    order = "largest mean of the map" if data.probabilities is None else "most likely"
    ax.set_title(f"Classes, {order} first", fontsize=11, loc="left")
    ax.axis("off")


def _words(data: _Data, state: ExplorerState, values: torch.Tensor) -> str:
    """What the picture shows, and how to get the live one."""
    h, w = data.layers[state.layer or next(iter(data.layers))].shape[1:]
    return (
        f"{h} × {w} map, upsampling: {state.upsampling}\n{_box_text(values, state.threshold)}\n"
        f"Still picture: run this cell to explore all {len(data.categories)} classes."
    )


def _box_text(values: torch.Tensor, share: float) -> str:
    x0, y0, x1, y1 = box_from_map(values, share).tolist()
    where = f"x {x0}\N{EN DASH}{x1}, y {y0}\N{EN DASH}{y1}" if x1 else "none, no evidence for this class"
    return f"Box at {100 * share:.0f} % of the maximum: {where}"


def _chance(probability: float) -> str:
    return f"{100 * probability:.1f} %" if probability >= 0.0005 else "< 0.1 %"


def _caption(data: _Data, k: int) -> str:
    likely = "" if data.probabilities is None else f", {_chance(data.probabilities[k])}"
    return f"{data.categories[k]}{likely}"


def _alt_text(data: _Data, state: ExplorerState) -> str:
    box = _box_text(_evidence(data, state, state.class_index), state.threshold)
    shown = _caption(data, state.class_index)
    return f"Class map of {shown}, over the photograph. {box}. Beside it the likely classes."
