"""The teacher's kit: complete, true to the modules, and its plans come out even."""

import re
import tomllib
from pathlib import Path

import pytest
from support import ROOT

from lecturekit.exercises import exercises_in, modules
from lecturekit.publish import mistakes, teach
from lecturekit.publish.course import course, lecture_link


@pytest.fixture(scope="module")
def chapters():
    return {chapter.number: chapter for chapter in course()}


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit")
    teach.write(folder)
    return folder


WORDS = teach.prose()


def test_every_notebook_with_a_module_is_a_chapter(chapters):
    wanted = {m.chapter.notebook for m in modules() if (ROOT / "notebooks" / m.chapter.notebook).is_file()}
    assert {chapter.notebook for chapter in chapters.values()} == wanted


def test_a_chapter_is_read_whole(chapters):
    for chapter in chapters.values():
        assert 3 <= len(chapter.objectives) <= 6, chapter.name
        assert chapter.reading_minutes > 0, chapter.name
        placed = [part for section in chapter.sections for part in section.parts]
        for thing in [*chapter.exercises, *chapter.tasks, *chapter.quizzes]:
            assert sum(part is thing for part in placed) == 1, thing.name


def test_every_chapter_has_its_prose(chapters):
    for number in chapters:
        about = WORDS["chapter"][number]
        assert about["purpose"].strip()
        assert len(about["prompts"]) >= 3
        assert about["skip"]


@pytest.mark.parametrize("session", WORDS["session"], ids=lambda session: session["title"])
def test_a_session_fills_its_time_and_names_what_exists(session, chapters):
    total = 0
    for step in session["steps"]:
        chapter = chapters[step["chapter"]]
        known = {exercise.name for exercise in chapter.exercises}
        assert set(step.get("exercises", [])) <= known
        if step["do"] == "vote":
            quiz = next(quiz for quiz in chapter.quizzes if quiz.name == step["quiz"])
            assert max(step["questions"]) <= len(quiz.questions)
        total += teach.minutes(step, chapter, WORDS)
    assert total == WORDS["session_minutes"]


def test_there_is_one_session_and_a_block_of_six():
    single = [session for session in WORDS["session"] if session.get("single")]
    assert (len(single), len(WORDS["session"]) - len(single)) == (1, 6)


def test_every_mistake_is_in_its_table_with_code_and_a_question(chapters, kit):
    for chapter in chapters.values():
        page = (kit / f"{chapter.name}.md").read_text("utf-8")
        rows = [line for line in page.splitlines() if line.startswith("| `")]
        assert len(rows) >= sum(len(e.mistakes) for e in chapter.exercises)
        for exercise in chapter.exercises:
            for mistake in exercise.mistakes:
                cell = " ".join(mistake.diagnosis.split()).replace("|", "\\|")
                assert any(f"| {cell} |" in row for row in rows), mistake.name
        for row in rows:
            assert len(re.findall(r"(?<!\\)\|", row)) in (4, 5), row


def test_numbers_come_from_the_modules(chapters, kit):
    index = (kit / "index.md").read_text("utf-8")
    found = [e for m in modules() if m.chapter.number in chapters for e in exercises_in(m)]
    assert f"{len(found)} exercises, {sum(len(e.mistakes) for e in found)} catalogued mistakes" in index
    words = (ROOT / "lecturekit/exercises/grad_cam.toml").read_text("utf-8")
    minutes = tomllib.loads(words)["grad_cam_map"]["minutes"]
    assert f"| `grad_cam_map` | ●● | {minutes} |" in (kit / "06_grad_cam.md").read_text("utf-8")


def test_links_between_the_pages_lead_somewhere(kit):
    for page in kit.glob("*.md"):
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
            if not link.startswith(("http", "../../")):
                assert (kit / link).exists(), f"{page.name}: {link}"


def test_pages_are_the_same_every_time(kit, tmp_path):
    teach.write(tmp_path)
    for path in kit.rglob("*.*"):
        assert (tmp_path / path.relative_to(kit)).read_bytes() == path.read_bytes(), path.name


def test_the_lecture_is_linked_at_its_words():
    assert lecture_link('"one, two"').endswith("#:~:text=one%2C%20two")
    assert lecture_link('x, from "a-b" to "it\'s"').endswith("#:~:text=a%2Db,it%E2%80%99s")
    assert "#" not in lecture_link()


def test_kinds_of_mistakes(chapters):
    by_name = {
        (exercise.name, mistake.name): wrong
        for chapter in (chapters["05"], chapters["06"])
        for exercise in chapter.exercises
        for mistake, wrong in zip(
            exercise.mistakes, mistakes.wrong_answers(exercise, chapter.module), strict=True
        )
    }
    assert by_name["logit_from_map", "no_bias"].written == "cam_map.mean()"
    assert by_name["weighted_sum", "channels_left"].kind == "shape"
    assert by_name["grad_cam_map", "mean_over_channels"].kind == "slip"
    assert "copy = images.clone()" in by_name["covered", "pixels"].written
    assert by_name["before_and_after", "no_copy"].kind in ("values", "sometimes")
    assert all(wrong.shows for wrong in by_name.values())


def test_the_toml_is_read_from_beside_the_module():
    assert Path(teach.__file__).with_name("teach.toml").is_file()
