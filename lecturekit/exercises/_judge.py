"""Compares what an answer does with what the reference and the known mistakes do on the same cases."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from lecturekit.exercises import _attempt
from lecturekit.exercises._attempt import Run
from lecturekit.exercises._compare import describe, difference
from lecturekit.exercises._form import conform, conforming
from lecturekit.exercises._panels import side_by_side
from lecturekit.exercises._render import box
from lecturekit.exercises._slips import slip

if TYPE_CHECKING:
    from lecturekit.exercises import Exercise, Mistake


#: Seconds that an answer may take for all its cases together.
DEADLINE = 10.0


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
    panels: str = ""  #: HTML that shows the answer beside the wanted one

    def __repr__(self) -> str:
        return f"{_LOOK[self.outcome][0]} {self.outcome.value} · {self.exercise}\n{self.message}"

    def _repr_html_(self) -> str:
        symbol, colour = _LOOK[self.outcome]
        return box(symbol, self.outcome.value, self.exercise, self.message, colour, self.panels)


class Judge:
    """One check of one exercise: what the reference and the answer do on every case, and what follows."""

    def __init__(self, exercise: Exercise, answer: Any) -> None:
        self.exercise = exercise
        self.answer = answer
        self.cases: list[tuple] = [()]
        self.wanted: list[Run] = []
        self.met: list[Run] = []

    def accepted(self) -> Any:
        """The answer, once it was found correct, in a form that later cells can take."""
        given, wanted = ([run.value for run in runs] for runs in (self.met, self.wanted))
        if self.exercise.cases is None:
            return conform(given[0], wanted[0])
        return conforming(self.answer, given, wanted)

    def result(self) -> Result:
        """The outcome. Raises what the cases or the reference raise: that is no fault of the answer."""
        exercise, answer = self.exercise, self.answer
        early = self._not_attempted()
        if early:
            return self._result(Outcome.NOT_ATTEMPTED, early)
        if exercise.cases is None:
            self.wanted, self.met = [_sound(_run(exercise.reference))], [Run(answer)]
            return self._compared()
        if not callable(answer):
            return self._wrong(f"A function is wanted here, this is {describe(answer)}.")
        self.cases = [tuple(case) for case in exercise.cases()]
        if _attempt.misfit(answer, self.cases[0]):
            return self._wrong(self._misfit_message(answer))
        self.wanted = [_sound(run) for run in self._runs(exercise.reference)]
        self.met = self._runs_in_time()
        if self.met[-1].stopped:
            return self._stopped(self.met[-1])
        if not self._same(self.met) and all(_hollow(run) for run in self.met):
            return self._empty_handed()
        return self._compared()

    def _compared(self) -> Result:
        right = self._same(self.met)
        if not right:
            known = self._known_mistake()
            if known:
                return self._wrong(known.diagnosis, known.name)
        changed = next((run.changed[0] for run in self.met if run.changed), None)
        if changed is not None:
            return self._wrong(
                f"Your function changes its argument `{self._argument_names(changed + 1)[changed]}` in "
                "place, so whoever called it loses the original. Work on a copy, or use an operation that "
                "makes a new array."
            )
        left = next((run.left[0] for run in self.met if run.left), "")
        if right and left:
            return self._wrong(
                f"Your answer is right, but it leaves `{left}` changed, for every cell that follows. Change "
                "it for some lines only, in a `with` block (`torch.no_grad`, `np.errstate`), or not at all."
            )
        if right:
            title = self.exercise.title
            return self._result(Outcome.CORRECT, f"{title}: your answer agrees with the reference.")
        return self._apart()

    def _not_attempted(self) -> str:
        """Why the answer is no attempt, or ``""``."""
        where = "Replace the `...` in the cell by your code and run it again."
        function = self.exercise.cases is not None
        if _attempt.is_hole(self.answer):
            return where
        if function and _attempt.is_handed_on(self.answer):
            return "This is the reference solution, which stands in for your answer. Run your own cell again."
        return where if function and _attempt.untouched(self.answer, self.exercise.stub) else ""

    def _empty_handed(self) -> Result:
        """Every call came back without a value: is the stub still empty, or was a return forgotten?"""
        if any(run.error or run.value is ... for run in self.met) or _attempt.idle(self.answer):
            return self._result(Outcome.NOT_ATTEMPTED, "There is no code yet: write the function's body.")
        return self._wrong("Got `None` — did you forget a `return`?", "no_return")

    def _known_mistake(self) -> Mistake | None:
        """The first catalogued mistake that does on every case what the answer does."""
        for mistake in self.exercise.mistakes:
            value = self.exercise.cases is None
            runs = [_run(mistake.wrong)] if value else self._runs(mistake.wrong)
            if self._same(self.met, runs) and not self._same(runs):
                return mistake
        return None

    def _stopped(self, run: Run) -> Result:
        line = f"\n`{run.line}`" if run.line else ""
        if isinstance(run.error, KeyboardInterrupt):
            return self._wrong(f"You interrupted your code before it came back.{line}", "interrupted")
        return self._wrong(
            f"Your code had not come back after {DEADLINE:g} seconds and was stopped, so that you need not "
            f"wait. Is there a loop that never ends? A right answer takes far less.{line}",
            "overdue",
        )

    def _apart(self) -> Result:
        """What the first failing case shows: the exception and its line, or met against wanted."""
        i = next(i for i, run in enumerate(self.met) if not self._same([run], [self.wanted[i]]))
        run, right = self.met[i], self.wanted[i]
        where = called = ""
        if self.exercise.cases is not None:
            self.exercise.failed = i + 1
            where = f"In case {i + 1} of {len(self.cases)}, "
            called = (
                f"\nCalled with {self._call(self.cases[i])}; `exercises.{self.exercise.name}.case({i + 1})` "
                "gives you these arguments."
            )
        if run.error is not None:
            line = f"\n`{run.line}`" if run.line else ""
            return self._wrong(f"{where}your code raised `{_attempt.error_text(run.error)}`.{line}{called}")
        rtol, atol = self.exercise.rtol, self.exercise.atol
        apart = difference(run.value, right.value, rtol, atol)
        known = ""
        if not any(met.error for met in self.met):
            pairs = [(met.value, wanted.value) for met, wanted in zip(self.met, self.wanted, strict=True)]
            known = slip(pairs, rtol, atol)
        message = f"{where}the answer is not the wanted one: {apart}.{chr(10) * bool(known)}{known}{called}"
        return self._result(Outcome.WRONG, message, panels=side_by_side(run.value, right.value))

    def _misfit_message(self, answer: Callable) -> str:
        count = len(self.cases[0])
        names = ", ".join(self._argument_names(count))
        return (
            f"Your function is called with {count} argument{'s' * (count != 1)}, `({names})`, "
            f"and takes `{inspect.signature(answer)}`."
        )

    def _runs(self, thing: Callable) -> list[Run]:
        """What a function does on every case."""
        return [_attempt.run(thing, case) for case in self.cases]

    def _runs_in_time(self) -> list[Run]:
        """What the answer does on the cases, up to the one in which it was stopped."""
        runs: list[Run] = []
        end = time.monotonic() + DEADLINE
        for case in self.cases:
            runs.append(_attempt.run(self.answer, case, end - time.monotonic()))
            if runs[-1].stopped:
                break
        return runs

    def _same(self, runs: list[Run], others: list[Run] | None = None) -> bool:
        """Whether the runs came to the same ends as `others`, or as the reference's."""
        rtol, atol = self.exercise.rtol, self.exercise.atol
        pairs = zip(runs, self.wanted if others is None else others, strict=True)
        return all(a.same(b, rtol, atol) for a, b in pairs)

    def _call(self, case: tuple) -> str:
        names = self._argument_names(len(case))
        return ", ".join(f"`{name}` = {describe(value)}" for name, value in zip(names, case, strict=True))

    def _argument_names(self, count: int) -> list[str]:
        """Names of the reference's first `count` parameters."""
        names = list(inspect.signature(self.exercise.reference).parameters)
        return (names + [f"argument {i + 1}" for i in range(len(names), count)])[:count]

    def _wrong(self, message: str, mistake: str | None = None) -> Result:
        return self._result(Outcome.WRONG, message, mistake)

    def _result(self, outcome: Outcome, message: str, mistake: str | None = None, panels: str = "") -> Result:
        return Result(self.exercise.name, outcome, message, mistake, panels)


def _run(value: object) -> Run:
    """A value, or what a function without arguments computes."""
    return _attempt.run(value, ()) if callable(value) else Run(value)


def _sound(run: Run) -> Run:
    """The run of a reference, which must have gone well; its own exception otherwise."""
    if run.error is not None:
        raise run.error
    return run


def _hollow(run: Run) -> bool:
    return isinstance(run.error, NotImplementedError) if run.error else _attempt.is_hole(run.value)
