"""Masks carried through clips: motions that are known, and `scenes.clip` with its true flow."""

import numpy as np
import pytest
import torch

from lecturekit.datasets import scenes
from lecturekit.learning.propagation import (
    Motion,
    feature_walk,
    forward_backward_error,
    one_hot,
    propagate,
)
from lecturekit.metrics import label_quality


def test_there_and_back_again_of_a_true_motion_is_no_error():
    there = np.zeros((10, 12, 2), np.float32)
    there[..., 0] = 3
    error = forward_backward_error(there, -there)
    assert not error[:, :9].any()
    assert np.isinf(error[:, 9:]).all()


def test_a_hidden_pixel_is_told_by_its_way_back():
    there, back = np.zeros((6, 6, 2), np.float32), np.zeros((6, 6, 2), np.float32)
    there[2, 2] = (2, 0)  # goes where something else is, which stays
    error = forward_backward_error(there, back)
    assert error[2, 2] == pytest.approx(2)
    assert error.sum() == pytest.approx(2)


def test_one_hot_of_ignored_pixels_is_empty():
    shares = one_hot(np.array([[0, 2, 255]], np.uint8), 3)
    assert shares.sum(0).tolist() == [[1.0, 1.0, 0.0]]
    with pytest.raises(ValueError, match=r"mask must be 0\.\.1 or 255, got 2"):
        one_hot(np.array([[2]], np.uint8), 2)


@pytest.fixture(scope="module")
def clip():
    return scenes.clip(1, seed=7, frames=5)


def test_carried_masks_beat_copied_ones_and_keys_stay(clip):
    masks, classes = clip.masks, len(scenes.CLASSES)
    carried = propagate(clip.images, {0: masks[0]}, classes, least=0)
    assert (carried[0] == masks[0]).all()
    quality = label_quality(carried[4], masks[4], classes).mean_iou
    assert quality > label_quality(masks[0], masks[4], classes).mean_iou + 0.05


def test_ignoring_what_is_unsure_makes_labels_more_precise(clip):
    masks, classes = clip.masks, len(scenes.CLASSES)
    keys = {0: masks[0], 4: masks[4]}
    every = propagate(clip.images, keys, classes, least=0)[2]
    sure = propagate(clip.images, keys, classes, tolerance=0.7, least=0.5)[2]
    known = sure != 255
    assert 0.7 < known.mean() < 1
    assert (sure == masks[2])[known].mean() > (every == masks[2]).mean()


def test_two_keys_are_better_than_the_nearer_one(clip):
    masks, classes = clip.masks, len(scenes.CLASSES)
    keys = {0: masks[0], 4: masks[4]}
    two, one = (propagate(clip.images, keys, classes, both=b, least=0)[2] for b in (True, False))
    assert (two == masks[2]).mean() > (one == masks[2]).mean()


def test_flows_are_computed_once(clip, monkeypatch):
    motion = Motion(clip.images)
    first = motion.flow(0, 1)
    assert motion.flow(0, 1) is first


def test_frames_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="frames must be of one size"):
        Motion([np.zeros((20, 20, 3), np.uint8), np.zeros((20, 21, 3), np.uint8)])


@pytest.mark.parametrize("keys", [{}, {9: np.zeros((20, 20), np.uint8)}, {0: np.zeros((3, 3), np.uint8)}])
def test_keys_that_do_not_fit_are_refused(keys):
    with pytest.raises(ValueError, match="keys must"):
        propagate(np.zeros((2, 20, 20, 3), np.uint8), keys, 2)


def test_a_walk_follows_features_that_move():
    torch.manual_seed(0)
    ground = torch.randn(16, 6, 12)
    frames = torch.stack([ground[..., t : t + 6] for t in range(4)])  # the view moves by a cell a frame
    labels = torch.arange(72).reshape(1, 6, 12) % 7 == 0
    shares = torch.stack([~labels[0], labels[0]]).float()
    walked = feature_walk(frames, {0: shares[..., :6]}, radius=4, nearest=1, memory=1)
    for t in (1, 2, 3):
        seen = walked[t].argmax(0)[:, : 6 - t]
        assert (seen == shares.argmax(0)[:, t:6]).all()


def test_a_walk_goes_backwards_from_the_first_key():
    features = torch.eye(4).reshape(1, 4, 2, 2).expand(3, -1, -1, -1)
    walked = feature_walk(features, {2: torch.eye(4).reshape(4, 2, 2)}, nearest=1)
    assert (walked[0] == walked[2]).all()
