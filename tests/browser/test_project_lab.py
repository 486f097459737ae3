"""A project from a clean folder in a real JupyterLab: label three, train, correct one, report, export."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SIZE = 160
MAKE = """
from pathlib import Path
from lecturekit.labs import project
from lecturekit.labs.project import simulated
from lecturekit.widgets.project_labeller import ProjectLabeller
mine = project.new(simulated.folder("clean", 9), simulated.NAMES, test=3)
simulated.draw(mine, mine.test, "masks")
labeller = ProjectLabeller(mine)
labeller
"""
TRAIN = """
student = project.train(mine, progress=False)
print([len(mine.labels(p)) for p in mine.train], round(labeller.seconds) > 0, "trained")
"""
CORRECT = """
better = project.correct(mine, {})
print([label["kind"] for label in mine.labels(mine.train[3])], "corrected")
"""
REPORT = """
page = project.report(mine)
network = project.export(mine, "network.pt")
print(page.stat().st_size > 10_000, 0 <= project.measure(mine).iou <= 1, network.is_file(), "reported")
"""


def test_from_a_clean_folder_to_a_report_and_a_network(open_cells):
    notebook = open_cells("project", MAKE, TRAIN, CORRECT, REPORT)
    page, before = notebook.page, notebook.sources()
    notebook.run_cell(0)
    notebook.show(".lk-project-bar")
    said, status = page.locator(".lk-project-prompt"), page.locator(".lk-project-status")

    def canvas():
        expect(page.locator(".lk-project")).not_to_have_class(
            re.compile("lk-busy")
        )  # the new picture is there
        page.wait_for_selector(".lka-frame [data-painted]")
        found = page.locator(".lka-frame canvas.lka-top")
        found.scroll_into_view_if_needed()
        return found

    def drag(*points):
        shown = canvas()
        scale = shown.bounding_box()["width"] / SIZE
        shown.hover(position={"x": points[0][0] * scale, "y": points[0][1] * scale})
        page.mouse.down()
        box = shown.bounding_box()
        for x, y in points[1:]:
            page.mouse.move(box["x"] + x * scale, box["y"] + y * scale, steps=3)
        page.mouse.up()

    expect(said).to_contain_text("1 of 6")
    canvas().focus()
    page.keyboard.press("b")
    for number in (1, 2, 3):
        expect(said).to_contain_text(f"{number} of 6")
        drag((30, 30), (120, 120))
        expect(status).to_contain_text(f"{number} of 6 pictures")
        page.keyboard.press("PageDown")
    expect(said).to_contain_text("4 of 6")  # and the keys are still the annotator's
    expect(page.locator(".lka-frame")).to_have_count(1)
    notebook.run_until_printed(1, "[1, 1, 1, 0, 0, 0] True trained")

    page.get_by_label("the student's answer").check()
    canvas().focus()  # the one with the answer laid over it
    page.keyboard.press("s")
    drag((40, 80), (80, 90), (120, 80))
    expect(status).to_contain_text("4 of 6 pictures")
    notebook.run_until_printed(2, "['scribble'] corrected")
    notebook.run_until_printed(3, "True True True reported")
    assert notebook.sources() == before
    assert notebook.errors() == []
