"""Predict first in the browser: by mouse, by keyboard and by finger, and what the kernel hears."""

import numpy as np
import pytest

from lecturekit.exercises._prediction import Axes, Prediction

pytestmark = pytest.mark.browser
GREY = np.full((100, 200, 3), 128, np.uint8)
KINDS = {
    "click": {"image": GREY},
    "curve": {"axes": Axes(["one", "two", "three"], 0, 1, "round", "mean IoU")},
    "choice": {"options": ["better", "worse"]},
}


@pytest.fixture
def widget(request, tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    return Prediction("00/test", "What will it be?", **KINDS[request.param])


@pytest.fixture
def page(esm_page, widget):
    return esm_page(widget)


def kind(name):
    return pytest.mark.parametrize("widget", [name], indirect=True)


def committed(page):
    page.get_by_role("button", name="Commit").click()
    return page.evaluate("saved.at(-1).guess")


@kind("click")
def test_a_click_is_a_place(page, widget):
    assert page.get_by_role("button", name="Commit").is_disabled()
    box = page.get_by_role("application").bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"])
    assert "25 % from the left and 75 % from the top" in page.get_by_role("status").inner_text()
    assert committed(page) == pytest.approx([0.25, 0.75], abs=0.02)
    assert "Committed" in page.get_by_role("status").inner_text()


@kind("click")
def test_arrow_keys_move_the_mark_and_the_outcome_is_drawn(page, widget):
    page.get_by_role("application").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    guess = committed(page)
    assert guess == pytest.approx([0.52, 0.6])
    widget.guess = guess
    widget.reveal(np.eye(4)[::-1])
    page.evaluate(
        "([o, w]) => { model.set('words', w); model.set('outcome', o); }", [widget.outcome, widget.words]
    )
    assert page.locator(".lk-guess-ring").count() == 1
    assert "A blind guess scores 50%" in page.get_by_role("status").inner_text()
    assert page.get_by_role("button", name="Commit").count() == 0  # hidden: what is known cannot be guessed


@kind("curve")
def test_a_curve_is_dragged_point_by_point(page, widget):
    box = page.get_by_role("application").bounding_box()
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"])  # noqa: E731
    page.mouse.move(*at(0.06, 0.2))
    page.mouse.down()
    page.mouse.move(*at(0.5, 0.4))
    page.mouse.move(*at(0.94, 0.8))
    page.mouse.up()
    assert committed(page) == pytest.approx([0.2, 0.4, 0.8], abs=0.03)


@kind("curve")
def test_a_curve_by_keyboard(page, widget):
    page.get_by_role("application").focus()
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert "At two: 0.48" in page.get_by_role("status").inner_text()
    assert committed(page) == pytest.approx([0.6, 0.48, 0.5])


@kind("choice")
def test_a_choice_by_keyboard(page, widget):
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    assert committed(page) == [1]


@pytest.mark.parametrize("widget", KINDS, indirect=True)
def test_axe_finds_nothing(page, widget, axe):
    assert axe(page, ".lk-guess") == []


@pytest.mark.parametrize("widget", ["click", "curve"], indirect=True)
def test_a_finger_does_it_too(page, widget):
    page.get_by_role("application").evaluate(
        """node => {
            const box = node.getBoundingClientRect();
            const touch = (type) => node.dispatchEvent(new PointerEvent(type, {
                pointerId: 1, pointerType: "touch", bubbles: true,
                clientX: box.x + box.width / 2, clientY: box.y + box.height / 4 }));
            node.setPointerCapture = () => {};
            touch("pointerdown"); touch("pointerup");
        }"""
    )
    guess = committed(page)
    assert guess == pytest.approx([0.5, 0.25] if widget.kind == "click" else [0.5, 0.75, 0.5], abs=0.02)
