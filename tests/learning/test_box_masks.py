"""The head from boxes to masks: its inputs against torchvision, its targets and its loss against sums."""

import numpy as np
import pytest
import torch
import torchvision  # noqa: F401 (brings the operator)

from lecturekit.learning.box_masks import (
    box_features,
    box_mask_loss,
    box_target,
    mask_ious,
    predict_masks,
    train_box_masks,
)


def test_features_of_a_box_are_torchvisions_roi_align():
    rng = np.random.default_rng(0)
    grid = rng.normal(size=(3, 9, 12)).astype(np.float32)
    boxes = np.array([[4, 3, 40, 28], [0, 0, 48, 36], [20.5, 10.25, 22, 30]])
    rois = torch.from_numpy(np.concatenate([np.zeros((3, 1)), boxes / 4], 1)).float()
    # the operator itself: its wrapper in torchvision.ops imports torch's compiler, which takes seconds
    wanted = torch.ops.torchvision.roi_align(torch.from_numpy(grid)[None], rois, 1.0, 14, 14, 2, True)
    assert torch.allclose(box_features(grid, boxes, (36, 48)), wanted, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (28, 28), (60, 45), (100, 90)])
def test_targets_are_shares_of_the_box(height, width):
    rng = np.random.default_rng(height)
    labels = rng.choice(np.array([0, 2, 255], np.uint8), (height + 4, width + 4))
    share, known = box_target(labels, (1, 2, 1 + width, 2 + height), 2)
    part = labels[2 : 2 + height, 1 : 1 + width]
    assert (share <= known + 1e-6).all()
    if height * width < 64 * 64 or (height, width) == (28, 28):
        assert share.mean() == pytest.approx((part == 2).mean(), abs=1e-5)
        assert known.mean() == pytest.approx((part != 255).mean(), abs=1e-5)
    assert share.mean() == pytest.approx((part == 2).mean(), abs=0.05)


def test_loss_is_the_cross_entropy_of_known_places():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 28, 28, generator=rng)
    known = torch.rand(2, 28, 28, generator=rng)
    true = known * torch.rand(2, 28, 28, generator=rng)
    p = logits.sigmoid()
    wanted = -(true * p.log() + (known - true) * (1 - p).log()).sum() / known.sum()
    assert torch.allclose(box_mask_loss(logits, torch.stack([true, known], 1)), wanted, atol=1e-5)


def _discs(count: int):
    """Boxes round discs whose features tell object from background."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    made = []
    for _ in range(count):
        r, cx, cy = rng.integers(8, 16), rng.integers(18, 30), rng.integers(18, 30)
        mask = (x - cx) ** 2 + (y - cy) ** 2 < r**2
        grid = np.stack([mask, ~mask])[:, ::2, ::2] + 0.3 * rng.normal(size=(2, 24, 24))
        made.append((grid, mask.astype(np.uint8) * 3, [cx - r, cy - r, cx + r, cy + r]))
    return made


def test_a_head_learns_discs_and_is_the_same_for_the_same_seed(one_thread):
    made = _discs(40)
    seen = torch.cat([box_features(grid, [box], (48, 48)) for grid, _, box in made[:32]])
    targets = torch.from_numpy(np.stack([box_target(labels, box, 3) for _, labels, box in made[:32]]))
    options = {"epochs": 12, "lr": 5e-3, "batch": 8, "hidden": 16}
    head, again = (train_box_masks(seen, targets, **options) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), again.parameters(), strict=True))
    ious = [
        mask_ious(predict_masks(head, grid, [box], (48, 48)), labels, [box], [3])[0]
        for grid, labels, box in made[32:]
    ]
    assert np.mean(ious) > 0.85


def test_an_empty_box_has_an_empty_mask_and_no_boxes_none():
    head = torch.nn.Module()
    head.forward = lambda x: torch.full((len(x), 28, 28), 9.0)
    grid = np.zeros((2, 4, 4))
    masks = predict_masks(head, grid, [[1, 1, 1, 3], [0, 0, 2, 2]], (8, 8))
    assert masks.sum((1, 2)).tolist() == [0, 4]
    assert predict_masks(head, grid, np.zeros((0, 4)), (8, 8)).shape == (0, 8, 8)


def test_void_pixels_do_not_count():
    labels = np.array([[1, 1, 255, 0]], np.uint8)
    masks = np.array([[[True, False, True, False]], [[True, True, True, True]]])
    boxes = [[0, 0, 4, 1]] * 2
    assert mask_ious(masks, labels, boxes, [1, 1]) == pytest.approx([0.5, 2 / 3])
    assert np.isnan(mask_ious(masks[:1], labels, boxes[:1], [7])).all()
