"""The notebooks and the CAM explorer in a real JupyterLab, by mouse and keyboard."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

NOTEBOOKS = ("00_start_here.ipynb", "05_class_activation_maps.ipynb")
CANVAS = ".lk-cam canvas.lk-canvas"
SHORTCUTS = "bmadxyc"  # insert below, to Markdown, insert above, delete (twice), cut, to code, copy
BROKEN = "text=/Error displaying widget|Loading widget\\.\\.\\.|Failed to load model/"

SMALL = """
import numpy as np
from lecturekit.widgets.cam_explorer import CamExplorer
noise = np.random.default_rng(0)
image = noise.integers(0, 256, (96, 128, 3), np.uint8)
maps, logits = noise.normal(size=(4, 3, 4)), noise.normal(size=4)
explorer = CamExplorer(image, maps, ["cat", "dog", "cup", "spoon"], logits, class_index=0)
explorer
"""


def use_the_explorer(notebook, repainted):
    """Move every control of the explorer as a reader would; each must change the picture."""
    page = notebook.page
    canvas = notebook.show(CANVAS)
    explorer = page.locator(".lk-cam").first
    with repainted(canvas):
        explorer.get_by_role("option").nth(1).click()
    search = explorer.get_by_role("combobox", name="Class")
    search.click()
    with repainted(canvas):
        page.keyboard.press("ArrowDown")
    with repainted(canvas):
        explorer.get_by_role("option").first.click()

    slider = explorer.get_by_role("slider", name="Threshold")
    slider.hover()  # which waits until nothing moves any more
    size = slider.bounding_box()
    middle = size["y"] + size["height"] / 2
    with repainted(canvas):
        page.mouse.move(size["x"] + size["width"] * 0.21, middle)
        page.mouse.down()
        page.mouse.move(size["x"] + size["width"] * 0.6, middle, steps=4)
        page.mouse.up()
    explorer.get_by_role("slider", name="Opacity").focus()
    with repainted(canvas):
        page.keyboard.press("ArrowRight")
    with repainted(canvas):
        explorer.get_by_label("Upsampling").select_option("nearest")
    with repainted(canvas):
        explorer.get_by_label("Show evidence against the class too").click()

    with repainted(canvas):
        canvas.hover(position={"x": 40, "y": 60})
    with repainted(canvas):
        canvas.click(position={"x": 90, "y": 90})
        page.keyboard.press("ArrowRight")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_without_an_error(open_notebook, repainted, name):
    notebook = open_notebook(name)
    before = notebook.sources()
    notebook.run_all()
    assert notebook.errors() == []
    assert notebook.sources() == before
    assert all(cell["execution_count"] for cell in notebook.cells() if cell["cell_type"] == "code")
    if name.startswith("05"):
        use_the_explorer(notebook, repainted)
        assert notebook.sources() == before
    assert notebook.page.locator(BROKEN).count() == 0


def test_an_explorer_in_a_small_notebook(open_cells, repainted, axe):
    """In one notebook, for JupyterLab takes seconds to load; each part runs the cell anew."""
    changed = "explorer.class_index = 2\nexplorer.pixel = [64, 48]"
    small = open_cells("small", SMALL, changed, "print(explorer.state)")
    browser_and_kernel_know_the_same(small, repainted)
    jupyterlab_takes_no_key_from_the_explorer(small)
    explorer_takes_the_theme_and_stays_accessible(small, axe)


def browser_and_kernel_know_the_same(small, repainted):
    small.run_cell(0)
    canvas = small.show(CANVAS)
    explorer = small.page.locator(".lk-cam").first
    with repainted(canvas):
        small.run_cell(1)
    expect(explorer.locator("figcaption").first).to_contain_text("cup")
    expect(explorer.locator(".lk-here")).to_contain_text("x 64, y 48")

    slider = explorer.get_by_role("slider", name="Threshold")
    slider.focus()
    for _ in range(5):
        small.page.keyboard.press("ArrowRight")
    explorer.get_by_label("Upsampling").select_option("bicubic")
    explorer.get_by_label("Show evidence against the class too").check()
    explorer.get_by_role("option", name="dog").click()
    chosen = "class_index=1, threshold=0.25, opacity=0.5, upsampling='bicubic', signed=True, colour='RdBu_r'"
    small.run_until_printed(2, f"{chosen}, pixel=(64, 48)")
    assert small.errors() == []


def jupyterlab_takes_no_key_from_the_explorer(small):
    small.run_cell(0)
    small.show(CANVAS)
    before = small.sources()
    controls = (
        small.page.locator(".lk-cam").locator("canvas, input, select, button").locator("visible=true").all()
    )
    assert len(controls) >= 8
    for control in controls:
        control.focus()
        for key in SHORTCUTS:
            small.page.keyboard.press(key)
        assert small.sources() == before, control.get_attribute("id")


def explorer_takes_the_theme_and_stays_accessible(small, axe):
    for theme in ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Light"):
        small.theme(theme)
        small.run_cell(0)
        small.show(CANVAS)
        luminance = small.page.locator(".lk-frame").first.evaluate("""frame => {
            const canvas = new OffscreenCanvas(2, 1).getContext('2d');
            const style = getComputedStyle(frame);
            canvas.fillStyle = style.backgroundColor; canvas.fillRect(0, 0, 1, 1);
            canvas.fillStyle = style.color; canvas.fillRect(1, 0, 1, 1);
            return [canvas.getImageData(0, 0, 1, 1).data[0], canvas.getImageData(1, 0, 1, 1).data[0]];
        }""")
        paper, ink = luminance if theme.endswith("Light") else luminance[::-1]
        assert paper > 200, theme
        assert ink < 60, theme
        assert axe(small.page, ".lk-cam") == [], theme
