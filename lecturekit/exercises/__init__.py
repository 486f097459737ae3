"""Exercises that are marked in the notebook: check, hint, solution.

How to write the exercises of a chapter
---------------------------------------
One module of this package holds the exercises and quizzes of one notebook and bears its name without the
number: ``notebooks/05_class_activation_maps.ipynb`` has ``lecturekit/exercises/class_activation_maps.py``.
Nothing is registered: every :class:`Exercise` (and :class:`~lecturekit.exercises.quiz.Quiz`) that the module
holds under its own name is found, and the test suite walks them all. ::

    from lecturekit.exercises import Exercise, Mistake

    def _mean_colour(image):                       # the reference; `solution()` shows this source
        return image.mean((0, 1))                  # under the exercise's name, `mean_colour`

    mean_colour = Exercise(
        name="mean_colour",                        # = the variable here, = what the stub defines
        title="The mean colour of a picture",
        difficulty=1, minutes=3,                   # difficulty 1, 2 or 3
        why="Global average pooling does this to every feature map.",
        task="Return the mean over all pixels of `image`, shape `(H, W, 3)`, as an array of shape `(3,)`.",
        stub='def mean_colour(image):\\n    ...  # your code\\n',
        reference=_mean_colour,
        cases=lambda: [(np.random.default_rng(s).random((4, 5, 3)),) for s in (0, 1)],
        hints=("Which axes are the pixels?", "Average over axis 0 and axis 1 at once.",
               "`image.mean((_, _))`"),
        mistakes=[Mistake("one_number", lambda image: image.mean(), "That is one number for all colours …"),
                  ...],                            # at least three
    )

* ``cases`` returns the argument tuples a function is tried on; make them seeded and small, and let them tell
  every mistake from the reference. ``cases=None`` (the default) makes the exercise ask for a *value*: then
  ``reference``, and ``wrong`` of each mistake, are values or functions without arguments that compute them.
  Data may be loaded in ``cases`` or ``reference``: where it is missing the check says so and blames nobody.
* A mistake is an implementation that commits it. An answer that does the same as the mistake on every case
  (and so differs from the reference) gets its ``diagnosis``, the first that fits. `Backticks` mark code.
* The stub leaves `...` where the student writes, and runs as it stands.
* In the notebook: a Markdown cell :func:`card_markdown` and, below it, a code cell that begins with
  :func:`cell_source`. The test suite compares both with the exercise, letter by letter.

What a notebook does with an exercise: ``exercises.mean_colour.check(mean_colour)`` gives a :class:`Result`;
``mean_colour = exercises.mean_colour.use(mean_colour)`` shows it too and goes on with the student's answer
where it is correct and with the reference elsewhere; ``.hint()`` reveals one hint after the other and
``.solution()`` the source. None of them ever raises because of what a student wrote.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType

from lecturekit.exercises import _attempt
from lecturekit.exercises._attempt import Run
from lecturekit.exercises._compare import describe, difference
from lecturekit.exercises._render import Note, box, show

__all__ = [
    "Exercise",
    "Mistake",
    "Outcome",
    "Result",
    "card_markdown",
    "cell_source",
    "exercises_in",
    "modules",
]

HINT_NAMES = ("a nudge", "in words", "nearly the code")


class Outcome(Enum):
    """The four ends of a check; the value is the word a student reads."""

    CORRECT = "Correct"
    WRONG = "Not right yet"
    NOT_ATTEMPTED = "Not attempted"
    CANNOT_BE_CHECKED = "Cannot be checked"


#: Symbol and colour (Okabe and Ito's, told apart by colour-blind readers) of each outcome.
_LOOK = {
    Outcome.CORRECT: ("✓", "#009E73"),
    Outcome.WRONG: ("✗", "#D55E00"),
    Outcome.NOT_ATTEMPTED: ("○", "#56B4E9"),
    Outcome.CANNOT_BE_CHECKED: ("?", "#999999"),
}


@dataclass(frozen=True)
class Result:
    """What a check found. Shows itself in a notebook and as plain text; `message` holds the words."""

    exercise: str
    outcome: Outcome
    message: str
    mistake: str | None = None  #: name of the catalogued mistake that was recognised

    def __repr__(self) -> str:
        return f"{_LOOK[self.outcome][0]} {self.outcome.value} · {self.exercise}\n{self.message}"

    def _repr_html_(self) -> str:
        symbol, colour = _LOOK[self.outcome]
        return box(symbol, self.outcome.value, self.exercise, self.message, colour)


@dataclass(frozen=True)
class Mistake:
    """A known wrong way: `wrong` commits it (a function, or a value), `diagnosis` is what a student reads."""

    name: str
    wrong: object
    diagnosis: str


@dataclass
class Exercise:
    """A task with its stub, reference solution, hints and known mistakes. The module's docstring shows how.

    `difficulty` is 1, 2 or 3, `minutes` the time to plan for. `rtol` and `atol` are the tolerances of
    :func:`lecturekit.exercises._compare.difference`.
    """

    name: str
    title: str
    difficulty: int
    minutes: int
    why: str
    task: str
    stub: str
    reference: object
    hints: tuple[str, str, str]
    mistakes: Sequence[Mistake]
    cases: Callable[[], Sequence[tuple]] | None = None
    rtol: float = 1e-4
    atol: float = 1e-6
    _revealed: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.difficulty not in (1, 2, 3):
            raise ValueError(f"difficulty must be 1, 2 or 3, got {self.difficulty!r} ({self.name})")
        if len(self.hints) != len(HINT_NAMES):
            raise ValueError(f"hints must be {len(HINT_NAMES)}, got {len(self.hints)} ({self.name})")
        self.stub = textwrap.dedent(self.stub).strip("\n")

    def check(self, answer: object = None) -> Result:
        """Mark `answer`, a function or a value as the task asks. Whatever it does, no exception comes out."""
        try:
            return self._judge(answer)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            reason = "Its data is missing" if isinstance(error, OSError) else "The check itself failed"
            text = f"{reason}, which is not your fault: `{_attempt.error_text(error)}`"
            return self._result(Outcome.CANNOT_BE_CHECKED, text)

    def use(self, answer: object = None) -> object:
        """Show the check of `answer` and return what the cells below go on with.

        That is `answer` where it is correct and the reference elsewhere, so that a notebook runs to its end.
        """
        result = self.check(answer)
        if result.outcome is Outcome.CORRECT:
            show(result)
            return answer
        try:
            going_on = _handed_on(self.reference) if self._asks_for_function else _resolved(self.reference)
            note = "The cells below go on with the reference solution."
        except Exception:
            going_on, note = answer, "The cells below go on with your answer as it is."
        show(self._result(result.outcome, f"{result.message}\n{note}", result.mistake))
        return going_on

    def hint(self, number: int | None = None) -> Note:
        """The next hint, or hint `number` (1 is a nudge, 2 says how in words, 3 is nearly the code)."""
        if number is not None and number not in range(1, len(self.hints) + 1):
            return Note(f"There are {len(self.hints)} hints: ask for hint(1), hint(2) or hint(3).")
        self._revealed = number or min(self._revealed + 1, len(self.hints))
        rest = len(self.hints) - self._revealed
        more = f"({rest} more: call hint() again)" if rest else "(the last one; solution() shows a solution)"
        return Note(
            f"**Hint {self._revealed}, {HINT_NAMES[self._revealed - 1]}.** {self._hint_text()}\n\n{more}"
        )

    def _hint_text(self) -> str:
        return self.hints[self._revealed - 1].strip()

    def solution(self) -> Note:
        """Source of the reference solution, as it could stand in the student's cell."""
        return Note(f"```python\n{solution_source(self)}\n```")

    @property
    def _asks_for_function(self) -> bool:
        return self.cases is not None

    def _judge(self, answer: object) -> Result:
        early = self._not_attempted(answer)
        if early:
            return self._result(Outcome.NOT_ATTEMPTED, early)
        if self._asks_for_function and not callable(answer):
            return self._wrong(f"A function is wanted here, this is {describe(answer)}.")
        cases = [tuple(c) for c in self.cases()] if self._asks_for_function else [()]
        if self._asks_for_function and _attempt.misfit(answer, cases[0]):
            return self._wrong(self._misfit_message(answer, cases[0]))
        wanted = [_sound(run) for run in self._runs(self.reference, cases)]
        met = self._runs(answer, cases) if self._asks_for_function else [Run(answer)]
        return self._compared(answer, cases, met, wanted)

    def _compared(self, answer: object, cases: list[tuple], met: list[Run], wanted: list[Run]) -> Result:
        if self._asks_for_function and not self._same(met, wanted) and all(_hollow(run) for run in met):
            return self._empty_handed(answer, met)
        if not self._same(met, wanted):
            known = self._known_mistake(cases, met, wanted)
            if known:
                return self._wrong(known.diagnosis, known.name)
        changed = next((name for run in met for name in self._changed_names(answer, run)), None)
        if changed:
            return self._wrong(
                f"Your function changes its argument `{changed}` in place, so whoever called it loses "
                "the original. Work on a copy, or use an operation that makes a new array."
            )
        if self._same(met, wanted):
            return self._result(Outcome.CORRECT, f"{self.title}: your answer agrees with the reference.")
        return self._wrong(self._general_message(cases, met, wanted))

    def _not_attempted(self, answer: object) -> str:
        """Why `answer` is no attempt, or ``""``."""
        where = "Replace the `...` in the cell by your code and run it again."
        if _attempt.is_hole(answer):
            return where
        if self._asks_for_function and getattr(answer, "_handed_on", None) is True:
            return "This is the reference solution, which stands in for your answer. Run your own cell again."
        if self._asks_for_function and _attempt.untouched(answer, self.stub):
            return where
        return ""

    def _empty_handed(self, answer: object, met: list[Run]) -> Result:
        """Every call came back without a value: is the stub still empty, or was a return forgotten?"""
        if any(run.error or run.value is ... for run in met) or _attempt.idle(answer):
            return self._result(Outcome.NOT_ATTEMPTED, "There is no code yet: write the function's body.")
        return self._wrong("Got `None` — did you forget a `return`?", "no_return")

    def _known_mistake(self, cases: list[tuple], met: list[Run], wanted: list[Run]) -> Mistake | None:
        """The first catalogued mistake that does on every case what the answer does."""
        for mistake in self.mistakes:
            runs = self._runs(mistake.wrong, cases)
            if self._same(met, runs) and not self._same(runs, wanted):
                return mistake
        return None

    def _general_message(self, cases: list[tuple], met: list[Run], wanted: list[Run]) -> str:
        """What the first failing case shows: the exception and its line, or met against wanted."""
        i, run, right = next(
            (i, m, w) for i, (m, w) in enumerate(zip(met, wanted, strict=True)) if not self._same([m], [w])
        )
        where = f"In case {i + 1} of {len(cases)}, " if self._asks_for_function else ""
        called = f"\nCalled with {self._call(cases[i])}." if self._asks_for_function else ""
        if run.error is not None:
            line = f"\n`{run.line}`" if run.line else ""
            return f"{where}your code raised `{_attempt.error_text(run.error)}`.{line}{called}"
        apart = difference(run.value, right.value, self.rtol, self.atol)
        return f"{where}the answer is not the wanted one: {apart}.{called}"

    def _misfit_message(self, answer: Callable, case: tuple) -> str:
        names = ", ".join(self._argument_names(len(case)))
        return (
            f"Your function is called with {len(case)} argument{'s' * (len(case) != 1)}, `({names})`, "
            f"and takes `{inspect.signature(answer)}`."
        )

    def _runs(self, thing: object, cases: list[tuple]) -> list[Run]:
        """What `thing` does on every case; where a value is asked for, the value it is or computes."""
        if self._asks_for_function:
            return [_attempt.run(thing, case) for case in cases]
        return [_attempt.run(thing, ()) if callable(thing) else Run(thing)]

    def _same(self, runs: list[Run], others: list[Run]) -> bool:
        return all(a.same(b, self.rtol, self.atol) for a, b in zip(runs, others, strict=True))

    def _call(self, case: tuple) -> str:
        names = self._argument_names(len(case))
        return ", ".join(f"`{name}` = {describe(value)}" for name, value in zip(names, case, strict=True))

    def _changed_names(self, answer: Callable, run: Run) -> list[str]:
        return [self._argument_names(max(run.changed) + 1)[i] for i in run.changed]

    def _argument_names(self, count: int) -> list[str]:
        """Names of the reference's first `count` parameters."""
        names = list(inspect.signature(self.reference).parameters)
        return (names + [f"argument {i + 1}" for i in range(len(names), count)])[:count]

    def _wrong(self, message: str, mistake: str | None = None) -> Result:
        return self._result(Outcome.WRONG, message, mistake)

    def _result(self, outcome: Outcome, message: str, mistake: str | None = None) -> Result:
        return Result(self.name, outcome, message, mistake)


def _sound(run: Run) -> Run:
    """The run of a reference, which must have gone well; its own exception otherwise."""
    if run.error is not None:
        raise run.error
    return run


def _hollow(run: Run) -> bool:
    return isinstance(run.error, NotImplementedError) if run.error else _attempt.is_hole(run.value)


def _resolved(reference: object) -> object:
    return reference() if callable(reference) else reference


def _handed_on(reference: Callable) -> Callable:
    """The reference in a wrapper that a later check tells from a student's own function."""

    @functools.wraps(reference)
    def stand_in(*arguments: object, **named: object) -> object:
        return reference(*arguments, **named)

    stand_in._handed_on = True
    return stand_in


def solution_source(exercise: Exercise) -> str:
    """Source of the reference: a definition under the exercise's name, or an assignment to it for a value."""
    name, reference = exercise.name, exercise.reference
    if not callable(reference):
        return f"{name} = {reference!r}"
    source = textwrap.dedent(inspect.getsource(reference)).strip()
    if exercise.cases is not None:
        return source.replace(f"def {reference.__name__}(", f"def {name}(", 1)
    last = ast.parse(source).body[0].body[-1]  # the return of the function that computes the value
    body = source.splitlines()[_first_line(source) : last.end_lineno]
    at = last.lineno - 1 - _first_line(source)
    body[at] = body[at].replace("return ", f"{name} = ", 1)
    return textwrap.dedent("\n".join(body))


def _first_line(source: str) -> int:
    """Index of the first line of a function's body, past its docstring."""
    function = ast.parse(source).body[0]
    return function.body[0].end_lineno if ast.get_docstring(function) else function.body[0].lineno - 1


def card_markdown(exercise: Exercise) -> str:
    """The exercise as the Markdown cell above its stub, hints in folds, readable without a kernel."""
    dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
    folds = "\n\n".join(
        f"<details><summary>Hint {i}, {kind}</summary>\n\n{text.strip()}\n\n</details>"
        for i, (kind, text) in enumerate(zip(HINT_NAMES, exercise.hints, strict=True), start=1)
    )
    return (
        f"### Exercise: {exercise.title}\n\n"
        f"**Difficulty** {dots} ({exercise.difficulty} of 3) · **Time** {exercise.minutes} minutes\n\n"
        f"**Why it matters:** {exercise.why.strip()}\n\n"
        f"**Your task:** {exercise.task.strip()}\n\n"
        f"{folds}\n\n"
        f"`exercises.{exercise.name}.solution()` shows a solution."
    )


def cell_source(exercise: Exercise) -> str:
    """The code cell of the exercise: the stub, then its check."""
    name = exercise.name
    return f"{exercise.stub}\n\n\n{name} = exercises.{name}.use({name})"


def modules() -> list[ModuleType]:
    """The modules that hold exercises or quizzes, one a notebook, in the order of their names."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    chapters = [name for name in names if not name.startswith("_") and name != "quiz"]
    return [importlib.import_module(f"{__name__}.{name}") for name in chapters]


def exercises_in(module: ModuleType) -> list[Exercise]:
    """The exercises of a module, in the order of its source."""
    return [e for name, e in vars(module).items() if isinstance(e, Exercise) and name == e.name]
