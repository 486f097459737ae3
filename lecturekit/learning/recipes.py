"""Recipes: how the first labels are made from boxes (Khoreva et al., CVPR 2017), and what follows."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .. import pixels
from ..kit import cache as disk
from ..kit.checks import choice, whole
from ..kit.parallel import mapped
from ..kit.storage import data_dir
from ..labels.boxes import fill_boxes, inner_boxes, intersect_labels, paint_masks
from ..labels.label_map import IGNORE
from ..pixels.edges import boundary_map, hed_edges
from ..pixels.grabcut import grabcut_images, grabcut_plus_inner
from ..pixels.proposals import proposal_labels, proposals
from .data import BoxAnnotations
from .features import compute_key
from .refine import filled_labels, ignore_doubted
from .tricks import TRICKS, Trick

#: Part of every cache's key; a change of what is computed gets a new number.
VERSION = 3
#: Of the code that makes labels: labels of an older version are not used.
SOURCE = disk.source_key(Path(pixels.__file__).parent)
#: Where boundaries come from. HED's weights are a package of their own (`edges.hed_edges`).
BOUNDARIES = ("own", "hed")
#: Pictures whose boxes are cut together.
BATCH = 16

Map = TypeVar("Map", bound=np.generic)
#: The boundary maps of all pictures, float32 ``(H, W)`` each, made when they are asked for.
Edges = Callable[[], Sequence[NDArray[np.float32]]]
#: Pictures with boxes, and their boundary maps -> labels of each, one after the other, uint8 ``(H, W)``.
LabelMaker = Callable[[BoxAnnotations, Edges], Iterator[NDArray[np.uint8]]]


def _each(annotations: BoxAnnotations) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    return zip(annotations.images, annotations.boxes, annotations.classes, strict=True)


def _naive(annotations: BoxAnnotations, edges: Edges) -> Iterator[NDArray[np.uint8]]:
    for image, boxes, classes in _each(annotations):
        yield fill_boxes(boxes, classes, image.shape[:2])


def _inner(annotations: BoxAnnotations, edges: Edges) -> Iterator[NDArray[np.uint8]]:
    for image, boxes, classes in _each(annotations):
        yield inner_boxes(boxes, classes, image.shape[:2])


def _grabcut(annotations: BoxAnnotations, edges: Edges | None) -> Iterator[NDArray[np.uint8]]:
    maps = None if edges is None else edges()
    for start in range(0, len(annotations), BATCH):
        some = slice(start, start + BATCH)
        part = annotations.part(some)
        cuts = grabcut_images(part.images, part.boxes, None if maps is None else maps[some])
        for (image, boxes, classes), cut in zip(_each(part), cuts, strict=True):
            yield paint_masks(cut.masks, boxes, classes, image.shape[:2])


def _grabcut_plain(annotations: BoxAnnotations, edges: Edges) -> Iterator[NDArray[np.uint8]]:
    return _grabcut(annotations, None)


def _grabcut_plus_inner(annotations: BoxAnnotations, edges: Edges) -> Iterator[NDArray[np.uint8]]:
    for (image, boxes, classes), edge in zip(_each(annotations), edges(), strict=True):
        yield grabcut_plus_inner(image, boxes, classes, edge, runs=10)


def _mcg(annotations: BoxAnnotations, edges: Edges) -> Iterator[NDArray[np.uint8]]:
    for image, boxes, classes in _each(annotations):
        yield proposal_labels(proposals(image), boxes, classes)


@dataclass(frozen=True)
class Recipe:
    """How the first labels are made, and what is done between rounds.

    Attributes:
        make: the first labels; None where they are made otherwise: ``full`` takes the masks,
            ``mcg_and_grabcut_plus`` what two other recipes agree on, ``filled`` looks at features.
        rounds: how many, unless told otherwise.
        tricks: applied to the student's labels between rounds.
        title: its name in tables, as the paper has it.
        folds: between rounds a picture's probabilities come from a student that did not learn from it: one
            of so many, each trained on the other parts of the pictures. 1: from the student itself.
        looks: its first labels need the backbone, and all pictures together.
    """

    make: LabelMaker | None
    rounds: int
    tricks: tuple[Trick, ...]
    title: str
    folds: int = 1
    looks: bool = False


RECIPES: dict[str, Recipe] = {
    "naive": Recipe(_naive, 4, (), "Naive"),
    "box": Recipe(_naive, 4, TRICKS, "Box"),
    "box_inner": Recipe(_inner, 4, TRICKS, "Box^i"),
    "grabcut": Recipe(_grabcut_plain, 1, TRICKS, "GrabCut"),
    "grabcut_plus": Recipe(_grabcut, 1, TRICKS, "GrabCut+"),
    "grabcut_plus_inner": Recipe(_grabcut_plus_inner, 1, TRICKS, "GrabCut+^i"),
    "mcg": Recipe(_mcg, 1, TRICKS, "MCG"),
    "mcg_and_grabcut_plus": Recipe(None, 1, TRICKS, "M∩G+"),
    "filled": Recipe(None, 2, (ignore_doubted,), "filled boxes", folds=4, looks=True),
    "full": Recipe(None, 1, (), "full supervision"),
}


def checked_recipe(recipe: str) -> Recipe:
    """The recipe of this name, or ``ValueError``."""
    return RECIPES[choice("recipe", recipe, RECIPES)]


def first_labels(
    recipe: str,
    annotations: BoxAnnotations,
    *,
    side: int | None = None,
    boundaries: str = "own",
    cache: bool = True,
    progress: bool = False,
    workers: int = 0,
) -> list[NDArray[np.uint8]]:
    """The labels that a recipe makes of boxes, uint8 ``(H, W)`` a picture.

    With workers, pictures that cannot be labelled cost the others nothing: a warning names them, and their
    maps are 255 everywhere. A call that was killed goes on where it stopped (unless ``cache=False``). For
    more pictures than memory holds, or more machines than one, see `label_files.write_label_files`.

    Args:
        recipe: a key of `RECIPES`, except ``"full"``, whose labels no box gives.
        annotations: pictures and boxes.
        side: labels are made of pictures shrunk to this longer side, and enlarged; None: of pictures as they
            are.
        boundaries: of the recipes that look at boundaries: ``"own"`` (`edges.boundary_map`), or ``"hed"``
            (`edges.hed_edges`), which needs HED's weights and learned from drawn outlines.
        cache: keep them below ``data/bootstrap`` and find them there next time. ``False`` reads and writes
            nothing.
        progress: show a bar.
        workers: 0 to work here; else so many processes of one thread each, which make the labels that one
            thread makes here. ``filled`` looks at all pictures together and works here in any case.

    Raises:
        ValueError: another recipe, or a number out of range.

    Example:
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> boxes = BoxAnnotations([image], [np.array([(1, 1, 3, 3)])], [np.array([7])])
        >>> first_labels("naive", boxes, cache=False)[0].tolist()
        [[0, 0, 0, 0, 0, 0], [0, 7, 7, 0, 0, 0], [0, 7, 7, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
    """
    plan = checked_recipe(recipe)
    make = plan.make
    if recipe == "full":
        raise ValueError("recipe must make labels from boxes, got 'full', which is the truth itself")
    choice("boundaries", boundaries, BOUNDARIES)
    if whole("workers", workers) and not plan.looks:
        return _by_processes(recipe, annotations, side, boundaries, cache, progress, workers)
    small = annotations.shrunk(side)
    edges = partial(_edges, small, annotations.images, boundaries, cache, progress)
    if make is None and not plan.looks:
        options: dict[str, Any] = {"boundaries": boundaries, "cache": cache, "progress": progress}
        both = (first_labels(one, small, **options) for one in ("mcg", "grabcut_plus"))
        labels = [intersect_labels(a, b, boxes) for a, b, boxes in zip(*both, small.boxes, strict=True)]
    else:
        name = f"labels-{recipe}" if boundaries == "own" else f"labels-{recipe}-{boundaries}"
        if make is None:
            large = annotations.images
            name = f"{name}-{disk.content_key(large)[:8]}"
            make = lambda annotations, edges: filled_labels(annotations, edges(), large)  # noqa: E731

        def made() -> list[NDArray[np.uint8]]:
            maps = make(small, edges)
            return list(tqdm(maps, total=len(small), desc=recipe, leave=False, disable=not progress))

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "GrabCut fell back")
            labels = _kept(name, small, made, cache)
    return [resized(one, size) for one, size in zip(labels, annotations.sizes, strict=True)]


def _edges(
    small: BoxAnnotations,
    images: Sequence[NDArray[np.uint8]],
    boundaries: str,
    cache: bool,
    progress: bool,
) -> list[NDArray[np.float32]]:
    """Boundary maps of all pictures: one work for all recipes that look at boundaries."""

    def made() -> list[NDArray[np.float32]]:
        pairs = zip(small.images, images, strict=True)
        bar = tqdm(pairs, total=len(images), desc="edges", leave=False, disable=not progress)
        if boundaries == "hed":  # it looks at the pictures as they are
            return [hed_edges(image, size=(one.shape[0], one.shape[1])) for one, image in bar]
        return [boundary_map(one).astype(np.float32) for one, _ in bar]

    return _kept("edges" if boundaries == "own" else boundaries, small, made, cache)


def _kept(
    name: str, annotations: BoxAnnotations, made: Callable[[], list[NDArray[Map]]], cache: bool
) -> list[NDArray[Map]]:
    """One map a picture: what an earlier call kept, or what is made now."""
    if not cache:
        return made()
    key = disk.content_key(VERSION, SOURCE, name, annotations, compute_key(torch.device("cpu")))
    return _kept_in(data_dir() / "bootstrap" / f"{name}-{key}.npz", key, made)


def _kept_in(file: Path, key: str, made: Callable[[], list[NDArray[Map]]]) -> list[NDArray[Map]]:
    """The maps in a file, or those that are made now and put there."""
    found = disk.read(file, key)
    if found is not None:
        return [found[str(k)] for k in range(len(found))]
    maps = made()
    disk.write(file, key, **{str(k): one for k, one in enumerate(maps)})
    return maps


@dataclass(frozen=True, eq=False)
class _Part:
    """Pictures whose labels one process makes together."""

    recipe: str
    annotations: BoxAnnotations
    side: int | None
    boundaries: str
    file: Path | None
    key: str

    def made(self) -> list[NDArray[np.uint8]]:
        options: dict[str, Any] = {"side": self.side, "boundaries": self.boundaries, "cache": False}
        return first_labels(self.recipe, self.annotations, **options)

    def labels(self) -> list[NDArray[np.uint8]]:
        """Its labels, which are kept until those of all parts are there."""
        return self.made() if self.file is None else _kept_in(self.file, self.key, self.made)


def _by_processes(
    recipe: str,
    annotations: BoxAnnotations,
    side: int | None,
    boundaries: str,
    cache: bool,
    progress: bool,
    workers: int,
) -> list[NDArray[np.uint8]]:
    """`first_labels` by several processes. The parts are those that the cuts go in here: `BATCH` pictures."""
    settings = (recipe, side, boundaries)
    key = disk.content_key(VERSION, SOURCE, settings, annotations, ("cpu", 1, torch.__version__))
    file = data_dir() / "bootstrap" / f"labels-{recipe}-{key}.npz" if cache else None
    folder = None if file is None else file.with_suffix(".parts")

    def part(start: int) -> _Part:
        own = folder and folder / f"{start}.npz"
        some = annotations.part(slice(start, start + BATCH))
        return _Part(recipe, some, side, boundaries, own, key)

    def made() -> list[NDArray[np.uint8]]:
        starts = range(0, len(annotations), BATCH)
        parts = map(part, starts)
        found: list[NDArray[np.uint8]] = []
        with tqdm(total=len(annotations), desc=recipe, leave=False, disable=not progress) as bar:
            for start, (labels, error) in zip(starts, mapped(_Part.labels, parts, workers), strict=True):
                some = annotations.part(slice(start, start + BATCH))
                if labels is None:
                    labels = _one_by_one(some, (recipe, side, boundaries), start, error)
                found += labels
                bar.update(len(some))
        return found

    labels = made() if file is None else _kept_in(file, key, made)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return labels


def _one_by_one(
    part: BoxAnnotations, settings: tuple[str, int | None, str], start: int, error: Exception | None
) -> list[NDArray[np.uint8]]:
    """Labels of pictures of which one, or the process that had them, met an error."""
    recipe, side, boundaries = settings
    singles = (
        _Part(recipe, part.part(slice(k, k + 1)), side, boundaries, None, "") for k in range(len(part))
    )
    found = []
    for k, (labels, own) in enumerate(mapped(_Part.labels, singles, 1)):
        if labels is None:
            warnings.warn(f"picture {start + k} has no labels: {own or error}", stacklevel=4)
            labels = [np.full(part.sizes[k], IGNORE, np.uint8)]
        found += labels
    return found


def resized(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A label map at another size: each pixel takes the label of the nearest one."""
    if labels.shape == size:
        return labels
    large = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return large.astype(np.uint8, copy=False)
