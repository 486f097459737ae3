"""CVAT's XML "for images 1.1" (docs.cvat.ai, formats)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ...kit.checks import shortened
from ...kit.files import json_or_none, read_xml
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
    clipped,
    index_of,
    naming,
    number,
    own_part,
    own_picture,
    safe_path,
    told_names,
    whole_number,
)
from .labelme import ellipse

_SHAPES = {"box", "polygon", "polyline", "points", "mask", "ellipse", "tag"}
#: What stands in an image and is no label of a kind that we have.
_OTHERS = {"cuboid", "skeleton"}


def write_cvat(path: str | Path, pictures: Iterable[Labelled], classes: Sequence[str]) -> Path:
    """Write pictures' labels as one XML file.

    Extreme points become boxes and scribbles polylines, for CVAT knows neither; classes of the picture become
    tags, masks CVAT's own runs. What CVAT has no place for goes into an element ``lecturekit`` of each image.

    Args:
        path: of the file.
        pictures: with labels of class indices 1..len(classes).
        classes: names, background left out.

    Raises:
        ValueError: a label or name that is not in order; before anything is written.

    Example:
        >>> import tempfile
        >>> box = {"id": "a", "kind": "box", "class_index": 1, "points": [[1, 0], [3, 2]], "milliseconds": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_cvat(f"{folder}/labels.xml", [Labelled("a.jpg", (4, 6), (box,))], ["cat"])
        ...     (picture,), classes = read_cvat(path)
        >>> picture.labels[0]["points"], classes
        ([[1.0, 0.0], [3.0, 2.0]], ('cat',))
    """
    names = checked_names(classes)
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    listed = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for name in names:
        SubElement(SubElement(listed, "label"), "name").text = name
    for k, picture in enumerate(checked_picture(p, len(names)) for p in pictures):
        height, width = picture.size
        image = SubElement(
            root, "image", id=str(k), name=picture.file_name, width=str(width), height=str(height)
        )
        image.extend(_elements(picture, names))
        SubElement(image, OWN).text = json.dumps(own_part(picture, names), allow_nan=False)
    ElementTree.indent(root)
    return write_atomic(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def read_cvat(
    path: str | Path, classes: Sequence[str] | None = None, *, on_error: str = "raise"
) -> Read[list[Labelled]]:
    """Read CVAT's XML for images: boxes, polygons, polylines, points, masks, ellipses and tags.

    Boxes that are turned become polygons, polylines scribbles one pixel wide, ellipses polygons of 72 points,
    tags classes of the picture, and each of several points a label of its own. A ``group_id`` is kept.

    Args:
        path: of the XML file.
        classes: names in the order of their numbers. None: those that the file lists, and others that occur.
        on_error: ``"raise"``, or ``"skip"``: leave out the images and shapes that are not in order.

    Returns:
        Pictures and names, which unpack; beside them ``report``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: with the file's name and what is not in order.
    """
    path, sieve, pictures = Path(path), Sieve(on_error), []
    with naming(path.name):
        root = read_xml(path)
        if root.tag != "annotations":
            raise ValueError(f"XML must have annotations at its root, got {shortened(root.tag)}")
        images = root.findall("image")
        if root.find("track") is not None:
            raise ValueError("XML must be CVAT's for images, got tracks of a video")
        names = checked_names(classes) if classes is not None else _names(root, images)
        for k, image in enumerate(images):
            with sieve.entry(f"image {image.get('id', str(k))[:20]}"):
                pictures.append(_picture(image, names, sieve))
        return Read(pictures, names, sieve)


def _names(root: Element, images: list[Element]) -> tuple[str, ...]:
    """Names of the classes as the file lists them, and others that occur."""
    listed = [(label.findtext("name") or "").strip() for label in root.iterfind("meta//labels/label")]
    occur = ((thing.get("label") or "").strip() for image in images for thing in image)
    return told_names([{"classes": list(dict.fromkeys(listed))}], occur)


def _picture(image: Element, names: tuple[str, ...], sieve: Sieve) -> Labelled:
    """A picture as our own export has it, if CVAT's part is still what we wrote, or else of CVAT's part."""
    size = shapes.checked_size([whole_number(image.get(side), side) for side in ("height", "width")])
    file = safe_path(image.get("name"))
    own = own_picture(json_or_none(image.findtext(OWN)), size, names)
    things = [thing for thing in image if thing.tag in _SHAPES]
    if own and [_said(thing) for thing in things] == [_said(made) for made in _elements(own, names)]:
        return own
    for thing in image:
        if thing.tag in _OTHERS or (thing.tag in _SHAPES and thing.find("attribute") is not None):
            what = f"<{thing.tag}>" if thing.tag in _OTHERS else "an <attribute> of a shape"
            sieve.note(f"{what} is not read")
    labels = []
    for k, thing in enumerate(things, 1):
        with sieve.entry(f"shape {k} ({thing.tag})"):
            index = index_of(thing.get("label"), names, "label")
            group = thing.get("group_id")
            more = about(f"cvat-{k}", index) | ({"group": whole_number(group, "group_id")} if group else {})
            for part, shape in enumerate(_geometry(thing, size)):
                name = {"id": f"cvat-{k}-{part + 1}"} if part else {}
                labels.append(shapes.checked(more | name | shape, size, len(names)))
    return Labelled(file, size, tuple(labels))


def _said(thing: Element) -> tuple[str, dict[str, str]]:
    return thing.tag, dict(thing.attrib)


def _geometry(thing: Element, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Kind and geometry of a shape, or of its points."""
    if thing.tag == "tag":
        return [{"kind": "image_class"}]
    if thing.tag == "mask":
        return [_mask(thing, size)]
    turn = number(thing.get("rotation", "0"), "rotation")
    if thing.tag == "ellipse":
        cx, cy, rx, ry = (number(thing.get(key), key) for key in ("cx", "cy", "rx", "ry"))
        return [{"kind": "polygon", "points": ellipse((cx, cy), (rx, ry), size, turn)}]
    if thing.tag == "box":
        x0, y0, x1, y1 = (number(thing.get(key), key) for key in ("xtl", "ytl", "xbr", "ybr"))
        if turn % 360:
            return [{"kind": "polygon", "points": clipped(_turned(x0, y0, x1, y1, turn), size)}]
        return [{"kind": "box", "points": clipped([[x0, y0], [x1, y1]], size)}]
    words = [pair.split(",") for pair in (thing.get("points") or "").split(";")]
    if any(len(pair) != 2 for pair in words):
        raise ValueError(f"points must be pairs x,y;x,y, got {shortened(thing.get('points'))}")
    points = clipped([[number(x), number(y)] for x, y in words], size)
    if thing.tag == "points":
        return [{"kind": "point", "points": [point]} for point in points]
    if thing.tag == "polygon":
        return [{"kind": "polygon", "points": points}]
    return [{"kind": "scribble", "points": points, "width": 1.0}]


def _turned(x0: float, y0: float, x1: float, y1: float, degrees: float) -> list[list[float]]:
    """Corners of a box that is turned clockwise about its middle."""
    middle, angle = np.array([x0 + x1, y0 + y1]) / 2, np.radians(degrees)
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) - middle
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (corners @ turn + middle).tolist()


def _mask(thing: Element, size: tuple[int, int]) -> dict[str, Any]:
    """A mask of CVAT's runs: along the rows of its own box, zeros first."""
    left, top, width, height = (
        whole_number(thing.get(key), key) for key in ("left", "top", "width", "height")
    )
    if width < 1 or height < 1 or left + width > size[1] or top + height > size[0]:
        raise ValueError(
            f"a mask must lie in the picture of size {size}, got {dict(list(thing.attrib.items())[:8])}"
        )
    runs = [whole_number(word.strip()) for word in (thing.get("rle") or "").split(",")]
    columns = shapes.decode_rle(runs, [width, height])  # our runs go down columns: turned, these do, too
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = columns.T
    return {"kind": "mask", "size": list(size), "counts": shapes.encode_rle(mask)}


def _elements(picture: Labelled, names: tuple[str, ...]) -> list[Element]:
    """The shapes of a checked picture."""
    made = []
    for label in picture.labels:
        shape = _shape(label)
        if shape:
            tag, attributes = shape
            common = {"label": names[label["class_index"] - 1], "source": "manual"}
            if tag != "tag":
                common |= {"occluded": "0"}
            if "group" in label:
                common["group_id"] = str(label["group"])
            made.append(Element(tag, common | {key: str(value) for key, value in attributes.items()}))
    return made


def _shape(label: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Tag and attributes of a label; None for a mask of no pixel."""
    kind, depth = label["kind"], {"z_order": 0}
    if kind == "image_class":
        return "tag", {}
    if kind in ("box", "extreme"):
        return "box", dict(zip(("xtl", "ytl", "xbr", "ybr"), shapes.box_of(label), strict=True)) | depth
    if kind == "mask":
        if not any(label["counts"][1::2]):
            return None
        x0, y0, x1, y1 = map(int, shapes.box_of(label))
        runs = shapes.encode_rle(shapes.rasterise(label, label["size"])[y0:y1, x0:x1].T)
        place = {"left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0}
        return "mask", {"rle": ", ".join(map(str, runs))} | place | depth
    tag = {"polygon": "polygon", "point": "points"}.get(
        kind, "polyline" if len(label["points"]) > 1 else "points"
    )
    return tag, {"points": ";".join(f"{x},{y}" for x, y in label["points"])} | depth
