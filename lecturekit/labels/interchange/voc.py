"""The layout of PASCAL VOC (Everingham et al., IJCV 2010): an XML file a picture, and PNG masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from ...kit.files import json_or_none, read_bytes, read_text, read_xml
from ...kit.storage import write_atomic
from .. import shapes
from ..boxes import clip_boxes
from ..label_map import BACKGROUND, IGNORE
from ._common import (
    OWN,
    Labelled,
    PixelBudget,
    Read,
    Sieve,
    about,
    checked_names,
    checked_pictures,
    clipped,
    has_extent,
    index_of,
    mask_shape,
    number,
    own_part,
    own_picture,
    picture_size,
    safe_path,
    told_names,
    union,
    whole_number,
)
from .masks import classes_of, colours_of, labelmap, png, read_labelmap, read_map

MAPS = ("SegmentationClass", "SegmentationObject")
SIDES = ("xmin", "ymin", "xmax", "ymax")
#: What stands in an object and is read, or says nothing about a label.
_KNOWN = {"name", "bndbox", "polygon", "pose", "truncated", "difficult", "occluded"}

Pair = tuple["NDArray[np.uint8] | None", "NDArray[np.uint8] | None"]


def write_voc(folder: str | Path, pictures: Sequence[Labelled], classes: Sequence[str]) -> list[Path]:
    """Write pictures' labels in the layout of VOC.

    ``Annotations/NAME.xml`` has a box for each object, in whole pixels, inclusive and counted from 1. Where a
    picture has outlines or masks, ``SegmentationClass/NAME.png`` and ``SegmentationObject/NAME.png`` show
    them, smaller ones in front, with 255 (void) where a box says that something is there and no outline says
    what; ``labelmap.txt`` tells other tools which colour is which class. A picture's NAME is its file name
    without folders and ending.

    Args:
        folder: where these go; made as needed.
        pictures: with labels of class indices 1..len(classes).
        classes: names, background left out.

    Returns:
        The files written.

    Raises:
        ValueError: a label or name that is not in order, or two pictures of one NAME; before anything is
            written.

    Example:
        >>> import tempfile
        >>> box = {"id": "a", "kind": "box", "class_index": 1, "points": [[1, 0], [3, 2]], "milliseconds": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = write_voc(folder, [Labelled("a.jpg", (4, 6), (box,))], ["cat"])
        ...     (picture,), classes = read_voc(folder)
        >>> [file.name for file in files], picture.labels[0]["points"], classes
        (['labelmap.txt', 'a.xml'], [[1.0, 0.0], [3.0, 2.0]], ('cat',))
    """
    names = checked_names(classes)
    contents = {"labelmap.txt": labelmap(names).encode()}
    for stem, picture in checked_pictures(pictures, len(names)):
        maps = voc_maps(picture)
        contents[f"Annotations/{stem}.xml"] = _xml(picture, names, maps is not None)
        contents |= {f"{kind}/{stem}.png": png(m) for kind, m in zip(MAPS, maps or (), strict=False)}
    return [write_atomic(Path(folder) / name, data) for name, data in contents.items()]


def read_voc(
    folder: str | Path, classes: Sequence[str] | None = None, *, on_error: str = "raise"
) -> Read[list[Labelled]]:
    """Read a folder in the layout of `write_voc`, written by it or by another tool.

    Object k of a picture is a mask if ``SegmentationObject`` shows it, else a polygon if its XML has one (as
    RectLabel and Roboflow write it; its coordinates are taken as they stand), else a box. Masks may be in
    colour, then those of ``labelmap.txt`` or VOC's. (Masks of objects that the XML does not list are left
    alone.)

    Args:
        folder: with Annotations, and perhaps SegmentationClass, SegmentationObject and labelmap.txt.
        classes: names in the order of their numbers. None: those of labelmap.txt, or else those of our own
            export, or else those that occur, by the alphabet.
        on_error: ``"raise"``, or ``"skip"``: leave out the files, objects and masks that are not in order.

    Returns:
        Pictures by the alphabet, and the names of the classes, which unpack; beside them ``report``.

    Raises:
        FileNotFoundError: there is no folder Annotations.
        ValueError: with the name of the file that is not in order.
    """
    folder, sieve, roots = Path(folder), Sieve(on_error), {}
    if not (folder / "Annotations").is_dir():
        raise FileNotFoundError(f"folder must hold VOC's Annotations, got {folder.name}")
    for path in sorted(p for p in (folder / "Annotations").iterdir() if p.suffix.lower() == ".xml"):
        with sieve.entry(path.name):
            roots[path] = read_xml(path)
    found: dict[str, tuple[int, ...] | None] = {}
    if (folder / "labelmap.txt").is_file():
        with sieve.entry("labelmap.txt"):
            found = read_labelmap(read_text(folder / "labelmap.txt"))
    if classes is None and not roots:
        raise ValueError("Annotations must hold XML files that can be read, got none")
    names = checked_names(classes) if classes is not None else _names(list(roots.values()), found)
    reader = _Reader(folder, names, colours_of(found, names), sieve)
    pictures = []
    for path, root in roots.items():
        with sieve.entry(path.name):
            pictures.append(reader.picture(path.stem, root))
    return Read(pictures, names, sieve)


def voc_maps(picture: Labelled) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Class and object maps ``(H, W)`` of checked labels; None where no object is drawn to the pixel."""
    labels = [label | {"class_index": k} for k, label in enumerate(filter(has_extent, picture.labels), 1)]
    drawn = [label for label in labels if label["kind"] in ("polygon", "mask")]
    if not drawn:
        return None
    if len(labels) >= IGNORE:
        raise ValueError(f"objects of a picture with masks must be at most 254, got {len(labels)}")
    objects = shapes.label_map(drawn, picture.size)
    vague = [label for label in labels if label["kind"] in ("box", "extreme")]
    objects[(objects == BACKGROUND) & (shapes.label_map(vague, picture.size) != BACKGROUND)] = IGNORE
    numbers = [BACKGROUND, *(label["class_index"] for label in picture.labels if has_extent(label))]
    return np.array(numbers + [IGNORE] * (256 - len(numbers)), np.uint8)[objects], objects


def _xml(picture: Labelled, names: tuple[str, ...], segmented: bool) -> bytes:
    root = Element("annotation")
    height, width = picture.size
    _texts(root, {"filename": PurePosixPath(picture.file_name).name, "segmented": int(segmented)})
    _texts(SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    for name, box in _objects(picture, names):
        thing = SubElement(root, "object")
        _texts(thing, {"name": name, "pose": "Unspecified", "truncated": 0, "difficult": 0})
        _texts(SubElement(thing, "bndbox"), box)
    _texts(root, {OWN: json.dumps(own_part(picture, names), allow_nan=False)})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _texts(parent: Element, entries: dict[str, Any]) -> None:
    for tag, value in entries.items():
        SubElement(parent, tag).text = str(value)


def _objects(picture: Labelled, names: tuple[str, ...]) -> list[tuple[str, dict[str, float]]]:
    """Name and box of each object, the box inclusive, counted from 1, at least one pixel large."""
    objects = []
    for label in filter(has_extent, picture.labels):
        x0, y0, x1, y1 = clip_boxes([shapes.box_of(label)], picture.size)[0].tolist()
        x0, y0 = min(x0, picture.size[1] - 1), min(y0, picture.size[0] - 1)
        box = dict(zip(SIDES, (x0 + 1, y0 + 1, max(x1, x0 + 1), max(y1, y0 + 1)), strict=True))
        objects.append((names[label["class_index"] - 1], box))
    return objects


def _names(roots: list[Element], found: dict) -> tuple[str, ...]:
    """Names of the classes as a labelmap.txt tells them, or our own export, or as they occur."""
    parts = [json_or_none(root.findtext(OWN)) for root in roots]
    occur = {_text(thing, "name") for root in roots for thing in root.iter("object")}
    listed = classes_of(found)
    if listed and occur <= set(listed):
        return checked_names(listed)
    return told_names(parts, occur)


class _Reader:
    """The files of a picture -> its labels."""

    def __init__(self, folder: Path, names: tuple[str, ...], colours: dict | None, sieve: Sieve):
        self.folder, self.names, self.colours, self.sieve = folder, names, colours, sieve
        self.budget = PixelBudget()

    def picture(self, stem: str, root: Element) -> Labelled:
        """A picture as our own export has it, if VOC's part is still what we wrote, or else of VOC's part."""
        file = safe_path(_text(root, "filename") or f"{stem}.jpg")
        size = self._size(root, file)
        maps = self._maps(stem, size)
        own = own_picture(json_or_none(root.findtext(OWN)), size, self.names)
        things = []
        for k, thing in enumerate(root.findall("object"), 1):
            with self.sieve.entry(f"object {k}"):
                things.append(
                    (k, thing, {side: number(_text(thing, f"bndbox/{side}"), side) for side in SIDES})
                )
        objects = [(_text(thing, "name"), box) for _, thing, box in things]
        if own and objects == _objects(own, self.names) and _same(maps, voc_maps(own) or (None, None)):
            return own
        labels = []
        for k, thing, box in things:
            with self.sieve.entry(f"object {k}"):
                labels.append(self._label(k, thing, box, size, maps))
        return Labelled(file, size, tuple(labels))

    def _size(self, root: Element, file: str) -> tuple[int, int]:
        """Height and width; where the XML has none, those of the picture itself, if it is there."""
        texts = {side: _text(root, f"size/{side}") for side in ("height", "width")}
        if {"", "0"} & set(texts.values()):
            size = picture_size(self.folder / "JPEGImages" / PurePosixPath(file).name)
            if size:
                return size
        return shapes.checked_size([whole_number(text, side) for side, text in texts.items()])

    def _maps(self, stem: str, size: tuple[int, int]) -> Pair:
        """Class and object map, None for one that is missing."""
        maps: list[NDArray[np.uint8] | None] = [None, None]
        for place, (kind, colours) in enumerate(zip(MAPS, (self.colours, None), strict=True)):
            files = [self.folder / kind / f"{stem}{ending}" for ending in (".png", ".PNG")]
            file = next((f for f in files if f.exists()), None)
            if file:
                with self.sieve.entry(kind):
                    maps[place] = read_map(read_bytes(file), size, colours)
        return maps[0], maps[1]

    def _label(
        self, k: int, thing: Element, box: dict[str, float], size: tuple[int, int], maps: Pair
    ) -> dict[str, Any]:
        """Object k."""
        for tag in {child.tag for child in thing} - _KNOWN:
            self.sieve.note(f"<{tag}> of an object is not read")
        index = index_of(_text(thing, "name"), self.names, "name")
        return shapes.checked(
            about(f"voc-{k}", index) | self._shape(k, index, thing, box, size, maps), size, len(self.names)
        )

    def _shape(
        self, k: int, index: int, thing: Element, box: dict[str, float], size: tuple[int, int], maps: Pair
    ) -> dict[str, Any]:
        mask = maps[1] == k if maps[1] is not None else None
        if mask is not None and mask.any():
            said = set(np.unique(maps[0][mask]).tolist()) if maps[0] is not None else set()
            if said - {index, IGNORE}:
                raise ValueError(
                    f"SegmentationClass must give it number {index}, got {sorted(said)} (are the classes "
                    f"given in the order of their numbers?)"
                )
            return mask_shape(mask)
        rings = [_ring(polygon, size) for polygon in thing.findall("polygon")]
        if rings:
            return union(rings, size, self.budget)
        corners = [[box["xmin"] - 1, box["ymin"] - 1], [box["xmax"], box["ymax"]]]  # half open, from 0
        return {"kind": "box", "points": clipped(corners, size)}


def _ring(polygon: Element, size: tuple[int, int]) -> list[list[float]]:
    """The points x1, y1, x2, y2, ... of an outline."""
    texts, points = {child.tag: child.text for child in polygon}, []
    while f"x{len(points) + 1}" in texts:
        points.append([number(texts.get(f"{axis}{len(points) + 1}"), axis) for axis in "xy"])
    ring = about("ring", 1) | {"kind": "polygon", "points": clipped(points, size)}
    return shapes.checked(ring, size, 1)["points"]


def _same(found: Pair, made: Pair) -> bool:
    return all(
        a is None and b is None if a is None or b is None else np.array_equal(a, b)
        for a, b in zip(found, made, strict=True)
    )


def _text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
