"""The page that explains a visitor's photograph, in Chromium: its preprocessing, and the whole of it."""

import base64
import io
import os
import re
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from playwright.sync_api import expect
from support import ROOT, VOC

from lecturekit.datasets.photos import load_photo, photo
from lecturekit.evidence import cam
from lecturekit.evidence.maps import box_from_map, upsample
from lecturekit.kit.images import encoded
from lecturekit.models import load_classifier
from lecturekit.publish import photo as publish
from lecturekit.publish import site

pytestmark = pytest.mark.browser

SCIKIT = Path(skimage.data.__file__).parent


@pytest.fixture(scope="module")
def model():
    return load_classifier(device="cpu")


# ------------------------------------------------------------------------------------------ preprocessing


@pytest.fixture
def js_view(new_page):
    """``js_view(file, size)``: JavaScript's view of a file's bytes, uint8 ``(size, size, 3)``."""
    page = new_page()
    page.route("http://widget.test/", lambda r: r.fulfill(body="<title>a</title>", content_type="text/html"))
    page.route(
        "http://widget.test/preprocess.js",
        lambda r: r.fulfill(
            body=(publish.SOURCES / "preprocess.js").read_text("utf-8"), content_type="text/javascript"
        ),
    )
    page.goto("http://widget.test/")

    def view(file, size):
        text = page.evaluate(
            """async ([text, size]) => {
                const { openPhoto, viewOf } = await import("/preprocess.js");
                const blob = new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
                const view = viewOf(await openPhoto(blob), size);
                let all = "";
                for (let i = 0; i < view.length; i += 8192)
                    all += String.fromCharCode(...view.subarray(i, i + 8192));
                return btoa(all);
            }""",
            [base64.b64encode(file).decode(), size],
        )
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(size, size, 3)

    return view


def with_orientation(image, value, format_, **options):
    exif = Image.Exif()
    exif[0x0112] = value
    file = io.BytesIO()
    Image.fromarray(image).save(file, format_, exif=exif, **options)
    return file.getvalue()


def scene(height, width, seed=0):
    """Smooth colours, sharp edges and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([128 + 90 * np.sin(x / (9 + c) + c) * np.cos(y / (14 - c)) for c in range(3)], -1)
    waves += rng.normal(0, 12, waves.shape)
    waves[height // 3 : height // 2, width // 4 : width // 2] = (255, 0, 40)
    waves[:, -width // 5 :: 2] = 255
    return np.clip(waves, 0, 255).astype(np.uint8)


def compare(model, js_view, files, sizes=(224, 448), classes=True):
    """Within one grey level of `Classifier.view` (none where no decoder rounds), and the same top class."""
    for name, file in files.items():
        image, opened = load_photo(file), Image.open(io.BytesIO(file))
        for size in sizes:
            ours, wanted = js_view(file, size), model.view([image], size)[0]
            worst = np.abs(ours.astype(int) - wanted).max()
            limit = 0 if file.startswith(b"\x89PNG") and opened.mode == "RGB" else 1
            assert worst <= limit, f"{name} at {size}: {worst} grey levels"
            if classes:
                first, second = _tops(model, [ours, wanted])
                assert first == second, f"{name} at {size}"


def _tops(model, views):
    pixels = torch.from_numpy(np.stack(views)).float().sub(127).div(128).permute(0, 3, 1, 2)
    with torch.no_grad():
        return model(pixels).argmax(1).tolist()


def test_the_view_is_that_of_the_classifier(model, js_view, one_thread):
    files = {name: (SCIKIT / name).read_bytes() for name in ("chelsea.png", "rocket.jpg", "logo.png")}
    compare(model, js_view, files, [224])
    compare(
        model, js_view, {"small": encoded(scene(120, 91)), "odd": encoded(scene(301, 257))}, classes=False
    )


def test_every_exif_orientation_is_obeyed(model, js_view):
    image = scene(90, 131)
    files = {f"jpeg {n}": with_orientation(image, n, "JPEG", quality=95, subsampling=0) for n in range(1, 9)}
    files |= {f"png {n}": with_orientation(image, n, "PNG") for n in (3, 6)}
    files |= {f"webp {n}": with_orientation(image, n, "WEBP", lossless=True) for n in (5, 8)}
    compare(model, js_view, files, [64], classes=False)
    views = [js_view(file, 64) for file in files.values()]
    assert len({view.tobytes() for view in views[:8]}) == 8


@pytest.mark.slow
def test_the_view_is_that_of_the_classifier_on_many_photographs(model, js_view):
    names = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "camera.png", "motorcycle_left.png",
             "retina.jpg", "hubble_deep_field.jpg", "ihc.png", "coins.png", "horse.png")  # fmt: skip
    files = {name: (SCIKIT / name).read_bytes() for name in names if (SCIKIT / name).is_file()}
    large = Image.fromarray(photo("motorcycle")).resize((4000, 2700), Image.Resampling.LANCZOS)
    files["4000 px"] = with_orientation(np.asarray(large), 6, "JPEG", quality=90)
    files |= {f"turned {n}": with_orientation(photo("coffee"), n, "JPEG", quality=92) for n in range(2, 9)}
    files["transparent"] = (SCIKIT / "logo.png").read_bytes()
    if VOC.is_dir():
        paths = sorted((VOC / "JPEGImages").glob("*.jpg"))
        files |= {path.name: path.read_bytes() for path in paths[:: len(paths) // 20]}
    assert len(files) >= 20
    compare(model, js_view, files)


# ----------------------------------------------------------------------------------------------- the page


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, asked, *args, **options):
        self.asked = asked
        super().__init__(*args, **options)

    def log_message(self, format, *args):
        self.asked.append(self.path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder that holds the built page: the whole site where there is one of the present sources."""
    whole = ROOT / "site" / "_build"
    if site.is_fresh(whole) and (whole / "photo").is_dir():
        return whole
    if shutil.which("npm") is None and not os.environ.get("CI"):
        pytest.skip("no npm here, which brings the runtime of the page")
    return publish.build(tmp_path_factory.mktemp("site"), home="../index.html").parents[1]


@pytest.fixture
def served(built):
    """Address of the page, and a list of all that its server is asked for."""
    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, asked, directory=str(built)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/photo/", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_page(new_page, served):
    """``open_page(**page)``: the page, ready for a click."""

    def show(script=None, **options):
        page = new_page(**options)
        if script:
            page.add_init_script(script)
        page.goto(served[0])
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    return show


def test_the_page_is_light_enough(built):
    files = [path for path in (built / "photo").rglob("*") if path.is_file()]
    large = sum(path.stat().st_size for path in files if path.suffix == ".gz")
    assert large <= 14e6
    assert sum(path.stat().st_size for path in files) - large <= 1.2e6
    assert f"Load the network ({large / 1e6:.1f} MB)" in (built / "photo" / "index.html").read_text("utf-8")


def numbers(text):
    """All numbers of a text; a dash between two of them is no sign."""
    return [float(found) for found in re.findall(r"[\d.]*\d", text)]


def test_a_photograph_is_explained_and_nothing_is_loaded_or_sent(model, open_page, served, axe, one_thread):
    page, asked = open_page(), served[1]
    file = (SCIKIT / "coffee.png").read_bytes()
    page.locator("#file").set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": file})
    expect(page.locator("#status")).to_contain_text("mine.png waits")
    page.locator("#start").click()
    expect(page.locator("#status")).to_contain_text("Done.")
    assert sum(name.endswith(".gz") for name in asked) == 3
    before = list(asked)

    # a second photograph, dropped; then the other size, another class and the threshold
    dropped = page.evaluate_handle(
        """(text) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const dropped = new DataTransfer();
            dropped.items.add(new File([bytes], "r.jpg", { type: "image/jpeg" }));
            return dropped;
        }""",
        base64.b64encode((SCIKIT / "rocket.jpg").read_bytes()).decode(),
    )
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": dropped})
    expect(page.locator("#first")).to_contain_text("The network’s first five: missile")
    expect(page.locator("#status")).to_contain_text("Done.")
    k = model.categories.index("missile")  # at 448 it is second; the class that was chosen stays
    for size in (224, 448):
        page.locator(f"#size-{size}").check()
        found = cam(model, model.preprocess([photo("rocket")], size), "all")
        best = model.categories[int(found.logits[0].argmax())]
        expect(page.locator("#first")).to_contain_text(f"first five: {best}")
        facts = page.locator(".lk-facts")
        expect(facts).to_contain_text("box of the largest region")
        logit, mean, _, x0, x1, y0, y1, _ = numbers(facts.inner_text())
        assert logit == pytest.approx(float(found.logits[0, k]), abs=0.02)
        assert mean == pytest.approx(float(found.maps[0, k].mean()), abs=0.02)
        box = box_from_map(upsample(found.maps[0, k], size), 0.2)
        np.testing.assert_allclose([x0, y0, x1, y1], box, atol=3)
        chance = 100 * float(found.logits[0].softmax(0)[k])
        assert numbers(page.locator("figcaption").first.inner_text()) == pytest.approx([chance], abs=0.5)
    page.get_by_role("combobox", name="Class").fill("tabby")
    page.get_by_role("option", name="tabby").first.click()
    expect(page.locator("figcaption").first).to_contain_text("tabby")
    assert asked == before
    assert axe(page, "html") == []

    # the next visit finds everything in the browser
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    expect(page.locator("#start")).to_have_text("Start the network (stored in this browser)")
    page.locator("#start").click()
    expect(page.locator("#status")).to_contain_text("The network is ready")
    assert sum(name.endswith(".gz") for name in asked) == 3


def test_loading_can_be_stopped_and_begun_again(open_page, served):
    page = open_page()
    held = []
    page.route("**/files/*", lambda route: held.append(route) if not held else route.continue_())
    page.locator("#start").click()
    expect(page.locator("#bar")).to_be_visible()
    page.locator("#stop").click()
    expect(page.locator("#status")).to_have_text("Stopped.")
    expect(page.locator("#bar")).to_be_hidden()
    page.locator("#start").click()
    expect(page.locator("#status")).to_contain_text("The network is ready")
    bad = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    page.locator("#file").set_input_files(bad)
    expect(page.locator("#status")).to_contain_text("no picture that your browser can read")


def test_without_webassembly_a_word_and_the_stored_examples(model, open_page, axe):
    page = open_page("delete globalThis.WebAssembly", width=375, height=800, scheme="dark", touch=True)
    expect(page.locator("#unable")).to_contain_text("it lacks WebAssembly")
    expect(page.locator("#own")).to_be_hidden()
    expect(page.locator("#status")).to_be_empty()
    page.locator("#example-chelsea").click()
    found = cam(model, model.preprocess([photo("chelsea")]), "all")
    top = model.categories[int(found.logits[0].argmax())]
    expect(page.locator("figcaption").first).to_contain_text(top)
    page.locator("#size-448").check()
    expect(page.locator(".lk-facts")).to_contain_text("box of the largest region")
    expect(page.locator("#camera-button")).to_be_hidden()  # with the rest of the section
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert axe(page, "html") == []
