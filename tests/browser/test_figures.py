"""The words of a figure arrive where a screen reader finds them: in JupyterLab and in an exported page."""

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from torch import eye

from lecturekit.kit.images import encoded, html_image
from lecturekit.kit.storage import ROOT
from lecturekit.plots import colour_map

ALT = 'A dark square & a "bright" one, side by side'
CELL = f"""
import numpy as np
from lecturekit import plots
plots.style()
plots.show(plots.pictures([np.zeros((9, 9)), np.eye(9)], ["dark", "bright"], width=1.5), alt={ALT!r})
"""
SAVED = html_image(
    encoded((255 * colour_map(eye(9))).astype("uint8"), "WEBP"), "A saved figure", 200, "image/webp"
)


@pytest.mark.browser
def test_alt_texts_arrive_in_jupyterlab_before_and_after_a_run(open_cells):
    saved = nbformat.v4.new_code_cell("pass", execution_count=1)
    saved.outputs = [nbformat.v4.new_output("display_data", data={"text/html": SAVED, "text/plain": "saved"})]
    notebook = open_cells("figures", saved, CELL)
    found = notebook.page.locator(".jp-OutputArea-output img")

    def arrived(n):
        notebook.page.wait_for_function(
            "([s, n]) => document.querySelectorAll(s)[n]?.naturalWidth", arg=[".jp-OutputArea-output img", n]
        )
        return found.nth(n).get_attribute("alt"), found.nth(n).bounding_box()["width"]

    assert arrived(0) == ("A saved figure", 200), "not trusted yet, and so sanitised"
    notebook.run_cell(1)
    alt, width = arrived(1)
    assert alt == ALT
    assert width > 300
    assert notebook.errors() == []


@pytest.fixture(scope="module")
def exporter():
    """One for all notebooks: it compiles its templates."""
    return HTMLExporter()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_alt_texts_arrive_in_the_exported_page(exporter, path):
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    committed = BeautifulSoup("".join(o.get("data", {}).get("text/html", "") for o in outputs), "html.parser")
    page = BeautifulSoup(exporter.from_filename(path)[0], "html.parser")
    wanted = [image["alt"] for image in committed.find_all("img")]
    assert len(wanted) >= 4
    assert [image.get("alt") for image in page.find_all("img")] == wanted
    assert "No description has been provided" not in str(page)
