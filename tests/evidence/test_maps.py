"""Functions on maps: against loops, SciPy, OpenCV and Pillow, over shapes, precisions and extreme values."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import ndimage

from lecturekit.evidence import maps as m

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def any_maps(draw) -> torch.Tensor:
    """Finite maps of any precision and leading shape, with values from the smallest to the largest."""
    dtype = draw(st.sampled_from(DTYPES))
    info = torch.finfo(dtype)
    special = [
        0.0,
        -0.0,
        info.tiny,
        -info.tiny,
        info.smallest_normal,
        info.max,
        info.min,
        info.eps,
        1.0,
        -1.0,
    ]
    values = st.sampled_from(special) | st.floats(-100, 100) | st.integers(-3, 3).map(float)
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
    shape = (*lead, draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    fill = draw(st.sampled_from([None, 0.0, -2.0, 5.0]))
    array = draw(hnp.arrays(np.float64, shape, elements=values)) if fill is None else np.full(shape, fill)
    maps = torch.from_numpy(array).to(dtype)
    assert maps.isfinite().all()
    return maps


def each(maps: torch.Tensor) -> list[torch.Tensor]:
    """The maps one by one."""
    return list(maps.reshape(-1, *maps.shape[-2:]))


def says_something(one: torch.Tensor) -> bool:
    return bool(one.max() > one.min())


# ---------------------------------------------------------------- every function


@quick
@given(any_maps())
def test_shapes_dtypes_and_inputs_are_kept(maps):
    before = maps.clone()
    for result in (m.rectify(maps), m.normalise(maps), m.normalise(maps, "minmax")):
        assert result.shape == maps.shape
        assert result.dtype == maps.dtype
        assert result.isfinite().all()
    mask = m.threshold(maps)
    assert mask.shape == maps.shape
    assert mask.dtype == torch.bool
    boxes = m.box_from_map(maps)
    assert boxes.shape == (*maps.shape[:-2], 4)
    assert boxes.dtype == torch.int64
    larger = m.upsample(maps, (9, 7), "nearest")
    assert larger.shape == (*maps.shape[:-2], 9, 7)
    assert larger.dtype == maps.dtype
    assert torch.equal(maps, before)


@quick
@given(any_maps())
def test_each_map_of_a_batch_is_treated_alone(maps):
    functions = [
        m.rectify,
        m.normalise,
        lambda x: m.normalise(x, "minmax"),
        m.threshold,
        m.box_from_map,
        lambda x: m.upsample(x, (7, 6), "nearest"),
    ]
    for function in functions:
        together = function(maps)
        alone = torch.stack([function(one) for one in each(maps)])
        assert torch.equal(together.reshape(alone.shape), alone)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e-3, -60000.0, 60000.0])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_a_flat_map_gives_zeros(dtype, value, lead):
    flat = torch.full((*lead, 4, 5), value, dtype=dtype)
    assert torch.equal(m.normalise(flat), torch.zeros_like(flat))
    assert torch.equal(m.normalise(flat, "minmax"), torch.zeros_like(flat))
    assert not m.threshold(flat).any()
    assert torch.equal(m.box_from_map(flat), torch.zeros(*lead, 4, dtype=torch.int64))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_a_map_of_evidence_against_the_class_gives_zeros(dtype, lead):
    against = -torch.rand(*lead, 4, 5).to(dtype) - 0.5
    assert torch.equal(m.rectify(against), torch.zeros_like(against))
    assert torch.equal(m.normalise(against), torch.zeros_like(against))
    assert not m.threshold(against).any()
    assert not m.threshold(against, 0).any()
    assert torch.equal(m.box_from_map(against), torch.zeros(*lead, 4, dtype=torch.int64))
    # a picture for the eye still has its extremes
    assert m.normalise(against, "minmax").max() == 1


def test_empty_batches():
    empty = torch.zeros(0, 3, 4)
    assert m.rectify(empty).shape == m.normalise(empty).shape == m.threshold(empty).shape == (0, 3, 4)
    assert m.upsample(empty, 6).shape == (0, 6, 6)
    assert m.box_from_map(empty).shape == (0, 4)


FUNCTIONS = [m.rectify, m.normalise, m.threshold, m.box_from_map, lambda x: m.upsample(x, 4)]


@pytest.mark.parametrize("function", FUNCTIONS, ids=["rectify", "normalise", "threshold", "box", "upsample"])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (torch.ones(3, 3, dtype=torch.int64), TypeError),
        (torch.ones(3, 3, dtype=torch.bool), TypeError),
        (torch.ones(3, 3, dtype=torch.complex64), TypeError),
        (np.ones((3, 3)), TypeError),
        ([[1.0]], TypeError),
        (None, TypeError),
        (torch.ones(3), ValueError),
        (torch.tensor(1.0), ValueError),
        (torch.ones(0, 3), ValueError),
        (torch.ones(2, 3, 0), ValueError),
        (torch.tensor([[1.0, torch.nan]]), ValueError),
        (torch.tensor([[1.0, -torch.inf]]), ValueError),
    ],
    ids=lambda value: None if isinstance(value, type) else type(value).__name__,
)
def test_bad_maps(function, bad, error):
    with pytest.raises(error, match="maps"):
        function(bad)


# ---------------------------------------------------------------- rectify and normalise


@quick
@given(any_maps())
def test_rectify_is_the_positive_part(maps):
    assert torch.equal(m.rectify(maps), torch.where(maps > 0, maps, torch.zeros_like(maps)))


@quick
@given(any_maps())
def test_normalise_by_the_maximum(maps):
    for one, result in zip(each(maps), each(m.normalise(maps)), strict=True):
        high = one.double().max()
        if not says_something(one) or high <= 0:
            assert torch.equal(result, torch.zeros_like(one))
            continue
        info = torch.finfo(maps.dtype)
        assert result.max() == 1
        assert torch.equal(result > 0, (one > 0) & (result != 0)), "signs stay"
        assert (result[one <= 0] <= 0).all()
        wanted = (one.double() / high).clamp(info.min, info.max)
        torch.testing.assert_close(result.double(), wanted, rtol=2 * info.eps, atol=info.smallest_normal)


@quick
@given(any_maps())
def test_normalise_from_minimum_to_maximum(maps):
    for one, result in zip(each(maps), each(m.normalise(maps, "minmax")), strict=True):
        if not says_something(one):
            assert torch.equal(result, torch.zeros_like(one))
            continue
        assert result.min() == 0
        assert result.max() == 1
        half = one.double() / 2
        wanted = (half - half.min()) / (half.max() - half.min())
        torch.testing.assert_close(result.double(), wanted, rtol=0, atol=2 * torch.finfo(maps.dtype).eps)


def test_normalise_closed_form():
    one = torch.tensor([[-2.0, 0.0], [1.0, 4.0]])
    assert m.normalise(one).tolist() == [[-0.5, 0.0], [0.25, 1.0]]
    assert m.normalise(one, how="max").tolist() == m.normalise(one).tolist()
    torch.testing.assert_close(m.normalise(one, how="minmax"), torch.tensor([[0, 2 / 6], [3 / 6, 1]]))


def test_range_of_float16_is_no_limit():
    """65504 - (-65504) is infinite in float16."""
    one = torch.tensor([[-65504.0, 0.0, 65504.0]], dtype=torch.float16)
    assert m.normalise(one, "minmax").tolist() == [[0.0, 0.5, 1.0]]
    assert m.normalise(one).tolist() == [[-1.0, 0.0, 1.0]]
    smallest = torch.tensor([[0.0, 2.0**-24]], dtype=torch.float16)
    assert m.normalise(smallest).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tiny_maximum_under_a_deep_minimum_stays_finite(dtype):
    info = torch.finfo(dtype)
    result = m.normalise(torch.tensor([[info.min, 4 * info.tiny]], dtype=dtype))
    assert result.tolist() == [[info.min, 1.0]]


def test_normalise_has_a_gradient():
    one = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    m.normalise(one)[0, 0].backward()
    assert one.grad[0, 0] == 0.25


@pytest.mark.parametrize("how", ["mean", "Max", "", None, 1])
def test_bad_how(how):
    with pytest.raises(ValueError, match="how"):
        m.normalise(torch.rand(2, 2), how)


# ---------------------------------------------------------------- upsample

OPENCV = {"nearest": cv2.INTER_NEAREST_EXACT, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


@pytest.mark.parametrize("mode", OPENCV)
@pytest.mark.parametrize("size", [(7, 7), (14, 14), (224, 224), (23, 50), (8, 31)])
def test_upsample_like_opencv(mode, size):
    one = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    wanted = cv2.resize(one.numpy(), size[::-1], interpolation=OPENCV[mode])
    # OpenCV keeps the weights of neighbours with 11 bits
    np.testing.assert_allclose(m.upsample(one, size, mode), wanted, atol=2e-3)


@pytest.mark.parametrize("size", [(14, 14), (224, 224), (23, 50)])
def test_bilinear_like_pillow(size):
    one = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    wanted = Image.fromarray(one.numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(m.upsample(one, size), np.asarray(wanted), atol=1e-5)


def test_bilinear_by_its_formula():
    """A target pixel's centre (i + 1/2) lies at (i + 1/2) h / H - 1/2 among the source's centres."""
    one = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    result = m.upsample(one, (8, 9), "bilinear")
    assert result.dtype == torch.float64
    for i in range(8):
        for j in range(9):
            y, x = np.clip((i + 0.5) * 3 / 8 - 0.5, 0, 2), np.clip((j + 0.5) * 4 / 9 - 0.5, 0, 3)
            y0, x0 = int(min(y, 1)), int(min(x, 2))
            dy, dx = y - y0, x - x0
            top = one[y0, x0] * (1 - dx) + one[y0, x0 + 1] * dx
            bottom = one[y0 + 1, x0] * (1 - dx) + one[y0 + 1, x0 + 1] * dx
            assert float(result[i, j]) == pytest.approx(float(top * (1 - dy) + bottom * dy), abs=1e-12)


@pytest.mark.parametrize("factor", [1, 2, 3, 32])
def test_nearest_shows_each_number_as_a_block(factor):
    one = torch.randn(7, 5)
    wanted = np.kron(one.numpy(), np.ones((factor, factor), np.float32))
    assert torch.equal(m.upsample(one, (7 * factor, 5 * factor), "nearest"), torch.from_numpy(wanted))


@pytest.mark.parametrize("mode", OPENCV)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_upsample_in_every_precision(mode, dtype):
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    result = m.upsample(maps, (11, 9), mode)
    wanted = m.upsample(maps.double(), (11, 9), mode)
    torch.testing.assert_close(result.double(), wanted, rtol=0, atol=100 * torch.finfo(dtype).eps)
    assert torch.equal(m.upsample(maps, (4, 5), mode), maps), "the same size is the same map"
    flat = torch.full((4, 5), 3.0, dtype=dtype)
    torch.testing.assert_close(m.upsample(flat, 16, mode), torch.full((16, 16), 3.0, dtype=dtype))


def test_bilinear_stays_in_the_range_of_the_map_and_bicubic_may_leave_it():
    step = torch.zeros(6, 6)
    step[:, 3:] = 1
    assert m.upsample(step, 96).min() >= 0
    assert m.upsample(step, 96).max() <= 1
    assert m.upsample(step, 96, "bicubic").max() > 1


@pytest.mark.parametrize("size", [6, (6, 6), [6, 6], np.int64(6), (np.int32(6), 6), torch.Size([6, 6])])
def test_ways_to_give_a_size(size):
    assert m.upsample(torch.rand(2, 2), size).shape == (6, 6)


@pytest.mark.parametrize(
    "size", [0, -3, 6.0, (6,), (6, 6, 6), (6, 0), (6, 6.5), "6", "66", None, True, (True, 6)]
)
def test_bad_sizes(size):
    with pytest.raises(ValueError, match="size"):
        m.upsample(torch.rand(2, 2), size)


def test_bad_mode():
    with pytest.raises(ValueError, match="mode"):
        m.upsample(torch.rand(2, 2), 4, "cubic")


# ---------------------------------------------------------------- threshold and box

#: small whole numbers and shares that floats hold exactly, so that "above" can be decided without rounding
whole_maps = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-2, 4).map(float)
)
exact_shares = st.sampled_from([0, 0.25, 0.5, 0.75])


@quick
@given(whole_maps, exact_shares)
def test_threshold_by_its_definition(array, share):
    wanted = array > share * array.max() if array.max() > max(array.min(), 0) else np.zeros(array.shape, bool)
    np.testing.assert_array_equal(m.threshold(torch.from_numpy(array), share), wanted)


def test_threshold_is_strict_and_relative():
    one = torch.tensor([[0.0, 1.0, 2.0, 2.5, 10.0]])
    assert m.threshold(one).tolist() == [[False, False, False, True, True]]
    assert torch.equal(m.threshold(1e30 * one), m.threshold(one))
    assert torch.equal(m.threshold(1e-30 * one), m.threshold(one))
    assert m.threshold(one, share=0).tolist() == [[False, True, True, True, True]]


def _largest_box(mask: np.ndarray, connectivity: int) -> list[int]:
    """By SciPy: components are numbered by their first pixel in reading order."""
    labels, count = ndimage.label(mask, np.ones((3, 3)) if connectivity == 8 else None)
    if count == 0:
        return [0, 0, 0, 0]
    firsts = {label: np.argmax(labels == label) for label in range(1, count + 1)}
    best = max(firsts, key=lambda label: ((labels == label).sum(), -firsts[label]))
    rows, columns = ndimage.find_objects(labels)[best - 1]
    return [columns.start, rows.start, columns.stop, rows.stop]


@settings(quick, max_examples=150)
@given(whole_maps, exact_shares, st.sampled_from([4, 8]))
def test_box_round_the_largest_component(array, share, connectivity):
    maps = torch.from_numpy(array)
    wanted = _largest_box(m.threshold(maps, share).numpy(), connectivity)
    assert m.box_from_map(maps, share, connectivity).tolist() == wanted


def test_box_is_half_open():
    one = torch.zeros(6, 8)
    one[2:4, 3:7] = 1
    assert m.box_from_map(one).tolist() == [3, 2, 7, 4]
    x0, y0, x1, y1 = m.box_from_map(one)
    assert one[y0:y1, x0:x1].sum() == one.sum()
    one[5, 0] = 5  # a higher but smaller component, and 0.2 of it is 1
    assert m.box_from_map(one).tolist() == [0, 5, 1, 6]
    assert m.box_from_map(one, share=0.1).tolist() == [3, 2, 7, 4]


def test_diagonal_neighbours_touch_only_with_eight():
    one = torch.eye(5)
    one[0, 3:] = one[1, 3:] = 0.9  # four pixels, beside the five of the diagonal
    assert m.box_from_map(one).tolist() == [0, 0, 5, 5]
    assert m.box_from_map(one, connectivity=4).tolist() == [3, 0, 5, 2]


@pytest.mark.parametrize("connectivity", [4, 8])
def test_of_equal_components_the_first_is_taken(connectivity):
    one = torch.zeros(9, 9)
    one[4, 1:3] = one[0, 7:9] = one[8, 4:6] = 1
    assert m.box_from_map(one, connectivity=connectivity).tolist() == [7, 0, 9, 1]


def test_boxes_of_a_batch_on_the_device_of_the_maps():
    maps = torch.zeros(2, 3, 5, 5)
    for b in range(2):
        for k in range(3):
            maps[b, k, b, k : k + 2] = 1
    boxes = m.box_from_map(maps.half().requires_grad_())
    assert boxes.tolist() == [[[k, b, k + 2, b + 1] for k in range(3)] for b in range(2)]
    assert boxes.device == maps.device


@pytest.mark.parametrize("share", [0.2, np.float32(0.2), np.float64(0.2), 0])
def test_ways_to_give_a_share(share):
    assert m.threshold(torch.tensor([[0.0, 1.0]]), share).tolist() == [[False, True]]


@pytest.mark.parametrize("share", [1, -0.1, 20, float("nan"), "0.2", None, True, torch.tensor(0.2)])
@pytest.mark.parametrize("function", [m.threshold, m.box_from_map])
def test_bad_shares(function, share):
    with pytest.raises(ValueError, match="share"):
        function(torch.rand(3, 3), share)


@pytest.mark.parametrize("connectivity", [1, 6, "8", None])
def test_bad_connectivity(connectivity):
    with pytest.raises(ValueError, match="connectivity"):
        m.box_from_map(torch.rand(3, 3), connectivity=connectivity)
