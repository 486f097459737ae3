"""The annotator's JavaScript alone in Chromium: arithmetic against labels.shapes, then each tool."""

import json
import re

import numpy as np
import pytest
from playwright.sync_api import expect

from lecturekit.labels import shapes
from lecturekit.labels.label_file import merge
from lecturekit.widgets.annotator import Annotator, colour_of

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("own_folder")]

H, W = 240, 320
CLASSES = ("cat", "dog", "cup")
IMAGE = np.full((H, W, 3), (70, 90, 110), np.uint8)
TOP = "canvas.lka-top"
TRIANGLE = [[60, 40], [200, 60], [120, 180]]


def label(name, kind, points, class_index=1, **more):
    return {
        "id": name,
        "kind": kind,
        "class_index": class_index,
        "points": points,
        "milliseconds": 1000,
    } | more


def mask_label(name, mask, class_index=1):
    return label(name, "mask", [], class_index, size=[H, W], counts=shapes.encode_rle(mask))


@pytest.fixture
def hand(esm_page):
    """``hand(labels=…, density=2)``: an annotator on a page of its own, and a hand to draw with."""

    def show(labels=(), kinds=None, **options):
        widget = Annotator(IMAGE, CLASSES, kinds=kinds, labels=labels)
        return Hand(esm_page(widget, **options), widget)

    return show


class Hand:
    """Draws on the annotator of a page, in pixels of the picture, and says what came of it."""

    def __init__(self, page, widget):
        self.page, self.widget = page, widget
        self.canvas = page.locator(TOP).first
        page.wait_for_selector("[data-painted]")
        self.canvas.scroll_into_view_if_needed()

    def at(self, x, y):
        """Place on the page of a point of the picture, where that is not zoomed."""
        box = self.canvas.bounding_box()
        return box["x"] + x / W * box["width"], box["y"] + y / H * box["height"]

    def click(self, *points):
        for point in points:
            self.page.mouse.click(*self.at(*point))

    def drag(self, *points):
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point))
        self.page.mouse.up()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def take(self, tool):
        self.page.get_by_role("radio", name=tool, exact=True).check()

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def labels(self, count=None):
        """The finished labels as the kernel is told them; waits until there are `count`."""
        living = "model.get('_records').map((r) => r.label).filter(Boolean)"
        if count is not None:
            self.page.wait_for_function(f"n => {living}.length === n", arg=count)
        return [shapes.checked(found, (H, W), len(CLASSES)) for found in self.page.evaluate(living)]

    def one(self):
        return self.labels(1)[0]

    def until(self, condition, arg=None):
        """Wait until the labels `all` fulfil a condition in JavaScript."""
        living = "const all = model.get('_records').map((r) => r.label).filter(Boolean);"
        self.page.wait_for_function(f"arg => {{ {living} return {condition}; }}", arg=arg)

    def settle(self):
        """Two frames on, everything that was asked for is painted."""
        self.page.evaluate("() => new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))")

    def colour(self, layer, x, y):
        """RGBA of a layer at a point of the picture, where that is not zoomed."""
        self.settle()
        return self.page.locator(f"canvas.lka-{layer}").evaluate(
            "(c, [x, y]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]",
            [x / W, y / H],
        )

    def hear(self):
        """What the kernel does with all that was sent, and its answer."""
        records = self.page.evaluate("model.get('_records')")
        self.widget.set_state({"_records": records})
        answer = {name: self.widget.get_state()[name] for name in ("_saved", "_note", "_records")}
        self.page.evaluate("answer => { for (const n in answer) model.set(n, answer[n]); }", answer)


def near(points, wanted, within=0.5):
    np.testing.assert_allclose(points, wanted, atol=within)


# ----------------------------------------------------------------------------------------------- arithmetic


def test_runs_of_masks_are_those_of_shapes(hand):
    page, rng = hand().page, np.random.default_rng(1)
    masks = [rng.random((7, 5)) < p for p in (0, 0.3, 0.8, 1)] + [rng.random((30, 41)) < 0.5]
    for mask in masks:
        h, w = mask.shape
        flat = mask.ravel().astype(int).tolist()
        counts = page.evaluate("([mask, h, w]) => esm.encode(Uint8Array.from(mask), h, w)", [flat, h, w])
        assert counts == shapes.encode_rle(mask)
        back = page.evaluate("([counts, h, w]) => [...esm.decode(counts, h, w)]", [counts, h, w])
        assert back == flat


def test_strokes_cover_the_pixels_that_shapes_says(hand):
    rng, h, w = np.random.default_rng(2), 30, 40
    strokes = [
        (np.round(rng.uniform(0, (w, h), (n, 2)), 2).tolist(), width)
        for n in (1, 2, 5)
        for width in (1.0, 2.5, 9.0)
    ]
    strokes.append(([[0, 0], [w, h]], 1.3))  # the farthest corner belongs to the last pixel
    met = hand().page.evaluate(
        """([strokes, h, w]) => strokes.map(([points, width]) => {
            const mask = new Uint8Array(h * w);
            points.forEach((p, i) => esm.stroke(mask, h, w, points[Math.max(i - 1, 0)], p, width, 1));
            return [...mask];
        })""",
        [strokes, h, w],
    )
    for (points, width), mask in zip(strokes, met, strict=True):
        wanted = shapes.rasterise(label("a", "scribble", points, width=width), (h, w))
        differ = np.argwhere(np.reshape(mask, (h, w)).astype(bool) != wanted)
        assert len(differ) == 0, f"{points} {width}: {differ.tolist()}"


def test_records_merge_as_in_python(hand):
    rng = np.random.default_rng(3)
    lists = [
        [
            {"id": "abc"[rng.integers(3)], "edit": int(rng.integers(4)), "by": f"v{rng.integers(3)}"}
            for _ in range(6)
        ]
        for _ in range(40)
    ]
    ours = hand().page.evaluate("lists => lists.map((l, i) => esm.merge(l, lists.at(i - 1)))", lists)
    assert ours == [merge(found, lists[i - 1]) for i, found in enumerate(lists)]


# ------------------------------------------------------------------------------------------------ the tools


@pytest.mark.parametrize("density", [1, 2])
def test_box_by_mouse_is_exact(hand, density):
    hand = hand(density=density)
    hand.take("Box")
    hand.drag((200.25, 180), (120, 100), (40.75, 30.5))  # from the lower right corner to the upper left
    found = hand.one()
    assert (found["kind"], found["class_index"]) == ("box", 1)
    near(found["points"], [[40.75, 30.5], [200.25, 180]])
    colour = [int(colour_of(1)[i : i + 2], 16) for i in (1, 3, 5)]
    for x, y in [(120, 30.6), (120, 180), (40.85, 100), (200.25, 100)]:
        near(hand.colour("labels", x, y)[:3], colour, 12)
    assert hand.page.evaluate("saved.filter((s) => '_records' in s).length") == 1, "sent more than once"


def test_box_is_exact_at_the_highest_zoom(hand):
    hand = hand(density=2)
    hand.take("Box")
    hand.canvas.focus()
    place = hand.canvas.bounding_box()
    scale = place["width"] / W
    x, y = (int(v) for v in hand.at(210, 90))  # a wheel says where it turned in whole pixels of the screen
    fixed = np.array([x - place["x"], y - place["y"]]) / scale
    hand.page.mouse.move(x, y)
    for _ in range(12):
        hand.page.mouse.wheel(0, -400)
    zoom = max(8, 40 / scale)  # a pixel of the picture is 40 of the screen
    expect(hand.page.locator(".lka-zoom")).to_have_text(f"{round(100 * zoom)} %")
    hand.page.mouse.move(x - 2.25 * scale * zoom, y - 1.5 * scale * zoom)
    hand.page.mouse.down()
    hand.page.mouse.move(x + 3 * scale * zoom, y + 2.5 * scale * zoom)
    hand.page.mouse.up()
    near(hand.one()["points"], np.add(fixed, [[-2.25, -1.5], [3, 2.5]]), 0.05)
    hand.button("Show the whole picture").click()
    expect(hand.page.locator(".lka-zoom")).to_have_text("100 %")


def test_box_by_two_clicks_and_nothing_by_one(hand):
    hand = hand()
    hand.take("Box")
    hand.click((50, 60))
    expect(hand.button("Drop what is under way")).to_be_visible()
    hand.press("Escape")
    hand.click((50, 60), (90, 100))
    near(hand.one()["points"], [[50, 60], [90, 100]])
    hand.click((10, 10), (10, 30))
    expect(hand.page.get_by_role("status")).to_contain_text("Too small")
    assert len(hand.labels()) == 1


def test_point_scribble_and_their_classes(hand):
    hand = hand()
    hand.click((17.5, 30))
    hand.press("3", "s")
    stroke = [(30, 100), (60, 110), (100, 90), (140, 140)]
    hand.drag(*stroke)
    point, scribble = hand.labels(2)
    assert (point["kind"], point["class_index"]) == ("point", 1)
    near(point["points"], [[17.5, 30]])
    assert (scribble["kind"], scribble["class_index"]) == ("scribble", 3)
    assert scribble["width"] == hand.widget.width
    assert scribble["points"][0] != scribble["points"][1], "the first point is doubled"
    near(scribble["points"], stroke)
    assert hand.colour("labels", 120, 115)[3] > 100


def test_width_of_a_scribble_by_slider_and_keys(hand):
    hand = hand(kinds=["scribble"])
    hand.page.get_by_role("slider", name="Width").fill("20")
    hand.canvas.focus()
    hand.press("]", "[", "]")
    width = hand.page.evaluate("model.get('width')")
    assert width > 20
    hand.drag((50, 50), (80, 80))
    assert hand.one()["width"] == width


def test_box_by_four_extreme_clicks(hand):
    hand = hand()
    hand.take("Extreme points")
    hint = hand.page.locator(".lka-hint")
    clicks = [(40, 120), (110, 30), (220, 90), (150, 200)]
    for place, click in zip(("leftmost", "topmost", "rightmost", "lowest"), clicks, strict=True):
        expect(hint).to_contain_text(place)
        hand.click(click)
    found = hand.one()
    assert found["kind"] == "extreme"
    near(found["points"], clicks)
    near(shapes.box_of(found), [40, 30, 220, 200])
    hand.click((5, 5))
    hand.press("Backspace")
    expect(hint).to_contain_text("leftmost")


def test_outline_closes_without_doubling_a_point(hand):
    hand = hand()
    hand.take("Outline")

    def first_corner():
        hand.page.mouse.dblclick(*hand.at(62, 41))  # by a hand that double clicks everything

    ends = (first_corner, lambda: hand.press("Enter"), hand.button("Close the outline").click, None)
    for n, end in enumerate(ends, 1):
        hand.click(*TRIANGLE[:2])
        if end:
            hand.click(TRIANGLE[2])
            end()
        else:
            hand.page.mouse.dblclick(*hand.at(*TRIANGLE[2]))
        near(hand.labels(n)[-1]["points"], TRIANGLE)
        expect(hand.button("Drop what is under way")).to_be_hidden()
        hand.canvas.focus()


def test_corners_of_an_outline_are_taken_back(hand):
    hand = hand()
    hand.take("Outline")
    hand.click(*TRIANGLE[:2], (300, 230))
    hand.press("Backspace")
    hand.click((310, 20))
    hand.press("Control+z")
    hand.click(TRIANGLE[2])
    hand.press("Enter")
    near(hand.one()["points"], TRIANGLE)
    hand.click(*TRIANGLE)
    hand.press("Escape", "Enter")
    assert len(hand.labels()) == 1


def test_corners_of_an_outline_are_moved_put_in_and_taken_out(hand):
    hand = hand([label("t", "polygon", TRIANGLE)])
    hand.take("Select")
    hand.click((125, 90))
    hand.drag((200, 60), (230, 90), (250, 100))
    hand.until("all[0].points[1][0] > 240")
    near(hand.one()["points"], [TRIANGLE[0], [250, 100], TRIANGLE[2]])
    hand.drag((90, 110), (70, 140))  # the handle between the last corner and the first
    hand.until("all[0].points.length === 4")
    near(hand.one()["points"], [TRIANGLE[0], [250, 100], TRIANGLE[2], [70, 140]])
    hand.click((250, 100))
    hand.press("Delete")
    hand.until("all[0].points.length === 3")
    near(hand.one()["points"], [TRIANGLE[0], TRIANGLE[2], [70, 140]])
    for _ in range(3):
        hand.press("Control+z")
    hand.until("all[0].points[1][0] === 200")
    assert hand.one()["points"] == TRIANGLE
    assert hand.one()["milliseconds"] == 1000


def test_handles_move_the_sides_of_a_box_and_its_inside_moves_all(hand):
    hand = hand([label("b", "box", [[50, 50], [150, 120]])])
    hand.take("Select")
    hand.click((100, 80))
    hand.drag((150, 85), (180, 200))  # the right side, which goes sideways only
    hand.until("all[0].points[1][0] > 170")
    near(hand.one()["points"], [[50, 50], [180, 120]])
    hand.drag((50, 50), (200, 140))  # a corner past the opposite one
    hand.until("all[0].points[0][0] > 170")
    near(hand.one()["points"], [[180, 120], [200, 140]])
    hand.drag((190, 130), (600, 500))  # farther than the picture goes
    hand.until("all[0].points[1][0] > 310")
    near(hand.one()["points"], [[W - 20, H - 20], [W, H]])


STROKES = [[[60, 60], [150, 80]], [[80, 150], [80, 40], [200, 40]]]


def test_brush_and_eraser_change_the_pixels_of_one_mask(hand):
    hand = hand(kinds=["mask"])
    width = hand.widget.width

    def pixels(points):
        return shapes.rasterise(label("s", "scribble", points, width=width), (H, W))

    hand.take("Brush")
    for n, points in enumerate(STROKES, 1):
        hand.drag(*points)
        hand.page.wait_for_function("n => saved.filter((s) => '_records' in s).length === n", arg=n)
    wanted = pixels(STROKES[0]) | pixels(STROKES[1])
    met = shapes.rasterise(hand.one(), (H, W))
    assert (met != wanted).mean() < 0.002  # the mouse rounds to whole pixels of the screen
    assert hand.colour("top", 80, 100)[3] > 100
    hand.take("Eraser")
    hand.drag([110, 20], [110, 100])
    hand.until("all[0].counts.reduce((a, n, i) => a + (i % 2) * n, 0) < arg", int(met.sum()))
    rubbed = shapes.rasterise(hand.one(), (H, W))
    assert (rubbed != (met & ~pixels([[110, 20], [110, 100]]))).mean() < 0.002
    hand.press("Control+z")
    hand.until("all[0].counts.reduce((a, n, i) => a + (i % 2) * n, 0) === arg", int(met.sum()))
    assert (shapes.rasterise(hand.one(), (H, W)) == met).all()


def test_new_mask_and_another_class_begin_another_label(hand):
    hand = hand(kinds=["mask"])
    hand.drag([20, 20], [40, 20])
    hand.button("New mask: the next stroke begins another one").click()
    hand.drag([20, 60], [40, 60])
    hand.press("2")
    hand.drag([20, 100], [40, 100])
    hand.drag([20, 140], [40, 140])
    assert [found["class_index"] for found in hand.labels(3)] == [1, 1, 2]
    hand.until("all[2].counts.length > all[1].counts.length")
    hand.press("Escape", "x")
    for _ in range(3):
        hand.drag([12, 20], [30, 20], [46, 20])  # nothing is left of the first one: it is gone
    assert [found["class_index"] for found in hand.labels(2)] == [1, 2]


def test_ticks_are_labels_of_the_whole_picture(hand):
    hand = hand(kinds=["image_class"])
    hand.page.get_by_role("checkbox", name="dog").check()
    hand.page.get_by_role("checkbox", name="cup").check()
    assert [(f["kind"], f["class_index"]) for f in hand.labels(2)] == [("image_class", 2), ("image_class", 3)]
    hand.page.get_by_role("checkbox", name="dog").uncheck()
    assert hand.one()["class_index"] == 3
    hand.button("Undo").click()
    expect(hand.page.get_by_role("checkbox", name="dog")).to_be_checked()


# ------------------------------------------------------------------------------------- labels come and go


def test_undo_and_redo_bring_back_exactly_what_was(hand):
    hand = hand()
    hand.click((30, 30))
    hand.press("2", "b")
    hand.drag((100, 100), (180, 160))
    before = hand.labels(2)
    hand.press("v")
    hand.click((140, 130))
    hand.press("Delete")
    hand.labels(1)
    hand.press("Control+z")
    assert hand.labels(2) == before
    hand.press("Control+z", "Control+z")
    hand.labels(0)
    expect(hand.button("Undo")).to_have_attribute("aria-disabled", "true")
    hand.press("Control+z", "Control+Shift+Z", "Control+y")
    assert hand.labels(2) == before
    hand.button("Redo").click()
    hand.labels(1)
    expect(hand.page.get_by_role("option")).to_have_count(1)


def test_list_selects_and_deletes_by_keyboard(hand):
    drawn = [
        label("p", "point", [[20, 20]]),
        label("q", "point", [[80, 80]], 2),
        label("t", "polygon", TRIANGLE),
    ]
    hand = hand(drawn)
    listbox = hand.page.get_by_role("listbox", name="Labels")
    listbox.focus()
    hand.press("ArrowDown", "ArrowDown")
    expect(hand.page.get_by_role("option", selected=True)).to_contain_text("2 dog, point")
    chosen = listbox.get_attribute("aria-activedescendant")
    expect(hand.page.locator(f"#{chosen}")).to_contain_text("dog")
    hand.press("Delete")
    assert {found["id"] for found in hand.labels(2)} == {"p", "t"}
    hand.press("3")  # the label that is selected now gets another class
    hand.until("all.some((l) => l.class_index === 3)")
    listbox.press("End")
    hand.button("Delete the selected label").click()
    hand.button("Delete the selected label").click()
    hand.labels(0)
    expect(hand.page.get_by_text("Nothing drawn yet.")).to_be_visible()


def test_smallest_label_below_the_pointer_is_selected(hand):
    disc = np.hypot(*np.mgrid[-120:120, -160:160]) < 60
    hand = hand(
        [
            label("in", "box", [[140, 100], [180, 140]]),
            mask_label("m", disc, 2),
            label("out", "box", [[10, 10], [310, 230]]),
        ]
    )
    hand.take("Select")
    for place, text in [((160, 120), "cat, box"), ((205, 120), "dog, mask"), ((30, 200), "cat, box")]:
        hand.click(place)
        expect(hand.page.get_by_role("option", selected=True)).to_contain_text(text)
    hand.click((3, 3))
    expect(hand.page.get_by_role("option", selected=True)).to_have_count(0)


def test_labels_of_another_tab_appear_and_go(hand):
    hand = hand()
    hand.click((30, 30))
    own = hand.one()
    other = label("o", "box", [[100, 100], [200, 200]], 2)
    records = [{"id": "o", "edit": 5, "by": "v0", "label": other}]
    hand.page.evaluate("records => model.set('_records', records)", records)
    expect(hand.page.get_by_role("option")).to_have_count(2)
    assert hand.colour("labels", 150, 100)[3] > 200
    hand.press("v")
    hand.click((150, 150))
    expect(hand.button("Delete the selected label")).to_have_attribute("aria-disabled", "false")
    hand.page.evaluate(
        "records => model.set('_records', records)", [{**records[0], "edit": 6, "label": None}]
    )
    expect(hand.page.get_by_role("option")).to_have_count(1)
    expect(hand.button("Delete the selected label")).to_have_attribute("aria-disabled", "true")
    hand.press("p")
    hand.click((60, 60))
    assert hand.labels(2)[0] == own
    assert hand.page.evaluate("model.get('_records').at(-1).edit") == 7, "an edit comes after all it knows"


def test_kernel_keeps_what_was_drawn_and_says_so(hand):
    hand = hand()
    hand.click((30, 30))
    hand.press("g")
    hand.click(*TRIANGLE)
    hand.press("Enter")
    drawn = hand.labels(2)
    expect(hand.page.locator(".lka-state")).to_contain_text("Not saved yet")
    hand.hear()
    expect(hand.page.locator(".lka-state")).to_have_text("All labels are saved.")
    assert hand.widget.labels == drawn
    hand.page.evaluate("model.set('_note', 'Your labels could not be saved (no space).')")
    expect(hand.page.get_by_role("alert")).to_have_text("Your labels could not be saved (no space).")


def test_page_that_is_reloaded_before_the_kernel_heard_loses_nothing(hand):
    hand = hand()
    hand.click((30, 30), (60, 60))
    drawn = hand.labels(2)
    hand.page.reload()
    hand.page.wait_for_selector("[data-painted]")
    assert hand.labels(2) == drawn
    assert hand.page.evaluate("saved.length") == 1, "not sent again"
    hand.hear()
    assert hand.widget.labels == drawn
    assert hand.page.evaluate("localStorage.length") == 0


def test_stopwatch_counts_what_a_label_took_and_no_hidden_time(hand):
    hand = hand([label("b", "box", [[50, 50], [150, 120]])], kinds=["point"])
    hand.page.evaluate("""() => {
        const start = performance.now();
        globalThis.later = 0;
        performance.now = () => start + later;
        globalThis.hide = (hidden) => {
            Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
            document.dispatchEvent(new Event('visibilitychange'));
        };
    }""")
    hand.click((10, 10))
    first = hand.labels(2)[1]["milliseconds"]
    assert 0 <= first < 600_000
    hand.page.evaluate("later += 1500")
    hand.click((20, 20))
    assert hand.labels(3)[2]["milliseconds"] == 1500
    hand.page.evaluate("later += 400; hide(true); later += 60_000; hide(false); later += 600;")
    hand.click((30, 30))
    assert hand.labels(4)[3]["milliseconds"] == 1000
    hand.page.evaluate("later += 700")
    hand.press("v")
    hand.click((100, 80))
    hand.drag((50, 50), (60, 60))
    hand.until("all[0].milliseconds === 1700")


# ------------------------------------------------------------------------------ keyboard, touch, zoom and pan


def test_keyboard_alone_draws_a_box_and_an_outline(hand):
    hand = hand()
    for _ in range(30):
        hand.press("Tab")
        if hand.canvas.evaluate("c => c === document.activeElement"):
            break
    hand.press("2", "b", "ArrowLeft", "Shift+ArrowUp", "Space")
    expect(hand.page.get_by_role("status")).to_contain_text("x 159, y 110")
    hand.press(*["Shift+ArrowRight"] * 3, *["ArrowDown"] * 2, "Space")
    assert hand.one()["points"] == [[159, 110], [189, 112]]
    assert hand.one()["class_index"] == 2
    hand.press("g", "Space", "Shift+ArrowDown", "Enter", "Shift+ArrowLeft", "Space", "Enter")
    assert hand.labels(2)[1]["points"] == [[189, 112], [189, 122], [179, 122]]
    hand.press("v", "Space", "Space")  # the crosshair stands on a corner of the outline
    expect(hand.page.get_by_role("option", selected=True)).to_contain_text("outline")
    hand.press("n", "Space", "ArrowUp", "ArrowUp", "Space")
    hand.until("all[1].points.length === 4")  # a new corner between the first two
    assert hand.labels(2)[1]["points"][1] == [189, 115]
    hand.press("Escape", "Control+z", "Control+z", "Control+z")
    hand.labels(0)


def test_keyboard_alone_scribbles_and_paints(hand):
    hand = hand()
    hand.canvas.focus()
    hand.press("s", "Space", *["Shift+ArrowRight"] * 3, "Shift+ArrowDown", "Space")
    assert hand.one()["points"] == [[160, 120], [170, 120], [180, 120], [190, 120], [190, 130]]
    hand.press("r", "Space", *["Shift+ArrowLeft"] * 4, "Space")
    mask = shapes.rasterise(hand.labels(2)[1], (H, W))
    path = label("s", "scribble", [[190, 130], [150, 130]], width=hand.widget.width)
    assert (mask == shapes.rasterise(path, (H, W))).all()


def test_crosshair_stays_in_the_picture_and_in_sight(hand):
    hand = hand()
    hand.canvas.focus()
    hand.press("+", "+", "+", "+")
    hand.press(*["Shift+ArrowRight"] * 20, *["Shift+ArrowDown"] * 15, "Space")
    near(hand.one()["points"], [[W, H]], 0)
    hand.settle()
    seen = """c => c.getContext('2d').getImageData(c.width - 30, c.height - 30, 30, 30).data.some(Boolean)"""
    assert hand.canvas.evaluate(seen), "the crosshair is out of sight"
    hand.press("0")
    expect(hand.page.locator(".lka-zoom")).to_have_text("100 %")


class Fingers:
    """Touches the page with up to two fingers, through Chromium's own input."""

    def __init__(self, hand):
        self.hand, self.session = hand, hand.page.context.new_cdp_session(hand.page)

    def send(self, kind, *points):
        places = [dict(zip("xy", self.hand.at(*p), strict=True)) | {"id": i} for i, p in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": places})


def test_a_finger_draws(hand):
    hand = hand(touch=True)
    fingers = Fingers(hand)
    hand.take("Box")
    fingers.send("Start", (40, 40))
    fingers.send("Move", (90, 80))
    fingers.send("Move", (140, 120))
    fingers.send("End")
    near(hand.one()["points"], [[40, 40], [140, 120]])
    hand.take("Outline")
    for x, y in [*TRIANGLE, TRIANGLE[0]]:
        hand.page.touchscreen.tap(*hand.at(x, y))
    near(hand.labels(2)[1]["points"], TRIANGLE)
    assert hand.canvas.evaluate("c => getComputedStyle(c).touchAction") == "none"


def test_two_fingers_zoom_and_draw_nothing(hand):
    hand = hand(touch=True)
    fingers = Fingers(hand)
    hand.take("Outline")
    hand.page.touchscreen.tap(*hand.at(*TRIANGLE[0]))
    fingers.send("Start", (150, 120))
    fingers.send("Start", (150, 120), (170, 120))
    fingers.send("Move", (120, 120), (180, 120))
    fingers.send("Move", (140, 120), (200, 120))
    fingers.send("End", (140, 120))
    fingers.send("Move", (100, 100))
    fingers.send("End")
    expect(hand.page.locator(".lka-zoom")).to_have_text("300 %")
    hand.button("Show the whole picture").click()
    for place in TRIANGLE[1:]:
        hand.page.touchscreen.tap(*hand.at(*place))
    hand.button("Close the outline").click()
    near(hand.one()["points"], TRIANGLE)  # the corner from before the pinch is there, and no other


def test_wheel_scrolls_the_page_until_the_picture_has_the_focus(hand):
    hand = hand(height=250)
    zoomed = hand.page.locator(".lka-zoom")
    hand.page.mouse.move(*hand.at(100, 60))
    hand.page.mouse.wheel(0, 60)
    hand.page.wait_for_function("scrollY > 0")
    expect(zoomed).to_have_text("100 %")
    hand.canvas.focus()
    hand.page.mouse.move(*hand.at(101, 120))
    hand.page.mouse.wheel(0, -100)
    expect(zoomed).not_to_have_text("100 %")


def test_view_moves_by_its_tool_and_by_the_wheel_button(hand):
    hand = hand([label("b", "box", [[100, 100], [140, 140]])])
    hand.canvas.focus()
    hand.press("+", "+")
    hand.take("Move view")
    hand.drag((250, 200), (150, 150))
    expect(hand.page.locator(".lka-zoom")).to_have_text("225 %")
    hand.page.mouse.move(*hand.at(100, 100))
    hand.page.mouse.down(button="middle")
    hand.page.mouse.move(*hand.at(200, 150))
    hand.page.mouse.up(button="middle")
    hand.take("Point")
    hand.click((160, 120))  # back where it was: the middle of the picture
    found = hand.labels(2)[1]
    near(found["points"], [[160, 120]])


# ----------------------------------------------------------------------------------------- for every reader


@pytest.fixture
def full(hand):
    """``full(**page)``: an annotator with a label of each kind."""
    disc = np.hypot(*np.mgrid[-60:180, -60:260]) < 30
    drawn = [
        label("p", "point", [[20, 20]], 2),
        label("s", "scribble", [[200, 40], [280, 60]], 3, width=8),
        label("b", "box", [[100, 60], [140, 140]]),
        label("e", "extreme", [[200, 150], [230, 100], [290, 140], [240, 220]], 2),
        label("t", "polygon", TRIANGLE),
        label("c", "image_class", [], 3),
        mask_label("m", disc, 2),
    ]
    return lambda **options: hand(drawn, **options)


@pytest.mark.parametrize(("width", "scheme"), [(340, "dark"), (900, "light")])
def test_no_accessibility_violation_in_the_annotator(full, hand, axe, scheme, width):
    drawn = full(width=width, scheme=scheme)
    drawn.page.get_by_role("option").nth(4).click()
    drawn.page.get_by_text("Keys", exact=True).click()
    drawn.page.evaluate("model.set('_note', 'Something could not be saved.')")
    drawn.settle()
    assert axe(drawn.page) == []
    drawn.take("Brush")
    drawn.settle()
    assert axe(drawn.page) == []
    assert axe(hand(width=width, scheme=scheme, kinds=["polygon"]).page) == []


def test_every_control_of_the_annotator_keeps_the_shortcuts_of_jupyterlab_away(full):
    controls = full().page.locator("input, select, button, summary, a, canvas[tabindex], ul, [tabindex]")
    assert controls.count() >= 25
    assert set(controls.evaluate_all("all => all.map((e) => e.dataset.lmSuppressShortcuts)")) == {"true"}


def test_annotator_fits_into_any_width(full):
    page = full().page
    for width in (320, 420, 660, 1000):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        right = page.locator("label, button, canvas, li").evaluate_all(
            "all => Math.max(...all.map((e) => e.getBoundingClientRect().right))"
        )
        assert right <= width + 1


def test_nothing_moves_the_picture_while_something_is_drawn(hand):
    """A hint, a list or a button that came and went above it would shift what is being drawn."""
    hand = hand(width=420, height=1600)
    for tool in ("Box", "Outline", "Extreme points", "Brush"):
        hand.take(tool)
        before = hand.canvas.bounding_box()
        hand.click((30, 30), (90, 40), (60, 90))
        hand.settle()
        assert hand.canvas.bounding_box() == before
        hand.press("Escape")


def test_taking_the_annotator_down_leaves_no_listener(full):
    page = full().page
    assert page.evaluate("model.listening()") > 0
    page.evaluate("unmount()")
    assert page.evaluate("model.listening()") == 0


def test_two_views_of_one_annotator_share_labels_and_no_ids(hand):
    hand = hand()
    hand.page.evaluate(
        """() => {
            const el = document.body.appendChild(document.createElement('div'));
            esm.default.render({ model, el });
        }"""
    )
    expect(hand.page.locator("[data-painted]")).to_have_count(2)
    hand.click((30, 30))
    expect(hand.page.get_by_role("option", name=re.compile("point"))).to_have_count(2)
    ids = json.loads(
        hand.page.evaluate("JSON.stringify([...document.querySelectorAll('[id]')].map((e) => e.id))")
    )
    assert len(ids) == len(set(ids))


def test_palettes_that_do_nothing_are_not_there(hand):
    ticks = hand(kinds=["image_class"]).page
    assert ticks.get_by_role("group", name="In the picture").is_visible()
    assert not ticks.get_by_role("group", name="Tool").is_visible()
    assert not ticks.get_by_role("group", name="Class", exact=True).is_visible()


def test_on_a_narrow_page_the_picture_comes_first_and_is_seen_whole(hand):
    drawn = hand(width=600, height=500)
    picture = drawn.canvas.bounding_box()
    assert picture["y"] < 40
    assert picture["height"] <= 500 - 2 * 40
    for name in ("Tool", "Class"):
        assert drawn.page.get_by_role("group", name=name, exact=True).bounding_box()["y"] > picture["y"]


def test_the_clock_waits_until_the_picture_is_wholly_in_sight(esm_page):
    widget = Annotator(IMAGE, CLASSES, timed=True, kinds=["point"])
    page = esm_page(widget, width=700, height=500)
    page.wait_for_selector("[data-timed]")  # it has come into view by itself
    clock = page.get_by_role("timer")
    expect(clock).to_have_text(re.compile(r"^\d+\.\d s$"))
    first = clock.inner_text()
    expect(clock).not_to_have_text(first)

    page = esm_page(Annotator(IMAGE, CLASSES, kinds=["point"]), width=700, height=120)
    page.wait_for_selector("[data-painted]")
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    assert page.locator("[data-timed]").count() == 0, "less than the whole picture is in sight"
    assert not page.get_by_role("timer").is_visible()
