"""An exercise as the cells of its notebook: the card above, the stub with its check, the shown solution."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lecturekit.exercises._render import HINT_NAMES

if TYPE_CHECKING:
    from lecturekit.exercises import Exercise


def solution_source(exercise: Exercise) -> str:
    """Source of the reference: a definition under the exercise's name, or an assignment to it for a value."""
    name, reference = exercise.name, exercise.reference
    if not callable(reference):
        return f"{name} = {reference!r}"
    source = textwrap.dedent(inspect.getsource(reference)).strip()
    if exercise.cases is not None:
        return source.replace(f"def {reference.__name__}(", f"def {name}(", 1)
    function: Any = ast.parse(source).body[0]
    first = function.body[0].end_lineno if ast.get_docstring(function) else function.body[0].lineno - 1
    last = function.body[-1]  # the return of the function that computes the value
    body = source.splitlines()[first : last.end_lineno]
    at = last.lineno - 1 - first
    body[at] = body[at].replace("return ", f"{name} = ", 1)
    return textwrap.dedent("\n".join(body))


def card_markdown(exercise: Exercise) -> str:
    """The exercise as the Markdown cell above its stub, hints in folds, readable without a kernel."""
    dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
    return (
        f"### Exercise: {exercise.title}\n\n"
        f"**Difficulty** {dots} ({exercise.difficulty} of 3) · **Time** {exercise.minutes} minutes\n\n"
        f"**Why it matters:** {exercise.why.strip()}\n\n"
        f"**Your task:** {exercise.task.strip()}\n\n"
        f"{hint_folds(exercise.hints)}\n\n"
        f"`exercises.{exercise.name}.solution()` shows a solution."
    )


def hint_folds(hints: Sequence[str]) -> str:
    """Hints as Markdown, each in a fold of its own."""
    return "\n\n".join(
        f"<details><summary>Hint {i}, {kind}</summary>\n\n{text.strip()}\n\n</details>"
        for i, (kind, text) in enumerate(zip(HINT_NAMES, hints, strict=True), start=1)
    )


def cell_source(exercise: Exercise) -> str:
    """The code cell of the exercise: the stub, then its check."""
    name = exercise.name
    return f"{exercise.stub}\n\n\n{name} = exercises.{name}.use({name})"
