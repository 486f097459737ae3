"""The annotator in a real JupyterLab: what is drawn reaches the kernel exactly, and nothing ends it."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

CANVAS = ".lka-frame canvas.lka-top"
SHORTCUTS = "bmadxyc"  # insert below, to Markdown, insert above, delete (twice), cut, to code, copy
H, W = 240, 320

MAKE = f"""
import time
from pathlib import Path
import numpy as np
from lecturekit.widgets.annotator import Annotator
image = np.full(({H}, {W}, 3), (70, 90, 110), np.uint8)
annotator = Annotator(image, ["cat", "dog", "cup"], key="KEY")
annotator
"""
TELL = """
for label in annotator.labels:
    places = np.round(label["points"]).astype(int).tolist()
    print(label["kind"], label["class_index"], places, 0 < label["milliseconds"] < 600_000)
print("that is all")
"""
WAIT = 'while not Path("KEY.go").exists():\n    time.sleep(0.05)'


@pytest.fixture
def drawing(open_cells, lab):
    """``drawing(key)``: a notebook with an annotator, a cell that prints its labels, and one that keeps the
    kernel busy until the file `drawing(key).go` is there."""

    def show(key):
        cells = [source.replace("KEY", key) for source in (MAKE, TELL, WAIT)]
        return Drawing(open_cells(key, *cells), lab, key)

    return show


class Drawing:
    """The annotator in a notebook, and a hand to draw with, in pixels of the picture."""

    def __init__(self, notebook, lab, key):
        self.notebook, self.lab, self.page = notebook, lab, notebook.page
        self.go = lab.folder / f"{key}.go"

    def find(self, labels):
        """Wait until the annotator is there, with so many labels in its list."""
        self.canvas = self.notebook.show(CANVAS)
        self.page.wait_for_selector(".lka-frame [data-painted]")
        expect(self.page.locator(".lka-item")).to_have_count(labels)
        self.canvas.scroll_into_view_if_needed()

    def at(self, x, y):
        box = self.canvas.bounding_box()
        return box["x"] + x / W * box["width"], box["y"] + y / H * box["height"]

    def on(self, x, y):
        """A point of the picture as Playwright wants it, which then waits until nothing moves any more."""
        box = self.canvas.bounding_box()
        return {"x": x / W * box["width"], "y": y / H * box["height"]}

    def drag(self, *points):
        self.canvas.hover(position=self.on(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point))
        self.page.mouse.up()

    def click(self, *points):
        for point in points:
            self.canvas.click(position=self.on(*point))

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def keeps_its_keys(self):
        """Press what would change the notebook on one control of each kind."""
        frame, before = self.page.locator(".lka-frame"), self.notebook.sources()
        kinds = ("canvas[tabindex]", "input[type=radio]", "input[type=checkbox]", "input[type=range]")
        for kind in (*kinds, "button", "summary", "ul[tabindex]"):
            self.press("s")  # the tool that shows the slider
            frame.locator(kind).locator("visible=true").first.focus()
            self.press(*SHORTCUTS, "Escape")
            assert self.notebook.sources() == before, kind

    def kernel_has(self, *lines):
        """Wait until the kernel prints exactly these labels."""
        self.notebook.run_until_printed(1, "".join(f"{line} True\n" for line in lines) + "that is all")
        assert self.notebook.printed(1).count("True") == len(lines)

    def reload(self):
        """Load the page anew, as F5 does; the kernel goes on."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        self.notebook = type(self.notebook)(self.page, self.lab, self.notebook.name)

    def restart(self):
        """A new kernel in the place of the old one; it knows nothing of the annotator that is on the page."""
        self.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")


def test_kernel_has_exactly_what_was_drawn_after_reload_and_restart(drawing, axe):
    drawing = drawing("all")
    drawing.notebook.theme("JupyterLab Dark")
    drawing.notebook.run_cell(0)
    drawing.find(0)
    before = drawing.notebook.sources()
    drawing.canvas.focus()
    drawing.press("b")
    drawing.drag((40, 30), (120, 100), (200, 180))
    drawing.press("2", "g")
    drawing.click((60, 40), (200, 60), (120, 180))
    drawing.press("Enter")
    drawing.press("3", "s")
    drawing.drag((30, 200), (90, 210), (150, 190))
    drawing.press("p")
    drawing.click((300, 20), (310, 230))
    drawing.press("Control+z", "v")
    drawing.click((170, 70))
    drawing.drag((200, 60), (240, 80), (250, 100))  # a corner of the outline
    expect(drawing.page.locator(".lka-item")).to_have_count(4)
    labels = [
        "box 1 [[40, 30], [200, 180]]",
        "polygon 2 [[60, 40], [250, 100], [120, 180]]",
        "scribble 3 [[30, 200], [90, 210], [150, 190]]",
        "point 3 [[300, 20]]",
    ]
    drawing.kernel_has(*labels)
    expect(drawing.page.locator(".lka-state")).to_have_text("All labels are saved.")

    drawing.reload()
    drawing.find(4)
    drawing.kernel_has(*labels)
    drawing.canvas.focus()
    drawing.press("2", "p")
    drawing.click((20, 120))
    labels.append("point 2 [[20, 120]]")
    drawing.kernel_has(*labels)

    drawing.restart()
    drawing.click((160, 200))  # nobody hears of it
    expect(drawing.page.locator(".lka-item")).to_have_count(6)
    expect(drawing.page.locator(".lka-state")).to_contain_text("Not saved yet")
    drawing.notebook.run_cell(0)
    drawing.find(6)
    labels.append("point 2 [[160, 200]]")
    drawing.kernel_has(*labels)
    drawing.canvas.focus()
    drawing.press("b", "Space", "ArrowRight", "Shift+ArrowDown", "Space")  # by keyboard alone
    labels.append("box 1 [[160, 120], [161, 130]]")
    drawing.kernel_has(*labels)
    drawing.keeps_its_keys()
    drawing.kernel_has(*labels)
    assert drawing.notebook.sources() == before
    assert drawing.notebook.errors() == []
    frame = drawing.page.locator(".lka-frame")
    assert axe(drawing.page, ".lka-frame") == []
    paper = frame.evaluate("frame => getComputedStyle(frame).backgroundColor")
    assert max(int(v) for v in paper.removeprefix("rgb(").removesuffix(")").split(",")[:3]) < 60


def test_labels_drawn_while_the_kernel_is_busy_outlive_a_reload(drawing):
    drawing = drawing("busy")
    drawing.notebook.run_cell(0)
    drawing.find(0)
    drawing.page.evaluate("""() => {
        window.notebook.activeCellIndex = 2;
        window.jupyterapp.commands.execute('notebook:run-cell');
    }""")
    drawing.page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
    )
    drawing.canvas.focus()
    drawing.press("p")
    drawing.click((40, 50), (80, 60), (120, 70))
    expect(drawing.page.locator(".lka-state")).to_contain_text("Not saved yet")
    drawing.reload()
    drawing.go.touch()
    drawing.find(3)
    drawing.kernel_has("point 1 [[40, 50]]", "point 1 [[80, 60]]", "point 1 [[120, 70]]")
