"""Generated scenes: labels exact for any parameters, the same on every platform, like VOC where it counts."""

import hashlib
import pickle
import re
import xml.etree.ElementTree as ET
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import VOC
from torch.utils.data import DataLoader

from lecturekit.datasets import scenes
from lecturekit.datasets.scenes import captions, kinds, outlines, render, strokes, textures, world
from lecturekit.datasets.scenes.draws import BELL, Draws


@pytest.fixture(scope="module")
def many():
    """Two hundred small scenes, shared by the tests that count."""
    return [scenes.scene(i, size=64) for i in range(200)]


def random_parameters(draws):
    """Parameters from all over their ranges."""
    sides = [32 + draws.below(17) for _ in range(2)]
    chosen = [k for k in range(1, len(scenes.CLASSES)) if draws.chance(0.5)]
    return {
        "size": draws.pick((sides[0], tuple(sides))),
        "classes": chosen or None,
        "objects": draws.pick((None, None, draws.below(9))),
        "clutter": draws.uniform(0, 5),
        "overlap": draws.uniform(0, 0.9),
        "context_bias": draws.pick((0, 0.5, 1)),
        "contrast": draws.uniform(0, 2),
        "noise": draws.uniform(0, 30),
    }


# --- labels agree with each other -----------------------------------------------------------------


@pytest.mark.parametrize("count", [700, pytest.param(5000, marks=pytest.mark.slow)])
def test_invariants_hold_for_random_parameters(count):
    draws = Draws(2024)
    for index in range(count):
        parameters = random_parameters(draws)
        scene = scenes.scene(index, draws.below(1000), **parameters)
        try:
            check_labels(scene, parameters)
            check_caption(scene)
        except AssertionError as error:
            raise AssertionError(f"scene({index}, {scene.seed}, **{parameters})") from error


def check_labels(scene, parameters):
    size, n = parameters["size"], len(scene.boxes)
    shape = (size, size) if isinstance(size, int) else size
    assert (scene.image.dtype, scene.image.shape) == (np.uint8, (*shape, 3))
    assert (scene.mask.dtype, scene.mask.shape) == (np.uint8, shape)
    assert (scene.instances.dtype, scene.instances.shape) == (np.uint8, shape)
    assert scene.boxes.shape == (n, 4)
    assert scene.classes.shape == (n,)
    assert len(scene.colours) == n
    assert set(np.unique(scene.instances)) - {0} == set(range(1, n + 1))
    np.testing.assert_array_equal(scene.mask, np.concatenate([[0], scene.classes])[scene.instances])
    assert scene.labels == set(np.unique(scene.mask).tolist()) - {0}
    assert scene.labels <= set(parameters["classes"] or range(1, len(scenes.CLASSES)))
    for k, box in enumerate(scene.boxes):
        rows, columns = np.nonzero(scene.instances == k + 1)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert len(rows) >= world.MIN_PIXELS
        assert scene.colours[k] in kinds.KINDS[scene.classes[k] - 1].colours
    assert (n > 0) == (parameters["objects"] != 0)
    assert n <= (8 if parameters["objects"] is None else parameters["objects"])


def check_caption(scene):
    """The caption, read by a parser of its own, against counts and boxes."""
    head, *tail = scene.caption.split(", ", 1)
    first, background = head.split(" in front of ")
    assert background == scene.background
    relation = re.match(r"(left of|right of|above|below) (\w+ \w+ \w+)", tail[0]) if tail else None
    groups = re.findall(
        rf"(?:{'|'.join(captions.NUMBERS)}|\d+) (?:{'|'.join(kinds.COLOURS)}) \w+", scene.caption
    )
    counted = Counter()
    for number, colour, name in (group.split() for group in groups):
        count = captions.NUMBERS.index(number) if number in captions.NUMBERS else int(number)
        assert name.endswith("s") == (count > 1)
        counted[colour, name.removesuffix("s")] += count
    names = [scenes.CLASSES[c] for c in scene.classes]
    assert counted == Counter(zip(scene.colours, names, strict=True))
    assert (first == "nothing") == (len(names) == 0)
    if relation:
        check_relation(scene, first, *relation.groups())


def check_relation(scene, first, word, second):
    """Every pixel of the one group lies on that side of every pixel of the other."""
    axis, sign = {"left of": (1, 1), "right of": (1, -1), "above": (0, 1), "below": (0, -1)}[word]
    ends = []
    for _, colour, name in (first.split(), second.split()):
        name = name.removesuffix("s")
        members = [
            k + 1
            for k, (c, own) in enumerate(zip(scene.classes, scene.colours, strict=True))
            if (own, scenes.CLASSES[c]) == (colour, name)
        ]
        ends.append(np.nonzero(np.isin(scene.instances, members))[axis] * sign)
    assert ends[0].max() < ends[1].min()


def test_captions_say_relations_often_and_read_back(many):
    said = [scenes.read_caption(scene.caption) for scene in many]
    several = [s for s in said if len(s.groups) > 1]
    assert sum(s.relation is not None for s in several) > 0.3 * len(several)
    for s, scene in zip(said, many, strict=True):
        assert s.background == scene.background
        assert sum(count for count, _, _ in s.groups) == len(scene.boxes)


def test_caption_of_hand_made_scenes():
    boxes = np.array([[0, 0, 10, 10], [2, 20, 12, 30], [20, 0, 25, 5]])
    two = captions.describe("grass", [1, 1, 4], ["red", "red", "blue"], boxes)
    assert two == "two red stars in front of grass, left of a blue feather"
    crossed = captions.describe(
        "sand", [1, 1, 4], ["red", "red", "blue"], boxes - [[0] * 4, [0] * 4, [9, 0, 9, 0]]
    )
    assert crossed == "two red stars in front of sand, with a blue feather"
    assert captions.describe("sand", [], [], np.zeros((0, 4))) == "nothing in front of sand"
    crowd = captions.describe("wood", [6] * 13, ["green"] * 13, np.array([[0, 0, 5, 5]] * 13))
    assert crowd == "13 green snakes in front of wood"
    assert scenes.read_caption(crowd).groups == ((13, "green", "snake"),)
    with pytest.raises(ValueError, match="caption must be like"):
        scenes.read_caption("a red dog in front of grass")


@pytest.mark.parametrize(
    ("shift", "word"),
    [((10, 0), "left of"), ((-10, 0), "right of"), ((0, 10), "above"), ((0, -10), "below"), ((9, 9), None)],
)
def test_relation_needs_disjoint_boxes(shift, word):
    a = np.array([[20, 20, 30, 30]])
    assert captions.relation(a, a + np.array([*shift, *shift])) == word


def test_clicks_and_scribbles_lie_on_what_they_name(many):
    for scene in many[:120]:
        for k, (x, y) in enumerate(scene.clicks):
            assert scene.instances[y, x] == k + 1
        drawn = scene.scribbles != 255
        assert scene.scribbles.dtype == np.uint8
        np.testing.assert_array_equal(scene.scribbles[drawn], scene.mask[drawn])
        assert set(np.unique(scene.instances[drawn])) == set(np.unique(scene.instances))
        assert drawn.mean() < 0.3


def test_depth_and_strokes_on_a_bar():
    bar = np.zeros((9, 30), bool)
    bar[2:7, 3:28] = True
    assert strokes.deepest(bar) == (5, 4)
    assert strokes.depth(bar).max() == 3
    way = strokes.stroke(bar, share=1)
    assert len(way) == 25  # from end to end
    assert (np.abs(np.diff(way, axis=0)).max(1) == 1).all()
    assert (way[3:-3, 0] == 4).all()  # along the middle
    assert len(strokes.stroke(bar, share=0)) == 1
    assert strokes.steps_from(bar, (4, 3)).max() == 24
    assert strokes.steps_from(bar, (4, 3))[0, 0] == -1


def test_nothing_hides_more_of_an_object_than_allowed():
    for index in range(40):
        for overlap in (0.0, 0.5):
            parameters = world.Parameters(size=48, overlap=overlap, objects=6, clutter=6)
            made = world.draw_world((0, index, 1), parameters)
            _, owner = render.render(made, (0, index, 1), parameters, 0)
            for place, thing in enumerate(made.things):
                if thing.kind:
                    whole = (thing.cover(0, (48, 48)) >= outlines.FULL // 2).sum()
                    assert (owner == place).sum() >= (1 - overlap) * whole


# --- the same everywhere --------------------------------------------------------------------------

FROZEN = {
    "plain": "93cac89873bb14a5a57928f55759bdc0ad6d26d269d51bed2f3f17563daeeecd",
    "wide": "b08253acb23ee1696e24ec4bfa8b71e3b073aaf3f2f3dd29c292da338f55ce51",
    "crowd": "8b404b8a3b2752d991fd6d8ce299aa3913e3b714d74fe4cce34c177c675c08e3",
    "clip": "beb8edebcf213058d3df7783095fdfb2149b00dabc3f11175adafdbdefcbc90f",
}


def digest(*found):
    """SHA-256 over everything that scenes show and say, shapes included."""
    sha = hashlib.sha256()
    for scene in found:
        arrays = (
            scene.image,
            scene.mask,
            scene.instances,
            scene.boxes,
            scene.classes,
            scene.clicks,
            scene.scribbles,
        )
        for array in arrays:
            sha.update(
                str(array.shape).encode()
                + np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
            )
        sha.update(scene.caption.encode())
    return sha.hexdigest()


def frozen_scenes(name):
    if name == "plain":
        return [scenes.scene(i) for i in range(12)]
    if name == "wide":
        return [scenes.scene(i, seed=7, size=(80, 144), contrast=1.7, noise=0) for i in range(6)]
    if name == "crowd":
        return [
            scenes.scene(i, 2**40, size=128, objects=9, clutter=8, overlap=0.7, context_bias=0.5)
            for i in range(4)
        ]
    return scenes.clip(3, frames=5, objects=3).frames


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_hash(name):
    """Version 1 shows this on every platform; whoever changes what scenes show raises VERSION."""
    assert scenes.VERSION == 1
    assert digest(*frozen_scenes(name)) == FROZEN[name]


def test_flow_is_frozen_too():
    flow = scenes.clip(3, frames=3, objects=3, size=48).flow
    assert (
        hashlib.sha256(flow.astype("<f4").tobytes()).hexdigest()
        == "6ba623bc14f311986e9286a6b2e0a4e1c0f801820b99f937bf23703726feaf53"
    )


def test_raw_random_numbers_are_frozen():
    draws = Draws(1, 2, 3)
    assert [draws.below(1000) for _ in range(8)] == [670, 111, 511, 356, 704, 479, 711, 380]
    assert draws.uniform() == 0.08235609908581576
    assert draws.bells(5).tolist() == [106, -97, 76, -66, -121]


def test_the_rounded_cosines_leave_no_room_for_platforms():
    exact = np.cos(np.arange(outlines.TURN) * (2 * np.pi / outlines.TURN)) * 2**14
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6  # a cosine's last bit is 1e-12 here
    np.testing.assert_allclose(outlines.cosine(np.arange(1024)), exact / 2**14, atol=2**-15)
    np.testing.assert_allclose(
        outlines.sine(np.arange(1024)), np.sin(np.arange(1024) * 2 * np.pi / 1024), atol=2**-14
    )


def test_same_key_same_scene_whatever_came_before():
    before = digest(scenes.scene(5, 1, size=48))
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    scenes.scene(6, size=64)
    assert digest(scenes.scene(5, 1, size=48)) == before
    others = [scenes.scene(6, 1, size=48), scenes.scene(5, 2, size=48), scenes.scene(1, 5, size=48)]
    assert len({before, *map(digest, others)}) == 4


def test_looks_change_no_label():
    plain = scenes.scene(11, size=64)
    for looks in ({"noise": 0}, {"noise": 40}, {"contrast": 0}, {"contrast": 2}):
        other = scenes.scene(11, size=64, **looks)
        np.testing.assert_array_equal(other.instances, plain.instances)
        assert (other.image != plain.image).any()
        assert other.caption == plain.caption


# --- random numbers, shapes, textures -------------------------------------------------------------


def test_draws_have_the_distributions_they_name():
    draws = Draws(9)
    uniform = np.array([draws.uniform(2, 4) for _ in range(4000)])
    assert 2 <= uniform.min() < uniform.max() < 4
    assert abs(uniform.mean() - 3) < 0.04
    assert np.bincount([draws.below(5) for _ in range(5000)]).min() > 870
    picked = Counter(draws.pick("abc", (1, 0, 3)) for _ in range(4000))
    assert picked["b"] == 0
    assert abs(picked["c"] / 4000 - 0.75) < 0.03
    bells = draws.bells(50, 1000)
    assert bells.shape == (50, 1000)
    assert abs(bells.mean()) < 2
    assert abs(bells.std() / BELL - 1) < 0.02
    assert draws.chance(1)
    assert not draws.chance(0)


def winding_number(polygon, x, y):
    """Times the polygon runs round the point, in whole numbers (Sunday's algorithm)."""
    count = 0
    for (xa, ya), (xb, yb) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        left = (xb - xa) * (y - ya) - (x - xa) * (yb - ya)
        count += (ya <= y < yb and left > 0) - (yb <= y < ya and left < 0)
    return count


corner = st.tuples(st.integers(-600, 2200), st.integers(-600, 2200))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(corner, min_size=3, max_size=6), min_size=1, max_size=2))
def test_coverage_counts_the_sample_points_inside(polygons):
    height, width = 5, 6
    covered = np.zeros((height, width), int)
    rows, columns, counts = outlines.coverage(
        [np.array(p) / outlines.UNIT for p in polygons], (height, width)
    )
    covered[rows, columns] = counts
    step = outlines.UNIT // outlines.SUB
    spots = [step // 2 + step * k for k in range(outlines.SUB)]
    for i in range(height):
        for j in range(width):
            inside = sum(
                sum(winding_number(p, outlines.UNIT * j + x, outlines.UNIT * i + y) for p in polygons) != 0
                for x in spots
                for y in spots
            )
            assert covered[i, j] == inside


@pytest.mark.parametrize("outline", [kind.outline for kind in kinds.KINDS] + list(outlines.CLUTTER))
@pytest.mark.parametrize("stout", [0.0, 0.5, 1.0])
def test_outlines_have_a_box_of_area_one_and_a_positive_area(outline, stout):
    for seed in range(10):
        draws = Draws(seed)
        shape = outlines.posed(outline(draws, stout), 0.8, draws.below(1024), seed % 2 == 0)
        low, high = np.concatenate(shape).min(0), np.concatenate(shape).max(0)
        assert np.prod(high - low) == pytest.approx(1)
        assert low + high == pytest.approx(0)
        counts = outlines.coverage([p * 40 + 50 for p in shape], (100, 100))[2]
        drawn = counts.sum() / outlines.FULL / 1600
        parts = sum(outlines.signed_area(p) for p in shape)
        assert 0 < drawn <= parts + 0.02
        assert drawn == pytest.approx(parts, abs=0.12)  # parts may overlap


def test_a_ring_has_a_hole():
    shape = outlines.posed(outlines.ring(Draws(0), 0.5), 1, 0, False)
    covered = outlines.coverage([p * 20 + 10 for p in shape], (20, 20))[2]
    assert covered[10, 10] == 0
    assert covered[10, 1] == outlines.FULL


@pytest.mark.parametrize("name", textures.TILES)
def test_tiles_have_the_spread_they_name_and_go_on_mirrored(name):
    for level in range(4):
        tile = textures.tile(name, level)
        assert abs(tile.mean()) < 4
        assert 20 < tile.std() < 36
        assert np.abs(tile).max() <= textures.LIMIT
    height, width = textures.tile(name, 0).shape
    x, y = np.arange(5.0), np.arange(5.0)
    np.testing.assert_array_equal(textures.sample(name, x, y, 1), textures.tile(name, 0)[range(5), range(5)])
    there, back = width - 3.0 + x, width + 2.0 - x
    np.testing.assert_array_equal(textures.sample(name, there, y, 1), textures.sample(name, back, y, 1))
    half = textures.sample(name, np.array([0.5]), np.array([0.0]), 1)
    assert half[0] == pytest.approx(textures.tile(name, 0)[0, :2].mean(), abs=1)
    assert textures.sample(name, x, y - 4 * height, 1).shape == (5,)


def test_no_cue_alone_tells_the_classes_apart():
    def differ(a, b):
        pair = [kinds.KINDS[scenes.CLASSES.index(name) - 1] for name in (a, b)]
        return {cue for cue in ("outline", "surface", "colours") if len({getattr(k, cue) for k in pair}) == 2}

    assert differ("star", "flower") == {"surface"}
    assert differ("fern", "feather") == {"colours"}
    assert differ("boat", "snake") == {"outline"}
    users = Counter(colour for kind in kinds.KINDS for colour in kind.colours)
    assert set(users) == set(kinds.COLOURS)
    assert min(users.values()) >= 2
    assert len({kind.home for kind in kinds.KINDS}) == len(kinds.KINDS) == len(kinds.BACKGROUNDS)
    assert sum(kind.share for kind in kinds.KINDS) == pytest.approx(1)


# --- parameters -----------------------------------------------------------------------------------


def backgrounds_of(bias, n=4000):
    parameters = world.Parameters(context_bias=bias)
    pairs = []
    for index in range(n):
        classes, background = world.draw_classes(Draws(index), parameters)
        pairs += [(c, background) for c in classes]
    return pairs


@pytest.mark.parametrize(
    ("bias", "low", "high"), [(0.0, 0.12, 0.17), (0.5, 0.5, 0.75), (0.95, 0.93, 1), (1.0, 1, 1)]
)
def test_context_bias_puts_objects_on_their_own_background(bias, low, high):
    pairs = backgrounds_of(bias)
    assert low <= np.mean([kinds.KINDS[c - 1].home == b for c, b in pairs]) <= high


def test_classes_have_the_shares_they_name_and_backgrounds_are_equal():
    pairs = backgrounds_of(0.0)
    counts = np.bincount([c for c, _ in pairs], minlength=len(scenes.CLASSES))[1:] / len(pairs)
    np.testing.assert_allclose(counts, [kind.share for kind in kinds.KINDS], atol=0.02)
    on = Counter(b for _, b in pairs)
    assert max(on.values()) / min(on.values()) < 1.2


def test_classes_may_be_named_or_numbered():
    by_name = [scenes.scene(i, size=48, classes=["ring", "boat"]) for i in range(20)]
    assert set().union(*(s.names for s in by_name)) == {"ring", "boat"}
    assert [digest(s) for s in by_name] == [
        digest(scenes.scene(i, size=48, classes=(5, 7))) for i in range(20)
    ]


def test_objects_are_tried_and_clutter_is_none():
    for n in (0, 1, 3):
        found = [scenes.scene(i, size=96, objects=n, overlap=0.8, clutter=0) for i in range(10)]
        assert np.mean([len(s.boxes) for s in found]) > 0.9 * n - 1e-9
        assert max(len(s.boxes) for s in found) <= n
    empty = scenes.scene(0, objects=0)
    assert empty.boxes.shape == (0, 4)
    assert empty.clicks.shape == (0, 2)
    assert empty.labels == set()
    assert empty.caption.startswith("nothing in front of ")
    assert set(np.unique(empty.scribbles)) == {0, 255}


def test_clutter_of_so_many_things_on_average():
    for clutter in (0, 0.3, 2.5):
        parameters = world.Parameters(size=32, clutter=clutter)
        counts = [len(world._clutter(Draws(i), parameters)) for i in range(1500)]
        assert np.mean(counts) == pytest.approx(clutter, abs=0.1)


def test_noise_has_the_standard_deviation_it_names():
    quiet, loud = (scenes.scene(2, size=128, noise=n).image.astype(float) for n in (0, 10))
    middle = (quiet > 60) & (quiet < 190)
    assert (loud - quiet)[middle].std() == pytest.approx(10, rel=0.05)


def test_contrast_makes_texture():
    spread = [
        np.std(
            np.diff(scenes.scene(2, noise=0, objects=0, clutter=0, contrast=c).image[..., 1].astype(float))
        )
        for c in (0, 1, 2)
    ]
    assert spread[0] < 1 < spread[1] < spread[2]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"index": -1}, ValueError, "index must be a .*0"),
        ({"index": 1.5}, ValueError, "index must be a whole number of at least 0, got 1.5"),
        ({"index": True}, ValueError, "index must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be a .*0"),
        ({"size": 31}, ValueError, "size must be a .*32..1024, got 31"),
        (
            {"size": (64, 2000)},
            ValueError,
            "size must be a .*32..1024, got 2000",
        ),
        ({"size": "big"}, TypeError, "size must be a whole number or"),
        ({"size": (64, 64, 3)}, TypeError, "size must be a whole number or"),
        ({"size": 64.0}, TypeError, "size must be a whole number or"),
        ({"classes": ["dog"]}, ValueError, "classes must be of star.*got 'dog'"),
        ({"classes": ["background"]}, ValueError, "classes must be of"),
        ({"classes": [8]}, ValueError, "got 8"),
        ({"classes": []}, ValueError, "at least one class"),
        ({"classes": "star"}, TypeError, "classes must be a list"),
        ({"objects": -1}, ValueError, "objects must be a .*0..50"),
        ({"clutter": -0.1}, ValueError, "clutter must be a"),
        ({"clutter": "much"}, ValueError, "clutter must be a number"),
        ({"overlap": 1}, ValueError, "overlap must be a .*0..0.9"),
        ({"context_bias": 1.1}, ValueError, "context_bias must be a .*0..1"),
        (
            {"context_bias": float("nan")},
            ValueError,
            "context_bias must be a .*0..1, got nan",
        ),
        ({"contrast": 3}, ValueError, "contrast must be a .*0..2"),
        ({"noise": float("inf")}, ValueError, "noise must be a .*0..50"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
)
def test_bad_parameters_are_named(arguments, error, text):
    with pytest.raises(error, match=text):
        scenes.scene(**{"index": 0} | arguments)


# --- clips ----------------------------------------------------------------------------------------


def test_clips_keep_every_object_and_move_as_the_flow_says():
    inside = total = 0
    for index in range(4):
        clip = scenes.clip(index, frames=5, size=72, noise=0, objects=3, clutter=2)
        assert clip.images.shape == (5, 72, 72, 3)
        assert clip.masks.shape == (5, 72, 72)
        assert clip.flow.shape == (4, 72, 72, 2)
        assert clip.flow.dtype == np.float32
        assert len({tuple(f.classes.tolist()) for f in clip.frames}) == 1
        for t, (now, then) in enumerate(zip(clip.frames, clip.frames[1:], strict=False)):
            check_labels(then, {"size": 72, "classes": None, "objects": 3})
            same, moved, still = follow(now, then, clip.flow[t])
            inside, total = inside + same.sum(), total + same.size
            assert moved < 0.75 * still + 0.5
    assert inside > 0.93 * total  # the rest is hidden on the way, or lies on an edge


def follow(now, then, flow):
    """Frame `now` led by the flow: same instance there or not, mean grey difference there and on the spot."""
    height, width = now.mask.shape
    rows, columns = np.mgrid[:height, :width]
    x, y = (np.rint(v).astype(int) for v in (columns + flow[..., 0], rows + flow[..., 1]))
    seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    same = now.instances[seen] == then.instances[y[seen], x[seen]]
    grey = now.image.astype(float).mean(2), then.image.astype(float).mean(2)
    moved = np.abs(grey[0][seen] - grey[1][y[seen], x[seen]])[same].mean()
    return same, moved, np.abs(grey[0] - grey[1])[seen][same].mean()


def test_the_flow_of_a_thing_is_that_of_a_turning_plate():
    """Two pixels of one object keep their distance, and its centre moves by its velocity."""
    parameters = world.Parameters(size=64, objects=1, clutter=0)
    made = world.draw_world((0, 4, 3), parameters, frames=3)
    thing, (_, owner) = made.things[0], render.render(made, (0, 4, 3), parameters, 0)
    flow = render.flow(made, owner, 0)
    assert thing.spin != 0
    rows, columns = np.nonzero(owner == 0)
    before = np.stack([columns, rows], 1).astype(float)
    after = before + flow[rows, columns]
    apart = [np.linalg.norm(p[0] - p[-1]) for p in (before, after)]
    assert apart[0] == pytest.approx(apart[1], abs=1e-2)
    # less the velocity, what is left is at right angles to the arm from the centre, up to the turn's own bend
    arm, turned = before + 0.5 - thing.centre, flow[rows, columns] - thing.velocity
    angle = thing.spin * 2 * np.pi / outlines.TURN
    np.testing.assert_allclose(
        turned, np.stack([-arm[:, 1], arm[:, 0]], 1) * angle, atol=0.5 * angle**2 * 64 + 0.01
    )
    np.testing.assert_allclose(
        flow[owner == -1], np.broadcast_to(made.pan, ((owner == -1).sum(), 2)), atol=1e-6
    )


def test_one_frame_is_a_scene_and_bad_numbers_of_frames_are_refused():
    clip = scenes.clip(8, 2, 1, size=48)
    assert digest(*clip.frames) == digest(scenes.scene(8, 2, size=48))
    assert clip.flow.shape == (0, 48, 48, 2)
    for frames, error in ((0, ValueError), (65, ValueError), (2.0, ValueError)):
        with pytest.raises(error, match="frames must"):
            scenes.clip(0, frames=frames)


# --- labels with mistakes -------------------------------------------------------------------------


def test_a_careful_annotator_tells_the_truth(many):
    for scene in many[:60]:
        boxes, classes = scenes.weak_boxes(scene)
        np.testing.assert_array_equal(boxes, scene.boxes)
        np.testing.assert_array_equal(classes, scene.classes)
        np.testing.assert_array_equal(scenes.weak_clicks(scene)[0], scene.clicks)
        np.testing.assert_array_equal(scenes.weak_scribbles(scene), scene.scribbles)
        assert scenes.weak_labels(scene) == scene.labels
        assert scenes.weak_caption(scene) == scene.caption


def test_mistakes_have_the_rates_they_name(many):
    careless = scenes.Annotator(missed=0.3, wrong_class=0.2)
    total = sum(len(s.boxes) for s in many)
    found = [scenes.noticed(s, careless) for s in many]
    assert sum(len(k) for k, _ in found) / total == pytest.approx(0.7, abs=0.06)
    wrong = np.concatenate([c != s.classes[k] for s, (k, c) in zip(many, found, strict=True)])
    assert wrong.mean() == pytest.approx(0.2, abs=0.06)
    named = np.concatenate([c for _, c in found])
    assert set(named.tolist()) <= set(range(1, len(scenes.CLASSES)))
    always = scenes.Annotator(wrong_class=1)
    taken = np.concatenate([scenes.noticed(s, always)[1] for s in many])
    assert (taken != np.concatenate([s.classes for s in many])).all()
    assert len(set(taken.tolist())) == len(scenes.CLASSES) - 1


def test_the_less_careful_makes_the_same_mistakes_and_more(many):
    for scene in many[:80]:
        kept = [set(scenes.noticed(scene, scenes.Annotator(missed=m))[0].tolist()) for m in (0.1, 0.4, 0.8)]
        assert kept[0] >= kept[1] >= kept[2]
        near, far = (scenes.weak_boxes(scene, scenes.Annotator(box_jitter=j))[0] for j in (0.05, 0.1))
        inner = (near > 0).all(1) & (near[:, 2:] < 64).all(1) & (far > 0).all(1) & (far[:, 2:] < 64).all(1)
        errors = [(b - scene.boxes)[inner & ((far[:, 2:] - far[:, :2]) > 2).all(1)] for b in (near, far)]
        assert (np.abs(errors[1] - 2 * errors[0]) <= 1).all()  # rounding


def test_overlooked_objects_are_small_ones(many):
    blind = scenes.Annotator(missed_small=0.4)
    sizes, seen = [], []
    for scene in many:
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        sizes += np.sqrt(sides.prod(1) / scene.mask.size).tolist()
        seen += np.isin(np.arange(len(scene.boxes)), scenes.noticed(scene, blind)[0]).tolist()
    sizes, seen = np.array(sizes), np.array(seen)
    assert seen[sizes >= 0.4].all()
    small = sizes < 0.4
    assert seen[small].mean() == pytest.approx((sizes[small] / 0.4).mean(), abs=0.08)


def test_jitter_and_clicks_err_as_much_as_they_name(many):
    shaky = scenes.Annotator(box_jitter=0.1, off_centre=0.2)
    side, click, inside = [], [], []
    for scene in many:
        boxes, _ = scenes.weak_boxes(scene, shaky)
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert (boxes >= 0).all()
        assert (boxes <= 64).all()
        extent = (scene.boxes[:, 2:] - scene.boxes[:, :2]).astype(float)
        large = (extent > 12).all(1) & (scene.boxes > 8).all(1) & (scene.boxes[:, 2:] < 56).all(1)
        side += ((boxes - scene.boxes) / np.tile(extent, 2))[large].ravel().tolist()
        points, _ = scenes.weak_clicks(scene, shaky)
        click += ((points - scene.clicks) / extent)[large].ravel().tolist()
        inside += [scene.instances[y, x] == k + 1 for k, (x, y) in enumerate(points)]
    assert np.std(side) == pytest.approx(0.1, rel=0.2)
    assert abs(np.mean(side)) < 0.02
    assert np.std(click) == pytest.approx(0.2, rel=0.2)
    assert 0.3 < np.mean(inside) < 0.95


def test_one_annotator_makes_the_same_mistakes_in_every_kind_of_label(many):
    careless = scenes.Annotator(missed=0.4, wrong_class=0.3, seed=3)
    differs = 0
    for scene in many[:60]:
        _, classes = scenes.noticed(scene, careless)
        assert scenes.weak_labels(scene, careless) == set(classes.tolist())
        assert scenes.weak_boxes(scene, careless)[1].tolist() == classes.tolist()
        assert scenes.weak_clicks(scene, careless)[1].tolist() == classes.tolist()
        drawn = set(np.unique(scenes.weak_scribbles(scene, careless)).tolist()) - {0, 255}
        assert drawn == set(classes.tolist())
        said = scenes.read_caption(scenes.weak_caption(scene, careless))
        assert _named(said) == Counter(scenes.CLASSES[c] for c in classes)
        other = scenes.Annotator(missed=0.4, wrong_class=0.3, seed=4)
        differs += scenes.noticed(scene, other)[0].tolist() != scenes.noticed(scene, careless)[0].tolist()
    assert differs > 15


def _named(said):
    counts = Counter()
    for count, _, name in said.groups:
        counts[name] += count
    return counts


def test_a_stroke_off_centre_leaves_its_object():
    strays = 0
    for i in range(20):
        scene = scenes.scene(i, size=64)
        labels = scenes.weak_scribbles(scene, scenes.Annotator(off_centre=0.5), width=1)
        drawn = (labels != 255) & (labels != 0)
        strays += (labels[drawn] != scene.mask[drawn]).sum()
    assert strays > 50


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"missed": 1.2}, ValueError, "missed must be a .*0..1"),
        ({"box_jitter": -0.1}, ValueError, "box_jitter must be a .*0..1"),
        ({"wrong_class": float("nan")}, ValueError, "wrong_class"),
        ({"off_centre": "a bit"}, ValueError, "off_centre must be a number"),
        ({"missed_small": None}, ValueError, "missed_small"),
        ({"seed": 0.5}, ValueError, "seed must be a whole number"),
    ],
)
def test_bad_annotators_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        scenes.Annotator(**arguments)


def test_bad_pens_are_refused(many):
    with pytest.raises(ValueError, match=r"width must be a .*1"):
        scenes.weak_scribbles(many[0], width=0)
    with pytest.raises(ValueError, match=r"share must be a .*0\.\.1"):
        scenes.weak_scribbles(many[0], share=2)


# --- data sets ------------------------------------------------------------------------------------


def test_splits_never_overlap():
    numbers = {split: {scenes.split_index(split, i) for i in range(500)} for split in scenes.SPLITS}
    assert len(set.union(*numbers.values())) == 1500
    images = [
        s.image.tobytes()
        for split in scenes.SPLITS
        for s in map(scenes.Scenes(split, 30, size=32).scene, range(30))
    ]
    assert len(set(images)) == 90
    with pytest.raises(ValueError, match="split must be one of train, val, test, got 'dev'"):
        scenes.split_index("dev", 0)


def test_torch_data_set():
    data = scenes.Scenes("val", 7, seed=3, size=(40, 56), classes=["star", "boat"])
    assert len(data) == 7
    image, target = data[2]
    scene = data.scene(2)
    assert digest(scene) == digest(
        scenes.scene(scenes.split_index("val", 2), 3, size=(40, 56), classes=["star", "boat"])
    )
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 40, 56))
    np.testing.assert_array_equal(image.permute(1, 2, 0), scene.image)
    np.testing.assert_array_equal(target["mask"], scene.mask)
    assert target["mask"].dtype == target["classes"].dtype == torch.int64
    assert target["boxes"].tolist() == scene.boxes.tolist()
    assert {i + 1 for i, hot in enumerate(target["labels"].tolist()) if hot} == scene.labels
    np.testing.assert_array_equal(data[-5][0], image)
    assert len(list(data)) == 7
    for i in (7, -8):
        with pytest.raises(IndexError, match="there are 7 scenes"):
            data[i]
    copied = pickle.loads(pickle.dumps(data))  # what a worker process gets
    np.testing.assert_array_equal(copied[2][0], image)


def test_loader_and_arrays():
    data = scenes.Scenes("train", 5, size=40)
    images, targets = next(iter(DataLoader(data, batch_size=5, collate_fn=scenes.collate)))
    assert tuple(images.shape) == (5, 3, 40, 40)
    assert tuple(targets["mask"].shape) == (5, 40, 40)
    assert tuple(targets["labels"].shape) == (5, len(scenes.CLASSES) - 1)
    arrays, masks, boxes, classes = data.arrays()
    np.testing.assert_array_equal(arrays, images.permute(0, 2, 3, 1))
    np.testing.assert_array_equal(masks, targets["mask"])
    assert [b.tolist() for b in boxes] == [b.tolist() for b in targets["boxes"]]
    assert [c.tolist() for c in classes] == [c.tolist() for c in targets["classes"]]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"split": "dev"}, ValueError, "split must be one of"),
        ({"length": 0}, ValueError, "length must be a .*1"),
        ({"size": 8}, ValueError, "size must be a"),
        ({"seed": "x"}, ValueError, "seed must be"),
        ({"noisy": 1}, TypeError, "noisy"),
    ],
)
def test_bad_data_sets_are_refused_when_made(arguments, error, text):
    with pytest.raises(error, match=text):
        scenes.Scenes(**arguments)


# --- like photographs -----------------------------------------------------------------------------


def picture(mask, boxes, classes):
    return SimpleNamespace(
        mask=np.array(mask), boxes=np.array(boxes).reshape(-1, 4), classes=np.array(classes)
    )


def test_statistics_of_hand_made_pictures():
    mask = np.zeros((20, 20), int)
    mask[4:12, 4:8] = 2
    mask[0, 0] = 255
    first = picture(mask, [[4, 4, 12, 12], [4, 4, 8, 12]], [2, 2])
    second = picture(np.ones((20, 20), int), [[0, 0, 20, 20]], [1])
    found = scenes.statistics([first, second])
    assert found.images == 2
    assert found.background == pytest.approx((367 / 399 + 0) / 2)
    assert found.fill == pytest.approx((0.5 + 1 + 1) / 3)
    assert found.labels == 1
    assert found.boxes == 1.5
    assert found.sizes[2] == pytest.approx(0.4)
    assert found.overlapping == 0.5
    assert found.at_border == pytest.approx(1 / 3)
    assert found.frequencies == pytest.approx((2 / 3, 1 / 3))
    with pytest.raises(ValueError, match="at least one box"):
        scenes.statistics([picture(mask, [], [])])


def test_scenes_are_like_voc_where_it_counts():
    ours, voc = scenes.statistics(scenes.scene(i) for i in range(250)), scenes.VOC
    assert ours.background == pytest.approx(voc.background, abs=0.05)
    assert ours.fill == pytest.approx(voc.fill, abs=0.04)
    assert ours.fill_spread == pytest.approx(voc.fill_spread, abs=0.06)
    assert ours.labels == pytest.approx(voc.labels, abs=0.15)
    assert ours.boxes == pytest.approx(voc.boxes, abs=0.25)
    np.testing.assert_allclose(ours.sizes, voc.sizes, atol=0.08)
    assert ours.overlapping == pytest.approx(voc.overlapping, abs=0.08)
    assert ours.at_border == pytest.approx(voc.at_border, abs=0.12)
    assert ours.frequencies[0] > 2 * ours.frequencies[-1]


@pytest.mark.skipif(not VOC.is_dir(), reason="the VOC pictures (LECTUREKIT_VOC) are not on this machine")
def test_the_figures_for_voc_are_those_of_its_pictures():
    names = (VOC / "classes.txt").read_text().split()
    listed = next(VOC.glob("ImageSets/**/train.txt")).read_text().split()
    measured = scenes.statistics(voc_picture(names, name) for name in listed)
    for field in (
        "images",
        "background",
        "fill",
        "fill_spread",
        "labels",
        "boxes",
        "overlapping",
        "at_border",
    ):
        assert getattr(measured, field) == pytest.approx(getattr(scenes.VOC, field), abs=6e-4), field
    np.testing.assert_allclose(measured.sizes, scenes.VOC.sizes, atol=6e-4)
    np.testing.assert_allclose(measured.frequencies, scenes.VOC.frequencies, atol=6e-4)


def voc_picture(names, name):
    objects = ET.parse(VOC / "Annotations" / f"{name}.xml").getroot().findall("object")
    corners = [
        [int(float(o.find("bndbox").find(k).text)) for k in ("xmin", "ymin", "xmax", "ymax")] for o in objects
    ]
    mask = np.array(Image.open(VOC / "SegmentationClass" / f"{name}.png"))
    return picture(
        mask, np.array(corners) - [1, 1, 0, 0], [names.index(o.find("name").text) for o in objects]
    )
