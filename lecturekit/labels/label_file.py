"""The labels of one picture in one JSON file, which several notebooks and tabs may write at the same time.

What is kept are *records*, one for each label that there ever was::

    {"id": "l3f2a", "edit": 7, "by": "v81c", "label": {...}}    # or "label": None, once it is deleted

Whoever changes a label gives its record a number one above every number it knows. Of two records of one label
the one with the larger number counts, and if those are equal, the one whose writer's name sorts last. So two
lists of records merge to the same result in whatever order and however often they meet, and a label that was
deleted in one tab does not come back from another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..kit import records, storage
from . import shapes

#: The first number of an edit, and the last that both Python and JavaScript can count on from.
FIRST_EDIT, LAST_EDIT = 1, 2**40
#: Names that Windows keeps for devices.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}


def rank(record: dict) -> tuple[int, str]:
    """Of two records of one label the one with the larger rank counts."""
    return record["edit"], record["by"]


def merge(*lists: Iterable[dict]) -> list[dict]:
    """Of every label the record that counts, in the order in which the labels first appear."""
    newest: dict[str, dict] = {}
    for record in (record for records_ in lists for record in records_):
        known = newest.get(record["id"])
        if known is None or rank(record) > rank(known):
            newest[record["id"]] = record
    return list(newest.values())


def living(records_: Iterable[dict]) -> list[dict]:
    """The labels that are not deleted."""
    return [record["label"] for record in records_ if record["label"] is not None]


def edits(known: Iterable[dict], labels: Iterable[dict], deleted: Iterable[str], by: str) -> list[dict]:
    """Records that turn what is known into these labels.

    Args:
        known: records, such as a file holds.
        labels: as they are now; those that are known like this make no record.
        deleted: ids of labels that are no more.
        by: the writer's name, small letters and digits.
    """
    known = list(known)
    edit = 1 + max((record["edit"] for record in known), default=0)
    old = {record["id"]: record["label"] for record in known}
    changed: dict[str, dict | None] = {n["id"]: n for n in labels if old.get(n["id"]) != n}
    changed |= dict.fromkeys(name for name in deleted if old.get(name) is not None)
    return [{"id": name, "edit": edit, "by": by, "label": label} for name, label in changed.items()]


def checked_record(record: object, size: tuple[int, int], classes: int) -> dict:
    """A clean copy of a record that may come from anywhere. Raises ``ValueError`` saying what is wrong."""
    if not isinstance(record, dict):
        raise ValueError(f"a record must be a dict, got {type(record).__name__}")
    edit, by, label = record.get("edit"), record.get("by"), record.get("label")
    if not isinstance(edit, int) or isinstance(edit, bool) or not 0 <= edit <= LAST_EDIT:
        raise ValueError(f"edit must be a whole number of 0..{LAST_EDIT}")
    if not isinstance(by, str) or not re.fullmatch(r"[a-z0-9]{0,32}", by):
        raise ValueError("by must be a name of at most 32 small letters and digits")
    name = record.get("id")
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name.isprintable():
        raise ValueError("id must be a printable text of 1 to 64 characters")
    label = None if label is None else shapes.checked(label, size, classes)
    if label is not None and label["id"] != name:
        raise ValueError(f"id of the record must be that of its label, {label['id']!r}")
    return {"id": name, "edit": edit, "by": by, "label": label}


def file_name(key: str) -> str:
    """The name of the file for a key: the key itself where that is a safe name, else one made from it.

    Raises:
        TypeError: the key is no text.
        ValueError: the key is blank or has more than 200 characters.
    """
    if not isinstance(key, str):
        raise TypeError(f"key must be a text, got {type(key).__name__}")
    if not key.strip() or len(key) > 200:
        raise ValueError(f"key must be a text of 1 to 200 characters, not blank, got {key[:60]!r}")
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", key)[:80].strip("-")
    if safe != key or key.lower() in _DEVICES:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        safe = f"{safe or 'key'}-{digest}"
    return f"{safe}.json"


@dataclass(frozen=True)
class LabelFile:
    """The file for one key, and what it must be about.

    Attributes:
        path: where it lies; `LabelFile.of` makes this from the key.
        key: as the notebook named it.
        picture: a digest of the picture, so that labels never appear on another one.
        size: height and width of the picture.
        classes: names of the classes; a file may know fewer of them, in the same order.
        former: earlier names of the same classes, which a file may still have.
    """

    path: Path
    key: str
    picture: str
    size: tuple[int, int]
    classes: tuple[str, ...]
    former: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, key: str, picture: str, size: tuple[int, int], classes: tuple[str, ...]) -> LabelFile:
        """The file below the reader's data folder. Errors as in `file_name`."""
        name = file_name(key)
        return cls(storage.data_dir() / "annotations" / name, key, picture, size, classes)

    def load(self) -> tuple[list[dict], str]:
        """The records that the file holds, and what a reader should be told about it (or "").

        Raises:
            ValueError: the file holds labels of another picture or of other classes.
            OSError: it cannot be opened.
        """
        if not self.path.exists():
            return [], ""
        with records.locked(self.path, reading=True) as writable:
            return self._read(writable)

    def save(self, ours: list[dict]) -> tuple[list[dict], str]:
        """Merge records into the file; gives all that are in it now, and what to tell the reader (or "").

        A record that `load` would not take is refused before anything is written: its file would be set aside
        as a damaged one. Whoever drew it still holds it, and the old file stands.

        Raises:
            ValueError: as in `load`, or a record that is not in order, such as one of a class that is none.
            OSError: it cannot be written (``TimeoutError`` among them); the old file stands.
        """
        with records.locked(self.path):
            theirs, note = self._read()
            known = {record["id"]: record for record in theirs}
            ours = [record for record in ours if record["edit"] >= FIRST_EDIT]
            for record in ours:
                if record != known.get(record["id"]):
                    self._must_be_sound(record)
            merged = merge(theirs, ours)
            if merged != theirs or not self.path.exists():
                records.write(self.path, self._content(merged))
        return merged, note

    def _content(self, merged: list[dict]) -> dict:
        about = {"key": self.key, "picture": self.picture, "size": list(self.size)}
        return {"version": 1, **about, "classes": list(self.classes), "records": merged}

    def _read(self, writable: bool = True) -> tuple[list[dict], str]:
        """As `load`, with the lock held. What cannot be read is set aside first, whole."""
        existed = self.path.exists()
        content = records.read(self.path, writable)
        if existed and not self.path.exists():  # records.read has set it aside
            return [], _aside(self.path)
        if content is None and not existed:
            return [], ""
        listed = content.get("records") if isinstance(content, dict) else None
        if not isinstance(listed, list):
            return [], self._put_aside(writable)
        self._must_fit(content)
        good, faults = sift(listed, lambda record: checked_record(record, self.size, len(self.classes)))
        return merge(good), self._put_aside(writable) if faults else ""

    def _put_aside(self, writable: bool) -> str:
        """Set the damaged file aside if that can be done; gives what to tell the reader."""
        if not writable:
            return f"{self.path.name} could not be read as it is, and nothing can be written beside it."
        records.set_aside(self.path)
        return _aside(self.path)

    def _must_be_sound(self, record: dict) -> None:
        label = record["label"]
        number = label.get("class_index") if isinstance(label, dict) else None
        if isinstance(number, int) and not 1 <= number <= len(self.classes):
            listed = ", ".join(f"{k} {name}" for k, name in enumerate(self.classes, 1))
            name = f"class_index of label {record['id']!r}"
            raise ValueError(f"{name} must be one of {listed}, got {number}; nothing was saved")
        checked_record(record, self.size, len(self.classes))

    def _must_fit(self, content: dict) -> None:
        wanted = {"key": self.key, "picture": self.picture, "size": list(self.size)}
        names = content.get("classes")
        listed = names if isinstance(names, list) else [None]
        same = any(listed == list(known[: len(listed)]) for known in (self.classes, *self.former))
        if not same or any(content.get(name) != value for name, value in wanted.items()):
            raise ValueError(
                f"key must be new for a new picture or other classes: {self.key!r} already names labels of "
                f"a picture of size {content.get('size')} and the classes {names}"
            )


def sift(found: Iterable, check: Callable[[object], dict]) -> tuple[list[dict], list[str]]:
    """What passes a check (as it comes out of it), and what the check says of the rest."""
    good, faults = [], []
    for item in found:
        try:
            good.append(check(item))
        except ValueError as error:
            faults.append(str(error))
    return good, faults


def _aside(path: Path) -> str:
    return (
        f"{path.name} could not be read as it was; it is kept beside the new one, with “damaged” in its name."
    )
