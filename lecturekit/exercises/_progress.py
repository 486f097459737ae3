"""My course: what is done in each chapter, read from the data folder; nothing leaves the machine."""

from __future__ import annotations

import html
from dataclasses import dataclass

from lecturekit.exercises import _memory
from lecturekit.exercises.quiz import quizzes_in


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
    next: str  #: title of the first exercise that is not solved, "" where all are

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.solved == self.exercises and self.right == self.questions


class Progress(tuple[ChapterProgress, ...]):
    """The chapters in order, as a table: HTML in a notebook, text elsewhere."""

    __slots__ = ()

    def __repr__(self) -> str:
        lines = [
            f"{c.number:3} {c.title:45} exercises {c.solved} of {c.exercises}, questions {c.right} of "
            f"{c.questions}{f', next: {c.next}' if c.next else ''}"
            for c in self
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("chapter", "exercises", "questions", "next"))
        rows = "".join(map(_row, self))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def progress() -> Progress:
    """What is done, chapter by chapter."""
    from lecturekit.exercises import Outcome, exercises_in, modules  # they import this module's package

    solved = {n for n, word in _memory.remembered("exercises").items() if word == Outcome.CORRECT.value}
    right = {text for text, correct in _memory.remembered("questions").items() if correct is True}
    rows = []
    for module in modules():
        found = exercises_in(module)
        questions = [q.text for quiz in quizzes_in(module) for q in quiz.questions]
        rows.append(
            ChapterProgress(
                number=module.chapter.number,
                title=module.chapter.title,
                notebook=module.chapter.notebook,
                solved=sum(e.name in solved for e in found),
                exercises=len(found),
                right=sum(text in right for text in questions),
                questions=len(questions),
                next=next((e.title for e in found if e.name not in solved), ""),
            )
        )
    return Progress(rows)


def _row(c: ChapterProgress) -> str:
    mark = "✓ " if c.done else ""
    link = f'<a href="{html.escape(c.notebook)}">{mark}{c.number} · {html.escape(c.title)}</a>'
    cells = (link, f"{c.solved} of {c.exercises}", f"{c.right} of {c.questions}", html.escape(c.next))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
