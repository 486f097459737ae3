"""How loosely boxes are drawn, judged by gaps: definitions, tables, and photographs."""

import numpy as np
import pytest
from support import VOC

from lecturekit.benchmarks.grabcut import loosened
from lecturekit.datasets.voc import VOC as Folder
from lecturekit.datasets.voc import shrunk
from lecturekit.pixels import _room
from lecturekit.pixels._room import BOUNDS, LOOSE, PRIOR, SHARES, TRUST, WORTH, gaps_of, room_by
from lecturekit.pixels.grabcut import grabcut_boxes, grabcut_images, grabcut_votes

pytestmark = pytest.mark.usefixtures("one_thread")


def test_gaps_are_those_of_the_mask():
    mask = np.zeros((20, 40), bool)
    mask[3:18, 4:38] = True
    assert gaps_of(mask).tolist() == [0.1, 0.15, 0.05, 0.1]  # left, upper, right, lower
    mask[0, 0] = True  # less than a hundredth of the mask
    assert gaps_of(mask).tolist() == [0.1, 0.15, 0.05, 0.1]


def test_tables_are_shares_and_worth_most_where_the_guess_is_right():
    assert sum(PRIOR) == pytest.approx(1)
    assert len(PRIOR) == len(LOOSE) == len(SHARES) == len(WORTH) == len(_room.GAPS)
    for shares in SHARES:
        assert len(shares) == len(BOUNDS) + 1
        assert min(shares) > 0
        assert sum(shares) == pytest.approx(1000, abs=3)
    assert np.array(WORTH).argmax(1).tolist() == [0, 1, 2, 3]


def test_without_gaps_boxes_are_tight_and_a_guess_is_the_one_of_greatest_expected_worth():
    assert room_by(np.zeros(0)) == 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        gaps = rng.choice([0.0, 0.05, 0.08, 0.12, 0.16, 0.9], rng.integers(1, 9))
        probability = np.array(PRIOR)
        for gap in gaps:
            which = sum(gap >= bound for bound in BOUNDS)
            probability = probability * np.array([shares[which] / 1000 for shares in SHARES]) ** TRUST
        expected = [sum(p * w[t] for p, w in zip(probability, WORTH, strict=True)) for t in range(len(LOOSE))]
        assert room_by(gaps) == LOOSE[int(np.argmax(expected))]


@pytest.mark.parametrize(("gap", "room"), [(0.04, 0), (0.08, 0.05), (0.12, 0.1), (0.16, 0.2)])
def test_many_equal_gaps_tell_the_room(gap, room):
    assert room_by(np.full(12, gap)) == room


def disc_picture():
    y, x = np.indices((80, 100))
    disc = np.hypot(x - 50, y - 40) <= 20
    image = np.where(disc[..., None], (60, 120, 160), (150, 110, 70))
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), disc


@pytest.mark.filterwarnings("ignore:GrabCut fell back")
@pytest.mark.parametrize("room", [0.1, 0.2])
def test_boxes_with_room_are_brought_in_and_images_are_judged_one_by_one(room):
    image, _ = disc_picture()
    tight = np.array([30, 20, 71, 61])
    wide = tight + np.round(41 * room).astype(int) * np.array([-1, -1, 1, 1])
    first, second = grabcut_images([image, image], [[wide], [tight]], loose=None)
    assert first.loose in LOOSE[1:]
    assert second.loose == 0
    assert (first.masks == grabcut_boxes(image, [wide], loose=first.loose).masks).all()
    assert (second.masks == grabcut_boxes(image, [tight], loose=0).masks).all()
    assert grabcut_boxes(image, [wide]).loose == 0
    assert grabcut_boxes(image, [wide], loose=0.05).loose == 0.05
    votes = grabcut_votes(image, [wide], runs=2, loose=None)
    assert any((votes == grabcut_votes(image, [wide], runs=2, loose=room)).all() for room in LOOSE[1:])


def test_pictures_without_boxes_are_tight():
    image, _ = disc_picture()
    assert grabcut_boxes(image, np.zeros((0, 4)), loose=None).loose == 0


@pytest.mark.filterwarnings("ignore:GrabCut fell back")
@pytest.mark.skipif(not VOC.is_dir(), reason="no folder of photographs in VOC's layout here")
def test_guesses_on_photographs_follow_the_room():
    folder = Folder(VOC, "train")
    pictures = [shrunk(folder[k], 128) for k in range(5, 400, 30)]
    images = [picture.image for picture in pictures]
    guesses = []
    for room in (0, 0.1):
        boxes = [loosened(picture, room).boxes for picture in pictures]
        guesses.append([cut.loose for cut in grabcut_images(images, boxes, loose=None)])
    assert np.mean(guesses[0]) < 0.025
    assert np.mean(guesses[1]) > np.mean(guesses[0]) + 0.02
