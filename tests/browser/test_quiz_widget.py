"""A quiz in the browser: by mouse and keyboard, named for screen readers, and what it sends to the kernel."""

import pytest

from lecturekit.exercises.quiz import Option, Question, Quiz

pytestmark = pytest.mark.browser

QUIZ = Quiz(
    "sums",
    [
        Question("1 + 1?", [Option("`1`", False, "Too <b>few</b>."), Option("2", True, "*Yes*, `two`.")]),
        Question(
            "Even?", [Option("2", True, "Yes."), Option("3", False, "Odd."), Option("4", True, "Even.")], True
        ),
    ],
)


@pytest.fixture
def widget():
    return QUIZ.show()


@pytest.fixture
def page(esm_page, widget):
    return esm_page(widget)


def kernel_answers(page, widget):
    """What the kernel does with the last message of the page."""
    widget.chosen = page.evaluate("saved.at(-1).chosen")
    page.evaluate("marks => model.set('marks', marks)", widget.marks)


def test_mouse_chooses_and_feedback_comes_back(page, widget):
    first = page.get_by_role("group", name="Question 1. 1 + 1?")
    first.get_by_role("radio", name="1").check()
    first.get_by_role("button", name="Check question 1").click()
    assert page.evaluate("saved.at(-1).chosen") == [[0], None]
    kernel_answers(page, widget)
    assert first.get_by_role("status").inner_text().split("\n\n") == ["✗ Not right yet.", "Too <b>few</b>."]
    first.get_by_role("radio", name="2").check()
    first.get_by_role("button").click()
    kernel_answers(page, widget)
    assert first.get_by_role("status").inner_text().split("\n\n") == ["✓ Correct.", "Yes, two."]
    assert first.get_by_role("status").locator("code").inner_text() == "two"
    assert first.get_by_role("status").locator("em").inner_text() == "Yes"


def test_keyboard_alone_is_enough(page, widget):
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("saved.at(-1).chosen") == [[1], None]


def test_several_options_of_one_question(page, widget):
    second = page.get_by_role("group", name="Question 2. Even? (several may be right)")
    second.get_by_role("checkbox", name="2").check()
    second.get_by_role("checkbox", name="4").check()
    second.get_by_role("button").click()
    kernel_answers(page, widget)
    assert "✓ Correct." in second.get_by_role("status").inner_text()
    assert page.get_by_role("group").first.get_by_role("status").inner_text() == ""


def test_same_choice_again_sends_nothing_and_keeps_the_feedback(page, widget):
    first = page.get_by_role("group").first
    first.get_by_role("radio", name="2").check()
    first.get_by_role("button").click()
    kernel_answers(page, widget)
    first.get_by_role("button").click()
    assert page.evaluate("saved.length") == 1
    assert "✓ Correct." in first.get_by_role("status").inner_text()


def test_jupyterlab_shortcuts_are_kept_off_every_control(page):
    controls = page.locator("input, button")
    assert controls.count() == 7
    assert page.locator("[data-lm-suppress-shortcuts=true]").count() == controls.count()


def test_no_accessibility_violation_before_and_after_an_answer(page, widget, axe):
    assert axe(page) == []
    page.get_by_role("radio").first.check()
    page.get_by_role("button").first.click()
    kernel_answers(page, widget)
    assert axe(page) == []


def test_nothing_listens_after_the_widget_is_gone(page):
    page.evaluate("unmount()")
    assert page.evaluate("model.listening()") == 0
