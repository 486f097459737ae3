"""The stopwatch lab: what a label costs you in seconds, and how good it is, beside what others measured.

Ten generated pictures whose truth is exact; in each one object is to be labelled, in every kind of label.
The widget `lecturekit.widgets.stopwatch_lab.StopwatchLab` shows them one after the other and keeps the time.
Here is what becomes of the labels: `measure` compares one with the truth, `export` writes a small file
without names, and `merge_class` makes a class's distribution of everyone's files. Simulated labels
(`labs.simulated`) are called so wherever they appear.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .. import metrics
from ..datasets import scenes
from ..kit.checks import choice, number, shortened, whole
from ..kit.files import read_json
from ..kit.storage import data_dir, write_atomic
from ..labels import shapes
from ..labels.costs import COSTS, sources
from ..plots import PALETTE, STYLE

#: Numbers of the ten scenes and of the object to be labelled in each.
_SCENES = ((21, 1), (64, 0), (66, 0), (143, 0), (75, 1), (67, 1), (103, 1), (84, 1), (150, 1), (22, 0))
#: Names of the classes 1, 2, ..., as the annotator wants them.
CLASSES = scenes.CLASSES[1:]
#: Kinds of label in the order in which the lab asks for them, and what one is called.
KINDS: dict[str, str] = {
    "image_class": "image class",
    "point": "point",
    "scribble": "scribble",
    "extreme": "box, extreme points",
    "box": "box, dragged",
    "polygon": "outline",
}
#: What `Measure.fit` is for each kind, in words.
FIT: dict[str, str] = {
    "image_class": "classes ticked and there / classes ticked or there",
    "point": "1 on the object, 0 beside it",
    "scribble": "share of the stroke that is on the object",
    "extreme": "IoU of the box with the object's box",
    "box": "IoU of the box with the object's box",
    "polygon": "IoU of the outline's inside with the object",
}
#: Which of `costs.COSTS` measure the same act: one object of a known class, or an image's classes.
LITERATURE: dict[str, tuple[str, ...]] = {
    "image_class": tuple(sources("image_class")),
    "point": ("click_centre",),
    "scribble": ("scribble",),  # assumed, not measured
    "extreme": tuple(sources("box_extreme")),
    "box": ("box_drag", "box_drag_checked"),
    "polygon": tuple(sources("outline")),
}
#: A label that took longer than this was interrupted; it is left out.
LONGEST = 1800.0
#: Pictures of each kind in the lab's first round, and the steps of that round.
_SHORT = 3
FIRST_ROUND = _SHORT * len(KINDS)
#: Limits of a file from somebody else: bytes, entries, and files in a folder.
_MAX_BYTES, _MAX_ENTRIES, _MAX_FILES = 200_000, 1000, 1000


@dataclass(frozen=True, eq=False)
class Task:
    """A picture of the lab.

    Attributes:
        number: 0 to 9.
        image: uint8 RGB ``(H, W, 3)``.
        class_index: of the object to be labelled, from 1; no other object of the picture is of its class.
        name: the object in words.
        mask: bool ``(H, W)``, its visible pixels.
        box: x0, y0, x1, y1, half open, tight round them.
        present: numbers of all classes that are to be seen.
    """

    number: int
    image: np.ndarray
    class_index: int
    name: str
    mask: np.ndarray
    box: tuple[int, int, int, int]
    present: frozenset[int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.mask.shape

    def prompt(self, kind: str) -> str:
        """What the lab asks for."""
        known(kind)
        asked = {
            "image_class": "Tick every class that is in the picture",
            "point": f"Click once on the {self.name}",
            "scribble": f"Draw a stroke along the {self.name}",
            "extreme": f"Click the leftmost, topmost, rightmost and lowest point of the {self.name}",
            "box": f"Drag a box round the {self.name}",
            "polygon": f"Draw the outline of the {self.name}",
        }
        return f"{asked[kind]}."


@dataclass(frozen=True)
class Measure:
    """What one label took and what it is worth.

    Attributes:
        kind: of `KINDS`.
        picture: 0 to 9.
        seconds: above 0, at most `LONGEST`.
        iou: of the pixels that it marks with the object's, 0..1: what it says about pixels.
        fit: how right it is as what it is (`FIT`), 0..1.
    """

    kind: str
    picture: int
    seconds: float
    iou: float
    fit: float

    def __post_init__(self):
        known(self.kind)
        whole("picture", self.picture, 0, len(_SCENES) - 1)
        number("seconds", self.seconds, 1e-9, LONGEST)  # no label takes no time
        for name in ("iou", "fit"):
            number(name, getattr(self, name), 0, 1)


def steps() -> list[tuple[str, int]]:
    """Kind and picture, in the order in which the lab asks.

    The first `FIRST_ROUND` steps have three pictures of each kind, each picture in few kinds, so that nobody
    knows it by heart; then comes the rest, until every kind was drawn on every picture.
    """
    rounds = (range(_SHORT), range(_SHORT, len(_SCENES)))
    return [
        (kind, (place + _SHORT * k) % len(_SCENES))
        for places in rounds
        for k, kind in enumerate(KINDS)
        for place in places
    ]


def known(kind: object) -> str:
    """The kind, if it is one of `KINDS`; else ``ValueError``."""
    return str(choice("kind", kind, KINDS))


@lru_cache
def tasks() -> tuple[Task, ...]:
    """The ten pictures, always the same; about a second the first time."""
    return tuple(_task(number, *which) for number, which in enumerate(_SCENES))


def _task(number: int, index: int, k: int) -> Task:
    scene = scenes.scene(index, seed=1, size=320, clutter=1.5, noise=2)
    c = int(scene.classes[k])
    x0, y0, x1, y1 = (int(v) for v in scene.boxes[k])
    name = f"{scene.colours[k]} {scenes.CLASSES[c]}"
    box = (x0, y0, x1, y1)
    return Task(number, scene.image, c, name, scene.instances == k + 1, box, frozenset(scene.labels))


# ------------------------------------------------------------------ from labels to measures


def measure(kind: str, task: Task, labels: Sequence[dict]) -> Measure | None:
    """What the labels of one kind on one picture took and are worth.

    Args:
        kind: of `KINDS`; labels of other kinds are passed over.
        task: one of `tasks`.
        labels: as in `labels.shapes`. Of several the last counts, and the time of all of them; of image
            classes all count.

    Returns:
        None where there is no label of the kind, or its time is not known or over `LONGEST`.
    """
    known(kind)
    drawn = [shapes.checked(label, task.size, len(CLASSES)) for label in labels]
    drawn = [label for label in drawn if label["kind"] == kind]
    seconds = sum(label["milliseconds"] for label in drawn) / 1000
    if not drawn or not 0 < seconds <= LONGEST:
        return None
    marked = shapes.rasterise(drawn[-1], task.size)
    overlap = float(metrics.iou(marked, task.mask))
    return Measure(kind, task.number, seconds, overlap, _fit(kind, task, drawn, marked, overlap))


def _fit(kind: str, task: Task, drawn: list[dict], marked: np.ndarray, overlap: float) -> float:
    if kind == "image_class":
        said = {label["class_index"] for label in drawn}
        return len(said & task.present) / len(said | task.present)
    if drawn[-1]["class_index"] != task.class_index:
        return 0.0
    if kind in ("box", "extreme"):
        return float(metrics.iou(np.array(shapes.box_of(drawn[-1])), np.array(task.box, float)))
    if kind == "polygon":
        return overlap
    return float(task.mask[marked].mean())


def measures(labels: Mapping[tuple[str, int], Sequence[dict]]) -> list[Measure]:
    """`measure` of everything drawn: ``{(kind, picture): labels}``, as the lab's widget has it."""
    found = [measure(kind, tasks()[number], drawn) for (kind, number), drawn in labels.items()]
    return [m for m in found if m is not None]


@dataclass(frozen=True)
class Summary:
    """Medians over the labels of one kind, and the quartiles of the seconds."""

    count: int
    seconds: float
    quartiles: tuple[float, float]
    iou: float
    fit: float


def summary(found: Iterable[Measure]) -> dict[str, Summary]:
    """A `Summary` of each kind that occurs, in the order of `KINDS`."""
    found = list(found)
    return {kind: _summary([m for m in found if m.kind == kind]) for kind in KINDS if kind in _kinds(found)}


def _kinds(found: Iterable[Measure]) -> set[str]:
    return {m.kind for m in found}


def _summary(some: list[Measure]) -> Summary:
    seconds = [m.seconds for m in some]
    low, high = np.quantile(seconds, (0.25, 0.75))
    middle = [float(np.median([getattr(m, name) for m in some])) for name in ("seconds", "iou", "fit")]
    return Summary(len(some), middle[0], (float(low), float(high)), *middle[1:])


# ------------------------------------------------------------------ one person's file, a class's files


@dataclass(frozen=True)
class Record:
    """One person's measures, under a random name.

    Attributes:
        who: 16 random hexadecimal digits; nothing in them says who it is.
        measures: at most one of each kind and picture.
        simulated: whether no person drew these labels.
    """

    who: str
    measures: tuple[Measure, ...]
    simulated: bool = False


def export(found: Sequence[Measure], folder: str | Path | None = None, simulated: bool = False) -> Path:
    """Write your measures to a small JSON file without your name, to hand in.

    Args:
        found: at least one.
        folder: where to; None for ``stopwatch`` in the reader's data folder. A later export to the same
            folder keeps the random name and replaces the earlier one.
        simulated: must be True for labels that nobody drew.

    Returns:
        The file, ``stopwatch-NAME.json``.

    Raises:
        ValueError: there is no measure.
    """
    if not found:
        raise ValueError("measures must be at least one, got none: draw a label first")
    folder = Path(folder) if folder is not None else data_dir() / "stopwatch"
    return write_record(Record(_random_name(folder, simulated), tuple(found), simulated), folder)


def write_record(record: Record, folder: str | Path) -> Path:
    """Write a record to its file; seconds to a tenth, qualities to three digits."""
    entries = [
        asdict(m) | {"seconds": max(0.1, round(m.seconds, 1)), "iou": round(m.iou, 3), "fit": round(m.fit, 3)}
        for m in record.measures
    ]
    about = {"format": "lecturekit stopwatch", "version": 1, "who": record.who, "simulated": record.simulated}
    text = json.dumps(about | {"measures": entries}, indent=1, allow_nan=False)
    return write_atomic(Path(folder) / f"stopwatch-{record.who}.json", text)


def _random_name(folder: Path, simulated: bool) -> str:
    """The name of an earlier export of the same sort in this folder, or a new one."""
    for path in sorted(folder.glob("stopwatch-*.json")):
        try:
            earlier = read_record(path)
        except (OSError, ValueError):
            continue
        if earlier.simulated == simulated:
            return earlier.who
    return secrets.token_hex(8)


def read_record(path: str | Path) -> Record:
    """A record from a file that may come from anywhere; ``ValueError`` says what is wrong with it."""
    path = Path(path)
    if path.is_symlink() or not path.is_file():
        raise ValueError("this is no ordinary file")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"the file must have at most {_MAX_BYTES} bytes, got {path.stat().st_size}")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != "lecturekit stopwatch":
        raise ValueError("this is no export of the stopwatch lab")
    who, entries = content.get("who"), content.get("measures")
    if not isinstance(who, str) or not re.fullmatch(r"[0-9a-f]{16}", who):
        raise ValueError(f"who must be 16 hexadecimal digits, got {shortened(who)}")
    if not isinstance(entries, list) or not 1 <= len(entries) <= _MAX_ENTRIES:
        raise ValueError(f"measures must be a list of 1 to {_MAX_ENTRIES}, got {shortened(entries)}")
    if type(content.get("simulated")) is not bool:
        raise ValueError("simulated must be true or false")
    return Record(who, _once(_measure(entry) for entry in entries), content["simulated"])


def _measure(entry: object) -> Measure:
    names = ("kind", "picture", "seconds", "iou", "fit")
    if not isinstance(entry, dict) or not entry.keys() >= set(names):
        raise ValueError(f"a measure must have {', '.join(names)}, got {shortened(entry)}")
    return Measure(*(entry[name] for name in names))


def _once(found: Iterable[Measure]) -> tuple[Measure, ...]:
    """Of several measures of one kind and picture the last."""
    return tuple({(m.kind, m.picture): m for m in found}.values())


@dataclass(frozen=True)
class ClassResult:
    """What a class measured.

    Attributes:
        people: one record each.
        refused: name of each file that is not used, and why.
        simulated: whether any of the people are simulated.
    """

    people: tuple[Record, ...]
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Whether anybody in it is simulated."""
        return any(record.simulated for record in self.people)

    def medians(self, kind: str, what: str = "seconds") -> np.ndarray:
        """Each person's median of "seconds", "iou" or "fit" for a kind, ``(people who drew it,)``, sorted."""
        known(kind)
        if what not in ("seconds", "iou", "fit"):
            raise ValueError(f"what must be seconds, iou or fit, got {what!r}")
        values = ([getattr(m, what) for m in r.measures if m.kind == kind] for r in self.people)
        return np.sort([float(np.median(v)) for v in values if v])

    def __str__(self) -> str:
        lines = [f"{len(self.people)} people{', SIMULATED among them' if self.simulated else ''}"]
        for kind, name in KINDS.items():
            seconds, quality = self.medians(kind), self.medians(kind, "iou")
            if len(seconds):
                low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75))
                spread = f"{middle:6.1f} s a label, half of them {low:.1f} to {high:.1f} s"
                lines.append(f"{name:20} {spread}, IoU {np.median(quality):.2f} ({len(seconds)} people)")
        lines += [f"not used: {name}: {why}" for name, why in self.refused.items()]
        return "\n".join(lines)


def merge_class(folder: str | Path, simulated: bool = False) -> ClassResult:
    """A class's distribution out of everyone's files.

    Of several files of one person the one with the most measures counts. A file that is damaged, too large,
    or something else is reported in `ClassResult.refused` and does no harm.

    Args:
        folder: with the exported files; those in its subfolders are not looked at.
        simulated: use simulated files too.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds more than a thousand JSON files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must be one with everyone's files, got {folder.name!r}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".json")
    if len(paths) > _MAX_FILES:
        raise ValueError(f"folder must hold at most {_MAX_FILES} files, got {len(paths)}")
    found: dict[str, tuple[Record, str]] = {}
    refused = {}
    for path in paths:
        try:
            record = read_record(path)
        except (OSError, ValueError) as error:
            refused[path.name] = str(error)
            continue
        if record.simulated and not simulated:
            refused[path.name] = "its labels are simulated; merge_class(folder, simulated=True) uses them"
        elif record.who in found and len(record.measures) <= len(found[record.who][0].measures):
            refused[path.name] = f"the same person as {found[record.who][1]}"
        else:
            if record.who in found:
                refused[found[record.who][1]] = f"the same person as {path.name}, which has more"
            found[record.who] = record, path.name
    return ClassResult(tuple(record for record, _ in found.values()), refused)


# ------------------------------------------------------------------ figures


def figure(found: Iterable[Measure], title: str = "Your labels") -> Figure:
    """Seconds and IoU of each label (dots) and their medians (bars), beside the literature's seconds.

    Args:
        found: as from `measures`.
        title: what the dots are. Say so where they are simulated.
    """
    found = list(found)
    values = {
        what: {kind: [getattr(m, what) for m in found if m.kind == kind] for kind in KINDS}
        for what in ("seconds", "iou")
    }
    return _figure(values, title)


def class_figure(result: ClassResult) -> Figure:
    """As `figure`, each dot the median of one person."""
    values = {what: {kind: result.medians(kind, what) for kind in KINDS} for what in ("seconds", "iou")}
    marked = "SIMULATED people" if result.simulated else "people"
    return _figure(values, f"{len(result.people)} {marked}, each dot one person's median")


def alt_text(found: Iterable[Measure], title: str = "Your labels") -> str:
    """What `figure` shows, in words."""
    parts = [f"{KINDS[kind]} {s.seconds:.0f} s, IoU {s.iou:.2f}" for kind, s in summary(found).items()]
    return f"{title}, medians: {'; '.join(parts) or 'none yet'}. Diamonds show the literature's seconds."


def _figure(values: Mapping[str, Mapping[str, Sequence[float] | NDArray]], title: str) -> Figure:
    with matplotlib.rc_context(STYLE):
        drawn, axes = plt.subplots(1, 2, figsize=(8.2, 3.2), sharey=True, width_ratios=(3, 2))
        for axis, (what, by_kind) in zip(axes, values.items(), strict=True):
            for row, kind in enumerate(KINDS):
                _draw_row(axis, row, by_kind[kind], "people" if what == "seconds" else "quality")
        for row, kind in enumerate(KINDS):
            _draw_literature(axes[0], row, kind)
        axes[0].set(xscale="log", xlim=(0.5, 400), xlabel="seconds a label")
        axes[0].set_xticks([1, 10, 100], ["1", "10", "100"])
        axes[0].set_yticks(range(len(KINDS)), list(KINDS.values()))
        axes[0].set_ylim(len(KINDS) - 0.5, -0.5)
        axes[1].set(xlim=(-0.03, 1.03), xlabel="IoU of its pixels with the object")
        drawn.suptitle(title, x=0.01, ha="left", fontsize=10)
        _write_legend(drawn)
    return drawn


_DOTS, _BAR, _CITED = PALETTE[2], PALETTE[5], PALETTE[6]


def _draw_row(axis: Axes, row: int, values: Sequence[float] | NDArray, gid: str) -> None:
    """Dots for the values of one kind, and a bar at their median."""
    axis.axhline(row, color="0.9", linewidth=0.8, zorder=0)
    if len(values):
        axis.plot(values, np.full(len(values), row), "o", color=_DOTS, alpha=0.6, markersize=5, gid=gid)
        axis.plot([np.median(values)] * 2, [row - 0.32, row + 0.32], color=_BAR, linewidth=3)


def _draw_literature(axis: Axes, row: int, kind: str) -> None:
    """A diamond for each source, hollow where it is assumed, with a line for its range."""
    for key in LITERATURE[kind]:
        cost = COSTS[key]
        axis.plot(cost.range, [row + 0.22] * 2, color=_CITED, linewidth=1)
        face = "none" if cost.assumed else _CITED
        axis.plot(cost.seconds, row + 0.22, "D", markersize=5, markerfacecolor=face, markeredgecolor=_CITED)


def _write_legend(drawn: Figure) -> None:
    marks = [
        Line2D([], [], marker="o", linestyle="", color=_DOTS, alpha=0.6, label="each"),
        Line2D([], [], color=_BAR, linewidth=3, label="median"),
        Line2D([], [], marker="D", linestyle="", color=_CITED, label="literature"),
        Line2D([], [], marker="D", linestyle="", color=_CITED, markerfacecolor="none", label="assumed"),
    ]
    drawn.legend(handles=marks, loc="outside upper right", ncols=4, fontsize=9)
