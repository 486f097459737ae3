"""Measures of localisation: against loops, torchvision and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchvision.ops import box_iou

from lecturekit.metrics import deletion, grid_pointing, insertion, iou, pointing_game, road

quick = settings(max_examples=60, deadline=None)

SIDE = 7
boxes = st.tuples(*[st.integers(0, SIDE)] * 4).map(
    lambda v: [min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3])]
)


def filled(box) -> np.ndarray:
    """The pixels of a half-open box as a mask."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


# ---------------------------------------------------------------- intersection over union


@quick
@given(boxes, boxes)
def test_iou_of_boxes_and_of_their_pixels(a, b):
    mask_a, mask_b = filled(a), filled(b)
    union = (mask_a | mask_b).sum()
    wanted = (mask_a & mask_b).sum() / union if union else 0.0
    assert float(iou(a, b)) == pytest.approx(wanted, abs=1e-6)
    assert float(iou(mask_a, mask_b)) == pytest.approx(wanted, abs=1e-6)


def test_iou_like_torchvision():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 40, 2, generator=generator) * 50
    all_boxes = torch.cat([corners, corners + torch.rand(2, 40, 2, generator=generator) * 40], -1)
    a, b = all_boxes
    torch.testing.assert_close(iou(a[:, None], b), box_iou(a, b))
    torch.testing.assert_close(iou(a, b), box_iou(a, b).diagonal())
    torch.testing.assert_close(iou(a, a), torch.ones(40))


def test_iou_closed_forms():
    assert float(iou([0, 0, 2, 2], [1, 1, 3, 3])) == pytest.approx(1 / 7)
    assert float(iou([0, 0, 2, 2], [2, 0, 4, 2])) == 0, "boxes are half open: these share no pixel"
    assert float(iou([0.5, 0, 1.5, 1], [0, 0, 1, 1])) == pytest.approx(1 / 3)
    assert float(iou([0, 0, 0, 0], [0, 0, 0, 0])) == 0, "an empty union"
    assert float(iou(np.zeros((3, 3), bool), np.zeros((3, 3), bool))) == 0
    assert float(iou([[True, False]], [[True, True]])) == 0.5


def test_iou_shapes_and_dtypes():
    masks = torch.rand(4, 3, 5, 6) > 0.5
    assert iou(masks, masks[0, 0]).shape == (4, 3)
    assert iou(masks[:, :1], masks).shape == (4, 3)
    assert iou([[0, 0, 1, 1]] * 5, [0, 0, 1, 1]).tolist() == [1.0] * 5
    assert iou(torch.tensor([0, 0, 2, 2.0], dtype=torch.float64), [0, 0, 2, 1]).dtype == torch.float64
    half = torch.tensor([0, 0, 300, 300], dtype=torch.float16)
    assert float(iou(half, half)) == 1, "an area of 90000 is infinite in float16"
    assert float(iou([0, 0, 100_000, 100_000], [0, 0, 100_000, 50_000])) == pytest.approx(0.5)
    assert float(iou(np.broadcast_to(np.array([0, 0, 1, 1]), (1, 4)), [0, 0, 1, 2])) == 0.5


@pytest.mark.filterwarnings("error")
def test_read_only_arrays_give_no_warning():
    mask = np.ones((2, 2), bool)
    mask.flags.writeable = False
    assert float(iou(mask, mask)) == 1


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        (np.ones((3, 3), bool), [0, 0, 1, 1], TypeError),
        ([0, 0, 1, 1], torch.ones(3, 3, dtype=torch.bool), TypeError),
        (np.ones((5, 4), np.uint8), np.ones((5, 4), np.uint8), TypeError),
        (np.ones((3, 3), bool), np.ones((3, 4), bool), ValueError),
        (np.ones((2, 3, 3), bool), np.ones((3, 3, 3), bool), ValueError),
        (np.ones(3, bool), np.ones(3, bool), ValueError),
        ([0, 0, 1], [0, 0, 1], ValueError),
        (3, 4, ValueError),
        ([2, 0, 1, 1], [0, 0, 1, 1], ValueError),
        ([0, 0, 1, 1], [0, 2, 1, 1], ValueError),
        ([0, 0, math.nan, 1], [0, 0, 1, 1], ValueError),
        ([0, 0, math.inf, 1], [0, 0, 1, 1], ValueError),
        (torch.zeros(3, 4), torch.zeros(2, 4), ValueError),
        ("box", [0, 0, 1, 1], TypeError),
    ],
    ids=range(14),
)
def test_iou_of_bad_input(a, b, error):
    with pytest.raises(error):
        iou(a, b)


# ---------------------------------------------------------------- pointing game


def pointed(one: np.ndarray, mask: np.ndarray, tolerance: int) -> bool:
    """By loops over all pixels."""
    if one.max() == one.min():
        return False
    y, x = divmod(int(one.argmax()), one.shape[1])  # NumPy's argmax is the first in reading order
    near = [(y - v) ** 2 + (x - u) ** 2 <= tolerance**2 for v, u in zip(*mask.nonzero(), strict=True)]
    return any(near)


@pytest.mark.parametrize("tolerance", range(5))
@pytest.mark.parametrize("box", [[2, 3, 5, 6], [0, 0, 1, SIDE], [3, 3, 4, 4], [0, 0, SIDE, SIDE]], ids=str)
def test_pointing_game_from_every_side_of_a_box(box, tolerance):
    maps = torch.eye(SIDE**2).reshape(-1, SIDE, SIDE)  # one map for each place of the peak
    wanted = [pointed(one.numpy(), filled(box), tolerance) for one in maps]
    assert pointing_game(maps, box, tolerance).tolist() == wanted
    assert pointing_game(maps, filled(box), tolerance).tolist() == wanted


small_maps = hnp.arrays(np.float32, (SIDE, SIDE), elements=st.integers(-2, 3).map(float))


@quick
@given(small_maps, boxes, st.integers(0, 4))
def test_pointing_game_by_loops_with_boxes_and_masks(array, box, tolerance):
    wanted = pointed(array, filled(box), tolerance)
    maps = torch.from_numpy(array)
    assert bool(pointing_game(maps, filled(box), tolerance)) == wanted
    assert bool(pointing_game(maps, box, tolerance)) == wanted


@quick
@given(small_maps, hnp.arrays(bool, (SIDE, SIDE)), st.integers(0, 4))
def test_pointing_game_by_loops_with_masks_of_any_shape(array, mask, tolerance):
    assert bool(pointing_game(torch.from_numpy(array), mask, tolerance)) == pointed(array, mask, tolerance)


def test_tolerance_is_a_circle():
    one = torch.zeros(11, 11)
    one[2, 1] = 1
    far = np.zeros((11, 11), bool)
    far[6, 4] = True  # 4 down, 3 right: 5 away
    assert [bool(pointing_game(one, far, t)) for t in (4, 5, 6)] == [False, True, True]
    assert [bool(pointing_game(one, [4, 6, 5, 7], t)) for t in (4, 5, 6)] == [False, True, True]


def test_of_equal_peaks_the_first_counts_and_a_flat_map_misses():
    one = torch.zeros(2, 3)
    one[0, 2] = one[1, 0] = 1
    assert bool(pointing_game(one, [2, 0, 3, 1]))
    assert not pointing_game(one, [0, 1, 1, 2])
    everywhere = np.ones((2, 3), bool)
    for value in (0.0, 1.0, -1.0):
        assert not pointing_game(torch.full((2, 3), value), everywhere)
    assert bool(pointing_game(-1 - torch.rand(2, 3), everywhere)), (
        "the highest point of a negative map is one"
    )


def test_empty_truth_is_never_hit():
    one = torch.rand(4, 4)
    assert not pointing_game(one, np.zeros((4, 4), bool), 100)
    assert not pointing_game(one, [2, 2, 2, 4], 100)


def test_pointing_game_of_batches():
    maps = torch.zeros(3, 2, 4, 5)
    maps[..., 1, 2] = 1
    hit, miss = [2, 1, 3, 2], [0, 0, 1, 1]
    assert pointing_game(maps, hit).tolist() == [[True, True]] * 3
    assert pointing_game(maps, [hit, miss]).tolist() == [[True, False]] * 3
    assert pointing_game(maps, torch.tensor([[hit], [miss], [hit]])).tolist() == [
        [True] * 2,
        [False] * 2,
        [True] * 2,
    ]
    masks = torch.zeros(3, 1, 4, 5, dtype=torch.bool)
    masks[1, :, 1, 2] = True
    assert pointing_game(maps.half(), masks).tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert pointing_game(maps.bfloat16(), hit, np.int64(0)).dtype == torch.bool


@pytest.mark.parametrize(
    ("maps", "truth", "tolerance", "error", "word"),
    [
        (np.zeros((4, 4)), [0, 0, 1, 1], 0, TypeError, "maps"),
        (torch.zeros(4, 4, dtype=torch.int64), [0, 0, 1, 1], 0, TypeError, "maps"),
        (torch.zeros(4), [0, 0, 1, 1], 0, ValueError, "maps"),
        (torch.zeros(0, 4), [0, 0, 1, 1], 0, ValueError, "maps"),
        (torch.full((4, 4), torch.nan), [0, 0, 1, 1], 0, ValueError, "maps"),
        (torch.zeros(4, 4), np.zeros((5, 4), bool), 0, ValueError, "truth"),
        (torch.zeros(4, 4), np.ones((4, 4), np.uint8), 0, TypeError, "truth"),
        (torch.zeros(4, 4), [1, 0, 0, 1], 0, ValueError, "truth"),
        (torch.zeros(4, 4), [0, 0, 1], 0, ValueError, "truth"),
        (torch.zeros(3, 4, 4), torch.zeros(2, 4), 0, ValueError, "truth"),
        (torch.zeros(3, 4, 4), np.zeros((2, 4, 4), bool), 0, ValueError, "truth"),
        (torch.zeros(4, 4), [0, 0, 1, 1], -1, ValueError, "tolerance"),
        (torch.zeros(4, 4), [0, 0, 1, 1], 1.5, ValueError, "tolerance"),
        (torch.zeros(4, 4), [0, 0, 1, 1], True, ValueError, "tolerance"),
        (torch.zeros(4, 4), [0, 0, 1, 1], None, ValueError, "tolerance"),
    ],
    ids=range(15),
)
def test_pointing_game_of_bad_input(maps, truth, tolerance, error, word):
    with pytest.raises(error, match=word):
        pointing_game(maps, truth, tolerance)


# ---------------------------------------------------------------- grid pointing game


@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (2, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("value", [1e-6, 1.0, 6e4])
def test_an_uninformed_map_scores_one_over_the_cells(grid, value):
    maps = torch.full((6, 12), value)
    for cell in range(grid[0] * grid[1]):
        assert float(grid_pointing(maps, cell, grid)) == pytest.approx(1 / (grid[0] * grid[1]))


@settings(quick, max_examples=40)
@given(hnp.arrays(np.float32, (2, 4, 6), elements=st.integers(-2, 3).map(float)), st.integers(0, 5))
def test_grid_pointing_by_loops(array, cell):
    row, column = divmod(cell, 3)
    positive = np.maximum(array, 0)
    for one, score in zip(positive, grid_pointing(torch.from_numpy(array), cell, (2, 3)), strict=True):
        inside = one[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].sum()
        assert float(score) == pytest.approx(inside / one.sum() if one.sum() else 0.0, abs=1e-6)


def test_cells_are_counted_in_reading_order():
    maps = torch.zeros(6, 4, 9)
    for cell in range(6):
        row, column = divmod(cell, 3)
        maps[cell, 2 * row, 3 * column + 1] = 1
    for cell in range(6):
        wanted = [1.0 if k == cell else 0.0 for k in range(6)]
        assert grid_pointing(maps, cell, (2, 3)).tolist() == wanted
    assert grid_pointing(maps, range(6), (2, 3)).tolist() == [1.0] * 6
    assert grid_pointing(maps[0], range(6), (2, 3)).tolist() == [1.0, 0, 0, 0, 0, 0], (
        "one map, many questions"
    )


def test_evidence_against_the_class_does_not_count():
    one = torch.tensor([[3.0, -100.0, 1.0, 0.0]])
    assert grid_pointing(one, [0, 1], (1, 2)).tolist() == [0.75, 0.25]
    assert float(grid_pointing(-one.abs(), 0, (1, 2))) == 0, "no evidence, no score and no NaN"
    assert float(grid_pointing(torch.zeros(2, 2), 0, (1, 2))) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_grid_pointing_over_the_range_of_a_precision(dtype):
    info = torch.finfo(dtype)
    for value in (info.max, info.tiny, info.smallest_normal):
        maps = torch.full((3, 8, 8), value, dtype=dtype)
        assert grid_pointing(maps, [0, 1, 3], (2, 2)).tolist() == [0.25] * 3


def test_grid_pointing_shapes():
    maps = torch.rand(2, 3, 4, 4)
    assert grid_pointing(maps, 0, (2, 2)).shape == (2, 3)
    assert grid_pointing(maps, np.array([0, 1, 2], np.int32), (2, 2)).shape == (2, 3)
    scores = torch.stack([grid_pointing(maps, cell, (2, 2)) for cell in range(4)])
    torch.testing.assert_close(scores.sum(0), torch.ones(2, 3))
    by_row = grid_pointing(maps, torch.tensor([[1], [2]]), (2, 2))
    torch.testing.assert_close(by_row, torch.stack([scores[1, 0], scores[2, 1]]))


@pytest.mark.parametrize(
    ("maps", "cells", "grid", "error", "word"),
    [
        (torch.rand(5, 4), 0, (2, 2), ValueError, "grid"),
        (torch.rand(4, 5), 0, (2, 2), ValueError, "grid"),
        (torch.rand(4, 4), 0, (0, 2), ValueError, "grid"),
        (torch.rand(4, 4), 0, (-2, 2), ValueError, "grid"),
        (torch.rand(4, 4), 4, (2, 2), ValueError, "cells"),
        (torch.rand(4, 4), -1, (2, 2), ValueError, "cells"),
        (torch.rand(4, 4), 0.5, (2, 2), ValueError, "cells"),
        (torch.rand(4, 4), True, (2, 2), ValueError, "cells"),
        (torch.rand(2, 4, 4), [0, 1, 2], (2, 2), ValueError, "cells"),
        (torch.full((4, 4), torch.nan), 0, (2, 2), ValueError, "maps"),
        (torch.ones(4, 4, dtype=torch.int64), 0, (2, 2), TypeError, "maps"),
        (np.ones((4, 4)), 0, (2, 2), TypeError, "maps"),
    ],
    ids=range(12),
)
def test_grid_pointing_of_bad_input(maps, cells, grid, error, word):
    with pytest.raises(error, match=word):
        grid_pointing(maps, cells, grid)


# ---------------------------------------------------------------- remove and debias


def test_holes_are_filled_as_in_the_published_code():
    road = pytest.importorskip("pytorch_grad_cam.metrics.road", reason="pytorch-grad-cam is not installed")
    from lecturekit.metrics.faithfulness import _filled

    generator = torch.Generator().manual_seed(0)
    image = torch.randn(3, 12, 10, generator=generator)
    for share in (0.1, 0.5, 0.9):
        missing = torch.rand(12, 10, generator=generator) < share
        theirs = road.NoisyLinearImputer(noise=0.0)(image.clone(), (~missing).float())
        torch.testing.assert_close(_filled(image, missing), theirs.to(image), rtol=1e-4, atol=1e-4)


def test_filled_holes_are_the_mean_of_their_neighbours():
    from lecturekit.metrics.faithfulness import _filled

    image = torch.arange(9.0).reshape(1, 3, 3)
    missing = torch.zeros(3, 3, dtype=torch.bool)
    missing[1, 1] = True
    image[0, 1, 1] = 100
    assert float(_filled(image, missing)[0, 1, 1]) == pytest.approx(4)
    assert _filled(image, torch.zeros(3, 3, dtype=torch.bool)).equal(image)


class _Corner(torch.nn.Module):
    """Class 1 is as likely as the top left corner is bright."""

    def forward(self, images):
        bright = images[:, :, :4, :4].mean((1, 2, 3))
        return torch.stack([-bright, bright], 1)


def test_road_tells_a_map_that_knows_from_one_that_does_not():
    images = torch.zeros(2, 3, 16, 16)
    images[:, :, :4, :4] = 3
    knows = images[:, 0] + torch.linspace(0, 1e-3, 256).reshape(16, 16)
    first = road(_Corner(), images, knows, [1, 1], steps=7)
    last = road(_Corner(), images, knows, [1, 1], steps=7, best_first=False)
    assert first.shape == (2, 8)
    assert first[:, 0].equal(last[:, 0])
    assert (last.mean(1) - first.mean(1) > 0.3).all()
    again = road(_Corner(), images, knows, [1, 1], steps=7)
    assert first.equal(again)
    assert not first.equal(road(_Corner(), images, knows, [1, 1], steps=7, seed=1))


@pytest.mark.parametrize("measure", [road, deletion, insertion])
def test_measures_of_pixels_refuse(measure):
    images, maps = torch.zeros(2, 3, 8, 8), torch.rand(2, 8, 8)
    for options, message in (
        ({"steps": 0}, "steps"),
        ({"maps": maps[:, :4]}, "maps must be"),
        ({"maps": maps * torch.nan}, "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            measure(_Corner(), images, **({"maps": maps, "classes": [0, 1]} | options))
    with pytest.raises(ValueError, match="NaN"):
        measure(_Corner(), images * torch.nan, maps, [0, 1])
