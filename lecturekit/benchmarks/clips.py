"""A mask on one frame, carried through generated clips whose every mask is known: how far does it hold?

The ways were chosen on the clips of other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import scenes
from ..kit import markdown
from ..labels.costs import COSTS
from ..learning import propagation
from ..learning.features import features
from ..learning.training import train
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
#: Clips that students learn from, with masks on their first and last frame; and clips they are judged on.
TAUGHT, TAUGHT_FRAMES, JUDGED, TAUGHT_SEED = 24, 9, 24, 6
#: How every student of frames is trained: as in notebook 09.
STUDENT: dict[str, Any] = {"head": "two_layer", "epochs": 12, "lr": 5e-3, "batch": 8, "stride": 2}
#: Kinds of row: values and their headings.
TABLES: dict[str, dict[str, str]] = {
    "time": {str(away): f"{away} frame{'s' * (away > 1)} away" for away in AWAY},
    "keys": {"iou": "mean IoU, a mask on every 8th frame", "right": "right", "known": "labelled"},
    "students": {
        "iou": "mean IoU on other clips",
        "spread": "±",
        "right": "labels right",
        "known": "labelled",
    },
}


def run(quick: bool = False) -> str:
    """Tables of masks that are carried, as Markdown; rows go to docs/results.

    Args:
        quick: two clips, and nothing is kept.
    """
    found = rows(2 if quick else CLIPS) + student_rows(*((2, 2, 1) if quick else (TAUGHT, JUDGED, 3)))
    if not quick:
        settings: dict[str, Any] = {"clips": CLIPS, "frames": FRAMES, "seed": CLIP_SEED, "student": STUDENT}
        settings |= {
            "taught": TAUGHT,
            "taught_frames": TAUGHT_FRAMES,
            "judged": JUDGED,
            "taught_seed": TAUGHT_SEED,
        }
        _results.save("clips", found, settings)
    return "\n".join(small_table(found, kind, columns) for kind, columns in TABLES.items())


def small_table(found: Sequence[Mapping[str, Any]], kind: str, columns: Mapping[str, str]) -> str:
    """Rows of one kind as Markdown, in %; of rows with one name the mean.

    Args:
        found: the rows, of any kinds.
        kind: the kind that is shown.
        columns: values of a row and their headings.
    """
    mine = [row for row in found if row["table"] == kind]
    cells = []
    for name in dict.fromkeys(row["name"] for row in mine):
        values = [100 * float(np.mean([r[key] for r in mine if r["name"] == name])) for key in columns]
        cells.append([name, *(f"{value:.1f}" for value in values)])
    return "\n" + markdown.table([kind, *columns.values()], cells)


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


def student_rows(taught: int, judged: int, seeds: int) -> list[dict[str, Any]]:
    """Students of clips of which only the first and the last frame have a mask, and of all masks.

    Args:
        taught: how many clips to learn from.
        judged: how many others, of which every fourth frame counts.
        seeds: students a row.
    """
    learn = [scenes.clip(k, seed=TAUGHT_SEED, frames=TAUGHT_FRAMES) for k in range(taught)]
    others = [scenes.clip(taught + k, seed=TAUGHT_SEED, frames=TAUGHT_FRAMES) for k in range(judged)]
    classes, last = len(scenes.CLASSES), TAUGHT_FRAMES - 1
    truth = [mask for clip in others for mask in clip.masks[::4]]
    seen = features([image for clip in learn for image in clip.images], side=192, device="cpu")
    asked = features([image for clip in others for image in clip.images[::4]], like=seen, device="cpu")
    made = []
    for name, labels in _taught(learn, classes, last).items():
        students = [train(seen, labels, classes, seed=s, device="cpu", **STUDENT) for s in range(seeds)]
        ious = [label_quality(student.labels(asked), truth, classes).mean_iou for student in students]
        pairs = [(a, b) for a, b in zip(labels, (m for clip in learn for m in clip.masks), strict=True)]
        row = {"table": "students", "name": name, "iou": np.mean(ious), "seeds": ious}
        row["spread"] = np.std(ious, ddof=1) if seeds > 1 else 0.0
        row["right"] = np.concatenate([(a == b)[a != 255] for a, b in pairs]).mean()
        row["known"] = np.mean([(a != 255).mean() for a, _ in pairs])
        share = 1 if name == "masks on all frames" else 2 / TAUGHT_FRAMES
        made.append(row | {"seconds": COSTS["object_masks"].seconds * share})
    return made


def _taught(learn: Sequence[scenes.Clip], classes: int, last: int) -> dict[str, list[NDArray[np.uint8]]]:
    """What is known of each frame of all clips, by the way it was found out."""
    ways: dict[str, dict[str, Any]] = {
        "carried": {"least": 0.0},
        "carried, unsure ignored": {},
        "carried, unsure ignored, boundaries by CRF": {"refine": True},
    }
    found: dict[str, list[NDArray[np.uint8]]] = {"masks on all frames": [], "masks on the keys alone": []}
    found |= {name: [] for name in ("copied", *ways)}
    for clip in learn:
        ends, middle = {0: clip.masks[0], last: clip.masks[last]}, range(1, last)
        nothing = np.full_like(clip.masks[0], 255)
        found["masks on all frames"] += list(clip.masks)
        found["masks on the keys alone"] += [ends[0], *[nothing for _ in middle], ends[last]]
        found["copied"] += [ends[0] if k <= last / 2 else ends[last] for k in range(last + 1)]
        motion = propagation.Motion(list(clip.images))
        for name, options in ways.items():
            found[name] += propagation.propagate(motion, ends, classes, hops=(1,), **options)
    return found
