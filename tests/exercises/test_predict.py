"""Guesses scored against outcomes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lecturekit.exercises.predict import score_choice, score_click, score_curve

maps = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 3)
)


@given(maps)
def test_clicking_everywhere_scores_a_half_on_average(class_map):
    h, w = class_map.shape
    spots = [((x + 0.5) / w, (y + 0.5) / h) for y in range(h) for x in range(w)]
    assert np.mean([score_click(spot, class_map).points for spot in spots]) == pytest.approx(0.5)


@given(maps)
def test_no_click_beats_the_peak(class_map):
    h, w = class_map.shape
    row, column = np.unravel_index(class_map.argmax(), (h, w))
    best = score_click(((column + 0.5) / w, (row + 0.5) / h), class_map)
    assert best.points >= score_click((0.0, 0.0), class_map).points
    assert "0.00 away" in best.words


def test_corners_belong_to_the_map():
    assert score_click((1, 1), [[0, 0], [0, 1]]).points == 0.875


curves = st.lists(st.floats(0, 1), min_size=1, max_size=9)


@given(curves)
def test_the_curve_itself_scores_one(curve):
    assert score_curve(curve, curve, 0, 1).points == 1
    flat = score_curve([0.5] * len(curve), curve, 0, 1)
    assert flat.points == pytest.approx(flat.blind)


def test_choice():
    assert score_choice("a", "a", 4)[:2] == (1.0, 0.25)
    assert score_choice("b", "a", 2)[:2] == (0.0, 0.5)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: score_click((0.5, 1.5), [[1.0]]), "point"),
        (lambda: score_click((0.5, 0.5), [[np.nan]]), "class_map"),
        (lambda: score_click((0.5, 0.5), [1.0]), "class_map"),
        (lambda: score_curve([1], [1, 2], 0, 1), "guess"),
        (lambda: score_curve([1], [1], 1, 1), "high"),
        (lambda: score_choice(1, 1, 1), "options"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
