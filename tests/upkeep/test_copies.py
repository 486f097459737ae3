"""The reader's copies: made once, never overwritten, updated cell by cell."""

import copy
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from support import ROOT
from typer.testing import CliRunner

from lecturekit.upkeep import copies
from lecturekit.upkeep.cli import app
from lecturekit.upkeep.copies import START, Change, bring, merge, originals, update
from lecturekit.upkeep.server import opens


def book(*cells):
    """Cells ``("id", "source")``."""
    return new_notebook(cells=[new_code_cell(source, id=name) for name, source in cells])


def sources(notebook):
    return [cell.source for cell in notebook.cells]


BASE = book(("a", "one"), ("b", "two"), ("c", "three"))


@pytest.mark.parametrize(
    ("mine", "new", "merged", "counts"),
    [
        (BASE, BASE, ["one", "two", "three"], (0, 0, 0, 0)),
        (BASE, book(("a", "ONE"), ("b", "two"), ("c", "three")), ["ONE", "two", "three"], (0, 1, 0, 0)),
        (book(("a", "my"), ("b", "two"), ("c", "three")), BASE, ["my", "two", "three"], (0, 0, 0, 0)),
        # both changed one cell: mine first, the course's below
        (
            book(("a", "my"), ("b", "two"), ("c", "three")),
            book(("a", "ONE"), ("b", "two"), ("c", "three")),
            ["my", "ONE", "two", "three"],
            (0, 0, 0, 1),
        ),
        # both made the same change
        (
            book(("a", "ONE"), ("b", "two"), ("c", "three")),
            book(("a", "ONE"), ("b", "two"), ("c", "three")),
            ["ONE", "two", "three"],
            (0, 0, 0, 0),
        ),
        # a cell of my own stays behind its neighbour, which moved
        (
            book(("a", "one"), ("x", "mine"), ("b", "two"), ("c", "three")),
            book(("b", "two"), ("a", "one"), ("n", "new"), ("c", "three")),
            ["two", "one", "mine", "new", "three"],
            (1, 0, 0, 0),
        ),
        # my own at the very beginning
        (
            book(("x", "mine"), ("a", "one"), ("b", "two"), ("c", "three")),
            BASE,
            ["mine", "one", "two", "three"],
            (0, 0, 0, 0),
        ),
        # I deleted b: it does not come back
        (book(("a", "one"), ("c", "three")), BASE, ["one", "three"], (0, 0, 0, 0)),
        # the course dropped b; I had not touched it
        (BASE, book(("a", "one"), ("c", "three")), ["one", "three"], (0, 0, 1, 0)),
        # the course dropped b; I had written in it
        (
            book(("a", "one"), ("b", "my answer"), ("c", "three")),
            book(("a", "one"), ("c", "three")),
            ["one", "my answer", "three"],
            (0, 0, 0, 0),
        ),
    ],
)
def test_three_ways(mine, new, merged, counts):
    change = Change("x.ipynb")
    found = merge(BASE, mine, new, change)
    assert sources(found) == merged
    assert (change.new, change.renewed, change.gone, len(change.yours)) == counts
    nbformat.validate(found)


def test_outputs_of_an_untouched_cell_stay_and_those_of_a_renewed_one_are_the_courses():
    mine, new = copy.deepcopy(BASE), copy.deepcopy(BASE)
    mine.cells[0].outputs = [nbformat.v4.new_output("stream", text="of my run")]
    new.cells[1].source, new.cells[1].outputs = "TWO", [nbformat.v4.new_output("stream", text="the course's")]
    found = merge(BASE, mine, new, Change("x"))
    assert found.cells[0].outputs[0].text == "of my run"
    assert found.cells[1].outputs[0].text == "the course's"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A checkout with two notebooks, and where a reader works."""
    root = tmp_path / "course"
    for folder in ("notebooks", "lecturekit", "docs"):
        (root / folder).mkdir(parents=True)
    (root / "docs" / "glossary.md").write_text("words")
    nbformat.write(BASE, root / "notebooks" / START)
    nbformat.write(book(("z", "last")), root / "notebooks" / "01_next.ipynb")
    monkeypatch.setattr(copies, "ROOT", root)
    return root


def read(path):
    return nbformat.read(path, as_version=4)


def write(path, notebook):
    nbformat.write(notebook, path)


def test_copies_are_made_once(course):
    work = course / "work"
    assert bring(work) == [START, "01_next.ipynb"]
    mine = read(work / START)
    mine.cells[0].source = "my answer"
    write(work / START, mine)
    (work / "01_next.ipynb").unlink()
    assert bring(work) == ["01_next.ipynb"]
    assert sources(read(work / START))[0] == "my answer"


def test_an_update_and_a_second_one(course):
    work = course / "work"
    bring(work)
    mine = read(work / START)
    mine.cells[0].source = "my answer"
    mine.cells.append(new_markdown_cell("a note"))
    write(work / START, mine)
    before = (work / START).read_bytes()
    edition = book(("a", "one"), ("b", "TWO"), ("c", "three"), ("d", "four"))
    write(course / "notebooks" / START, edition)
    write(course / "notebooks" / "02_more.ipynb", book(("q", "?")))
    changes = {change.name: change for change in update(work)}
    assert sources(read(work / START)) == ["my answer", "TWO", "three", "a note", "four"]
    assert set(changes) == {START, "02_more.ipynb"}
    assert str(changes[START]) == f"{START}: 1 new, 1 renewed"
    assert [p.read_bytes() for p in work.glob(f".before/*/{START}")] == [before]
    assert update(work) == []
    edition.cells[0].source = "ONE"
    write(course / "notebooks" / START, edition)
    (change,) = update(work)
    assert sources(read(work / START))[:2] == ["my answer", "ONE"]
    assert "you and the course" in str(change)


def test_a_cell_that_both_change_again_and_again(course):
    """The course's earlier version makes room for the next, an answer written into it does not."""
    work = course / "work"
    bring(work)

    def edition(source):
        write(course / "notebooks" / START, book(("a", source), ("b", "two"), ("c", "three")))
        update(work)
        nbformat.validate(read(work / START))
        ids = [cell.id for cell in read(work / START).cells]
        assert len(set(ids)) == len(ids)
        return sources(read(work / START))

    mine = read(work / START)
    mine.cells[0].source = "my answer"
    write(work / START, mine)
    assert edition("ONE") == ["my answer", "ONE", "two", "three"]
    assert edition("Uno") == ["my answer", "Uno", "two", "three"]
    mine = read(work / START)
    mine.cells[1].source = "my second answer"
    write(work / START, mine)
    assert edition("Eins") == ["my answer", "my second answer", "Eins", "two", "three"]
    assert edition("Un") == ["my answer", "my second answer", "Un", "two", "three"]


def test_an_update_that_was_broken_off_can_be_run_again(course):
    work = course / "work"
    bring(work)
    mine = read(work / START)
    mine.cells[0].source = "my answer"
    write(work / START, mine)
    old = (work / ".edition" / START).read_bytes()
    write(course / "notebooks" / START, book(("a", "ONE"), ("b", "two"), ("c", "three")))
    update(work)
    merged = sources(read(work / START))
    (work / ".edition" / START).write_bytes(old)  # as if the machine had stopped before the last line
    update(work)
    assert sources(read(work / START)) == merged


def test_a_copy_that_cannot_be_read_stays_as_it_was(course):
    work = course / "work"
    bring(work)
    (work / START).write_text("{half a notebook")
    write(course / "notebooks" / START, book(("a", "ONE")))
    (change,) = update(work)
    assert "left as it was" in str(change)
    assert (work / START).read_text() == "{half a notebook"


def test_without_copies_there_is_nothing_to_update(course):
    with pytest.raises(FileNotFoundError, match="no copies"):
        update(course / "work")
    assert CliRunner().invoke(app, ["update", str(course / "work")]).exit_code == 2


def test_a_start_elsewhere_brings_the_glossary_too(course, tmp_path):
    told = CliRunner().invoke(app, ["start", str(tmp_path / "mine äöü"), "--no-browser"])
    assert told.exit_code == 0
    assert (tmp_path / "mine äöü" / "work" / START).is_file()
    assert (tmp_path / "mine äöü" / "docs" / "glossary.md").read_text() == "words"


def test_an_installation_without_notebooks(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="no notebooks"):
        originals()


def test_what_jupyterlab_opens(course, tmp_path):
    assert opens(course) == f"work/{START}"
    assert (course / "work" / START).is_file()
    assert opens(course / "work") == opens(course / "notebooks") == START
    assert opens(tmp_path) is None
    assert not (tmp_path / "work").exists()


def test_a_checkout_that_cannot_be_written_opens_the_originals(course):
    (course / "work").write_text("a file in the way")
    assert opens(course) == f"notebooks/{START}"


@pytest.mark.skipif(not (ROOT / "notebooks").is_dir(), reason="an installed copy has no checkout")
def test_every_cell_of_the_course_has_an_id_of_its_own():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        ids = [cell.get("id") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        assert len(set(ids)) == len(ids)
        assert None not in ids
