"""The scribble lab: draw on a picture; after each stroke a student answers from all strokes so far."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from ipywidgets import HTML, HBox, VBox
from ipywidgets import Image as Picture
from numpy.typing import NDArray

from ..kit.checks import whole
from ..kit.images import encoded, html_image
from ..labels.label_map import IGNORE
from ..labs.interactive import strokes_as_labels
from ..plots import label_overlay
from ._still import with_still
from .annotator import Annotator
from .box_lab import Drawn

_TOO_FEW = "Draw a stroke on each of two classes at least; the background is one of them."
_WIDTH = 420  # pixels of the answer on the page


class ScribbleLab(VBox):
    """An annotator for strokes and clicks, and below it the answer of a student who has learned from them.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        classes: names; the first is that of the background.
        learn: label map ``(H, W)`` of the strokes, 255 where nothing was drawn -> the answer ``(H, W)``,
            classes from 0 on. It is called after every stroke, once there are strokes of two classes.
        key: under which the strokes are kept, as in `Annotator`.
        strokes: to start with (`labs.interactive.stroke`); what the reader has drawn before stays as well.
        then: strokes that a page without a kernel lays on one after the other; in the notebook the reader
            draws them.

    Attributes:
        annotator: the `Annotator`; its `labels` can be assigned.
        answer: the latest answer, or None.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        classes: Sequence[str],
        learn: Callable[[NDArray[np.uint8]], NDArray],
        key: str | None = None,
        strokes: Sequence[dict[str, Any]] = (),
        then: Sequence[dict[str, Any]] = (),
    ):
        self._image, self._names, self._learn = image, tuple(classes), learn
        self._told = [*strokes, *then]
        self._first = len(strokes)
        self.answer: NDArray[np.uint8] | None = None
        self.annotator = Annotator(image, classes, key, kinds=["scribble", "point"], labels=strokes)
        self.picture = Picture(format="webp", width=_WIDTH)
        self.said = HTML()
        super().__init__([self.annotator, HBox([self.picture]), self.said])
        self.annotator.observe(self._drawn, "labels")
        self._drawn()

    @property
    def strokes(self) -> NDArray[np.uint8]:
        """All that is drawn now, uint8 ``(H, W)``, 255 elsewhere."""
        height, width = self._image.shape[:2]
        return strokes_as_labels(self.annotator.labels, (height, width))

    def _drawn(self, _change: object = None) -> None:
        """Learn from what is drawn now and show the answer, or say why there is none."""
        if not _enough(self.strokes):
            self.answer = None
            words = _TOO_FEW
        else:
            self.said.value = "<p>A student is learning from your strokes …</p>"
            try:
                self.answer = np.asarray(self._learn(self.strokes), np.uint8)
                words = self._words(self.annotator.labels, self.answer)
            except Exception as error:  # whatever a reader's own `learn` raises belongs on the page
                words = f"The student could not be trained: {type(error).__name__}: {error}"
        shown = self._image if self.answer is None else answer_overlay(self._image, self.answer)
        self.picture.value = encoded(shown, "WEBP", quality=75)
        # an ipywidgets picture has no alternative text of its own: the words stand below it
        self.said.value = f'<p role="status">{html.escape(words)}</p>'
        self._said = words

    def _words(self, labels: Sequence[dict[str, Any]], answer: NDArray) -> str:
        counts = Counter(label["class_index"] for label in labels)
        drawn = ", ".join(f"{counts[k]} on {name}" for k, name in enumerate(self._names, 1) if counts[k])
        shares = [(answer == k).mean() for k in range(len(self._names))]
        found = ", ".join(f"{name} {share:.0%}" for name, share in zip(self._names, shares, strict=True))
        return f"Strokes: {drawn}. The student's answer: {found} of the picture."

    @property
    def story(self) -> tuple[int, int]:
        """How many strokes `replay` begins with, and how many there are."""
        return self._first, len(self._told)

    def replay(self, count: int) -> Drawn:
        """The picture with the first strokes in white and the answer to them, whatever the reader has drawn.

        Args:
            count: how many of `strokes` and `then`.

        Raises:
            ValueError: there are not so many.
        """
        labels = self._told[: whole("count", count, 0, len(self._told))]
        height, width = self._image.shape[:2]
        strokes = strokes_as_labels(labels, (height, width))
        if not _enough(strokes):
            return Drawn(self._painted(strokes, None), _TOO_FEW)
        answer = np.asarray(self._learn(strokes), np.uint8)
        return Drawn(self._painted(strokes, answer), self._words(labels, answer))

    def _painted(self, strokes: NDArray[np.uint8], answer: NDArray | None) -> NDArray[np.uint8]:
        shown = self._image if answer is None else answer_overlay(self._image, answer)
        return np.where(strokes[..., None] != IGNORE, np.uint8(255), shown)

    def __repr__(self) -> str:
        return f"ScribbleLab: {self._said}"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live lab, and a picture of strokes and answer for pages without a kernel."""
        drawn = self._painted(self.strokes, self.answer)
        height = round(_WIDTH * drawn.shape[0] / drawn.shape[1])
        small = np.asarray(cv2.resize(drawn, (_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
        alt = f"The picture with the strokes in white and the student's answer in colours. {self._said}"
        picture = html_image(encoded(small, "WEBP", quality=75), alt, _WIDTH, "image/webp")
        still = f"{picture}\n<p>{html.escape(self._said)}</p>"
        return with_still(super()._repr_mimebundle_(**options), still, repr(self))


def _enough(strokes: NDArray[np.uint8]) -> bool:
    """Whether there are strokes of two classes."""
    return len(set(np.unique(strokes).tolist()) - {IGNORE}) > 1


def answer_overlay(image: NDArray[np.uint8], answer: NDArray) -> NDArray[np.uint8]:
    """An answer over its picture in the colours of an annotator whose first class is the background.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        answer: classes ``(H, W)``, 0 the background; class k is number k + 1 in the annotator.
    """
    return label_overlay(image, np.where(answer > 0, answer + 1, 0).astype(np.uint8))
