"""Predict first and My course in a real JupyterLab: committed by mouse and by key, in both themes."""

import pytest

pytestmark = pytest.mark.browser

CELLS = (
    """
import numpy as np
from lecturekit.exercises import class_activation_maps as exercises
ramp = np.tile(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (64, 1, 3))
where = exercises.chapter.predict("ramp", "Where is the map highest?", image=ramp)
where""",
    'print("guess", where.guess)\nwhere.reveal(ramp[..., 0])',
    """
curve = exercises.chapter.predict("rounds", "How does it go on?", curve=([1, 2, 3, 4], 0, 0.5, "x", "y"))
curve""",
    'print("guess", curve.guess)\ncurve.reveal([0.1, 0.2, 0.3, 0.3])',
    "display(exercises.chapter.you_against_the_network())\nexercises.chapter.my_course()",
)


@pytest.fixture
def live(open_cells):
    """A notebook with two questions and the panel; everything has run once without a guess."""
    notebook = open_cells("predict", *CELLS)
    notebook.run_all()
    assert notebook.errors() == []
    return notebook


def html_of(notebook, n):
    return "".join(str(output.get("data", "")) for output in notebook.cells()[n]["outputs"])


def test_a_guess_is_committed_scored_and_counted(live):
    page, before = live.page, live.sources()
    assert "No prediction" in html_of(live, 1)
    stage = live.show(".lk-guess-stage")
    frame = stage.bounding_box()
    stage.click(position={"x": 0.9 * frame["width"], "y": 0.5 * frame["height"]})
    page.keyboard.press("m")  # JupyterLab would turn the cell into Markdown
    live.show(".lk-guess button").click()
    live.run_until_printed(1, "guess [0.")
    assert "Your prediction: " in html_of(live, 1)

    plane = live.show(".lk-guess-plane")
    plane.focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    plane.locator("xpath=ancestor::*[contains(@class, 'lk-guess')][last()]").get_by_role("button").click()
    live.run_until_printed(3, "guess [0.2, 0.2")
    live.run_cell(4)
    shown = html_of(live, 4)
    assert "| Where is the map highest? | " in shown
    assert "2 scored" in shown
    assert live.sources() == before
    live.theme("JupyterLab Dark")
    assert (
        live.show(".lk-guess-stage").evaluate(
            "node => getComputedStyle(node.closest('.lk-theme')).colorScheme"
        )
        == "dark"
    )
