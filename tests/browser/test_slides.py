"""The decks in Chromium, opened from their folder: every slide fits, formulas are drawn."""

import pytest

from lecturekit.publish import npm, slides

pytestmark = pytest.mark.browser

_LOOK = """() => {
  const misfits = [];
  Reveal.getSlides().forEach((slide, i) => {
    Reveal.slide(i);
    const shown = [...slide.children].filter((child) => child.tagName !== "ASIDE");
    const low = shown.some((child) => child.getBoundingClientRect().bottom > 720);
    if (low || slide.scrollHeight > 721 || slide.scrollWidth > 1281) misfits.push(i);
  });
  const words = [...document.querySelectorAll("section > :not(aside)")].map((n) => n.textContent).join(" ");
  return {
    slides: Reveal.getSlides().length, misfits, raw: words.includes("\\\\("),
    drawn: document.querySelectorAll("mjx-container svg").length,
    faults: document.querySelectorAll("[data-mjx-error], mjx-merror").length,
    notes: typeof RevealNotes,
  };
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    try:
        npm.package("reveal.js"), npm.package("mathjax")
    except RuntimeError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("slides")
    slides.write(out)
    return out


def test_every_slide_fits_and_every_formula_is_drawn(new_page, folder):
    page = new_page(1280, 720)
    drawn = 0
    for deck in sorted(folder.glob("[0-9]*.html")):
        page.goto(deck.as_uri())
        page.evaluate("MathJax.startup.promise.then(() => true)")
        seen = page.evaluate(_LOOK)
        assert (seen["misfits"], seen["faults"], seen["raw"]) == ([], 0, False), deck.name
        assert seen["notes"] == "function"
        assert seen["slides"] > 10
        drawn += seen["drawn"]
    assert drawn > 10
