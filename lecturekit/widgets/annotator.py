"""The annotator: draw labels of every kind on one picture, by mouse, pen, finger or keyboard.

The picture travels to the browser once; drawing happens there (``annotator.js``), and at the end of each
gesture the label comes back and is saved at once, below ``storage.data_dir()/"annotations"``. A widget made
again with the same key has them all, also after a restart of the kernel. Two widgets of one key, in two
tabs or two notebooks, add to each other's labels and never overwrite them::

    annotator = Annotator(image, ["cat", "dog"], key="first try")
    annotator                                            # the last line of a cell

    boxes = annotator.shapes("box") or DEMO_BOXES        # a later cell; it never waits for a person
"""

from __future__ import annotations

import hashlib
import io
import secrets
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets as t
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon
from PIL import Image

from lecturekit.kit.images import checked_image, encoded, html_image
from lecturekit.kit.javascript import joined
from lecturekit.kit.storage import is_temporary
from lecturekit.labels import shapes
from lecturekit.labels.label_file import LabelFile, checked_record, edits, living, merge, sift
from lecturekit.plots import PALETTE, rendered
from lecturekit.widgets._still import JS, with_still

#: The kinds of label and the tools that draw them; an image's class is ticked, not drawn.
TOOLS: dict[str, tuple[str, ...]] = {
    "image_class": (),
    "point": ("point",),
    "scribble": ("scribble",),
    "box": ("box",),
    "extreme": ("extreme",),
    "polygon": ("polygon",),
    "mask": ("brush", "eraser"),
}
#: Tools that are always there.
HANDS = ("select", "pan")
#: Names for readers, one and several.
NAMES = {
    "image_class": ("image class", "image classes"),
    "point": ("point", "points"),
    "scribble": ("scribble", "scribbles"),
    "box": ("box", "boxes"),
    "extreme": ("box by extreme points", "boxes by extreme points"),
    "polygon": ("outline", "outlines"),
    "mask": ("mask", "masks"),
}
#: A picture whose PNG has more bytes than this travels as JPEG.
_MOST_PNG = 1_500_000


class Annotator(anywidget.AnyWidget):
    """Draw labels on a picture.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        classes: names of the classes 1, 2, ..., without the background.
        key: under which the labels are kept. Any text; the same key with the same picture has the same
            labels again. None makes one from the picture and the classes. Or the file itself, such as that
            of a picture of a project.
        kinds: which kinds of label can be drawn, of `shapes.KINDS`; None for all.
        labels: labels to start with, as in `shapes`; what the reader made of them before counts for more.
        timed: bring the picture into view, and show the clock that runs from then on.

    Raises:
        TypeError: the image is no array, or the key no text.
        ValueError: an argument that does not fit, by name; also where the key already names labels of
            another picture or other classes.

    Attributes:
        labels: the finished labels, a list of dicts (see `labels.shapes`), oldest first. Every change
            assigns a new list, so that it can be observed; assigning one draws its labels.
        tool: the tool in hand, of `TOOLS` and `HANDS`.
        class_index: the class that the next label gets, from 1.
        width: of scribble, brush and eraser, in pixels of the picture.
    """

    _esm = joined(JS / "annotator.js")
    _css = joined(JS / "annotator.css")

    _size = t.List().tag(sync=True)
    _image = t.Bytes().tag(sync=True)
    _classes = t.List().tag(sync=True)
    _tools = t.List().tag(sync=True)
    _ticks = t.Bool().tag(sync=True)
    _place = t.Unicode().tag(sync=True)
    _records = t.List().tag(sync=True)
    _saved = t.Dict().tag(sync=True)
    _note = t.Unicode().tag(sync=True)
    _timed = t.Bool(False).tag(sync=True)
    _name = t.Unicode().tag(sync=True)

    tool = t.Unicode().tag(sync=True)
    class_index = t.Int(1).tag(sync=True)
    width = t.Float().tag(sync=True)
    labels = t.List()

    def __init__(
        self,
        image: np.ndarray,
        classes: Sequence[str],
        key: str | LabelFile | None = None,
        kinds: Sequence[str] | None = None,
        labels: Sequence[dict] | None = None,
        timed: bool = False,
    ):
        self._picture, self._names = _checked_image(image), _checked_classes(classes)
        self._shape = self._picture.shape[:2]
        kinds = _checked_kinds(kinds)
        drawing = [tool for kind in kinds for tool in TOOLS[kind]]
        given = [_record(label) for label in _checked_labels(labels or (), self._shape, len(self._names))]
        self._file = _file_for(key, self._picture, self._names)
        self._by, self._following = f"p{secrets.token_hex(6)}", True
        self._known, note = self._opened(given)
        super().__init__(
            _size=list(self._shape),
            _image=_encoded(self._picture),
            _classes=[[name, colour_of(k)] for k, name in enumerate(self._names, 1)],
            _tools=[HANDS[0], *drawing, *HANDS[1:]],
            _ticks="image_class" in kinds,
            _timed=bool(timed),
            _place=hashlib.sha256(str(self._file.path).encode()).hexdigest()[:16],
            _records=self._known,
            _note=note,
            tool=(drawing or HANDS)[0],
            width=float(max(2, round(min(self._shape) / 30))),
            labels=living(self._known),
        )
        self._following = False

    @property
    def saved(self) -> Path:
        """The file that keeps the labels; it is there from the first label on."""
        return self._file.path

    def shapes(self, kind: str) -> list[dict]:
        """The finished labels of one kind of `shapes.KINDS`, oldest first."""
        if kind not in shapes.KINDS:
            raise ValueError(f"kind must be one of {', '.join(shapes.KINDS)}, got {kind!r}")
        return [label for label in self.labels if label["kind"] == kind]

    # ------------------------------------------------------------------------------- what came, and from whom

    def _opened(self, given: list[dict]) -> tuple[list[dict], str]:
        """Given and saved records together, and what to tell the reader."""
        try:
            kept, note = self._file.load()
            if note:
                self._file.save(kept)
        except OSError as error:
            return given, _not_saved(error)
        return merge(given, kept), note or self._doubt()

    def _doubt(self) -> str:
        if not is_temporary(self._file.path.parent.parent):
            return ""
        return "No folder of yours can be written; labels last until this machine tidies up."

    @t.observe("_records")
    def _drawn(self, change: dict) -> None:
        """The browser has sent its records: keep the good ones that are new, and answer."""
        if self._following:
            return
        known = {(r["id"], r["edit"], r["by"]) for r in self._known}
        new = [r for r in change["new"] if not isinstance(r, dict) or _identity(r) not in known]
        good, faults = sift(new, lambda record: checked_record(record, self._shape, len(self._names)))
        restored = self._restored(new, good)
        self._keep([*good, *restored], f"A label was refused: {faults[0]}" if faults else "")

    def _restored(self, new: list, good: list[dict]) -> list[dict]:
        """For labels that were refused the last good state, as an edit after the bad one."""
        before, taken = {r["id"]: r["label"] for r in self._known}, {r["id"] for r in good}
        bad = {r["id"] for r in new if isinstance(r, dict) and isinstance(r.get("id"), str)} - taken
        edits = [r.get("edit", 0) for r in new if isinstance(r, dict)]
        after = 1 + max((e for e in edits if isinstance(e, int) and 0 <= e < 2**39), default=0)
        return [
            {"id": name, "edit": after, "by": self._by, "label": before.get(name)}
            for name in sorted(bad)
            if 1 <= len(name) <= 64
        ]

    @t.observe("labels")
    def _assigned(self, change: dict) -> None:
        """Python has assigned labels: what differs is an edit, what is missing is deleted."""
        if self._following:
            return
        gone = {r["id"] for r in self._known} - {label["id"] for label in change["new"]}
        self._keep(edits(self._known, change["new"], gone, self._by))

    def _keep(self, new: list[dict], complaint: str = "") -> None:
        """Merge records into what is known, save, and tell browser and observers."""
        self._known, note = merge(self._known, new), self._doubt()
        try:
            saved, aside = self._file.save(self._known)
        except (OSError, ValueError) as error:
            note = _not_saved(error)
        else:
            self._known, note = merge(self._known, saved), aside or note
            self._saved = {r["id"]: [r["edit"], r["by"]] for r in saved}
        with self._following_ourselves():
            self._records, self.labels = self._known, living(self._known)
            self._note = " ".join(filter(None, (complaint, note)))

    @contextmanager
    def _following_ourselves(self) -> Generator[None]:
        """Inside, a change of `_records` or `labels` is our own."""
        self._following = True
        try:
            yield
        finally:
            self._following = False

    @t.validate("labels")
    def _check_labels(self, proposal: dict) -> list[dict]:
        return _checked_labels(proposal["value"], self._shape, len(self._names))

    @t.validate("tool")
    def _check_tool(self, proposal: dict) -> str:
        if proposal["value"] not in self._tools:
            raise ValueError(f"tool must be one of {', '.join(self._tools)}, got {proposal['value']!r}")
        return proposal["value"]

    @t.validate("class_index")
    def _check_class(self, proposal: dict) -> int:
        if not 1 <= proposal["value"] <= len(self._names):
            raise ValueError(f"class_index must lie in 1..{len(self._names)}, got {proposal['value']}")
        return proposal["value"]

    @t.validate("width")
    def _check_width(self, proposal: dict) -> float:
        most = max(self._shape)
        if not 1 <= proposal["value"] <= most:
            raise ValueError(f"width must lie in 1..{most} pixels, got {proposal['value']}")
        return proposal["value"]

    # --------------------------------------------------------------------------------------- without a kernel

    def __repr__(self) -> str:
        return f"Annotator, {_counted(self.labels)}: run this cell to draw"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The live view, and beside it the still picture for pages without a kernel."""
        still = np.asarray(annotator_still(self._picture, self._names, self.labels))
        file = encoded(still, "WEBP", quality=60)
        html = html_image(file, self._alt_text(), still.shape[1], "image/webp")
        return with_still(super()._repr_mimebundle_(**kwargs), html)

    def _alt_text(self) -> str:
        height, width = self._shape
        said = Counter((label["kind"], label["class_index"]) for label in self.labels)
        parts = [f"{_several(kind, n)} of {self._names[k - 1]}" for (kind, k), n in said.items()]
        drawn = "; ".join(parts) if parts else "nothing drawn yet"
        return f"A picture of {width} × {height} pixels to draw labels on: {drawn}."


def colour_of(class_index: int) -> str:
    """The colour of a class from 1 on; it is that of the plots, and comes again after seven classes."""
    return PALETTE[1 + (class_index - 1) % (len(PALETTE) - 1)]


def annotator_still(image: np.ndarray, classes: Sequence[str], labels: Sequence[dict]) -> Image.Image:
    """The annotator's picture without a browser, RGBA. Arguments and errors as in `Annotator`."""
    image, classes = _checked_image(image), _checked_classes(classes)
    labels = _checked_labels(labels, image.shape[:2], len(classes))
    height, width = image.shape[:2]
    across = min(4.6, 4.6 * width / height)
    figure = Figure(figsize=(across + 2.2, max(1.8, across * height / width)), layout="constrained")
    picture, side = figure.subplots(1, 2, width_ratios=(across, 2.2))
    picture.imshow(image, extent=(0, width, height, 0), interpolation="lanczos")
    for label in labels:
        _draw_label(picture, label, image.shape[:2])
    picture.set(xlim=(0, width), ylim=(height, 0))
    _draw_legend(side, classes, labels)
    for ax in (picture, side):
        ax.axis("off")
    file, _ = rendered(figure, scale=1)
    return Image.open(io.BytesIO(file))


def _draw_label(ax: Axes, label: dict, size: tuple[int, int]) -> None:
    colour, points = colour_of(label["class_index"]), np.array(label["points"]).reshape(-1, 2)
    kind = label["kind"]
    if kind == "point":
        ax.plot(*points[0], "o", markersize=7, color=colour, markeredgecolor="white", markeredgewidth=1.5)
    elif kind in ("scribble", "mask"):
        tint = np.zeros((*size, 4))
        tint[shapes.rasterise(label, size)] = [*to_rgb(colour), 0.6]
        ax.imshow(tint, extent=(0, size[1], size[0], 0), interpolation="nearest")
    elif kind in ("box", "extreme"):
        x0, y0, x1, y1 = shapes.box_of(label)
        _outline(ax, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)
        if kind == "extreme":
            ax.plot(*points.T, "o", markersize=5, color=colour, markeredgecolor="white")
    elif kind == "polygon":
        _outline(ax, points.tolist(), colour)


def _outline(ax: Axes, points: Sequence, colour: str) -> None:
    ax.add_patch(Polygon(points, fill=False, edgecolor="white", linewidth=3.5))
    ax.add_patch(Polygon(points, facecolor=(*to_rgb(colour), 0.2), edgecolor=colour, linewidth=2))


def _draw_legend(ax: Axes, classes: Sequence[str], labels: Sequence[dict]) -> None:
    """Each class with its colour and how many labels it has (at most twelve), and how to get the live one."""
    many = Counter(label["class_index"] for label in labels)
    handles = [
        Patch(color=colour_of(k), label=f"{name} ({many[k]})") for k, name in enumerate(classes[:12], 1)
    ]
    title = f"{_counted(labels)}\nStill picture: run\nthis cell to draw."
    legend = ax.legend(
        handles=handles, title=title, loc="upper left", alignment="left", frameon=False, fontsize=9
    )
    legend.get_title().set_fontsize(9)


# ---------------------------------------------------------------------------------------------- the input


def _checked_image(image: object) -> np.ndarray:
    image = checked_image(image)
    shapes.checked_size(image.shape[:2])
    return np.ascontiguousarray(image)


def _checked_classes(classes: Iterable[str]) -> tuple[str, ...]:
    names = () if isinstance(classes, str) else tuple(classes)
    if not 1 <= len(names) <= 254 or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"classes must be 1 to 254 names that are not blank, got {classes!r:.80}")
    if len(set(names)) < len(names):
        raise ValueError(f"classes must differ from each other, got {classes!r:.80}")
    return names


def _checked_kinds(kinds: Sequence[str] | None) -> list[str]:
    """The kinds asked for, each once, in the order of `TOOLS`."""
    wanted = list(TOOLS) if kinds is None else [kinds] if isinstance(kinds, str) else list(kinds)
    if not wanted or not set(wanted) <= set(TOOLS):
        raise ValueError(f"kinds must be one or more of {', '.join(TOOLS)}, got {kinds!r:.80}")
    return [kind for kind in TOOLS if kind in wanted]


def _checked_labels(labels: Sequence[dict], size: tuple[int, int], classes: int) -> list[dict]:
    found = [shapes.checked(label, size, classes) for label in labels]
    twice = [name for name, n in Counter(label["id"] for label in found).items() if n > 1]
    if twice:
        raise ValueError(f"labels must have an id each, got {twice[0]!r} more than once")
    return found


def _record(label: dict) -> dict:
    """A label that was given: any edit comes after it, and it is not saved."""
    return {"id": label["id"], "edit": 0, "by": "", "label": label}


def _identity(record: dict) -> tuple:
    """What no two states of records share (of a record that may hold anything)."""
    return tuple(v if isinstance(v, str | int) else None for v in map(record.get, ("id", "edit", "by")))


def _file_for(key: str | LabelFile | None, image: np.ndarray, classes: tuple[str, ...]) -> LabelFile:
    if isinstance(key, LabelFile):
        if (key.size, key.classes) != (image.shape[:2], classes):
            raise ValueError(f"key must be a file for this picture and these classes, got {key.path.name}")
        return key
    picture = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
    if key is None:
        key = f"picture-{hashlib.sha256(repr((picture, classes)).encode()).hexdigest()[:12]}"
    return LabelFile.of(key, picture, image.shape[:2], classes)


def _encoded(image: np.ndarray) -> bytes:
    """The picture as PNG, or as JPEG where that would be large."""
    png = encoded(image)
    return png if len(png) <= _MOST_PNG else encoded(image, "JPEG", quality=93)


# ---------------------------------------------------------------------------------------------- the words


def _several(kind: str, n: int) -> str:
    return f"{n} {NAMES[kind][n != 1]}"


def _counted(labels: Sequence[dict]) -> str:
    return f"{len(labels)} label{'s' * (len(labels) != 1)}"


def _not_saved(error: Exception) -> str:
    """What a reader should know where a label could not be written."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"Your labels could not be saved ({why}). They live in this page only; the next label tries again."
