"""The JSON files of labelme (github.com/wkentaro/labelme), one a picture."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, overload

import numpy as np
from PIL import Image

from ...kit.checks import shortened
from ...kit.files import read_json
from ...kit.storage import write_atomic
from .. import shapes
from ._common import (
    OWN,
    Labelled,
    Read,
    Sieve,
    about,
    checked_names,
    checked_picture,
    checked_pictures,
    clipped,
    index_of,
    mask_shape,
    naming,
    numbers,
    own_part,
    own_picture,
    picture_size,
    record,
    records,
    safe_path,
    size_of_bytes,
    told_names,
)
from .masks import read_map


def to_labelme(picture: Labelled, classes: Sequence[str]) -> dict[str, Any]:
    """A picture's labels as labelme's JSON.

    Extreme points become rectangles and scribbles lines, for labelme knows neither; classes of the picture
    become flags. What labelme has no place for goes into ``lecturekit``.

    Args:
        picture: with labels of class indices 1..len(classes).
        classes: names, background left out.

    Raises:
        ValueError: a label or name that is not in order.
    """
    names = checked_names(classes)
    picture = checked_picture(picture, len(names))
    placed = [_shape(label, names[label["class_index"] - 1]) for label in picture.labels]
    flags = {names[x["class_index"] - 1]: True for x in picture.labels if x["kind"] == "image_class"}
    return {
        "version": "5.5.0",
        "flags": flags,
        "shapes": [shape for shape in placed if shape],
        "imagePath": PurePosixPath(picture.file_name).name,
        "imageData": None,
        "imageHeight": picture.size[0],
        "imageWidth": picture.size[1],
        OWN: own_part(picture, names),
    }


@overload
def write_labelme(path: str | Path, pictures: Labelled, classes: Sequence[str]) -> Path: ...
@overload
def write_labelme(path: str | Path, pictures: Iterable[Labelled], classes: Sequence[str]) -> list[Path]: ...
def write_labelme(
    path: str | Path, pictures: Labelled | Iterable[Labelled], classes: Sequence[str]
) -> Path | list[Path]:
    """Write `to_labelme` of one picture to a file, or of several to NAME.json in a folder.

    Args:
        path: of the file for one picture, of the folder for several.
        pictures: one, or several of different names.
        classes: names, background left out.

    Returns:
        The file, or the files.

    Raises:
        ValueError: a label or name that is not in order; before anything is written.

    Example:
        >>> import tempfile
        >>> box = {"id": "a", "kind": "box", "class_index": 1, "points": [[1, 0], [3, 2]], "milliseconds": 9}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_labelme(f"{folder}/a.json", Labelled("a.jpg", (4, 6), (box,)), ["cat"])
        ...     picture, classes = read_labelme(path)
        >>> picture.labels[0]["points"], classes
        ([[1.0, 0.0], [3.0, 2.0]], ('cat',))
    """
    names = checked_names(classes)
    if isinstance(pictures, Labelled):
        return write_atomic(path, json.dumps(to_labelme(pictures, names), allow_nan=False))
    contents = {stem: to_labelme(picture, names) for stem, picture in checked_pictures(pictures, len(names))}
    return [
        write_atomic(Path(path) / f"{stem}.json", json.dumps(content, allow_nan=False))
        for stem, content in contents.items()
    ]


def read_labelme(
    path: str | Path, classes: Sequence[str] | None = None, *, on_error: str = "raise"
) -> Read[Labelled]:
    """Read one picture's file of labelme; `read_labelme_folder` reads many.

    Polygons, rectangles, points, masks and flags (classes of the picture) become our own kinds, lines become
    scribbles one pixel wide and circles polygons; a ``group_id`` is kept as ``group``. The folders in its
    ``imagePath`` are dropped. Where an old file does not say how large the picture is (before labelme 3.14),
    its ``imageData`` or the picture itself is asked.

    Args:
        path: of the JSON file.
        classes: names in the order of their numbers. None: those that occur, by the alphabet.
        on_error: ``"raise"``, or ``"skip"``: leave out the shapes that are not in order.

    Returns:
        The picture and names, which unpack; beside them ``report``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: with the name of the file and what is not in order.
    """
    path = Path(path)
    with naming(path.name):
        return from_labelme(read_json(path), classes, on_error=on_error, folder=path.parent)


def read_labelme_folder(
    folder: str | Path, classes: Sequence[str] | None = None, *, on_error: str = "raise"
) -> Read[list[Labelled]]:
    """Read all of labelme's files in a folder.

    Args:
        folder: with the JSON files.
        classes: names in the order of their numbers. None: those that occur in any of them, by the alphabet.
        on_error: ``"raise"``, or ``"skip"``: leave out the files and shapes that are not in order.

    Returns:
        Pictures by the alphabet of their files, and names, which unpack; beside them ``report``.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: with the name of the file and what is not in order.
    """
    contents, sieve = {}, Sieve(on_error)
    for path in sorted(p for p in Path(folder).iterdir() if p.suffix.lower() == ".json"):
        with sieve.entry(path.name):
            content = read_json(path)
            records(content, "shapes")
            contents[path] = content
    names = checked_names(classes) if classes is not None else _names(contents.values())
    pictures = []
    for path, content in contents.items():
        with sieve.entry(path.name):
            pictures.append(_picture(content, names, sieve, path.parent))
    return Read(pictures, names, sieve)


def from_labelme(
    content: object,
    classes: Sequence[str] | None = None,
    *,
    on_error: str = "raise",
    folder: str | Path | None = None,
) -> Read[Labelled]:
    """As `read_labelme`, of what the file holds.

    Args:
        content: of the JSON file.
        classes: names in the order of their numbers. None: those that occur, by the alphabet.
        on_error: ``"raise"``, or ``"skip"``: leave out the shapes that are not in order.
        folder: where the file lies, to look for a picture whose size it does not say. None: do not look.

    Returns:
        The picture and names, which unpack; beside them ``report``.

    Raises:
        ValueError: what is not in order.
    """
    sieve = Sieve(on_error)
    records(content, "shapes")
    names = checked_names(classes) if classes is not None else _names([content])
    return Read(_picture(content, names, sieve, folder), names, sieve)


def _names(contents: Collection[Any]) -> tuple[str, ...]:
    """Names of the classes as our own export tells them, or as they occur."""
    found: list[Any] = []
    for content in contents:
        found += [thing.get("label") for thing in content["shapes"] if isinstance(thing, dict)]
        found += _flags(content)
    return told_names([content.get(OWN) for content in contents], [_stripped(name) for name in found])


def _stripped(name: object) -> object:
    return name.strip() if isinstance(name, str) else name


def _flags(content: dict[str, Any]) -> list[str]:
    """The classes of the picture."""
    flags = content.get("flags")
    return [name for name, up in flags.items() if up is True] if isinstance(flags, dict) else []


def _picture(content: Any, names: tuple[str, ...], sieve: Sieve, folder: str | Path | None) -> Labelled:
    size = _size(content, folder)
    file = safe_path(_last(content.get("imagePath")))
    own = own_picture(content.get(OWN), size, names)
    if own:
        made = to_labelme(own, names)
        if all(content.get(key) == made[key] for key in ("flags", "shapes")):
            return own
    labels = []
    for k, thing in enumerate(records(content, "shapes"), 1):
        with sieve.entry(f"shapes[{k - 1}]"):
            index = index_of(record(thing).get("label"), names, "label")
            label = about(f"labelme-{k}", index) | {"group": thing.get("group_id")} | _geometry(thing, size)
            labels.append(shapes.checked(label, size, len(names)))
    for name in _flags(content):
        with sieve.entry("flags"):
            label = about(f"labelme-{len(labels) + 1}", index_of(name, names, "label"))
            labels.append(shapes.checked(label | {"kind": "image_class"}, size, len(names)))
    return Labelled(file, size, tuple(labels))


def _last(path: object) -> object:
    return re.split(r"[\\/]", path)[-1] if isinstance(path, str) else path


def _size(content: dict[str, Any], folder: str | Path | None) -> tuple[int, int]:
    """Height and width, as the file says, or its ``imageData``, or the picture."""
    said = [content.get("imageHeight"), content.get("imageWidth")]
    if None not in said:
        return shapes.checked_size(said)
    size, data, path = None, content.get("imageData"), content.get("imagePath")
    if isinstance(data, str):
        try:
            size = size_of_bytes(base64.b64decode(data))
        except ValueError:
            size = None
    if size is None and folder is not None and isinstance(path, str) and "\0" not in path:
        places = [str(_last(path))]
        if not PureWindowsPath(path).anchor:  # no drive, no other machine, no root
            places.append(path.replace("\\", "/"))
        size = next(filter(None, (picture_size(Path(folder) / place) for place in places)), None)
    if size is None:
        raise ValueError("imageHeight and imageWidth must be there, or imageData or the picture, got none")
    return size


def _geometry(shape: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Kind and geometry of one of labelme's shapes."""
    kind = "polygon" if shape.get("shape_type") is None else shape["shape_type"]
    points = shape.get("points")
    if not isinstance(points, list) or not 1 <= len(points) <= shapes.KINDS["polygon"][1]:
        raise ValueError(f"points must be a list of 1 to 10000, got {shortened(points)}")
    pairs = [numbers("a point", point, 2) for point in points]
    if kind == "mask":
        return _mask(shape.get("mask"), pairs, size)
    if kind == "circle" and len(pairs) == 2:
        return {"kind": "polygon", "points": _circle(pairs[0], pairs[1], size)}
    pairs = clipped(pairs, size)
    if kind == "rectangle" and len(pairs) == 2:
        return {"kind": "box", "points": [[f(p[c] for p in pairs) for c in (0, 1)] for f in (min, max)]}
    if kind in ("polygon", "point"):
        return {"kind": kind, "points": pairs}
    if kind in ("line", "linestrip"):
        return {"kind": "scribble", "points": pairs, "width": 1.0}
    raise ValueError(f"shape_type must be one that we know, with points to match, got {shortened(kind)}")


def _circle(centre: list[float], rim: list[float], size: tuple[int, int]) -> list[list[float]]:
    """The points of a circle, as far as they lie in the picture."""
    radius = math.hypot(rim[0] - centre[0], rim[1] - centre[1])
    return ellipse(centre, (radius, radius), size)


def ellipse(
    centre: Sequence[float], radii: Sequence[float], size: tuple[int, int], turn: float = 0.0
) -> list:
    """72 points of an ellipse turned by degrees, brought into the picture; of equal neighbours only one."""
    t, turn = np.arange(72) * (2 * math.pi / 72), math.radians(turn)
    x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
    x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    points = np.stack([centre[0] + x, centre[1] + y], 1).clip(0, [size[1], size[0]])
    points = points[(points != np.roll(points, 1, axis=0)).any(1)]
    ends = np.roll(points, -1, axis=0)
    if abs((points[:, 0] * ends[:, 1] - points[:, 1] * ends[:, 0]).sum()) < 1e-6:  # twice its area
        raise ValueError(f"a circle must lie in the picture of size {size}, got one of centre {list(centre)}")
    return points.tolist()


def _mask(data: object, corners: list[list[float]], size: tuple[int, int]) -> dict[str, Any]:
    """A mask from base64 of a PNG, which covers the rectangle between two pixels, both included."""
    if not isinstance(data, str) or len(corners) != 2:
        raise ValueError(f"a mask must be base64 text between two corners, got {shortened(data)}")
    (x0, y0), (x1, y1) = ([math.floor(v) for v in corner] for corner in corners)
    if not (0 <= x0 <= x1 < size[1] and 0 <= y0 <= y1 < size[0]):
        raise ValueError(f"a mask must lie in the picture of size {size}, got corners {corners}")
    try:
        png = base64.b64decode(data, validate=True)
    except ValueError:
        raise ValueError(f"a mask must be base64 text, got {data[:40]!r}") from None
    mask = np.zeros(size, bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = read_map(png, (y1 + 1 - y0, x1 + 1 - x0)) > 0
    return mask_shape(mask)


def _shape(label: dict[str, Any], name: str) -> dict[str, Any] | None:
    """One of labelme's shapes; None for a label that has no place in the picture."""
    kind, points, extra = label["kind"], label["points"], {}
    if kind == "image_class" or (kind == "mask" and not any(label["counts"][1::2])):
        return None
    if kind in ("box", "extreme"):
        x0, y0, x1, y1 = shapes.box_of(label)
        kind, points = "rectangle", [[x0, y0], [x1, y1]]
    elif kind == "scribble":
        kind = "linestrip" if len(points) > 1 else "point"
    elif kind == "mask":
        x0, y0, x1, y1 = map(int, shapes.box_of(label))
        points = [[x0, y0], [x1 - 1, y1 - 1]]
        buffer = io.BytesIO()
        Image.fromarray(shapes.rasterise(label, label["size"])[y0:y1, x0:x1]).save(buffer, "PNG")
        extra = {"mask": base64.b64encode(buffer.getvalue()).decode()}
    about_ = {"label": name, "points": points, "group_id": label.get("group"), "description": ""}
    return about_ | {"shape_type": kind, "flags": {}} | extra
