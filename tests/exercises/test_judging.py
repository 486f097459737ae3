"""Measures of maps against hand-made cases, brute force and other libraries."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from lecturekit import metrics


def peak_map(size=8, box=(2, 1, 6, 5), value=1.0):
    maps = torch.zeros(1, size, size)
    x0, y0, x1, y1 = box
    maps[0, y0:y1, x0:x1] = value
    return maps


def test_box_accuracy_of_a_perfect_map_is_one_at_every_threshold():
    result = metrics.box_accuracy(peak_map(), [(2, 1, 6, 5)], ious=(0.5, 1.0))
    assert result.accuracy.tolist() == [1, 1]
    assert result.curve.shape == (100, 2)
    assert result.curve.min() == 1  # a map of two values is cut in the same place by every threshold
    assert result.mean == 1


def test_box_accuracy_takes_the_best_threshold_for_all_pictures_together():
    maps = torch.full((2, 8, 8), 0.0)
    maps[0, 2:4, 2:4] = 1.0  # right only while the halo of 0.5 is left out
    maps[0, 0:8, 0:2] = 0.0
    maps[0, 1:6, 1:6] = torch.maximum(maps[0, 1:6, 1:6], torch.tensor(0.5))
    maps[1, 1:6, 1:6] = 0.3
    maps[1, 3, 3] = 1.0  # right only below 0.3
    result = metrics.box_accuracy(maps, [(2, 2, 4, 4), (1, 1, 6, 6)], ious=(0.9,))
    assert result.accuracy.item() == 0.5
    assert result.curve[40].item() == 0  # the halo of the one and the spike of the other
    assert result.curve[60].item() == 0.5
    assert result.curve[10].item() == 0.5


def test_box_accuracy_of_all_regions_finds_the_smaller_one():
    maps = torch.zeros(1, 10, 10)
    maps[0, 0:5, 0:5] = 1
    maps[0, 7:9, 7:9] = 1
    truth = [torch.tensor([[7, 7, 9, 9]])]
    assert metrics.box_accuracy(maps, truth).accuracy.item() == 0
    assert metrics.box_accuracy(maps, truth, all_regions=True).accuracy.item() == 1


def test_box_accuracy_of_flat_maps_and_empty_truth_is_zero():
    assert metrics.box_accuracy(torch.ones(1, 4, 4), [(0, 0, 4, 4)]).accuracy.item() == 0
    assert metrics.box_accuracy(peak_map(), [torch.zeros(0, 4)]).accuracy.item() == 0


def test_box_accuracy_refuses_boxes_that_are_not_one_a_picture():
    with pytest.raises(ValueError, match="maps must be"):
        metrics.box_accuracy(peak_map(), [(0, 0, 1, 1), (0, 0, 1, 1)])


def test_pixel_average_precision_closed_forms():
    truth = torch.tensor([[[True, False], [False, False]]])
    assert metrics.pixel_average_precision(torch.tensor([[[3.0, 2.0], [1.0, 0.0]]]), truth) == pytest.approx(
        1
    )
    assert metrics.pixel_average_precision(torch.tensor([[[0.0, 2.0], [1.0, 3.0]]]), truth) == pytest.approx(
        1 / 4
    )
    # a flat map: every pixel at one threshold, precision is the share of the object
    assert metrics.pixel_average_precision(torch.ones(1, 2, 2), truth) == pytest.approx(1 / 4)


@pytest.mark.parametrize("seed", range(5))
def test_pixel_average_precision_equals_brute_force_over_thresholds(seed):
    generator = np.random.default_rng(seed)
    maps = torch.from_numpy(generator.integers(0, 6, (2, 5, 5)).astype(np.float32))
    maps[:, 0, 0], maps[:, 0, 1] = 0, 5  # so that both pictures are already on one scale
    masks = torch.from_numpy(generator.random((2, 5, 5)) < 0.3)
    masks[0, 2, 2] = True
    area, before = 0.0, 0.0
    for level in range(5, -1, -1):
        kept = maps >= level
        precision = (kept & masks).sum() / kept.sum()
        recall = (kept & masks).sum() / masks.sum()
        area, before = area + (recall - before) * precision, recall
    assert metrics.pixel_average_precision(maps, masks) == pytest.approx(area.item(), abs=1e-6)


def test_pixel_average_precision_leaves_ignored_pixels_out():
    maps = torch.tensor([[[3.0, 2.0], [1.0, 0.0]]])
    masks = torch.tensor([[[False, True], [False, False]]])
    ignore = torch.tensor([[[True, False], [False, False]]])
    assert metrics.pixel_average_precision(maps, masks) == pytest.approx(1 / 2)
    assert metrics.pixel_average_precision(maps, masks, ignore) == pytest.approx(1)


class CountsBright(nn.Module):
    """Two classes: class 1 wins by the number of pixels above zero in the left half."""

    def forward(self, images):
        left = (images[:, 0, :, :2] > 0).float().sum((1, 2))
        return torch.stack([torch.zeros_like(left), left], 1)


def test_deletion_and_insertion_reward_the_pixels_that_matter():
    images = torch.ones(1, 3, 4, 4)
    good, bad = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)
    good[..., :2], bad[..., 2:] = 1, 1
    model = CountsBright()
    probability = torch.tensor([0.0, 8.0]).softmax(0)[1]
    for maps, sign in ((good, 1), (bad, -1)):
        falling = metrics.deletion(model, images, maps, [1], steps=4)
        rising = metrics.insertion(model, images, maps, [1], steps=4)
        assert falling.shape == rising.shape == (1, 5)
        assert falling[0, 0] == rising[0, -1] == probability
        assert falling[0, -1] == rising[0, 0] == 0.5
        assert sign * (rising.mean() - falling.mean()) > 0


def test_deletion_goes_from_the_best_pixel_to_the_worst_whatever_the_ties():
    images = torch.ones(1, 3, 4, 4)
    flat = torch.zeros(1, 4, 4)
    a = metrics.deletion(CountsBright(), images, flat, [1], steps=16)
    assert torch.equal(a, metrics.deletion(CountsBright(), images, flat, [1], steps=16))
    assert (a.diff() <= 0).all()


def test_randomisation_check_tells_a_map_of_the_network_from_a_map_of_the_picture():
    torch.manual_seed(0)
    images = torch.randn(3, 3, 12, 12)
    model = nn.Conv2d(3, 1, 5)
    weights = model.weight.detach().clone()
    of_network = metrics.randomisation_check(model, lambda m: m(images)[:, 0].detach())
    of_picture = metrics.randomisation_check(model, lambda m: images[:, 0])
    assert of_network.shape == of_picture.shape == (3, 3)
    assert torch.allclose(of_picture, torch.ones(3, 3, dtype=of_picture.dtype))
    assert of_network.abs().mean() < 0.5
    assert torch.equal(model.weight, weights)
    again = metrics.randomisation_check(model, lambda m: m(images)[:, 0].detach())
    assert torch.equal(of_network, again)


def test_randomisation_check_correlates_as_scipy_does_with_ties():
    maps = iter([torch.tensor([[[1.0, 2.0], [2.0, 5.0]]]), torch.tensor([[[2.0, 1.0], [4.0, 4.0]]])])
    found = metrics.randomisation_check(nn.Linear(1, 1), lambda m: next(maps), seeds=(0,))
    wanted = scipy.stats.spearmanr([1, 2, 2, 5], [2, 1, 4, 4]).statistic
    assert found.item() == pytest.approx(wanted)
