"""The picture of the route from class to pixels."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from lecturekit.datasets.photos import PHOTOS, photo
from lecturekit.labs import route


@pytest.fixture(scope="module")
def motorcycle():
    return photo("motorcycle")[::4, ::4], tuple(v // 4 for v in PHOTOS["motorcycle"].box)


def test_mask_lies_in_the_box_and_is_neither_empty_nor_all_of_it(motorcycle):
    image, (x0, y0, x1, y1) = motorcycle
    mask = route._grabcut(image, (x0, y0, x1, y1))
    inside = mask[y0:y1, x0:x1]
    assert mask.sum() == inside.sum()
    assert 0.2 < inside.mean() < 0.8


def test_same_picture_gives_the_same_mask_and_is_left_alone(motorcycle):
    image, box = motorcycle
    before = image.copy()
    assert np.array_equal(route._grabcut(image, box), route._grabcut(image, box))
    assert np.array_equal(image, before)


def test_outside_of_the_mask_is_darkened():
    image, mask = np.full((2, 2, 3), 100, np.uint8), np.array([[True, False], [False, False]])
    assert route._darkened(image, mask)[..., 0].tolist() == [[100, 25], [25, 25]]


def test_figure_says_what_the_alt_text_says():
    figure = route.figure()
    texts = " ".join(t.get_text() for axis in figure.axes for t in axis.texts) + " ".join(
        t.get_text() for t in figure.texts
    )
    plt.close(figure)
    assert len(figure.axes) == 3
    for words in ("motorcycle", "about 20", "7 to 42", "easy way"):
        assert words in texts
        assert words in route.ALT
    assert [axis.get_title() for axis in figure.axes] == ["a class", "a box", "pixels"]
