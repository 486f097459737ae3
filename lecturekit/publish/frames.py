"""The widgets' code and data beside the pages, and the HTML in which a page's widget comes to life."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from nbformat import NotebookNode

from ..exercises.quiz import Quiz, QuizWidget
from ..kit.images import encoded
from ..kit.javascript import joined
from ..kit.storage import ROOT
from ..labels.shapes import encode_rle
from ..labs import stopwatch
from ..labs.stopwatch import Task
from ..widgets._still import JS
from ..widgets.annotator import HANDS, TOOLS, colour_of
from .live import DATA

#: The folder of the page's own JavaScript.
LIVE = ROOT / "site" / "live"
_WIDGETS = ("cam_explorer", "annotator", "box_lab", "stopwatch_lab", "replay")
#: A cell that shows a quiz and does nothing else.
_QUIZ = re.compile(r"^exercises((?:\.\w+)+(?:\(\))?)\.show\(\)$")
_EXERCISES = re.compile(r"^from lecturekit\.exercises import (\w+) as exercises$", re.MULTILINE)


class Frames:
    """Gives each cell with a widget its frame, and writes the widget's data.

    Args:
        static: the folder of the site's static files; code and data are written below it.
        notebook: path of the notebook.
        cells: its cells.
    """

    def __init__(self, static: Path, notebook: Path, cells: list[NotebookNode]):
        self._data, self._name = static / "data" / notebook.stem, notebook.stem
        found = _EXERCISES.search("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
        self._exercises = found and importlib.import_module(f"lecturekit.exercises.{found[1]}")

    def __call__(self, cell: NotebookNode) -> str | None:
        """The HTML round the still form of a cell's widget, or None where it has none."""
        folder = self._data / cell.id
        quiz = _QUIZ.match(cell.source.strip())
        if (DATA / self._name / cell.id).is_dir():
            shutil.copytree(DATA / self._name / cell.id, folder)
        elif quiz and self._exercises:
            _write(quiz_about(_quiz(self._exercises, quiz[1])), folder)
        elif cell.source.rstrip().endswith("\nlab") and "StopwatchLab()" in cell.source:
            _write(stopwatch_about(folder), folder)
        else:
            return None
        address = f"../_static/data/{self._name}/{cell.id}/about.json"
        return f'<div class="lk-live" data-live="{address}"><div class="lk-still">STILL</div></div>'


def _quiz(exercises: Any, path: str) -> Quiz:
    """``.after_cam`` or ``.chapter.recall()`` of a module of exercises."""
    thing = exercises
    for name in path.strip(".").split("."):
        thing = getattr(thing, name.removesuffix("()"))
        thing = thing() if name.endswith("()") else thing
    return thing


def _write(about: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    (folder / "about.json").write_text(text, encoding="utf-8")


def write_code(static: Path) -> None:
    """The widgets' modules and style sheets, each joined to one file, and what brings them to life.

    Args:
        static: the folder of the site's static files.
    """
    widgets = static / "widgets"
    widgets.mkdir(parents=True)
    for name in _WIDGETS:
        for kind in ("js", "css"):
            (widgets / f"{name}.{kind}").write_text(joined(JS / f"{name}.{kind}"), encoding="utf-8")
    (widgets / "quiz.js").write_text(str(QuizWidget._esm), encoding="utf-8")
    (widgets / "quiz.css").write_text(str(QuizWidget._css), encoding="utf-8")
    (static / "live.js").write_text(joined(LIVE / "page.js"), encoding="utf-8")


def quiz_about(quiz: Quiz) -> dict[str, Any]:
    """Questions as the widget has them, and for marking on the page each option's truth and feedback.

    Args:
        quiz: of a module of exercises.
    """
    widget = QuizWidget(quiz)
    state = {name: getattr(widget, name) for name in ("questions", "chosen", "marks")}
    answers = [[[option.correct, option.feedback] for option in q.options] for q in quiz.questions]
    widget.close()
    return {"widget": "quiz", "state": state, "answers": answers}


def stopwatch_about(folder: Path) -> dict[str, Any]:
    """The lab's pictures, what is asked of each, and the truth to measure labels with.

    Args:
        folder: the pictures are written to it; made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [_task(task, folder) for task in stopwatch.tasks()]
    size = stopwatch.tasks()[0].size
    annotator = {
        "_classes": [[name, colour_of(k)] for k, name in enumerate(stopwatch.CLASSES, 1)],
        "_records": [], "_saved": {}, "_note": "", "_timed": True,
        "width": float(max(2, round(min(size) / 30))),
    }  # fmt: skip
    tools = {kind: [HANDS[0], *TOOLS[kind], *HANDS[1:]] for kind in stopwatch.KINDS}
    told = {"kinds": stopwatch.KINDS, "steps": stopwatch.steps(), "first_round": stopwatch.FIRST_ROUND}
    return {"widget": "stopwatch_lab", "tasks": tasks, "annotator": annotator, "tools": tools} | told


def _task(task: Task, folder: Path) -> dict[str, Any]:
    (folder / f"{task.number}.webp").write_bytes(encoded(task.image, "WEBP", quality=85, method=6))
    mask = task.mask.astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return {
        "number": task.number,
        "file": f"{task.number}.webp",
        "size": list(task.size),
        "class_index": task.class_index,
        "colour": colour_of(task.class_index),
        "box": list(task.box),
        "present": sorted(task.present),
        "counts": encode_rle(task.mask),
        "truth": [(contour[:, 0] + 0.5).tolist() for contour in contours],
        "prompts": {kind: task.prompt(kind) for kind in stopwatch.KINDS},
    }
