"""The web pages of the course, built offline: notebooks, glossary, benchmarks, reference, live widgets."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from ..kit.storage import ROOT
from . import frames, pages, reference

#: Bytes that one page may have, and the whole site without the network of the photograph page.
MAX_PAGE, MAX_SITE = 600_000, 14_000_000
#: What of ``site/`` is not for Sphinx.
_NO_SOURCES = ("_build", "live", "photo", "__pycache__")
#: Parts of MathJax that a page fetches: the program, fonts, and what a formula may ask for by name.
_MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")


class Faulty(Exception):
    """The site was not built, or is not as it should be; the message says why."""


def build(out: Path) -> None:
    """Build the site.

    Args:
        out: its folder; what was in it is replaced.

    Raises:
        FileNotFoundError: this is no clone of the course.
        Faulty: what the group ``docs`` brings is missing, Sphinx warned of something, or a page is too large.
    """
    if not (ROOT / "site" / "conf.py").is_file():
        raise FileNotFoundError("there is no site/ here: this is for a clone of the course")
    with tempfile.TemporaryDirectory() as made:
        source, built = Path(made, "source"), Path(made, "built")
        gather(source)
        _sphinx(source, built)
        shutil.copytree(_mathjax(), built / "_static" / "mathjax", ignore=_not_needed)
        _photo(built)
        for sheet in built.rglob("*.map"):  # for who develops the theme
            sheet.unlink()
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(built, out)
    faults = oversized(out)
    if faults:
        raise Faulty("\n".join(faults))


def gather(source: Path) -> None:
    """Put everything that Sphinx reads into one folder.

    Args:
        source: the folder; made here.
    """
    shutil.copytree(
        ROOT / "site", source, ignore=shutil.ignore_patterns("_build", "photo", "live", "__pycache__")
    )
    static = source / "static"
    frames.write_code(static)
    (source / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        live = frames.Frames(static, path, notebook.cells)
        pages.put_figures_aside(notebook, static / "figures", live)
        nbformat.write(notebook, source / "notebooks" / path.name)
    for path in sorted((ROOT / "docs").rglob("*.md")):
        wanted = source / "docs" / path.relative_to(ROOT / "docs")
        wanted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, wanted)
    (source / "reference").mkdir()
    for name, text in reference.pages().items():
        (source / "reference" / f"{name}.rst").write_text(text, encoding="utf-8")


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


def _photo(built: Path) -> None:
    """The page for a visitor's own photograph, where this edition has one."""
    if importlib.util.find_spec("lecturekit.publish.photo"):
        importlib.import_module("lecturekit.publish.photo").build(built / "photo")


def oversized(site: Path) -> list[str]:
    """Pages over `MAX_PAGE` and a site over `MAX_SITE`, in words.

    Args:
        site: the built site.
    """
    faults = [
        f"{path.relative_to(site)}: {path.stat().st_size} bytes, at most {MAX_PAGE} are allowed"
        for path in sorted(site.rglob("*.html"))
        if path.stat().st_size > MAX_PAGE
    ]
    size = size_of(site)
    return faults + (
        [f"the site has {size} bytes, at most {MAX_SITE} are allowed"] if size > MAX_SITE else []
    )


def size_of(site: Path) -> int:
    """Bytes of the site without the network of the photograph page.

    Args:
        site: the built site.
    """
    files = (path for path in site.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if "photo" not in path.relative_to(site).parts)
