"""The replay of the stopwatch lab alone in Chromium: the label grows as it was drawn, beside the truth."""

import pytest
from playwright.sync_api import expect

from lecturekit.labs import stopwatch
from lecturekit.widgets.stopwatch_lab import StopwatchLab

pytestmark = pytest.mark.browser

LABEL = {
    "id": "a",
    "kind": "polygon",
    "class_index": 1,
    "points": [[20, 20], [90, 20], [90, 90], [20, 90]],
    "milliseconds": 1200,
}


@pytest.fixture
def replay(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    lab = StopwatchLab()
    lab._heard(("polygon", 3), [LABEL])
    return lab._replay


def test_the_label_grows_beside_the_truth(esm_page, replay, axe):
    page = esm_page(replay)
    mine, truth = page.get_by_role("img").first, page.get_by_role("img").last
    expect(mine).to_have_attribute("data-share", "1.00")
    assert truth.is_visible()
    words = page.locator("figcaption").first.inner_text()
    assert words.startswith("1.2 s; as outline")
    assert axe(page) == []
    part = "([label, share]) => esm.partly(label, share).points.length"
    assert [page.evaluate(part, [LABEL, share]) for share in (0, 0.3, 0.6, 1)] == [1, 2, 3, 4]
    half = page.evaluate(
        "l => esm.partly({ ...l, kind: 'box', points: [[0, 0], [10, 20]] }, 0.5).points", LABEL
    )
    assert half == [[0, 0], [5, 10]]
    page.evaluate("model.set('_told', {})")
    expect(truth).not_to_be_visible()
    page.evaluate("unmount()")
    assert page.evaluate("model.listening()") == 0


def test_the_truth_is_the_outline_of_the_object(replay):
    (x0, y0, x1, y1) = stopwatch.tasks()[3].box
    points = [p for outline in replay._told["truth"] for p in outline]
    assert min(x for x, _ in points) == x0 + 0.5
    assert max(y for _, y in points) == y1 - 0.5
    assert x1 > x0
    assert y1 > y0
