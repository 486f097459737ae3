"""The web pages of the course, built offline: notebooks, glossary, benchmarks, reference, live widgets."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import nbformat

from ..kit.storage import ROOT
from . import frames, inspection, pages, photo, reference, teach

#: What of ``site/`` is not for Sphinx.
_NO_SOURCES = ("_build", "live", "photo", ".lock", "__pycache__")
#: The file that says which sources a site was made from, and the sources.
_SOURCES = ".made-from"
_MADE_FROM = {
    "docs": {".md"},
    "lecturekit": {".py", ".js", ".css", ".toml"},
    "notebooks": {".ipynb"},
    "site": {".py", ".md", ".css", ".js", ".svg", ".html", ".json", ".bin", ".png", ".webp"},
}
#: Parts of MathJax that a page fetches: the program with what AMS wrote for formulas, and the fonts.
_MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2")


class Faulty(Exception):
    """The site was not built, or is not as it should be; the message says why."""


def build(out: Path, photo: bool = True) -> str:
    """Build the site.

    Args:
        out: its folder; what was in it is replaced.
        photo: with the page for a visitor's own photograph, whose runtime npm fetches the first time.

    Returns:
        Why that page is missing although it was asked for, or "".

    Raises:
        FileNotFoundError: this is no clone of the course.
        Faulty: what the group ``docs`` brings is missing, Sphinx warned of something, or a page is not as it
            should be (`inspection.faults`).
    """
    if not (ROOT / "site" / "conf.py").is_file():
        raise FileNotFoundError("there is no site/ here: this is for a clone of the course")
    with tempfile.TemporaryDirectory() as made:
        source, built = Path(made, "source"), Path(made, "built")
        missing = _photo_page(built) if photo else ""
        with _nobody(Path(made, "data")):
            gather(source, photo=(built / "photo").is_dir())
        _sphinx(source, built)
        shutil.copytree(_mathjax(), built / "_static" / "mathjax", ignore=_not_needed)
        _amend(built)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(built, out)
    if found := inspection.faults(out.resolve()):
        raise Faulty("\n".join(found))
    (out / _SOURCES).write_text(digest(), encoding="ascii")
    return missing


@contextmanager
def _nobody(data: Path) -> Generator[None]:
    """Inside, the course knows nothing of a reader, whose own results would choose the recalled questions."""
    before = os.environ.get("LECTUREKIT_DATA")
    os.environ["LECTUREKIT_DATA"] = str(data)
    try:
        yield
    finally:
        os.environ.pop("LECTUREKIT_DATA")
        if before is not None:
            os.environ["LECTUREKIT_DATA"] = before


def _photo_page(built: Path) -> str:
    """Build the page for a visitor's own photograph; gives why that could not be done, or ""."""
    try:
        photo.build(built, home="../index.html")
    except (ImportError, FileNotFoundError, RuntimeError) as error:
        shutil.rmtree(built / "photo", ignore_errors=True)
        return str(error)
    return ""


def is_fresh(out: Path) -> bool:
    """Whether a folder holds a site without faults that was made from the present sources.

    Args:
        out: of an earlier `build`, or a folder that is not there.
    """
    return (out / _SOURCES).is_file() and (out / _SOURCES).read_text(encoding="ascii") == digest()


def digest() -> str:
    """A hash of everything that the site is made from."""
    found = hashlib.sha256()
    for top, kinds in _MADE_FROM.items():
        for path in sorted((ROOT / top).rglob("*")):
            inside = path.relative_to(ROOT).parts
            if path.suffix in kinds and not set(inside) & {"_build", "__pycache__", "teach"}:
                found.update("/".join(inside).encode() + path.read_bytes())
    return found.hexdigest()


def gather(source: Path, photo: bool = False) -> None:
    """Put everything that Sphinx reads into one folder.

    Args:
        source: the folder; made here.
        photo: whether to link to the page for a visitor's own photograph.
    """
    shutil.copytree(ROOT / "site", source, ignore=shutil.ignore_patterns(*_NO_SOURCES))
    static = source / "static"
    frames.write_code(static)
    (source / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        live = frames.Frames(static, path, notebook.cells)
        pages.put_figures_aside(notebook, static / "figures", live)
        nbformat.write(notebook, source / "notebooks" / path.name)
    _fill_front_page(source, photo)
    for path in sorted((ROOT / "docs").rglob("*.md")):
        wanted = source / "docs" / path.relative_to(ROOT / "docs")
        if wanted.parent.name != "teach":  # that is made anew
            wanted.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, wanted)
    _teachers_pages(source / "docs" / "teach")
    (source / "reference").mkdir()
    for name, text in reference.pages().items():
        (source / "reference" / f"{name}.rst").write_text(text, encoding="utf-8")


def _fill_front_page(source: Path, photo: bool) -> None:
    """The explorer of notebook 05 and the link to the photograph page, where the first page says so."""
    notebook = nbformat.read(source / "notebooks" / "05_class_activation_maps.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.data.get("text/html", "") for output in outputs if "data" in output]
    frame = next((html for html in shown if "Class map of" in html), "").replace("../_static", "_static")
    link = '<p><a href="photo/index.html">Explain a photograph of your own</a>, in your browser.</p>'
    index = source / "index.md"
    text = index.read_text(encoding="utf-8")
    for mark, html in (("explorer", frame), ("photo", link if photo else "")):
        text = text.replace(f"<!-- {mark} -->", f"```{{raw}} html\n{html}\n```" if html else "")
    index.write_text(text, encoding="utf-8")


def _teachers_pages(folder: Path) -> None:
    """The teacher's kit, and in its first page a list of the others for Sphinx."""
    index, *others = (path for path in teach.write(folder) if path.suffix == ".md")
    listed = "".join(f"{path.stem}\n" for path in others)
    with index.open("a", encoding="utf-8") as file:
        file.write(f"\n```{{toctree}}\n:hidden:\n\n{listed}```\n")


def _sphinx(source: Path, built: Path) -> None:
    """Let Sphinx build; whatever it warns of is an error."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-b", "html"]
    done = subprocess.run(
        [*command, str(source), str(built)], capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise Faulty(done.stderr.replace(str(source), "site"))
    for left in (".buildinfo", "objects.inv", "_sources", ".doctrees", "jupyter_execute"):
        target = built / left
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


#: What the theme's pages lack for readers with a keyboard or a screen reader; an icon font of 1.5 MB that is
#: not asked for, as site.css has the twelve icons in use; and marks round words that look like others, 2 MB.
_AMENDED = (
    (re.compile(r'<script defer src="[^"]*/scripts/fontawesome\.js[^"]*"></script>\n?'), ""),
    (re.compile(r'(<div id="pst-primary-sidebar")'), r'\1 role="navigation" aria-label="Site"'),
    (re.compile(r'(<div class="pst-scrollable-table-container")'), r'\1 tabindex="0"'),
    (re.compile(r'<summary>(?=<span class="toctree-toggle")'), '<summary aria-label="Pages below">'),
    (re.compile(r'<span class="(?:pre|w|n|p)">([^<]*)</span>'), r"\1"),
    (re.compile(r'<span class="n">((?:[^<]|<a [^>]*>[^<]*</a>)*)</span>'), r"\1"),
    (re.compile(r"<span></span>"), ""),
    (re.compile(r'class="(code )?docutils literal notranslate"'), r'class="\1literal notranslate"'),
)


def _amend(built: Path) -> None:
    """Mend the theme's pages, and leave out what only its developers need."""
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for wrong, right in _AMENDED:
            text = wrong.sub(right, text)
        page.write_text(text, encoding="utf-8")
    for pattern in ("*.map", "fontawesome.js*", "*webpack-macros.html"):
        for path in built.rglob(pattern):
            path.unlink()
    for folder in ("locales", "vendor/fontawesome"):
        shutil.rmtree(built / "_static" / folder, ignore_errors=True)


def _mathjax() -> Path:
    """The folder of MathJax among the installed packages.

    Raises:
        Faulty: it is not installed.
    """
    found = importlib.util.find_spec("mathjax")
    if found is None or found.submodule_search_locations is None:
        raise Faulty("MathJax is missing: uv run --group docs python -m lecturekit site")
    return Path(found.submodule_search_locations[0], "static", "mathjax", "es5")


def _not_needed(folder: str, names: list[str]) -> set[str]:
    """What of MathJax's folder no page fetches."""
    home = _mathjax()
    inside = {name: Path(folder, name).relative_to(home).as_posix() for name in names}
    return {
        name
        for name, path in inside.items()
        if not any(part.startswith(path) or path.startswith(part) for part in _MATHJAX)
    }
