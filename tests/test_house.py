"""The house as its imports draw it: no circle, none from a lower floor to a higher one, no room too full."""

import ast
import os
import re
from functools import cache
from pathlib import Path

import pytest
from support import ROOT

#: Who may import whom: a room may use its own floor and those before it.
FLOORS = [
    {"kit"},
    {"labels", "evidence"},
    {"metrics", "models", "models_lite0", "plots"},
    {"pixels", "datasets"},
    {"learning"},
    {"labs"},
    {"widgets", "exercises", "benchmarks"},
    {"publish", "reproduce"},
    {"upkeep"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PACKAGE = ROOT / "lecturekit"
MODULES = {path: path.relative_to(ROOT).with_suffix("").parts for path in sorted(PACKAGE.rglob("*.py"))}
NAMES = {".".join(p[:-1] if p[-1] == "__init__" else p): path for path, p in MODULES.items()}


def imported(path: Path) -> set[str]:
    """The package's modules that a module imports, anywhere in it, but for those under TYPE_CHECKING."""
    parts, found = MODULES[path], set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unused = {
        id(n) for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test)
        for n in ast.walk(i)
    }  # fmt: skip
    for node in ast.walk(tree):
        if id(node) in unused:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(parts[: len(parts) - node.level]) if node.level else []
            base = ".".join(base + ([node.module] if node.module else []))
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in NAMES else base)
    return {name for name in found if name in NAMES}


def room(name: str) -> str:
    """``lecturekit.pixels.crf`` lies in the room ``pixels``; the package itself in none."""
    return name.split(".")[1] if "." in name else ""


@cache
def imports() -> dict[str, set[str]]:
    """What each module imports; read when a test asks, not whenever tests are collected."""
    return {name: imported(path) for name, path in NAMES.items()}


def test_every_room_has_a_floor():
    assert {room(name) for name in NAMES} - set(FLOOR) == {"", "__main__"}


def test_no_import_leads_to_a_higher_floor():
    upwards = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if room(name) in FLOOR and room(other) in FLOOR and FLOOR[room(other)] > FLOOR[room(name)]
    ]
    assert upwards == []


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """Nodes that can be reached from themselves."""

    def reach(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            fresh = arrows.get(todo.pop(), set()) - seen
            seen |= fresh
            todo += fresh
        return seen

    return sorted(node for node in arrows if node in reach(node))


def test_no_circle_among_modules():
    # a package's __init__ hands its modules on, so that `from . import module` beside it is no arrow back
    arrows = {
        name: {other for other in others if not name.startswith(f"{other}.")}
        for name, others in imports().items()
    }
    assert circles(arrows) == []


def test_no_circle_among_rooms():
    arrows: dict[str, set[str]] = {}
    for name, others in imports().items():
        arrows.setdefault(room(name), set()).update(room(o) for o in others if room(o) != room(name))
    arrows.pop("", None)
    arrows.pop("__main__", None)
    assert circles(arrows) == []


def test_the_search_for_circles_finds_one():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]


@pytest.mark.parametrize("path", MODULES, ids=[".".join(p[1:]) for p in MODULES.values()])
def test_no_module_over_500_lines(path):
    tables = path.parent.name == "exercises" and not path.name.startswith("_")
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert tables or lines <= 500


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.js")), ids=lambda p: p.name)
def test_no_javascript_file_over_600_lines(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 600


def test_folders_hand_their_names_on():
    from lecturekit.evidence import (
        cam,
        counterfactual,
        grad_cam,
        guided_grad_cam,
        maps,
        pooling,
        saliency,
        smooth_grad,
    )
    from lecturekit.labels import boxes, costs, interchange, shapes
    from lecturekit.labs import ladder, levels, route, stopwatch
    from lecturekit.learning import bootstrap, features, recipes, train, tricks
    from lecturekit.pixels import crf, edges, grabcut, priors, proposals

    functions = (cam, counterfactual, grad_cam, guided_grad_cam, saliency, smooth_grad, train)
    assert all(callable(f) for f in functions)
    modules = (maps, pooling, boxes, costs, interchange, shapes, ladder, levels, route, stopwatch)
    modules += (bootstrap, features, recipes, tricks, crf, edges, grabcut, priors, proposals)
    assert all(m.__name__.startswith("lecturekit.") for m in modules)


JOINT = re.compile(r"^ *\*{0,2}`*\w+`*(, \*{0,2}`*\w+`*)+: ", re.MULTILINE)


@pytest.mark.parametrize("path", MODULES, ids=[".".join(p[1:]) for p in MODULES.values()])
def test_docstrings_have_one_entry_an_argument(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    definitions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert [n.name for n in definitions if JOINT.search(ast.get_docstring(n) or "")] == []


def test_the_long_files_that_are_begun_first_are_there(request):
    """Root conftest's list: a file that gets another name must not fall to the end unseen."""
    (conftest,) = (p for p in request.config.pluginmanager.get_plugins() if hasattr(p, "LONGEST"))
    there = {path.stem for folder in ("tests", "notebooks") for path in (ROOT / folder).rglob("*")}
    assert set(conftest.LONGEST) <= there


def test_each_test_process_computes_with_its_share_of_the_cores():
    """With all cores in each of several processes, threads mostly wait for another: ten times the time."""
    import torch

    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    if workers is None:
        pytest.skip("one process, which has all cores")
    assert torch.get_num_threads() <= int(os.environ["OMP_NUM_THREADS"])
