"""The stopwatch lab: ten pictures, one kind of label after the other, each in an annotator of its own.

The annotator's stopwatch starts when its picture is wholly in view, so only one is shown at a time. What
becomes of the labels is in `lecturekit.labs.stopwatch`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import cv2
import numpy as np
import traitlets as t
from ipywidgets import HBox, VBox

from lecturekit.kit import storage
from lecturekit.kit.images import encoded, html_image
from lecturekit.kit.javascript import joined
from lecturekit.labels.label_file import file_name
from lecturekit.labs import stopwatch
from lecturekit.labs.stopwatch import CLASSES, FIRST_ROUND, KINDS, Measure
from lecturekit.widgets._asking import AROUND, AskingBar
from lecturekit.widgets._still import JS, with_still
from lecturekit.widgets.annotator import Annotator, colour_of


class _Bar(AskingBar):
    """What is asked and the buttons, in front of JupyterLab's shortcuts."""

    _esm = joined(JS / "stopwatch_lab.js")
    _css = joined(JS / "stopwatch_lab.css")


class _Replay(anywidget.AnyWidget):
    """The last label once more, as it was drawn, beside the truth; nothing while `_told` is empty."""

    _esm = joined(JS / "replay.js")
    _css = joined(JS / "replay.css")
    _photo = t.Bytes().tag(sync=True)
    _told = t.Dict().tag(sync=True)


class StopwatchLab(VBox):
    """Label objects against the clock.

    The labels are kept like those of any annotator, so the lab goes on where it was left.

    Attributes:
        labels: ``{(kind, picture): labels}`` of every step with a label.
        at: number of the step on show in `lecturekit.labs.stopwatch.steps`; -1 before the start.
    """

    def __init__(self):
        self._steps = stopwatch.steps()
        self.labels: dict[tuple[str, int], list[dict]] = {}
        for step in self._steps:
            if _saved(step).exists():
                kept = _annotator(step)
                self._heard(step, kept.labels)
                kept.close()
        self.at = -1
        self._shown: Annotator | None = None
        self._bar = _Bar(layout={"width": "100%"})
        self._replay = _Replay(layout={"flex": "0 1 15rem", "min_width": "10rem"})
        self._holder = HBox(layout={"width": "100%", "flex_flow": "row wrap"})
        super().__init__([self._bar, self._holder])
        self.add_class(AROUND)
        self._bar.answers_by(self.do)
        self._tell()

    @property
    def measures(self) -> list[Measure]:
        """What your labels took and are worth, as far as there are any."""
        return stopwatch.measures(self.labels)

    def do(self, verb: str) -> None:
        """Press a button: "next", "back", or "again" (drops the label of this step and asks for it anew).

        Raises:
            ValueError: another word. A button that cannot be pressed now does nothing.
        """
        if verb not in ("next", "back", "again"):
            raise ValueError(f"verb must be next, back or again, got {verb!r}")
        if verb not in self._may():
            return
        if verb == "again" and self._shown is not None:
            self._shown.labels = []
        elif self.at < 0:
            self.at = self._first_open()
        else:
            self.at += 1 if verb == "next" else -1
        self._show()

    def _may(self) -> list[str]:
        if self.at < 0:
            return ["next"]
        return ["next"] * (self.at < len(self._steps) - 1) + ["again"] + ["back"] * (self.at > 0)

    def _first_open(self) -> int:
        """The first step without a label, or the last one."""
        open_steps = (n for n, step in enumerate(self._steps) if step not in self.labels)
        return next(open_steps, len(self._steps) - 1)

    def _show(self) -> None:
        """A new annotator for the step, whose stopwatch starts when its picture is there."""
        old, step = self._shown, self._steps[self.at]
        self._shown = _annotator(step)
        self._shown.layout = {"flex": "1 1 38rem", "min_width": "0"}  # or a box leaves it no room
        self._shown.observe(lambda change: self._heard(step, change["new"]), "labels")
        self._replay._told = {}
        self._holder.children = [self._shown, self._replay]
        self._bar.shows(self._shown)
        if old is not None:
            old.close()
        self._tell()

    def _heard(self, step: tuple[str, int], labels: list[dict]) -> None:
        """An annotator has new labels."""
        self.labels.pop(step, None)
        if labels:
            self.labels[step] = list(labels)
        if hasattr(self, "_replay"):
            self._tell()
            self._once_more(step, labels)

    def _once_more(self, step: tuple[str, int], labels: list[dict]) -> None:
        """Show the last label once more, beside the truth; nothing where none is to be seen."""
        drawn = [label for label in labels if label["points"]]
        measured = stopwatch.measures({step: labels})
        if not drawn or not measured:
            self._replay._told = {}
            return
        task = stopwatch.tasks()[step[1]]
        m = measured[0]
        contours, _ = cv2.findContours(task.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        with self._replay.hold_sync():
            self._replay._photo = encoded(task.image, "JPEG", quality=85)
            self._replay._told = {
                "label": drawn[-1],
                "truth": [(contour[:, 0] + 0.5).tolist() for contour in contours],
                "colour": colour_of(task.class_index),
                "words": f"{m.seconds:.1f} s; as {KINDS[m.kind]} {m.fit:.2f}, as pixels (IoU) {m.iou:.2f}",
            }

    def _tell(self) -> None:
        """Words and buttons for the step on show."""
        self._bar.prompt = self._prompt()
        self._bar.status = self._status()
        self._bar._may = self._may()

    def _prompt(self) -> str:
        if self.at < 0:
            return "The stopwatch runs while a picture is on show. Press Start when you are ready."
        kind, number = self._steps[self.at]
        asked = stopwatch.tasks()[number].prompt(kind)
        return f"{self.at + 1} of {len(self._steps)} · {KINDS[kind]}: {asked}"

    def _status(self) -> str:
        found = stopwatch.summary(self.measures)
        parts = [f"{KINDS[kind]} {s.seconds:.1f} s, IoU {s.iou:.2f} ({s.count})" for kind, s in found.items()]
        enough = " A first round is complete; stop here or go on." if self.at >= FIRST_ROUND - 1 else ""
        return (f"Your medians so far: {'; '.join(parts)}." if parts else "No label yet.") + enough

    def __repr__(self) -> str:
        return (
            f"StopwatchLab, labels in {len(self.labels)} of {len(self._steps)} steps: run this cell to draw"
        )

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view, and for pages without a kernel the picture of the step."""
        kind, number = self._steps[max(self.at, 0)]
        task = stopwatch.tasks()[number]
        alt = f"A picture of things on a ground. {task.prompt(kind)} Run this cell to do so."
        html = html_image(encoded(task.image, "JPEG", quality=80), alt, mime="image/jpeg")
        return with_still(super()._repr_mimebundle_(**options), html, repr(self))


def _key(step: tuple[str, int]) -> str:
    return f"stopwatch-{step[0]}-{step[1]}"


def _saved(step: tuple[str, int]) -> Path:
    return storage.data_dir() / "annotations" / file_name(_key(step))


def _annotator(step: tuple[str, int]) -> Annotator:
    """With the class chosen where an object is drawn, whose class is known; ticking starts without a hint."""
    kind, task = step[0], stopwatch.tasks()[step[1]]
    annotator = Annotator(task.image, CLASSES, key=_key(step), kinds=[kind], timed=True)
    if kind != "image_class":
        annotator.class_index = task.class_index
    return annotator
