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


def test_buttons_filter_box_and_keys_ask_the_kernel(page, axe):
    expect(page.locator(".lk-project-prompt")).to_have_text("2 of 9 · cat.jpg")
    expect(page.get_by_role("button", name="Back")).to_be_disabled()
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
