"""Labels to and from the files of other tools: COCO JSON, PASCAL VOC (XML and PNG), labelme JSON.

What another tool has no place for (how many milliseconds a label took, four extreme clicks, a scribble) is
kept under the key or tag ``lecturekit``, which other tools pass over, so that a round trip loses nothing.
Where another tool changed the standard part (of an object in COCO, of a picture in VOC), that is believed.

Files may come from anywhere. One that is too large, not of its format, or names things that cannot be is
refused with ``ValueError``, which says what came and what was wanted, before anything is made of it.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as Writer

import numpy as np
from PIL import Image

from ...kit import files
from ...kit.checks import shortened
from ...kit.files import json_or_none, read_bytes, read_json, read_xml
from ...kit.storage import write_atomic
from .. import shapes
from ..boxes import BACKGROUND, IGNORE, clip_boxes

#: Pixels that the parts of objects in several pieces may add up to in one file.
MAX_DRAWN = 10**10
#: Our own part of a file.
OWN = "lecturekit"
#: Kinds with an extent, which other tools know; the others travel in our own part alone.
_WITH_EXTENT = ("box", "extreme", "polygon", "mask")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # Windows' devices


@dataclass(frozen=True)
class Labelled:
    """One picture's labels.

    Attributes:
        file_name: of the picture, relative, without ``..``.
        size: height and width.
        labels: dicts as in `lecturekit.labels.shapes`.
    """

    file_name: str
    size: tuple[int, int]
    labels: tuple[dict, ...]


def checked_picture(picture: Labelled, classes: int) -> Labelled:
    """The picture with clean copies of its labels, or ``ValueError`` naming what is wrong."""
    size = shapes.checked_size(picture.size)
    labels = tuple(shapes.checked(label, size, classes) for label in picture.labels)
    return Labelled(checked_path(picture.file_name), size, labels)


def checked_path(name: object) -> str:
    """A relative path of plain names with forward slashes, or ``ValueError``.

    Refused are absolute paths, drives, ``..``, backslashes, names that systems give a meaning, and texts that
    are empty or longer than 200 characters.
    """
    plain = isinstance(name, str) and 1 <= len(name) <= 200 and name.isprintable()
    parts = name.split("/") if plain else []
    odd = any(part in ("", ".", "..") or part[-1] in ". " or _RESERVED.fullmatch(part) for part in parts)
    if not plain or odd or re.search(r'[\\:*?"<>|]', name):
        raise ValueError(f"file name must be a plain relative path, got {shortened(name)}")
    return name


def checked_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes 1, 2, ...: different, printable, not blank, at most 254, or ``ValueError``."""
    names = tuple(classes) if isinstance(classes, list | tuple) else ()
    good = all(
        isinstance(n, str) and n.strip() == n and 1 <= len(n) <= 100 and n.isprintable() for n in names
    )
    if not good or not 1 <= len(names) < IGNORE or len(set(names)) < len(names):
        raise ValueError(
            f"classes must be 1 to 254 different names (background left out), got {shortened(classes)}"
        )
    return names


# ------------------------------------------------------------------ COCO


def to_coco(pictures: Iterable[Labelled], classes: Sequence[str]) -> dict:
    """Pictures and labels as COCO's "instances" JSON (Lin et al., ECCV 2014; cocodataset.org).

    Boxes are ``[x, y, width, height]``; polygons are lists of coordinates, masks uncompressed RLE. Classes,
    clicks and scribbles have no place there and go into the image's ``lecturekit``.

    Args:
        pictures: with labels of class indices 1..len(classes).
        classes: names, background left out.
    """
    names = checked_names(classes)
    content = {"info": {"description": "labels exported by lecturekit"}, "images": [], "annotations": []}
    content["categories"] = [{"id": k, "name": name, "supercategory": ""} for k, name in enumerate(names, 1)]
    for number, picture in enumerate((checked_picture(p, len(names)) for p in pictures), 1):
        placed = [label for label in picture.labels if _has_extent(label)]
        height, width = picture.size
        content["images"].append(
            {"id": number, "file_name": picture.file_name, "height": height, "width": width}
            | {OWN: [label for label in picture.labels if not _has_extent(label)]}
        )
        for label in placed:
            extra = {"id": len(content["annotations"]) + 1, "image_id": number, OWN: label}
            content["annotations"].append(extra | _coco_annotation(label, picture.size))
    return content


def from_coco(content: object) -> tuple[list[Labelled], tuple[str, ...]]:
    """Pictures and names of classes of COCO's "instances" JSON; classes are numbered by COCO's ids in order.

    An object of one polygon is a polygon, one of several a mask, one without segmentation a box. Regions of a
    crowd are left out with a warning: they are no objects.

    Raises:
        ValueError: naming the entry that is not in order.
    """
    images, annotations, categories = (_records(content, k) for k in ("images", "annotations", "categories"))
    images, numbers = _by_id(images, "images"), _by_id(categories, "categories")
    ids = sorted(numbers)
    names = checked_names([numbers[k].get("name") for k in ids])
    found: dict[int, list[dict]] = {k: [] for k in images}
    crowds, budget = 0, [MAX_DRAWN]
    for place, entry in enumerate(annotations):
        with _naming(f"annotations[{place}]"):
            _member(entry.get("image_id"), images, "image_id")
            _member(entry.get("category_id"), numbers, "category_id")
            if entry.get("iscrowd") in (1, True):
                crowds += 1
                continue
            size = _coco_size(images[entry["image_id"]])
            index = 1 + ids.index(entry["category_id"])
            found[entry["image_id"]].append(_coco_label(entry, size, index, len(names), place, budget))
    if crowds:
        warnings.warn(f"{crowds} regions of crowds were left out: they are no single objects", stacklevel=2)
    return [_coco_picture(images[k], found[k], len(names)) for k in images], names


def write_coco(path: str | Path, pictures: Iterable[Labelled], classes: Sequence[str]) -> Path:
    """Write `to_coco` to a file; the old file stands until the new one is complete."""
    text = json.dumps(to_coco(pictures, classes), allow_nan=False)
    if len(text) > files.MAX_BYTES:
        raise ValueError(
            f"pictures must fit a file of {files.MAX_BYTES} bytes, got {len(text)}: write several files"
        )
    return write_atomic(path, text)


def read_coco(path: str | Path) -> tuple[list[Labelled], tuple[str, ...]]:
    """`from_coco` of a file. Raises ``FileNotFoundError``, and ``ValueError`` with the file's name."""
    with _naming(Path(path).name):
        return from_coco(read_json(path))


def _has_extent(label: dict) -> bool:
    if label["kind"] == "mask":
        return any(label["counts"][1::2])
    return label["kind"] in _WITH_EXTENT


def _coco_annotation(label: dict, size: tuple[int, int]) -> dict:
    """COCO's part of an annotation."""
    x0, y0, x1, y1 = shapes.box_of(label)
    if label["kind"] in ("polygon", "mask"):
        area = int(shapes.rasterise(label, size).sum())
    else:
        area = (x1 - x0) * (y1 - y0)
    box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": area, "iscrowd": 0}
    return {"category_id": label["class_index"], "segmentation": _segmentation(label)} | box


def _segmentation(label: dict) -> list | dict:
    if label["kind"] == "mask":
        return {"size": label["size"], "counts": label["counts"]}
    return [[v for point in label["points"] for v in point]] if label["kind"] == "polygon" else []


def _unchanged(entry: dict, own: dict, index: int) -> bool:
    """Whether COCO's part of an annotation still says what our label says."""
    if own["class_index"] != index or not _has_extent(own) or entry.get("segmentation") != _segmentation(own):
        return False
    if own["kind"] in ("polygon", "mask"):
        return True
    x0, y0, x1, y1 = shapes.box_of(own)
    return entry.get("bbox") == [x0, y0, x1 - x0, y1 - y0]


def _coco_label(
    entry: dict, size: tuple[int, int], index: int, classes: int, place: int, budget: list[int]
) -> dict:
    """Our own label of an annotation if COCO's part is still what we wrote, else one made of COCO's part."""
    own = _own(entry.get(OWN), size, classes)
    if own and _unchanged(entry, own, index):
        return own
    about = {"id": f"coco-{place + 1}", "milliseconds": 0}
    about |= {key: own[key] for key in about if own}
    about["class_index"] = index
    return shapes.checked(about | _coco_shape(entry, size, budget), size, classes)


def _coco_shape(entry: dict, size: tuple[int, int], budget: list[int]) -> dict:
    """Kind and geometry of an annotation."""
    outline = entry.get("segmentation") or []
    if isinstance(outline, dict):
        counts = outline.get("counts")
        if isinstance(counts, str):
            counts = decode_counts(counts, size[0] * size[1] + 1)
        return {"kind": "mask", "size": outline.get("size"), "counts": counts}
    if not isinstance(outline, list):
        raise ValueError(f"segmentation must be polygons or RLE, got {shortened(outline)}")
    if outline:
        return _union([_ring(part, size) for part in outline], size, budget)
    x, y, width, height = _numbers("bbox", entry.get("bbox"), 4)
    return {"kind": "box", "points": _clipped([[x, y], [x + width, y + height]], size)}


def _ring(part: object, size: tuple[int, int]) -> list[list[float]]:
    """A polygon's points from COCO's flat list x, y, x, y, ..."""
    most = 2 * shapes.KINDS["polygon"][1] + 2
    if not isinstance(part, list) or not 6 <= len(part) <= most or len(part) % 2:
        raise ValueError(
            f"a polygon must be a list of 6 to {most} numbers, an even one, got {shortened(part)}"
        )
    return _clipped([list(pair) for pair in zip(part[::2], part[1::2], strict=True)], size)


def _union(rings: list[list], size: tuple[int, int], budget: list[int]) -> dict:
    """One polygon as it is, several as the mask of what any of them covers."""
    if len(rings) == 1:
        return {"kind": "polygon", "points": rings[0]}
    budget[0] -= len(rings) * size[0] * size[1]
    if budget[0] < 0:
        raise ValueError(f"objects in pieces must add up to at most {MAX_DRAWN} pixels, got more")
    mask = np.zeros(size, bool)
    for ring in rings:
        about = {"id": "part", "class_index": 1, "milliseconds": 0, "kind": "polygon", "points": ring}
        mask |= shapes.rasterise(shapes.checked(about, size, 1), size)
    return _mask_shape(mask)


def _mask_shape(mask: np.ndarray) -> dict:
    return {"kind": "mask", "size": list(mask.shape), "counts": shapes.encode_rle(mask)}


def _coco_picture(image: dict, labels: list[dict], classes: int) -> Labelled:
    size, others = _coco_size(image), image.get(OWN, [])
    if not isinstance(others, list):
        raise ValueError(f"an image's {OWN} must be a list, got {shortened(others)}")
    return checked_picture(Labelled(image.get("file_name"), size, (*labels, *others)), classes)


def _coco_size(image: dict) -> tuple[int, int]:
    return shapes.checked_size([image.get("height"), image.get("width")])


def decode_counts(text: str, most: int) -> list[int]:
    """Lengths of runs from COCO's compressed RLE: five bits a character, differences to the run before last.

    Args:
        text: the string in ``counts``.
        most: more runs than these are refused.

    >>> decode_counts("061M", 10)
    [0, 6, 1, 3]
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30 or len(counts) >= most:
            raise ValueError(
                f"counts must be COCO's compressed RLE of at most {most} runs, got {text[:40]!r}"
            )
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:  # the last character of this number
            value -= (code & 16) << (shift - 4)  # its sign
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError(f"counts must be COCO's compressed RLE, got one that breaks off: {text[-40:]!r}")
    return counts


# ------------------------------------------------------------------ PASCAL VOC


def write_voc(folder: str | Path, pictures: Iterable[Labelled], classes: Sequence[str]) -> list[Path]:
    """Write pictures' labels in the layout of PASCAL VOC (Everingham et al., IJCV 2010).

    ``Annotations/NAME.xml`` has a box for each object, in whole pixels, inclusive and counted from 1. Where a
    picture has outlines or masks, ``SegmentationClass/NAME.png`` and ``SegmentationObject/NAME.png`` show
    them, smaller ones in front, with 255 (void) where a box says that something is there and no outline says
    what. A picture's NAME is its file name without folders and ending.

    Returns:
        The files written.

    Raises:
        ValueError: a label or name that is not in order, or two pictures of one NAME; before anything is
            written.
    """
    names = checked_names(classes)
    checked = [checked_picture(picture, len(names)) for picture in pictures]
    stems = [checked_path(PurePosixPath(picture.file_name).stem) for picture in checked]
    if len({stem.lower() for stem in stems}) < len(stems):
        raise ValueError(f"pictures must have different names, got {shortened(sorted(stems))}")
    contents = [
        (f"{kind}/{stem}", data)
        for stem, picture in zip(stems, checked, strict=True)
        for kind, data in _voc_files(picture, names)
    ]
    return [write_atomic(Path(folder) / f"{name}{_ending(name)}", data) for name, data in contents]


def read_voc(
    folder: str | Path, classes: Sequence[str] | None = None
) -> tuple[list[Labelled], tuple[str, ...]]:
    """Read a folder in the layout of `write_voc`, written by it or by another tool.

    Object k of a picture is a mask if ``SegmentationObject`` shows it, else a box. (Masks of objects that the
    XML does not list are left alone.)

    Args:
        folder: with Annotations, and perhaps SegmentationClass and SegmentationObject.
        classes: names in the order of their numbers. None: those of our own export, or else those that occur,
            by the alphabet.

    Returns:
        Pictures by the alphabet, and the names of the classes.

    Raises:
        FileNotFoundError: there is no folder Annotations.
        ValueError: with the name of the file that is not in order.
    """
    folder = Path(folder)
    if not (folder / "Annotations").is_dir():
        raise FileNotFoundError(f"folder must hold VOC's Annotations, got {folder.name}")
    paths = sorted((folder / "Annotations").glob("*.xml"))
    names = checked_names(_voc_names(paths) if classes is None else classes)
    return [_voc_picture(folder, path, names) for path in paths], names


def _voc_files(picture: Labelled, names: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """Folders with endings missing, and contents, of a picture's files."""
    maps = _voc_maps(picture)
    root = Writer.Element("annotation")
    height, width = picture.size
    _texts(root, {"filename": PurePosixPath(picture.file_name).name, "segmented": int(maps is not None)})
    _texts(Writer.SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    for name, box in _voc_objects(picture, names):
        thing = Writer.SubElement(root, "object")
        _texts(thing, {"name": name, "pose": "Unspecified", "truncated": 0, "difficult": 0})
        _texts(Writer.SubElement(thing, "bndbox"), box)
    own = {"file_name": picture.file_name, "classes": names, "labels": picture.labels}
    _texts(root, {OWN: json.dumps(own, allow_nan=False)})
    Writer.indent(root)
    files = [("Annotations", Writer.tostring(root, encoding="utf-8", xml_declaration=True))]
    return files + [(kind, _png(map)) for kind, map in zip(_MAPS, maps or (), strict=False)]


def _ending(name: str) -> str:
    return ".xml" if name.startswith("Annotations/") else ".png"


_MAPS = ("SegmentationClass", "SegmentationObject")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _texts(parent: Writer.Element, entries: dict[str, object]) -> None:
    for tag, value in entries.items():
        Writer.SubElement(parent, tag).text = str(value)


def _voc_objects(picture: Labelled, names: tuple[str, ...]) -> list[tuple[str, dict[str, int]]]:
    """Name and box of each object, the box inclusive, counted from 1, at least one pixel large."""
    objects = []
    for label in filter(_has_extent, picture.labels):
        x0, y0, x1, y1 = clip_boxes([shapes.box_of(label)], picture.size)[0].tolist()
        x0, y0 = min(x0, picture.size[1] - 1), min(y0, picture.size[0] - 1)
        box = dict(zip(_SIDES, (x0 + 1, y0 + 1, max(x1, x0 + 1), max(y1, y0 + 1)), strict=True))
        objects.append((names[label["class_index"] - 1], box))
    return objects


def _voc_maps(picture: Labelled) -> tuple[np.ndarray, np.ndarray] | None:
    """Class and object maps, uint8 ``(H, W)``; None where no object is drawn to the pixel."""
    labels = [label | {"class_index": k} for k, label in enumerate(filter(_has_extent, picture.labels), 1)]
    drawn = [label for label in labels if label["kind"] in ("polygon", "mask")]
    if not drawn:
        return None
    if len(labels) >= IGNORE:
        raise ValueError(f"objects of a picture with masks must be at most 254, got {len(labels)}")
    objects = shapes.label_map(drawn, picture.size)
    vague = [label for label in labels if label["kind"] in ("box", "extreme")]
    objects[(objects == BACKGROUND) & (shapes.label_map(vague, picture.size) != BACKGROUND)] = IGNORE
    numbers = [BACKGROUND, *(label["class_index"] for label in picture.labels if _has_extent(label))]
    return np.array(numbers + [IGNORE] * (256 - len(numbers)), np.uint8)[objects], objects


def _png(map: np.ndarray) -> bytes:
    """A label map as PNG in VOC's colours, which spread a number's bits over red, green and blue."""
    colours = [sum((n >> (3 * b + c) & 1) << (7 - b) for b in range(3)) for n in range(256) for c in range(3)]
    picture, buffer = Image.fromarray(map), io.BytesIO()
    picture.putpalette(colours)
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _voc_names(paths: Sequence[Path]) -> Sequence[str]:
    """Names of the classes as our own export tells them, or as they occur."""
    told, found = [], set()
    for path in paths:
        with _naming(path.name):
            root = read_xml(path)
        own = json_or_none(root.findtext(OWN))
        told.append(own.get("classes") if isinstance(own, dict) else None)
        found |= {_text(thing, "name") for thing in root.iter("object")}
    return told[0] if told and told[0] and all(t == told[0] for t in told) else sorted(found)


def _voc_picture(folder: Path, path: Path, names: tuple[str, ...]) -> Labelled:
    with _naming(path.name):
        root = read_xml(path)
        size = shapes.checked_size([_whole(_text(root, f"size/{side}")) for side in ("height", "width")])
        maps = _read_maps(folder, path.stem, size)
        objects = [
            (_text(thing, "name"), {side: _number(_text(thing, f"bndbox/{side}")) for side in _SIDES})
            for thing in root.findall("object")
        ]
        own = _own_picture(root, size, names)
        if own and objects == _voc_objects(own, names) and _same_maps(maps, _voc_maps(own)):
            return own
        labels = [_voc_label(k, *thing, size, names) for k, thing in enumerate(objects, 1)]
        file = _text(root, "filename") or f"{path.stem}.jpg"
        return checked_picture(Labelled(file, size, tuple(_with_masks(labels, maps, len(names)))), len(names))


def _own_picture(root: Writer.Element, size: tuple[int, int], names: tuple[str, ...]) -> Labelled | None:
    """The picture as our own export has it, None where that is absent, damaged, or of other classes."""
    own = json_or_none(root.findtext(OWN))
    if not isinstance(own, dict) or own.get("classes") != list(names):
        return None
    try:
        return checked_picture(Labelled(own["file_name"], size, tuple(own["labels"])), len(names))
    except (ValueError, KeyError, TypeError):
        return None


def _voc_label(k: int, name: str, box: dict, size: tuple[int, int], names: tuple[str, ...]) -> dict:
    """A box, half open and from 0, of VOC's, inclusive and from 1."""
    _member(name, names, f"object {k}: name")
    corners = _clipped([[box["xmin"] - 1, box["ymin"] - 1], [box["xmax"], box["ymax"]]], size)
    about = {"id": f"voc-{k}", "class_index": 1 + names.index(name), "milliseconds": 0}
    return shapes.checked(about | {"kind": "box", "points": corners}, size, len(names))


def _with_masks(labels: list[dict], maps: tuple, classes: int) -> list[dict]:
    """Labels, masks in the place of boxes where the object map shows the object."""
    class_map, object_map = maps
    if object_map is None:
        return labels
    found = []
    for k, label in enumerate(labels, 1):
        mask = object_map == k
        said = set(np.unique(class_map[mask]).tolist()) if class_map is not None else set()
        if said - {label["class_index"], IGNORE}:
            raise ValueError(
                f"object {k}: SegmentationClass must give it number {label['class_index']}, got "
                f"{sorted(said)} (are the classes given in the order of their numbers?)"
            )
        about = {key: label[key] for key in ("id", "class_index", "milliseconds")}
        found.append(shapes.checked(about | _mask_shape(mask), mask.shape, classes) if mask.any() else label)
    return found


def _read_maps(folder: Path, stem: str, size: tuple[int, int]) -> tuple:
    """Class and object map of a picture, None for one that is missing."""
    maps = []
    for file in (folder / kind / f"{stem}.png" for kind in _MAPS):
        with _naming(file.parent.name):
            maps.append(_map(read_bytes(file), size) if file.exists() else None)
    return tuple(maps)


def _map(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """A PNG of one byte a pixel as uint8 ``(H, W)``; its size is checked before it is unpacked."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != size[::-1] or picture.mode not in ("P", "L", "1"):
                raise ValueError(
                    f"PNG must be {size[1]} x {size[0]} with one number a pixel, got "
                    f"{picture.size[0]} x {picture.size[1]}, mode {picture.mode}"
                )
            return np.array(picture).astype(np.uint8)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"this is no sound PNG: {type(error).__name__}") from None


def _same_maps(found: tuple, made: tuple | None) -> bool:
    made = made or (None, None)
    return all(np.array_equal(a, b) if b is not None else a is None for a, b in zip(found, made, strict=True))


def _text(element: Writer.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


# ------------------------------------------------------------------ labelme


def read_labelme(path: str | Path, classes: Sequence[str] | None = None) -> tuple[Labelled, tuple[str, ...]]:
    """Read one picture's file of labelme (github.com/wkentaro/labelme).

    Polygons, rectangles, points, masks and flags (classes of the picture) become our own kinds, lines become
    scribbles one pixel wide and circles polygons. The folders in its ``imagePath`` are dropped.

    Args:
        path: of the JSON file.
        classes: names in the order of their numbers. None: those that occur, by the alphabet.

    Raises:
        FileNotFoundError, ValueError: the latter with the name of the file and what is not in order.
    """
    with _naming(Path(path).name):
        return from_labelme(read_json(path), classes)


def from_labelme(content: object, classes: Sequence[str] | None = None) -> tuple[Labelled, tuple[str, ...]]:
    """As `read_labelme`, of what the file holds."""
    things = _records(content, "shapes")
    size = shapes.checked_size([content.get("imageHeight"), content.get("imageWidth")])
    flags = content.get("flags") or {}
    flagged = [name for name, up in flags.items() if up is True] if isinstance(flags, dict) else []
    found = [*(thing.get("label") for thing in things), *flagged]
    if classes is None:
        classes = sorted({name for name in found if isinstance(name, str)})
    names = checked_names(classes) if classes else ()
    labels = []
    for k, name in enumerate(found, 1):
        with _naming(f"shapes[{k - 1}]" if k <= len(things) else "flags"):
            _member(name, names, "label")
            about = {"id": f"labelme-{k}", "class_index": 1 + names.index(name), "milliseconds": 0}
            shape = _labelme_shape(things[k - 1], size) if k <= len(things) else {"kind": "image_class"}
            labels.append(shapes.checked(about | shape, size, len(names)))
    file = re.split(r"[\\/]", str(content.get("imagePath")))[-1]
    return checked_picture(Labelled(file, size, tuple(labels)), len(names)), names


def _labelme_shape(shape: dict, size: tuple[int, int]) -> dict:
    """Kind and geometry of one of labelme's shapes."""
    kind = shape.get("shape_type", "polygon")
    points = shape.get("points")
    if not isinstance(points, list) or not 1 <= len(points) <= shapes.KINDS["polygon"][1]:
        raise ValueError(f"points must be a list of 1 to 10000, got {shortened(points)}")
    pairs = [_numbers("a point", point, 2) for point in points]
    if kind == "mask":
        return _labelme_mask(shape.get("mask"), pairs, size)
    if kind == "circle" and len(pairs) == 2:
        return {"kind": "polygon", "points": _circle(*pairs, size)}
    pairs = _clipped(pairs, size)
    if kind == "rectangle" and len(pairs) == 2:
        return {"kind": "box", "points": [[f(p[c] for p in pairs) for c in (0, 1)] for f in (min, max)]}
    if kind in ("polygon", "point"):
        return {"kind": kind, "points": pairs}
    if kind in ("line", "linestrip"):
        return {"kind": "scribble", "points": pairs, "width": 1.0}
    raise ValueError(f"shape_type must be one that we know, with points to match, got {shortened(kind)}")


def _circle(centre: list[float], rim: list[float], size: tuple[int, int]) -> list[list[float]]:
    """72 points of a circle, as far as they lie in the picture."""
    radius = math.hypot(rim[0] - centre[0], rim[1] - centre[1])
    turns = [2 * math.pi * k / 72 for k in range(72)]
    points = np.array([[centre[0] + radius * math.cos(t), centre[1] + radius * math.sin(t)] for t in turns])
    return points.clip(0, [size[1], size[0]]).tolist()


def _labelme_mask(data: object, corners: list[list[float]], size: tuple[int, int]) -> dict:
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
    mask[y0 : y1 + 1, x0 : x1 + 1] = _map(png, (y1 + 1 - y0, x1 + 1 - x0)) > 0
    return _mask_shape(mask)


# ------------------------------------------------------------------ what all of them need


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """A complaint from inside gets the place in front."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _records(content: object, key: str) -> list[dict]:
    """The list of dicts under a key of a JSON object."""
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{key} must be a list of JSON objects, got {shortened(found)}")
    return found


def _by_id(entries: list[dict], what: str) -> dict[int, dict]:
    """Entries by their id, which must be a whole number and no other's."""
    ids = [entry.get("id") for entry in entries]
    if not all(type(k) is int for k in ids) or len(set(ids)) < len(ids):
        raise ValueError(f"ids of {what} must be different whole numbers, got {shortened(ids)}")
    return dict(zip(ids, entries, strict=True))


def _member(value: object, wanted: Iterable, what: str) -> None:
    if not isinstance(value, int | str) or value not in wanted:
        raise ValueError(f"{what} must be one that the file lists, got {shortened(value)}")


def _own(value: object, size: tuple[int, int], classes: int) -> dict | None:
    """Our own label if there is a sound one."""
    try:
        return shapes.checked(value, size, classes)
    except ValueError:
        return None


def _numbers(name: str, values: object, count: int) -> list[float]:
    """Finite numbers of moderate size."""
    good = isinstance(values, list) and len(values) == count
    if not good or not all(type(v) in (int, float) and abs(v) <= shapes.MAX_PIXELS for v in values):
        raise ValueError(f"{name} must be {count} finite numbers, got {shortened(values)}")
    return [float(v) for v in values]


def _clipped(points: list, size: tuple[int, int]) -> list[list[float]]:
    """Points that lie outside the picture by a pixel at most, as rounding has it, brought to its border."""
    pairs, most = [_numbers("a point", point, 2) for point in points], (size[1], size[0])
    return [
        [min(max(v, 0.0), float(m)) if -1 <= v <= m + 1 else v for v, m in zip(pair, most, strict=True)]
        for pair in pairs
    ]


def _number(text: str) -> float:
    """A number of an XML file, whole if it is."""
    if not re.fullmatch(r"[+-]?\d{1,9}(?:\.\d{1,20})?", text):
        raise ValueError(f"a box must have numbers, got {text[:40]!r}")
    return float(text)


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(f"height and width must be whole numbers, got {text[:40]!r}")
    return int(text)
