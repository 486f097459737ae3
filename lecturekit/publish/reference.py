"""The API reference: one page a room, made from the docstrings."""

from __future__ import annotations

import pkgutil

import lecturekit


def pages() -> dict[str, str]:
    """The text of every page: modules, the rooms that list them, ``index`` that lists the rooms.

    Returns:
        reStructuredText by the page's name.
    """
    rooms: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(lecturekit.__path__, "lecturekit."):
        parts = module.name.split(".")
        if not any(part.startswith("_") for part in parts):
            rooms.setdefault(parts[1], []).append(module.name)
    text = {"index": _title("API reference") + _listed(sorted(rooms))}
    for room, names in rooms.items():
        inside = [name for name in names if name != f"lecturekit.{room}"]
        text[room] = _module(f"lecturekit.{room}") + (_listed(inside) if inside else "")
        text |= {name: _module(name) for name in inside}
    return text


def _listed(names: list[str]) -> str:
    return "\n.. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {name}\n" for name in names)


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _module(name: str) -> str:
    return f"{_title(name)}\n.. automodule:: {name}\n   :members:\n   :ignore-module-all:\n"
