"""The teacher's kit: plans, a page a chapter, quizzes for learning platforms, a rubric.

Everything comes from the exercise modules and the notebooks; what a teacher wrote by hand (purposes, prompts,
what to skip, the plans) stands in one file, ``teach.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from ..exercises.quiz import Question
from ..kit import markdown
from ..kit.storage import write_atomic
from . import quiz_files
from .course import Material, course, lecture_link
from .mistakes import Wrong, wrong_answers

_KINDS = {
    "talk": "Talk",
    "show": "Show",
    "draw": "Draw",
    "exercise": "Exercise",
    "vote": "Vote, discuss, vote again",
    "discuss": "Discuss",
}


def prose() -> dict[str, Any]:
    """What was written by hand."""
    return tomllib.loads(Path(__file__).with_name("teach.toml").read_text("utf-8"))


def write(folder: str | Path, originals: str = "../../notebooks") -> list[Path]:
    """Write the whole kit.

    Args:
        folder: made where it is missing; files of an earlier kit are replaced.
        originals: where the notebooks lie, as the pages link to them.

    Returns:
        The files, pages first.

    Raises:
        FileNotFoundError: an installation without notebooks.
        OSError: the disk refuses.

    Example:
        >>> import tempfile
        >>> files = write(tempfile.mkdtemp())
        >>> files[0].name
        'index.md'
    """
    chapters, words = course(), prose()
    pages = {
        "index.md": _index(chapters, words),
        "one-session.md": _session_page(chapters, words, single=True),
        "six-sessions.md": _session_page(chapters, words, single=False),
        "rubric.md": _rubric(chapters, words),
        **{f"{chapter.name}.md": chapter_page(chapter, words, originals) for chapter in chapters},
    }
    files: dict[str, str | bytes] = {**pages, **_quizzes(chapters)}
    return [write_atomic(Path(folder) / name, content) for name, content in files.items()]


def minutes(step: Mapping[str, Any], chapter: Material, words: Mapping[str, Any]) -> int:
    """How long a step of a session takes.

    Args:
        step: of the plan.
        chapter: that it belongs to.
        words: of :func:`prose`.
    """
    if step["do"] == "exercise":
        return sum(exercise.minutes for exercise in chapter.exercises if exercise.name in step["exercises"])
    if step["do"] == "vote":
        return len(step["questions"]) * words["vote_minutes"]
    return step["minutes"]


def chapter_page(chapter: Material, words: Mapping[str, Any], originals: str) -> str:
    """The page of one chapter, Markdown.

    Args:
        chapter: of the course.
        words: of :func:`prose`.
        originals: where the notebooks lie.
    """
    about = words["chapter"].get(chapter.number, {})
    parts = [
        f"# {chapter.number} · {chapter.title}: for the teacher",
        f"[Notebook]({originals}/{chapter.notebook}) · "
        f"[the lecture at this passage]({lecture_link(chapter.passage)}) · [all pages](index.md)",
        *_purpose(chapter, about),
        "## Timing",
        _timing(chapter),
        "## What usually goes wrong",
        _goes_wrong(chapter),
        *_listed("## To discuss", about.get("prompts", [])),
        "## Questions for the whole room",
        *_votes(chapter, words),
        "## The catalogued mistakes",
        _mistakes_intro(),
        *_mistakes(chapter, words),
        *_listed("## What to skip", about.get("skip", [])),
    ]
    if chapter.tasks:
        parts += ["## Open tasks", *_tasks(chapter)]
    return "\n\n".join(parts) + "\n"


def _purpose(chapter: Material, about: Mapping[str, Any]) -> list[str]:
    lines = "\n".join(f"- {objective}" for objective in chapter.objectives)
    return [
        "## Purpose",
        _folded(about.get("purpose", chapter.lead)),
        f"Afterwards they can\n\n{lines}",
        f"**The lecture's passage:** {chapter.passage}",
    ]


def _timing(chapter: Material) -> str:
    questions = sum(len(quiz.questions) for quiz in chapter.quizzes)
    rows = [[e.title, f"`{e.name}`", "●" * e.difficulty, e.minutes] for e in chapter.exercises]
    rows += [[f"{t.title} (open task)", f"`{t.name}`", "", t.minutes] for t in chapter.tasks]
    table = markdown.table(["exercise", "name", "difficulty", "minutes"], rows)
    sections = " · ".join(_titles(chapter))
    return (
        f"{chapter.time}. Runs on {chapter.runs_on}. {questions} quiz questions. "
        f"The exercises together: {chapter.exercise_minutes} minutes.\n\n{table}"
        f"\n\nThe way through the notebook: {sections}."
    )


def _titles(chapter: Material) -> list[str]:
    return [section.title for section in chapter.sections]


def _goes_wrong(chapter: Material) -> str:
    """The first diagnosis of each exercise, which the check tries first, and the method's own limits."""
    lines = [
        f"- **{exercise.title}**, {len(exercise.mistakes)} known ways; first of all: "
        f"{exercise.mistakes[0].diagnosis}"
        for exercise in chapter.exercises
    ]
    if chapter.still_wrong:
        lines.append(f"- **The method itself:** {chapter.still_wrong}")
    return "\n".join(lines)


def _votes(chapter: Material, words: Mapping[str, Any]) -> list[str]:
    links = ", ".join(f"[{title}](quizzes/{chapter.name}{suffix})" for title, suffix in _FORMATS.items())
    intro = (
        f"Everybody votes alone, then pairs who differ talk, then all vote again: about "
        f"{words['vote_minutes']} minutes a question. For a learning platform: {links}."
    )
    questions = quiz_files.numbered(chapter.quizzes)
    return [intro, *(_vote(i, question) for i, question in enumerate(questions.values(), start=1))]


def _vote(number: int, question: Question) -> str:
    several = " (several may be right)" if question.multiple else ""
    lines = [
        f"   - {letter}{' **(right)**' if option.correct else ''}: {option.text.rstrip('.')}. "
        f"*Then say:* {option.feedback}"
        for letter, option in zip("ABCDEFGH", question.options, strict=False)
    ]
    return f"{number}. {question.text}{several}\n\n" + "\n".join(lines)


def _mistakes_intro() -> str:
    return (
        "Every row is code that was written and a check that knows it. *Reads* is what the student sees at "
        "once; *ask back* is for you, standing beside them: it gives nothing away."
    )


def _mistakes(chapter: Material, words: Mapping[str, Any]) -> list[str]:
    head = ["what was written", "what the student reads", "what to ask back"]
    return [
        f"### {exercise.title}\n\nTo begin with: {exercise.hints[0].strip()}\n\n"
        + markdown.table(head, _rows(wrong_answers(exercise, chapter.module), words["asking_back"]))
        for exercise in chapter.exercises
    ]


def _rows(answers: Sequence[Wrong], asking: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """A row for each wrong answer; answers of one kind are asked back in different words."""
    turns = {kind: cycle(questions) for kind, questions in asking.items()}
    return [_mistake(wrong, next(turns[wrong.kind])) for wrong in answers]


def _mistake(wrong: Wrong, question: str) -> tuple[str, ...]:
    where = f"Case {wrong.case}: " if wrong.case else ""
    return _code(wrong.written), wrong.diagnosis, f"{question} ({where}{wrong.shows}.)"


def _code(text: str) -> str:
    """Each line as code; spaces at its beginning are kept by a character that no table drops."""
    lines = [line.replace("    ", "··") for line in text.splitlines()]
    return "<br>".join(f"`{line}`" for line in lines)


def _tasks(chapter: Material) -> list[str]:
    return [
        f"### {task.title}\n\n{task.minutes} minutes. {task.task}\n\nA good answer, for whoever reads it:\n\n"
        + "\n".join(f"- {line}" for line in task.rubric)
        + "\n\nThe check looks at this:\n\n"
        + "\n".join(f"- {statement}" for statement in task.properties)
        for task in chapter.tasks
    ]


def _listed(heading: str, lines: Sequence[str]) -> list[str]:
    return [heading, "\n".join(f"- {line}" for line in lines)] if lines else []


def _index(chapters: Sequence[Material], words: Mapping[str, Any]) -> str:
    mistakes = sum(len(e.mistakes) for c in chapters for e in c.exercises)
    exercises = sum(len(c.exercises) for c in chapters)
    questions = sum(len(quiz.questions) for c in chapters for quiz in c.quizzes)
    head = ("chapter", "purpose", "minutes to read", "minutes of exercises", "exercises", "questions")
    rows = [
        [
            f"[{c.number} · {c.title}]({c.name}.md)",
            _one_line(words, c),
            c.reading_minutes,
            c.exercise_minutes,
            len(c.exercises),
            sum(len(q.questions) for q in c.quizzes),
        ]
        for c in chapters
    ]
    return (
        "# For teachers\n\n"
        f"{len(chapters)} chapters with {exercises} exercises, {mistakes} catalogued mistakes and "
        f"{questions} quiz questions. These pages are made from the course by "
        "`python -m lecturekit teach`; change the notebooks and the exercise modules, not the pages.\n\n"
        "- [One session](one-session.md), from a class name to pixels\n"
        "- [A block of six](six-sessions.md)\n"
        "- [Rubric](rubric.md) of the open tasks and of the project\n"
        "- Slides: `python -m lecturekit slides OUT`, one deck a chapter, with speaker notes\n"
        "- What a class hands in: `python -m lecturekit class FOLDER`\n\n"
        f"{markdown.table(head, rows)}\n\n"
        f"The lecture: [notes at the university]({lecture_link()}).\n"
    )


def _one_line(words: Mapping[str, Any], chapter: Material) -> str:
    return _folded(words["chapter"].get(chapter.number, {}).get("purpose", chapter.lead))


def _session_page(chapters: Sequence[Material], words: Mapping[str, Any], single: bool) -> str:
    found = [session for session in words["session"] if bool(session.get("single")) == single]
    by_number = {chapter.number: chapter for chapter in chapters}
    title = found[0]["title"] if single else "A block of six sessions"
    before = (
        "Before: everybody has run `python -m lecturekit doctor` on the machine they bring, or has a place "
        "on the hub; the notebooks are open; you have the slides and this page."
    )
    parts = [f"# {title}", before]
    for session in found:
        parts += [] if single else [f"## {session['title']}"]
        parts += [_plan(session, by_number, words)]
        parts += _at_home(session, by_number)
    return "\n\n".join([*parts, "[All pages](index.md)"]) + "\n"


def _plan(session: Mapping[str, Any], by_number: Mapping[str, Material], words: Mapping[str, Any]) -> str:
    rows, clock = [], 0
    for step in session["steps"]:
        chapter = by_number[step["chapter"]]
        length = minutes(step, chapter, words)
        when, where = f"{clock}–{clock + length}", f"[{chapter.number}]({chapter.name}.md)"
        rows.append([when, length, _KINDS[step["do"]], _what(step, chapter), where])
        clock += length
    return markdown.table(["from–to", "minutes", "how", "what", "chapter"], rows)


def _what(step: Mapping[str, Any], chapter: Material) -> str:
    if step["do"] == "exercise":
        titles = [f"{e.title} ({e.minutes})" for e in chapter.exercises if e.name in step["exercises"]]
        return "; ".join(titles)
    if step["do"] == "vote":
        quiz = next(quiz for quiz in chapter.quizzes if quiz.name == step["quiz"])
        return "<br>".join(f"{i}. {quiz.questions[i - 1].text}" for i in step["questions"])
    return step["text"]


def _at_home(session: Mapping[str, Any], by_number: Mapping[str, Material]) -> list[str]:
    """The exercises of the session's chapters that were not done in it."""
    if session.get("single"):
        return [
            "Afterwards: whoever wants more goes on with notebook 00 at home, in the order of the course."
        ]
    done = {name for step in session["steps"] for name in step.get("exercises", [])}
    lines = []
    for number in dict.fromkeys(step["chapter"] for step in session["steps"]):
        rest = [e for e in by_number[number].exercises if e.name not in done]
        if rest:
            titles = "; ".join(e.title for e in rest)
            lines.append(f"- chapter {number}, {sum(e.minutes for e in rest)} minutes: {titles}")
        tasks = by_number[number].tasks
        lines += [f"- chapter {number}, open task, {t.minutes} minutes: {t.title}" for t in tasks]
    return ["At home:\n\n" + "\n".join(lines)] if lines else []


def _rubric(chapters: Sequence[Material], words: Mapping[str, Any]) -> str:
    project = [[row[key] for key in ("criterion", "full", "half")] for row in words["project"]]
    points = 2 * len(project)
    tasks = [
        f"## Open task of chapter {c.number}: {t.title}\n\n"
        f"One point for each line a reader agrees with, {len(t.rubric)} in all; the check must hold.\n\n"
        + "\n".join(f"- {line}" for line in t.rubric)
        for c in chapters
        for t in c.tasks
    ]
    return "\n\n".join(
        [
            "# Rubric",
            f"## The project\n\nTwo points for the left column, one for the right, none else: {points} in "
            "all. Hand it out before the work begins.",
            markdown.table(["", "two points", "one point"], project),
            *tasks,
            "[All pages](index.md)",
        ]
    ) + "\n"  # fmt: skip


_FORMATS = {"Moodle GIFT": ".gift.txt", "Moodle XML": ".moodle.xml", "QTI 2.1": ".qti.zip"}


def _quizzes(chapters: Sequence[Material]) -> dict[str, str | bytes]:
    """Three files a chapter."""
    files: dict[str, str | bytes] = {}
    for chapter in chapters:
        questions = quiz_files.numbered(chapter.quizzes)
        title = f"From Class to Pixels/{chapter.number} {chapter.title}"
        made = (
            quiz_files.gift(questions, title),
            quiz_files.moodle_xml(questions, title),
            quiz_files.qti(questions, f"{chapter.number} {chapter.title}"),
        )
        for suffix, content in zip(_FORMATS.values(), made, strict=True):
            files[f"quizzes/{chapter.name}{suffix}"] = content
    return files


def _folded(text: str) -> str:
    return " ".join(text.split())
