"""What there is in the scenes: classes, colours, surfaces, backgrounds.

No cue tells the classes apart alone: star and flower differ in surface only, fern and feather in colour only,
boat and snake in outline only, and clutter of no class has all surfaces and all colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import outlines
from .draws import Draws

RGB = tuple[int, int, int]

#: Colours of things by name, each the middle of a range.
COLOURS: dict[str, RGB] = {
    "red": (196, 58, 48),
    "yellow": (222, 184, 54),
    "green": (84, 148, 62),
    "blue": (62, 108, 190),
    "violet": (142, 80, 170),
    "white": (220, 220, 214),
}


@dataclass(frozen=True)
class Surface:
    """How a thing's inside looks: a tile, None for none, and its pixels for one of a 96-pixel picture."""

    tile: str | None
    step: float


SURFACES: dict[str, Surface] = {
    "smooth": Surface(None, 1.0),
    "speckled": Surface("gravel", 4.0),
    "fringed": Surface("grass", 4.0),
    "tiled": Surface("brick", 9.0),
    "furry": Surface("fur", 2.0),
}


@dataclass(frozen=True)
class Background:
    """A ground: its tile, pixels of it for one of a 96-pixel picture across and down, its colour."""

    tile: str
    across: float
    down: float
    colour: RGB


BACKGROUNDS: dict[str, Background] = {
    "brick": Background("brick", 3.0, 3.0, (158, 92, 70)),
    "grass": Background("grass", 2.0, 2.0, (98, 132, 60)),
    "gravel": Background("gravel", 2.0, 2.0, (140, 136, 132)),
    "paper": Background("page", 1.2, 1.2, (208, 204, 186)),
    "water": Background("gravel", 0.9, 4.0, (66, 112, 150)),
    "sand": Background("moon", 1.6, 1.6, (200, 172, 124)),
    "wood": Background("table", 0.7, 0.7, (150, 92, 54)),
}


@dataclass(frozen=True)
class Kind:
    """A class of things: its names, what it looks like, where it is at home, how frequent it is.

    Attributes:
        tilt: how far it may be turned, in steps of a turn of 1024, to either side.
        home: the background on which `context_bias` puts it.
        share: of all objects.
    """

    name: str
    plural: str
    outline: Callable[[Draws, float], outlines.Outline]
    surface: str
    colours: tuple[str, ...]
    tilt: int
    home: str
    share: float


KINDS: tuple[Kind, ...] = (
    Kind("star", "stars", outlines.five_arms, "smooth", ("red", "yellow", "violet"), 512, "brick", 0.27),
    Kind(
        "flower", "flowers", outlines.five_arms, "speckled", ("red", "yellow", "violet"), 512, "grass", 0.18
    ),
    Kind("fern", "ferns", outlines.blade, "fringed", ("green", "yellow", "red"), 512, "gravel", 0.15),
    Kind("feather", "feathers", outlines.blade, "fringed", ("blue", "violet", "white"), 512, "paper", 0.13),
    Kind("boat", "boats", outlines.boat, "tiled", ("green", "blue", "red"), 70, "water", 0.11),
    Kind("snake", "snakes", outlines.snake, "tiled", ("green", "blue", "red"), 512, "sand", 0.09),
    Kind("ring", "rings", outlines.ring, "smooth", ("yellow", "blue", "white"), 512, "wood", 0.07),
)

#: Names of the classes by the numbers in masks; 0 is background and clutter.
CLASSES: tuple[str, ...] = ("background", *(kind.name for kind in KINDS))
