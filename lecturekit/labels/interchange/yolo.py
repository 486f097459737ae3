"""YOLO's text files (docs.ultralytics.com/datasets): a line an object, as shares of the picture's sides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ...kit.checks import shortened
from ...kit.files import json_or_none, read_text
from ...kit.storage import write_atomic
from .. import shapes
from ._common import (
    OWN,
    PICTURES,
    Labelled,
    Read,
    Sieve,
    about,
    checked_names,
    checked_pictures,
    clipped,
    has_extent,
    number,
    own_part,
    own_picture,
    picture_size,
    safe_path,
)

#: Text files that hold no labels.
_LISTS = ("classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "labelmap.txt")
#: Relative coordinates are written to so many digits, and pixels read to so many decimals.
_DIGITS, _DECIMALS = 12, 6


def write_yolo(
    folder: str | Path, pictures: Iterable[Labelled], classes: Sequence[str], *, outlines: bool = True
) -> list[Path]:
    """Write pictures' labels as ``labels/NAME.txt``, and ``data.yaml`` with the classes.

    A box is ``class x y width height``, its centre and sides as shares of the picture's sides, the class
    counted from 0; an outline is ``class x1 y1 x2 y2 ...``. Where a picture has outlines, its boxes are
    written as outlines, too: the two may not stand in one file. A mask becomes one outline, whose pieces and
    holes hang together by lines without width.

    YOLO knows neither clicks nor times nor sizes of pictures: these go into ``lecturekit.json``.

    Args:
        folder: where these go; made as needed.
        pictures: with labels of class indices 1..len(classes).
        classes: names, background left out.
        outlines: write polygons and masks as outlines; else as boxes.

    Returns:
        The files written.

    Raises:
        ValueError: a label or name that is not in order, two pictures of one NAME, or a mask with too many
            corners; before anything is written.

    Example:
        >>> import tempfile
        >>> box = {"id": "a", "kind": "box", "class_index": 1, "points": [[1, 0], [3, 2]], "milliseconds": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = write_yolo(folder, [Labelled("a.jpg", (4, 8), (box,))], ["cat"])
        ...     text = files[-1].read_text()
        ...     (picture,), classes = read_yolo(folder)
        >>> text, picture.labels[0]["points"], classes
        ('0 0.25 0.25 0.25 0.5\\n', [[1.0, 0.0], [3.0, 2.0]], ('cat',))
    """
    names = checked_names(classes)
    listed = [f"  {k}: {json.dumps(name, ensure_ascii=False)}\n" for k, name in enumerate(names)]
    contents = {"data.yaml": "path: .\ntrain: images\nval: images\nnames:\n" + "".join(listed)}
    own = {}
    for stem, picture in checked_pictures(pictures, len(names)):
        contents[f"labels/{stem}.txt"] = text_of(picture, outlines)
        own[stem] = own_part(picture, names) | {"size": picture.size, "outlines": outlines}
    contents[f"{OWN}.json"] = json.dumps(own, allow_nan=False)
    order = sorted(contents, key=lambda name: name.startswith("labels/"))
    return [write_atomic(Path(folder) / name, contents[name]) for name in order]


def read_yolo(
    folder: str | Path,
    classes: Sequence[str] | None = None,
    *,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    on_error: str = "raise",
) -> Read[list[Labelled]]:
    """Read YOLO's text files: all in folders named labels, or, where there are none, all in the folder.

    The size of a picture is read from the picture, which lies beside its text file or in a folder ``images``
    in the place of ``labels``. A confidence at the end of a line is passed over.

    Args:
        folder: of the data set, or of the text files.
        classes: names in the order of their numbers. None: those of data.yaml, classes.txt or obj.names in
            the folder, in its ``labels``, or up to two folders above.
        sizes: height and width of pictures by the names of their text files without ending, where the
            pictures are not there.
        on_error: ``"raise"``, or ``"skip"``: leave out the files and lines that are not in order.

    Returns:
        Pictures by the alphabet of their text files, and names, which unpack; beside them ``report``.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: with the file and line that is not in order, or where no names are found.
    """
    folder, sieve = Path(folder), Sieve(on_error)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must hold YOLO's text files, got {folder.name}")
    known, pose = _listed(folder) if classes is None else (dict(enumerate(checked_names(classes))), False)
    names = checked_names([known[k] for k in sorted(known)])
    numbers = {k: index for index, k in enumerate(sorted(known), 1)}
    own_file = folder / f"{OWN}.json"
    own = json_or_none(read_text(own_file)) if own_file.is_file() else None
    reader = _Reader(folder, names, numbers, sizes or {}, own if isinstance(own, dict) else {}, sieve)
    reader.pose = pose
    pictures = []
    for path in _text_files(folder):
        with sieve.entry(path.relative_to(folder).as_posix()):
            pictures.append(reader.picture(path))
    return Read(pictures, names, sieve)


def text_of(picture: Labelled, outlines: bool = True) -> str:
    """The lines of a picture's text file.

    Args:
        picture: with checked labels.
        outlines: as in `write_yolo`.

    Raises:
        ValueError: a mask with too many corners for an outline.
    """
    height, width = picture.size
    labels = [label for label in picture.labels if has_extent(label)]
    outlined = outlines and any(label["kind"] in ("polygon", "mask") for label in labels)
    lines = []
    for label in labels:
        if outlined:
            values = [v for x, y in _corners(label) for v in (x / width, y / height)]
        else:
            x0, y0, x1, y1 = shapes.box_of(label)
            values = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
        lines.append(" ".join([str(label["class_index"] - 1), *(f"{v:.{_DIGITS}g}" for v in values)]))
    return "".join(f"{line}\n" for line in lines)


def _corners(label: dict[str, Any]) -> list:
    """The outline of a label with an extent."""
    if label["kind"] == "polygon":
        return label["points"]
    if label["kind"] == "mask":
        corners = outline(shapes.rasterise(label, label["size"]))
        if len(corners) > shapes.KINDS["polygon"][1]:
            raise ValueError(f"an outline must have at most 10000 corners, got a mask with {len(corners)}")
        return corners
    x0, y0, x1, y1 = shapes.box_of(label)
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def outline(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Corners of one outline that encloses just the pixels of a mask, by the even-odd rule.

    Its loops, round pieces and holes, hang together by lines to the first corner and back, which enclose
    nothing.

    Args:
        mask: bool ``(H, W)``.

    Example:
        >>> outline(np.array([[True, True], [False, True]]))
        [(0, 0), (2, 0), (2, 2), (1, 2), (1, 1), (0, 1)]
    """
    after: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # One step along each border between a marked pixel and another, with the marked one at the right hand.
    for axis, rise in ((1, 1), (1, -1), (0, 1), (0, -1)):
        padded = np.pad(mask, [(int(a == axis), int(a == axis)) for a in (0, 1)]).astype(np.int8)
        for y, x in np.argwhere(np.diff(padded, axis=axis) == rise).tolist():
            ends = (x, y), (x + (axis == 0), y + (axis == 1))
            start, end = ends if (axis == 0) == (rise == 1) else ends[::-1]
            after.setdefault(start, []).append(end)
    corners: list[tuple[int, int]] = []
    while after:
        first = min(after, key=lambda point: point[::-1]) if not corners else next(iter(after))
        loop = [first]
        while loop[-1] in after:
            ends_ = after[loop[-1]]
            loop.append(ends_.pop())
            if not ends_:
                del after[loop[-2]]
            if loop[-1] == first:
                break
        loop = _without_straight(loop[:-1])
        corners += loop if not corners and not after else [*loop, loop[0], *corners[:1]]
    return corners


def _without_straight(loop: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A closed loop of unit steps without the points at which it does not turn."""
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise([loop[-1], *loop, loop[0]])]
    return [
        point for point, step, following in zip(loop, steps, steps[1:], strict=False) if step != following
    ]


def _listed(folder: Path) -> tuple[dict[int, str], bool]:
    """Names by YOLO's numbers, from the first file that tells them, and whether lines hold poses."""
    for place in (folder, folder / "labels", folder.resolve().parent, folder.resolve().parent.parent):
        for file in sorted([*place.glob("*.yaml"), *place.glob("*.yml")]):
            content = _yaml(file)
            names = content.get("names") if isinstance(content, dict) else None
            if isinstance(names, list):
                names = dict(enumerate(names))
            if isinstance(names, dict) and names and all(type(k) is int for k in names):
                return {k: str(v).strip() for k, v in names.items()}, "kpt_shape" in content
        for file in (place / "classes.txt", place / "obj.names"):
            if file.is_file():
                lines = [line.strip() for line in read_text(file).splitlines()]
                return dict(enumerate(line for line in lines if line)), False
    raise ValueError("classes must be given where neither data.yaml nor classes.txt names them, got None")


class _NoAliases(yaml.SafeLoader):
    """YAML without references, with which a small file can stand for an endless one."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise ValueError("YAML must have no aliases")
        return super().compose_node(parent, index)


def _yaml(path: Path) -> Any:
    try:
        return yaml.load(read_text(path), _NoAliases)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: this is no sound YAML: {error}") from None


def _text_files(folder: Path) -> list[Path]:
    """The text files with labels."""
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() == ".txt" and p.is_file()]
    files = [p for p in files if p.name.lower() not in _LISTS and not p.name.lower().startswith("readme")]
    return [p for p in files if "labels" in p.relative_to(folder).parts] or files


class _Reader:
    """A text file -> a labelled picture."""

    pose = False

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        numbers: dict[Any, int],
        sizes: Mapping[str, tuple[int, int]],
        own: dict[str, Any],
        sieve: Sieve,
    ):
        self.folder, self.names, self.numbers = folder, names, numbers
        self.sizes, self.own, self.sieve = sizes, own, sieve
        self.pictures: dict[Path, dict[str, Path]] = {}

    def picture(self, path: Path) -> Labelled:
        """A picture as our own export has it, if the lines are still what we wrote, or else of the lines."""
        text, own = read_text(path), self.own.get(path.stem)
        file = self._file(path)
        size = self.sizes.get(path.stem) or (picture_size(file) if file else None)
        if size is None and isinstance(own, dict):
            size = own.get("size")
        if size is None:
            raise ValueError("the picture must be there to tell its size, or sizes be given, got neither")
        size = shapes.checked_size(size)
        kept = own_picture(own, size, self.names)
        if kept and isinstance(own, dict) and text == text_of(kept, own.get("outlines") is True):
            return kept
        labels = []
        for k, line in enumerate(text.splitlines(), 1):
            if line.strip():
                with self.sieve.entry(f"line {k}"):
                    labels.append(self._label(line.split(), f"yolo-{k}", size))
        name = file.relative_to(self.folder).as_posix() if file and file.is_relative_to(self.folder) else None
        name = name or (file.name if file else kept.file_name if kept else f"{path.stem}.jpg")
        return Labelled(safe_path(name), size, tuple(labels))

    def _file(self, path: Path) -> Path | None:
        """The picture of a text file."""
        places = [path.parent]
        parts = list(path.parent.parts)
        if "labels" in parts:
            parts[len(parts) - 1 - parts[::-1].index("labels")] = "images"
            places.append(Path(*parts))
        for place in places:
            if place not in self.pictures:
                files = sorted(place.iterdir()) if place.is_dir() else []
                self.pictures[place] = {p.stem: p for p in files if p.suffix.lower() in PICTURES}
            if path.stem in self.pictures[place]:
                return self.pictures[place][path.stem]
        return None

    def _label(self, words: list[str], name: str, size: tuple[int, int]) -> dict[str, Any]:
        """The label of a line."""
        index = self.numbers.get(number(words[0]))
        if index is None:
            raise ValueError(f"class must be a number of one that is listed, got {shortened(words[0])}")
        return shapes.checked(about(name, index) | self._shape(words[1:], size), size, len(self.names))

    def _shape(self, words: list[str], size: tuple[int, int]) -> dict[str, Any]:
        if len(words) in (4, 5) or (self.pose and len(words) > 5):
            if len(words) > 5:
                self.sieve.note("the keypoints of a line are not read")
            x, y, w, h = map(number, words[:4])
            corners = [[x - w / 2, y - h / 2], [x + w / 2, y + h / 2]]
            return {"kind": "box", "points": _pixels(corners, size)}
        if not 6 <= len(words) <= 2 * shapes.KINDS["polygon"][1] + 1:
            raise ValueError(f"a line must have 5 numbers or at least 7, got {len(words) + 1}")
        values = [number(word) for word in words[: len(words) // 2 * 2]]
        points = _pixels([list(pair) for pair in zip(values[::2], values[1::2], strict=True)], size)
        return {"kind": "polygon", "points": points}


def _pixels(points: list[list[float]], size: tuple[int, int]) -> list[list[float]]:
    """Shares of the picture's sides -> pixels."""
    height, width = size
    return clipped([[round(x * width, _DECIMALS), round(y * height, _DECIMALS)] for x, y in points], size)
