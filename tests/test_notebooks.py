"""The notebooks as they are committed. What they do when they run is nbval's business."""

import importlib
import re
from itertools import pairwise

import nbformat
import pytest

from lecturekit import exercises
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
