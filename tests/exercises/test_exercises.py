"""The machinery of exercises, and every exercise of the course held to the same rules."""

import ast
import asyncio
import math
import re
import sys
from unittest import mock

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from made_exercises import defined, make, make_value, outer

from lecturekit.exercises import (
    Exercise,
    Outcome,
    card_markdown,
    cell_source,
    exercises_in,
    modules,
    solution_source,
    start_here,
)
from lecturekit.exercises import _attempt as attempt
from lecturekit.exercises._compare import describe, difference
from lecturekit.exercises._render import inline_html
from lecturekit.kit.storage import ROOT

ALL = [pytest.param(module, e, id=e.name) for module in modules() for e in exercises_in(module)]
MISTAKES = [
    pytest.param(e, m, id=f"{e.name}-{m.name}") for p in ALL for e in [p.values[1]] for m in e.mistakes
]
every_exercise = pytest.mark.parametrize(("module", "exercise"), ALL)


# ---------------------------------------------------------------- every exercise of every chapter


@every_exercise
def test_solution_passes(module, exercise):
    answer = exercise._stand_in() if exercise.cases is None else exercise.reference
    result = exercise.check(answer)
    assert result.outcome is Outcome.CORRECT, result


@every_exercise
def test_shown_solution_passes(module, exercise):
    shown = defined(solution_source(exercise), exercise.name, **vars(module))
    assert exercise.check(shown).outcome is Outcome.CORRECT


@every_exercise
def test_untouched_stub_is_not_attempted(module, exercise, capsys):
    stub = defined(exercise.stub, exercise.name, **vars(module))
    result = exercise.check(stub)
    assert result.outcome is Outcome.NOT_ATTEMPTED, result
    going_on = exercise.use(stub)
    assert Outcome.NOT_ATTEMPTED.value in capsys.readouterr().out
    if exercise.cases is None:
        assert not difference(going_on, exercise._stand_in())
    else:
        arguments = next(iter(exercise.cases()))
        assert attempt.run(going_on, arguments).same(attempt.run(exercise.reference, arguments), 0, 0)


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_mistake_gets_its_own_diagnosis(exercise, mistake):
    value = exercise.cases is None and callable(mistake.wrong)
    result = exercise.check(mistake.wrong() if value else mistake.wrong)
    assert (result.outcome, result.mistake) == (Outcome.WRONG, mistake.name), result
    assert result.message == mistake.diagnosis


@every_exercise
def test_three_mistakes_with_distinct_diagnoses(module, exercise):
    assert len(exercise.mistakes) >= 3
    assert len({m.name for m in exercise.mistakes}) == len(exercise.mistakes)
    assert len({m.diagnosis for m in exercise.mistakes}) == len(exercise.mistakes)
    assert all(len(m.diagnosis) >= 30 for m in exercise.mistakes)


@every_exercise
def test_hints_lead_up_to_the_solution_and_stop_before_it(module, exercise):
    assert all(hint.strip() for hint in exercise.hints)
    assert len(set(exercise.hints)) == 3
    given_away = re.sub(r"\s", "", "".join(exercise.hints))
    tree = ast.parse(solution_source(exercise)).body[0]
    body = [n for n in getattr(tree, "body", [tree]) if not _is_docstring(n)]
    statements = [re.sub(r"\s", "", ast.unparse(node)) for node in body]
    assert not all(statement.removeprefix("return") in given_away for statement in statements)


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@every_exercise
def test_card_is_complete(module, exercise):
    assert exercise.name.isidentifier()
    assert exercise.title.strip()
    assert exercise.task.strip()
    assert len(exercise.why) >= 20
    assert 1 <= exercise.minutes <= 60
    assert "..." in exercise.stub
    card = card_markdown(exercise)
    for part in (exercise.title, exercise.why.strip(), exercise.task.strip(), f"{exercise.minutes} minutes"):
        assert part in card
    assert card.count("<details>") == card.count("</details>") == 3


def hostile():
    """Answers that break a check written without care."""

    class Liar:
        def __eq__(self, other):
            raise RuntimeError("no comparison")

        def __repr__(self):
            raise RuntimeError("no text")

        __hash__ = None

    class BadError(Exception):
        def __str__(self):
            raise RuntimeError("no message")

    def raising(*_):
        raise BadError

    def endless(*a):
        return endless(*a)

    def mutual(*a):
        return mutual.other(*a)

    mutual.other = lambda *a: mutual(*a)
    mutual.__wrapped__ = mutual

    async def coroutine(*_):
        return 1

    def cancelled(*_):
        raise asyncio.CancelledError

    return {
        "text": "a",
        "number": 3,
        "huge": 10**400,
        "class": dict,
        "module": math,
        "exits": lambda *_: sys.exit(1),
        "raises": raising,
        "endless": endless,
        "mutual": mutual,
        "no_argument": lambda: 1,
        "many_arguments": lambda a, b, c, d, e, f, g, h, i: 1,
        "keyword_only": lambda *, a: a,
        "builtin": print,
        "generator": lambda *_: (yield),
        "coroutine": coroutine,
        "cancelled": cancelled,
        "gives_function": lambda *_: print,
        "gives_nan": lambda *_: math.nan,
        "gives_shape": lambda *_: torch.zeros(0, 3),
        "gives_sparse": lambda *_: torch.eye(2).to_sparse(),
        "gives_meta": lambda *_: torch.ones(2, device="meta"),
        "gives_objects": lambda *_: np.array([object()]),
        "gives_liar": lambda *_: Liar(),
        "gives_liars": lambda *_: [Liar(), Liar()],
        "liar": Liar(),
        "mock": mock.MagicMock(),
        "nan": math.nan,
        "ragged": [[1], [2, 3]],
        "texts": np.array(["a", "b"]),
    }


def assert_survives(exercise, answer, capsys):
    result = exercise.check(answer)
    assert result.outcome in (Outcome.WRONG, Outcome.CANNOT_BE_CHECKED), result
    assert result.message
    assert result.message in repr(result)
    assert result._repr_html_()
    exercise.use(answer)
    assert Outcome.CORRECT.value not in capsys.readouterr().out


never_awaited = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a coroutine that nobody awaits


@never_awaited
@every_exercise
def test_no_answer_raises(module, exercise, capsys):
    for kind, answer in hostile().items():
        try:
            assert_survives(exercise, answer, capsys)
        except AssertionError as error:
            error.add_note(f"the answer was {kind!r}")
            raise


@never_awaited
@pytest.mark.parametrize("kind", hostile())
def test_no_answer_raises_one_by_one(kind, capsys):
    """The same for a function and a value, one item an answer: it names the answer that a change broke."""
    assert_survives(make(), hostile()[kind], capsys)
    assert_survives(make_value(), hostile()[kind], capsys)


def test_names_are_those_of_the_module_and_unique():
    for module in modules():
        held = [n for n, e in vars(module).items() if isinstance(e, Exercise) and not n.startswith("_")]
        assert held == [e.name for e in exercises_in(module)]
    names = [p.values[1].name for p in ALL]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.__name__.rsplit(".", 1)[-1])
def test_notebook_shows_the_cards_and_stubs_as_they_are(module):
    name = module.__name__.rsplit(".", 1)[-1]
    notebooks = (ROOT / "notebooks").glob(f"[0-9][0-9]*_{name}.ipynb")
    (path,) = (p for p in notebooks if p.stem.partition("_")[2] == name)  # 05_ or, of a second part, 05b_
    cells = nbformat.read(path, as_version=4).cells
    cards = [c.source for c in cells if c.cell_type == "markdown" and c.source.startswith("### Exercise:")]
    assert sorted(cards) == sorted(card_markdown(e) for e in exercises_in(module))
    code = [c.source for c in cells if c.cell_type == "code"]
    for exercise in exercises_in(module):
        assert any(source.startswith(cell_source(exercise)) for source in code), exercise.name
    used = set(re.findall(r"\bexercises\.(\w+)\.", "\n".join(code)))
    assert used <= set(vars(module)), f"{path.name} uses names that {name} does not have"


# ---------------------------------------------------------------- the machinery


def test_stub_with_other_comments_docstring_and_layout_is_still_untouched():
    def outer(
        a,
        b,
    ):
        """Mine now."""
        # let me think
        ...

    assert make().check(outer).outcome is Outcome.NOT_ATTEMPTED


@pytest.mark.parametrize(
    "body", ["pass", "return None", "return ...", "raise NotImplementedError", "'''doc'''"]
)
def test_empty_bodies_are_not_attempted(body):
    answer = defined(f"def outer(a, b):\n    {body}", "outer")
    assert make().check(answer).outcome is Outcome.NOT_ATTEMPTED


@pytest.mark.parametrize(
    "body", ["c = a * 2", "print(end='')", "a[:, None] * b; c = b", "_ = [x for x in a]"]
)
def test_a_body_that_was_written_but_returns_nothing_is_asked_for_its_return(body):
    result = make().check(defined(f"def outer(a, b):\n    {body}", "outer"))
    assert result.outcome is Outcome.WRONG
    assert "Got `None` — did you forget a `return`?" in result.message


def test_hole_left_in_a_longer_stub_is_not_run():
    stub = "def outer(a, b):\n    c = ...  # your code\n    return c + 1"
    answer = defined(stub, "outer")
    assert make(stub=stub).check(answer).outcome is Outcome.NOT_ATTEMPTED


@pytest.mark.parametrize("hole", [None, ..., (..., 1), [1, ...]])
def test_values_with_holes_are_not_attempted(hole):
    assert make_value(reference=(1, 2)).check(hole).outcome is Outcome.NOT_ATTEMPTED


def test_no_answer_at_all_is_not_attempted():
    assert make().check().outcome is Outcome.NOT_ATTEMPTED
    assert make_value().check().outcome is Outcome.NOT_ATTEMPTED


def test_value_exercise_tells_right_from_wrong():
    exercise = make_value()
    assert exercise.check(42).outcome is Outcome.CORRECT
    assert exercise.check(torch.tensor(42)).outcome is Outcome.CORRECT
    assert exercise.check(84).mistake == "double"
    assert "it is 5, wanted 42" in exercise.check(5).message
    assert "a function" in exercise.check(lambda: 42).message


def test_exception_is_shown_with_the_students_own_line(tmp_path):
    source = "def helper(x):\n    return x.no_such_thing\n\ndef outer(a, b):\n    return helper(a)\n"
    (tmp_path / "cell.py").write_text(source)
    names = {}
    exec(compile(source, str(tmp_path / "cell.py"), "exec"), names)
    message = make().check(names["outer"]).message
    assert "AttributeError: 'numpy.ndarray' object has no attribute 'no_such_thing'" in message
    assert "`line 2: return x.no_such_thing`" in message
    assert str(tmp_path) not in message


def test_line_is_the_students_when_a_library_raises():
    message = make().check(lambda a, b: np.concatenate([a[None], b])).message
    assert "np.concatenate([a[None], b])" in message


def test_missing_source_shows_the_line_number_alone():
    answer = defined("def outer(a, b):\n    return 1 / 0", "outer")
    assert "`line 2`" in make().check(answer).message


def test_wrong_number_of_arguments_is_explained():
    message = make().check(lambda a: a).message
    assert message == "Your function is called with 2 arguments, `(a, b)`, and takes `(a)`."


def test_wanted_shape_and_values_are_shown():
    assert "its shape is (3,), wanted (2, 3)" in make().check(lambda a, b: np.zeros(3)).message
    message = make().check(lambda a, b: outer(a, b) + 1).message
    assert "6 of its 6 values differ; the first, at index (0, 0), is 4, wanted 3" in message
    assert "`a` = a float64 NumPy array of shape (2,)" in message


def test_second_case_can_be_the_one_that_fails():
    assert "In case 2 of 2" in make().check(lambda a, b: outer(a, b) if len(a) == 2 else a).message


@pytest.mark.parametrize("container", [np.array, torch.tensor, list])
def test_change_of_an_argument_is_diagnosed_although_the_result_is_right(container):
    fresh = lambda: [(container([1.0, 2.0]),)]  # noqa: E731
    exercise = make(reference=lambda a: a[0] + 1, cases=fresh)

    def answer(a):
        a[0] += 1
        return a[0]

    result = exercise.check(answer)
    assert result.outcome is Outcome.WRONG
    assert "changes its argument `a` in place" in result.message


def test_shared_cases_survive_an_answer_that_changes_them():
    shared = [(np.ones(2), np.ones(2))]
    exercise = make(cases=lambda: shared)

    def vandal(a, b):
        a[:] = math.nan
        return a

    assert exercise.check(vandal).outcome is Outcome.WRONG
    assert exercise.check(outer).outcome is Outcome.CORRECT


def test_network_as_argument_is_copied_and_not_compared():
    network = torch.nn.BatchNorm1d(2)
    exercise = make(reference=lambda net, x: net(x), cases=lambda: [(network, torch.eye(2))])
    assert exercise.check(lambda net, x: net(x)).outcome is Outcome.CORRECT
    assert network.num_batches_tracked == 0


def test_missing_data_is_nobodys_fault():
    def absent():
        raise FileNotFoundError("pictures.zip is not there")

    result = make(cases=absent).check(outer)
    assert result.outcome is Outcome.CANNOT_BE_CHECKED
    assert "not your fault" in result.message
    assert "pictures.zip" in result.message


def test_broken_reference_is_nobodys_fault(capsys):
    exercise = make(reference=lambda a, b: 1 / 0)
    assert exercise.check(outer).outcome is Outcome.CANNOT_BE_CHECKED
    broken = make_value(reference=lambda: 1 / 0)
    assert broken.check(3).outcome is Outcome.CANNOT_BE_CHECKED
    assert broken.use(3) == 3
    assert "go on with your answer" in capsys.readouterr().out


def test_use_goes_on_with_what_is_right(capsys):
    exercise = make()
    mine = lambda a, b: np.outer(a, b)  # noqa: E731
    assert exercise.use(mine) is mine
    assert "Correct" in capsys.readouterr().out
    stand_in = exercise.use(lambda a, b: a)
    assert "go on with the reference" in capsys.readouterr().out
    assert np.array_equal(stand_in(np.ones(2), np.ones(3)), np.ones((2, 3)))
    assert make_value().use(41) == 42


def test_stand_in_is_not_mistaken_for_the_students_answer():
    exercise = make()
    assert exercise.check(exercise.use(...)).outcome is Outcome.NOT_ATTEMPTED


def test_hints_come_one_by_one_or_by_number():
    exercise = make()
    shown = [re.search(r"\*\* (.*)\n", exercise.hint())[1] for _ in range(4)]
    assert shown == ["Shapes?", "Broadcast.", "`a[:, ____] * b`", "`a[:, ____] * b`"]
    assert "Shapes?" in exercise.hint(1)
    assert "Broadcast." in exercise.hint()
    assert "3 hints" in exercise.hint(4)
    assert "3 hints" in exercise.hint("x")


def test_solution_shows_the_source_under_the_exercises_name():
    shown = make().solution()
    assert shown.startswith("```python\ndef outer(a, b):\n")
    assert "# rows are of a, columns of b" in shown
    assert shown._repr_markdown_() == str(shown) == repr(shown)


def _sum_of_squares():
    """Why: for the tests."""
    # three numbers
    numbers = [1, 2, 3]
    return sum(
        n * n for n in numbers
    )  # fmt: skip


def test_solution_of_a_value_is_an_assignment():
    assert solution_source(make_value()) == "answer = 42"
    source = solution_source(make_value(reference=_sum_of_squares))
    assert source.startswith("# three numbers\nnumbers = [1, 2, 3]\nanswer = sum(")
    assert defined(source, "answer") == 14


def test_result_says_its_outcome_without_colour():
    exercise = make()
    seen = {exercise.check(a)._repr_html_()[:300] for a in (outer, 3, ...)}
    assert len(seen) == 3
    html = exercise.check(lambda a, b: "<script>`x`")._repr_html_()
    assert "✗ Not right yet" in html
    assert "<script>" not in html


@pytest.fixture
def cell():
    """Runs a notebook cell in this process; gives back its `outputs` and `stdout`."""
    shell = InteractiveShell.instance()

    def run(source):
        with capture_output() as captured:
            assert shell.run_cell(source, store_history=True).success
        return captured

    yield run
    InteractiveShell.clear_instance()


def test_use_displays_in_a_notebook(cell):
    cell("from lecturekit.exercises import start_here as exercises")
    (shown,) = cell(cell_source(start_here.labels_in)).outputs
    assert "○ Not attempted" in shown.data["text/plain"]
    assert "○ Not attempted" in shown.data["text/html"]
    assert "180" in cell("labels_in(1, 20)").stdout


def test_line_of_a_notebook_cell_is_shown(cell):
    cell("from lecturekit.exercises import start_here as exercises")
    shown = cell("def labels_in(a, b):\n    return a / nothing\nexercises.labels_in.check(labels_in)")
    assert "`line 2: return a / nothing`" in shown.stdout


@pytest.mark.parametrize("changes", [{"difficulty": 4}, {"hints": ("one",)}])
def test_incomplete_exercise_is_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        make(**changes)


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("a < `b<c`\nd", "a &lt; <code>b&lt;c</code><br>d"),
        ("each *side*, *half open*", "each <em>side</em>, <em>half open</em>"),
        ("they *dis*agree", "they <em>dis</em>agree"),
        ("`x *y* z` and *w*", "<code>x *y* z</code> and <em>w</em>"),
        ("a * b * c, 2*3*4, f(*a, **b)", "a * b * c, 2*3*4, f(*a, **b)"),
    ],
)
def test_inline_html_escapes_and_marks_code_and_emphasis(text, page):
    assert inline_html(text) == page


# ---------------------------------------------------------------- comparing answers

SAME = [
    (1, 1.0),
    (np.float32(0.1), 0.1),
    (torch.tensor(0.5), 0.5),
    (np.array(True), True),
    (math.nan, math.nan),
    (math.inf, math.inf),
    (" Cat ", "cat"),
    ([1, 2], (1, 2.0)),
    (np.array([1, 2, 3, 4]), (1, 2, 3, 4)),
    (torch.ones(2), torch.ones(2, dtype=torch.float64)),
    (torch.ones(2, requires_grad=True), torch.ones(2)),
    (torch.ones(2, dtype=torch.bfloat16), torch.ones(2)),
    (np.ones(2, np.float16), np.ones(2)),
    (np.uint8([1, 2]), np.array([1, 2])),
    (np.array([math.nan, math.inf, 1]), np.array([math.nan, math.inf, 1])),
    (np.zeros((0, 3)), np.zeros((0, 3))),
    ({"a": np.ones(2), "b": [1]}, {"b": [1], "a": np.ones(2)}),
    ([(1, "x"), None], [(1, "X"), None]),
    (np.array(["a"]), np.array(["a"])),
    (1 + 2j, 1 + 2j),
]

DIFFERENT = [
    (1, 2, "it is 1, wanted 2"),
    (1, True, "it is 1, wanted True"),
    (True, 1, "it is True, wanted 1"),
    ("1", 1, "it is '1', wanted 1"),
    (math.nan, 1.0, "it is nan, wanted 1.0"),
    (math.inf, -math.inf, "it is inf, wanted -inf"),
    (None, 1, "it is None, wanted 1"),
    (10**400, 1.0, "wanted 1.0"),
    (torch.ones(1), 1.0, "it is a float32 tensor of shape (1,), wanted 1.0"),
    ((1, 2), (1, 2, 3), "it has 2 items, wanted 3"),
    ((1, 2), (1, 3), "in item 1, it is 2, wanted 3"),
    (3, (1, 2), "it is 3, wanted (1, 2)"),
    (
        np.ones(2),
        torch.ones(2),
        "it is a float64 NumPy array of shape (2,), wanted a float32 tensor of shape (2,)",
    ),
    ([1.0, 1.0], np.ones(2), "it is [1.0, 1.0], wanted a float64 NumPy array"),
    (torch.ones(2, 3), torch.ones(3, 2), "its shape is (2, 3), wanted (3, 2)"),
    (torch.ones(2).long(), torch.ones(2), "its numbers are integer (int64), wanted floating point (float32)"),
    (torch.ones(2).bool(), torch.ones(2).byte(), "its numbers are bool (bool), wanted integer (uint8)"),
    (np.array([1, math.nan]), np.ones(2), "1 of its 2 values are NaN"),
    (np.array([1.0, 2.0]), np.array([1.0, math.nan]), "1 of its 2 values differ; the first, at index 1"),
    (
        np.array([1, 2, 4]),
        np.array([1, 2, 3]),
        "1 of its 3 values differ; the first, at index 2, is 4, wanted 3",
    ),
    ({"a": 1}, {"b": 1}, "its keys are ['a'], wanted ['b']"),
    ({"a": 1}, {"a": 2}, "under 'a', it is 1, wanted 2"),
    (print, 1, "it is a function, wanted 1"),
    (int, 1, "it is a class, wanted 1"),
    (object(), 1, "it is an object of type object, wanted 1"),
]


@pytest.mark.parametrize(("met", "wanted"), SAME)
def test_interchangeable(met, wanted):
    assert difference(met, wanted) == ""


@pytest.mark.parametrize(("met", "wanted", "words"), DIFFERENT)
def test_told_apart_in_words(met, wanted, words):
    assert words in difference(met, wanted)


arrays = hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e6, 1e6))


@given(arrays, st.floats(1e-3, 1e3), st.data())
def test_one_changed_value_is_found_where_it_is(wanted, change, data):
    index = data.draw(st.tuples(*(st.integers(0, n - 1) for n in wanted.shape)))
    met = wanted.copy()
    met[index] += change + 1e-3 * abs(met[index])
    place = index[0] if len(index) == 1 else index
    assert f"1 of its {met.size} values differ; the first, at index {place}," in difference(met, wanted)
    assert difference(wanted.copy(), wanted) == ""


@given(arrays)
def test_tolerance_is_numpys(wanted):
    met = wanted * (1 + 0.9e-4)
    assert difference(met, wanted) == ""
    assert (difference(met, wanted, rtol=1e-6) == "") == np.allclose(met, wanted, rtol=1e-6, atol=1e-6)


def test_long_values_are_described_briefly():
    assert describe(list(range(1000))) == "a list of 1000"
    assert len(describe("x" * 10_000)) <= 200


def test_copies_share_no_memory():
    leaf = torch.ones(2, requires_grad=True)
    originals = {
        "array": np.ones(2),
        "tensor": torch.ones(2),
        "leaf": leaf,
        "inner": leaf * 2,
        "list": [1, 2],
    }
    before = {name: str(value) for name, value in originals.items()}
    for original in originals.values():
        twin = attempt.duplicate(original)
        (twin.detach() if torch.is_tensor(twin) else twin)[0] = 7
    assert {name: str(value) for name, value in originals.items()} == before
    assert attempt.duplicate(leaf).requires_grad


def test_what_cannot_be_copied_is_passed_as_it_is():
    generator = (n for n in range(2))
    assert attempt.duplicate(generator) is generator
