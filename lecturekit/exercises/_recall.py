"""Questions that come back: two on earlier chapters, first those that were answered wrongly."""

from __future__ import annotations

import random

from lecturekit.exercises import _memory
from lecturekit.exercises.quiz import Question, Quiz, quizzes_in


def recall(number: str, count: int = 2) -> Quiz:
    """A quiz on the chapters before one.

    Questions that were answered wrongly the last time come first, then those never answered, then the rest;
    within each, in an order that differs from chapter to chapter and is the same in every run.

    Args:
        number: of the chapter, such as ``"05b"``.
        count: how many questions at most; the first chapter has none to look back on.
    """
    earlier = [question for module, question in _questions() if module < number]
    random.Random(number).shuffle(earlier)
    right = _memory.remembered("questions")
    earlier.sort(key=lambda q: {False: 0, None: 1, True: 2}.get(right.get(q.text), 1))
    return Quiz(f"recall_{number}", earlier[:count])


def _questions() -> list[tuple[str, Question]]:
    from lecturekit.exercises import modules  # the chapters import this package while they are made

    quizzes = [(module.chapter.number, quiz) for module in modules() for quiz in quizzes_in(module)]
    return [(number, question) for number, quiz in quizzes for question in quiz.questions]
