"""The arrows between image labels, boxes and pixels to try: choose an arrow and a scene, see it at work."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from lecturekit import plots
from lecturekit.kit.images import encoded, html_image
from lecturekit.labs import levels
from lecturekit.widgets._still import with_still
from lecturekit.widgets.box_lab import BoxLab, Choice, Drawn, Slider

#: Pixels of the picture to one of the page, for sharp displays.
SCALE = 1.5


class ArrowLab(BoxLab):
    """A list of arrows and a slider of scenes in front of `levels.figure`.

    Args:
        board: all arrows run on some scenes, from `levels.run_all`.
        arrow: name of the arrow that is shown first.
        scene: number of the scene that is shown first.
    """

    def __init__(self, board: levels.Board, arrow: str = "box → pixels", scene: int = 0):
        controls = {
            "arrow": Choice("arrow", tuple(levels.ARROWS), arrow),
            "scene": Slider("scene", 0, max(1, len(board.scenes) - 1), 1, scene),
        }
        super().__init__(lambda arrow, scene: drawn(board, arrow, round(scene)), controls)

    def __repr__(self) -> str:
        return "ArrowLab: run this cell to follow the arrows yourself"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view, and beside it the same picture for pages without a kernel."""
        picture = self._drawn.picture
        html = html_image(encoded(picture), self.words, round(picture.shape[1] / SCALE))
        return with_still(super()._repr_mimebundle_(**options), html)


def drawn(board: levels.Board, arrow: str, scene: int) -> Drawn:
    """`levels.figure` as a picture, with `levels.words`."""
    file, _ = plots.rendered(levels.figure(board, arrow, scene), SCALE, tight=False)
    return Drawn(np.asarray(Image.open(io.BytesIO(file))), levels.words(board, arrow, scene))
