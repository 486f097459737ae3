"""GrabCut on pictures with a known answer, against OpenCV's, and where there is nothing to go by."""

import tracemalloc
import warnings

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import VOC

from lecturekit.benchmarks.grabcut import loosened
from lecturekit.datasets.voc import VOC as Folder
from lecturekit.datasets.voc import shrunk
from lecturekit.labels.boxes import fill_boxes
from lecturekit.metrics import iou, label_quality
from lecturekit.pixels._boxcut import (
    REACH,
    STEP,
    Settings,
    _sampled,
    apart,
    contrast_costs,
    edge_costs,
    framed,
    scene_of,
    separate,
    task_of,
)
from lecturekit.pixels.edges import boundary_map
from lecturekit.pixels.grabcut import (
    grabcut,
    grabcut_boxes,
    grabcut_images,
    grabcut_labels,
    grabcut_plus_inner,
    grabcut_votes,
    looseness,
    opencv_grabcut,
)
from lecturekit.pixels.mincut import NEIGHBOURS

pytestmark = pytest.mark.usefixtures("one_thread")


def disc_picture(seed=0, size=(60, 80), centre=(30, 42), radius=16):
    """A blue-green speckled disc on a brown speckled ground; the mask of the disc; its box."""
    random = np.random.default_rng(seed)
    y, x = np.indices(size)
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    image = np.where(disc[..., None], (40, 120, 150), (140, 100, 60)) + random.normal(0, 14, (*size, 3))
    box = (centre[1] - radius, centre[0] - radius, centre[1] + radius + 1, centre[0] + radius + 1)
    return image.clip(0, 255).astype(np.uint8), disc, box


@pytest.mark.parametrize("edges", [None, boundary_map])
def test_the_disc_in_the_box_is_found(edges):
    image, disc, box = disc_picture()
    mask = grabcut(image, box, None if edges is None else edges(image))
    assert mask.dtype == bool
    assert mask.shape == disc.shape
    assert iou(mask, disc) > 0.97


@pytest.mark.parametrize("edges", [None, boundary_map])
def test_a_loose_box_is_cut_as_the_tight_one(edges):
    image, _, _ = disc_picture()
    tight, loose = (22, 12, 62, 52), (18, 8, 66, 56)  # a tenth of 40 outside
    expected = grabcut(image, tight, edges)
    assert (grabcut(image, loose, edges, loose=0.1) == expected).all()
    votes = grabcut_votes(image, [loose], edges, runs=2, loose=0.1)
    assert (votes == grabcut_votes(image, [tight], edges, runs=2)).all()


def test_looseness_grows_with_the_room_round_the_disc():
    scenes = [disc_picture(seed) for seed in range(3)]
    images, boxes = [image for image, _, _ in scenes], [np.array(box) for _, _, box in scenes]
    found = [looseness(images, [[b + np.array([-m, -m, m, m])] for b in boxes]) for m in (0, 2, 3)]
    assert found[0] == 0
    assert 0 < found[1] < found[2] < 0.2


def test_looseness_of_boxes_that_tell_nothing_is_zero():
    grey = np.full((30, 40, 3), 128, np.uint8)
    assert looseness([grey, grey], [[(5, 5, 20, 20)], np.zeros((0, 4))]) == 0
    image, _, _ = disc_picture()
    assert looseness([image], [[(0, 0, 80, 60)]]) == 0  # all sides lie on the border
    with pytest.raises(ValueError, match="one an image"):
        looseness([image], [])


@pytest.mark.skipif(not VOC.is_dir(), reason="no folder of photographs in VOC's layout here")
def test_looseness_of_photographs():
    folder = Folder(VOC, "train")
    pictures = [shrunk(folder[k], 160) for k in range(1, 400, 16)]
    images = [picture.image for picture in pictures]
    for loose in (0, 0.1):
        boxes = [loosened(picture, loose).boxes for picture in pictures]
        assert looseness(images, boxes) == pytest.approx(loose, abs=0.05)


def test_as_good_as_opencv_where_opencv_is_good():
    for seed in range(3):
        image, disc, box = disc_picture(seed, centre=(28 + seed, 40), radius=14 + seed)
        assert iou(grabcut(image, box), disc) >= iou(opencv_grabcut(image, box), disc) - 0.02


def test_exact_and_relaxed_give_the_same_mask_and_a_true_bound():
    image, _, box = disc_picture()
    relaxed = grabcut_boxes(image, [box])
    exact = grabcut_boxes(image, [box], exact=True)
    assert iou(relaxed.masks[0], exact.masks[0]) > 0.995
    np.testing.assert_allclose(relaxed.energy, exact.energy, rtol=0.01)
    for found in (relaxed, exact):
        assert (found.bound <= found.energy + 1e-2).all()
        assert (found.energy - found.bound < 0.01 * 60 * 80).all()


def test_boxes_and_pictures_together_are_as_they_are_alone():
    first, _, box = disc_picture(0, size=(60, 160), centre=(30, 30))
    second, _, other = disc_picture(1, size=(70, 90), centre=(40, 50), radius=20)
    far = (120, 20, 150, 44)  # out of reach of the first box's surroundings
    together = grabcut_images([first, second], [[box, far], [other]], margin=0.5, min_fill=0)
    alone = [grabcut(first, b, margin=0.5, min_fill=0) for b in (box, far)]
    for mask, single in zip(together[0].masks, alone, strict=True):
        assert (mask != single).mean() < 0.002
    assert (together[1].masks[0] != grabcut(second, other, margin=0.5, min_fill=0)).mean() < 0.002
    again = grabcut_images([first, second], [[box, far], [other]], margin=0.5, min_fill=0)
    for one, two in zip(together, again, strict=True):
        np.testing.assert_array_equal(one.masks, two.masks)
        np.testing.assert_array_equal(one.energy, two.energy)


def test_memory_is_that_of_the_boxes_and_not_of_the_image():
    """20 boxes of 24 pixels in an image of 2,000 x 2,000: nothing of its size is converted or copied."""
    image = np.full((2000, 2000, 3), 90, np.uint8)
    tile, _, box = disc_picture(size=(40, 40), centre=(20, 20), radius=12)
    corners = [(100 + 400 * i, 100 + 300 * j) for i in range(4) for j in range(5)]
    for x, y in corners:
        image[y : y + 40, x : x + 40] = tile
    boxes = np.array([(x + box[0], y + box[1], x + box[2], y + box[3]) for x, y in corners])
    grabcut_boxes(image, boxes[:1], rounds=1)
    tracemalloc.start()
    found = grabcut_boxes(image, boxes, rounds=1)
    labels = grabcut_labels(image, boxes, np.ones(20, int), edges=boundary_map, rounds=1, outside_label=0)
    peak = tracemalloc.get_traced_memory()[1] - found.masks.nbytes
    tracemalloc.stop()
    assert peak < 1.5 * found.masks.nbytes  # the other call's masks, which are empty pages
    assert not found.fell_back.any()
    assert labels[110:150, 110:150].any()


def test_the_function_that_makes_edges_sees_boxes_alone():
    image, disc, box = disc_picture(size=(300, 400), centre=(120, 250), radius=60)
    seen = []

    def maker(part):
        seen.append(part.shape)
        return boundary_map(part)

    mask = grabcut(image, box, maker)
    assert max(max(shape) for shape in seen) <= 121 + 16
    assert iou(mask, disc) > 0.97
    with pytest.raises(ValueError, match="edges must have"):
        grabcut(image, box, lambda part: np.zeros((2, 2)))


def test_the_last_cut_at_a_larger_size_finds_the_outline():
    image, disc, box = disc_picture(size=(300, 400), centre=(150, 200), radius=120)
    coarse, fine = (grabcut(image, box, side=24, fine_side=side) for side in (0, 400))
    assert iou(coarse, disc) < 0.98
    assert iou(fine, disc) > 0.99


def test_the_warning_names_the_boxes():
    image, _, box = disc_picture()
    with pytest.warns(UserWarning, match=r"1 of 2 boxes.*\(box 1 of image 0\)"):
        grabcut_boxes(image, [box, (10, 10, 11, 11)])


def test_numbers_of_numpy_are_options_and_an_absent_device_is_told():
    image, disc, box = disc_picture()
    assert (
        iou(grabcut(image, box, rounds=np.int64(2), side=np.int32(64), strength=np.float32(7)), disc) > 0.97
    )
    if not torch.cuda.is_available():
        with pytest.warns(UserWarning, match="not available"):
            grabcut(image, box, device="cuda")
    with pytest.raises(TypeError, match="power"):
        grabcut(image, box, power=3)


@given(
    st.lists(st.tuples(*[st.integers(-10, 90)] * 4), max_size=4),
    st.sampled_from([None, boundary_map]),
)
@settings(max_examples=15, deadline=None)
@pytest.mark.filterwarnings("ignore:GrabCut fell back")
def test_masks_stay_in_their_boxes_whatever_the_boxes(corners, edges):
    image = disc_picture()[0]
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    found = grabcut_boxes(image, boxes, edges and edges(image), rounds=1)
    for box, mask in zip(boxes, found.masks, strict=True):
        inside = fill_boxes([box], [1], mask.shape) == 1
        assert not (mask & ~inside).any()
        assert mask.any() == inside.any()


def test_pixels_of_another_box_are_not_background():
    """Two discs of one colour in a row: the second one must not teach that their colour is background."""
    image, disc, box = disc_picture(size=(60, 130), centre=(30, 30))
    image = np.where(np.roll(disc, 60, 1)[..., None], np.roll(image, 60, 1), image)
    second = (box[0] + 60, box[1], box[2] + 60, box[3])
    both = grabcut_boxes(image, [box, second], margin=2.0)
    assert not both.fell_back.any()
    assert iou(both.masks[0], disc) > 0.97
    assert iou(both.masks[1], np.roll(disc, 60, 1)) > 0.97


def test_a_large_box_is_worked_on_at_side_and_enlarged():
    image, disc, box = disc_picture(size=(200, 240), centre=(100, 120), radius=70)
    small = grabcut_boxes(image, [box], side=48).masks[0]
    assert iou(small, disc) > 0.95
    assert not small[fill_boxes([box], [1], disc.shape) == 0].any()


@pytest.mark.filterwarnings("ignore:GrabCut fell back")
@pytest.mark.parametrize("box", [(299, 0, 300, 40), (0, 39, 300, 40), (0, 0, 300, 1), (1, 3, 299, 39)])
def test_long_thin_boxes_at_the_margin(box):
    image = np.random.default_rng(0).integers(0, 255, (40, 300, 3), dtype=np.uint8)
    mask = grabcut(image, box, side=16)
    assert mask.any()
    assert not mask[fill_boxes([box], [1], mask.shape) == 0].any()
    assert grabcut_votes(image, [box], runs=3, side=16).shape == (1, 40, 300)


def test_the_outline_follows_the_edge_map_instead_of_the_contrast():
    """A blue core in a grey ring, grey and red around: grey could be either, so the neighbours decide."""
    random = np.random.default_rng(0)
    image = np.full((60, 60, 3), 110)
    image[:, :12] = (200, 60, 60)
    image[24:36, 24:36] = (60, 60, 200)
    image = (image + random.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)
    core, ring = np.zeros((2, 60, 60), bool)
    core[24:36, 24:36] = ring[18:42, 18:42] = True
    outline = ring.astype(np.float32) - cv2.erode(ring.astype(np.uint8), np.ones((3, 3)))
    box = (14, 14, 46, 46)
    assert iou(grabcut(image, box, min_fill=0), core) > 0.9
    assert iou(grabcut(image, box, outline, min_fill=0), ring) > 0.85


def test_label_maps():
    image, disc, box = disc_picture()
    ignore = grabcut_labels(image, [box], [7])
    background = grabcut_labels(image, [box], [7], outside_label=0)
    mask = grabcut(image, box)
    filled = fill_boxes([box], [7], disc.shape)
    np.testing.assert_array_equal(ignore, np.where(mask, 7, np.where(filled == 7, 255, 0)))
    np.testing.assert_array_equal(background, np.where(mask, 7, 0))
    assert ignore.dtype == np.uint8


def test_precision_is_higher_than_the_boxes():
    image, disc, box = disc_picture()
    truth = disc.astype(np.uint8)
    assert label_quality(grabcut_labels(image, [box], [1]), truth).precision[1] > 0.97
    assert label_quality(fill_boxes([box], [1], disc.shape), truth).precision[1] < 0.8


@pytest.mark.parametrize(
    ("image", "box"),
    [
        (np.full((40, 40, 3), 90, np.uint8), (10, 10, 30, 30)),  # one colour
        (disc_picture()[0], (0, 0, 80, 60)),  # covers the picture
        (disc_picture()[0], (-5, -5, 99, 99)),
        (disc_picture()[0], (10, 10, 11, 11)),  # one pixel
    ],
)
def test_falls_back_to_the_box_and_says_so(image, box):
    with pytest.warns(UserWarning, match="fell back"):
        found = grabcut_boxes(image, [box])
    assert found.fell_back.tolist() == [True]
    np.testing.assert_array_equal(found.masks[0], fill_boxes([box], [1], image.shape[:2]) == 1)
    assert np.isnan(found.energy[0])


def test_a_mask_of_almost_nothing_falls_back():
    image, _, box = disc_picture()
    with pytest.warns(UserWarning, match="fell back"):
        found = grabcut_boxes(image, [box], min_fill=1.0)
    assert found.fell_back.all()
    assert np.isfinite(found.energy).all()


@pytest.mark.parametrize("box", [(5, 5, 5, 20), (90, 10, 120, 30), (-9, -9, 0, 0)])
def test_empty_and_outside_boxes_have_empty_masks(box):
    image = disc_picture()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = grabcut_boxes(image, [box])
    assert not found.masks.any()
    assert not found.fell_back.any()
    assert not opencv_grabcut(image, box).any()
    assert not grabcut_votes(image, [box], runs=2).any()


def test_no_boxes():
    image = disc_picture()[0]
    assert grabcut_boxes(image, []).masks.shape == (0, 60, 80)
    assert not grabcut_labels(image, [], []).any()
    assert not grabcut_plus_inner(image, [], []).any()


def test_an_object_on_a_ground_of_one_colour():
    image, disc, box = disc_picture()
    image[~disc] = 255
    found = grabcut_boxes(image, [box])
    assert not found.fell_back.any()
    assert iou(found.masks[0], disc) > 0.97


@pytest.mark.filterwarnings("ignore:GrabCut fell back")
def test_three_hundred_boxes():
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    corner = random.integers(0, 50, (300, 2))
    boxes = np.concatenate([corner, corner + random.integers(2, 9, (300, 2))], 1)
    found = grabcut_boxes(image, boxes, rounds=1, min_fill=0)
    assert found.masks.shape == (300, 60, 80)


def test_votes_are_shares_inside_the_box_and_depend_on_the_seed_alone():
    image, disc, box = disc_picture()
    votes = grabcut_votes(image, [box], runs=12, seed=3)
    assert votes.dtype == np.float32
    assert votes.min() >= 0
    assert votes.max() <= 1
    assert not votes[0][fill_boxes([box], [1], disc.shape) == 0].any()
    np.testing.assert_array_equal(votes, grabcut_votes(image, [box], runs=12, seed=3))
    assert (votes != grabcut_votes(image, [box], runs=12, seed=4)).any()
    assert iou(votes[0] > 0.5, disc) > 0.95


def test_inner_labels_are_the_votes_thresholded():
    image, _, box = disc_picture()
    votes = grabcut_votes(image, [box], runs=8, jitter=0.2)[0]
    labels = grabcut_plus_inner(image, [box], [4], runs=8, jitter=0.2)
    inside = fill_boxes([box], [1], votes.shape) == 1
    expected = np.where(votes >= 0.7, 4, np.where(votes < 0.2, 0, 255))
    np.testing.assert_array_equal(labels, np.where(inside, expected, 0))
    assert (labels == 255).any()


def test_where_no_run_says_anything_the_box_is_ignored():
    image = np.full((40, 40, 3), 90, np.uint8)
    labels = grabcut_plus_inner(image, [(10, 10, 30, 30)], [1], runs=3)
    np.testing.assert_array_equal(labels, fill_boxes([(10, 10, 30, 30)], [255 - 1], (40, 40)) // 254 * 255)


def shortest_ways(colours, inside):
    """The distances of `apart` by repeated relaxation of all pairs, in plain loops."""
    height, width = inside.shape
    pairs = [
        ((y, x), (y + dy, x + dx))
        for y in range(height)
        for x in range(width)
        for dy, dx in NEIGHBOURS
        if y + dy < height and 0 <= x + dx < width
    ]
    squares = [((colours[b] - colours[a]) ** 2).sum() for a, b in pairs]
    scale = 2 * np.mean(squares)
    distance = np.where(inside, np.inf, 0)
    for _ in range(inside.size):
        for (a, b), square in zip(pairs, squares, strict=True):
            length = np.hypot(b[0] - a[0], b[1] - a[1])
            step = 1 - np.exp(-square / scale) + STEP * length
            distance[a] = min(distance[a], distance[b] + step)
            distance[b] = min(distance[b], distance[a] + step)
    return distance


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_contrasts_on_the_way_are_the_shortest_of_all_ways(seed):
    rng = np.random.default_rng(seed)
    colours = rng.choice([0.1, 0.2, 0.6], (6, 7, 3)).astype(np.float32)
    inside = np.zeros((6, 7), bool)
    inside[1:5, 2:7] = True  # no rim at the right: the picture ends there
    expected = np.log((shortest_ways(colours, inside) + 2 * STEP) / REACH)
    np.testing.assert_allclose(apart(colours, (slice(1, 5), slice(2, 7))), expected, atol=1e-4)


def test_a_box_without_a_rim_says_nothing_of_contrasts():
    colours = np.random.default_rng(0).random((5, 6, 3)).astype(np.float32)
    assert (apart(colours, (slice(0, 5), slice(0, 6))) == 0).all()


def test_a_bay_of_the_ground_is_not_the_object():
    """A thick U: the ground between its arms lies in the middle of the box and leads outside."""
    rng = np.random.default_rng(0)
    thing = np.zeros((70, 90), bool)
    thing[10:60, 20:70] = True
    thing[10:45, 36:54] = False
    colours = np.where(thing[..., None], (170, 70, 60), (90, 120, 150)) + rng.normal(0, 3, (70, 90, 3))
    image = colours.clip(0, 255).astype(np.uint8)
    box = np.array([20, 10, 70, 60])
    scene = scene_of(image, box[None], 0, None, 64, 0.5)
    task = task_of(scene, scene.box, 0.5)
    log_odds = task.apart[task.core]
    inside = thing[10:60, 20:70]
    assert np.median(log_odds[inside]) > np.median(log_odds[~inside]) + 0.5
    assert iou(grabcut(image, box), thing) > 0.97


def test_both_starts_have_a_say_and_what_is_sampled_does_not_depend_on_the_batch():
    image, _, box = disc_picture()
    scene = scene_of(image, np.array([box]), 0, None, 64, 0.5)
    task = task_of(scene, scene.box, 0.5)
    found = separate([task], Settings(), torch.device("cpu"))
    evidence = found.evidence(0, task.core)
    assert len(evidence.ours.weights) == len(evidence.theirs.weights) == 2
    colours = torch.from_numpy(scene.colours.reshape(1, -1, 3))
    alone = [
        type(evidence)(*(type(m)(*(part[k : k + 1] for part in m)) for m in evidence[:2]), evidence.odds)
        for k in (0, 1)
    ]
    mean = (alone[0].costs(colours) + alone[1].costs(colours)) / 2
    np.testing.assert_allclose(evidence.costs(colours), mean, rtol=1e-4, atol=1e-4)
    height, width = task.odds.shape
    narrow, counts = _sampled([task], width, torch.device("cpu"))
    wide, same = _sampled([task], width + 9, torch.device("cpu"))
    assert counts.tolist() == same.tolist()
    assert abs(counts.sum() - height * width) < counts.max()
    assert [divmod(p, width) for p in narrow[0].tolist()] == [divmod(p, width + 9) for p in wide[0].tolist()]


@pytest.mark.parametrize("box", [(0, 0, 9, 7), (2, 3, 6, 5), (0, 1, 9, 7)])
def test_a_frame_is_the_box_and_a_pixel_round_it(box):
    rim, core = framed(np.array(box), (7, 9))
    whole = np.zeros((7, 9), int)
    whole[rim] += 1
    whole[rim][core] += 1
    x0, y0, x1, y1 = box
    expected = np.zeros((7, 9), int)
    expected[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] = 1
    expected[y0:y1, x0:x1] = 2
    np.testing.assert_array_equal(whole, expected)


def test_contrast_costs_are_their_formula():
    random = torch.Generator().manual_seed(0)
    colours = torch.rand(1, 4, 5, 3, generator=random)
    costs = contrast_costs(colours, torch.ones(1, 4, 5, dtype=torch.bool), 50.0)
    squares = {}
    for k, (dy, dx) in enumerate(NEIGHBOURS):
        for y in range(4):
            for x in range(5):
                if y + dy < 4 and 0 <= x + dx < 5:
                    squares[k, y, x] = (colours[0, y, x] - colours[0, y + dy, x + dx]).square().sum()
    beta = 1 / (2 * torch.stack(list(squares.values())).mean())
    for (k, y, x), square in squares.items():
        expected = 50 * torch.exp(-beta * square) / np.hypot(*NEIGHBOURS[k])
        torch.testing.assert_close(costs[0, k, y, x], expected)


def test_a_frame_larger_than_the_picture_changes_no_cost():
    colours = torch.rand(1, 4, 5, 3, generator=torch.Generator().manual_seed(1))
    padded, exists = torch.zeros(1, 6, 9, 3), torch.zeros(1, 6, 9, dtype=torch.bool)
    padded[:, :4, :5], exists[:, :4, :5] = colours, True
    alone = contrast_costs(colours, torch.ones(1, 4, 5, dtype=torch.bool), 20.0)
    framed = contrast_costs(padded, exists, 20.0)
    torch.testing.assert_close(framed[:, :, :4, :5], alone)
    assert framed.sum() == pytest.approx(alone.sum().item(), rel=1e-5)
    assert edge_costs(torch.rand(1, 6, 9), exists, 20.0)[:, :, 4:].sum() == 0


def test_an_edge_lowers_the_cost_of_every_pair_it_touches():
    edges = torch.zeros(1, 5, 5)
    edges[0, :, 2] = 0.8
    costs = edge_costs(edges, torch.ones(1, 5, 5, dtype=torch.bool), 10.0)
    assert costs[0, 0, 0, 0] == 10
    assert costs[0, 0, 0, 1] == costs[0, 0, 0, 2] < 1
    assert costs[0, 2, 0, 0] == pytest.approx(10 / 2**0.5)


def test_opencv_reference_is_repeatable_and_leaves_the_picture_alone():
    image, disc, box = disc_picture()
    before = image.copy()
    first = opencv_grabcut(image, box)
    cv2.setRNGSeed(99)
    np.testing.assert_array_equal(first, opencv_grabcut(image, box))
    np.testing.assert_array_equal(image, before)
    assert iou(first, disc) > 0.9


@pytest.mark.parametrize(
    ("error", "name", "call"),
    [
        (ValueError, "image", lambda i, b: grabcut(i / 255, b)),
        (ValueError, "image", lambda i, b: grabcut(i[..., 0], b)),
        (ValueError, "boxes", lambda i, b: grabcut(i, b[:3])),
        (ValueError, "boxes", lambda i, b: grabcut(i, (5, 5, 2, 9))),
        (ValueError, "boxes", lambda i, b: grabcut(i, (0, 0, np.nan, 9))),
        (ValueError, "one an image", lambda i, b: grabcut_images([i, i], [[b]])),
        (ValueError, "edges", lambda i, b: grabcut(i, b, np.zeros((3, 3)))),
        (ValueError, "edges", lambda i, b: grabcut(i, b, np.full(i.shape[:2], np.nan))),
        (ValueError, "edges", lambda i, b: grabcut(i, b, np.full(i.shape[:2], 2.0))),
        (ValueError, "strength", lambda i, b: grabcut(i, b, strength=-1)),
        (ValueError, "margin", lambda i, b: grabcut(i, b, margin=float("nan"))),
        (ValueError, "components", lambda i, b: grabcut(i, b, components=0)),
        (ValueError, "rounds", lambda i, b: grabcut(i, b, rounds=0)),
        (ValueError, "side", lambda i, b: grabcut(i, b, side=2)),
        (ValueError, "classes", lambda i, b: grabcut_labels(i, [b], [0])),
        (ValueError, "outside_label", lambda i, b: grabcut_labels(i, [b], [1], outside_label=3)),
        (ValueError, "runs", lambda i, b: grabcut_votes(i, [b], runs=0)),
        (ValueError, "background", lambda i, b: grabcut_plus_inner(i, [b], [1], foreground=0.1)),
    ],
)
def test_bad_input_is_named(error, name, call):
    image, _, box = disc_picture()
    with pytest.raises(error, match=name):
        call(image, box)


@pytest.mark.skipif(
    not VOC.is_dir(), reason="no VOC pictures here: set LECTUREKIT_VOC to a folder in VOC's layout"
)
def test_a_photograph_is_separated_better_than_by_its_box():
    import xml.etree.ElementTree as ElementTree

    from PIL import Image

    name = "2007_000175"
    image = np.array(Image.open(VOC / f"JPEGImages/{name}.jpg").convert("RGB"))
    truth = np.array(Image.open(VOC / f"SegmentationClass/{name}.png"))
    box = ElementTree.parse(VOC / f"Annotations/{name}.xml").find("object/bndbox")
    x0, y0, x1, y1 = (int(box.find(n).text) for n in ("xmin", "ymin", "xmax", "ymax"))
    labels = {
        "box": fill_boxes,
        "cut": lambda b, c, s: grabcut_labels(image, b, c, boundary_map(image), outside_label=0),
    }
    found = {
        k: label_quality(
            make([(x0 - 1, y0 - 1, x1, y1)], [int(truth[truth < 255].max())], truth.shape), truth
        )
        for k, make in labels.items()
    }
    assert found["cut"].mean_iou > found["box"].mean_iou + 0.05
