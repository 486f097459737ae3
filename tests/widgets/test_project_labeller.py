"""The annotator over a project: queue, filters, words, and files that the project reads."""

import numpy as np
import pytest
from PIL import Image

from lecturekit.labs import project as projects
from lecturekit.widgets import project_labeller
from lecturekit.widgets.project_labeller import ProjectLabeller

BOX = {"id": "l1", "kind": "box", "class_index": 1, "points": [[2, 2], [20, 16]], "milliseconds": 4000}


@pytest.fixture
def project(tmp_path):
    """Nine pictures, three of them set aside."""
    for k in range(9):
        Image.fromarray(np.full((24, 32, 3), 20 * k, np.uint8)).save(tmp_path / f"{k}.png")
    return projects.new(tmp_path, ["cat", "dog"], test=3)


def draw(labeller, *labels):
    labeller._shown.labels = list(labels)


def test_it_opens_at_the_first_picture_without_labels_and_turns_pages(project):
    first, second, third = project.train[:3]
    project.save_labels(first, [BOX])
    labeller = ProjectLabeller(project)
    assert labeller.picture == second
    labeller.do("next")
    assert labeller.picture == third
    labeller.do("back")
    labeller.do("back")
    assert labeller.picture == first
    labeller.do("back")  # there is none before the first
    assert labeller.picture == first
    labeller.do("open")
    assert labeller.picture == second


def test_what_is_drawn_is_the_project_s_with_its_seconds(project):
    labeller = ProjectLabeller(project)
    drawn = labeller.picture
    draw(labeller, BOX)
    assert project.labels(drawn) == [BOX]
    assert labeller.seconds == 4
    assert "1 of 6 pictures to learn from have labels" in labeller._bar.status
    assert ProjectLabeller(project).picture != drawn  # another widget, after a restart


def test_filters(project, monkeypatch):
    labeller = ProjectLabeller(project)
    draw(labeller, BOX)
    labeller.do("show labelled")
    assert [p.file for p in labeller.queue] == [labeller.picture.file]
    labeller.do("show unlabelled")
    assert len(labeller.queue) == 5
    draw(labeller, BOX)
    assert len(labeller.queue) == 5  # nothing vanishes from under the hand
    labeller.do("next")
    labeller.do("show test")
    assert len(labeller.queue) == 3
    assert "polygon" in labeller._shown._tools
    assert "box" not in labeller._shown._tools
    labeller.do("show doubtful")
    assert labeller.picture is None
    assert "no student" in labeller._bar.trouble
    labeller.do("show train")
    assert labeller._bar.trouble == ""
    names = [p.file for p in project.train]
    found = [projects.Suggestion(project.picture(name), "box", "", None, 0) for name in names[::-2]]
    monkeypatch.setattr(project_labeller, "suggest", lambda *_, by: found if by == "coverage" else [])
    labeller.do("show suggested")
    assert [p.file for p in labeller.queue] == names[::-2]
    labeller.do("show doubtful")
    assert labeller.queue == []
    with pytest.raises(ValueError, match="filter"):
        labeller.do("show all")


def test_doubtful_pictures_come_in_their_order_and_answers_are_laid_over(project):
    names = [p.file for p in project.train]
    asked = []

    def answers(name):
        asked.append(name)
        return np.ones((24, 32), np.uint8)

    labeller = ProjectLabeller(project, doubtful=lambda: names[::-2], answers=answers)
    labeller.do("show doubtful")
    assert [p.file for p in labeller.queue] == names[::-2]
    plain = labeller._shown._picture
    assert asked == []
    labeller.do("answers")
    assert asked == [names[-1]]
    assert labeller._shown._picture[5, 5].tolist() != plain[5, 5].tolist()
    labeller.do("plain")
    assert labeller._shown._picture[5, 5].tolist() == plain[5, 5].tolist()


def test_without_a_student_there_is_no_answer(project):
    labeller = ProjectLabeller(project)
    labeller.do("answers")
    assert "no student" in labeller._bar.trouble
    assert labeller._bar._over is False
    assert labeller._shown is not None


def test_the_tool_in_hand_stays_there(project):
    labeller = ProjectLabeller(project)
    labeller._shown.tool = "polygon"
    labeller._shown.class_index = 2
    labeller.do("next")
    assert (labeller._shown.tool, labeller._shown.class_index) == ("polygon", 2)


def test_a_picture_that_is_gone_is_said_and_the_queue_goes_on(project):
    labeller = ProjectLabeller(project)
    project.file(labeller.queue[1]).unlink()
    labeller.do("next")
    assert labeller._shown is None
    assert labeller._bar.trouble
    labeller.do("next")
    assert labeller._shown is not None
    assert labeller._bar.trouble == ""


def test_refused(project):
    with pytest.raises(ValueError, match="kinds"):
        ProjectLabeller(project, kinds=["boxes"])


def test_a_page_without_a_kernel_shows_the_picture(project):
    data, _ = ProjectLabeller(project)._repr_mimebundle_()
    assert "alt=" in data["text/html"]
    assert "Run this cell" in data["text/html"]


def test_every_question_of_the_browser_is_answered(project):
    def broken(name):
        raise RuntimeError("no memory")

    labeller = ProjectLabeller(project, answers=broken)
    bar, first = labeller._bar, labeller._shown
    assert bar._shows == first._name != ""
    bar._asked = [1, "next"]
    assert bar._answered == 1
    assert bar._shows == labeller._shown._name
    assert bar._shows != first._name
    shown = labeller._shown
    bar._asked = [2, "open"]
    bar._asked = [3, "back"]
    bar._asked = [4, "back"]  # there is none before the first
    assert (bar._answered, bar._failed) == (4, "")
    assert labeller._shown is not shown
    with pytest.raises(RuntimeError):
        bar._asked = [5, "answers"]
    assert bar._answered == 5
    assert "no memory" in bar._failed
    bar._asked = [6, "plain"]
    assert (bar._answered, bar._failed) == (6, "")
