"""The API reference: one page a room, made from the docstrings."""

from __future__ import annotations

import pkgutil

import lecturekit

#: Rooms in which each module has a page of its own; the others are one page.
_BY_MODULE = ("learning", "pixels")
#: Constants that are tables, whose values a page need not repeat, by their modules.
_TABLES = {"lecturekit.labels.costs": "COSTS"}
#: Packages that hand on what their private modules hold.
_HANDED_ON = ("lecturekit.labs.project",)


def pages() -> dict[str, str]:
    """The text of every page: of the rooms or their modules, and ``index`` that lists the rooms.

    Returns:
        reStructuredText by the page's name.
    """
    rooms: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(lecturekit.__path__, "lecturekit."):
        parts = module.name.split(".")
        if not any(part.startswith("_") for part in parts):
            rooms.setdefault(parts[1], []).append(module.name)
    text = {"index": _title("API reference", "=") + _listed(sorted(rooms))}
    for room, (first, *inside) in rooms.items():
        if room in _BY_MODULE:
            text[room] = _module(first, "=") + _listed(inside)
            text |= {name: _module(name, "=") for name in inside}
        else:
            text[room] = _module(first, "=") + "\n".join(_module(name, "-") for name in inside)
    return text


def _listed(names: list[str]) -> str:
    return "\n.. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {name}\n" for name in names)


def _title(text: str, underline: str) -> str:
    return f"{text}\n{underline * len(text)}\n"


def _module(name: str, underline: str) -> str:
    options = "   :members:\n   :ignore-module-all:\n"
    table = ""
    if name in _TABLES:
        options += f"   :exclude-members: {_TABLES[name]}\n"
        table = f"\n.. autodata:: {name}.{_TABLES[name]}\n   :no-value:\n"
    return f"{_title(name, underline)}\n.. automodule:: {name}\n{options}{table}\n"
