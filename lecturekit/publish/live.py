"""Widgets that work on a page without a kernel: what they hold, written to files when a notebook runs.

While `refresh` runs a notebook, `watch` sees each widget that a cell shows and writes what its JavaScript
needs: an explorer's maps, an annotator's picture, a box lab's picture for every position of its last slider,
a scribble lab's answers to its strokes one after the other.
`keep` puts that under ``site/live/data``, by notebook and cell. Quizzes and the stopwatch lab come from their
modules when the site is built.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nbformat import NotebookNode
from PIL import Image

from ..kit.images import encoded
from ..kit.storage import ROOT
from ..widgets.annotator import Annotator
from ..widgets.box_lab import BoxLab, Choice, Drawn, Slider
from ..widgets.cam_explorer import CamExplorer
from ..widgets.scribble_lab import ScribbleLab

#: Widgets whose data are written.
Kept = CamExplorer | Annotator | BoxLab | ScribbleLab

#: Where the widgets' data are kept, by notebook and cell.
DATA = ROOT / "site" / "live" / "data"
#: Names the folder that `watch` writes to.
FOLDER = "LECTUREKIT_LIVE"
# What a profile of IPython runs at its start, so that `watch` is there from the first cell on.
_STARTUP = "from lecturekit.publish import live\nlive.watch()\n"
#: States that are stored of one box lab: the last slider's, and those of other controls while they are few.
MAX_STATES = 60
#: Bytes of an explorer's maps as 16-bit floats above which 8 bits must do.
MAX_HALF = 300_000
#: Pixels across of a stored picture, and WebP's quality; the next where a lab's pictures are too many bytes.
FORMS = ((560, 65), (480, 50), (420, 35))
MAX_LAB = 700_000
_ABOUT = "about.json"


def watch() -> None:
    """From now on, write each widget that a cell of this kernel shows to the folder named by `FOLDER`."""
    from IPython.core.getipython import get_ipython

    shell, folder = get_ipython(), os.environ.get(FOLDER)
    if shell is None or not folder:
        return
    numbers = itertools.count()

    def look(result: Any) -> None:
        number = next(numbers)
        if isinstance(result.result, Kept):
            write(result.result, Path(folder, str(number)))

    shell.events.register("post_run_cell", look)


def environment(made: Path, path: Path) -> dict[str, str]:
    """What a kernel's environment must say so that its widgets are watched.

    Args:
        made: an empty folder, for the kernel's profile and for what is written.
        path: of the notebook; of one that is not the course's nothing is kept, and so nothing is watched.
    """
    if not _is_the_courses(path):
        return {}
    startup = made / "profile" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "live.py").write_text(_STARTUP, encoding="utf-8")
    return {"IPYTHONDIR": str(made / "profile"), FOLDER: str(made / "widgets")}


def keep(notebook: NotebookNode, made: Path, path: Path) -> None:
    """Put what was written below ``site/live/data``, under the names of the cells; what was there goes.

    Args:
        notebook: whose code cells were run, each once and in order.
        made: the folder that `environment` was given.
        path: of the notebook; nothing is kept of one that is not the course's.
    """
    if not _is_the_courses(path):
        return
    data = DATA / path.stem
    shutil.rmtree(data, ignore_errors=True)
    run = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in enumerate(run):
        written = made / "widgets" / str(number)
        if written.is_dir():
            shutil.copytree(written, data / cell.id)


def _is_the_courses(path: Path) -> bool:
    return path.resolve().parent == ROOT / "notebooks"


def write(widget: Kept, folder: Path) -> None:
    """What a widget's JavaScript needs on a page: ``about.json``, and files beside it.

    Args:
        widget: as it is shown.
        folder: made here.
    """
    folder.mkdir(parents=True)
    if isinstance(widget, CamExplorer):
        about = _explorer(widget, folder)
    elif isinstance(widget, Annotator):
        about = _annotator(widget, folder)
    elif isinstance(widget, BoxLab):
        about = _box_lab(widget, folder)
    else:
        about = _scribble_lab(widget, folder)
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    (folder / _ABOUT).write_text(text + "\n", encoding="utf-8")


def _traits(widget: Any, *files: str) -> dict[str, Any]:
    """The traits that JavaScript knows, but for its code and those that become files."""
    left_out = {"_esm", "_css", *files}
    state = widget.get_state([name for name in widget.keys if name not in left_out])
    return {
        name: value
        for name, value in state.items()
        if name not in _FRONT_END and not name.startswith(("_model", "_view"))
    }


#: Traits of every widget that only a front end with a kernel needs, beside those of model and view.
_FRONT_END = ("_anywidget_id", "_dom_classes", "layout", "tabbable", "tooltip")


def _explorer(widget: CamExplorer, folder: Path) -> dict[str, Any]:
    """The photograph as WebP, and logits whole, for a per cent is read to a tenth."""
    state = _traits(widget, "_maps", "_image", "_tables", "_logits", "_bias")
    height, width = widget._size
    image = np.frombuffer(widget._image, np.uint8).reshape(height, width, 3)
    (folder / "image.webp").write_bytes(encoded(image, "WEBP", quality=90, method=6))
    state["_maps"] = _maps(widget, folder)
    for name in ("_logits", "_bias"):
        (folder / f"{name[1:]}.bin").write_bytes(getattr(widget, name))
        state[name] = {"$bytes": f"{name[1:]}.bin"}
    state["_image"] = {"$pixels": "image.webp"}
    state["_tables"] = {"$base64": base64.b64encode(widget._tables).decode("ascii")}
    return {"widget": "cam_explorer", "state": state}


def _maps(widget: CamExplorer, folder: Path) -> dict[str, Any]:
    """The maps as 16-bit floats; many large ones as 8-bit PNG, one file a layer, with each map's range."""
    numbers = np.frombuffer(widget._maps, "<f4")
    if numbers.size * 2 <= MAX_HALF:
        (folder / "maps.bin").write_bytes(numbers.astype("<f2").tobytes())
        return {"$half": "maps.bin"}
    files, start, count = [], 0, len(widget._categories)
    for layer, (_, height, width) in enumerate(widget._layers):
        maps = numbers[start : start + count * height * width].reshape(count, -1)
        start += maps.size
        low, high = maps.min(1, keepdims=True), maps.max(1, keepdims=True)
        shares = (maps - low) / np.where(high > low, high - low, 1)
        grey = np.rint(255 * shares).astype(np.uint8).reshape(count * height, width)
        (folder / f"maps{layer}.png").write_bytes(encoded(grey, optimize=True))
        ranges = np.concatenate([low, high], 1).tolist()
        files.append({"file": f"maps{layer}.png", "ranges": ranges})
    return {"$scaled": files}


def _annotator(widget: Annotator, folder: Path) -> dict[str, Any]:
    """The picture as it travels, no labels, and what the file of the labels says of them."""
    file = widget._file
    (folder / "image.png").write_bytes(widget._image)
    state = _traits(widget, "_image") | {"_image": {"$bytes": "image.png"}}
    state |= {"_records": [], "_saved": {}, "_note": ""}
    about: dict[str, Any] = {"name": file.path.name, "key": file.key, "picture": file.picture}
    about |= {"size": list(file.size), "classes": list(file.classes)}
    return {"widget": "annotator", "state": state, "file": about, "place": file.path.stem}


# ------------------------------------------------------------------ the box lab's stored states


def _box_lab(widget: BoxLab, folder: Path) -> dict[str, Any]:
    """The picture of each stored state, each file once."""
    axes, lists = stored_axes(widget)
    known = [name for name in widget._known if name in {*axes, *lists}]
    first = {name: widget.values[name] for name in known}
    shown = {}
    for chosen in _states(widget, axes, lists):
        values = widget.values | chosen
        shown[key_of(first | chosen)] = widget._draw(*([tuple(widget.box)] if widget.box else []), **values)
    files = _fitting([_with_box(one, widget.box) for one in shown.values()])
    drawn = {}
    for (key, one), file in zip(shown.items(), files, strict=True):
        name = f"{hashlib.sha256(file).hexdigest()[:12]}.webp"
        (folder / name).write_bytes(file)
        drawn[key] = {"file": name, "words": one.words}
    state = _traits(widget, "_picture") | {
        "_controls": [c for c in widget._controls if c["name"] in known], "_size": [0, 0], "box": [],
        "values": first, "_asked": 0, "_answered": 0,
    }  # fmt: skip
    return {"widget": "box_lab", "state": state, "drawn": drawn, "note": _note(widget, known, lists)}


def _scribble_lab(widget: ScribbleLab, folder: Path) -> dict[str, Any]:
    """As a box lab whose slider counts the strokes."""
    first, count = widget.story
    slider = Slider("strokes", min(2, count), count, 1, first)
    about = _box_lab(BoxLab(lambda strokes: widget.replay(round(strokes)), {"strokes": slider}), folder)
    words = "Strokes are white. In the notebook you draw them, and a student learns from each at once."
    return about | {"note": f"{about['note']} {words}"}


def _note(widget: BoxLab, known: list[str], lists: list[str]) -> str:
    """What a reader of the page should know of the stored pictures."""
    words = ["Pictures that were drawn when the notebook ran."]
    if lists:
        labels = ", ".join(widget._known[name].label for name in lists)
        words.append(f"A change of {labels} starts anew from the first state.")
    fixed = [control.label for name, control in widget._known.items() if name not in known]
    fixed += ["the box"] * bool(widget.box)
    return " ".join(words + [f"In the notebook you can also change: {', '.join(fixed)}."] * bool(fixed))


def stored_axes(widget: BoxLab) -> tuple[list[str], list[str]]:
    """What is stored of a lab.

    Args:
        widget: a lab with at least one control.

    Returns:
        The controls of which every combination is stored: the last slider, and others while the states are
        few. Then the lists of which every choice is stored, each with the others as they are at first.
    """
    known = widget._known
    sliders = [name for name, control in known.items() if isinstance(control, Slider)]
    main = (sliders or list(known))[-1]
    chosen, states = {main}, len(positions(known[main]))
    for name in sorted(known, key=lambda n: len(positions(known[n]))):
        if name not in chosen and states * len(positions(known[name])) <= MAX_STATES:
            chosen.add(name)
            states *= len(positions(known[name]))
    lists = [name for name, control in known.items() if isinstance(control, Choice) and name not in chosen]
    return [name for name in known if name in chosen], lists


def positions(control: Slider | Choice) -> list[Any]:
    """Every value that a control can take.

    Args:
        control: of a box lab.

    Example:
        >>> positions(Slider("share", 0.0, 0.5, 0.25, 0.0))
        [0.0, 0.25, 0.5]
    """
    if isinstance(control, Choice):
        return list(control.options)
    steps = round((control.high - control.low) / control.step)
    return [round(control.low + k * control.step, 6) for k in range(steps + 1)]


def _states(widget: BoxLab, axes: list[str], lists: list[str]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*(positions(widget._known[name]) for name in axes)):
        yield dict(zip(axes, values, strict=True))
    for name in lists:
        yield from ({name: option} for option in positions(widget._known[name]))


def key_of(values: dict[str, Any]) -> str:
    """The name of a state, as the page's JavaScript makes it.

    Args:
        values: of the stored controls, in their order.

    Example:
        >>> key_of({"maker": "Box", "share": 0.30000000004, "round": 2.0})
        'Box|0.3|2'
    """
    return "|".join(f"{v:.6f}".rstrip("0").rstrip(".") if _is_number(v) else str(v) for v in values.values())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number)


def _with_box(shown: Drawn, box: list[int]) -> np.ndarray:
    """The picture, with the box that it was drawn for in white on black."""
    picture = np.array(shown.picture)
    if box:
        x0, y0, x1, y1 = box
        for grow, ink in ((1, 0), (0, 255)):
            rows, columns = slice(max(y0 - grow, 0), y1 + grow), slice(max(x0 - grow, 0), x1 + grow)
            frame = np.zeros(picture.shape[:2], bool)
            frame[rows, columns] = True
            inner = np.zeros_like(frame)
            inner[y0 + 2 - grow : y1 - 2 + grow, x0 + 2 - grow : x1 - 2 + grow] = True
            picture[frame & ~inner] = ink
    return picture


def _fitting(pictures: list[np.ndarray]) -> list[bytes]:
    """The pictures of a lab in the first of `FORMS` in which they are few enough bytes, or in the last."""
    files: list[bytes] = []
    for width, quality in FORMS:
        files = [_smallest(picture, width, quality) for picture in pictures]
        if sum(map(len, set(files))) <= MAX_LAB:
            break
    return files


def _smallest(picture: np.ndarray, width: int, quality: int) -> bytes:
    """A WebP no wider than that, exact where that is smaller than a good likeness."""
    if picture.shape[1] > width:
        height = round(picture.shape[0] * width / picture.shape[1])
        picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
    forms = [{"quality": quality, "alpha_quality": 30, "method": 6}, {"lossless": True, "method": 6}]
    return min((encoded(picture, "WEBP", **form) for form in forms), key=len)
