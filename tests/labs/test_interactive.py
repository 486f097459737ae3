"""Strokes as labels, the student of one image, and the simulated person who corrects it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from lecturekit.datasets import scenes
from lecturekit.labels import shapes
from lecturekit.labs import interactive
from lecturekit.learning.features import features


def test_strokes_are_labels_the_annotator_would_take():
    made = [interactive.stroke(k, [(3, 4), (20.5, 9)], 5) for k in (1, 2)]
    checked = [shapes.checked(label, (30, 40), 2) for label in made]
    assert [c["class_index"] for c in checked] == [1, 2]
    assert len({c["id"] for c in checked}) == 2


def test_strokes_of_one_beginning_have_names_of_their_own():
    long = [(float(k), 5.0) for k in range(40)]
    made = [interactive.stroke(1, [*long, (9, y)], 2) for y in (1, 2)]
    assert made[0]["id"] != made[1]["id"]


def test_the_later_stroke_counts_where_two_cross():
    across = interactive.stroke(2, [(0, 10), (20, 10)], 3)
    down = interactive.stroke(1, [(10, 0), (10, 20)], 3)
    for order, middle in (([across, down], 0), ([down, across], 1)):
        found = interactive.strokes_as_labels(order, (20, 20))
        assert found[10, 10] == middle
        assert found[10, 2] == 1
        assert found[2, 10] == 0
        assert found[2, 2] == 255


def test_points_are_labels_too():
    click = {"kind": "point", "class_index": 3, "points": [[4.5, 2.5]]}
    found = interactive.strokes_as_labels([click], (5, 6))
    assert found[2, 4] == 2
    assert (found != 255).sum() == 1


def _mistakes(predicted, truth):
    """Sizes of all connected mistakes."""
    sizes = []
    for c in np.unique(truth[truth != 255]):
        regions, count = ndimage.label((truth == c) & (predicted != c))
        sizes += [(regions == k).sum() for k in range(1, count + 1)]
    return sizes


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_a_correction_lies_within_the_largest_mistake_and_is_right(seed, width):
    random = np.random.default_rng(seed)
    truth, predicted = random.integers(0, 3, (2, 9, 11)).astype(np.uint8)
    truth[random.random(truth.shape) < 0.1] = 255
    found = interactive.correction(predicted, truth, width=width)
    where = found != 255
    sizes = _mistakes(predicted, truth)
    assert where.any() == bool(sizes)
    if sizes:
        assert (found[where] == truth[where]).all()
        assert (predicted[where] != truth[where]).all()
        c = found[where][0]
        regions = ndimage.label((truth == c) & (predicted != c))[0]
        inside = np.unique(regions[where])
        assert len(inside) == 1
        assert (regions == inside[0]).sum() == max(sizes)


def test_nothing_is_drawn_where_nothing_is_wrong():
    truth = np.array([[0, 1], [255, 2]], np.uint8)
    predicted = np.where(truth == 255, 1, truth)
    assert (interactive.correction(predicted, truth) == 255).all()


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="truth must be"):
        interactive.correction(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


@pytest.fixture(scope="module")
def scene():
    return scenes.scene(3)


def test_a_student_of_one_image_learns_from_its_strokes_alone(scene):
    seen = features([scene.image], side=192, device="cpu", cache=False)
    answer = interactive.learn_strokes(seen, scene.scribbles, 8, device="cpu").labels(seen)[0]
    drawn = scene.scribbles != 255
    assert answer.shape == scene.mask.shape
    assert (answer[drawn] == scene.scribbles[drawn]).mean() > 0.85
    assert set(np.unique(answer)) <= set(np.unique(scene.scribbles[drawn]))
    assert (answer == scene.mask).mean() > (scene.mask == 0).mean() - 0.15


def test_what_cannot_be_learned_from_is_refused(scene):
    seen = features([scene.image, scene.image], side=64, device="cpu", cache=False)
    with pytest.raises(ValueError, match="one image, got 2"):
        interactive.learn_strokes(seen, scene.scribbles, 8)
    one = features([scene.image], like=seen, device="cpu", cache=False)
    with pytest.raises(ValueError, match="at least one pixel"):
        interactive.learn_strokes(one, np.full(scene.mask.shape, 255, np.uint8), 8)
