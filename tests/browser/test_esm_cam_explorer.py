"""The CAM explorer's JavaScript alone in Chromium: arithmetic against evidence.maps, then each control."""

import json

import numpy as np
import pytest
import torch
from matplotlib import colormaps

from lecturekit.evidence.maps import UPSAMPLING, box_from_map, upsample
from lecturekit.widgets.cam_explorer import CamExplorer

pytestmark = pytest.mark.browser

NAMES = ("tabby", "tiger cat", "Egyptian cat", "espresso", "cup", "tripod", "missile", "cup cake")
K, H, W = len(NAMES), 160, 240
CELLS = (4, 6)  # of 40 pixels
RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 256, (H, W, 3), np.uint8)
MAPS = RNG.normal(0.5, 3, (K, *CELLS)).astype(np.float32)
BIAS = RNG.normal(0, 0.3, K).astype(np.float32)
LOGITS = MAPS.mean((1, 2)) + BIAS
ORDER = np.argsort(-LOGITS)
TOP = int(ORDER[0])
LIVE = "[aria-live]"


def explorer(**changes):
    return CamExplorer(**{"image": IMAGE, "maps": MAPS, "categories": NAMES, "logits": LOGITS} | changes)


@pytest.fixture
def page(esm_page):
    return esm_page(explorer(bias=BIAS))


@pytest.fixture
def canvas(page):
    found = page.locator("canvas.lk-canvas").first
    settled(page)
    return found


def settled(page):
    """Wait until what has been asked for is painted: two frames on, nothing is left to do."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def saved(page):
    """Everything that was sent to the kernel, one entry a gesture."""
    return page.evaluate("saved")


def colours_at(page, canvas, places):
    """RGB of the canvas, int ``(n, 3)``, at the middles of the image's pixels (x, y)."""
    settled(page)
    met = canvas.evaluate(
        """(c, places) => places.map(([x, y]) =>
            [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data.slice(0, 3)])""",
        [((x + 0.5) / W, (y + 0.5) / H) for x, y in places],
    )
    return np.array(met)


def point(canvas, x, y):
    """Position on the canvas of the image's pixel (x, y)."""
    size = canvas.bounding_box()
    return {"x": (x + 0.5) / W * size["width"], "y": (y + 0.5) / H * size["height"]}


# --------------------------------------------------------------------------------------------- arithmetic


def test_upsampling_is_that_of_maps(page):
    for cells, size in [((7, 7), (224, 224)), ((5, 3), (41, 64)), ((9, 8), (9, 8)), ((1, 1), (6, 5))]:
        values = np.random.default_rng(1).normal(size=cells).astype(np.float32)
        for mode in UPSAMPLING:
            ours = page.evaluate(
                "([map, h, w, H, W, mode]) => [...esm.upsample(map, h, w, H, W, mode)]",
                [values.ravel().tolist(), *cells, *size, mode],
            )
            wanted = upsample(torch.from_numpy(values), size, mode).numpy()
            np.testing.assert_allclose(np.reshape(ours, size), wanted, atol=1e-5, err_msg=f"{cells} {mode}")


def test_evidence_at_a_pixel_is_the_upsampled_maps_there(page):
    for mode in UPSAMPLING:
        wanted = upsample(torch.from_numpy(MAPS), (H, W), mode).numpy()
        for x, y in [(0, 0), (W - 1, H - 1), (17, 93), (121, 40)]:
            ours = page.evaluate(
                "([maps, K, h, w, H, W, mode, x, y]) => [...esm.evidenceAt(maps, K, h, w, H, W, mode, x, y)]",
                [MAPS.ravel().tolist(), K, *CELLS, H, W, mode, x, y],
            )
            np.testing.assert_allclose(ours, wanted[:, y, x], atol=1e-5, err_msg=f"{mode} {x} {y}")


def boxes_in_javascript(page, maps, shares):
    """Boxes, int ``(shares, maps, 4)``, zeros where there is none, as `box_from_map` says it."""
    return page.evaluate(
        """([maps, H, W, shares]) => shares.map((share) => maps.map((map) =>
            esm.largestRegion(Float32Array.from(map), H, W, share)?.box ?? [0, 0, 0, 0]))""",
        [[m.ravel().tolist() for m in maps], *maps[0].shape, shares],
    )


def test_boxes_are_those_of_maps(page):
    shares = [0.0, 0.15, 0.2, 0.5, 0.8, 0.95]
    rough = np.random.default_rng(2).normal(0.3, 1, (12, 5, 7)).astype(np.float32)
    smooth = upsample(torch.from_numpy(rough), (45, 62))
    wanted = [box_from_map(smooth, share).tolist() for share in shares]
    assert boxes_in_javascript(page, smooth.numpy(), shares) == wanted


def test_boxes_of_regions_that_tie_or_touch_at_corners(page):
    """Few whole values on small maps: regions of equal size, values exactly at the threshold, diagonals."""
    shares = [0.0, 0.2, 0.5]
    whole = np.random.default_rng(4).integers(-2, 6, (60, 6, 7))
    maps = torch.from_numpy(whole.astype(np.float32) / 5)
    assert boxes_in_javascript(page, maps.numpy(), shares) == [box_from_map(maps, s).tolist() for s in shares]


def test_flat_and_negative_maps_have_no_box(page):
    maps = [np.full((5, 6), value) for value in (-2.0, 0.0, 3.0)] + [-np.arange(30.0).reshape(5, 6)]
    assert boxes_in_javascript(page, maps, [0.2]) == [[[0, 0, 0, 0]] * 4]


def test_softmax_of_large_logits(page):
    ours = page.evaluate("esm.softmax([1000, 1001, -1000])")
    np.testing.assert_allclose(ours, [1 / (1 + np.e), np.e / (1 + np.e), 0], atol=1e-12)


def test_search_wants_every_word_and_keeps_the_order(page):
    names, order = ["cup", "tiger", "cup cake", "tripod"], [3, 0, 2, 1]
    wanted = {"": order, "  ": order, "cup": [0, 2], "CAKE cup": [2], "1": [1], "zebra": []}
    for query, found in wanted.items():
        assert page.evaluate("query => esm.findClasses(...query)", [names, order, query]) == found


# ------------------------------------------------------------------------------------------------- painting


@pytest.mark.parametrize("signed", [False, True])
def test_colours_on_the_canvas_are_the_values(esm_page, signed):
    page = esm_page(explorer(signed=signed, opacity=1.0, upsampling="nearest", threshold=0.95, class_index=2))
    canvas = page.locator("canvas.lk-canvas").first
    high = np.abs(MAPS[2]).max() if signed else MAPS[2].max()
    low = -high if signed else 0
    table = colormaps["RdBu_r" if signed else "viridis"]
    cells = [(r, c) for r in range(CELLS[0]) for c in range(CELLS[1]) if MAPS[2, r, c] < MAPS[2].max()]
    wanted = [table((MAPS[2, r, c] - low) / (high - low), bytes=True)[:3] for r, c in cells]
    met = colours_at(page, canvas, [(40 * c + 20, 40 * r + 20) for r, c in cells])  # the box is elsewhere
    assert np.abs(met - np.array(wanted, int)).max() <= 4


def test_without_opacity_the_photograph_is_left(esm_page):
    flat = np.broadcast_to(np.uint8([10, 120, 200]), IMAGE.shape)
    page = esm_page(explorer(image=flat, opacity=0.0, threshold=0.9))
    met = colours_at(page, page.locator("canvas.lk-canvas").first, [(3, 3)])
    assert np.abs(met - [10, 120, 200]).max() <= 1


def test_canvas_is_sharp_on_a_dense_screen(esm_page):
    page = esm_page(explorer(), density=2)
    settled(page)
    width, shown = page.locator("canvas.lk-canvas").first.evaluate("c => [c.width, c.clientWidth]")
    assert width == 2 * shown


def test_hidden_canvas_keeps_its_picture(page, canvas):
    settled(page)
    size = "c => [c.width, c.height]"
    before = canvas.evaluate(size)
    page.locator("#root").evaluate("root => { root.style.display = 'none'; }")
    page.evaluate("model.set('threshold', 0.55)")  # which paints anew
    settled(page)
    assert before[0] > 1
    assert canvas.evaluate(size) == before


def test_bar_names_the_values_of_its_ends(page):
    ends = page.locator(".lk-ticks")
    high = upsample(torch.from_numpy(MAPS[TOP]), (H, W)).numpy()
    settled(page)
    assert ends.inner_text().split() == ["0", "evidence", "for", "the", "class", f"{high.max():.2f}"]
    page.get_by_label("Show evidence against the class too").check()
    settled(page)
    assert ends.inner_text().split()[::2] == [
        f"\N{MINUS SIGN}{np.abs(high).max():.2f}",
        "0",
        f"{np.abs(high).max():.2f}",
    ]


def test_class_without_evidence_has_no_box_and_says_so(esm_page):
    page = esm_page(explorer(maps=-np.abs(MAPS)))
    settled(page)
    assert "no evidence for this class anywhere: no box" in page.locator(".lk-left").inner_text()
    assert "no evidence" in page.locator(".lk-ticks").inner_text()


def test_logit_is_explained_where_mean_and_bias_add_up_to_it(page, esm_page):
    settled(page)
    parts = [f"{v:.2f}".replace("-", "\N{MINUS SIGN}") for v in (LOGITS[TOP], MAPS[TOP].mean(), BIAS[TOP])]
    wanted = "logit {} = mean of the map {} + bias {}".format(*parts)
    assert wanted in page.locator(".lk-left").inner_text()
    other = esm_page(explorer(bias=BIAS + 1))
    settled(other)
    assert f"logit {parts[0]}" in other.locator(".lk-left").inner_text()
    assert "mean of the map" not in other.locator(".lk-left").inner_text()


# -------------------------------------------------------------------------------------------- Python moves it


def test_setting_an_attribute_repaints(page, canvas, repainted):
    changes = {
        "class_index": int(ORDER[3]),
        "threshold": 0.6,
        "opacity": 0.9,
        "upsampling": "nearest",
        "colour": "cividis",
        "pixel": [100, 50],
        "compare_index": int(ORDER[1]),
    }
    for change in changes.items():
        with repainted(canvas):
            page.evaluate("change => model.set(...change)", change)
    assert saved(page) == []


def test_setting_attributes_moves_the_controls(page, canvas):
    page.evaluate("""() => {
        for (const [name, value] of Object.entries({ class_index: 3, threshold: 0.6, opacity: 0.9,
            upsampling: 'nearest', signed: true, colour: 'PuOr_r' })) model.set(name, value);
    }""")
    settled(page)
    assert page.get_by_label("Threshold").input_value() == "0.6"
    assert page.get_by_label("Opacity").input_value() == "0.9"
    assert page.get_by_label("Upsampling").input_value() == "nearest"
    assert page.get_by_label("Colours").input_value() == "PuOr_r"
    assert page.get_by_label("Show evidence against").is_checked()
    assert "espresso" in page.get_by_role("option", selected=True).first.inner_text()
    assert "espresso" in page.locator("figcaption").first.inner_text()


def test_layers_are_a_choice_only_where_there_are_several(page, esm_page, repainted):
    assert page.get_by_label("Map", exact=True).is_hidden()
    other = esm_page(explorer(maps={"last": MAPS, "earlier": -MAPS.repeat(2, 1).repeat(2, 2)}))
    settled(other)
    with repainted(other.locator("canvas.lk-canvas").first):
        other.get_by_label("Map", exact=True).select_option("earlier")
    assert saved(other) == [{"layer": "earlier"}]
    assert "none (8 × 12)" in other.get_by_label("Upsampling").inner_text()


# ------------------------------------------------------------------------------------------------ the class


def test_list_starts_with_the_most_likely_classes(page):
    settled(page)
    powers = np.exp(LOGITS - LOGITS.max())
    shown = page.get_by_role("listbox").get_by_role("option").all_inner_texts()
    names = [text.split("\n")[0] for text in shown]
    assert names == [NAMES[k] for k in ORDER]
    assert f"{100 * powers[TOP] / powers.sum():.1f}\N{NO-BREAK SPACE}%" in shown[0]


def test_typing_narrows_the_list_and_keys_choose(page, canvas, repainted):
    search = page.get_by_role("combobox", name="Class")
    search.fill("cat")
    options = page.get_by_role("listbox").get_by_role("option")
    page.wait_for_function("document.querySelectorAll('[data-index]').length === 2")
    cats = [NAMES.index(text.split("\n")[0]) for text in options.all_inner_texts()]
    assert cats == [k for k in ORDER if k in (1, 2)]
    with repainted(canvas):
        search.press("Enter" if TOP not in cats else "ArrowDown")
    settled(page)
    search.press("ArrowDown")
    settled(page)
    assert saved(page)[-1] == {"class_index": cats[1]}
    chosen = page.get_by_role("option", selected=True).first
    assert search.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    assert NAMES[cats[1]] in page.locator(LIVE).inner_text()
    search.press("Escape")
    page.wait_for_function("document.querySelectorAll('[data-index]').length === 8")
    search.fill("zebra")
    page.get_by_text("no class is called “zebra”").wait_for()


def test_clicking_a_class_chooses_it(page, canvas, repainted):
    with repainted(canvas):
        page.get_by_role("option", name="tripod").click()
    assert saved(page) == [{"class_index": NAMES.index("tripod")}]


def test_button_puts_the_class_beside_the_next_one(page, canvas):
    page.get_by_role("button", name="Compare with another class").click()
    settled(page)
    assert saved(page) == [{"compare_index": TOP, "class_index": int(ORDER[1])}]
    assert page.locator("canvas.lk-canvas:visible").count() == 2
    assert page.locator(".lk-facts").inner_text().startswith(f"{NAMES[ORDER[1]]}: logit")
    page.get_by_role("button", name="Back to one picture").click()
    settled(page)
    assert saved(page)[-1] == {"compare_index": None}
    assert page.locator("canvas.lk-canvas:visible").count() == 1


def test_two_classes_side_by_side_share_scale_and_pointer(esm_page):
    peaks = upsample(torch.from_numpy(MAPS), (H, W)).amax((1, 2))
    weak, strong = int(peaks.argmin()), int(peaks.argmax())
    page = esm_page(explorer(class_index=weak, compare_index=strong))
    settled(page)
    assert page.locator(".lk-ticks").inner_text().endswith(f"{peaks[strong]:.2f}")
    second = page.locator("canvas.lk-canvas").nth(1)
    second.hover(position=point(second, 120, 100))
    settled(page)
    here = page.locator(".lk-here").inner_text()
    assert here.startswith(f"Evidence at x 120, y 100 for {NAMES[weak]}:")
    assert f"for {NAMES[strong]}:" in here


# ------------------------------------------------------------------------------------- sliders and choices


def test_dragging_the_threshold_repaints_at_once_and_is_sent_once(page, canvas, repainted):
    slider = page.get_by_role("slider", name="Threshold")
    size = slider.bounding_box()
    middle = size["y"] + size["height"] / 2
    page.mouse.move(size["x"] + size["width"] * 0.22, middle)
    page.mouse.down()
    for share in (0.4, 0.5, 0.6):
        with repainted(canvas):
            page.mouse.move(size["x"] + size["width"] * share, middle)
    assert saved(page) == []
    page.mouse.up()
    assert [list(message) for message in saved(page)] == [["threshold"]]
    assert 0.5 < saved(page)[0]["threshold"] < 0.65


def test_sliders_take_arrow_keys(page, canvas):
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert saved(page)[-1] == {"threshold": 0.5}
    settled(page)
    assert slider.get_attribute("aria-valuetext").replace("\N{NO-BREAK SPACE}", " ") == "50 % of max"
    x0, y0, x1, y1 = box_from_map(upsample(torch.from_numpy(MAPS[TOP]), (H, W)), 0.5).tolist()
    assert f"x {x0}\N{EN DASH}{x1}, y {y0}\N{EN DASH}{y1}" in page.locator(".lk-left").inner_text()


def test_choices_repaint_and_are_sent(page, canvas, repainted):
    for label, value, name in [
        ("Upsampling", "nearest", "upsampling"),
        ("Upsampling", "bicubic", "upsampling"),
        ("Colours", "cividis", "colour"),
    ]:
        with repainted(canvas):
            page.get_by_label(label).select_option(value)
        assert saved(page)[-1] == {name: value}


def test_signed_evidence_brings_its_own_colours(page, canvas, repainted):
    with repainted(canvas):
        page.get_by_label("Show evidence against the class too").check()
    assert saved(page) == [{"signed": True, "colour": "RdBu_r"}]
    options = page.get_by_label("Colours").locator("option")
    assert [o.get_attribute("value") for o in options.all()] == ["RdBu_r", "PuOr_r"]


# ------------------------------------------------------------------------- pointer, touch and keyboard


def test_read_out_follows_the_mouse_and_a_click_pins_it(page, canvas):
    values = upsample(torch.from_numpy(MAPS), (H, W)).numpy()
    here = page.locator(".lk-here")
    for x, y in [(0, 0), (150, 33), (W - 1, H - 1)]:
        canvas.hover(position=point(canvas, x, y))
        settled(page)
        best = NAMES[values[:, y, x].argmax()]
        text = here.inner_text().replace("\N{MINUS SIGN}", "-")
        assert f"x {x}, y {y} for {NAMES[TOP]}: {values[TOP, y, x]:.2f}" in text
        assert here.get_by_role("listitem").first.inner_text().startswith(best)
    assert saved(page) == []
    canvas.click(position=point(canvas, 150, 33))
    page.mouse.move(800, 5)
    settled(page)
    assert saved(page) == [{"pixel": [150, 33]}]
    assert "x 150, y 33" in here.inner_text()
    canvas.press("Escape")
    settled(page)
    assert saved(page)[-1] == {"pixel": None}
    assert "Point at the picture" in here.inner_text()


def test_arrow_keys_move_a_crosshair_and_speak(page, canvas, repainted):
    canvas.focus()
    page.evaluate(
        "addEventListener('keydown', (event) => { globalThis.prevented = event.defaultPrevented; })"
    )
    with repainted(canvas):
        page.keyboard.press("ArrowRight")  # a quarter of a cell of 40 pixels, from the middle
    page.keyboard.press("ArrowUp")
    assert page.evaluate("prevented"), "the page scrolls away under the crosshair"
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    assert saved(page)[-1] == {"pixel": [129, 71]}
    value = upsample(torch.from_numpy(MAPS), (H, W)).numpy()[TOP, 71, 129]
    spoken = page.locator(LIVE).inner_text().replace("\N{MINUS SIGN}", "-")
    assert f"x 129, y 71: {NAMES[TOP]} {value:.2f}. Most evidence here:" in spoken


def test_crosshair_stops_at_the_border_and_a_held_key_is_sent_once(page, canvas):
    canvas.focus()
    for _ in range(20):
        page.keyboard.down("ArrowLeft")
    assert saved(page) == []
    page.keyboard.up("ArrowLeft")
    assert saved(page) == [{"pixel": [0, H // 2]}]


def test_a_finger_reads_and_pins(esm_page):
    page = esm_page(explorer(), touch=True)
    settled(page)
    canvas = page.locator("canvas.lk-canvas").first
    canvas.tap(position=point(canvas, 200, 100))
    settled(page)
    assert saved(page) == [{"pixel": [200, 100]}]
    page.evaluate("model.set('pixel', [30, 40])")  # nothing hovers any more: the crosshair is what is read
    settled(page)
    assert "x 30, y 40" in page.locator(".lk-here").inner_text()
    assert canvas.evaluate("c => getComputedStyle(c).touchAction") == "none"


# ------------------------------------------------------------------------------------- for every reader


def test_every_control_keeps_the_shortcuts_of_jupyterlab_away(page):
    controls = page.locator("input, select, button, a, [tabindex]")
    assert controls.count() >= 8
    marks = controls.evaluate_all("all => all.map((e) => e.dataset.lmSuppressShortcuts)")
    assert set(marks) == {"true"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 900])
def test_no_accessibility_violation(esm_page, axe, scheme, width):
    page = esm_page(explorer(bias=BIAS, pixel=(100, 80)), width=width, scheme=scheme)
    settled(page)
    assert axe(page) == []
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("combobox", name="Class").fill("zebra")
    settled(page)
    assert axe(page) == []


@pytest.mark.parametrize("compare", [None, 1])
def test_fits_into_any_width(esm_page, compare):
    page = esm_page(explorer(compare_index=compare))
    controls = page.locator("canvas:visible, input:visible, select:visible, button:visible")
    for width in (320, 480, 620, 700, 900, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        right = controls.evaluate_all("all => Math.max(...all.map((e) => e.getBoundingClientRect().right))")
        assert right <= width + 1
        assert page.locator(".lk-pictures").bounding_box()["width"] > 0.45 * min(width, 900)


def test_dark_scheme_is_dark(esm_page):
    light, dark = (esm_page(explorer(), scheme=scheme) for scheme in ("light", "dark"))
    paper = "e => getComputedStyle(e).backgroundColor"
    ink = "e => getComputedStyle(e).color"
    met = {p.locator(".lk-frame").evaluate(f"e => [({paper})(e), ({ink})(e)].join()") for p in (light, dark)}
    assert len(met) == 2


def test_taking_the_view_down_leaves_no_listener(page):
    assert page.evaluate("model.listening()") > 0
    page.evaluate("unmount()")
    assert page.evaluate("model.listening()") == 0


def test_two_views_of_one_explorer_have_ids_of_their_own(page):
    page.evaluate(
        "esm.default.render({ model, el: document.body.appendChild(document.createElement('div')) })"
    )
    ids = json.loads(page.evaluate("JSON.stringify([...document.querySelectorAll('[id]')].map((e) => e.id))"))
    assert len(ids) == len(set(ids))
