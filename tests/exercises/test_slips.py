"""Slips that every check recognises, whatever the exercise: a factor, a sign, an axis, a container."""

import numpy as np
import pytest
import torch
from made_exercises import make, make_value

from lecturekit.exercises import Outcome, exercises_in, modules
from lecturekit.exercises._slips import slip

RNG = np.random.default_rng(0)
ARRAYS = [RNG.random((3, 5)) + 0.1, RNG.random((4, 2)) - 0.5]
CUBES = [RNG.random((2, 3, 4)), RNG.random((3, 5, 2))]
ROWS = [RNG.random(6), RNG.random(5)]
WHOLE = [np.arange(6) * 3, np.arange(1, 6) ** 2]
TENSORS = [torch.rand(2, 3), torch.rand(4, 1)]

SLIPS = [
    (lambda x: 60 * x, ARRAYS, "60 times too large: minutes or seconds"),
    (lambda x: x / 1000, ROWS, "1000 times too small: milliseconds or seconds"),
    (lambda x: 7 * x, ROWS, "7 times too large, the same factor"),
    (lambda x: -x, ARRAYS, "plus and minus exchanged"),
    (lambda x: x * x.size, ROWS, "differs from case to case (6, 5): is there a sum where a mean"),
    (lambda x: x.T, ARRAYS, "Rows and columns are exchanged"),
    (lambda x: x.transpose(1, 2, 0), CUBES, "axes are in another order: wanted are your axes (2, 0, 1)"),
    (lambda x: x[::-1], ROWS, "reverse order"),
    (lambda x: x[:, ::-1], ARRAYS, "reversed along axis 1"),
    (lambda x: x[None], ARRAYS, "with an axis too many"),
    (lambda x: x[0], [a[None] for a in ARRAYS], "with an axis too few"),
    (lambda x: x + 1, WHOLE, "Off by 1: every number is that much too large. Does counting begin at 0"),
    (lambda x: x - 0.5, ROWS, "Off by 0.5: every number is that much too small"),
    (lambda x: x[:-1], ROWS, "one item too few at the end"),
    (lambda x: x[1:], ROWS, "one item too few at the beginning"),
    (lambda x: np.append(x, 0.0), ROWS, "one item too many at the end"),
    (lambda x: np.roll(x, 1), ROWS, "moved by one place along axis 0"),
    (lambda x: np.roll(x, -1, 0), [RNG.random((5, 4)), RNG.random((6, 4))], "one place along axis 0"),
    (lambda x: x.astype(int), [10 * r for r in ROWS], "lose the digits behind the point"),
    (lambda x: x.astype(float), WHOLE, "their type is float64, and wanted is int64"),
    (lambda x: x.numpy(), TENSORS, "they come as a NumPy array. Wanted is a torch tensor: `torch.from_numpy"),
    (lambda x: torch.from_numpy(x), ARRAYS, "they come as a torch tensor. Wanted is a NumPy array"),
    (lambda x: x.tolist(), TENSORS, "they come as a sequence. Wanted is a torch tensor"),
    (lambda x: x[:, None].max(1), TENSORS, "take `.values`, or use `amax`"),
    (lambda x: (3, x), ARRAYS, "item 1 of it is the wanted answer"),
]


@pytest.mark.parametrize(("wrong", "wanted", "words"), SLIPS, ids=[words[:30] for *_, words in SLIPS])
def test_slip_is_named(wrong, wanted, words):
    exercise = make(reference=lambda x: x, cases=lambda: [(w,) for w in wanted], mistakes=[])
    result = exercise.check(wrong)
    assert result.outcome is Outcome.WRONG
    assert words in result.message
    assert "Called with `x`" in result.message


PAIRS = [(RNG.random(3), 0.5), (RNG.random(4), 0.25)]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda pair: (60 * pair[0], 60 * pair[1]), "Every number is 60 times too large"),
        (lambda pair: (-pair[0], -pair[1]), "The sign: "),
        (lambda pair: (pair[0], 60 * pair[1]), "Item 1: Every number is 60 times too large"),
        (lambda pair: [pair[0][None], pair[1]], "Item 0: The numbers are right, with an axis too many"),
    ],
)
def test_slips_in_a_pair_are_named(wrong, words):
    assert slip([(wrong(pair), pair) for pair in PAIRS], 1e-4, 1e-6).startswith(words)
    noise = [((pair[0] + RNG.random(len(pair[0])), 60 * pair[1]), pair) for pair in PAIRS]
    assert slip(noise, 1e-4, 1e-6) == ""


def test_a_case_of_noughts_does_not_hide_a_factor():
    wanted = [np.zeros(4), *ROWS]
    assert "60 times too large" in slip([(60 * w, w) for w in wanted], 1e-4, 1e-6)
    assert slip([(w + 1, w) for w in (np.zeros(4), np.zeros(3))], 1e-4, 1e-6).startswith("Off by 1")


async def _later(value):
    return value


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: (v for v in x), "a generator, which has computed nothing yet"),
        (_later, "begins with `async`"),
        (type, "return a class"),
        (lambda x: lambda: x, "return a function, not what it gives"),
        (lambda x: {"answer": x}, "Your dictionary holds the wanted answer"),
        (str, "return a text"),
    ],
)
def test_what_holds_or_would_give_the_answer_is_named(wrong, words):
    assert words in slip([(wrong(row), row) for row in ROWS], 1e-4, 1e-6)


@pytest.mark.parametrize("odd", [lambda x: x.to_sparse(), lambda x: x.to("meta")])
def test_a_tensor_without_numbers_is_wrong_and_breaks_nothing(odd):
    exercise = make(reference=lambda a: 2 * a, cases=lambda: [(torch.ones(2, 3),)], mistakes=[])
    result = exercise.check(lambda a: odd(2 * a))
    assert result.outcome is Outcome.WRONG
    assert "it is a tensor" in result.message


def test_an_answer_cut_off_from_the_graph_is_named():
    leaf = torch.ones(3, requires_grad=True)
    exercise = make(reference=lambda x: 2 * x, cases=lambda: [(leaf,)], mistakes=[])
    assert exercise.check(lambda x: x + x).outcome is Outcome.CORRECT
    assert "no gradient can flow back" in exercise.check(lambda x: 2 * x.detach()).message


def test_a_single_number_is_judged_by_the_known_factors_alone():
    exercise = make_value(mistakes=[])
    assert "60 times too large: minutes or seconds" in exercise.check(42 * 60).message
    assert "times" not in exercise.check(42 * 7).message


@pytest.mark.parametrize("wanted", [ARRAYS, CUBES, ROWS, WHOLE, [np.zeros((2, 2))], [np.ones((0, 3))]])
def test_an_answer_of_noise_is_no_slip(wanted):
    rng = np.random.default_rng(1)
    assert slip([(rng.random(w.shape) + 7, w) for w in wanted], 1e-4, 1e-6) == ""


@pytest.mark.parametrize("wanted", [1, "a", {"a": 1}, [1, 2], np.ones(3), torch.ones(2, 2), None])
def test_nothing_odd_breaks_the_detectors(wanted):
    for odd in (None, "a", {}, {1: 2}, [], object(), [[1], [2, 3]], torch.zeros(0)):
        assert isinstance(slip([(odd, wanted)], 1e-4, 1e-6), str)


def test_right_answers_of_the_course_are_no_slips():
    for module in modules():
        for exercise in exercises_in(module):
            cases = exercise.cases() if exercise.cases else [()]
            wanted = [exercise.reference(*case) for case in cases]
            assert slip([(w, w) for w in wanted], 1e-4, 1e-6) == "", exercise.name


# ---------------------------------------------------------------- yours, wanted, difference; the failing case


def test_few_numbers_are_shown_as_tables_that_mark_what_is_wrong():
    page = make().check(lambda a, b: np.outer(a, b) + np.eye(len(a), len(b)))._repr_html_()
    assert page.count("<table") == 3
    assert page.count("✗ ") == 3  # the outcome, and the two places on the diagonal
    assert [f"<figcaption>{n}</figcaption>" in page for n in ("yours", "wanted", "difference")] == [True] * 3


def test_many_numbers_are_shown_as_pictures_with_alternative_texts():
    exercise = make(reference=lambda a, b: a, cases=lambda: [(RNG.random((40, 300)), 1)], mistakes=[])
    page = exercise.check(lambda a, b: a * a)._repr_html_()
    assert page.count("<img alt=") == 3
    assert 'alt="difference: values from' in page
    assert len(page) < 60_000


@pytest.mark.parametrize(
    "odd", [np.full((3, 3), np.nan), np.zeros((0, 2)), torch.ones(2, 2, 9, 9), "text"], ids=str
)
def test_nothing_odd_breaks_the_panels(odd):
    assert make(cases=lambda: [(np.ones(9), np.ones(9))]).check(lambda a, b: odd)._repr_html_()


def test_the_failing_case_can_be_fetched():
    exercise = make()
    result = exercise.check(lambda a, b: np.outer(a, b) if len(a) == 2 else a)
    assert "`exercises.outer.case(2)` gives you these arguments" in result.message
    a, b = exercise.case()
    assert a.tolist() == [1, 1, 1]
    assert b.tolist() == [0, 1]
    assert exercise.case(1)[0].tolist() == [1, 2]


def test_a_fetched_case_is_a_copy():
    case = (np.ones(2), np.ones(2))
    exercise = make(cases=lambda: [case])
    exercise.case(1)[0][:] = 7
    assert case[0].tolist() == [1, 1]


@pytest.mark.parametrize("number", [0, 3, "a", 1.5])
def test_a_case_that_does_not_exist_is_refused(number):
    with pytest.raises(ValueError, match="number must be a whole number in 1"):
        make().case(number)
