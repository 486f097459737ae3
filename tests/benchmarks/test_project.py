"""What hours of labelling buy: which students are made, and what is said of them."""

import numpy as np
import pytest

from lecturekit.benchmarks import project as bench
from lecturekit.benchmarks.photographs import Pictures
from lecturekit.kit.results import load
from lecturekit.labs.project._curves import curves_of
from lecturekit.learning.features import Features
from lecturekit.learning.features import Pictures as Frames


def _pictures(classes):
    """Pictures of 8 x 8 pixels, each half of one class, with a box round it."""
    masks = []
    for c in classes:
        mask = np.zeros((8, 8), np.uint8)
        mask[:, 4:] = c
        masks.append(mask)
    images = [np.zeros((8, 8, 3), np.uint8)] * len(classes)
    grid = Features(
        np.zeros((len(classes), 1, 1, 1), "f2"), Frames(images, 32), np.zeros(1), np.ones((1, 1)), "x"
    )
    boxes = [np.array([[4, 0, 8, 8]])] * len(classes)
    return Pictures(grid, images, masks, boxes, [np.array([c]) for c in classes])


def test_hours_become_pictures_at_each_person_s_speed():
    pieces = list(bench.outcome_pieces(objects=2.0, pictures=400))
    found = {(p.name, p.hours, p.speed): p.counts for p in pieces}
    assert found["boxes", 2, 1.0] == {"boxes": 7200 // (20 + 2 * 7)}
    assert found["masks", 40, 1.0] == {"masks": 400}  # the folder ends
    slow, fast = max(bench.SPEEDS), min(bench.SPEEDS)
    assert found["masks", 2, slow]["masks"] < found["masks", 2, fast]["masks"]
    half = found["boxes + 50 % masks", 4, 1.0]
    assert abs(half["boxes"] - half["masks"]) <= 1


def test_a_piece_keeps_its_place_and_others_have_theirs(monkeypatch, tmp_path):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    pieces = [*bench.curve_pieces(), *bench.task_pieces()]
    assert len({p.file for p in pieces}) == len(pieces)
    assert {p.part for p in pieces if p.role == "curve"} == set(range(bench.JUDGING))


def test_only_some_classes_are_left():
    left = bench.only(_pictures([3, 8, 8]), [8])
    assert [np.unique(mask).tolist() for mask in left.masks] == [[0], [0, 8], [0, 8]]
    assert [len(boxes) for boxes in left.boxes] == [0, 1, 1]
    some = bench.chosen(left, np.array([2, 0]))
    assert [len(boxes) for boxes in some.boxes] == [1, 0]
    assert len(some.features) == 2


def test_the_committed_file_is_what_the_plan_says_today():
    """The intervals in the file are those of the code; at least eight of ten outcomes lie in them."""
    content = load("project")
    rows, settings = content["rows"], content["settings"]
    told = [row for row in rows if row["role"] == "outcome"]
    again = [row for row in bench.foretold(rows, settings) if row["role"] == "outcome"]
    for old, new in zip(told, again, strict=True):
        assert new["plan"] == pytest.approx(old["plan"], abs=1e-6)
    held = [row["plan"][1] <= row["iou"] <= row["plan"][2] for row in told]
    assert np.mean(held) >= 0.8
    assert f"holds {sum(held)} of {len(told)}" in bench.table(rows, settings)
    curves = curves_of(rows, settings)
    assert bench.task_spread(rows, curves) == pytest.approx(settings["tasks"], abs=1e-6)
