"""From a world to a picture, in whole numbers, so that every platform draws the same one."""

from __future__ import annotations

import numpy as np

from .draws import BELL, Draws
from .kinds import BACKGROUNDS, SURFACES
from .outlines import FULL, cosine, rotate, sine
from .textures import sample
from .world import VERSION, Parameters, Thing, World

#: Pictures are composed in these: 256 is opaque.
OPAQUE = 256


def render(
    world: World, key: tuple[int, ...], parameters: Parameters, frame: int
) -> tuple[np.ndarray, np.ndarray]:
    """The world at one frame.

    Returns:
        image: uint8 RGB ``(H, W, 3)``.
        owner: int64 ``(H, W)``, the place in ``world.things`` of what each pixel shows, -1 for background:
        the frontmost thing that covers at least half of the pixel.
    """
    canvas = _ground(world, parameters, frame)
    owner = np.full(parameters.shape, -1)
    for place, thing in enumerate(world.things):
        cover = thing.cover(frame, parameters.shape)
        _paint(canvas, thing, cover, world.light, parameters, frame)
        owner[cover >= FULL // 2] = place
    return _photographed(canvas, world, key, parameters, frame), owner


def flow(world: World, owner: np.ndarray, frame: int) -> np.ndarray:
    """Where the surface that each pixel shows goes until the next frame: float32 ``(H, W, 2)``, dx and dy."""
    motion = np.broadcast_to(world.pan, (*owner.shape, 2)).copy()
    for place in np.unique(owner[owner >= 0]):
        thing, mine = world.things[place], owner == place
        rows, columns = np.nonzero(mine)
        arm = np.stack([columns, rows], -1) + 0.5 - thing.place(frame)  # (n, 2)
        motion[mine] = thing.velocity + rotate(arm, thing.spin) - arm
    return motion.astype(np.float32)


def _ground(world: World, parameters: Parameters, frame: int) -> np.ndarray:
    """The background alone, int64 ``(H, W, 3)``."""
    ground = BACKGROUNDS[world.background]
    x, y = _pixels((slice(0, parameters.shape[0]), slice(0, parameters.shape[1])), frame * world.pan)
    scale = world.zoom * 96 / min(parameters.shape)
    turned = rotate(np.stack([x, y], -1), world.turn)
    u = world.origin[0] + turned[..., 0] * (ground.across * scale)
    v = world.origin[1] + turned[..., 1] * (ground.down * scale)
    grain = sample(ground.tile, u, v, max(ground.across, ground.down) * scale)
    return _lit(world.rgb, np.rint(parameters.contrast * grain).astype(np.int64))


def _paint(
    canvas: np.ndarray, thing: Thing, cover: np.ndarray, light: int, parameters: Parameters, frame: int
) -> None:
    """Lay a thing's shadow and then the thing on the canvas; only a window round both is touched."""
    drop, height = max(1, round(0.07 * thing.side)), max(1, round(0.06 * thing.side))
    window = _window(cover > 0, 2 * drop + 2)  # wider than the shadow, so that its own edge is clear
    canvas, alpha = canvas[window], cover[window] * (OPAQUE // FULL)
    if not alpha.size:
        return
    away = np.array([float(cosine(light)), float(sine(light))])  # from the light, along the ground
    shade = _shifted(_blurred(alpha, max(1, drop // 2)), np.rint(drop * away).astype(int))
    canvas -= canvas * (shade * 3 // 8)[..., None] // OPAQUE
    mound, step = _blurred(alpha, height), np.rint(height * away).astype(int)
    relief = np.clip((_shifted(mound, step) - _shifted(mound, -step)) // 4, -48, 48)
    grain = np.rint(parameters.contrast * _grain(thing, window, parameters, frame)).astype(np.int64)
    opaque = _softened(alpha, thing.soft)[..., None]
    canvas += (opaque * (_lit(thing.rgb, grain + relief) - canvas) + OPAQUE // 2) // OPAQUE


def _grain(thing: Thing, window: tuple[slice, slice], parameters: Parameters, frame: int) -> np.ndarray:
    """The texture of a thing's surface, which moves and turns with it, int64 of the window's shape."""
    surface = SURFACES[thing.surface]
    x, y = _pixels(window, thing.place(frame))
    if surface.tile is None:
        return np.zeros(x.shape, np.int64)
    scale = surface.step * 96 / min(parameters.shape)
    turned = rotate(np.stack([x, y], -1), -(thing.turn + frame * thing.spin)) * scale
    return sample(surface.tile, turned[..., 0] + thing.origin[0], turned[..., 1] + thing.origin[1], scale)


def _pixels(window: tuple[slice, slice], origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the middles of a window's pixels, measured from `origin`."""
    rows, columns = window
    y, x = np.arange(rows.start, rows.stop) + 0.5, np.arange(columns.start, columns.stop) + 0.5
    return np.meshgrid(x - origin[0], y - origin[1])


def _lit(rgb: tuple[int, int, int], light: np.ndarray) -> np.ndarray:
    """A colour made lighter or darker pixel by pixel: 0 is the colour itself, -128 black; ``(H, W, 3)``."""
    return np.clip(np.array(rgb) * (128 + light)[..., None] // 128, 0, 255)


def _photographed(
    canvas: np.ndarray, world: World, key: tuple[int, ...], parameters: Parameters, frame: int
) -> np.ndarray:
    """The canvas under uneven light, with the camera's noise, as uint8."""
    height, width = parameters.shape
    x, y = np.arange(width) / width - 0.5, np.arange(height) / height - 0.5
    light = np.rint(128 * (1 + world.slope[0] * x + world.slope[1] * y[:, None])).astype(np.int64)
    grains = Draws(VERSION, *key, 3, frame).bells(height, width, 3)
    noise = np.rint(grains * (parameters.noise / BELL)).astype(np.int64)
    return np.clip(canvas * light[..., None] // 128 + noise, 0, 255).astype(np.uint8)


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns round a mask, `margin` pixels wider where the picture goes on."""
    rows, columns = _bounds(mask.max(1), margin), _bounds(mask.max(0), margin)
    return rows, columns


def _bounds(hit: np.ndarray, margin: int) -> slice:
    """From the first to the last true entry, and `margin` more on both sides as far as there are any."""
    found = np.flatnonzero(hit)
    if not len(found):
        return slice(0, 0)
    return slice(max(0, int(found[0]) - margin), min(len(hit), int(found[-1]) + 1 + margin))


def _blurred(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean over squares of ``2 radius + 1`` pixels, rounded down; beyond the picture its edge goes on."""
    side = 2 * radius + 1
    height, width = values.shape
    total = _at(values, np.arange(-radius - 1, height + radius), np.arange(-radius - 1, width + radius))
    total = total.cumsum(0).cumsum(1)
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    return sums // side**2


def _shifted(values: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The picture moved by whole pixels (x, y); beyond the picture its edge goes on."""
    height, width = values.shape
    return _at(values, np.arange(height) - step[1], np.arange(width) - step[0])


def _at(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values at rows and columns, those beyond the picture from its edge."""
    rows, columns = (
        np.minimum(np.maximum(i, 0), n - 1) for i, n in zip((rows, columns), values.shape, strict=True)
    )
    return values[rows[:, None], columns]


def _softened(alpha: np.ndarray, times: int) -> np.ndarray:
    """The opacity smoothed with (1 2 1) / 4 both ways, `times` times."""
    for _ in range(times):
        height, width = alpha.shape
        padded = _at(alpha, np.arange(-1, height + 1), np.arange(-1, width + 1))
        rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        alpha = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:] + 8) // 16
    return alpha
