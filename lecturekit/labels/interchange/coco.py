"""COCO's "instances" JSON (Lin et al., ECCV 2014; cocodataset.org)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...kit import files
from ...kit.checks import choice, shortened
from ...kit.storage import write_atomic
from .. import shapes
from ._common import (
    OWN,
    Labelled,
    PixelBudget,
    Read,
    Sieve,
    about,
    checked_name,
    checked_names,
    checked_picture,
    clipped,
    has_extent,
    member,
    naming,
    numbers,
    record,
    records,
    safe_path,
    union,
)

Entries = dict[int, tuple[int, dict[str, Any]]]


def to_coco(pictures: Iterable[Labelled], classes: Sequence[str]) -> dict[str, Any]:
    """Pictures and labels as COCO's JSON.

    Boxes are ``[x, y, width, height]``; polygons are lists of coordinates, masks uncompressed RLE. A box
    without an outline gets its own four corners as one, for COCO's evaluation of segments fails without.
    Classes, clicks and scribbles have no place there and go into the image's ``lecturekit``.

    Args:
        pictures: with labels of class indices 1..len(classes).
        classes: names, background left out.

    Raises:
        ValueError: a label or name that is not in order.

    Example:
        >>> box = {"id": "a", "kind": "box", "class_index": 1, "points": [[1, 0], [3, 2]], "milliseconds": 0}
        >>> to_coco([Labelled("a.jpg", (4, 6), (box,))], ["cat"])["annotations"][0]["bbox"]
        [1.0, 0.0, 2.0, 2.0]
    """
    names = checked_names(classes)
    content: dict[str, Any] = {"info": {"description": "labels exported by lecturekit"}, "images": []}
    content["categories"] = [{"id": k, "name": name, "supercategory": ""} for k, name in enumerate(names, 1)]
    content["annotations"] = []
    for number, picture in enumerate((checked_picture(p, len(names)) for p in pictures), 1):
        height, width = picture.size
        content["images"].append(
            {"id": number, "file_name": picture.file_name, "height": height, "width": width}
            | {OWN: [label for label in picture.labels if not has_extent(label)]}
        )
        for label in filter(has_extent, picture.labels):
            extra = {"id": len(content["annotations"]) + 1, "image_id": number, OWN: label}
            content["annotations"].append(extra | _annotation(label, picture.size))
    return content


def from_coco(content: object, *, crowds: str = "keep", on_error: str = "raise") -> Read[list[Labelled]]:
    """Pictures and names of classes of COCO's JSON; classes are numbered by COCO's ids in order.

    An object of one polygon is a polygon, one of several a mask, one without segmentation a box. A category
    that nothing uses and that is the supercategory of others is no class (Roboflow writes one).

    Args:
        content: what the file holds.
        crowds: what becomes of annotations with ``iscrowd``, which mark a group of objects in COCO's own
            files and any mask in CVAT's: ``"keep"`` as labels like all others, ``"mark"`` as labels with
            ``crowd`` True, or ``"drop"``. A warning counts them.
        on_error: ``"raise"``, or ``"skip"``: leave out the entries that are not in order.

    Returns:
        Pictures and names, which unpack; beside them ``report``, with what was left out and why.

    Raises:
        ValueError: naming the entry that is not in order; with ``"skip"`` only where nothing can be read.
    """
    choice("crowds", crowds, ("keep", "mark", "drop"))
    sieve = Sieve(on_error)
    images = _by_id(content, "images", sieve)
    annotations = records(content, "annotations")
    categories = _by_id(content, "categories", sieve)
    pictures: dict[int, tuple[str, tuple[int, int]]] = {}
    for key, (place, image) in images.items():
        with sieve.entry(f"images[{place}]"):
            size = shapes.checked_size([image.get("height"), image.get("width")])
            pictures[key] = safe_path(image.get("file_name")), size
    names, indices = _classes(categories, annotations, sieve)
    reader = _Reader(pictures, indices, crowds, sieve)
    found: dict[int, list[dict[str, Any]]] = {key: [] for key in pictures}
    for place, entry in enumerate(annotations):
        with sieve.entry(f"annotations[{place}]"):
            label = reader.label(record(entry), f"coco-{place + 1}")
            if label:
                found[entry["image_id"]].append(label)
    reader.warn(len(annotations))
    for key, (place, image) in ((k, images[k]) for k in pictures):
        with sieve.entry(f"images[{place}]"):
            found[key] += _others(image, pictures[key][1], len(names), sieve)
    return Read([Labelled(*pictures[k], tuple(found[k])) for k in pictures], names, sieve)


def write_coco(path: str | Path, pictures: Iterable[Labelled], classes: Sequence[str]) -> Path:
    """Write `to_coco` to a file; the old file stands until the new one is complete.

    Args:
        path: of the file.
        pictures: with labels of class indices 1..len(classes).
        classes: names, background left out.

    Raises:
        ValueError: a label or name that is not in order, or a file that would be too large to be read.

    Example:
        >>> import tempfile
        >>> point = {"id": "a", "kind": "point", "class_index": 1, "points": [[1, 2]], "milliseconds": 90}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_coco(f"{folder}/labels.json", [Labelled("a.jpg", (4, 6), (point,))], ["cat"])
        ...     (picture,), classes = read_coco(path)
        >>> picture.labels[0]["points"], classes
        ([[1.0, 2.0]], ('cat',))
    """
    text = json.dumps(to_coco(pictures, classes), allow_nan=False)
    if len(text) > files.MAX_BYTES:
        raise ValueError(
            f"pictures must fit a file of {files.MAX_BYTES} bytes, got {len(text)}: write several files"
        )
    return write_atomic(path, text)


def read_coco(path: str | Path, *, crowds: str = "keep", on_error: str = "raise") -> Read[list[Labelled]]:
    """`from_coco` of a file.

    Args:
        path: of the file.
        crowds: what becomes of ``iscrowd``: ``"keep"``, ``"mark"`` or ``"drop"``.
        on_error: ``"raise"``, or ``"skip"``: leave out the entries that are not in order.

    Returns:
        Pictures and names, which unpack; beside them ``report``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: with the file's name and what is not in order.

    Example:
        >>> import tempfile
        >>> content = {
        ...     "images": [{"id": 1, "file_name": "a.jpg", "height": 4, "width": 6}],
        ...     "categories": [{"id": 1, "name": "cat"}],
        ...     "annotations": [
        ...         {"image_id": 1, "category_id": 1, "bbox": [1, 0, 2, 2]},
        ...         {"image_id": 1, "category_id": 1, "bbox": [1, 0, 0, 2]},
        ...     ],
        ... }
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "labels.json"
        ...     _ = path.write_text(json.dumps(content))
        ...     found = read_coco(path, on_error="skip")
        >>> pictures, classes = found
        >>> found.report.kept, found.report.left_out[0].place
        (1, 'annotations[1]')
    """
    with naming(Path(path).name):
        return from_coco(files.read_json(path), crowds=crowds, on_error=on_error)


def _by_id(content: object, key: str, sieve: Sieve) -> Entries:
    """Places and entries of a list by their id, which must be a whole number and no other's."""
    found: Entries = {}
    for place, entry in enumerate(records(content, key)):
        with sieve.entry(f"{key}[{place}]"):
            number = record(entry).get("id")
            if type(number) is not int or number in found:
                raise ValueError(f"ids of {key} must be different whole numbers, got {shortened(number)}")
            found[number] = place, entry
    return found


def _classes(categories: Entries, annotations: list, sieve: Sieve) -> tuple[tuple[str, ...], dict[int, int]]:
    """Names of the classes, and the number of each category."""
    used = {
        e.get("category_id") for e in annotations if isinstance(e, dict) and type(e.get("category_id")) is int
    }
    above = [(key, entry.get("supercategory")) for key, (_, entry) in categories.items()]
    listed = [entry.get("name") for _, entry in categories.values()]
    names: dict[str, int] = {}
    for key in sorted(categories):
        place, entry = categories[key]
        name = entry.get("name")
        below = any(other == name and k != key for k, other in above)
        if key not in used and below and entry.get("supercategory") not in listed:
            sieve.note(f"the category {shortened(name)} is only the name of a group of others")
            continue
        with sieve.entry(f"categories[{place}]"):
            name = checked_name(name)
            if name in names:
                raise ValueError(f"classes must be different names, got {shortened(name)} more than once")
            names[name] = key
    return checked_names(list(names)), {key: index for index, key in enumerate(names.values(), 1)}


class _Reader:
    """Annotations -> labels."""

    def __init__(self, pictures: dict, indices: dict[int, int], crowds: str, sieve: Sieve):
        self.pictures, self.indices, self.crowds, self.sieve = pictures, indices, crowds, sieve
        self.budget = PixelBudget()
        self.crowd = 0

    def label(self, entry: dict[str, Any], name: str) -> dict[str, Any] | None:
        """Our own label if COCO's part is still what we wrote, else one made of COCO's part."""
        size = self.pictures[member(entry.get("image_id"), self.pictures, "image_id")][1]
        index = self.indices[member(entry.get("category_id"), self.indices, "category_id")]
        crowd = entry.get("iscrowd") in (1, True)
        self.crowd += crowd
        if crowd and self.crowds == "drop":
            return None
        if entry.get("keypoints"):
            self.sieve.note("the keypoints of an annotation are not read")
        own = _own(entry.get(OWN), size, len(self.indices))
        if own and _unchanged(entry, own, index):
            return own
        if own and own["kind"] in ("box", "extreme") and entry.get("segmentation") == _segmentation(own):
            entry = entry | {"segmentation": []}  # the corners are ours: the box has been moved
        kept = {key: own[key] for key in ("id", "milliseconds", "group", "crowd") if own and key in own}
        if crowd and self.crowds == "mark":
            kept["crowd"] = True
        return shapes.checked(about(name, index) | kept | self._shape(entry, size), size, len(self.indices))

    def warn(self, total: int) -> None:
        """Say how many annotations have ``iscrowd``."""
        if self.crowd:
            done = {"keep": "kept like all others", "mark": "kept and marked", "drop": "left out"}
            text = f"{self.crowd} of {total} annotations have iscrowd and were {done[self.crowds]}"
            warnings.warn(text, stacklevel=3)

    def _shape(self, entry: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
        """Kind and geometry of an annotation."""
        outline = entry.get("segmentation") or []
        if isinstance(outline, dict):
            counts = outline.get("counts")
            if isinstance(counts, str):
                counts = decode_counts(counts, size[0] * size[1] + 1)
            return {"kind": "mask", "size": outline.get("size"), "counts": counts}
        if not isinstance(outline, list):
            raise ValueError(f"segmentation must be polygons or RLE, got {shortened(outline)}")
        if len(outline) == 1:
            return union([_ring(outline[0], size)], size, self.budget)
        if outline:
            return union(self._rings(outline, size), size, self.budget)
        x, y, width, height = numbers("bbox", entry.get("bbox"), 4)
        return {"kind": "box", "points": clipped([[x, y], [x + width, y + height]], size)}

    def _rings(self, outline: list, size: tuple[int, int]) -> list[list[list[float]]]:
        """The pieces of an object that are in order."""
        rings = []
        for k, part in enumerate(outline):
            with self.sieve.entry(f"segmentation[{k}]"):
                piece = about("piece", 1) | {"kind": "polygon", "points": _ring(part, size)}
                rings.append(shapes.checked(piece, size, 1)["points"])
        if not rings:
            raise ValueError("segmentation must have a piece that is in order, got none")
        return rings


def _annotation(label: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """COCO's part of an annotation."""
    x0, y0, x1, y1 = shapes.box_of(label)
    area = (x1 - x0) * (y1 - y0)
    if label["kind"] == "polygon":
        area = sum(shapes.union_rle([label["points"]], size)[1::2])
    elif label["kind"] == "mask":
        area = sum(label["counts"][1::2])
    box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": area, "iscrowd": int(label.get("crowd", False))}
    return {"category_id": label["class_index"], "segmentation": _segmentation(label)} | box


def _segmentation(label: dict[str, Any]) -> list | dict:
    if label["kind"] == "mask":
        return {"size": label["size"], "counts": label["counts"]}
    if label["kind"] == "polygon":
        return [[v for point in label["points"] for v in point]]
    x0, y0, x1, y1 = shapes.box_of(label)
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def _unchanged(entry: dict[str, Any], own: dict[str, Any], index: int) -> bool:
    """Whether COCO's part of an annotation still says what our label says."""
    if own["class_index"] != index or not has_extent(own) or entry.get("segmentation") != _segmentation(own):
        return False
    if own["kind"] in ("polygon", "mask"):
        return True
    x0, y0, x1, y1 = shapes.box_of(own)
    return entry.get("bbox") == [x0, y0, x1 - x0, y1 - y0]


def _own(value: object, size: tuple[int, int], classes: int) -> dict[str, Any] | None:
    """Our own label if there is a sound one."""
    try:
        return shapes.checked(value, size, classes)
    except ValueError:
        return None


def _others(image: dict[str, Any], size: tuple[int, int], classes: int, sieve: Sieve) -> list:
    """Our own labels that COCO has no place for."""
    listed, found = image.get(OWN, []), []
    if not isinstance(listed, list):
        raise ValueError(f"an image's {OWN} must be a list, got {shortened(listed)}")
    for k, label in enumerate(listed):
        with sieve.entry(f"{OWN}[{k}]"):
            found.append(shapes.checked(label, size, classes))
    return found


def _ring(part: object, size: tuple[int, int]) -> list[list[float]]:
    """A polygon's points from COCO's flat list x, y, x, y, ..."""
    most = 2 * shapes.KINDS["polygon"][1] + 2
    if not isinstance(part, list) or not 6 <= len(part) <= most or len(part) % 2:
        raise ValueError(
            f"a polygon must be a list of 6 to {most} numbers, an even one, got {shortened(part)}"
        )
    return clipped([list(pair) for pair in zip(part[::2], part[1::2], strict=True)], size)


def decode_counts(text: str, most: int) -> list[int]:
    """Lengths of runs from COCO's compressed RLE: five bits a character, differences to the run before last.

    Args:
        text: the string in ``counts``.
        most: more runs than these are refused.

    Raises:
        ValueError: the text is no such string.

    Example:
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
