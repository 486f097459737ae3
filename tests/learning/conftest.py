"""Pictures of two halves, which a student learns in a moment."""

import numpy as np
import pytest

from lecturekit.learning.features import features


def _halves(height=48, width=64, seed=0):
    """A picture, brown on the left and speckled blue on the right, and its mask of 0 and 1."""
    random = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    noise = random.normal(0, 30, (height, width, 3)) * mask[..., None]
    image = np.where(mask[..., None], (60, 90, 170), (150, 110, 60)) + noise
    return image.clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope="session")
def halves():
    """Makes a picture and its mask, of a size and a seed."""
    return _halves


@pytest.fixture(scope="session")
def small():
    """Features of three small pictures of two sizes, with their masks."""
    images, masks = zip(_halves(), _halves(seed=1), _halves(64, 48, seed=2), strict=True)
    return features(list(images), side=64, channels=16, device="cpu", cache=False), list(masks)
