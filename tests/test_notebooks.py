"""The notebooks as they are committed. What they do when they run is nbval's business."""

import base64
import importlib
import io
import re
from itertools import pairwise

import nbformat
import numpy as np
import pytest
from PIL import Image

from lecturekit import exercises
from lecturekit.exercises._open_task import task_markdown, task_source
from lecturekit.exercises.quiz import quizzes_in, still_html
from lecturekit.kit.storage import ROOT
from lecturekit.upkeep.refresh import clean
from lecturekit.upkeep.rules import OUTPUT_RULES, TEXT_RULES

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

pytestmark = pytest.mark.skipif(
    not (ROOT / "notebooks").is_dir(), reason="an installed copy has no notebooks"
)


def read(path):
    return nbformat.read(path, as_version=4)


def module_of(path):
    """The exercises of a notebook: its name without the number."""
    return importlib.import_module(f"lecturekit.exercises.{path.stem.partition('_')[2]}")


def test_the_course_is_here():
    assert {"00_start_here", "05_class_activation_maps"} <= {path.stem for path in NOTEBOOKS}
    assert all(re.fullmatch(r"\d\d[a-z]?_[a-z_]+", path.stem) for path in NOTEBOOKS)


@EVERY
@pytest.mark.parametrize("rule", OUTPUT_RULES + TEXT_RULES, ids=lambda rule: rule.__name__)
def test_rules(path, rule):
    assert rule(read(path)) == []


@EVERY
def test_valid_and_as_refresh_writes_it(path):
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert text == nbformat.writes(notebook) + "\n", "run: python -m lecturekit refresh"

    def described(nb):
        return nb.metadata, [c.metadata for c in nb.cells], [len(c.get("outputs", [])) for c in nb.cells]

    before = described(nbformat.reads(text, as_version=4))
    clean(notebook)
    assert described(notebook) == before, "run: python -m lecturekit refresh"


@EVERY
def test_there_are_exercises_each_with_its_cell(path):
    """That cards and stubs are those of the module, letter by letter, is tested with the exercises."""
    cells, found = read(path).cells, exercises.exercises_in(module_of(path))
    below = {a.source: b.source for a, b in pairwise(cells) if a.source.startswith("### Exercise: ")}
    assert len(below) == len(found) >= (1 if path.stem.startswith("00") else 3)
    for exercise in found:
        code = below[exercises.card_markdown(exercise)]
        assert code.startswith(exercises.cell_source(exercise)), exercise.name


@EVERY
def test_open_tasks_and_recall_have_their_cells(path):
    sources = [cell.source for cell in read(path).cells]
    module = module_of(path)
    for task in exercises.open_tasks_in(module):
        assert sources[sources.index(task_markdown(task)) + 1] == task_source(task)
    assert ("exercises.chapter.recall().show()" in sources) == (module.chapter.number != "00")


@EVERY
def test_quizzes_are_readable_without_a_kernel(path):
    found = quizzes_in(module_of(path))
    assert found
    shown = [
        output.data.get("text/html", "")
        for cell in read(path).cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    for quiz in found:
        assert still_html(quiz) in shown, f"quiz {quiz.name} is not shown"


@EVERY
def test_files_that_the_text_links_to_exist(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\((?!https:|#|attachment:)([^)#\s]+)", text)
    assert [t for t in targets if not (path.parent / t).exists()] == []


@EVERY
def test_the_next_notebook_is_linked(path):
    """The last one has none."""
    following = [other.name for other in NOTEBOOKS[NOTEBOOKS.index(path) + 1 :]][:1]
    text = "\n".join(cell.source for cell in read(path).cells[-1:])
    assert re.findall(r"\*\*Next:\*\* \[[^\]]+\]\(([^)]+)\)", text) == following


@EVERY
def test_the_opening_counts_the_minutes_of_the_open_tasks(path):
    minutes = sum(task.minutes for task in exercises.open_tasks_in(module_of(path)))
    line = re.search(r"^\*\*Time:\*\* (.*)$", read(path).cells[0].source, re.MULTILINE)[1]
    said = re.findall(r"(\d+) minutes for the (?:\w+ )?open tasks?", line)
    assert said == ([str(minutes)] if minutes else [])


@EVERY
def test_my_course_counts_todays_exercises(path):
    """An output of an earlier edition would tell readers of the pages other numbers."""
    held = [
        (exercises.exercises_in(m), quizzes_in(m), exercises.open_tasks_in(m)) for m in exercises.modules()
    ]
    questions = sum(len(quiz.questions) for _, quizzes, _ in held for quiz in quizzes)
    counts = [sum(len(e) for e, _, _ in held), questions, sum(len(tasks) for _, _, tasks in held)]
    shown = re.findall(r"exercises 0 of (\d+), questions 0 of (\d+), open tasks 0 of (\d+)", shown_text(path))
    assert set(shown) == {tuple(map(str, counts))}


def shown_text(path):
    """The text of the HTML outputs, without tags."""
    html = (
        output.data["text/html"]
        for cell in read(path).cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    )
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", "\n".join(html)))


def test_pictures_that_are_looked_at_are_wide_enough():
    """Five and more in a row are an overview; fewer are to be looked at, at 1.8 inch or more."""
    narrow = [
        (path.stem, cell.id)
        for path in NOTEBOOKS
        for cell in read(path).cells
        if cell.cell_type == "code" and "plots.pictures(" in cell.source
        for width in re.findall(r"width=(\d\.\d+)", cell.source)
        if float(width) < 1.8
        and not re.search(r"columns=[5-9]", cell.source)
        and "linewidth" not in cell.source
    ]
    assert narrow == []


def test_notebook_05_shows_absent_evidence_dark():
    """On one scale the espresso is bright and the missile, with 9 % of its evidence, is dark."""
    cells = read(ROOT / "notebooks" / "05_class_activation_maps.ipynb").cells
    (cell,) = (cell for cell in cells if "# one scale for all four" in cell.source)
    picture = re.search(r"base64,([^\"]+)", cell.outputs[0].data["text/html"])[1]
    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L"))
    height, width = grey.shape
    lower = grey[round(0.62 * height) : round(0.95 * height)]  # without titles
    espresso, _cup, cat, missile = (
        lower[:, round((k + 0.2) * width / 4) : round((k + 0.8) * width / 4)] for k in range(4)
    )
    assert espresso.max() > 220
    assert cat.max() < 60
    assert missile.max() < 45
