"""A PNG a picture whose pixels are numbers of classes, in VOC's colours, with a labelmap.txt."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...kit.files import read_bytes, read_text
from ...kit.storage import write_atomic
from .. import shapes
from ..label_map import BACKGROUND, IGNORE
from ._common import (
    Labelled,
    Read,
    Sieve,
    about,
    checked_names,
    checked_pictures,
    mask_shape,
    safe_path,
)


def write_masks(
    folder: str | Path, pictures: Iterable[Labelled], classes: Sequence[str], outside_label: int = BACKGROUND
) -> list[Path]:
    """Write each picture's label map as NAME.png, and ``labelmap.txt`` with the classes and their colours.

    Labels are painted as in `shapes.label_map`: where they overlap the smaller is in front, and what is
    behind, the objects of one class, times and clicks' exact places are lost.

    Args:
        folder: where these go; made as needed.
        pictures: with labels of class indices 1..len(classes).
        classes: names, background left out.
        outside_label: what pixels without a label become: 0 (background) or 255 (ignore).

    Returns:
        The files written.

    Raises:
        ValueError: a label or name that is not in order, or two pictures of one NAME; before anything is
            written.

    Example:
        >>> import tempfile
        >>> box = {"id": "a", "kind": "box", "class_index": 1, "points": [[1, 0], [3, 2]], "milliseconds": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_masks(folder, [Labelled("a.jpg", (2, 4), (box,))], ["cat"])
        ...     (picture,), classes = read_masks(folder)
        >>> picture.labels[0]["counts"], classes
        ([2, 4, 2], ('cat',))
    """
    names = checked_names(classes)
    contents = {"labelmap.txt": labelmap(names).encode()}
    for stem, picture in checked_pictures(pictures, len(names)):
        contents[f"{stem}.png"] = png(shapes.label_map(picture.labels, picture.size, outside_label))
    return [write_atomic(Path(folder) / name, data) for name, data in contents.items()]


def read_masks(
    folder: str | Path, classes: Sequence[str] | None = None, *, on_error: str = "raise"
) -> Read[list[Labelled]]:
    """Read a folder of PNG masks: each class of a picture becomes one label of kind ``mask``.

    The pixels are numbers of classes, 255 for void, or colours, then those of ``labelmap.txt`` or VOC's.

    Args:
        folder: with the PNGs and perhaps labelmap.txt.
        classes: names in the order of their numbers. None: those of labelmap.txt.
        on_error: ``"raise"``, or ``"skip"``: leave out the files that are not in order.

    Returns:
        Pictures by the alphabet, with the masks' file names, and names, which unpack; beside them ``report``.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: with the name of the file and what is not in order, or neither classes nor labelmap.txt.
    """
    folder, sieve, pictures = Path(folder), Sieve(on_error), []
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".png")
    listed = folder / "labelmap.txt"
    found = read_labelmap(read_text(listed)) if listed.is_file() else {}
    if classes is None and not found:
        raise ValueError("classes must be given where there is no labelmap.txt, got None")
    names = checked_names(classes_of(found) if classes is None else classes)
    colours = colours_of(found, names)
    for path in paths:
        with sieve.entry(path.name):
            numbers = read_map(read_bytes(path), None, colours)
            size = (numbers.shape[0], numbers.shape[1])
            labels = []
            for k in sorted(set(np.unique(numbers).tolist()) - {BACKGROUND, IGNORE}):
                label = about(f"mask-{k}", k) | mask_shape(numbers == k)
                labels.append(shapes.checked(label, size, len(names)))
            pictures.append(Labelled(safe_path(path.name), size, tuple(labels)))
    return Read(pictures, names, sieve)


# ------------------------------------------------------------------ numbers and colours


def _voc_colours() -> NDArray[np.uint8]:
    """VOC's colours ``(256, 3)``, which spread a number's bits over red, green and blue."""
    n = np.arange(256)
    return np.stack([sum((n >> (3 * b + c) & 1) << (7 - b) for b in range(3)) for c in range(3)], 1).astype(
        np.uint8
    )


#: The colour of each number; 255 is VOC's void.
COLOURS = _voc_colours()


def png(label_map: NDArray[np.uint8]) -> bytes:
    """A label map as PNG in VOC's colours."""
    picture, buffer = Image.fromarray(label_map), io.BytesIO()
    picture.putpalette(COLOURS.tobytes())
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def read_map(
    data: bytes, size: tuple[int, int] | None = None, colours: dict[tuple[int, ...], int] | None = None
) -> NDArray[np.uint8]:
    """A PNG of one number a pixel as uint8 ``(H, W)``; one in colour is turned back to numbers.

    Args:
        data: the file.
        size: height and width that it must have, which is checked before it is unpacked.
        colours: the number of each colour. None: VOC's.

    Raises:
        ValueError: no PNG, damaged, of another size, or with a colour that stands for nothing.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            met = shapes.checked_size(picture.size[::-1])
            if size not in (None, met) or picture.mode not in ("P", "L", "1", "RGB", "RGBA"):
                wanted = f"{size[1]} x {size[0]}" if size else "of one number or colour a pixel"
                raise ValueError(f"PNG must be {wanted}, got {met[1]} x {met[0]}, mode {picture.mode}")
            pixels = np.array(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"this is no sound PNG: {type(error).__name__}") from None
    if pixels.ndim == 2:
        return pixels.astype(np.uint8)
    return _from_colours(pixels, colours or {tuple(c): k for k, c in enumerate(COLOURS.tolist())})


def _from_colours(pixels: NDArray[np.uint8], colours: dict[tuple[int, ...], int]) -> NDArray[np.uint8]:
    """Numbers of the colours of an RGB or RGBA picture."""
    codes = (
        (pixels[..., 0].astype(np.uint32) << 16) | (pixels[..., 1].astype(np.uint32) << 8) | pixels[..., 2]
    )
    numbers_ = np.full(1 << 24, 256, np.uint16)  # 256: stands for nothing
    for (red, green, blue), value in reversed(colours.items()):
        numbers_[red << 16 | green << 8 | blue] = value
    found = numbers_[codes]
    strange = np.argwhere(found == 256)
    if len(strange):
        colour = tuple(pixels[tuple(strange[0])].tolist()[:3])
        raise ValueError(f"PNG must have colours of classes only, got {colour}")
    return found.astype(np.uint8)


# ------------------------------------------------------------------ labelmap.txt, as CVAT writes it

_NOTHING = ("background", "ignored", "void")


def labelmap(names: Sequence[str]) -> str:
    """The text of a labelmap.txt, which tells other tools the class of each colour."""
    lines = ["# label:color_rgb:parts:actions"]
    colours = COLOURS.tolist()
    for name, colour in [*zip(("background", *names), colours, strict=False), ("ignored", colours[IGNORE])]:
        lines.append(f"{name}:{','.join(map(str, colour))}::")
    return "\n".join([*lines, ""])


def read_labelmap(text: str) -> dict[str, tuple[int, ...] | None]:
    """The colour of each label in a labelmap.txt, background among them; None where it gives none."""
    found: dict[str, tuple[int, ...] | None] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            continue
        name, colour = (*line.rsplit(":", 3), "", "", "")[:2]
        parts = colour.split(",")
        known = len(parts) == 3 and all(p.strip().isdecimal() and int(p) < 256 for p in parts)
        found[name.strip()] = tuple(int(p) for p in parts) if known else None
    return found


def classes_of(found: dict[str, tuple[int, ...] | None]) -> list[str]:
    """Names of the classes of a labelmap.txt in its order."""
    return [name for name in found if name.lower() not in _NOTHING]


def colours_of(found: dict[str, tuple[int, ...] | None], names: Sequence[str]) -> dict | None:
    """The number of each colour of a labelmap.txt; None where it gives no colours, and VOC's hold."""
    special = {"background": 0, "ignored": IGNORE, "void": IGNORE}
    numbers_ = special | {name: k for k, name in enumerate(names, 1)}
    colours = {c: numbers_.get(n, numbers_.get(n.lower())) for n, c in found.items() if c}
    colours = {c: k for c, k in colours.items() if k is not None}
    return (
        {tuple(COLOURS[0].tolist()): 0, tuple(COLOURS[IGNORE].tolist()): IGNORE} | colours
        if colours
        else None
    )
