"""The API reference: one page a room, made from the docstrings, offline."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

import lecturekit

_CONF = """
project = "lecturekit"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_rtype = False
napoleon_use_ivar = True
html_theme = "alabaster"
default_role = "code"
suppress_warnings = ["ref.python"] # two classes may have a field of one name
"""


def pages() -> dict[str, str]:
    """The text of every page: of the rooms of the package, and ``index`` that lists them.

    Returns:
        reStructuredText by the page's name.
    """
    rooms: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(lecturekit.__path__, "lecturekit."):
        parts = module.name.split(".")
        if not any(part.startswith("_") for part in parts):
            rooms.setdefault(parts[1], []).append(module.name)
    text = {room: "\n".join([_title(room), *map(_module, names)]) for room, names in rooms.items()}
    listed = "\n".join(f"   {room}" for room in sorted(rooms))
    return text | {"index": f"{_title('lecturekit')}\n.. toctree::\n\n{listed}\n"}


def build(folder: str | Path) -> None:
    """Write the reference as HTML.

    Args:
        folder: of the pages; made where it is missing.

    Raises:
        RuntimeError: a docstring that Sphinx cannot read, in Sphinx's words.
    """
    with tempfile.TemporaryDirectory() as source:
        Path(source, "conf.py").write_text(_CONF, encoding="utf-8")
        for page, text in pages().items():
            Path(source, f"{page}.rst").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", source, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.replace(source, ""))


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _module(name: str) -> str:
    heading = f"{name}\n{'-' * len(name)}\n"
    return f"{heading}\n.. automodule:: {name}\n   :members:\n   :ignore-module-all:\n"
