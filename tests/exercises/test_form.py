"""Accepted answers of an unusual form go on in the form of the reference, so that no later cell breaks."""

import numpy as np
import pytest
import torch
from made_exercises import make, make_value

from lecturekit.exercises import Outcome, exercises_in, modules
from lecturekit.exercises._attempt import run
from lecturekit.exercises._compare import difference
from lecturekit.exercises._form import conform, same_form

ALL = [pytest.param(e, id=e.name) for module in modules() for e in exercises_in(module)]


_WIDE = {"f": np.longdouble, "u": np.int64, "i": np.int32}


def other_numbers(value):
    """Values as the widest numbers of their kind."""
    if isinstance(value, torch.Tensor):
        wide = torch.float64 if value.is_floating_point() else torch.int64
        return value if value.dtype is torch.bool else value.to(wide)
    if isinstance(value, np.ndarray):
        return value.astype(_WIDE.get(value.dtype.kind, value.dtype))
    if isinstance(value, float | np.floating):
        return torch.tensor(float(value), dtype=torch.float64)
    return np.array(value) if isinstance(value, bool | int) else value


def other_container(value):
    if isinstance(value, tuple):
        return [other_container(v) for v in value]
    if isinstance(value, list):
        return tuple(other_container(v) for v in value)
    return value


def read_only(value):
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value.expand(value.shape) if isinstance(value, torch.Tensor) else value


def not_contiguous(value):
    if isinstance(value, np.ndarray):
        return np.asfortranarray(np.repeat(value, 2, 0)[::2]) if value.ndim else value
    if isinstance(value, torch.Tensor) and value.ndim:
        return value.repeat_interleave(2, 0)[::2]
    return value


def in_a_graph(value):
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.detach().clone().requires_grad_() if floating else value


def shouted(value):
    return f" {value.upper()} " if isinstance(value, str) else value


UNUSUAL = [other_numbers, other_container, read_only, not_contiguous, in_a_graph, shouted]


@pytest.mark.parametrize("unusual", UNUSUAL)
@pytest.mark.parametrize("exercise", ALL)
def test_what_is_accepted_goes_on_in_the_references_form(exercise, unusual, capsys):
    if exercise.cases is None:
        answer = unusual(exercise._stand_in())
    else:
        answer = lambda *arguments: unusual(exercise.reference(*arguments))  # noqa: E731
    result = exercise.check(answer)
    if result.outcome is not Outcome.CORRECT:
        assert result.outcome is Outcome.WRONG  # refused is fine: then the reference goes on
        return
    going_on = exercise.use(answer)
    for case in exercise.cases() if exercise.cases else [()]:
        met = run(going_on, case).value if exercise.cases else going_on
        wanted = run(exercise.reference, case).value if exercise.cases else exercise._stand_in()
        assert type(met) is type(wanted)
        assert same_form(met, wanted), (met, wanted)


@pytest.mark.parametrize(
    ("value", "like"),
    [
        (np.arange(4), np.zeros(2, np.uint8)),
        (torch.ones(2, 3, dtype=torch.float64).T, torch.zeros(3, 2)),
        ([1, np.int64(2)], (1, 2)),
        (torch.tensor(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (1.0, torch.tensor(2.0)),
        ([np.arange(3)] * 4, [np.zeros(3, np.uint8)]),
        ({"a": np.ones(2, np.float32)}, {"a": np.zeros(2)}),
        ([], ()),
        ("Cat ", "Cat"),
    ],
    ids=str,
)
def test_conform(value, like):
    made = conform(value, like)
    assert type(made) is type(like)
    if not isinstance(like, list | dict):
        assert same_form(made, like)
    assert difference(made, conform(made, value)) == ""


def test_gradients_still_flow_where_an_argument_asks_for_them():
    exercise = make(reference=lambda a: 2 * a, cases=lambda: [(torch.ones(2),)], mistakes=[])
    going_on = exercise.use(lambda a: (2 * a).double())
    leaf = torch.ones(2, requires_grad=True)
    going_on(leaf).sum().backward()
    assert leaf.grad.tolist() == [2, 2]
    assert going_on(leaf).dtype is torch.float32


def test_a_value_is_brought_into_form(capsys):
    going_on = make_value().use(np.int64(42))
    assert type(going_on) is int
    assert make_value(reference=(1, 2)).use([1, 2]) == (1, 2)


def test_seeds_of_another_size_of_integer_reach_opencv_as_uint8(capsys):
    from lecturekit.exercises import saliency

    exercise = saliency.seeds_from_map
    seeds = exercise.use(lambda *a: exercise.reference(*a).astype(np.int64))
    assert seeds(*exercise.case(1)).dtype == np.uint8


def test_a_masked_array_goes_on_as_a_plain_one(capsys):
    exercise = make()
    going_on = exercise.use(lambda a, b: np.ma.masked_array(a[:, None] * b))
    assert type(going_on(*exercise.case(1))) is np.ndarray


def _no_gradients(a, b):
    torch.set_grad_enabled(False)
    return a[:, None] * b


def _other_numbers(a, b):
    torch.set_default_dtype(torch.float64)
    return a[:, None] * b


def _errors(a, b):
    np.seterr(all="raise")
    return a[:, None] * b


@pytest.mark.parametrize("answer", [_no_gradients, _other_numbers, _errors])
def test_a_right_answer_that_switches_something_for_all_that_follows_is_not_accepted(answer, capsys):
    before = np.geterr()
    result = make().check(answer)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() is torch.float32
    assert np.geterr() == before
    assert result.outcome is Outcome.WRONG
    assert "for every cell that follows" in result.message
