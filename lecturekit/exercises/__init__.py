"""Exercises that are marked in the notebook: check, hint, solution.

How to write the exercises of a chapter
---------------------------------------
Two files of this package hold the exercises and quizzes of one notebook and bear its name without the
number. For ``notebooks/05_class_activation_maps.ipynb``, ``class_activation_maps.py`` holds what is computed
and ``class_activation_maps.toml`` what is said. In Python, a function, the cases it is tried on, and the ways
in which it is got wrong::

    from lecturekit.exercises import Chapter

    chapter = Chapter(__name__)

    def _mean_colour(image):                       # the reference; `solution()` shows this source
        return image.mean((0, 1))                  # under the exercise's name, `mean_colour`

    mean_colour = chapter.exercise(
        "mean_colour",                             # = the variable here, = what the stub defines
        _mean_colour,
        cases=lambda: [(np.random.default_rng(s).random((4, 5, 3)),) for s in (0, 1)],
        mistakes={"one_number": lambda image: image.mean(), ...},            # at least three
    )
    after_colours = chapter.quiz("after_colours")

In TOML, the words of each, under the same names::

    [mean_colour]
    title = "The mean colour of a picture"
    difficulty = 1                                 # 1, 2 or 3
    minutes = 3
    why = "Global average pooling does this to every feature map."
    task = "Return the mean over all pixels of `image`, shape `(H, W, 3)`, as an array of shape `(3,)`."
    stub = '''
    def mean_colour(image):
        ...  # your code
    '''
    hints = ["Which axes are the pixels?", "Average over both at once.", "`image.mean((_, _))`"]
    [mean_colour.mistakes]
    one_number = "That is one number for all colours: average over the pixels only."

    [[after_colours]]                              # one table a question
    question = "Which axis of an image holds its colours?"
    options = [
      ["wrong", "The first", "That is the rows."],
      ["right", "The last", "Yes: `(H, W, 3)`."],
    ]

* Nothing is registered: every :class:`Exercise` and :class:`~lecturekit.exercises.quiz.Quiz` that the module
  holds under its own name is found, and the test suite walks them all.
* ``cases`` returns the argument tuples a function is tried on; make them seeded and small, and let them tell
  every mistake from the reference. ``cases=None`` (the default) makes the exercise ask for a *value*: then
  the reference and the mistakes are values or functions without arguments that compute them.
  Data may be loaded in ``cases`` or the reference: where it is missing the check says so and blames nobody.
* A mistake is an implementation that commits it. An answer that does the same as the mistake on every case
  (and so differs from the reference) gets its diagnosis, the first that fits. `Backticks` mark code.
* Line breaks within a text of the TOML count as blanks, an empty line begins a paragraph.
* ``chapter.open_task(name, example, properties)`` makes an :class:`OpenTask`, judged by what must hold of an
  answer: `properties` are functions of the answer, and the TOML has a sentence for each, and a rubric.
* The stub leaves `...` where the student writes, and runs as it stands.
* In the notebook: a Markdown cell :func:`card_markdown` and, below it, a code cell that begins with
  :func:`cell_source`. The test suite compares both with the exercise, letter by letter.

What a notebook does with an exercise: ``exercises.mean_colour.check(mean_colour)`` gives a :class:`Result`;
``mean_colour = exercises.mean_colour.use(mean_colour)`` shows it too and goes on with the student's answer
where it is correct and with the reference elsewhere; ``.case(2)`` gives the arguments of a case, ``.hint()``
reveals one hint after the other and ``.solution()`` the source. None of them ever raises because of what a
student wrote.
"""

from __future__ import annotations

import functools
import importlib
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from lecturekit.exercises import _attempt, _memory
from lecturekit.exercises._cards import card_markdown, cell_source, solution_source
from lecturekit.exercises._judge import Judge, Outcome, Result
from lecturekit.exercises._open_task import OpenTask, open_tasks_in
from lecturekit.exercises._prediction import Axes, Prediction, summary
from lecturekit.exercises._progress import MyCourse, my_course, progress
from lecturekit.exercises._recall import recall
from lecturekit.exercises._render import HINT_NAMES, Hinted, Note, show
from lecturekit.exercises.quiz import Option, Question, Quiz
from lecturekit.kit.checks import whole

__all__ = [
    "Chapter",
    "Exercise",
    "Mistake",
    "OpenTask",
    "Outcome",
    "Result",
    "card_markdown",
    "cell_source",
    "exercises_in",
    "modules",
    "my_course",
    "open_tasks_in",
    "progress",
    "recall",
    "solution_source",
]


@dataclass(frozen=True)
class Mistake:
    """A known wrong way: `wrong` commits it (a function, or a value), `diagnosis` is what a student reads."""

    name: str
    wrong: Any
    diagnosis: str


@dataclass
class Exercise(Hinted):
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
    reference: Any
    hints: Sequence[str]
    mistakes: Sequence[Mistake]
    cases: Callable[[], Sequence[tuple]] | None = None
    rtol: float = 1e-4
    atol: float = 1e-6
    _after_hints = "(the last one; solution() shows a solution)"
    failed: int = field(default=1, init=False, repr=False)  #: number of the case that failed last

    def __post_init__(self) -> None:
        if self.difficulty not in (1, 2, 3):
            raise ValueError(f"difficulty must be 1, 2 or 3, got {self.difficulty!r} ({self.name})")
        if len(self.hints) != len(HINT_NAMES):
            raise ValueError(f"hints must be {len(HINT_NAMES)}, got {len(self.hints)} ({self.name})")
        self.stub = textwrap.dedent(self.stub).strip("\n")

    def check(self, answer: Any = None) -> Result:
        """Mark `answer`, a function or a value as the task asks. Whatever it does, no exception comes out.

        A function that has not come back after `_judge.DEADLINE` seconds is stopped.
        """
        return self._checked(answer)[0]

    def _checked(self, answer: Any) -> tuple[Result, Any]:
        """The result, and the answer in a form that the cells below can take."""
        judge = Judge(self, answer)
        accepted = answer
        try:
            result = judge.result()
            if result.outcome is Outcome.CORRECT:
                accepted = judge.accepted()
        except KeyboardInterrupt:
            text = "You interrupted the check. Run the cell again."
            result = Result(self.name, Outcome.CANNOT_BE_CHECKED, text)
        except BaseException as error:
            reason = "Its data is missing" if isinstance(error, OSError) else "The check itself failed"
            text = f"{reason}, which is not your fault: `{_attempt.error_text(error)}`"
            result = Result(self.name, Outcome.CANNOT_BE_CHECKED, text)
        self._remember(result.outcome)
        return result, accepted

    def _remember(self, outcome: Outcome) -> None:
        if outcome is Outcome.CORRECT or (outcome is Outcome.WRONG and not self.solved):
            _memory.remember("exercises", self.name, outcome.value)

    @property
    def solved(self) -> bool:
        """Whether a correct answer was given, today or before the kernel's last restart."""
        return _memory.remembered("exercises").get(self.name) == Outcome.CORRECT.value

    def use(self, answer: Any = None) -> Any:
        """Show the check of `answer` and return what the cells below go on with.

        That is `answer` where it is correct and the reference elsewhere, so that a notebook runs to its end.
        A correct answer of another form than the reference's (integers of another size, a list for a tuple,
        an array that cannot be written) is brought into the reference's form on the way.
        """
        result, accepted = self._checked(answer)
        if result.outcome is Outcome.CORRECT:
            show(result)
            return accepted
        try:
            going_on = self._stand_in()
            note = "The cells below go on with the reference solution."
        except Exception:
            going_on, note = answer, "The cells below go on with your answer as it is."
        if result.outcome is Outcome.NOT_ATTEMPTED and self.solved:
            note = f"You have solved this one before. {note}"
        show(replace(result, message=f"{result.message}\n{note}"))
        return going_on

    def case(self, number: int | None = None) -> tuple:
        """The arguments of a case, to try an answer on: ``mine(*exercises.mean_colour.case(2))``.

        Args:
            number: counted from 1, as in the words of a check; by default the case that failed last, or the
                first.

        Raises:
            ValueError: no such case, or an exercise that asks for a value and has none.
        """
        cases = [] if self.cases is None else list(self.cases())
        number = whole("number", self.failed if number is None else number, 1, len(cases))
        return tuple(_attempt.duplicate(argument) for argument in cases[number - 1])

    def _stand_in(self) -> Any:
        """The value asked for, or the reference in a wrapper that a later check tells from an answer."""
        reference = self.reference
        if not callable(reference):
            return reference
        if self.cases is None:
            return reference()

        @functools.wraps(reference)
        def stand_in(*arguments: Any, **named: Any) -> Any:
            return reference(*arguments, **named)

        return _attempt.handed_on(stand_in)

    def solution(self) -> Note:
        """Source of the reference solution, as it could stand in the student's cell."""
        return Note(f"```python\n{solution_source(self)}\n```")


class Chapter:
    """Joins what a chapter's module computes with the words in the TOML file beside it."""

    def __init__(self, name: str) -> None:
        path = Path(str(sys.modules[name].__file__)).with_suffix(".toml")
        self.words = tomllib.loads(path.read_text("utf-8"))
        self.name = path.stem
        self.number: str = self.words["chapter"]["number"]  #: such as "05b"
        self.title: str = self.words["chapter"]["title"]

    @property
    def notebook(self) -> str:
        """File name of the chapter's notebook."""
        return f"{self.number}_{self.name}.ipynb"

    def my_course(self) -> MyCourse:
        """What you have done and measured so far, and what is left, this chapter first."""
        return my_course(self.number)

    def recall(self) -> Quiz:
        """Two questions on earlier chapters; what was answered wrongly comes back first."""
        return recall(self.number)

    def predict(
        self,
        name: str,
        question: str,
        *,
        image: Any = None,
        curve: tuple | None = None,
        options: Sequence[str] | None = None,
    ) -> Prediction:
        """A question to answer before the outcome is shown; exactly one of the last three is given.

        Args:
            name: of the question in this chapter.
            question: what is to be predicted.
            image: uint8 RGB ``(H, W, 3)`` in which the highest place of a map is to be clicked.
            curve: the points along x, lower and upper end of y, and names of the two axes, for a curve.
            options: the answers to choose from.
        """
        axes = None if curve is None else Axes(*curve)
        return Prediction(f"{self.number}/{name}", question, image, axes, options)

    def you_against_the_network(self) -> Note:
        """Every scored prediction of this chapter, and what blind guesses score on average."""
        return summary(self.number)

    def open_task(
        self, name: str, example: Callable, properties: Mapping[str, Callable[[Any], bool]]
    ) -> OpenTask:
        """The open task with the words under `name`; each property is named in the TOML by a sentence."""
        words: dict[str, Any] = dict(self.words[name])
        said = words.pop("properties")
        if list(said) != list(properties):
            raise ValueError(f"properties must be those of the TOML, {list(said)}, got {list(properties)}")
        texts: dict[str, Any] = {key: _folded(words[key]) for key in ("title", "why", "task")}
        for key in ("rubric", "hints"):
            texts[key] = [_folded(text) for text in words[key]]
        checked = {_folded(said[key]): holds for key, holds in properties.items()}
        return OpenTask(name=name, example=example, properties=checked, **(words | texts))

    def exercise(
        self,
        name: str,
        reference: Any,
        *,
        mistakes: Mapping[str, object],
        cases: Callable[[], Sequence[tuple]] | None = None,
    ) -> Exercise:
        """The exercise with the words under `name`.

        Raises ``ValueError`` where mistakes and diagnoses do not belong together one to one.
        """
        words: dict[str, Any] = dict(self.words[name])
        diagnoses = words.pop("mistakes")
        if list(diagnoses) != list(mistakes):
            wanted = f"mistakes must be those of the TOML, {list(diagnoses)}"
            raise ValueError(f"{wanted}, got {list(mistakes)} ({name})")
        known = [Mistake(key, wrong, _folded(diagnoses[key])) for key, wrong in mistakes.items()]
        texts: dict[str, Any] = {key: _folded(words[key]) for key in ("title", "why", "task")}
        words |= texts | {"hints": [_folded(hint) for hint in words["hints"]]}
        return Exercise(name=name, reference=reference, cases=cases, mistakes=known, **words)

    def quiz(self, name: str) -> Quiz:
        """The quiz with the questions under `name`."""
        return Quiz(name, [_question(words) for words in self.words[name]])


def _question(words: Mapping) -> Question:
    options = [Option(_folded(text), mark == "right", _folded(why)) for mark, text, why in words["options"]]
    return Question(_folded(words["question"]), options, words.get("multiple", False))


def _folded(text: str) -> str:
    """`text` with its lines joined; an empty line still begins a paragraph."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def modules() -> list[ModuleType]:
    """The modules that hold exercises or quizzes, one a notebook, in the order of the course."""
    folder = Path(__path__[0])
    found = [importlib.import_module(f"{__name__}.{path.stem}") for path in folder.glob("*.toml")]
    return sorted(found, key=lambda module: module.chapter.number)


def exercises_in(module: ModuleType) -> list[Exercise]:
    """The exercises of a module, in the order of its source."""
    return [e for name, e in vars(module).items() if isinstance(e, Exercise) and name == e.name]
