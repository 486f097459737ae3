"""Open tasks: a method end to end, judged by what must hold of it and not by the numbers of a solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lecturekit.exercises import _attempt, _judge, _memory
from lecturekit.exercises._cards import hint_folds
from lecturekit.exercises._render import Hinted, box


@dataclass(frozen=True)
class Finding:
    """Whether one property holds of an answer."""

    statement: str
    holds: bool
    why: str = ""  #: the exception where the answer raised one


class Report(tuple[Finding, ...]):
    """What holds and what does not. Shows itself in a notebook and as plain text."""

    __slots__ = ()

    @property
    def done(self) -> bool:
        """Whether everything holds."""
        return bool(self) and all(finding.holds for finding in self)

    def __repr__(self) -> str:
        return f"{self._summary()}\n{self._lines()}"

    def _repr_html_(self) -> str:
        colour = "#009E73" if self.done else "#D55E00" if self else "#56B4E9"
        return box("✓" if self.done else "○", self._summary(), "open task", self._lines(), colour)

    def _summary(self) -> str:
        if not self:
            return "Not attempted"
        return f"{sum(f.holds for f in self)} of {len(self)} hold"

    def _lines(self) -> str:
        if not self:
            return "Replace the `...` in the cell by your code and run it again."
        return "\n".join(f"{'✓' if f.holds else '✗'} {f.statement}{f.why}" for f in self)


@dataclass
class OpenTask(Hinted):
    """A task of 15 to 30 minutes with a rubric, three hints that never give the line, and properties.

    Attributes:
        name: of the variable and of the function that the stub defines.
        title: of the card.
        minutes: to plan for.
        why: what it is good for.
        task: what to write.
        stub: where to begin.
        rubric: what a good answer has, for whoever reads it; no program checks these.
        hints: three, from a nudge to the plan.
        properties: a sentence for each, and the function that says whether it holds of an answer.
        example: one way to do it, of which all properties hold. It is not shown.
    """

    name: str
    title: str
    minutes: int
    why: str
    task: str
    stub: str
    rubric: Sequence[str]
    hints: Sequence[str]
    properties: Mapping[str, Callable[[Any], bool]]
    example: Callable

    def __post_init__(self) -> None:
        self.stub = self.stub.strip("\n")

    def check(self, answer: Any = None) -> Report:
        """Try every property on `answer`. Whatever it does, no exception comes out.

        A property may take `_judge.DEADLINE` seconds; once one is stopped, by the clock or by the user, no
        other is tried.
        """
        if not callable(answer) or _attempt.untouched(answer, self.stub):
            return Report()
        findings: list[Finding] = []
        stopped = ""
        for sentence, holds in self.properties.items():
            if stopped:
                findings.append(Finding(sentence, False, f" (not tried: {stopped})"))
                continue
            run = _attempt.run(lambda holds=holds: holds(answer), (), _judge.DEADLINE)
            if run.stopped:
                by_user = isinstance(run.error, KeyboardInterrupt)
                stopped = "you interrupted the check" if by_user else "the answer was stopped"
            findings.append(Finding(sentence, run.error is None and bool(run.value), _why(run)))
        report = Report(findings)
        if report.done:
            _memory.remember("tasks", self.name, True)
        return report


def _why(run: _attempt.Run) -> str:
    """Why a property could not be seen to hold; "" where the answer came back."""
    if isinstance(run.error, KeyboardInterrupt):
        return " (interrupted)"
    if run.stopped:
        return f" (stopped: it took more than {_judge.DEADLINE:g} seconds)"
    return f" (`{_attempt.error_text(run.error)}`)" if run.error else ""


def task_markdown(task: OpenTask) -> str:
    """The task as the Markdown cell above its stub."""
    rubric = "\n".join(f"- {line}" for line in task.rubric)
    return (
        f"### Open task: {task.title}\n\n"
        f"**Time** {task.minutes} minutes\n\n"
        f"**Why it matters:** {task.why}\n\n"
        f"**Your task:** {task.task}\n\n"
        f"**A good answer**\n\n{rubric}\n\n"
        f"{hint_folds(task.hints)}"
    )


def task_source(task: OpenTask) -> str:
    """The code cell of the task: the stub, then its check."""
    return f"{task.stub}\n\n\nexercises.{task.name}.check({task.name})"


def open_tasks_in(module: ModuleType) -> list[OpenTask]:
    """The open tasks of a module, in the order of its source."""
    return [t for name, t in vars(module).items() if isinstance(t, OpenTask) and name == t.name]
