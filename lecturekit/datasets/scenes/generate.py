"""Scenes and clips: pictures with all their labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...kit.checks import whole
from . import captions, strokes
from .kinds import CLASSES
from .render import flow, render
from .world import Parameters, World, draw_world


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """A picture and what is true of it. Objects are ordered from back to front.

    Attributes:
        image: uint8 RGB ``(H, W, 3)``.
        mask: uint8 ``(H, W)``, the class that each pixel shows (0 background and clutter, 1.. as `CLASSES`).
        instances: uint8 ``(H, W)``, 0 or the number 1..N of the object that each pixel shows.
        boxes: int64 ``(N, 4)``, x0, y0, x1, y1, half open, tight round what is visible of object k + 1.
        classes: int64 ``(N,)``, numbers of the objects' classes.
        colours: the names of the objects' colours.
        background: name of the background.
        index: which scene of its set.
        seed: which set.
    """

    image: np.ndarray
    mask: np.ndarray
    instances: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    colours: tuple[str, ...]
    background: str
    index: int
    seed: int

    def __repr__(self) -> str:
        height, width = self.mask.shape
        return f"<Scene {self.index} of seed {self.seed}, {height} x {width}: {self.caption}>"

    @property
    def labels(self) -> set[int]:
        """The image-level label: numbers of the classes that are to be seen."""
        return set(self.classes.tolist())

    @property
    def names(self) -> set[str]:
        """`labels` in words."""
        return {CLASSES[c] for c in self.labels}

    @cached_property
    def caption(self) -> str:
        """What is to be seen, in words (`captions.describe`)."""
        return captions.describe(self.background, self.classes.tolist(), self.colours, self.boxes)

    @cached_property
    def clicks(self) -> np.ndarray:
        """A click on each object, int64 ``(N, 2)`` of x, y: the pixel of it that is deepest inside."""
        return np.array([strokes.deepest(self.instances == k + 1) for k in range(len(self.boxes))]).reshape(
            -1, 2
        )

    @cached_property
    def scribbles(self) -> np.ndarray:
        """A stroke along each object and one on the background: uint8 ``(H, W)``, 255 elsewhere."""
        return strokes.scribble(self.mask, self.instances)


@dataclass(frozen=True, eq=False, repr=False)
class Clip:
    """Frames of one world in motion; object k is the same object in all of them.

    Attributes:
        frames: a `Scene` each.
        flow: float32 ``(T - 1, H, W, 2)``: pixels (dx, dy) that the surface shown by each pixel of frame t
            moves until frame t + 1, also where it is hidden then.
    """

    frames: tuple[Scene, ...]
    flow: np.ndarray

    def __repr__(self) -> str:
        return f"<Clip of {len(self.frames)} frames, the first {self.frames[0]!r}>"

    @property
    def images(self) -> np.ndarray:
        """uint8 RGB ``(T, H, W, 3)``."""
        return np.stack([frame.image for frame in self.frames])

    @property
    def masks(self) -> np.ndarray:
        """uint8 class masks ``(T, H, W)``."""
        return np.stack([frame.mask for frame in self.frames])


def scene(index: int, seed: int = 0, **parameters) -> Scene:
    """Scene number `index` of an endless set: the same on every platform for the same `VERSION`.

    Args:
        index: which scene of the set, at least 0.
        seed: which set, at least 0.
        parameters: size, classes, objects, clutter, overlap, context_bias, contrast, noise (`Parameters`).

    Raises:
        TypeError: naming an argument that is none of these.
        ValueError: naming an argument that is out of its range.

    Example:
        >>> scene(3, size=64).image.shape
        (64, 64, 3)
    """
    return clip(index, seed, frames=1, **parameters).frames[0]


def clip(index: int, seed: int = 0, frames: int = 8, **parameters) -> Clip:
    """Clip number `index`: a still scene's world with a moving camera and objects that move and turn.

    Args:
        index: which clip of the set, at least 0.
        seed: which set, at least 0.
        frames: how many, 1 to 64. Every object is to be seen in all of them.
        parameters: as in `scene`.
    """
    key = (whole("seed", seed, 0), whole("index", index, 0), whole("frames", frames, 1, 64))
    checked = Parameters(**parameters)
    world = draw_world(key, checked, frames)
    views = [render(world, key, checked, t) for t in range(frames)]
    motion = [flow(world, owner, t) for t, (_, owner) in enumerate(views[:-1])]
    scenes = tuple(_labelled(world, *view, index=key[1], seed=key[0]) for view in views)
    return Clip(scenes, np.array(motion, np.float32).reshape(-1, *checked.shape, 2))


def _labelled(world: World, image: np.ndarray, owner: np.ndarray, index: int, seed: int) -> Scene:
    """All labels from what each pixel shows."""
    objects = [place for place, thing in enumerate(world.things) if thing.kind]
    number = np.zeros(len(world.things) + 1, np.uint8)  # the last entry is for the background, place -1
    number[objects] = np.arange(1, len(objects) + 1)
    instances = number[owner]
    classes = np.array([world.things[place].kind for place in objects], np.int64)
    return Scene(
        image,
        np.concatenate([[0], classes]).astype(np.uint8)[instances],
        instances,
        np.array([tight_box(instances == k + 1) for k in range(len(objects))], np.int64).reshape(-1, 4),
        classes,
        tuple(world.things[place].colour for place in objects),
        world.background,
        index,
        seed,
    )


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest half-open box x0, y0, x1, y1 round the true pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
