"""Minimum cuts against enumeration, two pixels by hand, and one solver against the other."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecturekit.pixels.mincut import NEIGHBOURS, energy, exact_min_cut, min_cut

ALL_3_BY_3 = torch.tensor(list(itertools.product([False, True], repeat=9))).view(512, 3, 3)
SOLVERS = {"relaxed": lambda c, w: min_cut(c, w, tolerance=1e-6), "exact": exact_min_cut}


pytestmark = pytest.mark.usefixtures("one_thread")


def problem(seed, size=(3, 3), batch=1, strength=2.0):
    random = torch.Generator().manual_seed(seed)
    unary = torch.randn(batch, *size, generator=random, dtype=torch.float64)
    pairwise = torch.rand(batch, 4, *size, generator=random, dtype=torch.float64) * strength
    return unary, pairwise


def energy_by_loops(mask, unary, pairwise):
    total, (height, width) = 0.0, mask.shape
    for y, x in itertools.product(range(height), range(width)):
        total += float(unary[y, x]) * bool(mask[y, x])
        for k, (dy, dx) in enumerate(NEIGHBOURS):
            if 0 <= y + dy < height and 0 <= x + dx < width and mask[y, x] != mask[y + dy, x + dx]:
                total += float(pairwise[k, y, x])
    return total


def test_energy_is_its_definition():
    unary, pairwise = problem(0, (4, 5))
    mask = torch.rand(1, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.5
    expected = energy_by_loops(mask[0], unary[0], pairwise[0])
    assert energy(mask, unary, pairwise).item() == pytest.approx(expected)


def test_two_pixels_by_hand():
    # apart: -2 for the left one and 1.5 for the boundary; together: -2 + 1 = -1
    unary = torch.tensor([[[-2.0, 1.0]]])
    pairwise = torch.zeros(1, 4, 1, 2)
    pairwise[0, 0, 0, 0] = 1.5
    for solve in SOLVERS.values():
        cut = solve(unary, pairwise)
        assert cut.mask.tolist() == [[[True, True]]]
        assert cut.energy.item() == pytest.approx(-1)
        assert cut.bound.item() == pytest.approx(-1, abs=1e-4)
    pairwise[0, 0, 0, 0] = 0.5
    for solve in SOLVERS.values():
        assert solve(unary, pairwise).mask.tolist() == [[[True, False]]]


@pytest.mark.parametrize("name", SOLVERS)
@given(st.integers(0, 10**6), st.floats(0, 5))
@settings(max_examples=25, deadline=None)
def test_no_labelling_of_nine_pixels_is_better(name, seed, strength):
    unary, pairwise = problem(seed, strength=strength)
    least = energy(ALL_3_BY_3, unary.expand(512, 3, 3), pairwise.expand(512, 4, 3, 3)).min()
    cut = SOLVERS[name](unary, pairwise)
    assert cut.energy.item() == pytest.approx(least.item(), abs=1e-4)
    assert least - 1e-3 <= cut.bound.item() <= least + 1e-9


def test_relaxed_agrees_with_exact_on_a_batch():
    unary, pairwise = problem(3, (24, 31), batch=3)
    relaxed, exact = min_cut(unary, pairwise, tolerance=1e-5), exact_min_cut(unary, pairwise)
    torch.testing.assert_close(relaxed.energy, exact.energy, rtol=1e-4, atol=0.01)
    assert (relaxed.mask == exact.mask).double().mean() > 0.99
    assert (relaxed.bound <= exact.energy + 1e-6).all()
    assert (exact.bound <= relaxed.energy + 1e-6).all()


def test_pictures_of_a_batch_stop_one_by_one_and_are_as_they_are_alone():
    """An easy picture beside hard ones: each ends where it would end by itself, and can be gone on from."""
    unary, pairwise = problem(0, (12, 14), batch=3, strength=4.0)
    pairwise[1] *= 0.01
    together = min_cut(unary, pairwise, tolerance=1e-4)
    for k in range(3):
        alone = min_cut(unary[k : k + 1], pairwise[k : k + 1], tolerance=1e-4)
        assert (together.mask[k] == alone.mask[0]).all()
        for part, single in zip((*together[1:4], *together.flow), (*alone[1:4], *alone.flow), strict=True):
            torch.testing.assert_close(part[k], single[0])
    assert (together.energy - together.bound <= 1e-4 * unary[0].numel()).all()
    again = min_cut(unary, pairwise, steps=25, tolerance=1e-4, start=together)
    assert (again.energy - again.bound <= 1e-4 * unary[0].numel()).all()


def test_bound_holds_long_before_convergence():
    unary, pairwise = problem(4, (16, 16), batch=4, strength=6.0)
    least = exact_min_cut(unary, pairwise).energy
    early, late = min_cut(unary, pairwise, steps=5), min_cut(unary, pairwise, steps=400, tolerance=0)
    assert (early.bound <= least).all()
    assert (late.bound <= least + 1e-9).all()
    assert (late.bound > early.bound).all()
    assert (late.energy - late.bound).max() < 0.05 * (early.energy - early.bound).max()


def test_going_on_from_an_earlier_result_needs_fewer_steps():
    unary, pairwise = problem(5, (32, 32), strength=6.0)
    before = min_cut(unary, pairwise, tolerance=1e-5)
    changed = unary + 0.01
    warm = min_cut(changed, pairwise, steps=50, tolerance=0, start=before)
    cold = min_cut(changed, pairwise, steps=50, tolerance=0)
    assert warm.energy - warm.bound < (cold.energy - cold.bound) / 2
    torch.testing.assert_close(before.energy, exact_min_cut(unary, pairwise).energy, rtol=1e-4, atol=0.01)


def test_without_pairs_every_pixel_decides_for_itself():
    unary, _ = problem(6, (5, 4))
    nothing = torch.zeros(1, 4, 5, 4, dtype=unary.dtype)
    for solve in SOLVERS.values():
        np.testing.assert_array_equal(solve(unary, nothing).mask, unary < 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
def test_narrow_pictures(size):
    unary, pairwise = problem(7, size)
    for solve in SOLVERS.values():
        cut = solve(unary, pairwise)
        assert cut.mask.shape == (1, *size)
        assert cut.bound <= cut.energy
    torch.testing.assert_close(
        SOLVERS["relaxed"](unary, pairwise).energy, exact_min_cut(unary, pairwise).energy
    )


def test_both_are_deterministic():
    unary, pairwise = problem(8, (20, 20))
    for solve in SOLVERS.values():
        assert torch.equal(solve(unary, pairwise).mask, solve(unary, pairwise).mask)


def test_all_costs_zero():
    zero = torch.zeros(1, 3, 3), torch.zeros(1, 4, 3, 3)
    for solve in SOLVERS.values():
        assert solve(*zero).energy.item() == 0


@pytest.mark.parametrize("cut", [min_cut, exact_min_cut])
@pytest.mark.parametrize(
    ("unary", "pairwise", "words"),
    [
        (torch.full((1, 3, 4), torch.nan), torch.ones(1, 4, 3, 4), "unary must be finite"),
        (torch.full((1, 3, 4), torch.inf), torch.ones(1, 4, 3, 4), "unary must be finite"),
        (torch.ones(1, 3, 4, dtype=torch.long), torch.ones(1, 4, 3, 4), "unary must be finite floats"),
        (torch.ones(1, 3, 4), torch.full((1, 4, 3, 4), torch.nan), "pairwise must be finite"),
        (torch.ones(1, 3, 4), torch.full((1, 4, 3, 4), torch.inf), "pairwise must be finite"),
        (torch.ones(1, 3, 4), -torch.ones(1, 4, 3, 4), "pairwise must be finite and at least 0"),
        (torch.ones(1, 3, 4), torch.ones(1, 4, 3, 5), "pairwise"),
        (torch.ones(3, 4), torch.ones(4, 3, 4), "unary must be"),
    ],
)
def test_costs_that_are_no_costs_are_named(cut, unary, pairwise, words):
    with pytest.raises(ValueError, match=words):
        cut(unary, pairwise)


@pytest.mark.parametrize("cut", [min_cut, exact_min_cut])
def test_costs_that_require_grad_are_costs(cut):
    unary = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(0))
    pairwise = torch.full((1, 4, 5, 6), 0.3)
    found = cut(unary.clone().requires_grad_(), pairwise.clone().requires_grad_())
    assert torch.equal(found.mask, cut(unary, pairwise).mask)
    assert not found.soft.requires_grad
