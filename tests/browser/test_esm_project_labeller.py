"""The bar of the project labeller alone: words, buttons, filter, keys, and what axe says of it."""

import pytest
from playwright.sync_api import expect

from lecturekit.widgets.project_labeller import _Bar

pytestmark = pytest.mark.browser


@pytest.fixture
def page(esm_page):
    bar = _Bar(prompt="2 of 9 · cat.jpg", status="One is done.", _may=["next", "open", "answers"], _done=0.5)
    return esm_page(bar)


def asked(page):
    return [sent["_asked"][1] for sent in page.evaluate("saved")]


ANSWERS = "model.on('change:_asked', () => model.set('_answered', model.get('_asked')[0]))"
AROUND = """() => {
    const box = document.querySelector("#root").parentElement;
    box.classList.add("lk-around");
    const canvas = "<canvas tabindex=0 width=40 height=40></canvas>";
    const frame = `<div class="lka-frame" data-name="first">${canvas}</div>`;
    box.insertAdjacentHTML("beforeend", `<div class="first">${frame}</div>`);
    globalThis.heard = [];
    for (const name of ["pointerdown", "keydown"])
        box.querySelector("canvas").addEventListener(name, (event) => heard.push(event.key ?? name));
}"""


def test_buttons_filter_box_and_keys_ask_the_kernel(page, axe):
    expect(page.locator(".lk-project-prompt")).to_have_text("2 of 9 · cat.jpg")
    expect(page.get_by_role("button", name="Back")).to_be_disabled()
    page.evaluate(ANSWERS)
    page.get_by_role("button", name="Next", exact=True).click()
    page.get_by_label("Which pictures").select_option("doubtful")
    page.get_by_label("the student's answer").check()
    page.wait_for_timeout(50)  # the bar listens once it is in the page
    page.get_by_role("button", name="Next without labels").focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("PageUp")
    page.keyboard.press("Control+PageDown")  # the browser's own
    assert asked(page) == ["next", "show doubtful", "answers", "next", "back"]
    assert axe(page) == []


def test_trouble_is_said_and_vanishes(page):
    trouble = page.locator(".lk-project-trouble")
    expect(trouble).to_be_hidden()
    page.evaluate("model.set('trouble', 'The file is gone.')")
    expect(trouble).to_have_text("The file is gone.")
    page.evaluate("model.set('trouble', '')")
    expect(trouble).to_be_hidden()
    page.evaluate("model.set('_may', ['back'])")
    expect(page.get_by_label("the student's answer")).to_be_hidden()
    page.evaluate("unmount()")
    assert page.evaluate("model.listening()") == 0


@pytest.fixture
def around(page):
    """The bar, and below it what stands for an annotator, the first of the labeller."""
    page.evaluate(AROUND)
    page.evaluate("model.set('_shows', 'first')")
    return page


def draw(page):
    """A press on the canvas and a key; what the canvas has heard of them."""
    page.locator("canvas").focus()
    at = page.locator("canvas").bounding_box()
    page.mouse.click(at["x"] + 20, at["y"] + 20)
    page.keyboard.press("x")
    return page.evaluate("heard.splice(0)")


def busy(page):
    return page.locator(".lk-busy [aria-busy]").count() == 1


def press(page, name="Next"):
    page.get_by_role("button", name=name, exact=True).click()


def test_between_question_and_answer_nothing_can_be_drawn(around, axe):
    page = around
    assert draw(page) == ["pointerdown", "x"]
    press(page)
    assert busy(page)
    assert draw(page) == []
    press(page)  # it waits for its turn
    note = page.locator(".lk-note[role=status]")
    expect(note).to_contain_text("The kernel is at work")
    assert asked(page) == ["next"]
    page.evaluate("model.set('_answered', 1)")
    assert asked(page) == ["next", "next"]
    assert busy(page)
    assert axe(page) == []
    page.evaluate("model.set('_answered', 2)")  # which changed nothing
    assert not busy(page)
    expect(note).to_be_hidden()
    assert draw(page) == ["pointerdown", "x"]


def test_what_takes_long_is_said_and_not_that_the_kernel_may_be_gone(around):
    page = around
    note = page.locator(".lk-note[role=status]")
    page.evaluate("model.set('_working', 'of no question')")
    expect(note).to_be_hidden()
    press(page)
    page.evaluate("model.set('_working', 'The network looks at pictures.')")
    expect(note).to_contain_text("The network looks at pictures.")
    expect(note.get_by_role("button")).to_be_visible()  # after some seconds one can go on all the same
    expect(note).to_contain_text("The network looks at pictures.")
    page.evaluate("model.set('_working', ''); model.set('_answered', 1)")
    expect(note).to_be_hidden()


def test_an_answer_counts_once_the_new_annotator_is_in_place(around):
    page = around
    press(page)
    page.evaluate("model.set('_shows', 'second'); model.set('_answered', 1)")
    page.wait_for_timeout(100)  # longer than the bar looks away
    assert busy(page)
    page.evaluate(
        "document.querySelector('.first').insertAdjacentHTML('afterend', "
        '\'<div class="second"><div class="lka-frame" data-name="second"></div></div>\')'
    )
    page.wait_for_timeout(100)  # the old one is still there
    assert page.locator(".lk-busy").count() == 1
    page.evaluate("document.querySelector('.first').remove()")
    expect(page.locator(".lk-busy")).to_have_count(0)
    press(page)
    page.evaluate("model.set('_shows', ''); document.querySelector('.second').remove()")
    page.evaluate("model.set('_failed', 'That did not work: no file'); model.set('_answered', 2)")
    expect(page.locator(".lk-busy")).to_have_count(0)
    expect(page.locator(".lk-note[role=status]")).to_contain_text("no file")


def test_a_question_waits_for_labels_on_their_way(around):
    page = around
    page.evaluate("document.querySelector('.lka-frame').dataset.saving = 'true'")
    press(page)
    assert busy(page)
    assert asked(page) == []
    page.evaluate("delete document.querySelector('.lka-frame').dataset.saving")
    page.wait_for_function("saved.length === 1")


def test_a_kernel_that_is_gone_stops_nobody(around):
    page = around
    press(page)
    go_on = page.get_by_role("button", name="Go on with this picture")
    expect(go_on).to_be_visible()
    expect(page.locator(".lk-note[role=status]")).to_contain_text("run this cell again")
    go_on.click()
    assert not busy(page)
    page.evaluate("() => { model.save_changes = () => { throw new Error('closed'); }; }")
    press(page)
    assert not busy(page)
    expect(page.locator(".lk-note[role=status]")).to_contain_text("The kernel is gone")
    assert draw(page) == ["pointerdown", "x"]
