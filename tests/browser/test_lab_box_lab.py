"""The box lab in a real JupyterLab: drag, keys and slider reach the kernel, and a new picture comes back."""

import pytest

pytestmark = pytest.mark.browser

CELL = """
import numpy as np
from lecturekit.widgets.box_lab import BoxLab, Drawn, Slider

def draw(box, grey):
    picture = np.zeros((100, 150, 3), np.uint8)
    picture[box[1]:box[3], box[0]:box[2]] = grey
    return Drawn(picture, f"{grey} in {box}")

lab = BoxLab(draw, {"grey": Slider("Grey", 0, 255, 5, 100)}, (20, 10, 60, 50), (100, 150))
lab
"""


def test_gestures_reach_the_kernel_and_the_picture_follows(open_cells):
    live = open_cells("box_lab", CELL, "print(lab.box, lab.values)")
    live.run_all()
    page, before = live.page, live.sources()
    stage = live.show(".lk-lab .lk-stage")
    address = stage.locator("img").get_attribute("src")
    stage.hover()  # which waits until nothing moves any more
    frame = stage.bounding_box()

    def place(x, y):
        return frame["x"] + x / 150 * frame["width"], frame["y"] + y / 100 * frame["height"]

    page.mouse.move(*place(30, 20))
    page.mouse.down()
    page.mouse.move(*place(90, 80), steps=5)
    page.mouse.up()
    words = page.locator(".lk-lab .lk-words")
    page.wait_for_function(
        "([image, old]) => image.src !== old", arg=[stage.locator("img").element_handle(), address]
    )
    page.wait_for_function("node => node.textContent.includes('90, 80')", arg=words.element_handle())

    for key in (
        "ArrowRight",
        "ArrowRight",
        "b",
        "m",
        "d",
    ):  # JupyterLab would insert, convert and delete cells
        page.keyboard.press(key)
    page.wait_for_function("node => node.textContent.includes('92, 80')", arg=words.element_handle())
    page.get_by_role("slider", name="Grey").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("node => node.textContent.startsWith('105')", arg=words.element_handle())
    live.run_until_printed(1, "[32, 20, 92, 80] {'grey': 105}")
    assert live.sources() == before
    assert live.errors() == []
