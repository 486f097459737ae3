"""My course: what is done, my seconds, my ladder, what comes next; read from the data folder alone.

Nothing leaves the machine.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from lecturekit.exercises import _memory
from lecturekit.exercises._open_task import open_tasks_in
from lecturekit.exercises.quiz import quizzes_in
from lecturekit.labels.costs import COSTS, KINDS


@dataclass(frozen=True)
class ChapterProgress:
    """How far a reader has come in one chapter."""

    number: str
    title: str
    notebook: str  #: its file
    solved: int
    exercises: int
    right: int  #: questions answered rightly the last time
    questions: int
    tasks_done: int  #: open tasks of which all properties held
    tasks: int
    next: str  #: heading of the first exercise or open task that is not solved, "" where all are

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return (self.solved, self.right, self.tasks_done) == (self.exercises, self.questions, self.tasks)

    @property
    def begun(self) -> bool:
        """Whether anything was done."""
        return self.solved + self.right + self.tasks_done > 0


class Progress(tuple[ChapterProgress, ...]):
    """The chapters in order, as a table: HTML in a notebook, text elsewhere."""

    __slots__ = ()

    def __repr__(self) -> str:
        lines = [
            f"{c.number:3} {c.title:45} exercises {c.solved} of {c.exercises}, questions {c.right} of "
            f"{c.questions}, open tasks {c.tasks_done} of {c.tasks}{f', next: {c.next}' if c.next else ''}"
            for c in self
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        names = ("chapter", "exercises", "questions", "open tasks", "next")
        return _table(names, [_cells(chapter) for chapter in self])


def progress() -> Progress:
    """What is done, chapter by chapter."""
    from lecturekit.exercises import Outcome, exercises_in, modules  # they import this module's package

    solved = {n for n, word in _memory.remembered("exercises").items() if word == Outcome.CORRECT.value}
    right = {text for text, correct in _memory.remembered("questions").items() if correct is True}
    finished = {name for name, done in _memory.remembered("tasks").items() if done is True}
    rows = []
    for module in modules():
        found = exercises_in(module)
        tasks = open_tasks_in(module)
        questions = [q.text for quiz in quizzes_in(module) for q in quiz.questions]
        left = [f"Exercise: {e.title}" for e in found if e.name not in solved]
        left += [f"Open task: {task.title}" for task in tasks if task.name not in finished]
        rows.append(
            ChapterProgress(
                number=module.chapter.number,
                title=module.chapter.title,
                notebook=module.chapter.notebook,
                solved=sum(e.name in solved for e in found),
                exercises=len(found),
                right=sum(text in right for text in questions),
                questions=len(questions),
                tasks_done=sum(task.name in finished for task in tasks),
                tasks=len(tasks),
                next=left[0] if left else "",
            )
        )
    return Progress(rows)


def _cells(c: ChapterProgress) -> tuple[str, ...]:
    mark = "✓ " if c.done else ""
    link = f'<a href="{html.escape(c.notebook)}">{mark}{c.number} · {html.escape(c.title)}</a>'
    counts = (f"{c.solved} of {c.exercises}", f"{c.right} of {c.questions}", f"{c.tasks_done} of {c.tasks}")
    return link, *counts, _next_link(c)


def _next_link(c: ChapterProgress) -> str:
    """A link to the heading of the next unfinished thing, as JupyterLab names headings."""
    place = f"{c.notebook}#{c.next.replace(' ', '-')}"
    return f'<a href="{html.escape(place)}">{html.escape(c.next)}</a>' if c.next else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of cells that are HTML already."""
    look = 'style="text-align: left"'
    titles = "".join(f'<th scope="col" {look}>{title}</th>' for title in head)
    body = "".join(f"<tr>{''.join(f'<td {look}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True)
class MyCourse:
    """What a reader has done and measured, as a panel: HTML in a notebook, text elsewhere."""

    chapters: Progress
    here: str  #: number of the chapter that shows it, or ""
    seconds: dict[str, float]  #: median seconds a label on the own stopwatch, by key of `COSTS`
    ladder: tuple  #: the reader's own rows, as :class:`lecturekit.labs.ladder.Row`
    predictions: tuple[float, float, int]  #: mean points, mean of blind guesses, how many

    @property
    def next(self) -> ChapterProgress | None:
        """Where something is left: this chapter, the first that was begun, or the first of all."""
        left = [c for c in self.chapters if c.next]
        here = [c for c in left if c.number == self.here]
        return next(iter([*here, *(c for c in left if c.begun), *left]), None)

    def _counts(self) -> str:
        exercises, questions, tasks = (
            f"{sum(getattr(c, a) for c in self.chapters)} of {sum(getattr(c, b) for c in self.chapters)}"
            for a, b in (("solved", "exercises"), ("right", "questions"), ("tasks_done", "tasks"))
        )
        return f"exercises {exercises}, questions {questions}, open tasks {tasks}"

    def _facts(self) -> list[str]:
        """Sentences about seconds and predictions."""
        names = {key: KINDS[COSTS[key].kind].split(",")[0] for key in self.seconds}
        timed = ", ".join(f"{names[key]} {s:.1f} s" for key, s in self.seconds.items())
        points, blind, count = self.predictions
        guessed = f"{count} scored, {points:.0%} on average; blind guesses {blind:.0%}" if count else ""
        return [
            f"Your seconds a label: {timed or 'none yet; notebook 01 measures them'}",
            f"Your predictions: {guessed or 'none yet'}",
        ]

    def __repr__(self) -> str:
        lines = [f"My course: {self._counts()}", repr(self.chapters), *self._facts()]
        lines += [f"{row.label}, {row.seconds:g} s: {row.quality:.2f} {row.measure}" for row in self.ladder]
        if self.next:
            lines.append(f"Next: {self.next.number} · {self.next.next}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        onward = f"<p><strong>Next:</strong> {_next_link(self.next)}</p>" if self.next else "<p>All done.</p>"
        facts = "".join(f"<p>{html.escape(fact)}</p>" for fact in self._facts())
        rows = [
            (html.escape(r.label), f"{r.seconds:g}", f"{r.quality:.2f}", html.escape(r.measure))
            for r in self.ladder
        ]
        own = (
            f"<p>Your ladder:</p>{_table(('label', 'seconds', 'quality', 'measured by'), rows)}"
            if rows
            else ""
        )
        chapters = f"<details><summary>All chapters</summary>{self.chapters._repr_html_()}</details>"
        head = f"<p><strong>My course</strong>: {self._counts()}</p>"
        return f"<div>{head}{onward}{facts}{own}{chapters}</div>"


def my_course(here: str = "") -> MyCourse:
    """The panel, from the reader's data folder as it is now.

    Args:
        here: number of the chapter that shows it, such as ``"05b"``: what is left of it comes first.
    """
    from lecturekit.exercises._prediction import scored
    from lecturekit.labs import ladder, rung  # not needed by those who only solve exercises

    found = scored()
    points, blind = (sum(p[k] for p in found) / max(1, len(found)) for k in ("points", "blind"))
    return MyCourse(progress(), here, rung.own_seconds(), tuple(ladder.table()), (points, blind, len(found)))
