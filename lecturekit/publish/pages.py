"""The notebooks and documents of the course as pages for Sphinx: pictures as files, links that hold."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode
from PIL import Image

from ..kit.storage import ROOT

#: Where the pages' pictures lie, seen from the site's root.
FIGURES = "_static/figures"
_IMG = re.compile(
    r'<img\b(?P<rest>[^>]*?) src="data:image/(?P<kind>[\w+]+);base64,(?P<data>[^"]+)"(?P<end>[^>]*)>'
)

#: A link of an output to a notebook, as JupyterLab follows it.
_LINK = re.compile(r'href="(?P<name>[\w-]+)\.ipynb(?:#(?P<heading>[^"]*))?"')


def put_figures_aside(
    notebook: NotebookNode, figures: Path, live: Callable[[NotebookNode], str | None]
) -> None:
    """Make files of the pictures in a notebook's outputs, and put its live widgets round their still forms.

    Args:
        notebook: changed in place. A picture gets the address ``../_static/figures/…``; its text stays.
        figures: the folder that the pictures are written to.
        live: gives the HTML that stands for a code cell's widget, or None for a cell without one. The still
            form of the widget is put where it says ``STILL``.
    """
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            html = output.get("data", {}).get("text/html")
            if html:
                html = _IMG.sub(lambda found: _as_file(found, figures), html)
                output.data["text/html"] = _LINK.sub(_to_page, html)
        frame = live(cell)
        if frame is not None:
            _put_frame(cell, frame)


def _put_frame(cell: NotebookNode, frame: str) -> None:
    """Put the live widget round the last output that is HTML."""
    shown = [output for output in cell.outputs if "text/html" in output.get("data", {})]
    if shown:
        data = shown[-1].data
        data["text/html"] = frame.replace("STILL", data["text/html"], 1)


def _as_file(image: re.Match[str], figures: Path) -> str:
    """An ``<img>`` whose picture is a file, fetched when a reader comes near it."""
    data = base64.b64decode(image["data"])
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.{image['kind'].replace('svg+xml', 'svg')}"
    figures.mkdir(parents=True, exist_ok=True)
    (figures / name).write_bytes(data)
    attributes = f"{image['rest']}{image['end']}".rstrip("/ ")
    return f'<img{_sized(attributes, data)} loading="lazy" src="../{FIGURES}/{name}">'


def _sized(attributes: str, data: bytes) -> str:
    """The attributes with width and height, so that nothing moves when the picture arrives."""
    if "<svg" in data[:300].decode("latin-1") or " height=" in attributes:
        return attributes
    with Image.open(io.BytesIO(data)) as opened:
        width, height = opened.size
    shown = re.search(r' width="(\d+)"', attributes)
    if shown:
        return f'{attributes} height="{round(int(shown[1]) * height / width)}"'
    return f'{attributes} width="{width}" height="{height}"'


def _to_page(link: re.Match[str]) -> str:
    """The link to the page of a notebook, and to the heading by Sphinx's name, if it is still there."""
    heading = _slug(unquote(link["heading"] or ""))
    return f'href="{link["name"]}.html{f"#{heading}" if heading in _headings(link["name"]) else ""}"'


@lru_cache
def _headings(name: str) -> frozenset[str]:
    """Sphinx's names of the headings of one of the course's notebooks."""
    path = ROOT / "notebooks" / f"{name}.ipynb"
    cells = nbformat.read(path, as_version=4).cells if path.is_file() else []
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return frozenset(map(_slug, re.findall(r"^#+ (.+)$", text, re.MULTILINE)))


def _slug(heading: str) -> str:
    return re.sub("[^a-z0-9]+", "-", heading.lower()).strip("-")
