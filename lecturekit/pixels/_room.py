"""How loosely boxes are drawn, judged by the gaps between a box's sides and the mask in it.

The mask of a tight box comes close to most of its sides. In a loose box several gaps are about as wide as the
room is, so that the four of a single box already say something, and those of a picture's boxes together more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: How far the sides of boxes lie outside their objects, in widths and heights of the objects.
LOOSE = (0.0, 0.05, 0.1, 0.2)
#: Mean gap for each of them, measured on 487 boxes of photographs at the first cut's size. Masks do not touch
#: all sides of tight boxes, either.
GAPS = (0.066, 0.084, 0.097, 0.111)

#: Bounds of classes of gaps, in shares of the box, and how many gaps in a thousand fall into each class for
#: each of `LOOSE`; masks of GrabCut and GrabCut+ on photographs, 2,300 to 2,700 gaps each.
BOUNDS = (0.008, 0.02, 0.035, 0.05, 0.07, 0.09, 0.11, 0.14, 0.18, 0.25)
SHARES = (
    (99, 79, 159, 175, 173, 98, 59, 57, 45, 30, 26),
    (73, 56, 70, 65, 136, 196, 156, 118, 67, 36, 27),
    (77, 53, 77, 50, 76, 70, 139, 246, 131, 57, 24),
    (84, 77, 78, 63, 57, 48, 54, 88, 227, 184, 39),
)
#: How common each of `LOOSE` is thought to be before any gap is seen, and how much a gap counts: those of a
#: box, and of boxes of a picture, do not err independently.
PRIOR = (0.4, 0.2, 0.25, 0.15)
TRUST = 0.7
#: Mean IoU of GrabCut+ there, by how loose the boxes are (rows) and how loose they are taken to be (columns).
WORTH = (
    (0.762, 0.723, 0.656, 0.531),
    (0.735, 0.754, 0.726, 0.627),
    (0.693, 0.724, 0.744, 0.678),
    (0.606, 0.649, 0.676, 0.714),
)


def gaps_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of a mask from the left, upper, right and lower side of its box, in shares of the box.

    A hundredth of the mask may lie beyond.

    Args:
        mask: bool ``(h, w)`` of the box alone, not empty.
    """
    gaps = []
    for profile in (mask.sum(0), mask.sum(1)):
        first, last = np.searchsorted(profile.cumsum() / profile.sum(), (0.01, 0.99))
        gaps.append(np.array([first, len(profile) - 1 - last]) / len(profile))
    return np.stack(gaps, 1).ravel()


def room_by(gaps: NDArray[np.float64]) -> float:
    """One of `LOOSE`: what a picture's boxes are best taken for, that is, with the greatest expected IoU.

    Args:
        gaps: ``(N,)`` of all sides that tell something. Without any, boxes are taken for tight.
    """
    if not gaps.size:
        return LOOSE[0]
    evidence = np.log(np.array(SHARES) / 1000)[:, np.searchsorted(BOUNDS, gaps, side="right")].sum(1)
    odds = np.log(PRIOR) + TRUST * evidence
    probability = np.exp(odds - odds.max())
    return LOOSE[int((probability @ np.array(WORTH)).argmax())]
