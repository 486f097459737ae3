"""What the readers and writers of all formats need: labelled pictures, reports, checks of names and paths."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...kit.checks import choice, shortened
from .. import shapes
from ..label_map import IGNORE

#: Pixels that the parts of objects in several pieces may add up to in one file.
MAX_DRAWN = 10**10
#: Our own part of a file.
OWN = "lecturekit"
#: Kinds with an extent, which other tools know; some tools know points and lines as well.
WITH_EXTENT = ("box", "extreme", "polygon", "mask")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # Windows' devices
#: Endings of picture files, as far as sizes are read from them.
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")


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
    labels: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class LeftOut:
    """An entry that a reader could not take.

    Attributes:
        place: where it stands, such as ``"annotations[3]"`` or ``"a.xml: object 2"``.
        reason: what is wrong with it.
    """

    place: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What came of a file's entries.

    Attributes:
        kept: how many labels were read.
        left_out: the entries that were not in order; empty unless ``on_error="skip"``.
        notes: what the file says beside its labels and we have no place for, and how often.
    """

    kept: int
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.kept} labels kept, {len(self.left_out)} entries left out"]
        return "\n".join(lines + [f"  {e.place}: {e.reason}" for e in self.left_out] + list(self.notes))


Content = TypeVar("Content", Labelled, list[Labelled])


class Read(tuple[Content, tuple[str, ...]]):
    """What a reader gives: ``pictures, classes = read_coco(path)``, and beside these two a report.

    Attributes:
        report: how many labels were kept, and which entries were left out and why.
    """

    report: Report

    def __new__(cls, content: Content, classes: tuple[str, ...], sieve: Sieve) -> Read[Content]:
        """A pair that carries the sieve's report."""
        read = super().__new__(cls, (content, classes))
        read.report = sieve.report([content] if isinstance(content, Labelled) else content)
        return read


class Sieve:
    """Raises what is wrong with an entry, with its place in front, or notes it and goes on."""

    def __init__(self, on_error: str):
        self.skips = choice("on_error", on_error, ("raise", "skip")) == "skip"
        self._place: list[str] = []
        self._left_out: list[LeftOut] = []
        self._notes: Counter[str] = Counter()

    @contextmanager
    def entry(self, place: str) -> Generator[None]:
        """What is wrong inside is about this place; where errors are skipped, the block ends early."""
        self._place.append(place)
        try:
            yield
        except (ValueError, OSError) as error:
            if self.skips:
                self._left_out.append(LeftOut(": ".join(self._place), str(error)))
            elif isinstance(error, OSError):
                raise
            else:
                raise ValueError(f"{place}: {error}") from error
        finally:
            self._place.pop()

    def note(self, text: str) -> None:
        """Something that is said in the file and lost here."""
        self._notes[text] += 1

    def report(self, pictures: Iterable[Labelled]) -> Report:
        """What came of it all."""
        notes = tuple(f"{count} x {text}" for text, count in self._notes.items())
        return Report(sum(len(p.labels) for p in pictures), tuple(self._left_out), notes)


@contextmanager
def naming(where: str) -> Generator[None]:
    """A complaint from inside gets the place in front."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


class PixelBudget:
    """How much may still be drawn for one file, so that none keeps a machine busy for hours."""

    def __init__(self) -> None:
        self.left = MAX_DRAWN

    def spend(self, pixels: int) -> None:
        """Raises ``ValueError`` once the budget is spent."""
        self.left -= pixels
        if self.left < 0:
            raise ValueError(f"objects in pieces must add up to at most {MAX_DRAWN} pixels, got more")


# ------------------------------------------------------------------ names and paths


def checked_picture(picture: Labelled, classes: int) -> Labelled:
    """The picture with clean copies of its labels, or ``ValueError`` naming what is wrong."""
    size = shapes.checked_size(picture.size)
    labels = tuple(shapes.checked(label, size, classes) for label in picture.labels)
    return Labelled(checked_path(picture.file_name), size, labels)


def checked_pictures(pictures: Iterable[Labelled], classes: int) -> list[tuple[str, Labelled]]:
    """Checked pictures and the names of their files, without folders and ending: no two alike."""
    checked = [checked_picture(picture, classes) for picture in pictures]
    stems = [checked_path(Path(picture.file_name).stem) for picture in checked]
    if len({stem.lower() for stem in stems}) < len(stems):
        raise ValueError(f"pictures must have different names, got {shortened(sorted(stems))}")
    return list(zip(stems, checked, strict=True))


def checked_path(name: object) -> str:
    """A relative path of plain names with forward slashes, or ``ValueError``.

    Refused are absolute paths, drives, ``..``, backslashes, names that systems give a meaning, and texts that
    are empty or longer than 200 characters.

    Args:
        name: anything.
    """
    plain = isinstance(name, str) and 1 <= len(name) <= 200 and name.isprintable()
    parts = name.split("/") if plain else []
    odd = any(part in ("", ".", "..") or part[-1] in ". " or _RESERVED.fullmatch(part) for part in parts)
    if not plain or odd or re.search(r'[\\:*?"<>|]', name):
        raise ValueError(f"file name must be a plain relative path, got {shortened(name)}")
    return name


def safe_path(name: object) -> str:
    """The path in a stranger's file where it is plain and relative, else its last part alone.

    Args:
        name: anything; `checked_path` has the last word.
    """
    try:
        return checked_path(name)
    except ValueError:
        if not isinstance(name, str):
            raise
        return checked_path(re.split(r"[\\/]", name)[-1])


def checked_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes 1, 2, ...: different, printable, not blank, at most 254, or ``ValueError``.

    Args:
        classes: list or tuple of names, background left out.
    """
    names = tuple(classes) if isinstance(classes, list | tuple) else ()
    if not 1 <= len(names) < IGNORE or not all(map(_is_name, names)):
        raise ValueError(
            f"classes must be 1 to 254 different names (background left out), got {shortened(classes)}"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"classes must be different names, got {shortened(twice[0])} more than once")
    return names


def checked_name(name: object) -> str:
    """The name of a class without blanks round it, or ``ValueError``."""
    name = name.strip() if isinstance(name, str) else name
    if not isinstance(name, str) or not _is_name(name):
        raise ValueError(f"a class must be a text of 1 to 100 letters, got {shortened(name)}")
    return name


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.strip() == name and 1 <= len(name) <= 100 and name.isprintable()


def told_names(own: Iterable[object], occurring: Iterable[object]) -> tuple[str, ...]:
    """Names of classes as all parts of our own tell them, then others that occur, by the alphabet."""
    parts = [part.get("classes") if isinstance(part, dict) else None for part in own]
    alike = parts and isinstance(parts[0], list) and all(part == parts[0] for part in parts)
    told = [name for name in parts[0] if _is_name(name)] if alike else []
    others = {name for name in occurring if isinstance(name, str) and _is_name(name)} - set(told)
    return checked_names([*told, *sorted(others)]) if told or others else ()


def index_of(name: object, names: Sequence[str], what: str) -> int:
    """The number of a class by its name."""
    return 1 + names.index(member(name.strip() if isinstance(name, str) else name, names, what))


def member(value: Any, wanted: Collection, what: str) -> Any:
    """`value` if it is among what is wanted."""
    if not isinstance(value, int | str) or value not in wanted:
        raise ValueError(f"{what} must be one that the file lists, got {shortened(value)}")
    return value


# ------------------------------------------------------------------ labels


def about(name: str, class_index: int) -> dict[str, Any]:
    """What every label has, for one that another tool drew in a time that nobody took."""
    return {"id": name, "class_index": class_index, "milliseconds": 0}


def has_extent(label: dict[str, Any]) -> bool:
    """Whether a checked label marks a region."""
    if label["kind"] == "mask":
        return any(label["counts"][1::2])
    return label["kind"] in WITH_EXTENT


def mask_shape(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The keys of a mask."""
    return {"kind": "mask", "size": list(mask.shape), "counts": shapes.encode_rle(mask)}


def union(rings: list[list], size: tuple[int, int], budget: PixelBudget) -> dict[str, Any]:
    """The keys of one polygon as it is, of several (checked) ones as the mask of what any of them covers."""
    if len(rings) == 1:
        return {"kind": "polygon", "points": rings[0]}
    for ring in rings:
        budget.spend(round(np.prod(np.ptp(ring, axis=0) + 1)))
    return {"kind": "mask", "size": list(size), "counts": shapes.union_rle(rings, size)}


def own_picture(own: object, size: tuple[int, int], names: tuple[str, ...]) -> Labelled | None:
    """The picture as our own export has it, None where that is absent, damaged, or of other classes."""
    try:
        if not isinstance(own, dict) or own["classes"] != list(names[: len(own["classes"])]):
            return None
        return checked_picture(Labelled(own["file_name"], size, tuple(own["labels"])), len(names))
    except (ValueError, KeyError, TypeError):
        return None


def own_part(picture: Labelled, names: tuple[str, ...]) -> dict[str, Any]:
    """What `own_picture` reads."""
    return {"file_name": picture.file_name, "classes": list(names), "labels": list(picture.labels)}


# ------------------------------------------------------------------ numbers


def records(content: Any, key: str) -> list:
    """The list under a key of a JSON object."""
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{key} must be a list of JSON objects, got {shortened(found)}")
    return found


def record(entry: object) -> dict[str, Any]:
    """An entry of such a list."""
    if not isinstance(entry, dict):
        raise ValueError(f"an entry must be a JSON object, got {shortened(entry)}")
    return entry


def numbers(name: str, values: object, count: int) -> list[float]:
    """Finite numbers of moderate size."""
    good = isinstance(values, list) and len(values) == count
    if not good or not all(type(v) in (int, float) and abs(v) <= shapes.MAX_PIXELS for v in values):
        raise ValueError(f"{name} must be {count} finite numbers, got {shortened(values)}")
    return [float(v) for v in values]


_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,9}\.?[0-9]{0,20}|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?")


def number(text: str | None, name: str = "a number") -> float:
    """A number of an XML or text file."""
    if not text or not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{name} must be a number, got {shortened(text)}")
    return float(text)


def whole_number(text: str | None, name: str = "a number") -> int:
    """A whole number of at least 0 of an XML or text file."""
    if not text or not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise ValueError(f"{name} must be a whole number, got {shortened(text)}")
    return int(text)


def clipped(points: list, size: tuple[int, int]) -> list[list[float]]:
    """Points that lie outside the picture by a pixel at most, as rounding has it, brought to its border."""
    height, width = size
    return [[_near(x, width), _near(y, height)] for x, y in (numbers("a point", p, 2) for p in points)]


def _near(value: float, most: int) -> float:
    if 0 <= value <= most or not -1 <= value <= most + 1:
        return value
    return 0.0 if value < 0 else float(most)


# ------------------------------------------------------------------ picture files


def picture_size(path: Path) -> tuple[int, int] | None:
    """Height and width that a picture is shown with, from the head of its file, or None."""
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            return _shown_size(picture)
    except Exception:  # Pillow meets damage with errors of many kinds
        return None


def size_of_bytes(data: bytes) -> tuple[int, int] | None:
    """As `picture_size`, of what a file holds."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            return _shown_size(picture)
    except Exception:
        return None


def _shown_size(picture: Image.Image) -> tuple[int, int]:
    turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # Orientation: on its side
    return shapes.checked_size(picture.size if turned else picture.size[::-1])
