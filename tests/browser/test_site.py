"""The built site, served from this machine with every other host out of reach: read, searched, used."""

import functools
import http.server
import json
import re
import threading

import numpy as np
import pytest
from filelock import FileLock
from playwright.sync_api import expect
from support import ROOT

from lecturekit.exercises import class_activation_maps
from lecturekit.labels import shapes
from lecturekit.labs import simulated, stopwatch
from lecturekit.publish import inspection
from lecturekit.publish import site as publisher

pytestmark = pytest.mark.browser
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that says nothing."""

    def log_message(self, *_):
        """Not said."""


@pytest.fixture(scope="module")
def built():
    """The site of the present sources: the one that is there, or one that is built now."""
    folder = ROOT / "site" / "_build"
    with FileLock(ROOT / "site" / ".lock"):
        if not publisher.is_fresh(folder):
            publisher.build(folder, photo=False)
    return folder


@pytest.fixture(scope="module")
def address(built):
    """Of a file server that knows nothing but the site."""
    handler = functools.partial(Quiet, directory=built)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(address, new_page):
    """``visit("index.html", **page)``: that page, loaded."""

    def go(path, **options):
        page = new_page(**options)
        assert page.goto(f"{address}/{path}").ok, path
        return page

    return go


def test_every_notebook_and_document_has_a_page(built):
    assert [path.stem for path in sorted((built / "notebooks").glob("*.html"))] == NOTEBOOKS
    assert (built / "docs" / "glossary.html").is_file()
    assert (built / "docs" / "benchmarks.html").is_file()
    assert (built / "reference" / "lecturekit.pixels.crf.html").is_file()
    assert (built / "docs" / "teach" / "index.html").is_file()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_committed_pictures_are_there_with_their_texts(built, name):
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    outputs = [output for cell in json.loads(text)["cells"] for output in cell.get("outputs", [])]
    shown = "".join("".join(output.get("data", {}).get("text/html", [])) for output in outputs)
    committed = set(re.findall(r'<img[^>]* alt="([^"]+)"', shown))
    page = (built / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    assert committed
    assert committed <= set(re.findall(r'<img[^>]* alt="([^"]+)"', page))
    assert "base64" not in page


def test_pages_link_to_what_is_there_and_fetch_nothing_elsewhere(built):
    assert inspection.faults(built.resolve()) == []


def test_the_inspection_finds_what_it_looks_for(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">x</a><a href="b.html#nowhere">x</a><a href="c.html">x</a><img src="b.html">'
        '<script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="there">')
    assert inspection.faults(tmp_path) == [
        "a.html: a picture without a text: b.html",
        "a.html: b.html#nowhere leads nowhere",
        "a.html: c.html leads nowhere",
        "a.html: https://example.org/x.js would be fetched from another host",
    ]


def test_a_page_that_is_too_large_with_its_pictures_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "MAX_PAGE", 1000)
    (tmp_path / "a.png").write_bytes(bytes(960))
    (tmp_path / "a.html").write_text('<img alt="x" src="a.png"><img alt="y" src="a.png">')
    assert inspection.faults(tmp_path) == ["a.html: 1010 bytes with its pictures, at most 1000 are allowed"]


def test_the_site_is_made_without_running_a_notebook(built):
    assert not [
        path for path in built.rglob("*") if path.name in ("jupyter_execute", "_sources", ".doctrees")
    ]


def test_formulas_are_drawn_by_the_sites_own_mathjax(visit):
    page = visit("notebooks/05_class_activation_maps.html")
    page.wait_for_selector("mjx-container mjx-math", state="attached")
    assert page.locator("mjx-merror").count() == 0


def test_search_finds_a_word(visit):
    page = visit("search.html?q=grabcut")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a").count() >= 1


@pytest.mark.parametrize("path", ["index", "docs/benchmarks", "reference/publish"])
def test_nothing_is_wider_than_a_phone(visit, path):
    page = visit(f"{path}.html", width=375, height=700, touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        ("notebooks/05_class_activation_maps", "light"),
        ("reference/kit", "dark"),
        ("docs/teach/index", "light"),
    ],
)
def test_axe_has_nothing_to_object_to(visit, axe, path, scheme):
    page = visit(f"{path}.html", scheme=scheme)
    page.wait_for_load_state()
    assert axe(page, "body") == []


# ------------------------------------------------------------------------------------------ widgets that live


def alive(page, cell):
    """The frame of a cell's widget, scrolled to and brought to life."""
    frame = page.locator(f'.lk-live[data-live*="/{cell}/"]')
    frame.scroll_into_view_if_needed()
    page.wait_for_selector(f'.lk-live.lk-is-live[data-live*="/{cell}/"]')
    return frame


def saved_file(page, button):
    """Name and content of the JSON file that a button hands out."""
    with page.expect_download() as waiting:
        button.click()
    name = waiting.value.suggested_filename
    return name, json.loads(open(waiting.value.path(), encoding="utf-8").read())


def test_a_widget_is_a_still_picture_where_no_script_runs(address, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/notebooks/05_class_activation_maps.html")
    still = page.locator(".lk-live .lk-still img").first
    still.scroll_into_view_if_needed()
    assert still.is_visible()
    assert "Class map of" in still.get_attribute("alt")
    context.close()


def test_the_explorer_shows_any_class(visit, repainted, axe):
    page = visit("notebooks/05_class_activation_maps.html")
    frame = alive(page, "code-1bf3a08ebe")
    canvas = frame.locator("canvas.lk-canvas").first
    expect(frame.locator("figcaption").first).to_contain_text("espresso")
    frame.locator(".lk-search").fill("eggnog")
    with repainted(canvas):
        frame.locator(".lk-list .lk-row").first.click()
    expect(frame.locator("figcaption").first).to_contain_text("eggnog")
    with repainted(canvas):
        frame.get_by_label("Show evidence against the class too").check()
    expect(frame.get_by_label("Colours").locator("option:checked")).to_contain_text("against")
    with repainted(canvas):
        frame.get_by_label("Show evidence against the class too").uncheck()
    assert axe(page, ".lk-is-live") == []
    expect(frame.locator(".lk-still")).to_be_hidden()


def drag(page, canvas, start, end):
    """From one point of the canvas to another, in shares of its width and height."""
    canvas.hover()  # which waits until nothing moves any more: widgets above may still come to life
    box = canvas.bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=4)
    page.mouse.up()


def test_the_annotator_keeps_labels_and_hands_them_to_the_notebook(visit, tmp_path, monkeypatch):
    page = visit("notebooks/01_annotation_cost.html")
    frame = alive(page, "cost-60")
    canvas = frame.locator("canvas.lka-top")
    frame.locator("input[value=brush]").check()
    page.wait_for_selector(".lka-frame [data-painted]")
    drag(page, canvas, (0.3, 0.3), (0.4, 0.5))
    frame.get_by_text("1 label").first.wait_for(state="attached")
    page.reload()
    frame = alive(page, "cost-60")
    name, file = saved_file(page, frame.locator(".lk-save"))
    assert len(file["records"]) == 1

    from lecturekit.datasets import scenes
    from lecturekit.widgets.annotator import Annotator

    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / name).write_text(json.dumps(file))
    parts = [c for c in scenes.CLASSES[1:] if c != "flower"]
    crowd = scenes.scene(
        9, seed=5, size=(150, 330), objects=30, classes=parts, clutter=0, noise=0, contrast=0
    )
    again = Annotator(crowd.image, scenes.CLASSES[1:], key="crowd", kinds=["polygon", "mask"])
    assert [label["kind"] for label in again.labels] == ["mask"]
    assert shapes.rasterise(again.labels[0], (150, 330)).sum() > 50


def test_the_quiz_marks_as_python_does(visit):
    page = visit("notebooks/05_class_activation_maps.html")
    quiz = class_activation_maps.after_cam
    frame = page.locator(".lk-live:has(.lk-quiz)").first
    page.locator(".lk-live").last.scroll_into_view_if_needed()
    frame.wait_for()
    for n, question in enumerate(quiz.questions):
        fields = frame.locator("fieldset").nth(n)
        for k, option in enumerate(question.options):
            fields.locator("input").nth(k).check()
            fields.locator("button").click()
            told = fields.locator(".lk-feedback").inner_text()
            assert option.feedback.replace("`", "") in told
            if not question.multiple:
                assert ("✓ Correct." in told) == option.correct


def test_labels_are_measured_as_python_measures_them(visit):
    page = visit("docs/glossary.html")  # on which no widget is
    drawn = {k: v for seed in (1, 2) for k, v in simulated.demo_labels(seed).items()}
    told = json.loads(next((publisher.ROOT / "site" / "_build").rglob("cost-07/about.json")).read_text())
    met = page.evaluate(
        """async ([tasks, drawn]) => {
            const { measured, decode } = await import("/_static/live.js?again");
            for (const task of tasks) task.mask = decode(task.counts, ...task.size);
            return drawn.map(([kind, number, labels]) => measured(kind, tasks[number], labels));
        }""",
        [told["tasks"], [[kind, number, labels] for (kind, number), labels in drawn.items()]],
    )
    for ((kind, number), labels), one in zip(drawn.items(), met, strict=True):
        wanted = stopwatch.measure(kind, stopwatch.tasks()[number], labels)
        assert (one["kind"], one["picture"]) == (wanted.kind, wanted.picture)
        found = [one[name] for name in ("seconds", "iou", "fit")]
        np.testing.assert_allclose(found, [wanted.seconds, wanted.iou, wanted.fit], atol=1e-6)


def test_the_stopwatch_lab_runs_from_step_to_step(visit, tmp_path):
    page = visit("notebooks/01_annotation_cost.html")
    frame = alive(page, "cost-07")
    frame.locator("[data-verb=next]").click()
    frame.get_by_text("1 of 60").wait_for()
    frame.locator(".lka-frame input[type=checkbox]").first.check()
    frame.get_by_text(re.compile(r"medians so far: image class .* \(1\)")).wait_for()
    frame.locator("[data-verb=next]").click()
    frame.get_by_text("2 of 60").wait_for()
    page.reload()
    frame = alive(page, "cost-07")
    frame.get_by_text(re.compile(r"image class .* \(1\)")).wait_for()
    name, file = saved_file(page, frame.locator(".lk-save"))
    (tmp_path / name).write_text(json.dumps(file))
    record = stopwatch.read_record(tmp_path / name)
    assert [m.kind for m in record.measures] == ["image_class"]
    frame.locator("[data-verb=next]").click()
    frame.get_by_text("2 of 60").wait_for()  # the first step without a label
    frame.locator("[data-verb=back]").click()
    frame.locator("[data-verb=again]").click()
    frame.get_by_text("No label yet").wait_for()


@pytest.mark.parametrize(
    ("notebook", "cell"), [("07_boxes_to_pixels", "boxes-40"), ("02_weak_supervision", "ws-019")]
)
def test_a_box_lab_shows_its_stored_pictures(visit, notebook, cell):
    page = visit(f"notebooks/{notebook}.html")
    frame = alive(page, cell)
    before = frame.locator(".lk-stage img").get_attribute("src")
    select = frame.locator("select")
    other = next(o for o in select.locator("option").all_inner_texts() if o != select.input_value())
    select.select_option(other)
    frame.locator(".lk-words").get_by_text(other).wait_for()
    expect(frame.locator(".lk-stage img")).not_to_have_attribute("src", before)
    assert (
        frame.locator(".lk-stage img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    )
