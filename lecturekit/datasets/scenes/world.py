"""What a scene is made of, drawn at random: its background, its things, where each lies and how it moves."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...kit.checks import number, whole
from .draws import Draws
from .kinds import BACKGROUNDS, CLASSES, COLOURS, KINDS, RGB, SURFACES
from .outlines import CLUTTER, FULL, TURN, UNIT, Outline, coverage, posed, rotate, signed_area

#: Part of every random key. A change of what any scene shows gets a new number, and the tests new hashes.
VERSION = 1

#: A thing must show at least this many pixels, and this share of itself must lie inside the picture.
MIN_PIXELS, MIN_INSIDE = 10, 0.4
#: A centre keeps this share of the thing's side away from the border.
MARGIN = 0.39
#: No thing is drawn smaller than this, pixels: the root of its box's area.
LEAST_SIDE = 8
#: Places tried for a thing before the scene goes on without it.
TRIES = 12
#: How many objects a scene asks for, 1 .. 8, and how often, after the boxes of VOC's pictures.
OBJECTS = (0.4, 0.23, 0.14, 0.11, 0.05, 0.03, 0.02, 0.02)
#: A later object is of an earlier one's class this often; has the colour of its class this often.
SAME_CLASS, SAME_COLOUR = 0.42, 0.7
#: Quantiles at 0, 1/8 .. 1 of an object's size: the root of its box's share of the picture.
SIZES = (0.06, 0.1, 0.16, 0.26, 0.37, 0.51, 0.67, 0.84, 1.1)


@dataclass(frozen=True)
class Parameters:
    """What can be asked of a scene.

    Attributes:
        size: height and width in pixels, or one number for both, 32 to 1024.
        classes: names or numbers of the classes that may appear; None for all.
        objects: how many objects to try to place, 0 to 50 (fewer where they do not fit); None draws 1 to 8.
        clutter: how many things of no class on average, 0 to 20.
        overlap: the share of an object that others may hide, 0 to 0.9.
        context_bias: how likely an object is to lie on its class's background, 0 (as likely on any) to 1.
        contrast: of textures, 0 (flat colours) to 2.
        noise: standard deviation of the camera's noise in grey levels, 0 to 50.

    Raises:
        TypeError: a size or classes of another kind.
        ValueError: any value out of its range.
    """

    size: int | tuple[int, int] = 96
    classes: Sequence[str | int] | None = None
    objects: int | None = None
    clutter: float = 2.5
    overlap: float = 0.35
    context_bias: float = 0.0
    contrast: float = 1.0
    noise: float = 6.0

    def __post_init__(self):
        for side in self.shape:
            whole("size", side, 32, 1024)
        if self.objects is not None:
            whole("objects", self.objects, 0, 50)
        for name, high in (
            ("clutter", 20),
            ("overlap", 0.9),
            ("context_bias", 1),
            ("contrast", 2),
            ("noise", 50),
        ):
            number(name, getattr(self, name), 0, high)
        _ = self.kinds

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        if isinstance(self.size, numbers.Integral):
            return int(self.size), int(self.size)
        if not isinstance(self.size, Sequence) or isinstance(self.size, str) or len(self.size) != 2:
            raise TypeError(f"size must be a whole number or (height, width), got {self.size!r}")
        height, width = self.size
        return height, width

    @property
    def kinds(self) -> tuple[int, ...]:
        """Numbers of the classes that may appear."""
        if self.classes is None:
            return tuple(range(1, len(CLASSES)))
        if not isinstance(self.classes, Sequence) or isinstance(self.classes, str):
            raise TypeError(f"classes must be a list of names or numbers, got {self.classes!r}")
        if not self.classes:
            raise ValueError("classes must name at least one class, got none")
        found = [CLASSES.index(c) if c in CLASSES else c for c in self.classes]
        known = range(1, len(CLASSES))
        for c in found:
            if isinstance(c, str | bool) or c not in known:
                raise ValueError(f"classes must be of {', '.join(CLASSES[1:])}, got {c!r}")
        return tuple(sorted({int(c) for c in found}))


@dataclass(frozen=True)
class Thing:
    """One object (kind 1 and up) or piece of clutter (kind 0).

    Attributes:
        outline: polygons in pixels about the thing's centre, before it turns.
        centre: x, y in pixels at frame 0, multiples of 1 / UNIT.
        velocity: x, y in pixels a frame, multiples of 1 / UNIT.
        turn: how far the surface's texture is turned at frame 0.
        spin: how far the thing turns a frame.
        side: root of the area of its box, pixels.
        soft: how many times its edge is smoothed.
    """

    kind: int
    colour: str
    rgb: RGB
    surface: str
    origin: tuple[float, float]
    turn: int
    outline: Outline
    side: float
    soft: int
    centre: np.ndarray = field(default_factory=lambda: np.zeros(2))
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    spin: int = 0

    def place(self, frame: int) -> np.ndarray:
        """Its centre at a frame, x and y in pixels."""
        return self.centre + frame * self.velocity

    def cover(self, frame: int, shape: tuple[int, int]) -> np.ndarray:
        """How many of each pixel's `FULL` sample points it covers at a frame: int64 ``(H, W)``."""
        canvas = np.zeros(shape, np.int64)
        placed = [rotate(polygon, frame * self.spin) + self.place(frame) for polygon in self.outline]
        rows, columns, counts = coverage(placed, shape)
        canvas[rows, columns] = counts
        return canvas


@dataclass(frozen=True)
class World:
    """A scene before it is looked at; `things` from back to front, `pan` the background's pixels a frame."""

    background: str
    rgb: RGB
    origin: tuple[float, float]
    turn: int
    zoom: float
    light: int
    slope: tuple[float, float]
    pan: np.ndarray
    things: tuple[Thing, ...]


def draw_world(key: tuple[int, ...], parameters: Parameters, frames: int = 1) -> World:
    """The world of this key: the same for the same key, parameters and number of frames."""
    layout, look, extra = (Draws(VERSION, *key, stream) for stream in range(3))
    kinds, background = draw_classes(layout, parameters)
    pan = _velocity(look, parameters, 0.02) if frames > 1 else np.zeros(2)
    room = _Room(parameters, frames)
    room.fill(_objects(layout, kinds, parameters), layout, moving=frames > 1)
    clutter = _clutter(extra, parameters)
    split = sum(extra.chance(0.6) for _ in clutter)
    behind = [replace(thing, centre=_somewhere(extra, parameters), velocity=pan) for thing in clutter[:split]]
    room.fill(clutter[split:], extra, moving=False, velocity=pan)
    return World(
        background,
        _tinted(look, BACKGROUNDS[background].colour, 24),
        (look.uniform(0, 512), look.uniform(0, 512)),
        look.below(65) - 32 + (TURN // 4) * look.below(2) * (background not in ("water", "paper")),
        look.uniform(0.75, 1.3),
        look.below(TURN),
        (look.uniform(-0.3, 0.3), look.uniform(-0.3, 0.3)),
        pan,
        (*behind, *room.things),
    )


def draw_classes(draws: Draws, parameters: Parameters) -> tuple[list[int], str]:
    """Numbers of the classes of the objects, in no order, and the name of the background."""
    count = parameters.objects
    if count is None:
        count = draws.pick(range(1, len(OBJECTS) + 1), OBJECTS)
    background = draws.pick(tuple(BACKGROUNDS))
    kinds: list[int] = []
    for _ in range(count):
        if kinds and draws.chance(SAME_CLASS):
            kinds.append(draws.pick(kinds))
        else:
            kinds.append(_kind_on(draws, parameters, background if kinds else None))
        if len(kinds) == 1 and draws.chance(parameters.context_bias):
            background = KINDS[kinds[0] - 1].home
    return kinds, background


def _kind_on(draws: Draws, parameters: Parameters, background: str | None) -> int:
    """A class by its share; on a known background mostly one that is at home there (`context_bias`)."""
    kind = draws.pick(parameters.kinds, [KINDS[k - 1].share for k in parameters.kinds])
    at_home = [k for k in parameters.kinds if KINDS[k - 1].home == background]
    return at_home[0] if at_home and draws.chance(parameters.context_bias) else kind


def _objects(draws: Draws, kinds: Sequence[int], parameters: Parameters) -> list[Thing]:
    """An object for each class number, the largest first: the smaller of two mostly lies in front."""
    colours: dict[int, str] = {}
    things = []
    for k in kinds:
        kind = KINDS[k - 1]
        if k not in colours or not draws.chance(SAME_COLOUR):
            colours[k] = draws.pick(kind.colours)
        tilt = draws.below(2 * kind.tilt) - kind.tilt
        size = _size(draws)
        stout = min(1.0, 0.4 * draws.uniform() + 0.8 * size)  # what is large is mostly near, or broad
        outline = posed(kind.outline(draws, stout), draws.uniform(0.7, 1), tilt, draws.chance(0.5))
        things.append(_thing(draws, parameters, k, colours[k], kind.surface, outline, size, tilt))
    return sorted(things, key=lambda thing: -thing.side * draws.uniform(0.8, 1.25))


def _clutter(draws: Draws, parameters: Parameters) -> list[Thing]:
    things = []
    for _ in range(int(draws.uniform(0, 2 * parameters.clutter) + draws.uniform())):  # mean exactly `clutter`
        outline = draws.pick(CLUTTER)(draws, draws.uniform())
        outline = posed(outline, draws.uniform(0.6, 1), draws.below(TURN), False)
        colour, surface = draws.pick(tuple(COLOURS)), draws.pick(tuple(SURFACES))
        size = 0.6 * _size(draws)
        things.append(_thing(draws, parameters, 0, colour, surface, outline, size, draws.below(TURN)))
    return things


def _thing(
    draws: Draws,
    parameters: Parameters,
    kind: int,
    colour: str,
    surface: str,
    outline: Outline,
    size: float,
    turn: int,
) -> Thing:
    height, width = parameters.shape
    side = max(LEAST_SIDE, size * math.sqrt(height * width))
    origin = (draws.uniform(0, 512), draws.uniform(0, 512))
    rgb = _tinted(draws, COLOURS[colour], 24, draws.uniform(0, 0.35))
    scaled = [polygon * side for polygon in outline]
    return Thing(kind, colour, rgb, surface, origin, turn, scaled, side, draws.below(3))


def _size(draws: Draws) -> float:
    """A size from the quantiles `SIZES`."""
    place = draws.uniform(0, len(SIZES) - 1)
    k = int(place)
    return SIZES[k] + (place - k) * (SIZES[k + 1] - SIZES[k])


def _tinted(draws: Draws, rgb: RGB, spread: int, grey: float = 0.0) -> RGB:
    """A colour near `rgb`: paler by the share `grey`, lighter or darker, and a little off in each channel."""
    light, mean = draws.uniform(-1.5, 1) * spread, sum(rgb) / 3
    shades = [(1 - grey) * v + grey * mean + light + draws.uniform(-0.5, 0.5) * spread for v in rgb]
    red, green, blue = (round(min(250, max(5, shade))) for shade in shades)
    return red, green, blue


def _somewhere(draws: Draws, parameters: Parameters, side: float = 0.0) -> np.ndarray:
    """A centre for a thing, x and y in multiples of 1 / UNIT pixel; large things keep off the border."""
    margin = [min(n / 2, MARGIN * side) for n in reversed(parameters.shape)]
    spot = [draws.uniform(m, n - m) for m, n in zip(margin, reversed(parameters.shape), strict=True)]
    return np.rint(np.array(spot) * UNIT) / UNIT


def _velocity(draws: Draws, parameters: Parameters, share: float) -> np.ndarray:
    """Pixels a frame, up to a share of the picture's side in either direction."""
    reach = round(share * min(parameters.shape) * UNIT)
    return np.array([draws.below(2 * reach + 1) - reach, draws.below(2 * reach + 1) - reach]) / UNIT


class _Room:
    """Things placed one in front of the other so that of each object enough is seen in every frame."""

    def __init__(self, parameters: Parameters, frames: int):
        self.parameters, self.frames = parameters, frames
        self.things: list[Thing] = []
        self._whole: list[np.ndarray] = []  # bool (frames, H, W): where each thing would be seen alone
        self._seen: list[np.ndarray] = []  # the same, less what later things hide

    def fill(
        self, things: Sequence[Thing], draws: Draws, moving: bool, velocity: np.ndarray | None = None
    ) -> None:
        """Place each thing where it fits, or leave it out after `TRIES` places."""
        for thing in things:
            for candidate in self._candidates(thing, draws, moving, velocity):
                covers = [candidate.cover(t, self.parameters.shape) for t in range(self.frames)]
                mask = np.stack(covers) >= FULL // 2
                if self._fits(candidate, mask):
                    self._seen = [seen & ~mask for seen in self._seen]
                    self.things.append(candidate)
                    self._whole.append(mask)
                    self._seen.append(mask)
                    break

    def _candidates(
        self, thing: Thing, draws: Draws, moving: bool, velocity: np.ndarray | None
    ) -> Iterator[Thing]:
        for _ in range(TRIES):
            centre = _somewhere(draws, self.parameters, thing.side)
            speed = _velocity(draws, self.parameters, 0.03) if moving else np.zeros(2)
            spin = draws.below(25) - 12 if moving else 0
            yield replace(thing, centre=centre, velocity=speed if velocity is None else velocity, spin=spin)

    def _fits(self, thing: Thing, mask: np.ndarray) -> bool:
        """Enough of the thing lies in the picture, and it hides no more of the others than is allowed."""
        area = sum(signed_area(polygon) for polygon in thing.outline)
        shown = mask.sum((1, 2)).min()
        if shown < MIN_PIXELS or shown < MIN_INSIDE * area:
            return False
        least = 1 - self.parameters.overlap
        for other, whole_mask, seen in zip(self.things, self._whole, self._seen, strict=True):
            left = (seen & ~mask).sum((1, 2))
            if other.kind and (left < np.maximum(MIN_PIXELS, least * whole_mask.sum((1, 2)))).any():
                return False
        return True
