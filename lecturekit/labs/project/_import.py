"""Labels from the files of other tools, brought into a project."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...kit.checks import choice
from ...labels.interchange import (
    Labelled,
    Read,
    read_coco,
    read_cvat,
    read_labelme,
    read_labelme_folder,
    read_voc,
    read_yolo,
)
from ._file import Picture, Project, Skipped

#: Formats that can be read: `import_labels`.
FORMATS = ("coco", "voc", "yolo", "cvat", "labelme")
#: Of entries that are left out for the same reason, so many are named.
SHOWN = 3


@dataclass(frozen=True)
class Imported:
    """What came of `import_labels`.

    Attributes:
        labels: how many labels were saved, those that were there before included.
        pictures: on how many pictures.
        skipped: entries that were left out, and why.
        notes: what the file says beside its labels and is lost.
    """

    labels: int
    pictures: int
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.labels} labels on {self.pictures} pictures, {len(self.skipped)} entries left out"]
        reasons: dict[str, list[str]] = {}
        for one in self.skipped:
            reasons.setdefault(one.reason, []).append(one.file)
        for reason, files in reasons.items():
            more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
            lines.append(f"  {', '.join(files[:SHOWN])}{more}: {reason}")
        return "\n".join([*lines, *self.notes])


def import_labels(project: Project, path: str | Path, format_: str) -> Imported:
    """Bring another tool's labels into the project; what is not in order is left out and reported.

    Pictures are found by their path, or by the last part of it where that is one picture's alone. Classes go
    by their names, whatever case they are in. The same file brought in twice adds nothing.

    Args:
        project: the project.
        path: the file (COCO, CVAT, labelme) or the folder (VOC, YOLO, labelme).
        format_: of `FORMATS`.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: another format, or a file of which nothing can be read.
        OSError: labels cannot be written; those of other pictures stay.
    """
    path = Path(path).expanduser()
    choice("format_", format_, FORMATS)
    if not path.exists():
        raise FileNotFoundError(f"path must be a file or folder of labels, got {str(path)!r}")
    read = _read(project, path, format_)
    pictures: Sequence[Labelled] = [read[0]] if isinstance(read[0], Labelled) else read[0]
    skipped = [Skipped(one.place, one.reason) for one in read.report.left_out]
    numbers = {name.casefold(): k for k, name in enumerate(project.label_classes, 1)}
    saved = touched = 0
    for entry in pictures:
        picture = _found(project, entry.file_name)
        if picture is None:
            skipped.append(Skipped(entry.file_name, "no picture of the project is called so"))
        elif entry.size != picture.size:
            reason = f"its size is {entry.size} there and {picture.size} here (turned, or another copy?)"
            skipped.append(Skipped(entry.file_name, reason))
        else:
            labels = []
            for label in entry.labels:
                name = read[1][label["class_index"] - 1]
                number = numbers.get(name.casefold())
                if number is None:
                    skipped.append(Skipped(entry.file_name, f"the project has no class {name!r}"))
                else:
                    labels.append(_renamed(label | {"class_index": number}, format_))
            if labels:
                try:
                    project.save_labels(picture, labels)
                except ValueError as error:
                    skipped.append(Skipped(entry.file_name, str(error)))
                    continue
                saved += len(labels)
                touched += 1
    return Imported(saved, touched, tuple(skipped), read.report.notes)


def _read(project: Project, path: Path, format_: str) -> Read:
    if format_ == "labelme":
        return (read_labelme_folder if path.is_dir() else read_labelme)(path, on_error="skip")
    if format_ == "yolo":  # its text files do not tell sizes, and the pictures lie elsewhere
        sizes = {PurePosixPath(one.file).stem: one.size for one in project.pictures}
        return read_yolo(path, sizes=sizes, on_error="skip")
    readers = {"coco": read_coco, "voc": read_voc, "cvat": read_cvat}
    return readers[format_](path, on_error="skip")


def _found(project: Project, name: str) -> Picture | None:
    """The picture of this path, else of this file name, else of this name without ending."""
    wanted = PurePosixPath(name)
    for part in (lambda p: p, lambda p: PurePosixPath(p.name), lambda p: PurePosixPath(p.stem)):
        same = [one for one in project.pictures if part(PurePosixPath(one.file)) == part(wanted)]
        if len(same) == 1:
            return same[0]
    return None


def _renamed(label: dict, format_: str) -> dict:
    """The label with an id that is the same for the same label, and no other's."""
    about = {key: value for key, value in label.items() if key not in ("id", "milliseconds")}
    digest = hashlib.sha256(repr(sorted(about.items())).encode()).hexdigest()[:16]
    return label | {"id": f"{format_}-{digest}"}
