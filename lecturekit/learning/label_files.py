"""Labels of more pictures than memory holds: a folder of PNGs, made on all cores or on a cluster.

One function of a few pictures (`write_labels`) reads them from a folder in VOC's layout and writes their
label maps beside each other. It may be called any number of times, on any machine that sees both folders:
what is there is left, and what it writes is the same each time. So nothing is lost but the work under way
when a process or a machine goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..datasets.voc import VOC, read_mask
from ..kit.checks import whole
from ..kit.files import read_json
from ..kit.parallel import Outcome, mapped, one_thread
from ..kit.storage import write_atomic
from ..labels.boxes import checked_boxes
from ..labels.interchange.masks import png
from .data import BoxAnnotations
from .recipes import BATCH, SOURCE, VERSION, checked_recipe, first_labels

#: What a folder's labels are of, beside them.
SETTINGS = "labels.json"
#: An image, its boxes and their classes.
Boxed = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
#: How often a cluster tries a task again whose worker died.
RETRIES = 3


class _Read(Sequence):
    """Arrays that are read when they are asked for."""

    def __getitem__(self, index: Any) -> Any:
        """One array, or a list of several."""
        which = range(len(self))[index]
        return self.read(which) if isinstance(which, int) else [self.read(k) for k in which]

    def read(self, number: int) -> NDArray[np.uint8]:
        raise NotImplementedError


class ReadImages(_Read):
    """Photographs that are read when they are asked for, as `Pictures` and `finetune` take them.

    Args:
        voc: the folder and its list.
        numbers: of the photographs, on that list; None: all.
    """

    def __init__(self, voc: VOC, numbers: Sequence[int] | None = None):
        self.voc = voc
        self.numbers = list(range(len(voc))) if numbers is None else list(numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, number: int) -> NDArray[np.uint8]:
        """uint8 RGB ``(H, W, 3)``."""
        return self.voc.image(self.numbers[number])

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each, from the heads of the files."""
        return [self.voc.size(k) for k in self.numbers]


class ReadLabels(_Read):
    """Label maps that are read when they are asked for.

    Args:
        folder: of PNGs.
        names: of the pictures, without an ending.
    """

    def __init__(self, folder: str | Path, names: Sequence[str]):
        self.folder = Path(folder)
        self.names = list(names)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, number: int) -> NDArray[np.uint8]:
        """uint8 ``(H, W)``."""
        return read_mask(self.folder / f"{self.names[number]}.png")


@dataclass(frozen=True)
class LabelTask:
    """A few pictures whose labels are made together; small, so that it travels cheaply.

    Attributes:
        recipe: a key of `RECIPES`.
        root: folder in VOC's layout, as every worker sees it.
        split: list of pictures in ImageSets/Segmentation.
        numbers: of the pictures, on that list.
        folder: where the labels go, as every worker sees it.
        side: as in `first_labels`.
    """

    recipe: str
    root: str
    split: str
    numbers: tuple[int, ...]
    folder: str
    side: int | None = None


@dataclass
class LabelReport:
    """What `write_label_files` did.

    Attributes:
        pictures: how many were asked for.
        failed: names of those that have no labels, and why.
    """

    pictures: int
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.pictures - len(self.failed)} of {self.pictures} pictures have labels"]
        return "\n".join([*lines, *(f"left out: {name}: {reason}" for name, reason in self.failed.items())])


def write_labels(task: LabelTask) -> dict[str, str]:
    """Make and write the labels of the pictures of one task; nothing, if all are there.

    Args:
        task: what to do.

    Returns:
        Names of the pictures that could not be labelled, and why.
    """
    voc = VOC(task.root, task.split)
    files, failed = [], {}
    readable: list[Boxed] = []
    for k in task.numbers:
        try:
            image = voc.image(k)
            readable.append((image, *checked_boxes(*voc.objects(k), image.shape[:2])))
            files.append(Path(task.folder) / f"{voc.names[k]}.png")
        except (OSError, ValueError) as error:
            failed[voc.names[k]] = str(error)
    if all(file.exists() for file in files):
        return failed
    for file, outcome in zip(files, _made(task, readable), strict=True):
        if outcome.value is None:
            failed[file.stem] = str(outcome.error)
        else:
            write_atomic(file, png(outcome.value))
    return failed


def _made(task: LabelTask, pictures: list[Boxed]) -> Iterator[Outcome[NDArray[np.uint8]]]:
    """Labels of each picture: all together, or, if one of them is in the way, one by one."""
    try:
        yield from [Outcome(one, None) for one in _labels(task, pictures)]
    except Exception:  # whatever a picture may do to a label maker is that picture's trouble
        for picture in pictures:
            try:
                yield Outcome(_labels(task, [picture])[0], None)
            except Exception as error:
                yield Outcome(None, error)


def _labels(task: LabelTask, pictures: list[Boxed]) -> list[NDArray[np.uint8]]:
    return first_labels(
        task.recipe, BoxAnnotations(*zip(*pictures, strict=True)), side=task.side, cache=False
    )


def write_label_files(
    recipe: str,
    root: str | Path,
    split: str,
    folder: str | Path,
    *,
    side: int | None = None,
    most: int | None = None,
    workers: int = 0,
    dask: str | None = None,
    progress: bool = False,
) -> LabelReport:
    """Labels of all pictures of a list, one PNG each in VOC's colours, from their boxes.

    A call that was killed goes on where it stopped. A picture whose files are not in order, or that defeats
    the recipe, is reported and left out.

    Args:
        recipe: a key of `RECIPES` that makes labels of boxes and looks at each picture by itself.
        root: folder in VOC's layout; masks are not looked at.
        split: a list in ImageSets/Segmentation.
        folder: where the labels go. It must be new, empty, or hold labels of the same recipe, side and code.
        side: as in `first_labels`.
        most: the first so many pictures of the list alone; None: all.
        workers: 0 to work here; else so many processes on this machine, of one thread each.
        dask: address of a scheduler, such as ``"tcp://head:8786"``: its workers make the labels. They must
            see both folders under the same names, and have this version of the package.
        progress: show a bar.

    Raises:
        FileNotFoundError: a part of VOC's layout is missing.
        ImportError: Dask is not installed.
        ValueError: another recipe, a number out of range, or a folder with labels of another kind.
    """
    plan = checked_recipe(recipe)
    if recipe == "full" or plan.looks:
        raise ValueError(f"recipe must make labels of each picture's boxes alone, got {recipe!r}")
    whole("workers", workers)
    if side is not None:
        whole("side", side, 1)
    root, folder = Path(root).expanduser().resolve(), Path(folder).expanduser().resolve()
    count = len(VOC(root, split))
    if most is not None:
        count = min(count, whole("most", most, 1))
    _claim(folder, {"recipe": recipe, "side": side, "code": f"{VERSION}-{SOURCE}"})
    tasks = [
        LabelTask(recipe, str(root), split, tuple(range(k, min(k + BATCH, count))), str(folder), side)
        for k in range(0, count, BATCH)
    ]
    report = LabelReport(count)
    if dask is not None:
        outcomes = _on_cluster(tasks, dask)
    elif workers:
        outcomes = zip(tasks, mapped(write_labels, tasks, workers), strict=True)
    else:
        outcomes = ((task, Outcome(write_labels(task), None)) for task in tasks)
    names = VOC(root, split).names
    with tqdm(total=count, desc=recipe, leave=False, disable=not progress) as bar:
        for task, (failed, error) in outcomes:
            report.failed |= {names[k]: str(error) for k in task.numbers} if failed is None else failed
            bar.update(len(task.numbers))
    return report


def _claim(folder: Path, settings: dict[str, object]) -> None:
    """Say in the folder what its labels are of; refuse one whose labels are of something else."""
    file = folder / SETTINGS
    if file.exists():
        met = read_json(file)
        if met != settings:
            other = [key for key in settings if not isinstance(met, dict) or met.get(key) != settings[key]]
            raise ValueError(f"{folder} holds labels of another {' and '.join(other)}; name another folder")
    elif folder.is_dir() and any(folder.glob("*.png")):
        raise ValueError(f"{folder} holds PNGs of unknown origin; name another folder")
    else:
        write_atomic(file, json.dumps(settings, indent=1) + "\n")


def _on_cluster(tasks: list[LabelTask], address: str) -> Iterator[tuple[LabelTask, Outcome[dict[str, str]]]]:
    """The tasks by the workers of a Dask cluster, in the order in which they are done."""
    try:
        from dask.distributed import Client, as_completed
    except ImportError as error:
        raise ImportError("a cluster needs Dask: python -m pip install 'lecturekit[scale]'") from error
    with Client(address) as client:
        futures = client.map(write_labels_alone, tasks, pure=False, retries=RETRIES)
        by_key = dict(zip((future.key for future in futures), tasks, strict=True))
        for future in as_completed(futures):
            error = future.exception()
            yield by_key[future.key], Outcome(None if error else future.result(), error)
            future.release()


def write_labels_alone(task: LabelTask) -> dict[str, str]:
    """`write_labels` with one thread, for processes that somebody else started."""
    one_thread()
    return write_labels(task)
