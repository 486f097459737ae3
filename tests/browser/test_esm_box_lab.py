"""The box lab's JavaScript alone in Chromium: a drag, keys, sliders, lists, and one question at a time."""

import numpy as np
import pytest

from lecturekit.widgets.box_lab import BoxLab, Choice, Drawn, Slider

pytestmark = pytest.mark.browser

H, W = 100, 150
CONTROLS = {"grey": Slider("Grey value", 0, 255, 5, 100), "kind": Choice("Kind", ("plain", "bold"), "plain")}


def drawn_box(box, grey, kind):
    picture = np.zeros((H, W, 3), np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = grey
    return Drawn(picture, f"{kind} {grey} at {box}")


@pytest.fixture
def widget():
    return BoxLab(drawn_box, CONTROLS, box=(20, 10, 60, 50), size=(H, W))


@pytest.fixture
def page(esm_page, widget):
    found = esm_page(widget)
    found.wait_for_function("document.querySelector('img').complete")
    return found


def sent(page):
    """What the page has sent to the kernel, one entry a question."""
    return page.evaluate("saved")


def answer(page):
    """The kernel has drawn: the page may ask again."""
    page.evaluate("model.set('_answered', model.get('_asked'))")


def drag(page, start, end):
    frame = page.locator(".lk-stage").bounding_box()

    def place(x, y):
        return frame["x"] + x / W * frame["width"], frame["y"] + y / H * frame["height"]

    page.mouse.move(*place(*start))
    page.mouse.down()
    page.mouse.move(*place(*((a + b) / 2 for a, b in zip(start, end, strict=True))))
    page.mouse.move(*place(*end))
    page.mouse.up()


def test_a_drag_draws_a_box_and_the_kernel_hears_of_it_once(page, widget):
    drag(page, (100, 80), (40, 30))  # from the lower right to the upper left
    (question,) = sent(page)
    assert question["box"] == [40, 30, 100, 80]
    widget.set_state(question)
    assert widget.words == "plain 100 at (40, 30, 100, 80)"
    answer(page)
    drag(page, (20, 20), (21, 21))  # a click that went astray
    assert len(sent(page)) == 1
    assert page.locator("rect.lk-outline").get_attribute("width") == "60"


def test_a_box_cannot_leave_the_picture(page):
    between = "([a, b]) => esm.boxBetween(a, b, [100, 150])"
    assert page.evaluate(between, [[-20, 50], [400, 300]]) == [0, 50, 150, 100]
    assert page.evaluate(between, [[10, 10], [12, 90]]) is None
    moved = "([box, step, grow]) => esm.boxMoved(box, step, [100, 150], grow)"
    assert page.evaluate(moved, [[120, 10, 149, 40], [5, -20], False]) == [121, 0, 150, 30]
    assert page.evaluate(moved, [[120, 10, 149, 40], [-50, 90], True]) == [120, 10, 124, 100]


def test_keys_move_and_resize_the_box_one_question_at_a_time(page):
    page.locator(".lk-stage").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert [question.get("box") for question in sent(page)] == [[21, 10, 61, 50]]  # the others wait
    answer(page)
    assert sent(page)[-1]["box"] == [23, 10, 63, 51]
    answer(page)
    assert len(sent(page)) == 2


def test_sliders_and_lists_send_values_and_follow_the_kernel(page):
    slider = page.get_by_role("slider", name="Grey value")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert sent(page)[-1]["values"] == {"grey": 105, "kind": "plain"}
    answer(page)
    page.get_by_role("combobox", name="Kind").select_option("bold")
    assert sent(page)[-1]["values"] == {"grey": 105, "kind": "bold"}
    page.evaluate("model.set('values', {grey: 20, kind: 'plain'})")
    assert slider.input_value() == "20"
    assert page.locator(".lk-value").inner_text() == "20"


def test_words_are_spoken_and_nothing_stays_behind(page, axe):
    assert page.get_by_role("status").inner_text() == "plain 100 at (20, 10, 60, 50)"
    assert page.locator("img").get_attribute("alt") == "plain 100 at (20, 10, 60, 50)"
    assert axe(page) == []
    suppressed = page.eval_on_selector_all(
        "input, select, .lk-stage", "nodes => nodes.map(n => n.dataset.lmSuppressShortcuts)"
    )
    assert suppressed == ["true"] * 3
    page.evaluate("unmount()")
    assert page.evaluate("model.listening()") == 0


def test_a_kernel_that_does_not_answer_and_a_function_that_raises_are_told(page, widget):
    """The old picture must not pass for the new one."""
    note, stage = page.get_by_role("alert"), page.locator(".lk-stage")
    assert not note.is_visible()
    page.clock.install()
    page.locator(".lk-stage").focus()
    page.keyboard.press("ArrowRight")
    assert not note.is_visible()
    page.clock.run_for(4000)
    assert "The kernel has not answered yet" in note.inner_text()
    assert "lk-stale" in stage.get_attribute("class")
    answer(page)
    assert not note.is_visible()
    assert "lk-stale" not in stage.get_attribute("class")

    widget._draw = lambda box, **values: 1 / 0
    with pytest.raises(ZeroDivisionError):
        widget.values = {"grey": 20, "kind": "plain"}
    page.evaluate("text => model.set('_trouble', text)", widget._trouble)
    assert note.inner_text() == "The picture could not be drawn anew: ZeroDivisionError: division by zero"
    assert "lk-stale" in stage.get_attribute("class")
    widget._draw = drawn_box
    widget.values = {"grey": 30, "kind": "plain"}
    assert widget._trouble == ""
    page.evaluate("model.set('_trouble', '')")
    assert not note.is_visible()


def test_a_kernel_that_has_gone_is_told_at_once(page):
    page.evaluate("() => { model.save_changes = () => { throw new Error('closed'); }; }")
    page.get_by_role("slider", name="Grey value").focus()
    page.keyboard.press("ArrowRight")
    assert "run this cell again" in page.get_by_role("alert").inner_text()
