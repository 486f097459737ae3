"""The scribble lab in a real JupyterLab: a stroke by mouse is learned from, and the answer comes back."""

import pytest

pytestmark = pytest.mark.browser

CELL = """
import numpy as np
from lecturekit.labs.interactive import stroke
from lecturekit.widgets.scribble_lab import ScribbleLab

def nearest(strokes):  # each column takes the class of the nearest column that was drawn on
    known = np.flatnonzero((strokes != 255).any(0))
    classes = np.array([strokes[:, c][strokes[:, c] != 255][0] for c in known])
    near = np.abs(np.arange(strokes.shape[1])[:, None] - known).argmin(1)
    return np.tile(classes[near], (strokes.shape[0], 1))

image = np.full((100, 150, 3), 120, np.uint8)
first = [stroke(1, [(10, 20), (10, 80)], 4), stroke(2, [(60, 20), (60, 80)], 4)]
lab = ScribbleLab(image, ["ground", "thing"], nearest, "browser", first)
lab
"""


def test_a_stroke_by_mouse_changes_the_answer(open_cells):
    live = open_cells("scribble_lab", CELL, "print(lab.said.value, len(lab.strokes))")
    live.run_all()
    page, before = live.page, live.sources()
    canvas = live.show(".lka-frame canvas.lka-top")
    page.wait_for_selector(".lka-frame [data-painted]")
    answer = page.locator(".widget-image").first
    old = answer.get_attribute("src")
    canvas.scroll_into_view_if_needed()
    canvas.hover()  # which waits until nothing moves any more
    frame = canvas.bounding_box()

    def place(x, y):
        return frame["x"] + x / 150 * frame["width"], frame["y"] + y / 100 * frame["height"]

    page.mouse.move(*place(120, 20))
    page.mouse.down()
    page.mouse.move(*place(120, 80), steps=6)
    page.mouse.up()
    page.wait_for_function("([image, old]) => image.src !== old", arg=[answer.element_handle(), old])
    live.run_until_printed(1, "2 on ground, 1 on thing")
    assert live.sources() == before
    assert live.errors() == []
