"""Boxes from near: where they are cut, what is left out, and a head that learns outlines."""

import numpy as np
import pytest
import torch

from lecturekit.learning.box_masks import box_features, train_box_masks
from lecturekit.learning.close_ups import CloseUpHead, _crops, close_ups

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = {"side": 64, "channels": 6, "device": "cpu"}


def test_a_crop_has_room_and_knows_where_its_box_lies():
    image = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)
    boxes = [[20, 10, 50, 30], [0, 0, 10, 60], [5, 5, 5, 9]]
    (first, inside), (second, corner) = _crops([image], [boxes], 0.2)  # the third box is empty
    np.testing.assert_array_equal(first, image[2:38, 10:60])  # 8 and 10 pixels of room
    assert inside.tolist() == [10, 8, 40, 28]
    np.testing.assert_array_equal(second, image[:, :16])  # no room beyond the picture
    assert corner.tolist() == [0, 0, 10, 60]


def test_boxes_come_in_the_order_of_the_pictures_and_do_not_depend_on_the_batch(monkeypatch):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (40, 50, 3)).astype(np.uint8) for _ in range(3)]
    boxes = [[(5, 5, 30, 30), (10, 2, 40, 38)], np.zeros((0, 4)), [(0, 0, 20, 40)]]
    found = close_ups(images, boxes, **OPTIONS)
    assert found.shape == (3, 6, 28, 28)
    assert found.dtype == torch.float16
    monkeypatch.setattr("lecturekit.learning.close_ups.BATCH", 2)
    torch.testing.assert_close(close_ups(images, boxes, **OPTIONS), found, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [([[]], "at least one pixel"), ([[(3, 3, 3, 9)]], "at least one pixel"), ([], "one array a picture")],
)
def test_nothing_to_look_at_is_named(boxes, message):
    with pytest.raises(ValueError, match=message):
        close_ups([np.zeros((20, 20, 3), np.uint8)], boxes, **OPTIONS)


def test_the_head_learns_outlines_from_features_that_show_them():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28]
    masks = [(x - a) ** 2 + (y - b) ** 2 < r**2 for a, b, r in rng.integers(8, 16, (60, 3))]
    looks = np.stack([np.stack([m, ~m]) + 0.5 * rng.normal(size=(2, 28, 28)) for m in masks])
    wanted = torch.from_numpy(np.stack(masks)).float()
    targets = torch.stack([wanted, torch.ones_like(wanted)], 1)
    seen = torch.from_numpy(looks).float()
    head = train_box_masks(seen[:40], targets[:40], epochs=40, lr=0.01, hidden=16, kind=CloseUpHead)
    with torch.no_grad():
        found = head(seen[40:]) > 0
    assert (found == (wanted[40:] > 0.5)).float().mean() > 0.9
    again = train_box_masks(seen[:40], targets[:40], epochs=40, lr=0.01, hidden=16, kind=CloseUpHead)
    for a, b in zip(head.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_box_can_be_read_at_more_cells():
    ramp = np.arange(28.0)[None, None].repeat(28, 1)
    found = box_features(ramp, [[0, 0, 28, 28]], (28, 28), 28)
    inner = found[0, 0, :, 1:-1]  # beyond the outermost cells' middles there is nothing to look at
    torch.testing.assert_close(inner, torch.from_numpy(ramp[0, :, 1:-1]).float(), atol=1e-4, rtol=0)
