"""Losses of clicks and image labels against sums written out, and simulated clicks against the truth."""

import math

import numpy as np
import pytest
import torch

from lecturekit.datasets import scenes
from lecturekit.learning.points import (
    candidates_loss,
    image_level_loss,
    objectness_loss,
    on_grid,
    point_loss,
    simulate_clicks,
)


@pytest.fixture
def logits():
    return torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


PRESENT = torch.tensor([[True, True, False, False], [True, False, True, True]])


def test_image_level_loss_is_the_sum_written_out(logits):
    total = 0.0
    for z, present in zip(logits.softmax(1), PRESENT, strict=True):
        best = [z[c].max().item() for c in range(4)]
        there = [-math.log(best[c]) for c in range(4) if present[c]]
        absent = [-math.log(1 - best[c]) for c in range(4) if not present[c]]
        total += sum(there) / len(there) + sum(absent) / len(absent)
    assert image_level_loss(logits, PRESENT).item() == pytest.approx(total / 2)


def test_image_level_loss_leaves_out_what_lies_beyond_an_image(logits):
    inside = torch.zeros(2, 3, 5, dtype=torch.bool)
    inside[:, :2, :3] = True
    cut = image_level_loss(logits[:, :, :2, :3], PRESENT)
    assert image_level_loss(logits, PRESENT, inside).item() == pytest.approx(cut.item())


def test_image_level_loss_of_a_sure_answer_is_finite_and_has_a_gradient():
    logits = torch.tensor([[[[90.0]], [[-90.0]]]], requires_grad=True)
    image_level_loss(logits, torch.tensor([[False, True]])).backward()
    assert torch.isfinite(logits.grad).all()


def test_point_loss_is_the_weighted_mean_written_out(logits):
    cells = torch.tensor([[0, 1, 2], [1, 0, 4], [1, 2, 0]])
    classes, weights = torch.tensor([3, 0, 1]), torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    log = logits.log_softmax(1)
    wanted = -(log[0, 3, 1, 2] + 2 * log[1, 0, 0, 4] + 0.5 * log[1, 1, 2, 0]) / 3.5
    assert torch.allclose(point_loss(logits, cells, classes, weights), wanted)
    assert point_loss(logits, cells[:0], classes[:0]).item() == 0


def test_objectness_loss_is_the_mean_written_out(logits):
    objectness = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p = logits.softmax(1)
    wanted = -(objectness * (1 - p[:, 0]).log() + (1 - objectness) * p[:, 0].log())
    assert torch.allclose(objectness_loss(logits, objectness), wanted.mean())
    inside = torch.zeros(2, 3, 5, dtype=torch.bool)
    inside[0, 0] = True
    assert torch.allclose(objectness_loss(logits, objectness, inside), wanted[0, 0].mean())


@pytest.mark.parametrize("bad", [torch.ones(2, 4), torch.ones(2, 3, dtype=torch.bool)])
def test_an_image_label_of_another_kind_is_refused(logits, bad):
    with pytest.raises(ValueError, match="present must be bool"):
        image_level_loss(logits, bad)


def test_careful_clicks_lie_on_their_objects():
    for i in range(6):
        scene = scenes.scene(i)
        clicks = simulate_clicks(scene.mask, scene.boxes, scene.classes)
        assert [scene.mask[y, x] for x, y in clicks.spots] == clicks.classes.tolist()


def test_one_click_a_class_is_on_its_largest_object():
    mask = np.zeros((20, 40), np.uint8)
    mask[2:8, 2:8] = mask[2:18, 20:36] = 3
    mask[12:16, 2:6] = 1
    boxes = [[2, 2, 8, 8], [20, 2, 36, 18], [2, 12, 6, 16]]
    every = simulate_clicks(mask, boxes, [3, 3, 1])
    one = simulate_clicks(mask, boxes, [3, 3, 1], per="class")
    assert every.classes.tolist() == [3, 3, 1]
    assert one.classes.tolist() == [3, 1]
    assert one.spots[0].tolist() == every.spots[1].tolist()


def test_errors_grow_with_the_box_and_stay_inside_the_image():
    mask = np.zeros((60, 90), np.uint8)
    mask[10:50, 10:80] = 2
    box = [[10, 10, 80, 50]]
    spots = np.array([simulate_clicks(mask, box, [2], error=0.1, rng=k).spots[0] for k in range(300)])
    exact = simulate_clicks(mask, box, [2]).spots[0]
    apart = (spots - exact).std(0)
    assert apart == pytest.approx([7.0, 4.0], rel=0.15)
    wild = np.array([simulate_clicks(mask, box, [2], error=5.0, rng=k).spots[0] for k in range(40)])
    assert (wild >= 0).all()
    assert (wild < [90, 60]).all()


def test_an_object_that_is_not_seen_gets_no_click():
    clicks = simulate_clicks(np.zeros((9, 9), np.uint8), [[1, 1, 5, 5]], [4])
    assert clicks.spots.shape == (0, 2)


def test_pixels_fall_into_the_cells_that_hold_them():
    spots = np.array([[x, y] for y in range(12) for x in range(18)])
    cells = on_grid(spots, (12, 18), (4, 6))
    assert (cells == np.stack([spots[:, 1] // 3, spots[:, 0] // 3], 1)).all()


def test_every_cell_is_of_a_class_of_the_image_label():
    """Written out cell by cell; and certain answers cost nothing where they are allowed."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 5, generator=rng)
    present = torch.tensor([[True, False, True, False], [True, True, True, True]])
    inside = torch.rand(2, 3, 5, generator=rng) > 0.4
    wanted = []
    for b, y, x in inside.nonzero().tolist():
        p = logits[b, :, y, x].softmax(0)
        wanted.append(-p[present[b]].sum().log())
    found = candidates_loss(logits, present, inside)
    assert torch.allclose(found, torch.stack(wanted).mean(), atol=1e-6)
    sure = torch.full((1, 4, 1, 1), -50.0)
    sure[0, 2] = 50
    assert candidates_loss(sure, present[:1]).item() == pytest.approx(0, abs=1e-6)
    assert candidates_loss(logits[1:], present[1:]).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="present must be bool"):
        candidates_loss(logits, present.float())
