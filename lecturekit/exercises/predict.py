"""Predict first: how near a guess comes to the outcome, from 0 to 1, and what guessing blindly would score.

Pure functions; a widget or a plain cell may collect the guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lecturekit.kit.checks import number


class Score(NamedTuple):
    """How good a guess was."""

    points: float  #: 0..1
    blind: float  #: what a guess without looking scores on average
    words: str  #: for the reader


def score_click(point: Sequence[float], class_map: ArrayLike) -> Score:
    """A click where a map is expected to be highest.

    Args:
        point: x and y, each 0..1 of the picture's width and height.
        class_map: the map ``(h, w)``, larger where there is more evidence.

    Returns:
        As points the share of the map's cells that lie below the one clicked, cells of the same value counted
        half: 1/2 on average for a blind click, nearly 1 at the peak.

    Raises:
        ValueError: a point outside the picture, or a map that is empty, not finite or of another shape.

    Example:
        >>> score_click((0.9, 0.1), [[0, 3], [1, 2]]).points
        0.875
    """
    values = np.asarray(class_map, float)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"class_map must be finite numbers of shape (h, w), got shape {values.shape}")
    x, y = (number("point", p, 0, 1) for p in point)
    row, column = (min(int(p * n), n - 1) for p, n in ((y, values.shape[0]), (x, values.shape[1])))
    clicked = values[row, column]
    share = float((values < clicked).mean() + (values == clicked).mean() / 2)
    top, left = np.unravel_index(values.argmax(), values.shape)
    away = float(np.hypot((left - column) / values.shape[1], (top - row) / values.shape[0]))
    return Score(share, 0.5, f"{share:.0%} of the map lies below your click; the peak is {away:.2f} away")


def score_curve(guess: ArrayLike, outcome: ArrayLike, low: float, high: float) -> Score:
    """A curve drawn before it was measured.

    Args:
        guess: its heights ``(N,)``.
        outcome: the measured ones ``(N,)``.
        low: the axis' lower end.
        high: its upper end.

    Returns:
        As points 1 less the mean absolute difference, measured in heights of the axis; at least 0. Blind is a
        flat line in the middle.

    Raises:
        ValueError: curves of different lengths, none at all, or an axis without height.

    Example:
        >>> score_curve([0.2, 0.4], [0.2, 0.6], 0, 1).points
        0.9
    """
    met, wanted = np.asarray(guess, float), np.asarray(outcome, float)
    if met.shape != wanted.shape or met.ndim != 1 or not met.size:
        raise ValueError(f"guess must be as long as outcome, {wanted.shape}, got {met.shape}")
    height = number("high", high, low, open_=True) - low
    apart = float(np.abs(met - wanted).mean() / height)
    flat = float(np.abs((low + high) / 2 - wanted).mean() / height)
    words = f"on average you were {apart:.0%} of the axis away"
    return Score(round(max(0.0, 1 - apart), 12), max(0.0, 1 - flat), words)


def score_choice(guess: object, outcome: object, options: int) -> Score:
    """One of several answers.

    Args:
        guess: what was chosen.
        outcome: what came out.
        options: how many there were to choose from.

    Raises:
        ValueError: fewer than two options.

    Example:
        >>> score_choice("worse", "better", 3).points
        0.0
    """
    blind = 1 / number("options", options, 2)
    right = guess == outcome
    return Score(float(right), blind, f"you said {guess}, it was {outcome}")
