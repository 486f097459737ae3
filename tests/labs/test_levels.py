"""The arrows between image labels, boxes and pixels, and the picture of them."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from lecturekit.datasets import scenes
from lecturekit.evidence import cam
from lecturekit.labels.boxes import fill_boxes
from lecturekit.labs import levels
from lecturekit.widgets.arrow_lab import ArrowLab, drawn


@pytest.fixture(scope="module")
def few():
    return [scenes.scene(i, size=64, clutter=0.5) for i in range(6)]


@pytest.fixture(scope="module")
def oracle(few):
    """Class maps that are the truth, a place for every four pixels: what a perfect CAM would show."""
    hot = np.stack([[s.mask == c for c in range(1, 8)] for s in few]).astype(np.float32)
    return nn.functional.avg_pool2d(torch.from_numpy(hot), 4)


@pytest.fixture(scope="module")
def board(few, oracle):
    return levels.run_all(few, oracle)


def test_six_arrows_are_strong_and_three_weak():
    strong = {name for name, arrow in levels.ARROWS.items() if arrow.strong}
    assert len(levels.ARROWS) == 9
    assert set(levels.ARROWS) - strong == {"image label → box", "box → pixels", "image label → pixels"}


def test_strong_arrows_are_exact_and_weak_ones_are_not(board):
    for name, arrow in levels.ARROWS.items():
        assert (board.quality[name] == 1) == arrow.strong, name
        assert all(made.level == arrow.end for made in board.made[name])


def test_strong_arrows_give_the_labels_of_the_scene(few, board):
    for k, scene in enumerate(few):
        np.testing.assert_array_equal(board.made["pixels → box"][k].boxes, scene.boxes)
        assert board.made["pixels → box"][k].classes == tuple(scene.classes.tolist())
        assert set(board.made["box → image label"][k].classes) == scene.labels
        assert set(board.made["pixels → image label"][k].classes) == scene.labels


def test_grabcut_beats_the_full_box_and_stays_inside(few, board):
    filled = [
        levels.Label("pixels", s.labels, mask=fill_boxes(s.boxes, s.classes, s.mask.shape)) for s in few
    ]
    assert board.quality["box → pixels"] > levels.quality(filled, few)
    for made, outer in zip(board.made["box → pixels"], filled, strict=True):
        assert not made.mask[outer.mask == 0].any()


def test_boxes_of_a_perfect_map_are_right_for_single_objects():
    scene = next(s for i in range(50) if len((s := scenes.scene(i, size=64)).boxes) == 1)
    c = int(scene.classes[0])
    maps = torch.zeros(7, 64, 64)
    maps[c - 1] = torch.from_numpy((scene.instances == 1).astype(np.float32))
    made = levels.boxes_by_cam(maps, [c], (64, 64))
    covered = levels.best_ious(made, scene)
    whole = scene.instances[made.boxes[0][1] : made.boxes[0][3], made.boxes[0][0] : made.boxes[0][2]]
    assert covered[0] == 1 or (scene.instances == 1).sum() > (whole == 1).sum()  # cut in two by an occluder
    flat = levels.boxes_by_cam(torch.zeros(7, 8, 8), [1, 3], (64, 64))
    assert flat.boxes.shape == (0, 4)
    assert flat.classes == ()


def test_quality_by_hand():
    scene = next(s for i in range(50) if len((s := scenes.scene(i, size=64)).labels) == 2)
    first, second = sorted(scene.labels)
    one = levels.label_of_classes([0, first])
    assert levels.quality([one], [scene]) == 0.5
    none = levels.Label("box", (), np.zeros((0, 4), np.int64))
    assert levels.quality([none], [scene]) == 0
    kept = scene.classes == first
    part = levels.Label("box", tuple(scene.classes[kept].tolist()), scene.boxes[kept])
    assert levels.quality([part], [scene]) == pytest.approx(kept.mean())
    swapped = levels.Label("box", tuple([second] * int(kept.sum())), scene.boxes[kept])
    assert levels.quality([swapped], [scene]) < levels.quality([part], [scene])
    nothing = levels.Label("pixels", (), mask=np.zeros_like(scene.mask))
    assert levels.quality([nothing], [scene]) == pytest.approx((scene.mask == 0).mean() / 3)


class Tiny(nn.Module):
    """A network with an average pool, for `evidence.cam`."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 5, 8, stride=8), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(5, 7)

    def forward_features(self, x):
        return self.trunk(x)

    def forward(self, x):
        return self.head(self.pool(self.trunk(x)).flatten(1))


@pytest.fixture(scope="module")
def tiny():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny().eval()


def test_class_maps_are_those_of_cam(few, tiny):
    images = [s.image for s in few]
    found = levels.last_features(tiny, images, side=64, batch=4)
    assert found.shape == (6, 5, 8, 8)
    head = levels.train_gap_head(found, [s.labels for s in few], steps=20)
    tiny.head.load_state_dict(head.state_dict())
    wanted = cam(tiny, levels.as_input(images, 64), "all").maps
    torch.testing.assert_close(levels.class_maps(head, found), wanted, rtol=1e-4, atol=1e-5)


def test_head_learns_what_can_be_learned_and_is_the_same_each_time():
    labels = [{1}, {2}, {1, 2}, {7}] * 3
    features = torch.tensor(np.stack([scenes.multi_hot(each) for each in labels])).float()[:, :, None, None]
    heads = [levels.train_gap_head(features.expand(-1, -1, 2, 3), labels, steps=300) for _ in range(2)]
    assert torch.equal(heads[0].weight, heads[1].weight)
    logits = heads[0](features[:, :, 0, 0])
    assert ((logits > 0) == (features[:, :, 0, 0] > 0)).all()


def test_input_is_the_whole_picture():
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, 10:] = 255
    made = levels.as_input([image, image[:, ::-1]], 32)
    assert made.shape == (2, 3, 32, 32)
    assert made[0, 0, 0, 0].item() == (0 - 127) / 128
    assert made[0, 0, 0, -1].item() == 1
    torch.testing.assert_close(made[0], made[1].flip(-1))


def test_figure_and_words_of_every_arrow(board):
    pictures = {}
    for name in levels.ARROWS:
        picture, words = drawn(board, name, 2)
        assert picture.ndim == 3
        assert picture.dtype == np.uint8
        assert words.startswith(f"{name}, {'strong' if levels.ARROWS[name].strong else 'weak'}")
        assert board.scenes[2].caption in words
        pictures[name] = picture.tobytes()
    assert len(set(pictures.values())) == 9
    assert drawn(board, "box → pixels", 1).picture.tobytes() != pictures["box → pixels"]
    assert drawn(board, "box → pixels", 2).picture.tobytes() == pictures["box → pixels"]


def test_arrow_lab_answers_and_leaves_a_still_picture(board):
    lab = ArrowLab(board, "pixels → box", scene=3)
    assert lab.words.startswith("pixels → box, strong")
    lab.values = {"arrow": "box → pixels", "scene": 1}
    assert lab.words.startswith("box → pixels, weak")
    html = lab._repr_mimebundle_()[0]["text/html"]
    assert f'alt="{lab.words}"' in html
    assert int(re.search('width="(.+?)"', html)[1]) > 300
    assert not re.search("0x", repr(lab))
    with pytest.raises(ValueError, match="scene must lie in"):
        lab.values = {"arrow": "box → pixels", "scene": 6}


WRONG = {
    "level": (lambda s, m: levels.truth(s[0], "class"), "level must be one of"),
    "scenes": (lambda s, m: levels.run(levels.ARROWS["pixels → box"], [], m), "scenes must be at least one"),
    "maps": (lambda s, m: levels.run(levels.ARROWS["image label → box"], s, m[:2]), "maps must be"),
    "no_maps": (lambda s, m: levels.run(levels.ARROWS["image label → box"], s), "maps must be"),
    "images": (lambda s, m: levels.as_input([]), "images must hold"),
    "dtype": (lambda s, m: levels.as_input([s[0].image / 255]), r"images\[0\] must be uint8"),
    "side": (lambda s, m: levels.as_input([s[0].image], 16), "side must be"),
    "labels": (lambda s, m: levels.train_gap_head(torch.ones(2, 3, 1, 1), [{1}]), "one a picture"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_to_levels_is_refused_by_name(name, few, oracle):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call(few, oracle)


def test_figure_refuses_what_is_not_on_the_board(board):
    with pytest.raises(ValueError, match="name must be one of"):
        levels.figure(board, "pixels → caption")
    with pytest.raises(ValueError, match=r"scene must lie in 0\.\.5"):
        levels.figure(board, "pixels → box", 6)


def test_a_head_for_any_number_of_classes():
    """Channel c is on where class c is there: the head must find that out for 20 classes."""
    rng = np.random.default_rng(0)
    labels = [set(rng.choice(20, 3, replace=False) + 1) for _ in range(60)]
    features = torch.zeros(60, 20, 2, 2)
    for row, each in zip(features, labels, strict=True):
        row[[c - 1 for c in each]] = 1
    head = levels.train_gap_head(features, labels, steps=200, classes=20)
    best = head(features.mean((2, 3))).topk(3).indices + 1
    assert [set(row) for row in best.tolist()] == labels
    with pytest.raises(ValueError, match=r"labels must be a whole number in 1\.\.20, got 21"):
        levels.train_gap_head(features, [{21}] * 60, classes=20)
