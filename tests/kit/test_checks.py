"""One check of each kind, with one behaviour for all functions that use it."""

import numpy as np
import pytest

from lecturekit.kit.checks import choice, number, whole
from lecturekit.kit.images import checked_image, checked_images, data_uri, encoded


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_every_library_become_pythons(value):
    assert type(whole("n", value, 1, 3)) is int
    assert whole("n", value) == 3


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float32(2), "2", None, [2], float("nan"), 0, 4])
def test_what_is_no_whole_number_in_the_range_is_named(value):
    with pytest.raises(ValueError, match=r"^n must be a whole number in 1\.\.3, got "):
        whole("n", value, 1, 3)


def test_numbers():
    assert number("x", np.float32(0.5), 0, 1) == 0.5
    assert number("x", 1, 0, 1) == 1.0
    for wrong in (True, "1", None, float("nan"), float("inf"), -0.1, 1.1, 1j, 10**400):
        with pytest.raises(ValueError, match=r"^x must be a number in 0\.\.1, got "):
            number("x", wrong, 0, 1)
    for bound in (0, 1):
        with pytest.raises(ValueError, match="neither of them"):
            number("x", bound, 0, 1, open_=True)


def test_choices_are_compared_with_their_type():
    assert choice("k", 1, [1, 2]) == 1
    for wrong in (True, 1.0, "1", np.ones(2), None):
        with pytest.raises(ValueError, match="k must be one of 1, 2, got"):
            choice("k", wrong, [1, 2])


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), "u1")],
)
def test_images_of_another_kind(wrong):
    with pytest.raises(ValueError, match="picture must be uint8 RGB"):
        checked_image(wrong, "picture")
    with pytest.raises(ValueError, match=r"images\[1\] must be uint8 RGB"):
        checked_images([np.zeros((2, 2, 3), np.uint8), wrong])


def test_images_that_are_no_arrays():
    with pytest.raises(TypeError, match="got list"):
        checked_image([[0]])
    for wrong in (3, "ab", None):
        with pytest.raises(TypeError, match="images must be a list"):
            checked_images(wrong)
    for wrong in ([], np.zeros((0, 2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)):
        with pytest.raises(ValueError, match="images must"):
            checked_images(wrong)


def test_stacks_and_lists_alike():
    stack = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    assert all(
        (a == b).all() for a, b in zip(checked_images(stack), checked_images(list(stack)), strict=True)
    )


def test_an_encoded_image_is_a_file():
    assert encoded(np.zeros((2, 2, 3), np.uint8), "JPEG", quality=50)[:2] == b"\xff\xd8"
    assert data_uri(b"abc", "image/png") == "data:image/png;base64,YWJj"
