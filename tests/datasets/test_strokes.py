"""Steps inside a region, beside one dilation of the whole picture a step."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lecturekit.datasets.scenes import strokes


def dilated(mask, start):
    """The definition: every step, all pixels beside the last step's."""
    steps = np.where(mask, -1, -2)
    front = np.zeros_like(mask)
    front[start] = True
    count = 0
    while front.any():
        steps[front] = count
        count += 1
        front = ndimage.binary_dilation(front, np.ones((3, 3), bool)) & (steps == -1)
    return np.maximum(steps, -1)


@given(
    seed=st.integers(0, 999), share=st.floats(0.3, 1), size=st.tuples(st.integers(1, 24), st.integers(1, 24))
)
@settings(max_examples=60, deadline=None)
def test_steps_are_those_of_dilations(seed, share, size):
    """Any mask, one pixel and picture borders included; a start inside it or outside."""
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < share
    start = tuple(int(rng.integers(n)) for n in size)
    np.testing.assert_array_equal(strokes.steps_from(mask, start), dilated(mask, start))
