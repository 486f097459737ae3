"""A mask on one frame, carried through generated clips whose every mask is known: how far does it hold?

The ways were chosen on the clips of other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import scenes
from ..learning import propagation
from ..metrics import label_quality
from . import _results

#: Clips and their frames; none of them was looked at while settings were chosen.
CLIPS, FRAMES, CLIP_SEED = 12, 16, 5

#: Ways of carrying a mask, and of using masks on both sides: options of `propagate`.
ALL: dict[str, Any] = {"hops": (1, 2, 3)}
WAYS: dict[str, dict[str, Any]] = {
    "frame by frame": {"hops": (1,)},
    "hops of 3 frames": {"hops": (3,)},
    "hops of 1, 2 and 3 together": ALL,
    "the same, boundaries by CRF": ALL | {"refine": True},
}
KEYS: dict[str, dict[str, Any]] = {
    "nearest key": {"both": False, "least": 0.0},
    "both keys": {"least": 0.0},
    "both, unsure ignored": {},
    "both, unsure ignored, boundaries by CRF": {"refine": True},
}
AWAY = (1, 2, 4, 8, 12)
#: Kinds of row: values and their headings.
TABLES: dict[str, dict[str, str]] = {
    "time": {str(away): f"{away} frame{'s' * (away > 1)} away" for away in AWAY},
    "keys": {"iou": "mean IoU, a mask on every 8th frame", "right": "right", "known": "labelled"},
}


def run(quick: bool = False) -> str:
    """Tables of masks that are carried, as Markdown; rows go to docs/results.

    Args:
        quick: two clips, and nothing is kept.
    """
    found = rows(2 if quick else CLIPS)
    if not quick:
        _results.save("clips", found, {"clips": CLIPS, "frames": FRAMES, "seed": CLIP_SEED})
    return "\n".join(small_table(found, kind, columns) for kind, columns in TABLES.items())


def small_table(found: Sequence[Mapping[str, Any]], kind: str, columns: Mapping[str, str]) -> str:
    """Rows of one kind as Markdown, in %; of rows with one name the mean.

    Args:
        found: the rows, of any kinds.
        kind: the kind that is shown.
        columns: values of a row and their headings.
    """
    mine = [row for row in found if row["table"] == kind]
    lines = ["", f"| {kind} | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
    for name in dict.fromkeys(row["name"] for row in mine):
        values = [100 * float(np.mean([r[key] for r in mine if r["name"] == name])) for key in columns]
        lines.append(f"| {name} | {' | '.join(f'{value:.1f}' for value in values)} |")
    return "\n".join(lines)


def rows(count: int) -> list[dict[str, Any]]:
    """A mask on the first frame of each clip, carried: mean IoU so many frames away; and masks on every 8th.

    Args:
        count: of clips.
    """
    clips = [scenes.clip(k, seed=CLIP_SEED, frames=FRAMES) for k in range(count)]
    motions = [propagation.Motion(list(clip.images)) for clip in clips]
    classes = len(scenes.CLASSES)
    copied = [[clip.masks[0]] * FRAMES for clip in clips]
    made = [_away("copied", copied, clips)]
    for name, options in WAYS.items():
        carried = [
            propagation.propagate(motion, {0: clip.masks[0]}, classes, least=0, **options)
            for motion, clip in zip(motions, clips, strict=True)
        ]
        made.append(_away(name, carried, clips))
    for name, options in KEYS.items():
        labels: list[NDArray[np.uint8]] = []
        truth: list[NDArray[np.uint8]] = []
        for motion, clip in zip(motions, clips, strict=True):
            keys = {k: clip.masks[k] for k in range(0, FRAMES, 8)}
            carried = propagation.propagate(motion, keys, classes, **ALL, **options)
            labels += carried[:9]
            truth += list(clip.masks[:9])
        known = np.concatenate([m.ravel() != 255 for m in labels]).mean()
        right = np.concatenate([(a == b)[a != 255] for a, b in zip(labels, truth, strict=True)]).mean()
        iou = label_quality(labels, truth, classes).mean_iou
        made.append({"table": "keys", "name": name, "iou": iou, "right": right, "known": known})
    return made


def _away(name: str, carried: Sequence, clips: Sequence[scenes.Clip]) -> dict[str, Any]:
    row: dict[str, Any] = {"table": "time", "name": name}
    for away in AWAY:
        pairs = [(made[away], clip.masks[away]) for made, clip in zip(carried, clips, strict=True)]
        labels, truth = (list(part) for part in zip(*pairs, strict=True))
        row[str(away)] = label_quality(labels, truth, len(scenes.CLASSES)).mean_iou
    return row
