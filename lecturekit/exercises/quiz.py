"""Multiple choice with feedback for every option, live in a notebook and readable without a kernel.

Define a quiz beside the exercises of its notebook, under its own name; show it as the last line of a cell::

    from lecturekit.exercises.quiz import Option, Question, Quiz

    after_cam = Quiz("after_cam", [
        Question("What does a class activation map add up to?", [
            Option("The logit, less its bias", True, "Right: its mean is the logit without the bias."),
            Option("The probability of the class", False, "No: the softmax comes after, and is not linear."),
        ]),
    ])

    exercises.after_cam.show()        # in the notebook
    exercises.after_cam.results()     # the marks given so far

A text may hold `code` between backticks and *emphasis*. A question with ``multiple=True`` may have several
right options.
Marking is the pure function :func:`mark`; the widget is a thin shell round it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import anywidget
import traitlets

from lecturekit.exercises import _memory
from lecturekit.exercises._render import inline_html
from lecturekit.kit.javascript import joined


@dataclass(frozen=True)
class Option:
    """One answer to choose: what it says, whether it is right, what a student who picks it should know."""

    text: str
    correct: bool
    feedback: str


@dataclass(frozen=True)
class Question:
    """A question and its options, shown in this order. With `multiple`, all right ones are to be chosen."""

    text: str
    options: Sequence[Option]
    multiple: bool = False

    def __post_init__(self) -> None:
        right = sum(option.correct for option in self.options)
        if not self.multiple and right != 1:
            raise ValueError(f"options must have exactly one correct option, got {right} ({self.text!r})")
        if self.multiple and right == 0:
            raise ValueError(f"options must have at least one correct option, got none ({self.text!r})")


@dataclass(frozen=True)
class Mark:
    """Marking of one question: `correct` for the whole choice, `feedback` of each chosen option by index."""

    correct: bool
    summary: str
    feedback: dict[int, str]


def mark(question: Question, chosen: Iterable[int]) -> Mark:
    """Mark the options of `question` with the indices `chosen`.

    Raises ``ValueError`` for an index that no option has, or several where one is to be chosen.
    """
    chosen = sorted(set(chosen))
    unknown = [i for i in chosen if i not in range(len(question.options))]
    if unknown or (len(chosen) > 1 and not question.multiple):
        wanted = "indices" if question.multiple else "one index"
        raise ValueError(f"chosen must hold {wanted} below {len(question.options)}, got {chosen}")
    right = [i for i, option in enumerate(question.options) if option.correct]
    feedback = {i: question.options[i].feedback for i in chosen}
    return Mark(chosen == right, _summary(chosen, right), feedback)


def _summary(chosen: list[int], right: list[int]) -> str:
    if not chosen:
        return "Not answered: choose first."
    if chosen == right:
        return "✓ Correct."
    if set(chosen) < set(right):
        return "✗ Not right yet: what you chose is right, but there is more."
    return "✗ Not right yet."


@dataclass
class Quiz:
    """Two to five questions under a name. `show()` as the last line of a cell displays it."""

    name: str
    questions: Sequence[Question]
    #: Indices of the options chosen last, by the index of the question.
    answers: dict[int, list[int]] = field(default_factory=dict, init=False)

    def show(self) -> QuizWidget:
        """The quiz as a widget; where no kernel runs, the still form of it stands in its place."""
        return QuizWidget(self)

    def answer(self, question: int, chosen: Iterable[int]) -> Mark:
        """Mark and remember the choice for question number `question`, counted from 0."""
        result = mark(self.questions[question], chosen)
        self.answers[question] = sorted(set(chosen))
        if self.answers[question]:
            _memory.remember("questions", self.questions[question].text, result.correct)
        return result

    def results(self) -> list[Mark | None]:
        """The mark of each question, None where it is not answered."""
        return [
            mark(question, self.answers[i]) if i in self.answers else None
            for i, question in enumerate(self.questions)
        ]

    def _repr_html_(self) -> str:
        return still_html(self)

    def __str__(self) -> str:
        return still_text(self)


class QuizWidget(anywidget.AnyWidget):
    """Radio buttons or check boxes, a button to check, and the feedback; labelled, and worked by keyboard."""

    _esm = joined(Path(__file__).with_name("quiz.js"))
    _css = joined(Path(__file__).with_name("quiz.css"))
    questions = traitlets.List().tag(
        sync=True
    )  #: text, options and kind of each question, without the answers
    chosen = traitlets.List().tag(sync=True)  #: chosen option indices of each question, set by the browser
    marks = traitlets.List().tag(sync=True)  #: what :func:`mark` says of each question, or None

    def __init__(self, quiz: Quiz) -> None:
        self._quiz = quiz
        super().__init__(
            questions=[
                {"text": q.text, "options": [o.text for o in q.options], "multiple": q.multiple}
                for q in quiz.questions
            ],
            chosen=[None] * len(quiz.questions),
            marks=[None] * len(quiz.questions),
        )

    @traitlets.observe("chosen")
    def _mark_chosen(self, change: dict) -> None:
        self.marks = [self._marked(i, chosen) for i, chosen in enumerate(change["new"])]

    def _marked(self, question: int, chosen: list[int] | None) -> dict | None:
        if chosen is None:
            return None
        result = self._quiz.answer(question, chosen)
        return {"summary": result.summary, "feedback": list(result.feedback.items())}

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view and, for pages without a kernel, the still form."""
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**data, "text/plain": still_text(self._quiz), "text/html": still_html(self._quiz)}, metadata


def still_html(quiz: Quiz) -> str:
    """The quiz without a kernel: under every option, its feedback in a fold."""
    return f"<div>{''.join(map(_question_html, range(1, 99), quiz.questions))}</div>"


def _question_html(number: int, question: Question) -> str:
    folds = "".join(
        f"<li><details><summary>{inline_html(o.text)}</summary>"
        f"<p>{'✓ Correct.' if o.correct else '✗ Not correct.'} {inline_html(o.feedback)}</p></details></li>"
        for o in question.options
    )
    hint = " (several may be right)" if question.multiple else ""
    heading = f"<p><strong>Question {number}.</strong> {inline_html(question.text)}{hint}</p>"
    return f'{heading}<ul style="list-style: none; padding-left: 1em">{folds}</ul>'


def still_text(quiz: Quiz) -> str:
    """The quiz as plain text, the feedback after the questions."""
    lines, key = [], ["", "Feedback"]
    for number, question in enumerate(quiz.questions, start=1):
        lines.append(f"{number}. {question.text}")
        for letter, option in zip("abcdefgh", question.options, strict=False):
            lines.append(f"   {letter}) {option.text}")
            key.append(f"{number}{letter}) {'✓' if option.correct else '✗'} {option.feedback}")
    return "\n".join(lines + key)


def quizzes_in(module: ModuleType) -> list[Quiz]:
    """The quizzes of a module of exercises, in the order of its source."""
    return [thing for name, thing in vars(module).items() if isinstance(thing, Quiz) and name == thing.name]
