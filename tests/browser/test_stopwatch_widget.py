"""The stopwatch lab in a real JupyterLab: buttons lead through the steps, labels and times arrive."""

import re

import pytest
from playwright.sync_api import expect

from lecturekit.datasets.scenes.strokes import deepest
from lecturekit.labs import stopwatch

pytestmark = pytest.mark.browser

MAKE = """
from lecturekit.labs import stopwatch
from lecturekit.widgets.stopwatch_lab import StopwatchLab
lab = StopwatchLab()
lab
"""
TELL = """
for m in lab.measures:
    print(m.kind, m.picture, m.fit, 0 < m.seconds < 600)
print("that is all")
"""


def test_the_lab_leads_through_its_steps_and_times_them(open_cells):
    notebook = open_cells("stopwatch", MAKE, TELL)
    notebook.run_all()
    page, cells = notebook.page, notebook.sources()
    bar = notebook.show(".lk-stopwatch")
    asked, next_button = bar.locator(".lk-stopwatch-prompt"), bar.locator('[data-verb="next"]')
    expect(asked).to_contain_text("Press Start")
    expect(page.locator(".lka-frame")).to_have_count(0)  # the stopwatch does not run yet
    around = page.locator(".lk-around")
    for step in (1, 2, 3, 4):
        next_button.click()
        expect(asked).to_contain_text(f"{step} of 60")
        expect(around).not_to_have_class(re.compile("lk-busy"))  # the annotator of this step is in place
    assert page.locator(".lka-frame").get_attribute("data-name")  # by which it is known to be in place
    for key in "bmadxyc":  # JupyterLab's own, which would change the notebook
        page.keyboard.press(key)
    expect(asked).to_contain_text("Click once on the")

    page.wait_for_selector(".lka-frame [data-painted]")
    canvas, task = page.locator(".lka-frame canvas.lka-top"), stopwatch.tasks()[3]
    place, room = deepest(task.mask), canvas.bounding_box()
    scale = room["width"] / task.size[1]
    canvas.click(position={"x": scale * (place[0] + 0.5), "y": scale * (place[1] + 0.5)})
    expect(bar.locator(".lk-stopwatch-status")).to_contain_text("point")
    next_button.click()
    expect(asked).to_contain_text("5 of 60")
    expect(around).not_to_have_class(re.compile("lk-busy"))
    page.wait_for_selector(".lka-frame [data-painted]")
    expect(page.locator(".lka-frame")).to_have_count(1)
    notebook.run_until_printed(1, "that is all")
    assert notebook.printed(1).split("\n")[0] == "point 3 1.0 True"
    assert notebook.sources() == cells
    assert notebook.errors() == []
