"""The project file: which pictures, which classes, which part each picture is in, where its labels are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from ...datasets.photos import load_photo
from ...kit import records
from ...kit.checks import choice, shortened, whole
from ...kit.storage import write_atomic
from ...labels import shapes
from ...labels.interchange import checked_names
from ...labels.label_file import LabelFile, edits, living

#: Of the file; a file of a later edition is not read.
VERSION = 1
#: The class of what is of no other class: it can be drawn, and stands after the classes of the first day.
BACKGROUND_NAME = "background"
#: A picture is in one of these.
PARTS = ("train", "test")
#: Endings of files that are tried as pictures.
ENDINGS = {*Image.registered_extensions(), ".heic", ".heif", ".avif", ".jfif"} - {".pdf", ".ps", ".eps"}

#: The file that tells a folder of `predict`'s answers from one of pictures.
ANSWERS = "answers.jsonl"

_HEAD = """\
# A project of the course From Class to Pixels. Pictures are named here and stay where they are. What is drawn
# on them lies in the folder {stem}-labels, a file a picture, named after the picture's content.
"""
_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Skipped(NamedTuple):
    """A file that is no picture of the project."""

    file: str  #: relative to the folder, or where the trouble is
    reason: str


@dataclass(frozen=True)
class Picture:
    """A picture of a project.

    Attributes:
        file: relative to the project's folder, with forward slashes.
        content: digest of its pixels, so that labels stay with it whatever it is called.
        size: height and width, upright.
        part: ``"train"``, or ``"test"``: set aside, nothing is learned from it.
        stat: bytes and time of change of the file when its content was looked at.
    """

    file: str
    content: str
    size: tuple[int, int]
    part: str
    stat: tuple[int, int] = (0, 0)


@dataclass
class Project:
    """A folder of pictures, classes, and what was drawn. Made by `new` and `load`.

    Attributes:
        path: of the project file.
        folder: of the pictures.
        label_classes: names of the classes that can be drawn, in the order of ``class_index`` 1, 2, ...:
            `classes`, and ``"background"`` for pixels that are of none.
        pictures: all, also those whose file is gone.
        skipped: files that are no pictures of the project, and why.
        seed: of the split.
        former: earlier names of the same classes.
    """

    path: Path
    folder: Path
    label_classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    skipped: tuple[Skipped, ...] = ()
    seed: int = 0
    former: tuple[tuple[str, ...], ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are looked for, without background: 1, 2, ... in label maps."""
        return tuple(name for name in self.label_classes if name != BACKGROUND_NAME)

    @property
    def train(self) -> list[Picture]:
        """Pictures to learn from that are there."""
        return [p for p in self.pictures if p.part == "train" and self.file(p).is_file()]

    @property
    def test(self) -> list[Picture]:
        """Pictures set aside for the report that are there."""
        return [p for p in self.pictures if p.part == "test" and self.file(p).is_file()]

    @property
    def gone(self) -> list[Picture]:
        """Pictures whose file is no longer there; their labels are kept."""
        return [p for p in self.pictures if not self.file(p).is_file()]

    def picture(self, name: Picture | str) -> Picture:
        """The picture of this file name; a picture as it is.

        Args:
            name: relative to the folder.

        Raises:
            ValueError: there is none.
        """
        if isinstance(name, Picture):
            return name
        for one in self.pictures:
            if one.file == name:
                return one
        raise ValueError(f"picture must be one of the project's {len(self.pictures)}, got {shortened(name)}")

    def beside(self, name: str) -> Path:
        """A file or folder of this project, beside its file: ``project-NAME``.

        Args:
            name: what it is, such as ``"report.html"``.
        """
        return self.path.with_name(f"{self.path.stem}-{name}")

    def file(self, picture: Picture | str) -> Path:
        """Where a picture lies.

        Args:
            picture: one of `pictures`, or its file name.
        """
        return self.folder / (picture.file if isinstance(picture, Picture) else picture)

    def image(self, picture: Picture | str) -> NDArray[np.uint8]:
        """The pixels of a picture, upright, uint8 RGB ``(H, W, 3)``.

        Args:
            picture: one of `pictures`, or its file name.

        Raises:
            FileNotFoundError: it is gone.
            ValueError: the file now holds another picture.
        """
        picture = self.picture(picture)
        image = load_photo(self.file(picture))
        if _stat(self.file(picture)) != picture.stat and _content(image) != picture.content:
            raise ValueError(f"{picture.file} has changed since the project saw it; refresh the project")
        return image

    def label_file(self, picture: Picture | str) -> LabelFile:
        """The file of a picture's labels, which the annotator can write, too.

        Args:
            picture: one of `pictures`, or its file name.
        """
        picture = self.picture(picture)
        key = picture.content[:16]
        path = self.beside("labels") / f"{key}.json"
        return LabelFile(path, key, picture.content, picture.size, self.label_classes, self.former)

    def labels(self, picture: Picture | str) -> list[dict]:
        """What is drawn on a picture, as in `labels.shapes`; ``class_index`` k is ``label_classes[k - 1]``.

        Args:
            picture: one of `pictures`, or its file name.

        Raises:
            ValueError: the file of its labels is one of other classes or of another picture.
            OSError: it cannot be opened.
        """
        return living(self.label_file(picture).load()[0])

    def save_labels(
        self, picture: Picture | str, labels: Sequence[dict], delete: Iterable[str] = ()
    ) -> list[dict]:
        """Add labels to those of a picture, or change those of the same id; others stay as they are.

        Args:
            picture: one of `pictures`, or its file name.
            labels: as in `labels.shapes`.
            delete: ids of labels to take away.

        Returns:
            All labels of the picture.

        Raises:
            ValueError: a label that is not in order, or a file as in `labels`; then nothing is saved.
            OSError: it cannot be written; the old file stands.
        """
        file = self.label_file(picture)
        checked = [shapes.checked(label, file.size, len(file.classes)) for label in labels]
        known, _ = file.load()
        return living(file.save(edits(known, checked, delete, "project"))[0])

    def rename_class(self, old: str, new: str) -> None:
        """Give a class another name; all labels of it stay its labels.

        Args:
            old: one of `classes`.
            new: its name from now on.

        Raises:
            ValueError: there is no such class, or the new name is no name or another class's.
            OSError: the project file cannot be written.
        """
        with records.locked(self.path):
            now = load(self.path)
            choice("old", old, now.classes)
            names = tuple(new if name == old else name for name in now.label_classes)
            checked_names(names)
            former = tuple(dict.fromkeys((now.label_classes, *now.former)))
            self.label_classes, self.former = names, former
            _write(replace(now, label_classes=names, former=former))


def new(
    folder: str | Path,
    classes: Sequence[str],
    *,
    path: str | Path | None = None,
    test: int = 12,
    seed: int = 0,
) -> Project:
    """Begin a project: look at all pictures of a folder and set some of them aside for the report.

    Pictures of the same pixels count once, whatever their names and formats. Nothing is copied.

    Args:
        folder: of the pictures, with its subfolders.
        classes: names of what is looked for, without background.
        path: folder of the project file, or the file itself (``.yaml``). None: the folder of the pictures.
        test: pictures set aside; in a folder of fewer than three times as many, a third.
        seed: of the choice, which depends on it and on the pictures' contents alone.

    Returns:
        The project; its ``skipped`` says what was no picture, and why.

    Raises:
        FileNotFoundError: there is no such folder.
        FileExistsError: there is a project already.
        ValueError: names that are none, numbers out of range, or no picture at all.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for k in range(4):
        ...         Image.new("RGB", (8, 6), (40 * k, 0, 0)).save(f"{folder}/{k}.png")
        ...     project = new(folder, ["cat", "dog"])
        ...     len(project.train), len(project.test), load(folder).classes
        (3, 1, ('cat', 'dog'))
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must be one of pictures, got {str(folder)!r}")
    names = checked_names([name.strip() if isinstance(name, str) else name for name in classes])
    if BACKGROUND_NAME in names:
        raise ValueError(f"classes must leave {BACKGROUND_NAME!r} out: every project has it")
    whole("test", test, 0)
    file = _file_of(folder if path is None else path)
    if file.exists():
        raise FileExistsError(f"there is a project already: {file}")
    empty = Project(file, folder, (*names, BACKGROUND_NAME), (), (), whole("seed", seed))
    found, skipped = _scanned(empty)
    if not found:
        raise ValueError(f"folder must hold pictures, got none that can be read in {str(folder)!r}")
    order = sorted(found, key=lambda one: hashlib.sha256(f"{seed} {one.content}".encode()).digest())
    aside = {one.content for one in order[: min(test, len(order) // 3)]}
    pictures = tuple(replace(one, part=PARTS[one.content in aside]) for one in found)
    project = replace(empty, pictures=pictures, skipped=skipped)
    with records.locked(file):
        _write(project)
    return project


def load(path: str | Path) -> Project:
    """A project as its file says it. Pictures may have come and gone: see `refresh` and ``Project.gone``.

    Args:
        path: of the project file, or of the folder in which it lies.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not in order, or of a later edition; with what is wrong.
    """
    file = _file_of(path)
    try:
        content = yaml.load(file.read_text("utf-8-sig"), Loader=_SAFE)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no project file {file}; make one with project.new") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file.name} is no sound YAML: {error!s:.300}") from None
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise ValueError(
            f"{file.name} must be a project file of version {VERSION}, got {shortened(version)}"
            + ("; update the course" if isinstance(version, int) and version > VERSION else "")
        )
    try:
        return _parsed(file, content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file.name} is not in order: {error}") from None


def refresh(project: Project) -> Project:
    """Look at the folder again: new pictures are added to those to learn from, others found by their content.

    Pictures that were renamed or moved keep part and labels. Pictures that are gone stay in the list.

    Args:
        project: as it was.

    Returns:
        The project as it is now, which is also written.

    Raises:
        FileNotFoundError: the folder is gone.
        OSError: the file cannot be written.
    """
    if not project.folder.is_dir():
        raise FileNotFoundError(f"the project's folder of pictures is gone: {str(project.folder)!r}")
    with records.locked(project.path):
        now = load(project.path)
        found, skipped = _scanned(now)
        fresh = {one.content: one for one in found}
        taken = {one.file for one in found}
        kept = []
        for one in now.pictures:
            if one.content in fresh:
                one = replace(fresh.pop(one.content), part=one.part)
            elif one.file in taken:  # its file holds another picture now, which has the name
                one = replace(one, file=f"{one.file} ({one.content[:8]})")
            kept.append(one)
        added = [replace(one, part="train") for one in fresh.values()]
        now = replace(now, pictures=(*kept, *added), skipped=skipped)
        _write(now)
    return now


# ------------------------------------------------------------------------------------------- the folder


def _scanned(project: Project) -> tuple[list[Picture], tuple[Skipped, ...]]:
    """The pictures in the folder by their names, each content once, and what was left out."""
    known = {one.file: one for one in project.pictures}
    names = sorted(picture_files(project, project.folder))

    def look(name: str) -> Picture | Skipped:
        path, old = project.folder / name, known.get(name)
        try:
            stat = _stat(path)
            if old is not None and old.stat == stat:
                return old
            image = load_photo(path)
            size = shapes.checked_size(image.shape[:2])
            return Picture(name, _content(image), size, "train", stat)
        except (OSError, ValueError) as error:
            return Skipped(name, str(error).removeprefix(f"{path.name} "))

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        looked = list(pool.map(look, names))
    first: dict[str, Picture] = {}
    skipped = []
    for one in looked:
        if isinstance(one, Skipped):
            skipped.append(one)
        elif first.setdefault(one.content, one) is not one:
            skipped.append(Skipped(one.file, f"the same picture as {first[one.content].file}"))
    return list(first.values()), tuple(skipped)


def picture_files(project: Project, folder: Path) -> Iterator[str]:
    """Names of the files in a folder that may be pictures; hidden ones and what a project made are left out.

    Args:
        project: whose own files are none.
        folder: with its subfolders.
    """
    own = f"{project.path.stem}-"
    home = project.path.parent.resolve()
    for place, folders, files in os.walk(folder):
        prefix = own if Path(place).resolve() == home else "."
        masks = [f for f in folders if Path(place, f, ANSWERS).is_file()]
        folders[:] = [f for f in folders if not f.startswith((".", prefix)) and f not in masks]
        for name in files:
            path = Path(place, name)
            if path.suffix.lower() in ENDINGS and not name.startswith((".", prefix)):
                yield path.relative_to(folder).as_posix()


def _stat(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _content(image: NDArray[np.uint8]) -> str:
    """Digest of size and pixels."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:32]


# --------------------------------------------------------------------------------------------- the file


def _file_of(path: str | Path) -> Path:
    """The project file: the path itself, or ``project.yaml`` in a folder."""
    path = Path(path).expanduser()
    return path if path.suffix in (".yaml", ".yml") and not path.is_dir() else path / "project.yaml"


def _write(project: Project) -> None:
    """The whole file; hold its lock."""
    try:
        folder = os.path.relpath(project.folder.resolve(), project.path.parent.resolve())
    except ValueError:  # another drive
        folder = str(project.folder.resolve())
    content: dict[str, Any] = {
        "version": VERSION,
        "folder": Path(folder).as_posix(),
        "classes": list(project.label_classes),
        "seed": project.seed,
    }
    if project.former:
        content["former_classes"] = [list(names) for names in project.former]
    lines = [_HEAD.format(stem=project.path.stem), _yaml(content), "pictures:\n"]
    for one in project.pictures:
        entry = {"file": one.file, "part": one.part, "size": list(one.size), "content": one.content}
        lines.append(_line(entry | {"stat": list(one.stat)}))
    lines.append("skipped:\n" if project.skipped else "skipped: []\n")
    lines += [_line(one._asdict()) for one in project.skipped]
    write_atomic(project.path, "".join(lines))


def _yaml(content: dict) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10**6)


def _line(entry: dict) -> str:
    """An entry of a list on one line."""
    text = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**9)
    return f"- {text.strip()}\n"


def _parsed(file: Path, content: dict) -> Project:
    names = checked_names(content["classes"])
    if BACKGROUND_NAME not in names or len(names) < 2:
        raise ValueError(f"classes must be names, {BACKGROUND_NAME} among them, got {shortened(names)}")
    former = tuple(checked_names(some) for some in content.get("former_classes") or ())
    if not isinstance(content["folder"], str):
        raise ValueError(f"folder must be a path, got {shortened(content['folder'])}")
    pictures = tuple(map(_picture, content.get("pictures") or ()))
    for what in ("file", "content"):
        if len({getattr(one, what) for one in pictures}) < len(pictures):
            raise ValueError(f"pictures must differ in {what}, got one twice")
    skipped = tuple(Skipped(str(one["file"]), str(one["reason"])) for one in content.get("skipped") or ())
    folder = (file.parent / content["folder"]).resolve()
    seed = whole("seed", content.get("seed", 0))
    return Project(file, folder, names, pictures, skipped, seed, former)


def _picture(entry: dict) -> Picture:
    content, stat = entry["content"], entry.get("stat", [0, 0])
    if not isinstance(entry["file"], str) or not entry["file"]:
        raise ValueError(f"file must be a name, got {shortened(entry['file'])}")
    if not isinstance(content, str) or len(content) != 32 or set(content) - set("0123456789abcdef"):
        raise ValueError(f"content must be 32 digits of 0..9 and a..f, got {shortened(content)}")
    size = shapes.checked_size(entry["size"])
    stat = (whole("stat", stat[0]), whole("stat", stat[1]))
    return Picture(entry["file"], content, size, choice("part", entry["part"], PARTS), stat)
